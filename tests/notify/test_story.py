"""Several alerts about one pack are one story: people are told of a pack once a day, and of what is graver at once."""

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.builders import DAY, T0, Day, alert, at
from tests.harness.values import replace
from watchdog.model.alerts import AlertLog, Kind, Route
from watchdog.model.reasons import Reason, Severity
from watchdog.notify.dedup import deduplicate
from watchdog.notify.messages import is_wanted, messages

HELD = alert(reason=Reason.HELD_BY_DIAGNOSIS)
ENDING = alert(reason=Reason.EXPIRING, severity=Severity.WARNING, family="expiry")
WAITS = alert(reason=Reason.PENDING_TOO_LONG)
TOO_LATE = replace(ENDING, severity=Severity.CRITICAL)
EVERYTHING = Route()


def told(notices, route=EVERYTHING):
    """What a destination is told: kind and reason."""
    sent = messages(notices, "ops", route, T0)
    return sorted((str(each.kind), str(each.alert.reason)) for message in sent for each in message.notices)


def test_the_trouble_of_a_pack_and_its_end_that_start_together_are_told_as_the_trouble():
    assert told(Day().step("12:00", ENDING, HELD)) == [("started", "held_by_diagnosis")]


def test_what_is_graver_is_told_of_two_that_start_together():
    assert told(Day().step("12:00", TOO_LATE, HELD)) == [("started", "expiring")]


def test_what_starts_later_that_day_and_is_no_graver_waits_for_the_reminder():
    day = Day()
    day.step("12:00", ENDING)
    assert told(day.step("18:00", ENDING, WAITS)) == []
    assert told(day.step("1d 12:00", ENDING, WAITS)) == [("lasting", "pending_too_long")]


def test_what_turns_critical_is_told_at_once_whatever_was_told_that_day():
    day = Day()
    day.step("12:00", alert(), ENDING)
    assert told(day.step("12:10", alert(), TOO_LATE)) == [("worse", "expiring")]


@pytest.mark.parametrize("reason", [Reason.RECORDS_NEEDED, Reason.CA_REFUSES, Reason.OTHER_STAGE_TIMED_OUT])
def test_what_asks_for_something_else_is_told_at_once_whatever_was_told_that_day(reason):
    day = Day()
    day.step("12:00", HELD, ENDING)
    assert told(day.step("12:10", alert(reason=reason), ENDING)) == [("started", str(reason))]


def test_what_takes_the_place_of_what_was_told_that_day_has_the_one_end():
    day = Day()
    day.step("12:00", alert(reason=Reason.RECORDS_NEEDED))
    day.step("13:00", alert(reason=Reason.PENDING_TOO_LONG))
    assert told(day.step("14:00")) == [("over", "pending_too_long")]


def test_what_begins_after_people_were_told_that_all_is_well_is_told():
    day = Day()
    day.step("12:00", HELD)
    day.step("13:00")
    assert told(day.step("14:00", alert(reason=Reason.PENDING_TOO_LONG))) == [("started", "pending_too_long")]


def test_what_comes_back_after_the_end_of_all_its_reasons_was_told_is_told():
    day = Day()
    day.step("12:00", HELD)
    day.step("13:00", WAITS)
    day.step("14:00")
    assert ("started", "pending_too_long") in told(day.step("18:00", WAITS))


def test_what_was_told_long_ago_and_never_again_keeps_nothing_quiet():
    day = Day(repeat_every=30 * DAY)
    day.step("12:00", HELD)
    day.repeat_every = DAY
    day.step("1d 12:00", replace(HELD, worse_at=at("1d 13:00")))
    assert told(day.step("1d 12:01", replace(HELD, worse_at=at("1d 13:00")), ENDING)) == [("started", "expiring")]


def test_the_ends_of_two_alerts_about_one_pack_are_told_as_one():
    day = Day()
    day.step("12:00", ENDING, HELD)
    assert told(day.step("15:00")) == [("over", "held_by_diagnosis")]


def test_the_end_of_one_is_told_with_that_of_the_other_while_that_is_as_grave():
    day = Day()
    day.step("12:00", ENDING, HELD)
    assert told(day.step("15:00", ENDING)) == []
    assert told(day.step("16:00")) == [("over", "expiring")]


def test_whoever_was_told_that_the_graver_is_over_is_reminded_at_once_of_what_goes_on():
    day = Day()
    day.step("12:00", TOO_LATE, HELD)
    assert told(day.step("15:00", HELD)) == [("lasting", "held_by_diagnosis"), ("over", "expiring")]


