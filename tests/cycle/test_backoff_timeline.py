"""When one pack is restarted: at once, then ever more patiently, until it is given up; told as timelines."""

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.harness.fleet import Start, timed_out
from tests.harness.time import in_simulated_time, simulated
from watchdog.simulator.scenario import pack_id

ZONE = "a.example"
EXACT = {"backoff": {"initial": "15m", "factor": 2.0, "max": "4h", "jitter": 0.0}, "max_attempts": 8}
QUICK = {"backoff": {"initial": "5m", "factor": 1.0, "max": "5m", "jitter": 0.0}, "max_attempts": 3}


def restart(**settings):
    return {"restart": settings}


@in_simulated_time
async def test_the_first_restart_goes_at_the_first_look(start):
    async with start({ZONE: [timed_out("succeeds")]}) as fleet:
        await fleet.look()
        assert fleet.patches() == [0]
        assert (fleet.row(ZONE)["reason"], fleet.row(ZONE)["status"]) == ("restarted", "initializing")


@in_simulated_time
async def test_a_status_is_told_once_though_the_pack_is_read_again_before_the_restart(start):
    night = {"story": {"outcomes": ["times_out", "succeeds"], "renews_after": "20m", "stages": {"timing_out": "40m"}}}
    async with start({ZONE: [{"status": "active", **night}]}) as fleet:
        await fleet.watch(minutes=75)
        told = [dict(event.facts)["status"] for event in fleet.events("pack_changed")]
        assert len(fleet.patches()) == 1
        assert told.count("validation_timed_out") == 1
        assert told[-1] == "active"


@pytest.mark.repeats
@in_simulated_time
async def test_each_wait_is_twice_the_one_before_until_the_longest(start):
    config = {**restart(**EXACT), "schedule": {"attention_interval": "5m"}}
    async with start({ZONE: [timed_out()]}, config=config) as fleet:
        await fleet.watch(hours=12)
        waits = [round(later - earlier) for earlier, later in pairwise(fleet.patches())]
        assert waits == [15, 30, 60, 120, 240, 240]


@pytest.mark.parametrize(("seconds", "patches"), [(899.9, 1), (900.1, 2)])
@in_simulated_time
async def test_899_seconds_after_the_first_restart_is_too_early_for_the_second_and_900_are_not(start, seconds, patches):
    async with start({ZONE: [timed_out()]}, config=restart(**EXACT)) as fleet:
        await fleet.watch(minutes=14)
        await fleet.sleep(seconds - 14 * 60)
        await fleet.look()
        assert len(fleet.patches()) == patches


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    initial=st.integers(60, 900),
    factor=st.sampled_from([1.0, 1.3, 2.0, 5.0]),
    longest=st.integers(900, 7200),
    jitter=st.sampled_from([0.0, 0.1, 1.0]),
)
def test_no_restart_is_a_second_earlier_than_its_wait_nor_later_than_the_jitter_allows(
    tmp_path_factory, initial, factor, longest, jitter
):
    backoff = {"initial": f"{initial}s", "factor": factor, "max": f"{longest}s", "jitter": jitter}
    config = {**restart(backoff=backoff, max_attempts=6), "schedule": {"attention_interval": "1m"}}

    async def story():
        start = Start(tmp_path_factory.mktemp("state"))
        async with start({ZONE: [timed_out(after="10s")]}, config=config) as fleet:
            await fleet.watch(hours=2)
            return fleet.patches()

    patches = simulated(story)
    assert len(patches) >= 2
    for attempt, (earlier, later) in enumerate(pairwise(patches)):
        wait = min(initial * factor**attempt, longest)
        assert wait <= (later - earlier) * 60 <= wait * (1 + jitter) + 61


@in_simulated_time
async def test_the_row_tells_the_moment_of_the_next_restart_and_it_is_kept(start):
    async with start({ZONE: [timed_out()]}, config={"schedule": {"attention_interval": "10s"}}) as fleet:
        await fleet.watch(minutes=10)
        row = fleet.row(ZONE)
        assert (row["status"], row["decision"], row["reason"]) == ("validation_timed_out", "wait", "backing_off")
        await fleet.watch(minutes=10)
        promised, sent = row["next_restart_at"], fleet.asked("PATCH")[1].at
        assert f"{sent - timedelta(seconds=10):%H:%M:%S}" <= promised[11:19] <= f"{sent:%H:%M:%S}"


