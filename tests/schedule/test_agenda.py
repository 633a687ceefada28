from collections.abc import Set as AbstractSet
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.values import replace
from watchdog.model.packs import ZoneRef
from watchdog.schedule.agenda import Agenda

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
ALL = timedelta(days=1)


def zones(count: int, account: str = "a") -> list[ZoneRef]:
    return [ZoneRef(account, f"z{n}", f"{n:032x}") for n in range(count)]


def agenda(fleet: list[ZoneRef], troubled: AbstractSet = frozenset()) -> Agenda:
    made = Agenda(15 * MINUTE, MINUTE)
    made.enrol(fleet, set(troubled), NOW)
    return made


def test_a_calm_zone_is_due_again_after_the_interval_and_not_before():
    a = agenda(zones(1))
    zone = a.take("a", NOW, NOW + MINUTE)
    a.done(zone, NOW, troubled=False, failed=False)
    assert a.take("a", NOW, NOW + 15 * MINUTE) is None
    assert a.take("a", NOW, NOW + 15 * MINUTE + SECOND) == zone


def test_a_troubled_zone_is_due_again_after_the_attention_interval():
    a = agenda(zones(1))
    zone = a.take("a", NOW, NOW + MINUTE)
    a.done(zone, NOW, troubled=True, failed=False)
    assert a.take("a", NOW, NOW + MINUTE) is None
    assert a.take("a", NOW, NOW + MINUTE + SECOND) == zone


def test_a_zone_is_nobody_elses_while_it_is_looked_at():
    a = agenda(zones(1))
    assert a.take("a", NOW, NOW + ALL) is not None
    assert a.take("a", NOW, NOW + ALL) is None


def test_the_zones_of_one_account_come_and_go_and_those_of_others_keep_their_turn():
    a = agenda(zones(2) + zones(2, "b"))
    first = a.take("a", NOW, NOW + ALL)
    a.enrol(zones(1, "b"), set(), NOW, ["b"])
    assert a.waiting(NOW + ALL) == 2
    assert a.take("a", NOW, NOW + ALL) != first
    assert a.take("b", NOW, NOW + ALL) == zones(1, "b")[0]
    a.enrol([], set(), NOW, ["b"])
    assert a.take("b", NOW, NOW + ALL) is None


def test_a_zone_that_fails_is_asked_less_and_less_until_the_usual_interval():
    a = agenda(zones(1))
    waits, now = [], NOW
    for _ in range(7):
        zone = a.take("a", now, now + ALL)
        a.done(zone, now, troubled=False, failed=True)
        due = next(m for m in range(1, 20) if a.waiting(now + m * MINUTE + SECOND))
        waits.append(due)
        now += due * MINUTE
    assert waits == [1, 2, 4, 8, 15, 15, 15]


def test_a_start_spreads_a_large_fleet_over_its_interval_and_a_small_one_over_seconds():
    large, small = agenda(zones(1800)), agenda(zones(10))
    assert large.waiting(NOW + MINUTE) == 120
    assert large.waiting(NOW + 15 * MINUTE) == 1800
    assert small.waiting(NOW + 10 * SECOND) == 10


def test_zones_remembered_in_trouble_come_first_at_a_start():
    fleet = zones(100)
    a = agenda(fleet, {fleet[70].key})
    first = [a.take("a", NOW, NOW + MINUTE) for _ in range(2)]
    assert fleet[70] in first


def test_a_zone_that_left_the_roster_is_never_taken_again_and_the_others_keep_their_turn():
    fleet = zones(3)
    a = agenda(fleet)
    a.enrol(fleet[1:], set(), NOW)
    taken = [a.take("a", NOW, NOW + ALL) for _ in range(3)]
    assert taken == [fleet[1], fleet[2], None]


def test_one_account_never_takes_anothers_zone():
    a = Agenda(15 * MINUTE, MINUTE)
    a.enrol([*zones(1, "a"), *zones(1, "b")], set(), NOW)
    assert a.take("b", NOW, NOW + ALL).account == "b"
    assert a.take("b", NOW, NOW + ALL) is None


def test_shorter_intervals_count_from_the_next_turn_on_at_the_latest():
    a = agenda(zones(1))
    zone = a.take("a", NOW, NOW + MINUTE)
    a.done(zone, NOW, troubled=False, failed=False)
    a = a.rescheduled(5 * MINUTE, MINUTE)
    assert a.take("a", NOW, NOW + 5 * MINUTE + SECOND) == zone


def test_a_look_that_began_before_the_zone_was_configured_anew_does_not_bring_the_old_one_back():
    [zone] = zones(1)
    a = agenda([zone])
    taken = a.take("a", NOW, NOW + MINUTE)
    anew = replace(zone, packs=frozenset({"f" * 32}))
    a.enrol([anew], set(), NOW)
    a.done(taken, NOW, troubled=False, failed=False)
    assert a.take("a", NOW, NOW + ALL) == anew


@settings(max_examples=30)
@given(
    calm=st.integers(1, 40),
    troubled=st.integers(0, 10),
    per_minute=st.integers(1, 8),
)
def test_a_fleet_larger_than_the_quota_is_still_seen_whole_and_troubled_zones_more_often(calm, troubled, per_minute):
    """The quota lets ``per_minute`` looks go; three rounds of the fleet are enough to see every zone."""
    fleet = zones(calm + troubled)
    bad = {zone.key for zone in fleet[calm:]}
    a = agenda(fleet, bad)
    looks = {zone.key: 0 for zone in fleet}
    now = NOW
    demand = calm / 15 + troubled  # looks a minute that the intervals ask for
    minutes = int(15 * 3 * max(1.0, demand / per_minute)) + 15 * 3
    for _ in range(minutes):
        for _ in range(per_minute):
            zone = a.take("a", now, now + MINUTE)
            if zone is None:
                break
            looks[zone.key] += 1
            a.done(zone, now, troubled=zone.key in bad, failed=False)
        now += MINUTE
    assert min(looks.values()) >= 1
    if troubled and calm:
        most_calm = max(count for key, count in looks.items() if key not in bad)
        assert min(looks[key] for key in bad) >= most_calm
