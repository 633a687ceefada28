"""One pack that has timed out, the simulator it lives in, and a real state on disk."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import timedelta

import httpx
import pytest

from tests.harness.cloudflare_client import ZONE, Sky, make_client, timed_out
from watchdog.act import restart
from watchdog.model.clock import anchor
from watchdog.model.history import Intent, NotIntended
from watchdog.simulator.scenario import pack_id
from watchdog.state.memory import Memory
from watchdog.state.store import Store

PACK = pack_id("example.com", 0)
WAIT = timedelta(minutes=15)


class Wire(httpx.AsyncBaseTransport):
    """The way to the simulator. ``on_patch`` is told when a PATCH is about to arrive, and may raise instead."""

    def __init__(self, onwards):
        self.onwards = onwards
        self.on_patch = lambda: None

    async def handle_async_request(self, request):
        if request.method == "PATCH":
            self.on_patch()
        return await self.onwards.handle_async_request(request)


class Stage:
    """The restart flow with everything around it real but Cloudflare and time."""

    def __init__(self, url, scenario):
        self.sky = Sky(scenario)
        self.world, self.clock = self.sky.world, self.sky.clock
        self.wire = Wire(self.sky.http)
        self.client = make_client(self.wire, self.clock)
        self.url = url
        self.worker = ThreadPoolExecutor(1)
        self.store = Store.open(url, exclusive=True)
        self.memory = Memory(self.store, self.worker)
        self.told = []
        self.held = None

    def prepare(self):
        self.told.append("prepared")
        if self.held is not None:
            raise NotIntended(self.held, "held")
        now, before = self.clock.now(), self.memory.history(self.pack)
        after = before.intended(now, WAIT)
        return Intent("main", "example.com", ZONE, PACK, after.attempts, now, now + WAIT), before, after

    async def restart(self):
        self.pack = await self.client.get_pack(ZONE, PACK)
        self.told.clear()
        self.world.ledger.clear()
        return await self.again()

    async def again(self):
        return await restart.restart(
            self.pack, self.client, self.memory, self.prepare, self.clock.now, lambda _: self.told.append("sending")
        )

    @property
    def asked(self):
        return [request.method for request in self.world.ledger]

    def rows(self, what):
        """What another process reads from the database now."""
        other = sqlite3.connect(f"file:{self.url.removeprefix('sqlite:///')}?mode=ro", uri=True)
        try:
            return other.execute(what).fetchall()
        finally:
            other.close()

    def intents(self):
        return self.rows("SELECT attempt, outcome FROM intents")

    def attempts(self):
        return self.rows("SELECT attempts FROM histories")

    def close(self):
        self.worker.shutdown()
        self.store.close()


@pytest.fixture
def staged(tmp_path_factory):
    """``async with staged(**scenario) as stage``"""

    @asynccontextmanager
    async def stand(**scenario):
        stage = Stage(f"sqlite:///{tmp_path_factory.mktemp('state')}/state.db", timed_out(**scenario))
        await stage.memory.recall(anchor(stage.clock))
        try:
            yield stage
        finally:
            stage.close()

    return stand
