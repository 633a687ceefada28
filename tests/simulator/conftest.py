"""A clock that moves by hand, and two ways to reach a simulated Cloudflare: in process, and on a socket."""

import asyncio
import contextlib
import queue
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from watchdog.simulator.app import ConnectionCut, create_app
from watchdog.simulator.scenario import Scenario
from watchdog.simulator.server import serve
from watchdog.simulator.world import World


class ManualClock:
    def __init__(self) -> None:
        self.time = datetime(2026, 11, 1, 12, tzinfo=UTC)
        self.slept = []

    def now(self) -> Any:
        return self.time

    def monotonic(self) -> Any:
        return self.time.timestamp()

    async def sleep(self, delay: Any) -> None:
        self.slept.append(delay)
        self.time += delay

    def advance(self, **duration: Any) -> None:
        self.time += timedelta(**duration)


class InProcess(httpx.ASGITransport):
    """Translates a cut into what httpx says on a real connection."""

    async def handle_async_request(self, request: Any) -> Any:
        try:
            return await super().handle_async_request(request)
        except ConnectionCut as cut:
            raise (httpx.ReadError if cut.reset else httpx.RemoteProtocolError)(str(cut)) from cut


class Simulated:
    """One world, asked in process."""

    def __init__(self, scenario: Any, clock: Any) -> None:
        self.clock = clock
        self.credential = {"Authorization": "Bearer simulated-token"}
        self.world = World(Scenario.model_validate(scenario) if isinstance(scenario, dict) else scenario, clock)
        self.zone = next(iter(self.world.zones.values()), None)
        self.packs_path = f"/zones/{self.zone.id}/ssl/certificate_packs" if self.zone else ""

    def ask(self, method: Any, path: Any, **options: Any) -> Any:
        headers = {**self.credential, **options.pop("headers", {})}

        async def once() -> Any:
            transport = InProcess(app=create_app(self.world))
            async with httpx.AsyncClient(transport=transport, base_url="http://sim/client/v4") as client:
                return await client.request(method, path, headers=headers, **options)

        return asyncio.run(once())

    def get(self, path: Any, **options: Any) -> Any:
        return self.ask("GET", path, **options)

    def packs(self, **query: Any) -> Any:
        return self.get(self.packs_path, params={"status": "all"} | query).json()["result"]

    def pack(self) -> Any:
        return self.packs()[0]

    def restart(self, pack_id: Any = None, **options: Any) -> Any:
        pack_id = pack_id or self.pack()["id"]
        return self.ask("PATCH", f"{self.packs_path}/{pack_id}", **({"json": {}} | options))


@contextlib.contextmanager
def in_a_thread(world: Any) -> Any:
    ready = queue.Queue()

    async def main() -> None:
        stop = asyncio.Event()
        async with serve(world) as url:
            ready.put((url, asyncio.get_running_loop(), stop))
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    url, loop, stop = ready.get(timeout=10)
    try:
        yield url
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


@pytest.fixture
def clock() -> Any:
    return ManualClock()


@pytest.fixture
def simulate(clock: Any) -> Any:
    """``simulate(scenario)``: a scenario, asked in process."""
    return lambda scenario: Simulated(scenario, clock)


@pytest.fixture
def one_pack(simulate: Any) -> Any:
    """``one_pack(pack, **scenario)``: a single zone with a single pack, timed out unless it says otherwise."""

    def build(pack: Any = None, **scenario: Any) -> Any:
        zone = {"name": "example.com", "packs": [{"status": "validation_timed_out"} | (pack or {})]}
        return simulate({"zones": [zone | scenario.pop("zone", {})]} | scenario)

    return build


@pytest.fixture
def on_a_socket() -> Any:
    """``with on_a_socket(world) as base_url``: served by uvicorn in another thread."""
    return in_a_thread
