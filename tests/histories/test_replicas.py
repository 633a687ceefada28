"""Some histories of several replicas over one state, and that the laws would notice. ``make test`` lives through more
(``python -m tests.histories --replicas 3``)."""

import math
from collections import Counter
from datetime import timedelta
from unittest.mock import patch

import pytest
import sqlalchemy as sa

from tests.harness.simulation import plan, plan_of_several
from tests.harness.simulation.deployment import Replicas, play
from tests.harness.simulation.invariants import Broken
from tests.harness.simulation.laws_of_several import LeaseRow
from watchdog.clock import SharedClock
from watchdog.cloudflare import sender
from watchdog.decide.backoff import Backoff
from watchdog.handover import Handover
from watchdog.health import Health
from watchdog.model.leases import Lease
from watchdog.notify.pipeline import Pipeline
from watchdog.replicas import keeper
from watchdog.replicas.holding import Holding
from watchdog.replicas.spread import Share, share
from watchdog.schedule.agenda import Agenda
from watchdog.state import leases, restarts, schema
from watchdog.state.memory import Memory
from watchdog.state.server_clock import Moment


@pytest.mark.repeats
@pytest.mark.parametrize(("seed", "replicas"), [(203, 3), (21, 2)])
def test_whatever_happens_to_several_replicas_every_law_is_kept(seed, replicas, tmp_path):
    play(seed, replicas, tmp_path)


@pytest.mark.repeats
def test_a_seed_is_the_same_history_every_time(tmp_path_factory):
    first, second = (play(6, 2, tmp_path_factory.mktemp("life")) for _ in range(2))
    assert first.laws.trace == second.laws.trace
    assert first.digest == second.digest


SLOW = {
    "backoff": {"initial": "500s", "factor": 1.0, "max": "500s", "jitter": 0},
    "max_attempts": 20,
    "max_per_hour": 60,
}


def small(folder, *happen, restart=None, wrong=(0.0, 0.0, 0.0)):
    """A small world of two replicas and two accounts, whose packs always time out."""
    drawn = plan_of_several.draw(0, 2)
    names = ("main", "other")
    zones = [{"name": f"{name}.example", "packs": [plan.restless(f"h.{name}.example")]} for name in names]
    limit = {"requests": 1200, "per": "5m"}
    scenario = {
        **drawn.fate.scenario,
        "tokens": [{"name": name, "value": f"token-of-{name}"} for name in names],
        "zones": zones,
        "unknowns": {},
        "rate_limit": limit,
    }
    config = {
        **drawn.fate.config,
        "accounts": {name: {"api_token": f"token-of-{name}", "rate_limit": {**limit, "share": 0.5}} for name in names},
        "zones": [{"name": f"{name}.example", "account": name} for name in names],
        "schedule": {"interval": "120s", "attention_interval": "60s"},
        "restart": {**SLOW, **(restart or {})},
        "diagnosis": {"enabled": False},
        "replica": {"lease": "60s"},
    }
    fate = plan.Fate(0, scenario, config, happen, 0.75 * plan.HOUR, plan.HOUR)
    return Replicas(plan_of_several.Deployment(fate, 2, 60.0, wrong, stormy=False), folder)


def broken_by(folder, *happen, **different):
    """What is broken there."""
    try:
        small(folder, *happen, **different).live()
    except Broken as broken:
        return str(broken)
    return ""


def test_the_laws_are_kept_where_nothing_is_wrong(tmp_path):
    assert broken_by(tmp_path) == ""


def again_and_again(what, **with_):
    """The same, every few minutes."""
    return [plan.Happening(410.0 * number, what, with_) for number in range(1, 6)]


def in_turn(what, **with_):
    """The same, every few minutes at one of the two."""
    return [plan.Happening(400.0 * number + 7, what, {"replica": number % 2, **with_}) for number in range(1, 6)]


LONG = {"turns": 0, "lasts": 200.0, "asleep": False}


def test_replicas_that_are_stopped_in_the_middle_of_a_restart_keep_the_laws(tmp_path):
    stopped = [*again_and_again("pause at a read", **LONG), *again_and_again("pause at an intent", **LONG)]
    assert broken_by(tmp_path, *stopped) == ""


def test_a_process_killed_while_its_machine_slept_leaves_no_gap_in_the_clock_of_the_next(tmp_path):
    asleep = plan.Happening(100.0, "pause", {"replica": 0, "turns": 0, "lasts": 600.0, "asleep": True})
    killed = plan.Happening(100.0, "kill", {"replica": 0, "turns": 0, "down": 1})
    history = small(tmp_path, asleep, killed).live()
    assert (history.tally["pauses"], history.tally["kills"]) == (1, 1)
    assert history.machines[0].slept == 0.0