def test_whoever_was_reminded_with_the_end_of_the_graver_knows_of_what_takes_its_place_that_day():
    day = Day()
    day.step("12:00", TOO_LATE, HELD)
    day.step("15:00", HELD)
    assert told(day.step("18:00", WAITS)) == []
    assert told(day.step("19:00")) == [("over", "pending_too_long")]


@pytest.mark.parametrize("route", [Route(reasons=frozenset({"expiring"})), Route(incidents=True)])
def test_whoever_hears_nothing_of_the_trouble_or_keeps_incidents_is_told_of_the_end_of_the_certificate(route):
    assert ("started", "expiring") in told(Day().step("12:00", ENDING, HELD), route)


CRITICAL_ONLY = Route(min_severity=Severity.CRITICAL)
GAVE_UP = alert(reason=Reason.GAVE_UP, severity=Severity.CRITICAL)


def test_whoever_was_told_of_a_trouble_is_told_of_its_end_though_it_has_another_reason_by_then():
    day = Day()
    assert told(day.step("12:00", GAVE_UP), CRITICAL_ONLY) == [("started", "gave_up")]
    assert told(day.step("13:00", HELD), CRITICAL_ONLY) == []
    assert told(day.step("2d 13:00", HELD), CRITICAL_ONLY) == []
    assert told(day.step("2d 14:00"), CRITICAL_ONLY) == [("over", "held_by_diagnosis")]


def test_the_end_is_told_though_nobody_was_told_yet_of_the_last_reason_of_a_trouble():
    day = Day()
    day.step("12:00", GAVE_UP)
    another = alert("p2", reason=Reason.HELD_BY_DIAGNOSIS)
    day.step("12:58", another, GAVE_UP)
    assert told(day.step("13:00", another, HELD)) == []
    assert told(day.step("13:04", another)) == [("over", "held_by_diagnosis")]


def test_whoever_was_told_of_the_end_of_a_trouble_is_not_told_of_the_next_one():
    day = Day()
    day.step("12:00", GAVE_UP)
    day.step("13:00", HELD)
    day.step("14:00")
    day.step("15:00", HELD)
    assert told(day.step("16:00"), CRITICAL_ONLY) == []


def test_who_keeps_incidents_hears_the_end_of_each_once():
    day, route = Day(), Route(min_severity=Severity.CRITICAL, incidents=True)
    day.step("12:00", GAVE_UP)
    day.step("13:00", HELD)
    assert told(day.step("14:00"), route) == []


# ── reminders ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_of_two_alerts_about_one_pack_only_the_graver_is_repeated():
    held = alert(reason=Reason.HELD_BY_DIAGNOSIS)
    ending = alert(reason=Reason.EXPIRING, severity=Severity.CRITICAL, family="expiry")
    day = Day()
    day.step("12:00", held)
    day.step("18:00", held, ending)
    assert day.step("1d 12:00", held, ending) == ()
    assert [each.alert.reason for each in day.step("1d 18:00", held, ending)] == [Reason.EXPIRING]
    assert [each.alert.reason for each in day.step("1d 19:00", held) if each.kind is Kind.LASTING] == [held.reason]


def test_a_reminder_is_left_out_where_something_graver_of_the_pack_is_to_be_told_within_half_a_day():
    day, ending = Day(), replace(ENDING, worse_at=at("1d 23:00"))
    day.step("12:00", HELD, ending)
    assert told(day.step("1d 12:00", HELD, ending)) == []
    assert told(day.step("1d 23:00", HELD, TOO_LATE)) == [("worse", "expiring")]


def test_a_reminder_is_not_left_out_for_what_is_further_away():
    day, ending = Day(), replace(ENDING, worse_at=at("2d 12:00"))
    day.step("12:00", ending)
    assert told(day.step("1d 12:00", ending)) == [("lasting", "expiring")]


def test_a_reminder_is_left_out_where_something_graver_of_the_pack_is_to_be_told_that_day():
    day, ending = Day(), replace(ENDING, worse_at=at("1d 23:59"))
    day.step("1:00", ending)
    assert told(day.step("1d 1:00", ending)) == []


def test_who_is_reminded_more_often_than_once_a_day_is_reminded_on_the_day_of_something_graver_too():
    day, ending = Day(repeat_every=DAY / 4), replace(ENDING, worse_at=at("1d 23:59"))
    day.step("19:00", ending)
    assert told(day.step("1d 1:00", ending)) == [("lasting", "expiring")]


