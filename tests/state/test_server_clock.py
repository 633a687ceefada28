"""The clock of a database that several replicas share is set by hours: what is stored of each account follows it."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from tests.harness.simulation.shared_state import Connection, NoLaws, Server, Way
from watchdog.model.clock import Anchor
from watchdog.model.history import UNTROUBLED, History, Intent, ZoneMemory
from watchdog.model.leases import LONGEST_LEASE, Fence, Replica
from watchdog.state import schema
from watchdog.state.bookings import SHARED
from watchdog.state.changes import Changes
from watchdog.state.server_clock import LONGEST_ANSWER
from watchdog.state.store import Store

T0 = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TTL = timedelta(seconds=30)
BEAT = 3.0
BY_HOURS = pytest.mark.parametrize("hours", [3, -3])


class Time:
    """Goes on when it is told to."""

    seconds = 1000.0

    def true(self):
        return T0 + timedelta(seconds=self.seconds)

    def monotonic(self):
        return self.seconds


class One:
    """A replica as far as the database knows it."""

    def __init__(self, world, name):
        self._world = world
        self.store = Store(Connection(world.server, Way(None), 1))
        self._me = Replica(instance=f"{name}-1", name=name, expires=T0, since=T0, accounts=("main",))
        self._epochs = {}

    def beat(self, monotonic=None):
        fence = Fence(self._me.instance, dict(self._epochs))
        found, renewed = self.store.roster.beat(self._me, TTL, fence, [], monotonic or self._world.time.monotonic)
        self._epochs = {account: epoch for account, epoch in self._epochs.items() if account in renewed}
        return found

    def take(self):
        self._epochs |= self.store.roster.claim(self._me, TTL, ["main"])
        return "main" in self._epochs

    def restarts(self):
        """A restart of now, and a booking."""
        now = self._world.server.now()
        intent = Intent(
            account="main",
            zone="example.com",
            zone_id="z1",
            pack_id="p1",
            attempt=1,
            at=now,
            next_restart_at=now + timedelta(minutes=15),
        )
        after = History(attempts=1, trouble_since=now, last_restart_at=now, next_restart_at=intent.next_restart_at)
        fence, moment = Fence(self._me.instance, self._epochs), Anchor(now, 0.0, "")
        zone = ZoneMemory(account="main", label="example.com", id="z1", tried_at=now, seen_at=now)
        self.store.save(Changes(zones=[zone]), moment, fence)
        self.store.intend(intent, UNTROUBLED, after, moment, fence)
        self.store.book("main", SHARED, now.timestamp(), 7, 0.0, fence)


class World:
    """Two replicas and a database; ``a`` works the account and has just restarted a pack."""

    def __init__(self):
        self.time = Time()
        self.server = Server(self.time, NoLaws())
        self.a, self.b = One(self, "a"), One(self, "b")
        self.beats(self.a, self.b)
        assert self.a.take()
        self.a.restarts()

    def set_clock(self, hours):
        self.server.wrong += timedelta(hours=hours)

    def beats(self, *ones, seconds=BEAT):
        for one in ones:
            self.time.seconds += seconds / len(ones)
            one.beat()

    def ages(self):
        """How long ago the restart and the booking seem to be, and when the next restart may be; in seconds."""
        now = self.server.now()
        [(_, at)] = self.a.store.restarts_since(now - timedelta(days=1))
        [(_, until, _)] = self.a.store.booked(SHARED)
        history = self.a.store.history_of("z1", "p1")
        return [
            round((now - at).total_seconds()),
            round(now.timestamp() - until),
            round((now - history.last_restart_at).total_seconds()),
            round((history.next_restart_at - now).total_seconds()),
        ]


@pytest.fixture
def world():
    world = World()
    yield world
    world.server.close()


def ago(seconds):
    return [seconds, seconds, seconds, 900 - seconds]


@BY_HOURS
def test_what_was_tried_and_booked_is_as_long_ago_as_before(world, hours):
    world.set_clock(hours)
    world.beats(world.a)
    assert world.ages() == ago(BEAT)


@BY_HOURS
def test_it_follows_once_however_many_notice_and_however_often_they_beat(world, hours):
    world.set_clock(hours)
    for _ in range(3):
        world.beats(world.b, world.a)
    assert world.ages() == ago(3 * BEAT)


@BY_HOURS
def test_a_clock_that_is_set_twice_is_followed_twice(world, hours):
    for each in (hours, -2 * hours):
        world.set_clock(each)
        world.beats(world.b, world.a)
    assert world.ages() == ago(2 * BEAT)


@BY_HOURS
def test_what_is_taken_over_follows_if_its_holder_died_before_it_noticed(world, hours):
    world.set_clock(hours)
    for _ in range(round(TTL.total_seconds() / BEAT) + 1):
        world.beats(world.b)
    assert world.b.take()
    assert world.ages() == ago(TTL.total_seconds() + BEAT)


@BY_HOURS
def test_the_lease_of_one_that_died_lasts_for_as_long_as_it_would_have_and_no_longer(world, hours):
    world.set_clock(hours)
    held = []
    for _ in range(round(TTL.total_seconds() / BEAT) + 1):
        world.time.seconds += BEAT
        found = world.b.beat()
        held.append(found.leases["main"].held(found.at))
    assert held == [True] * (len(held) - 2) + [False] * 2


def test_a_lease_that_was_renewed_in_the_middle_of_it_lasts_for_no_hours(world):
    world.set_clock(3)
    with world.server.transaction(1) as connection:
        later = world.server.micros() + 30_000_000
        connection.execute(sa.update(schema.leases).values(expires=later))
    found = world.b.beat()
    assert found.leases["main"].expires - found.at <= LONGEST_LEASE


def test_nobody_takes_anything_before_it_knows_that_another_has_noticed(world):
    world.b.store.roster.release(Fence("a-1", {"main": 1}))
    world.set_clock(3)
    world.beats(world.a)
    assert not world.b.take()
    world.beats(world.b)
    assert world.b.take()
    assert world.ages() == ago(2 * BEAT)


def test_an_answer_that_is_slow_says_nothing_of_the_clock_and_the_next_one_does(world):
    def slow():
        world.time.seconds += LONGEST_ANSWER + 1
        return world.time.seconds

    before = world.time.seconds
    world.set_clock(3)
    assert not world.a.beat(slow).exact
    assert world.ages()[0] > 3600
    world.beats(world.a)
    assert world.ages() == ago(round(world.time.seconds - before))


def test_one_that_comes_back_after_all_others_began_anew_says_nothing_of_an_earlier_clock(world):
    world.set_clock(3)
    world.time.seconds += 3600
    fresh = One(world, "c")
    world.beats(fresh)
    assert fresh.take()
    before = world.ages()
    world.beats(world.a, fresh)
    assert world.ages() == [*(each + BEAT for each in before[:3]), before[3] - BEAT]


def test_a_clock_that_is_off_by_some_seconds_is_no_clock_that_was_set(world):
    world.server.wrong += timedelta(seconds=9)
    world.beats(world.a)
    assert world.ages() == ago(BEAT + 9)


def test_who_was_gone_before_a_clock_was_set_back_unseen_is_not_there_again_once_it_has_caught_up(world):
    world.set_clock(-1)
    fresh = One(world, "c")
    world.beats(fresh)
    world.time.seconds += 3600 - 2 * BEAT
    assert fresh.beat().replicas.keys() == {"c-1"}
