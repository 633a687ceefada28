"""Once: said when it starts, when it gets worse, now and then while it lasts, and when it is over."""

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.builders import DAY, T0, Day, alert, at
from tests.harness.values import replace
from watchdog.model.alerts import AlertLog, Kind, Phase
from watchdog.model.reasons import Reason, Severity
from watchdog.notify.dedup import CRITICAL_WITHIN, EARLY, GAPS, deduplicate
from watchdog.notify.lifecycle import LONGEST_CALM

MINUTE = timedelta(minutes=1)


def needs_records(name="p1"):
    """A warning."""
    return alert(name, Reason.RECORDS_NEEDED)


def test_an_alert_is_said_when_it_starts_every_day_while_it_lasts_and_when_it_is_over():
    day = Day()
    day.until("12:00", "2d 13:00", alert())
    day.until("2d 13:00", "2d 14:00")
    assert day.said == [
        ("12:00", "started", "p1"),
        ("12:00", "lasting", "p1"),
        ("12:00", "lasting", "p1"),
        ("13:00", "over", "p1"),
    ]


def test_it_is_repeated_at_repeat_every_and_not_a_minute_before():
    day = Day()
    day.step("12:00", alert())
    assert day.step("1d 11:59", alert()) == ()
    assert [each.kind for each in day.step("1d 12:00", alert())] == [Kind.LASTING]


def test_it_is_said_again_when_its_severity_rises_and_not_when_it_falls():
    day = Day()
    for clock, severity in [("12:00", "warning"), ("13:00", "critical"), ("14:00", "warning"), ("15:00", "critical")]:
        day.step(clock, alert(reason=Reason.EXPIRING, severity=Severity(severity)))
    assert day.said == [("12:00", "started", "p1"), ("13:00", "worse", "p1")]


def test_each_further_restart_that_needs_new_records_is_said():
    day = Day()
    for clock, stage in [("12:00", 1), ("12:15", 1), ("12:30", 2), ("13:30", 3)]:
        day.step(clock, alert(reason=Reason.RECORDS_NEEDED, stage=stage))
    assert [said[:2] for said in day.said] == [("12:00", "started"), ("12:30", "worse"), ("13:30", "worse")]


def test_its_end_is_said_with_the_time_it_ended_and_to_all_who_heard_it_at_its_worst():
    day = Day()
    day.step("12:00", alert(reason=Reason.EXPIRING, severity=Severity.CRITICAL))
    day.step("12:30", alert(reason=Reason.EXPIRING, severity=Severity.WARNING))
    [end] = day.step("15:00")
    assert (end.kind, end.until, end.alert.severity) == (Kind.OVER, at("15:00"), Severity.CRITICAL)
    assert day.step("16:00") == ()


def test_an_alert_that_must_hold_for_a_while_is_not_said_before_and_its_blips_never():
    patient = alert(reason=Reason.UNSEEN, patience=timedelta(minutes=30))
    day = Day()
    day.until("12:00", "12:30", patient)
    day.until("12:30", "12:40")
    day.until("12:40", "13:10", patient)
    assert day.said == []
    assert day.fires() == []
    day.step("13:10", patient)
    assert day.said == [("13:10", "started", "p1")]


# ── flapping ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_flapping_is_said_less_and_less():
    day = Day()
    for cycle in range(72):  # ten minutes on, ten minutes off, for a day
        start = T0 + timedelta(minutes=20 * cycle)
        for minute in range(20):
            day.step(start + timedelta(minutes=minute), *([alert()] if minute < 10 else []))
    assert day.said == [("12:00", "started", "p1"), ("12:10", "over", "p1"), ("12:25", "started", "p1")]
    assert day.fires() == ["trouble/p1"]  # a pause is no end


def test_what_has_flapped_is_over_once_it_stays_away():
    day = Day()
    for clock in ("12:00", "12:20", "12:40"):
        day.step(clock, alert())
        day.step(at(clock) + timedelta(minutes=6))
    day.until("12:47", "14:00")
    assert day.said == [
        ("12:00", "started", "p1"),
        ("12:06", "over", "p1"),
        ("12:40", "started", "p1"),  # at 12:20 its group was still to be silent
        ("13:40", "over", "p1"),  # believed after ten minutes; its group may speak after an hour
    ]


def test_what_comes_back_after_a_day_is_no_flapping():
    day = Day()
    day.step("12:00", alert())
    day.step("12:10")
    day.step("1d 12:10")
    day.step("1d 12:11", alert())
    assert day.said[2:] == [("12:11", "started", "p1")]
    assert day.log.states[alert().fingerprint].flaps == 0


