"""A restart is counted before it is sent, once, whoever else is acting."""

import os
import signal
import subprocess
import sys
from datetime import timedelta

import pytest
import sqlalchemy as sa

from watchdog.model.history import UNTROUBLED, History, Sent
from watchdog.state import schema
from watchdog.state.changes import Changes, Settled
from watchdog.state.restarts import Stale

DIES_AFTER = """
import os, signal, sys
from datetime import datetime, timedelta, UTC
from watchdog.model.clock import Anchor
from watchdog.model.history import UNTROUBLED, History, Intent
from watchdog.state.changes import Changes
from watchdog.state.store import Store

store = Store.open(sys.argv[1], exclusive=True)
at = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
now = Anchor(at, 0.0, "boot")
after = at + timedelta(minutes=15)
intent = Intent(
    account="main", zone="example.com", zone_id="z1", pack_id="p1", attempt=1, at=at, next_restart_at=after
)
tried = History(attempts=1, trouble_since=at, last_restart_at=at, next_restart_at=after)
if sys.argv[2] == "intend":
    store.intend(intent, UNTROUBLED, tried, now)
else:
    store.save(Changes(histories={("z1", f"q{n}"): History(attempts=n) for n in range(1, 50)}), now)
os.kill(os.getpid(), signal.SIGKILL)
"""


def die_after(what, url):
    done = subprocess.run([sys.executable, "-c", DIES_AFTER, url, what], check=False, env={**os.environ})
    assert done.returncode == -signal.SIGKILL


@pytest.mark.process
def test_after_a_kill_the_attempt_is_counted_and_the_backoff_stands(url, kit):
    die_after("intend", url)
    with kit.opened(url) as store:
        intent = kit.intent()
        assert [found for _, found in store.open_intents()] == [intent]
        assert store.history_of("z1", "p1") == kit.after(intent)
        assert store.restarts_since(kit.t0 - timedelta(hours=1)) == [("main", kit.t0)]


@pytest.mark.process
def test_after_a_kill_a_saved_batch_is_there_whole(url, kit):
    die_after("save", url)
    with kit.opened(url) as store:
        assert len(store.load().histories) == 49


def settle(store, kit, number, outcome, error=""):
    store.save(Changes(settled=[Settled(number, outcome, error, kit.t0)]), kit.now)


def test_an_intent_is_open_until_its_outcome_is_saved(store, kit):
    intent = kit.intent()
    number = store.intend(intent, UNTROUBLED, kit.after(intent), kit.now)
    assert store.open_intents() == [(number, intent)]
    settle(store, kit, number, Sent.ACCEPTED)
    assert store.open_intents() == []
    assert store.history_of("z1", "p1") == kit.after(intent)


@pytest.mark.parametrize("outcomes", [[Sent.UNKNOWN, Sent.ACCEPTED], [Sent.ACCEPTED, Sent.UNKNOWN]])
def test_that_nobody_knows_what_became_of_it_is_no_news_to_who_sent_it(store, kit, outcomes):
    intent = kit.intent()
    number = store.intend(intent, UNTROUBLED, kit.after(intent), kit.now)
    for outcome in outcomes:
        settle(store, kit, number, outcome)
    with store.reading() as connection:
        assert [*connection.execute(sa.select(schema.intents.c.outcome)).scalars()] == [Sent.ACCEPTED]


def test_intents_have_numbers_that_are_never_given_again(store, kit):
    intent = kit.intent()
    first = store.intend(intent, UNTROUBLED, kit.after(intent), kit.now)
    store.withdraw(first, UNTROUBLED, kit.now)
    assert store.intend(intent, UNTROUBLED, kit.after(intent), kit.now) > first


def test_a_withdrawn_intent_leaves_no_trace(store, kit):
    before = History(trouble_since=kit.t0)
    store.save(Changes(histories={("z1", "p1"): before}), kit.now)
    intent = kit.intent()
    store.withdraw(store.intend(intent, before, kit.after(intent), kit.now), before, kit.now)
    assert store.history_of("z1", "p1") == before
    assert store.open_intents() == []
    assert store.restarts_since(kit.t0 - timedelta(hours=1)) == []


def test_withdrawing_to_no_history_deletes_it_and_twice_does_nothing(store, kit):
    intent = kit.intent()
    number = store.intend(intent, UNTROUBLED, kit.after(intent), kit.now)
    store.withdraw(number, UNTROUBLED, kit.now)
    store.withdraw(number, History(attempts=9), kit.now)
    assert store.load().histories == {}