def test_an_account_held_between_two_looks_was_not_left_alone(tmp_path):
    history, free, other = small(tmp_path), LeaseRow("main", "", 1, 0), LeaseRow("other", "two", 1, 9)
    laws, leases_then = history.laws, {"main": free, "other": other}
    laws.able({0, 1}, blind=False)
    laws.look_at(leases_then, 1)
    history.time.seconds += 40.0
    laws.leased(1, free, LeaseRow("main", "one", 2, 9), 1)
    laws.look_at(leases_then, 1)
    history.time.seconds += 40.0
    laws.look_at(leases_then, 1)
    assert history.time.broken is None
    history.time.seconds += 3.0
    laws.look_at(leases_then, 1)
    assert str(history.time.broken).startswith("nobody took the lease of main for 43 s")


def test_one_that_does_not_look_at_its_deadline_before_a_patch_leaves_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(Holding, "may_send", lambda *_: True)
    monkeypatch.setattr(sender, "FRESH", math.inf)  # else that holds it, too
    assert "after the pack was read" in broken_by(tmp_path, *again_and_again("pause at an intent", **LONG))


def test_one_that_writes_intents_under_an_old_epoch_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(restarts, "_count_the_same", lambda *_: True)  # what the other one restarted holds it, too
    monkeypatch.setattr(leases, "check", lambda *_: None)
    monkeypatch.setattr(leases, "held", lambda *_: sa.select(sa.literal(1).label("account")).cte("mine"))
    assert "wrote an intent" in broken_by(tmp_path, *again_and_again("pause at a read", **LONG))


def test_one_that_takes_what_is_held_is_noticed(tmp_path, monkeypatch):
    real = leases.claim
    monkeypatch.setattr(leases, "claim", lambda connection, now, *rest: real(connection, now + 10**10, *rest))
    monkeypatch.setattr(Lease, "held", lambda *_: False)
    assert "from a holder who has it" in broken_by(tmp_path)


def test_one_that_does_not_count_the_epoch_up_is_noticed(tmp_path, monkeypatch):
    def claim(connection, *rest):
        taken = real(connection, *rest)
        table = schema.leases
        connection.execute(sa.update(table).where(table.c.account.in_(list(taken))).values(epoch=1))
        return {account: (1, set_by) for account, (_, set_by) in taken.items()}

    real = leases.claim
    monkeypatch.setattr(leases, "claim", claim)
    assert "epoch" in broken_by(tmp_path, *in_turn("kill", turns=0, down=1))


def test_replicas_that_leave_alone_what_nobody_holds_are_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(
        keeper, "share", lambda roll, *rest: Share(frozenset() if roll.leases else share(roll, *rest).take, frozenset())
    )
    assert "nobody took the lease" in broken_by(tmp_path, *in_turn("kill", turns=0, down=1))


def test_one_that_holds_accounts_and_does_not_work_them_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(Handover, "taken", lambda *_: None)
    monkeypatch.setattr("watchdog.passes.Passes.enrol", lambda *_: None)
    assert "was not worked" in broken_by(tmp_path)


def test_one_that_takes_over_and_does_not_know_what_was_tried_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(restarts, "_count_the_same", lambda *_: True)  # else it is told so when it writes the intent
    monkeypatch.setattr(Memory, "_aligned", lambda *_: ({}, []))
    assert "are allowed" in broken_by(tmp_path, *in_turn("kill", turns=0, down=1))


def test_replicas_that_go_by_their_own_clocks_are_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(SharedClock, "now", lambda self: self._machine.now())
    hours_off = (3 * plan.HOUR, -2 * plan.HOUR, 0.0)
    assert broken_by(tmp_path, *in_turn("kill", turns=0, down=1), wrong=hours_off) != ""


def test_replicas_that_all_tell_of_the_watchdog_itself_are_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(Pipeline, "_may_tell", lambda *_: True)
    monkeypatch.setattr(Pipeline, "release", lambda *_: None)  # else what the database refuses is not told, either
    outages = [plan.Happening(200.0, "no Cloudflare", {"replica": each, "lasts": 2400.0}) for each in (0, 1)]
    assert "told twice" in broken_by(tmp_path, *outages)


@pytest.mark.repeats
@pytest.mark.parametrize("hours", [3, -3])
def test_the_database_s_clock_set_by_hours_and_a_kill_right_after_spend_no_budget_twice(hours, tmp_path):
    set_ = [plan.Happening(607.0 + 400 * each, "database clock", {"by": hours * plan.HOUR}) for each in range(3)]
    killed = [
        plan.Happening(608.0 + 400 * each, "kill", {"replica": each % 2, "turns": 0, "down": 200.0})
        for each in range(3)
    ]
    left = broken_by(tmp_path, *set_, *killed, restart={"max_per_hour": 2})
    assert "over_budget" in left  # all that is said, when the hour is over: the packs wait for the next one


ROLLING = plan.Happening(300.0, "rolling", {"gap": 300.0, "down": 5.0})


def test_a_rolling_upgrade_leaves_replicas_on_two_versions_for_a_while(tmp_path):
    history = small(tmp_path, ROLLING)
    history.live()
    assert history.tally["looks at replicas that differ"] > 20


def of_leases(history):
    """By event: how often it stands in the journal of what was lived through, for each account."""
    with patch.object(history.server, "close"):
        history.live()
    columns = schema.journal.c
    with history.server.transaction(0) as connection:
        found = connection.execute(sa.select(columns.event, columns.account).where(columns.event.like("lease_%"))).all()
    history.server.close()
    return {event: Counter(account for each, account in found if each == event) for event, _ in found}