# ── other sides of one trouble ───────────────────────────────────────────────────────────────────────────────────


def test_an_alert_that_gives_way_to_another_about_the_same_pack_ends_without_a_word():
    day = Day()
    day.step("12:00", alert(reason=Reason.RECORDS_NEEDED))
    day.step("13:00", alert(reason=Reason.GAVE_UP))
    day.step("14:00")
    assert day.said == [("12:00", "started", "p1"), ("13:00", "started", "p1"), ("14:00", "over", "p1")]
    assert day.step("15:00") == ()


def test_the_end_waits_until_the_pack_is_well_and_counts_the_restarts_until_then():
    day = Day()
    day.step("12:00", alert(reason=Reason.HELD_BY_DIAGNOSIS, restarts=1))
    day.step("12:30", unwell={"trouble/p1": 2})
    day.step("14:30", unwell={"trouble/p1": 3})
    assert day.fires() == []
    [end] = day.step("15:00")
    assert (end.kind, end.alert.restarts, end.until) == (Kind.OVER, 3, at("14:30"))


def test_what_is_missing_for_an_hour_is_no_longer_watched_and_a_shorter_gap_is_nothing():
    day, gone = Day(), [alert().fingerprint]
    day.step("12:00", alert())
    day.until("12:01", "13:00", gone=gone)
    day.step("13:00", alert())
    day.until("13:01", "14:01", gone=gone)
    assert day.said == [("12:00", "started", "p1")]
    day.step("14:01", gone=gone)
    assert day.said[1:] == [("14:01", "gone", "p1")]


def test_what_is_of_an_account_that_is_configured_no_more_is_over_at_once_though_it_flaps_and_its_group_is_silent():
    day, retired = Day(), {alert().fingerprint}
    for minute in range(3):
        day.step(f"12:{3 * minute:02}", alert())
        day.step(f"12:{3 * minute + 1:02}")
    day.step("12:30", alert())
    before = len(day.said)
    [end] = day.step("12:31", retired=retired)
    assert day.said[before:] == [("12:31", "gone", "p1")]
    assert end.retired


def test_what_nobody_was_told_of_is_over_without_a_word_when_its_account_is_configured_no_more():
    day, patient = Day(), alert(reason=Reason.UNSEEN, patience=timedelta(minutes=30))
    day.step("12:00", patient)
    day.step("12:01", retired={patient.fingerprint})
    assert day.said == []
    assert day.log.states == {}


# ── groups ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_five_hundred_packs_that_fail_at_once_are_one_group_that_speaks_once():
    day = Day()
    day.step("12:00", *(alert(f"p{number}") for number in range(500)))
    assert {clock for clock, _, _ in day.said} == {"12:00"}
    assert len(day.said) == 500


