"""A pytest plugin for the official SDK's own suite: each of its tests meets a new simulated Cloudflare.

The suite runs in a process of its own and unmodified; it finds the simulator at ``TEST_API_BASE_URL``. Its ids and its
key pair are the examples of the API reference. It deletes a pack before it edits it, hence a new world for each test.
"""

import asyncio
import os
import queue
import threading
import time
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest

from watchdog.simulator.scenario import Scenario
from watchdog.simulator.server import serve
from watchdog.simulator.world import World

ZONE = "023e105f4ecef8ad9ca31a8372d0c353"
PACKS = ("3822ff90-ea29-44df-9e55-21300bb9419b", "a77f8bd7-3b47-46b4-a6f1-75cf98109948")
SCENARIO = {
    "tokens": [
        {
            "email": "user@example.com",
            "key": "144c9defac04969c7bfad8efaa8ea194",
            "permissions": ["read", "write", "zone_read", "zone_write"],
        }
    ],
    "zones": [
        {
            "name": "example.com",
            "id": ZONE,
            "packs": [{"id": pack, "hosts": [f"{pack}.example.com"]} for pack in PACKS],
        }
    ],
    "rate_limit": {"per_second": 0},
}


class RealTime:
    """Nothing here waits for long."""

    boot = ""

    def now(self):
        return datetime.now(UTC)

    def monotonic(self):
        return time.monotonic()

    async def sleep(self, delay):
        await asyncio.sleep(delay.total_seconds())


WORLD = World(Scenario.model_validate(SCENARIO), RealTime())


@pytest.fixture(autouse=True)
def a_new_world():
    """The world as it is at the start."""
    World.__init__(WORLD, Scenario.model_validate(SCENARIO), RealTime())


@pytest.fixture(autouse=True, scope="session")
def served():
    """The one server, in a thread of its own."""
    ready = queue.Queue()

    async def main():
        stop = asyncio.Event()
        async with serve(WORLD, port=urlsplit(os.environ["TEST_API_BASE_URL"]).port):
            ready.put((asyncio.get_running_loop(), stop))
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    loop, stop = ready.get(timeout=10)
    yield
    loop.call_soon_threadsafe(stop.set)
    thread.join()
