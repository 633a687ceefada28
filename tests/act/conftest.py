"""One pack that has timed out, the simulator it lives in, and a real state on disk."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import timedelta
from random import Random

import pytest

from tests.harness.cloudflare_client import ZONE, Sky, make_client, timed_out
from watchdog.components import Components, Configured
from watchdog.cycle import Cycle
from watchdog.decide.budget import Budget
from watchdog.decide.checks import RestartRules
from watchdog.model.clock import anchor
from watchdog.model.packs import ZoneRef
from watchdog.observe.zones import WatchedZones
from watchdog.schedule.agenda import Agenda
from watchdog.simulator.scenario import pack_id
from watchdog.state.intents import Intents
from watchdog.state.memory import Memory
from watchdog.state.store import Store

PACK = pack_id("example.com", 0)
WAIT = timedelta(minutes=15)
WATCHED = ZoneRef("main", "example.com", ZONE)


class Wire:
    """The way to the simulator. ``on_patch`` is told when a PATCH is about to arrive, and may raise instead."""

    def __init__(self, onwards):
        self.onwards = onwards
        self.on_patch = lambda: None

    async def ask(self, request, seconds):
        if request.method == "PATCH":
            self.on_patch()
        return await self.onwards.ask(request, seconds)


class Telemetry:
    """Notes the names of events in the order they are told."""

    def __init__(self):
        self.names = []

    def happened(self, events):
        self.names += [str(event.name) for event in events]

    def restarted(self, zone, sent):
        pass


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
        self.budget, self.telemetry = Budget(), Telemetry()
        self.rules = RestartRules(max_per_hour=1)
        self.cycle = Cycle(
            Components(
                configured=Configured(
                    agenda=Agenda(WAIT, WAIT),
                    watched=WatchedZones((WATCHED,), {}, WAIT),
                    clients={"main": self.client},
                    rules=lambda _: self.rules,
                    diagnoser=None,
                ),
                memory=self.memory,
                intents=Intents(self.store, self.memory),
                telemetry=self.telemetry,
                clock=self.clock,
                dice=Random(7),  # noqa: S311 - tests repeat
                budget=self.budget,
            )
        )

    async def restart(self):
        """A restart of the pack as it is now."""
        self.pack = await self.client.get_pack(ZONE, PACK)
        self.told.clear()
        self.world.ledger.clear()
        return await self.again()

    async def again(self, *, force=False):
        """A restart of the pack as it was."""
        return await self.cycle.restarting.restart(WATCHED, self.pack, force=force)

    def budget_is_free(self):
        """Whether the account, which may send one restart an hour, may send one of this pack now."""
        now = self.clock.now()
        return self.budget.free_at("main", self.pack.key, due=now, per_hour=1, now=now, fresh=WAIT) is None

    @property
    def told(self):
        return self.telemetry.names

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
        return self.rows("SELECT attempts FROM histories WHERE attempts > 0")

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
