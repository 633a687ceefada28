"""What keepers do with an account that one of them cannot use: it comes to another, and no lease lies unused."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from tests.harness.simulation.shared_state import Connection, NoLaws, Server, Way
from tests.harness.time import in_simulated_time
from tests.harness.values import replace
from watchdog.model.leases import WATCHDOG, Replica
from watchdog.replicas.keeper import Keeper
from watchdog.replicas.unloadable import LEASES
from watchdog.state.database import StateError
from watchdog.state.roster import Roster

T0 = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TTL = timedelta(seconds=30)
BEAT = 3.0


class Clock:
    """Of everybody; goes on when it is told to."""

    boot = "boot"
    seconds = 1000.0

    def now(self):
        return T0 + timedelta(seconds=self.seconds)

    true = now

    def monotonic(self):
        return self.seconds


class Between(Roster):
    """What may happen while the database answers: ``before_beat_is_heard``, or a claim of which nobody ever hears."""

    claims_are_heard = True

    def before_beat_is_heard(self):
        pass

    def beat(self, *args):
        answer = super().beat(*args)
        self.before_beat_is_heard()
        return answer

    def claim(self, *args):
        taken = super().claim(*args)
        if not self.claims_are_heard:
            raise StateError("the connection is lost")
        return taken


class One:
    """A replica, as far as leases go. It cannot load what is among ``unloadable``."""

    def __init__(self, name, server, clock):
        self.unloadable = set()
        self.roster = Between(Connection(server, Way(None), 1))
        me = Replica(instance=f"{name}-1", name=name, expires=T0, since=T0, accounts=("main",))
        self.keeper = Keeper(self.roster, ThreadPoolExecutor(1), clock, me, TTL)
        self.keeper.held.attendant = self

    async def take_in(self, leases):
        if self.unloadable & {lease.account for lease in leases}:
            raise ValueError("a newer word")

    def taken(self, leases):
        pass

    async def finish(self, account):
        pass

    def let_go(self, leases, *, given):
        pass


class Two:
    def __init__(self):
        self.clock = Clock()
        self.server = Server(self.clock, NoLaws())
        self.a, self.b = One("a", self.server, self.clock), One("b", self.server, self.clock)

    async def beats(self, *replicas):
        self.clock.seconds += BEAT
        for replica in replicas or (self.a, self.b):
            await replica.keeper.beat()
            await replica.keeper.settled()

    def holder(self, account="main"):
        """By the database."""
        lease = self.a.roster.roll().leases[account]
        return lease.holder if lease.held(self.clock.now()) else ""


@pytest.fixture
def two():
    two = Two()
    yield two
    for each in (two.a, two.b):
        each.keeper.close()
    two.server.close()


@in_simulated_time
async def test_what_one_cannot_load_twice_in_a_row_is_worked_by_another_within_two_beats_more(two):
    two.a.unloadable.add("main")
    await two.beats(two.a)
    for _ in range(3):
        await two.beats()
    assert two.b.keeper.held.holds("main")


@in_simulated_time
async def test_what_cannot_be_loaded_keeps_nobody_from_what_was_taken_together_with_it(two):
    two.a.unloadable.add("main")
    two.a.keeper.me = replace(two.a.keeper.me, accounts=("main", "other"))
    for _ in range(2):
        await two.beats(two.a)
    assert two.a.keeper.held.holds("other")
    assert two.a.keeper.held.holds(WATCHDOG)


@in_simulated_time
async def test_what_one_could_not_load_once_is_not_left_to_others(two):
    two.a.unloadable.add("main")
    await two.beats()
    two.a.unloadable.clear()
    await two.beats()
    assert two.a.keeper.held.holds("main")
    assert two.a.keeper.trouble == ""


@in_simulated_time
async def test_while_an_account_is_left_to_others_there_is_trouble_that_says_why(two):
    two.a.unloadable.add("main")
    for _ in range(4):
        await two.beats()
    assert "a newer word" in two.a.keeper.trouble
    for _ in range(LEASES * round(TTL.total_seconds() / BEAT)):
        await two.beats()
    assert two.a.keeper.trouble == ""
    assert two.b.keeper.held.holds("main")


@in_simulated_time
async def test_who_alone_is_there_tries_again_at_each_beat(two):
    two.a.unloadable.add("main")
    for _ in range(4):
        await two.beats(two.a)
    two.a.unloadable.clear()
    await two.beats(two.a)
    assert two.a.keeper.held.holds("main")
    assert two.a.keeper.trouble == ""


@in_simulated_time
async def test_an_account_of_which_a_defect_keeps_us_from_finishing_the_work_is_given_back_all_the_same(
    two, monkeypatch
):
    await two.beats(two.a)

    async def finish(account):
        raise ValueError(account)

    monkeypatch.setattr(two.a, "finish", finish)
    two.a.keeper.me = replace(two.a.keeper.me, accounts=())
    await two.beats(two.a)
    assert two.holder() == ""
    assert "ValueError" in two.a.keeper.error


@in_simulated_time
async def test_a_lease_that_is_renewed_after_it_was_let_go_is_given_back_at_once(two):
    await two.beats()
    lost = two.a.keeper.held.fence().of(["main"]).epochs
    two.a.roster.before_beat_is_heard = lambda: two.a.keeper.held.lost(lost)
    await two.beats(two.a)
    assert two.holder() == ""
    assert two.holder(WATCHDOG) == "a"


@in_simulated_time
async def test_a_lease_that_was_taken_though_nobody_heard_of_it_is_given_back_at_the_next_beat(two):
    two.a.roster.claims_are_heard = False
    await two.beats(two.a)
    assert two.holder() == "a"
    two.a.roster.claims_are_heard = True
    await two.beats(two.a)
    assert two.holder() == ""
    await two.beats(two.a)
    assert two.a.keeper.held.holds("main")