@in_simulated_time
async def test_a_pack_that_turned_active_starts_afresh(start):
    async with start({ZONE: [timed_out("times_out", "succeeds", "times_out")]}, config=restart(**EXACT)) as fleet:
        await fleet.watch(minutes=30)
        assert [round(at) for at in fleet.patches()] == [0, 15]
        assert (fleet.row(ZONE)["status"], fleet.row(ZONE)["attempts"]) == ("active", 0)
        assert [event.pack.id for event in fleet.events("recovered")] == [pack_id(ZONE, 0)]
        fleet.world.set_status(pack_id(ZONE, 0), "validation_timed_out")
        await fleet.watch(minutes=31)
        third, fourth = fleet.patches()[2:]
        assert third < 30 + 15  # it waited for the next look at a calm zone, and for no backoff
        assert round(fourth - third) == 15  # as after a first restart


@in_simulated_time
async def test_it_gives_up_once_after_the_last_attempt_has_had_its_time(start):
    async with start({ZONE: [timed_out()]}, config=restart(**QUICK)) as fleet:
        await fleet.watch(hours=6)
        assert len(fleet.patches()) == 3
        assert len(fleet.events("gave_up", level="error")) == 1
        assert len(fleet.journal("gave_up", ZONE)) == 1
        row = fleet.row(ZONE)
        assert (row["decision"], row["reason"], row["next_restart_at"]) == ("give_up", "gave_up", None)
        assert fleet.minute(fleet.events("gave_up")[0].at) >= fleet.patches()[-1] + 5


@in_simulated_time
async def test_giving_up_is_not_told_again_by_the_next_process(start):
    async with start({ZONE: [timed_out()]}, config=restart(**QUICK)) as fleet:
        await fleet.watch(hours=1)
    async with start({ZONE: []}, config=restart(**QUICK), world=fleet.world) as again:
        await again.watch(hours=1)
        assert (again.events("gave_up"), len(again.patches())) == ([], 3)
        assert len(again.journal("gave_up", ZONE)) == 1


@in_simulated_time
async def test_a_given_up_pack_that_changes_by_itself_is_taken_up_again(start):
    async with start({ZONE: [timed_out()]}, config=restart(**QUICK)) as fleet:
        await fleet.watch(hours=1)
        assert fleet.row(ZONE)["reason"] == "gave_up"
        fleet.world.set_status(pack_id(ZONE, 0), "initializing")  # somebody did something; it times out once more
        await fleet.watch(hours=1)
        assert len(fleet.patches()) == 6
        assert len(fleet.events("gave_up")) == 2


@in_simulated_time
async def test_a_pack_of_another_status_is_looked_at_and_never_restarted_again_while_it_is_given_up(start):
    async with start({ZONE: [timed_out()]}, config=restart(**{**QUICK, "max_attempts": 1})) as fleet:
        await fleet.watch(hours=3)
        assert len(fleet.patches()) == 1
        looks = len(fleet.asked("GET"))
        await fleet.watch(hours=1)
        assert len(fleet.asked("GET")) - looks == 4  # as a calm one: every interval


@in_simulated_time
async def test_overrides_of_a_zone_hold_for_that_zone_alone(start):
    zones = {"a.example": [timed_out()], "b.example": [timed_out()], "c.example": [timed_out()]}
    per_zone = {
        "b.example": {"restart": {"enabled": False}},
        "c.example": {"restart": {"max_attempts": 1}},
    }
    async with start(zones, config={**restart(**QUICK), "per_zone": per_zone}) as fleet:
        await fleet.watch(hours=1)
        assert [len(fleet.patches(zone)) for zone in zones] == [3, 0, 1]
        assert fleet.row("b.example")["reason"] == "disabled"
