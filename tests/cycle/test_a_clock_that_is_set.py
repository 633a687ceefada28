"""An administrator or NTP sets the machine's clock by hours: every wait stays as long as it was meant to be."""

from datetime import timedelta

import pytest

from tests.harness.fleet import timed_out
from tests.harness.time import in_simulated_time
from watchdog.simulator.scenario import pack_id

ZONE = "a.example"
CONFIG = {
    "restart": {"backoff": {"initial": "1h", "factor": 1.0, "max": "1h", "jitter": 0.0}},
    "schedule": {"attention_interval": "5m"},
}
STEPS = [-9, -1, 1, 9]


@pytest.mark.parametrize("hours", STEPS)
@in_simulated_time
async def test_no_restart_comes_earlier_or_later_for_a_clock_that_is_set_in_between(start, hours):
    async with start({ZONE: [timed_out()]}, config=CONFIG) as fleet:
        await fleet.watch(minutes=20)
        fleet.clock.step = timedelta(hours=hours)
        await fleet.watch(minutes=110)
        assert fleet.patches() == [0, 60, 120]


@pytest.mark.parametrize("hours", STEPS)
@in_simulated_time
async def test_nor_for_one_that_is_set_while_no_process_runs(start, hours):
    async with start({ZONE: [timed_out()]}, config=CONFIG) as fleet:
        await fleet.watch(minutes=20)
    async with start({ZONE: []}, config=CONFIG, world=fleet.world, wrong=timedelta(hours=hours)) as again:
        await again.watch(minutes=110)
        assert again.patches() == [0, 60, 120]


@in_simulated_time
async def test_the_hourly_budget_is_kept_over_a_step(start):
    zones = {f"z{number}.example": [timed_out("succeeds")] for number in range(3)}
    config = {**CONFIG, "restart": {**CONFIG["restart"], "max_per_hour": 2}}
    async with start(zones, config=config) as fleet:
        await fleet.watch(minutes=10)
        assert len(fleet.patches()) == 2
        fleet.clock.step = timedelta(hours=5)
        await fleet.watch(minutes=40)
        assert len(fleet.patches()) == 2
        await fleet.watch(minutes=15)
        assert len(fleet.patches()) == 3


@pytest.mark.parametrize("hours", [(-9,), (9, -9), (-5, -9)])
@in_simulated_time
async def test_restarts_of_long_ago_never_fill_the_hour_of_the_next_process(start, hours):
    """The clock is set so many times: the last time while no process runs, the others while one does."""
    zones = {ZONE: [timed_out("succeeds")], "late.example": [{"status": "active"}]}
    config = {**CONFIG, "restart": {**CONFIG["restart"], "max_per_hour": 1}}
    async with start(zones, config=config) as fleet:
        await fleet.watch(hours=1)
        for step in hours[:-1]:
            fleet.clock.step += timedelta(hours=step)
            await fleet.watch(hours=1)
        await fleet.watch(hours=2)
        assert len(fleet.patches()) == 1
    fleet.world.set_status(pack_id("late.example", 0), "validation_timed_out")
    wrong = timedelta(hours=sum(hours))
    async with start({zone: [] for zone in zones}, config=config, world=fleet.world, wrong=wrong) as again:
        await again.watch(minutes=20)
        assert len(again.patches("late.example")) == 1


@in_simulated_time
async def test_a_pack_that_is_watched_through_two_accounts_is_restarted_once(start):
    config = {**CONFIG, "zones": [{"name": ZONE, "account": "main"}, {"name": ZONE, "account": "other"}]}
    async with start({ZONE: [timed_out()]}, config=config, other={}) as fleet:
        await fleet.watch(minutes=50)
        assert fleet.patches() == [0]
        assert len(fleet.world.restarts_of(pack_id(ZONE, 0))) == 1