@pytest.mark.repeats
def test_a_hundred_packs_that_fail_one_after_the_other_are_heard_a_handful_of_times_a_shift():
    day = Day()
    for minute in range(500):
        day.step(T0 + timedelta(minutes=minute), *(needs_records(f"p{number}") for number in range(minute // 5 + 1)))
    times = sorted({clock for clock, _, _ in day.said})
    assert times == ["12:00", "12:05", "12:20", "13:20", "14:20", "15:20", "16:20", "17:20", "18:20", "19:20"]
    day.step("21:00", *(needs_records(f"p{number}") for number in range(100)))
    assert len(day.said) == 100  # each once


@pytest.mark.repeats
def test_five_hundred_packs_that_turn_critical_within_an_hour_are_four_messages_in_it():
    day = Day()
    for minute in range(121):  # a pass every minute
        day.step(T0 + timedelta(minutes=minute), *(alert(f"p{n}") for n in range(min(500, (minute + 1) * 500 // 60))))
    assert sorted({clock for clock, _, _ in day.said}) == ["12:00", "12:01", "12:02", "12:03", "13:01"]
    assert len(day.said) == 500  # each once


# ── criticals that are new ───────────────────────────────────────────────────────────────────────────────────────


def test_a_new_critical_does_not_wait_for_what_its_group_said_before():
    day, held = Day(), []
    for number, clock in enumerate(["12:00", "12:05", "12:20", "12:30"]):
        held.append(alert(f"p{number}"))
        day.step(clock, *held)
    assert [clock for clock, _, _ in day.said] == ["12:00", "12:05", "12:20", "12:30"]  # the group's gap was an hour


def test_a_critical_that_is_new_within_the_minute_of_another_waits_until_it_is_over():
    day = Day()
    day.step("12:00", alert())
    day.step(at("12:00") + timedelta(seconds=30), alert(), alert("p2"))
    day.step(at("12:00") + timedelta(seconds=59), alert(), alert("p2"))
    assert len(day.said) == 1
    day.step("12:01", alert(), alert("p2"))
    assert day.said[1:] == [("12:01", "started", "p2")]


def test_a_warning_of_the_same_group_waits_as_before():
    day = Day()
    soon, late = (alert(name, Reason.EXPIRING, severity=Severity.WARNING) for name in ("p1", "p2"))
    day.step("12:00", soon)
    day.until("12:01", "12:05", soon, late)
    assert day.said == [("12:00", "started", "p1")]
    day.step("12:05", soon, late)
    assert day.said[1:] == [("12:05", "started", "p2")]


def test_a_warning_that_turns_critical_does_not_wait_and_takes_along_what_waits():
    day = Day()
    warning, other = (alert(name, Reason.EXPIRING, severity=Severity.WARNING) for name in ("p1", "p2"))
    day.step("12:00", warning)
    day.step("12:02", replace(warning, severity=Severity.CRITICAL), other)
    assert day.said[1:] == [("12:02", "worse", "p1"), ("12:02", "started", "p2")]


def test_a_critical_that_comes_back_while_it_flaps_is_not_new():
    day = Day()
    day.step("12:00", alert())
    day.step("12:06")
    day.until("12:07", "12:21", alert())
    assert day.said == [("12:00", "started", "p1"), ("12:06", "over", "p1")]


def test_how_long_a_critical_waits_is_what_the_configuration_says():
    log = AlertLog()
    first, second = alert(), alert("p2")
    told = []
    for minute in range(6):
        held = [first] if minute == 0 else [first, second]
        done = deduplicate(
            log, {a.fingerprint: a for a in held}, {}, frozenset(), T0 + timedelta(minutes=minute), DAY, 3 * MINUTE
        )
        log = done.log
        told += [minute for _ in done.notices]
    assert told == [0, 3]


@given(st.lists(st.integers(min_value=0, max_value=90), min_size=1, max_size=8))
def test_of_new_criticals_the_first_three_in_a_row_never_wait_for_longer_than_a_minute(gaps):
    log, now, held, told, new = AlertLog(), T0, {}, {}, {}
    for number, minutes in enumerate(gaps):
        for _ in range(minutes):  # a pass every minute, with nothing new
            now += MINUTE
            done = deduplicate(log, held, {}, frozenset(), now, 30 * DAY)
            log = done.log
            told |= {notice.alert.fingerprint: now for notice in done.notices}
        critical = alert(f"p{number}")
        held[critical.fingerprint], new[critical.fingerprint] = critical, now
    for _ in range(120):
        now += MINUTE
        done = deduplicate(log, held, {}, frozenset(), now, 30 * DAY)
        log = done.log
        told |= {notice.alert.fingerprint: now for notice in done.notices}
    assert told.keys() == new.keys()
    hours = timedelta(hours=1)
    for name, at_ in new.items():
        messages = {when for when in told.values() if at_ - 3 * hours <= when <= at_}
        if len(messages) < EARLY:
            assert told[name] - at_ <= MINUTE


def test_what_was_said_that_day_is_not_repeated_along_with_others_of_its_group():
    day, alerts = Day(), [alert(f"p{number}") for number in range(2)]
    day.step("23:00", alerts[0])
    day.step("1d 3:00", *alerts)
    assert [each.alert.zone for each in day.step("1d 23:00", *alerts)] == ["p0.example"]


def test_a_group_is_repeated_as_a_whole():
    day = Day()
    day.step("12:00", alert("p1"))
    day.step("15:00", alert("p1"), alert("p2"))
    day.until("1d 11:00", "1d 18:00", alert("p1"), alert("p2"))
    assert day.said[2:] == [("12:00", "lasting", "p1"), ("12:00", "lasting", "p2")]


def test_other_reasons_and_other_accounts_do_not_wait_for_each_other():
    day = Day()
    day.step("12:00", alert())
    day.step("12:01", alert(), alert("p2", Reason.EXPIRED))
    day.step("12:02", alert(), alert("p2", Reason.EXPIRED), alert("p3", account="other"))
    assert [name for _, _, name in day.said] == ["p1", "p2", "p3"]


def test_what_nobody_heard_is_not_said_yet():
    day = Day()
    day.step("12:00", alert(), listening=False)
    assert day.fires() == ["trouble/p1"]
    day.step("18:00", alert())
    assert day.said == [("18:00", "started", "p1")]


def test_a_clock_that_was_ahead_silences_nothing():
    day = Day()
    day.step("30d 12:00", alert())
    day.step("12:00", alert())
    day.until("12:01", "1d 12:00", alert())
    assert len(day.said) == 1
    day.step("1d 12:00", alert())
    assert day.said[-1] == ("12:00", "lasting", "p1")


# ── whatever happens ─────────────────────────────────────────────────────────────────────────────────────────────

POOL = [
    *(alert(f"p{number}") for number in range(3)),
    alert("p0", Reason.RECORDS_NEEDED),
    alert("z", Reason.UNSEEN, patience=timedelta(minutes=30)),
    alert("p1", Reason.EXPIRING, family="expiry", severity=Severity.WARNING),
]
steps = st.lists(
    st.tuples(
        st.integers(min_value=0, max_value=400),
        st.sets(st.sampled_from(range(len(POOL)))),
        st.sets(st.sampled_from(["trouble/p0", "trouble/p1"])),
        st.booleans(),
    ),
    max_size=40,
)


def lived(story):
    """The story's steps with their times, what held in each and what was said."""
    log, now = AlertLog(), T0
    for minutes, names, unwell, critical in story:
        now += timedelta(minutes=minutes)
        held = [POOL[name] for name in names]
        held = [replace(a, severity=Severity.CRITICAL) if critical and a.reason == Reason.EXPIRING else a for a in held]
        alerts = {each.fingerprint: each for each in held}
        done = deduplicate(log, alerts, dict.fromkeys(unwell, 1), frozenset(), now, DAY)
        yield now, alerts, done, log
        log = done.log


@given(steps)
def test_every_story_of_an_alert_begins_with_its_start_and_ends_at_most_once(story):
    open_ = set()
    for _, _, done, _ in lived(story):
        for notice in done.notices:
            names = {notice.alert.fingerprint, *(each.fingerprint for each in notice.formerly)}
            if notice.kind is Kind.STARTED:
                open_ |= names  # may have ended without a word, for another took its place
            else:
                assert names & open_
            if notice.kind in (Kind.OVER, Kind.GONE):
                open_ -= names


@given(steps)
def test_asking_twice_says_nothing_twice(story):
    for (now, alerts, done, _), (_, _, unwell, _) in zip(lived(story), story, strict=True):
        assert deduplicate(done.log, alerts, dict.fromkeys(unwell, 1), frozenset(), now, DAY).notices == ()


@given(steps)
def test_a_group_is_never_heard_twice_within_a_minute_nor_much_more_than_once_an_hour(story):
    heard = {}
    for now, _, done, _ in lived(story):
        said = (notice for notice in done.notices if not notice.instead)  # what is told with others nobody hears
        for group in {(notice.alert.reason, notice.alert.account) for notice in said}:
            heard.setdefault(group, []).append(now)
    for times in heard.values():
        assert all(later - sooner >= CRITICAL_WITHIN for sooner, later in pairwise(times))
        for start in times:
            window = [time for time in times if start <= time < start + timedelta(hours=24)]
            assert len(window) <= 24 + len(GAPS) + EARLY


@given(steps)
def test_what_goes_on_to_hold_is_said_and_what_stays_away_is_over(story):
    log, now = AlertLog(), T0
    for at_, _, done, _ in lived(story):
        log, now = done.log, at_
    stays = POOL[0]
    spoken = set()
    for _ in range(int((LONGEST_CALM + timedelta(hours=3)) / timedelta(minutes=30))):
        now += timedelta(minutes=30)
        done = deduplicate(log, {stays.fingerprint: stays}, {}, frozenset(), now, DAY)
        log = done.log
        spoken |= {notice.alert.fingerprint for notice in done.notices}
    assert log.states[stays.fingerprint].notified_at is not None
    assert {name for name, state in log.states.items() if not state.phase.ended} == {stays.fingerprint}
    assert {state.phase for state in log.states.values()} <= {Phase.FIRING, Phase.CLOSED}


def test_what_was_said_a_short_while_ago_is_not_repeated_along_with_others_of_its_group():
    day, alerts = Day(), [alert(f"p{number}") for number in range(3)]
    for clock, number in (("12:00", 1), ("17:00", 2), ("18:30", 3)):
        day.step(clock, *alerts[:number])
    assert [each.alert.zone for each in day.step("1d 12:00", *alerts)] == ["p0.example", "p1.example"]