def test_withdrawing_does_not_undo_a_later_restart(store, kit):
    first, second = kit.intent(), kit.intent(attempt=2, at=kit.t0 + timedelta(hours=1))
    number = store.intend(first, UNTROUBLED, kit.after(first), kit.now)
    store.intend(second, kit.after(first), kit.after(second), kit.now)
    store.withdraw(number, UNTROUBLED, kit.now)
    assert store.history_of("z1", "p1") == kit.after(second)


def test_the_budget_counts_restarts_after_a_moment_and_not_at_it(store, kit):
    for n, account in enumerate(("main", "other")):
        intent = kit.intent(f"p{n}", at=kit.t0 + timedelta(minutes=n), account=account)
        number = store.intend(intent, UNTROUBLED, kit.after(intent), kit.now)
    settle(store, kit, number, Sent.REFUSED, "1400: no")
    assert store.restarts_since(kit.t0 - timedelta(microseconds=1)) == [
        ("main", kit.t0),
        ("other", kit.t0 + timedelta(minutes=1)),
    ]
    assert store.restarts_since(kit.t0) == [("other", kit.t0 + timedelta(minutes=1))]


def test_prune_keeps_intents_that_are_open_or_young(store, kit):
    for n, at in enumerate((kit.t0, kit.t0, kit.t0 + timedelta(days=1))):
        intent = kit.intent(f"p{n}", at=at)
        number = store.intend(intent, UNTROUBLED, kit.after(intent), kit.now)
        if n:
            settle(store, kit, number, Sent.UNKNOWN)
    assert store.prune(kit.t0 + timedelta(hours=1), kit.t0) == 1
    assert [intent.pack_id for _, intent in store.open_intents()] == ["p0"]
    assert len(store.restarts_since(kit.t0 - timedelta(days=1))) == 2


def test_two_processes_cannot_count_the_same_attempt(url, kit):
    intent = kit.intent()
    with kit.opened(url) as daemon, kit.opened(url, exclusive=False) as command:
        command.intend(intent, UNTROUBLED, kit.after(intent), kit.now)
        with pytest.raises(Stale) as stale:
            daemon.intend(intent, UNTROUBLED, kit.after(intent), kit.now)
        assert stale.value.history == kit.after(intent)
        assert len(daemon.open_intents()) == 1
        second = kit.intent(attempt=2, at=kit.t0 + timedelta(hours=1))
        daemon.intend(second, stale.value.history, kit.after(second), kit.now)
        assert command.history_of("z1", "p1") == kit.after(second)


def test_other_words_about_a_history_do_not_make_it_stale(store, kit):
    store.save(
        Changes(histories={("z1", "p1"): History(last_error="dns: no such name", trouble_since=kit.t0)}), kit.now
    )
    intent = kit.intent()
    store.intend(intent, UNTROUBLED, kit.after(intent), kit.now)
    assert store.history_of("z1", "p1").attempts == 1


def test_a_batch_made_before_another_process_restarted_does_not_take_its_attempt_back(url, kit):
    intent = kit.intent()
    with kit.opened(url) as daemon, kit.opened(url, exclusive=False) as command:
        command.intend(intent, UNTROUBLED, kit.after(intent), kit.now)
        daemon.save(Changes(histories={("z1", "p1"): History(trouble_since=kit.t0)}), kit.now)
        assert daemon.history_of("z1", "p1") == kit.after(intent)
        given_up = History(
            attempts=1,
            trouble_since=kit.t0,
            last_restart_at=kit.t0,
            next_restart_at=None,
            gave_up_at=kit.t0,
            last_error="gave up",
        )
        daemon.save(Changes(histories={("z1", "p1"): given_up}), kit.now)
        assert daemon.history_of("z1", "p1") == given_up


def test_a_change_by_another_process_is_noticed_once_and_ones_own_never(url, kit):
    with kit.opened(url) as daemon, kit.opened(url, exclusive=False) as command:
        assert not daemon.changed_elsewhere()
        daemon.save(Changes(histories={("z1", "p1"): History(attempts=1)}), kit.now)
        assert not daemon.changed_elsewhere()
        command.save(Changes(histories={("z1", "p1"): History(attempts=2)}), kit.now)
        assert daemon.changed_elsewhere()
        assert not daemon.changed_elsewhere()
        command.load()
        assert not daemon.changed_elsewhere()
