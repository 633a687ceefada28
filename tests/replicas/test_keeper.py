"""What a keeper allows and when: no lease is trusted for longer than it surely lasts, whatever the database does."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from tests.harness.time import in_simulated_time
from tests.harness.values import replace
from watchdog.model.leases import WATCHDOG, Lease, Replica, Roll
from watchdog.replicas.holding import MARGIN
from watchdog.replicas.keeper import Keeper
from watchdog.state.database import StateError

T0 = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TTL = timedelta(seconds=30)
LASTS = (TTL - TTL / MARGIN).total_seconds()


class Database:
    """Gives every lease that is asked for; ``away`` it answers nobody, ``taken`` are somebody else's by now."""

    def __init__(self, clock):
        self._clock = clock
        self.away, self.taken, self.held = False, set(), {}

    def beat(self, me, ttl, fence, _seen, _monotonic):
        self._answer()
        at, ends = self._clock.now(), self._clock.now() + ttl
        leases = {
            name: Lease(account=name, holder="other", instance="other", epoch=9, expires=ends, since=at)
            for name in self.taken
        }
        renewed = fence.epochs.keys() - self.taken
        mine = {"holder": me.name, "instance": me.instance, "expires": ends, "since": at}
        leases |= {name: Lease(account=name, epoch=1, **mine) for name in renewed}
        alive = Replica(instance=me.instance, name=me.name, expires=ends, since=at, accounts=me.accounts)
        return Roll(at, leases, {me.instance: alive}), frozenset(renewed)

    def claim(self, _me, _ttl, accounts):
        self._answer()
        return dict.fromkeys(set(accounts) - self.taken, 1)

    def release(self, _fence, *, leaving=False):  # noqa: ARG002  as the store has it
        self._answer()

    def _answer(self):
        if self.away:
            raise StateError("the database is away")


class Clock:
    boot = "boot"

    def __init__(self):
        self.seconds = 1000.0

    def now(self):
        return T0 + timedelta(seconds=self.seconds)

    def monotonic(self):
        return self.seconds


class Attendant:
    def __init__(self):
        self.seen, self.fails = [], False

    async def take_in(self, leases):
        if self.fails:
            raise StateError("the disk is odd")
        self.seen += [("in", lease.account) for lease in leases]

    def taken(self, leases):
        self.seen += [("taken", lease.account) for lease in leases]

    async def finish(self, account):
        self.seen.append(("finish", account))

    def let_go(self, leases, *, given):
        self.seen += [("given" if given else "lost", lease.account) for lease in leases]


class Kept:
    def __init__(self, database=Database):
        self.clock, self.attendant = Clock(), Attendant()
        self.database = database(self.clock)
        me = Replica(instance="a-1", name="a", expires=T0, since=T0, accounts=("main",))
        self.keeper = Keeper(self.database, ThreadPoolExecutor(1), self.clock, me, TTL)
        self.keeper.held.attendant = self.attendant

    async def beat(self, seconds=0.0):
        self.clock.seconds += seconds
        await self.keeper.beat()
        await self.keeper.settled()


@pytest.fixture
def kept():
    kept = Kept()
    yield kept
    kept.keeper.close()


@in_simulated_time
async def test_what_nobody_holds_is_taken_loaded_and_then_held(kept):
    assert not kept.keeper.held.holds("main")
    await kept.beat()
    assert kept.keeper.held.holds("main")
    assert kept.keeper.held.holds(WATCHDOG)
    assert [what for what in kept.attendant.seen if what[1] == "main"] == [("in", "main"), ("taken", "main")]
    assert kept.keeper.held.fence().epochs == {"main": 1, WATCHDOG: 1}


@in_simulated_time
async def test_while_the_database_is_away_it_is_held_for_as_long_as_it_surely_lasts_and_no_longer(kept):
    await kept.beat()
    kept.database.away = True
    await kept.beat(LASTS - 1)
    assert kept.keeper.held.may_send("main")
    assert kept.keeper.error == "the database is away"
    await kept.beat(1)
    assert not kept.keeper.held.may_send("main")
    assert not kept.keeper.held.holds("main")
    assert kept.keeper.held.keeps("main")


@in_simulated_time
async def test_a_database_that_lets_everybody_wait_is_a_trouble_once_a_lease_has_gone_by(kept):
    """As one that is away does behind a pooler: no beat fails, and none ends."""
    await kept.beat()
    kept.clock.seconds += TTL.total_seconds()
    assert kept.keeper.trouble == ""
    kept.clock.seconds += 1
    assert kept.keeper.trouble == "the database has not answered for as long as a lease lasts"
    await kept.beat()
    assert kept.keeper.trouble == ""


