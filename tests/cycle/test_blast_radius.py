"""How many restarts an account sends within an hour, and what is said of those that have to wait."""

from datetime import timedelta
from itertools import pairwise

import pytest

from tests.harness.fleet import timed_out
from tests.harness.time import in_simulated_time
from watchdog.simulator.scenario import pack_id

HOURLY = {"restart": {"max_per_hour": 3}}


def within_an_hour(requests):
    """The most PATCHes of any hour."""
    return max(
        sum(1 for request in requests if first.at <= request.at < first.at + timedelta(hours=1)) for first in requests
    )


@pytest.mark.repeats
@in_simulated_time
async def test_the_hourly_budget_holds_over_all_zones_of_an_account_and_for_each_account_alone(start):
    zones = {f"z{n}.example": [timed_out(), timed_out(hosts=[f"x.z{n}.example"])] for n in range(4)}
    others = {f"o{n}.example": [timed_out()] for n in range(4)}
    async with start(zones, partner=others, config=HOURLY | {"schedule": {"attention_interval": "2m"}}) as fleet:
        await fleet.watch(hours=4)
        for account in ("main", "partner"):
            mine = [request for request in fleet.asked("PATCH") if request.credential == account]
            assert within_an_hour(mine) == 3
            assert len(mine) >= 3 * 4  # and it is used


@in_simulated_time
async def test_whoever_is_over_the_budget_is_told_until_when_at_once(start):
    zones = {"a.example": [timed_out(hosts=[f"h{n}.a.example"]) for n in range(5)]}
    async with start(zones, config=HOURLY) as fleet:
        await fleet.look()
        assert len(fleet.patches()) == 3
        waiting = [row for row in fleet.rows("a.example") if row["reason"] == "over_budget"]
        assert [row["next_restart_at"] for row in waiting] == ["2026-11-24T13:00:00Z"] * 2
        told = fleet.events("restart_held")
        assert [dict(event.facts)["next_restart_at"].hour for event in told] == [13, 13]
        await fleet.watch(minutes=59)
        late = {row["pack_id"] for row in waiting}
        assert sum(event.pack.id in late for event in fleet.events("restart_held")) == 2  # once each


@in_simulated_time
async def test_packs_over_the_budget_cost_no_request_but_the_list(start):
    zones = {"a.example": [timed_out(hosts=[f"h{n}.a.example"]) for n in range(40)]}
    async with start(zones, config=HOURLY) as fleet:
        fleet.fault(kind="slow", delay="0.1s")
        await fleet.look()
        assert len(fleet.patches()) == 3
        assert len(fleet.asked("GET")) <= 1 + 16  # the list, and those that were read again when the budget ran out
        asked = len(fleet.asked("GET"))
        await fleet.watch(minutes=10)
        assert 8 <= len(fleet.asked("GET")) - asked <= 11  # one list a minute


@in_simulated_time
async def test_the_budget_of_an_hour_survives_the_process(start):
    zones = {f"z{n}.example": [timed_out()] for n in range(8)}
    async with start(zones, config=HOURLY) as fleet:
        await fleet.watch(minutes=10)
    async with start({zone: [] for zone in zones}, world=fleet.world, config=HOURLY) as again:
        await again.watch(minutes=55)
        assert within_an_hour(again.asked("PATCH")) == 3


@in_simulated_time
async def test_a_restart_that_cloudflare_refused_to_look_at_uses_no_attempt_and_no_budget(start):
    config = {"restart": {"max_per_hour": 1}}
    async with start({"a.example": [timed_out("succeeds")]}, config=config) as fleet:
        fleet.fault(kind="rate_limited", method="PATCH", times=1, retry_after=600)
        await fleet.watch(minutes=14)
        first, second = fleet.patches()
        assert second - first >= 10
        assert fleet.metric("restarts_total", outcome="refused") == 1
        assert fleet.metric("restarts_total", outcome="accepted") == 1


@in_simulated_time
async def test_a_hundred_packs_that_fail_together_are_restarted_one_hourful_after_the_other_and_all_in_time(start):
    zones = {f"z{n}.example": [timed_out("succeeds", hosts=[f"h{m}.z{n}.example"]) for m in range(5)] for n in range(6)}
    config = {"restart": {"max_per_hour": 10}, "schedule": {"attention_interval": "5m"}}
    async with start(zones, config=config) as fleet:
        await fleet.watch(hours=4)
        assert len(fleet.patches()) == 30
        assert within_an_hour(fleet.asked("PATCH")) == 10
        hours = [round(later - earlier) for earlier, later in pairwise(fleet.patches()[::10])]
        assert hours == [60, 60]


@pytest.mark.parametrize("place", [0, 3])
@in_simulated_time
async def test_where_the_budget_is_short_the_pack_that_is_due_for_longest_goes_first_and_none_starves(start, place):
    restless = {f"z{number}.example": [timed_out(after="5m")] for number in range(3)}
    late = {"late.example": [{"status": "active"}]}
    zones = dict([*list(restless.items())[:place], *late.items(), *list(restless.items())[place:]])
    backoff = {"initial": "10m", "max": "10m", "jitter": 0.0}
    config = {
        "restart": {"max_per_hour": 1, "max_attempts": 100, "backoff": backoff},
        "schedule": {"attention_interval": "5m"},
    }
    async with start(zones, config=config) as fleet:
        await fleet.watch(hours=3)
        fleet.world.set_status(pack_id("late.example", 0), "validation_timed_out")
        await fleet.watch(hours=8)
        turns = [sum(at > 3 * 60 for at in fleet.patches(zone)) for zone in zones]
        assert sum(turns) >= 7  # an hour and the time to the next look each
        assert max(turns) - min(turns) <= 1