def test_each_lease_that_is_taken_or_handed_over_stands_in_the_journal(tmp_path):
    history = small(tmp_path, ROLLING)
    told = of_leases(history)
    assert told["lease_acquired"] == history.laws.taken
    # Whoever works an account when all is over has it still.
    assert told["lease_handed_over"] == history.laws.taken - Counter(dict.fromkeys(history.laws.taken, 1))


def test_each_lease_that_is_lost_stands_in_the_journal_though_it_was_another_s_by_then(tmp_path):
    history = small(tmp_path, *in_turn("pause", turns=0, lasts=200.0, asleep=False))
    told = of_leases(history)
    assert told["lease_acquired"] == history.laws.taken
    gone = told["lease_lost"] + told["lease_handed_over"]
    assert told["lease_lost"]
    assert gone == history.laws.taken - Counter(dict.fromkeys(history.laws.taken, 1))


def test_a_replica_that_does_not_say_what_it_runs_is_noticed(tmp_path, monkeypatch):
    described, first = Health.described, {}
    monkeypatch.setattr(Health, "described", lambda self, me: first.setdefault(self, described(self, me)))
    differing = {"replica": 0, "restart": SLOW, "share": 0.2, "lasts": 900.0}
    assert "and the database says" in broken_by(tmp_path, plan.Happening(600.0, "differing", differing))


def test_a_database_clock_that_nobody_heeds_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(Moment, "step_until", lambda *_: 0)
    set_ = [plan.Happening(1207.0, "database clock", {"by": 3 * plan.HOUR})]
    killed = plan.Happening(1208.0, "kill", {"replica": 0, "turns": 0, "down": 200.0})
    assert "within an hour" in broken_by(tmp_path, *set_, killed, restart={"max_per_hour": 2})


FORWARD = plan.Happening(110.0, "database clock", {"by": 100.0})
AWAY = [plan.Happening(100.0, "stop", {"replica": each, "down": 60.0}) for each in (0, 1)]


def test_a_database_clock_set_forward_while_no_replica_lives_may_shorten_a_wait_by_as_much(tmp_path):
    assert broken_by(tmp_path, FORWARD, *AWAY) == ""


def test_a_wait_that_is_shorter_than_such_a_clock_was_set_forward_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(Backoff, "drawn", lambda *_: timedelta(seconds=350))
    assert "400 s are allowed" in broken_by(tmp_path, FORWARD, *AWAY)


def back(by):
    """Each of the two has just restarted a pack, and neither lives when the clock is set back."""
    return [plan.Happening(110.0, "database clock", {"by": -by}), *AWAY]


def test_a_database_clock_set_back_while_no_replica_lives_may_make_a_wait_longer_by_as_much(tmp_path):
    assert broken_by(tmp_path, *back(2 * plan.HOUR)) == ""


def test_a_wait_that_is_longer_than_such_a_clock_was_set_back_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(Backoff, "drawn", lambda *_: timedelta(hours=2))
    assert "is timed out for" in broken_by(tmp_path, *back(600.0))


def test_one_that_takes_over_and_looks_an_interval_later_is_noticed(tmp_path, monkeypatch):
    enrol = Agenda.enrol

    def late(self, zones, _, now, accounts=None):
        enrol(self, zones, set(), now + self.interval, accounts)

    monkeypatch.setattr(Agenda, "enrol", late)
    assert "after its holder went" in broken_by(tmp_path, *in_turn("kill", turns=0, down=1))


def test_a_replica_that_can_load_no_account_keeps_none_from_the_others(tmp_path, monkeypatch):
    take_in = Handover.take_in

    async def fails(self, leases):
        if self._runtime.keeper.me.name == "replica-0" and any(lease.account for lease in leases):
            raise ValueError("a defect")
        await take_in(self, leases)

    monkeypatch.setattr(Handover, "take_in", fails)
    history = small(tmp_path).live()
    assert history.tally["restarts"] > 0


def test_the_alerts_of_an_account_that_every_replica_has_lost_are_over_once_and_nothing_of_them_is_kept(tmp_path):
    without = {"account": "other", "lasts": plan.HOUR}
    lost = [plan.Happening(1800.0 + 5 * each, "without an account", {"replica": each, **without}) for each in (0, 1)]
    history, kept = small(tmp_path, *lost, restart={"max_attempts": 1}), set()

    def look():
        with history.server.transaction(0) as connection:
            for table in (schema.alert_log, schema.alert_groups, schema.outbox):
                kept.update(connection.execute(sa.select(table.c.account)).scalars())

    history.later(2500.0, look)
    history.live()
    assert kept == {"main"}
    letters = [each for each in history.people.letters() if "other" in each["title"]]
    assert "no longer configured after" in letters[1]["title"]
    told = [(each["status"], each["title"].split(":")[0]) for each in letters]
    assert told == [
        ("firing", "[critical] gave_up"),
        ("resolved", "[resolved] gave_up"),
        ("firing", "[critical] gave_up"),  # it is configured again when all is calm
    ]
