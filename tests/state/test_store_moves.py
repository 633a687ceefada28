"""A state that moves to another place: on SQLite, on PostgreSQL, or from the one to the other; whole or not at all."""

import uuid
from datetime import timedelta

import pytest
import sqlalchemy as sa

from tests.harness.values import replace
from watchdog.model.decisions import Decision, Do
from watchdog.model.history import UNTROUBLED, Remembered, ZoneMemory
from watchdog.model.reasons import Reason
from watchdog.model.silences import Silence
from watchdog.state import bookings, rows, schema
from watchdog.state.changes import Changes
from watchdog.state.database import StateError, StateHeld, StateInUse
from watchdog.state.opening import move
from watchdog.state.postgresql import NOW

MINUTE = timedelta(minutes=1)


@pytest.fixture
def file(tmp_path):
    """The URL of a state that was never there."""
    return f"sqlite:///{tmp_path / 'other.db'}"


def time(store):
    """What the database's clock says."""
    with store.reading() as connection:
        return rows.from_micros(connection.execute(sa.select(NOW)).scalar_one())


def fill(url, kit):
    """A state that has seen a pack, is restarting it, and has spent some of a quota."""
    intent = kit.intent()
    with kit.opened(url) as store:
        now = replace(kit.now, at=time(store)) if store.shared else kit.now
        seen = Remembered(
            account="main",
            zone="example.com",
            pack=kit.pack(),
            since=kit.t0,
            seen_at=kit.t0,
            decision=Decision(Do.LEAVE, Reason.HEALTHY),
        )
        zone = ZoneMemory(account="main", label="example.com", id="z1", seen_at=kit.t0, tried_at=kit.t0)
        store.save(Changes(zones=[zone], packs=[seen]), now)
        store.intend(intent, UNTROUBLED, kit.after(intent), now)
        boot, ahead = (bookings.SHARED, now.at.timestamp()) if store.shared else (now.boot, now.monotonic)
        store.book("main", boot, ahead + 60, 7, ahead - 300)


def known(url, kit):
    """What a daemon would start with."""
    with kit.opened(url) as store:
        found = store.load()
        return found.zones, found.packs, found.histories.keys(), [each.pack_id for _, each in store.open_intents()]


@pytest.fixture
def now(kit):
    return replace(kit.now, at=kit.t0 + MINUTE, monotonic=60.0)


def test_what_was_known_is_known_at_the_other_place(url, file, kit, now):
    fill(url, kit)
    moved = move(url, file, now)
    assert (moved.zones, moved.packs) == (1, 1)
    assert known(file, kit) == known(url, kit)


def test_what_was_known_to_one_daemon_is_known_to_several(url, file, kit, now):
    fill(file, kit)
    move(file, url, now)
    assert known(url, kit) == known(file, kit)


def test_a_wait_is_as_long_at_the_other_place_whatever_the_clock_there_says(url, file, kit, now):
    fill(file, kit)
    move(file, url, now)
    with kit.opened(url) as store:
        at = time(store) if store.shared else now.at
        [history] = store.load().histories.values()
    left = history.next_restart_at - at
    assert abs(kit.intent().next_restart_at - now.at - left) < timedelta(seconds=5)


def test_a_quota_that_is_spent_is_spent_at_the_other_place(url, file, kit, now):
    fill(file, kit)
    move(file, url, now)
    with kit.opened(url) as store:
        boot, at = (bookings.SHARED, time(store).timestamp()) if store.shared else (now.boot, now.monotonic)
        [(account, until, requests)] = store.booked(boot)
    assert (account, requests) == ("main", 7)
    assert until - at == pytest.approx(0.0, abs=5)


def test_what_comes_later_has_a_number_of_its_own(url, file, kit, now):
    fill(file, kit)
    move(file, url, now)
    with kit.opened(url) as store:
        first = store.add_silence(Silence(**silence(kit)))
        second = store.add_silence(Silence(**silence(kit)))
        numbers = [number for number, _ in store.open_intents()]
    assert second.id > first.id
    with kit.opened(url) as store:
        later = kit.intent("p2")
        assert store.intend(later, UNTROUBLED, kit.after(later), now) > max(numbers)


def silence(kit):
    return {
        "account": "main",
        "zone": "example.com",
        "zone_id": "z1",
        "pack_id": "",
        "pack": "",
        "at": kit.t0,
        "until": kit.t0 + MINUTE,
        "comment": "x",
    }


def test_a_place_that_holds_a_state_keeps_it(url, file, kit, now):
    fill(url, kit)
    fill(file, kit)
    with pytest.raises(StateError, match="holds a state already: name an empty one"):
        move(file, url, now)
    with kit.opened(url) as store:
        assert len(store.open_intents()) == 1


def test_where_there_is_no_state_there_is_nothing_to_copy_and_none_is_begun(url, file, now, tmp_path):
    with pytest.raises(StateError, match="there is no state"):
        move(url, file, now)
    assert list(tmp_path.iterdir()) == []


def test_a_state_that_a_daemon_holds_is_not_copied(file, kit, now, tmp_path):
    fill(file, kit)
    with kit.opened(file), pytest.raises(StateHeld):
        move(file, f"sqlite:///{tmp_path / 'third.db'}", now)


@pytest.mark.real
def test_a_state_that_replicas_work_on_is_not_copied(server, file, kit, now):
    url = server.url(f"moved_{uuid.uuid4().hex[:8]}")
    fill(url, kit)
    with kit.opened(url) as store, store.writing() as connection:
        row = {"instance": "1", "name": "blue", "since": 0, "accounts": "[]", "troubles": "{}"}
        connection.execute(sa.insert(schema.replicas).values(**row, expires=NOW + 60_000_000, version="", config=""))
    with pytest.raises(StateInUse, match="is worked on by blue: stop every replica first"):
        move(url, file, now)
