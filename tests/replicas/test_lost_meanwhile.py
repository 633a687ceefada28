"""A replica loses an account while it works on it: what it still notes is written over nothing of who has it now."""

import asyncio
from contextlib import asynccontextmanager

import pytest
import sqlalchemy as sa

from tests.harness.fleet import timed_out
from tests.harness.simulation.shared_state import Connection, NoLaws, Server, Way
from tests.harness.time import LoopClock, in_simulated_time
from tests.harness.values import replace
from watchdog.handover import Handover
from watchdog.model.decisions import Decision, Do
from watchdog.model.history import Sent
from watchdog.model.packs import ZoneRef
from watchdog.model.reasons import Reason
from watchdog.simulator.scenario import pack_id
from watchdog.state import schema
from watchdog.state.store import Store

LEASE = 10.0
FLEET = {"main": {"a.example": [timed_out("succeeds")]}, "other": {"b.example": []}}


class Time:
    """Of the running loop, for the database."""

    def true(self):
        return LoopClock().now()

    @property
    def seconds(self):
        return LoopClock().monotonic()


@asynccontextmanager
async def looking(replica, method, path_ends):
    """``replica`` looks, and one answer has not come yet. What is given lets it come, and ends when the look does."""
    let, wire = asyncio.Event(), replica.wire

    async def gate(answer):
        wire.gate = None
        answered = await answer()
        await let.wait()
        return answered

    async def come():
        let.set()
        await look

    wire.before(method, path_ends, lambda: setattr(wire, "gate", gate))
    look = asyncio.create_task(replica.look())
    await asyncio.sleep(1)
    yield come
    await come()


class Two:
    """Replica ``a`` works both accounts; ``b`` is configured with ``main`` alone, and looks on."""

    def __init__(self, a, b):
        self.a, self.b = a, b

    async def beat(self, replica):
        await replica.runtime.keeper.beat()
        await replica.runtime.keeper.settled()

    async def takes_over(self):
        """The lease of ``main`` runs out, and ``b`` takes it and looks; then ``a`` hears of it."""
        await asyncio.sleep(LEASE + 1)
        await self.beat(self.b)
        await self.b.look()
        await self.beat(self.a)
        tenure = self.a.components.tenure
        assert (tenure.keeps("main"), tenure.keeps("other")) == (False, True)

    def written(self):
        """All that a look writes."""
        with self.a.store.reading() as connection:
            tables = (schema.packs, schema.histories, schema.zones)
            return [tuple(row) for table in tables for row in connection.execute(sa.select(table))]

    def outcomes(self):
        """What became of all restarts, as it is stored."""
        with self.a.store.reading() as connection:
            return list(connection.execute(sa.select(schema.intents.c.outcome)).scalars())


@pytest.fixture
def begin(start):
    @asynccontextmanager
    async def begun():
        server = Server(Time(), NoLaws())

        def store():
            return Store(Connection(server, Way(None), 1))

        def config(name):
            return {"state": {"url": "postgresql://db/state"}, "replica": {"name": name, "lease": f"{LEASE}s"}}

        async with (
            start(store=store(), config=config("a"), **FLEET) as a,
            start(FLEET["main"], store=store(), config=config("b"), world=a.world) as b,
        ):
            for each in (a, b):
                keeper, accounts = each.runtime.keeper, tuple(each.runtime.config.accounts)
                keeper.held.attendant, keeper.me = Handover(each.runtime), replace(keeper.me, accounts=accounts)
            two = Two(a, b)
            await two.beat(a)
            yield two
        server.close()

    return begun


@in_simulated_time
async def test_what_came_of_a_restart_is_stored_and_nothing_else_that_its_sender_notes_late(begin):
    async with begin() as two, looking(two.a, "PATCH", pack_id("a.example", 0)) as come:
        await two.takes_over()
        before = two.written()
        await come()
        assert two.written() == before
        assert two.outcomes() == [Sent.ACCEPTED]
        assert list(two.a.components.memory.read()) == []


@in_simulated_time
async def test_a_look_that_ends_once_the_account_is_anothers_is_not_remembered(begin):
    async with begin() as two, looking(two.a, "GET", "certificate_packs") as come:
        await two.takes_over()
        await come()
        assert [zone.account for zone in two.a.components.memory.zones.values()] == ["other"]
        assert list(two.a.components.memory.read()) == []


@in_simulated_time
async def test_a_batch_with_the_outcome_of_a_restart_writes_nothing_else_of_an_account_that_is_lost(begin):
    async with begin() as two, looking(two.a, "PATCH", pack_id("a.example", 0)):
        memory, now = two.a.components.memory, two.a.clock.now()
        [known], [(number, _)] = memory.read(), two.a.store.open_intents()
        await two.takes_over()
        before = two.written()
        two.a.components.intents.settle(number, Sent.UNKNOWN, "", now)
        memory.conclude(ZoneRef("main", "a.example"), known.pack, Decision(Do.WAIT, Reason.BACKING_OFF), now)
        await memory.writer.flush()
        assert two.written() == before
        assert two.outcomes() == [Sent.UNKNOWN]
        assert memory.writer.changes.empty()


@in_simulated_time
async def test_a_look_that_began_under_an_earlier_lease_is_not_remembered_under_the_next(begin):
    async with begin() as two, looking(two.a, "GET", "certificate_packs") as come:
        await two.takes_over()
        await two.b.runtime.keeper.leave()
        await two.beat(two.a)
        assert two.a.components.tenure.holds("main")
        before = two.written()
        await come()
        assert two.written() == before