@in_simulated_time
async def test_when_the_database_is_back_and_nobody_took_it_all_goes_on_without_loading_anything(kept):
    await kept.beat()
    kept.database.away = True
    await kept.beat(100)
    kept.database.away = False
    await kept.beat()
    assert kept.keeper.held.holds("main")
    assert kept.keeper.error == ""
    assert kept.attendant.seen.count(("in", "main")) == 1


@in_simulated_time
async def test_what_somebody_else_took_is_let_go_at_the_next_beat(kept):
    await kept.beat()
    kept.database.taken.add("main")
    await kept.beat(100)
    assert not kept.keeper.held.keeps("main")
    assert ("lost", "main") in kept.attendant.seen
    assert kept.keeper.held.fence().of(["main"]).epochs == {"main": -1}


@in_simulated_time
async def test_a_refusal_under_an_old_epoch_loses_no_lease_that_was_taken_again_since(kept):
    await kept.beat()
    kept.keeper.held.lost({"main": 0})
    assert kept.keeper.held.holds("main")
    kept.keeper.held.lost({"main": 1})
    assert not kept.keeper.held.holds("main")
    assert kept.attendant.seen[-1] == ("lost", "main")


@in_simulated_time
async def test_what_cannot_be_loaded_is_given_back(kept):
    kept.attendant.fails = True
    await kept.beat()
    assert not kept.keeper.held.keeps("main")
    assert ("given", "main") in kept.attendant.seen
    assert kept.keeper.error == "the disk is odd"


@in_simulated_time
async def test_what_left_the_configuration_is_finished_before_it_is_given_away(kept):
    await kept.beat()
    kept.keeper.me = Replica(instance="a-1", name="a", expires=T0, since=T0, accounts=())
    await kept.beat()
    assert [what for what in kept.attendant.seen if what[1] == "main"][2:] == [("finish", "main"), ("given", "main")]


@in_simulated_time
async def test_who_leaves_gives_everything_up_also_when_the_database_is_away(kept):
    await kept.beat()
    kept.database.away = True
    await kept.keeper.leave()
    assert not kept.keeper.held.may_send("main")
    assert {("given", "main"), ("given", WATCHDOG)} <= set(kept.attendant.seen)


class Beside(Database):
    """Another replica is there, too: while it is ``heard`` it is to have one of two accounts. It never takes any."""

    heard = False

    def __init__(self, clock):
        super().__init__(clock)
        self.epochs = Counter()

    def beat(self, me, ttl, fence, seen, monotonic):
        roll, renewed = super().beat(me, ttl, fence, seen, monotonic)
        if self.heard:
            roll.replicas["b-1"] = replace(roll.replicas[me.instance], instance="b-1", name="b")
        return roll, renewed

    def claim(self, _me, _ttl, accounts):
        self.epochs.update(accounts)
        return {account: self.epochs[account] for account in accounts}


@pytest.fixture
def beside():
    kept = Kept(Beside)
    yield kept
    kept.keeper.close()


async def untaken(beside):
    """It was given an account, and was not heard of any more; then this replica had that back."""
    beside.keeper.me = replace(beside.keeper.me, accounts=("main", "other"))
    for heard in (False, True, False):
        beside.database.heard = heard
        await beside.beat(3.0)
    assert [what for what in beside.attendant.seen if what[0] == "given"] == [("given", "main")]
    assert beside.keeper.held.holds("main")
    beside.database.heard = True


@in_simulated_time
async def test_what_was_given_and_nobody_took_is_not_given_again_for_ten_leases(beside):
    await untaken(beside)
    for _ in range(99):
        await beside.beat(3.0)
        assert beside.keeper.held.holds("main")
    await beside.beat(3.0)
    assert not beside.keeper.held.holds("main")


@in_simulated_time
async def test_what_nobody_took_and_has_left_the_configuration_is_given_away_at_once(beside):
    await untaken(beside)
    beside.keeper.me = replace(beside.keeper.me, accounts=("other",))
    await beside.beat(3.0)
    assert not beside.keeper.held.holds("main")


@in_simulated_time
async def test_what_another_took_since_it_was_given_may_be_given_again_at_once(beside):
    await untaken(beside)
    beside.clock.seconds += 300.0
    await beside.beat()
    assert not beside.keeper.held.holds("main")
    beside.database.epochs["main"] += 1  # the other one's
    beside.database.heard = False
    await beside.beat(3.0)
    assert beside.keeper.held.holds("main")
    beside.database.heard = True
    await beside.beat(3.0)
    assert not beside.keeper.held.holds("main")