def test_a_reminder_that_was_left_out_is_said_once_its_reason_is_gone():
    day, ending = Day(), replace(ENDING, worse_at=at("1d 23:00"))
    day.step("12:00", ending)
    day.step("1d 12:00", ending)
    assert told(day.step("1d 23:01", ending)) == [("lasting", "expiring")]


class Routes(Day):
    """A day of which these destinations are told."""

    def __init__(self, *routes):
        super().__init__()
        self.routes = routes

    def step(self, now, *alerts, **more):
        return super().step(now, *alerts, heard=lambda each: any(is_wanted(each, to) for to in self.routes), **more)


ONLY_ENDS = Route(reasons=frozenset({"expiring"}))


def test_whoever_wants_only_the_lesser_of_two_is_reminded_of_it_while_the_graver_fires():
    day = Routes(EVERYTHING, ONLY_ENDS)
    day.step("12:00", HELD, ENDING)
    said = day.step("1d 12:00", HELD, ENDING)
    assert (told(said), told(said, ONLY_ENDS)) == ([("lasting", "held_by_diagnosis")], [("lasting", "expiring")])
    said = day.step("2d 12:00", HELD, ENDING)
    assert (told(said), told(said, ONLY_ENDS)) == ([("lasting", "held_by_diagnosis")], [("lasting", "expiring")])


def test_whoever_wants_only_the_lesser_of_two_is_reminded_once_a_day_though_the_graver_has_its_own_time():
    day = Routes(EVERYTHING, ONLY_ENDS)
    day.step("12:00", ENDING)
    day.step("18:00", ENDING, alert())
    days = [day.step(f"{number}d {hour}:00", ENDING, alert()) for number in (1, 2) for hour in (12, 18)]
    assert [told(said, ONLY_ENDS) for said in days] == [[("lasting", "expiring")], [], [("lasting", "expiring")], []]
    assert [told(said) for said in days] == [[], [("lasting", "gave_up")], [], [("lasting", "gave_up")]]


SECOND = alert("p2", Reason.EXPIRING, severity=Severity.WARNING, family="expiry")


def test_a_group_of_which_all_was_told_with_others_keeps_nobody_waiting():
    day = Routes(EVERYTHING)
    day.step("12:00", HELD, ENDING)
    assert told(day.step("12:01", HELD, ENDING, SECOND)) == [("started", "expiring")]


def test_a_group_that_one_destination_was_told_of_keeps_the_next_waiting():
    day = Routes(EVERYTHING, ONLY_ENDS)
    day.step("12:00", HELD, ENDING)
    assert told(day.step("12:01", HELD, ENDING, SECOND), ONLY_ENDS) == []
    assert told(day.step("12:05", HELD, ENDING, SECOND), ONLY_ENDS) == [("started", "expiring")]


# ── whatever happens ─────────────────────────────────────────────────────────────────────────────────────────────

WARNINGS = [ENDING, WAITS]
some = st.sets(st.sampled_from(range(len(WARNINGS))), min_size=1)
lives = st.lists(st.tuples(st.integers(1, 600), some), max_size=40)


@given(lives)
def test_that_a_pack_waits_and_that_its_certificate_ends_is_told_at_most_once_a_day(life):
    log, now, times = AlertLog(), T0, []
    for minutes, names in life:
        now += timedelta(minutes=minutes)
        active = {WARNINGS[name].fingerprint: WARNINGS[name] for name in names}
        done = deduplicate(log, active, {"trouble/p1": 0, "expiry/p1": 0}, frozenset(), now, DAY)
        log = done.log
        times += [now for kind, _ in told(done.notices) if kind != Kind.OVER]
    assert all(later - sooner >= DAY for sooner, later in pairwise(times))


@given(lives, st.integers(0, 39))
def test_a_critical_is_told_in_the_step_in_which_it_comes_about(life, when):
    log, now = AlertLog(), T0
    for step, (minutes, names) in enumerate(life):
        now += timedelta(minutes=minutes)
        held = [WARNINGS[name] for name in names] + ([alert(reason=Reason.GAVE_UP)] if step >= when else [])
        done = deduplicate(log, {each.fingerprint: each for each in held}, {}, frozenset(), now, DAY)
        log = done.log
        assert (("started", "gave_up") in told(done.notices)) == (step == when)
