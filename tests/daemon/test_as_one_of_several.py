"""One daemon as one of several that share a state: what it says of the others, and what it leaves alone."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import timedelta

from tests.harness.fleet import as_a_daemon
from tests.harness.time import in_simulated_time
from tests.harness.values import replace
from watchdog.health import Health
from watchdog.model.leases import Lease, Replica, Roll
from watchdog.replicas.keeper import Keeper

CALM = [{"status": "active"}]
TTL = timedelta(seconds=30)


def lease(fleet):
    now = fleet.clock.now()
    return Lease(account="main", holder="one", instance="one-1", epoch=1, expires=now + TTL, since=now)


@in_simulated_time
async def test_a_pass_that_hangs_in_another_replica_is_told_as_that_one_says_it(start):
    async with start({"a.example": CALM}) as fleet:
        now = fleet.clock.now()
        me = Replica(instance="one-1", name="one", expires=now + TTL, since=now)
        hangs = {"pass_overdue": "a pass has not ended since 2026-11-24T12:00:00Z"}
        other = replace(me, instance="two-1", name="two", troubles=hangs)
        keeper = fleet.runtime.keeper = Keeper(fleet.store.roster, ThreadPoolExecutor(1), fleet.clock, me, TTL)
        health = Health(fleet.runtime)
        said = []
        for replicas in ([me, other], [me, replace(other, troubles={})], [replace(me, troubles=hangs)]):
            keeper.roll = Roll(now, {}, {each.instance: each for each in replicas})
            said.append(health.report().overdue_elsewhere)
        assert said == ["replica two: a pass has not ended since 2026-11-24T12:00:00Z", "", ""]


@in_simulated_time
async def test_an_account_that_comes_when_the_daemon_has_stopped_begins_no_pass(start):
    async with start({"a.example": CALM}) as fleet:
        async with as_a_daemon(fleet) as daemon:
            await fleet.sleep(60)
        looks = len(fleet.telemetry.looks)
        daemon.handover.taken([lease(fleet)])
        await fleet.sleep(60 * 60)
        assert len(fleet.telemetry.looks) == looks


@in_simulated_time
async def test_a_look_that_was_not_sent_for_want_of_a_lease_is_no_zone_that_cannot_be_seen(start):
    async with start({"a.example": CALM}) as fleet:
        sender = fleet.components.clients["main"]._sender  # noqa: SLF001  the lease of a moment
        sender._may_send = lambda _: False  # noqa: SLF001  the lease has just ended
        await fleet.look()
        assert fleet.events("zone_unseen") == []
        sender._may_send = lambda _: True  # noqa: SLF001  it is held again
        await fleet.watch(minutes=2)
        assert fleet.row("a.example")["reason"] == "healthy"


DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)


@asynccontextmanager
async def beside(start, *others, **last):
    """How things stand where the replica ``two``, which had the account ``far`` to itself, is gone."""
    async with start({"a.example": CALM}) as fleet:
        now = fleet.clock.now()
        me = Replica(instance="one-1", name="one", expires=now + TTL, since=now, accounts=("main",))
        far = replace(
            lease(fleet), account="far", holder="two", instance="two-1", expires=now - MINUTE, since=now - DAY
        )
        far = replace(far, **{name: now - ago if isinstance(ago, timedelta) else ago for name, ago in last.items()})
        keeper = fleet.runtime.keeper = Keeper(fleet.store.roster, ThreadPoolExecutor(1), fleet.clock, me, TTL)
        living = [me, *(replace(me, instance=f"{name}-2", name=name) for name in others)]
        keeper.roll = Roll(now, {"main": lease(fleet), "far": far}, {each.instance: each for each in living})
        yield Health(fleet.runtime).report()


@in_simulated_time
async def test_an_account_whose_only_replica_died_is_worked_by_nobody_and_still_configured(start):
    async with beside(start) as health:
        assert ([*health.unheld], health.configured) == (["far"], {"main", "far"})


@in_simulated_time
async def test_an_account_whose_only_replica_was_stopped_may_come_back_for_a_day(start):
    async with beside(start, instance="", expires=50 * 365 * DAY, seen_at=DAY - MINUTE) as health:
        assert ([*health.unheld], health.configured) == ([], {"main", "far"})


@in_simulated_time
async def test_an_account_that_nobody_worked_for_a_day_is_configured_no_more(start):
    async with beside(start, expires=DAY + MINUTE, since=2 * DAY) as health:
        assert ([*health.unheld], health.configured) == ([], {"main"})


@in_simulated_time
async def test_an_account_that_its_replica_has_no_more_is_configured_no_more(start):
    async with beside(start, "two") as health:
        assert ([*health.unheld], health.configured) == ([], {"main"})


@in_simulated_time
async def test_a_state_that_lets_everybody_wait_is_not_ready_and_says_so_soon(start):
    async with start({"a.example": CALM}) as fleet:
        health = Health(fleet.runtime)
        health.pass_ended(await fleet.look())
        assert await health.ready() == (True, "ok")
        fleet.components.memory.writer.writable = asyncio.Event().wait  # as a pooler does whose server is away
        assert await health.ready() == (False, "the state cannot be used: it has not answered within 3 s")
