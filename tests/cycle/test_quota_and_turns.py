"""Who is looked at when: calm and troubled zones, a start, a fleet larger than the quota, a clock that is set."""

import asyncio
from collections import Counter
from contextlib import closing
from datetime import timedelta
from itertools import pairwise

import pytest

from tests.harness.fleet import timed_out
from tests.harness.time import in_simulated_time
from tests.harness.values import replace
from watchdog.model.clock import rfc3339
from watchdog.state.store import Store

CALM = [{"status": "active"}]


def looks(fleet, zone):
    """The seconds at which a zone was looked at, since the first look of all."""
    first = fleet.telemetry.looks[0][0]
    return [at - first for at, label in fleet.telemetry.looks if label == zone]


def gaps(fleet, zone):
    return [later - earlier for earlier, later in pairwise(looks(fleet, zone))]


@in_simulated_time
async def test_calm_zones_are_looked_at_every_interval_and_troubled_ones_every_attention_interval(start):
    async with start({"calm.example": CALM, "troubled.example": [timed_out()]}) as fleet:
        await fleet.watch(hours=2)
        assert set(map(round, gaps(fleet, "calm.example"))) == {15 * 60}
        assert set(map(round, gaps(fleet, "troubled.example"))) == {60}


@pytest.mark.parametrize("status", ["holding_deployment", "staging_deployment"])
@in_simulated_time
async def test_a_zone_whose_pack_a_person_holds_back_is_calm(start, status):
    async with start({"a.example": [{"status": status}]}) as fleet:
        await fleet.watch(hours=2)
        assert set(map(round, gaps(fleet, "a.example"))) == {15 * 60}


@in_simulated_time
async def test_a_zone_is_calm_again_once_its_pack_is_active(start):
    async with start({"a.example": [timed_out("succeeds")]}) as fleet:
        await fleet.watch(hours=1)
        assert round(gaps(fleet, "a.example")[0]) == 60
        assert round(gaps(fleet, "a.example")[-1]) == 15 * 60


@pytest.mark.repeats
@in_simulated_time
async def test_a_start_spreads_a_large_fleet_over_its_interval(start):
    zones = {f"z{n:04}.example": CALM for n in range(900)}
    async with start(zones, scenario={"rate_limit": {"requests": 100_000}}) as fleet:
        await fleet.watch(minutes=15)
        a_minute = Counter(int(fleet.minute(request.at)) for request in fleet.asked("GET"))
        assert sum(a_minute.values()) == 900
        assert max(a_minute.values()) <= 61


@in_simulated_time
async def test_a_zone_remembered_in_trouble_is_looked_at_first_after_a_start(start):
    zones = {f"z{n:03}.example": CALM for n in range(100)} | {"zz.example": [timed_out()]}
    async with start(zones) as fleet:
        await fleet.watch(minutes=3)
    async with start({zone: [] for zone in zones}, world=fleet.world) as again:
        await again.look()
        assert again.telemetry.looks[0][1] == "zz.example"


@pytest.mark.repeats
@in_simulated_time
async def test_a_fleet_larger_than_the_quota_is_seen_whole_and_nobody_starves_and_no_429_comes(start):
    """30 requests a minute are ours; 200 zones every two minutes and 4 in trouble every minute would need 104."""
    calm = {f"z{n:03}.example": CALM for n in range(200)}
    troubled = {f"t{n}.example": [timed_out(after="1m")] for n in range(4)}
    config = {
        "accounts": {"main": {"rate_limit": {"requests": 60, "per": "1m", "share": 0.5}}},
        "schedule": {"interval": "2m", "attention_interval": "1m"},
    }
    scenario = {"rate_limit": {"requests": 60, "per": "1m"}}
    async with start(calm | troubled, config=config, scenario=scenario) as fleet:
        await fleet.watch(minutes=30)
        statuses = Counter(request.status for request in fleet.world.ledger)
        assert statuses[429] == 0
        assert statuses[200] >= 0.95 * 30 * 30
        whole_round = 200 / 30 * 60  # seconds that one round takes at this rate, were there nothing else
        assert all(max([*gaps(fleet, zone), looks(fleet, zone)[0]]) <= 1.5 * whole_round for zone in calm)
        calm_most = max(len(looks(fleet, zone)) for zone in calm)
        assert min(len(looks(fleet, zone)) for zone in troubled) > calm_most
        assert [len(fleet.patches(zone)) for zone in troubled] == [2] * 4
        assert fleet.telemetry.reports[-1].waiting > 0


@in_simulated_time
async def test_what_a_command_sends_beside_the_daemon_is_of_its_share_too(start):
    zones = {f"z{n}.example": CALM for n in range(20)}
    limit = {"requests": 40, "per": "5m", "share": 0.5}
    async with start(zones, config={"accounts": {"main": {"rate_limit": limit}}}) as fleet:
        with closing(Store.open(f"sqlite:///{fleet.start.folder / 'state.db'}", exclusive=False)) as beside:
            await fleet.sleep(1)
            beside.book("main", fleet.clock.boot, fleet.clock.monotonic(), 15, 0.0)
            await fleet.watch(minutes=2)
            assert len(fleet.asked("GET")) <= 5
            await fleet.watch(minutes=4)
            assert len(fleet.asked("GET")) == 20


class SlowDoctor:
    """Finds nothing, and takes 20 seconds for it."""

    def begin_pass(self):
        pass

    async def diagnose(self, *_):
        await asyncio.sleep(20)
        return ()

    async def close(self):
        pass


@in_simulated_time
async def test_a_restart_does_not_wait_behind_the_looks_that_wait_for_the_quota(start):
    """While the pack is diagnosed the looks spend all of the quota but its reserve, and wait for ten minutes."""
    zones = {"a.example": [timed_out("succeeds")], **{f"z{n:03}.example": CALM for n in range(300)}}
    config = {"accounts": {"main": {"rate_limit": {"requests": 192, "per": "10m", "share": 1.0}}}}
    async with start(zones, config=config | {"schedule": {"interval": "1m", "attention_interval": "1m"}}) as fleet:
        fleet.components.configured = replace(fleet.components.configured, diagnoser=SlowDoctor())
        await fleet.watch(minutes=10)
        asked = [fleet.minute(request.at) for request in fleet.asked("GET")]
        assert sum(at * 60 < 20 for at in asked) >= 180  # it was spent by then
        assert 20 <= fleet.patches("a.example")[0] * 60 < 22


@in_simulated_time
async def test_a_429_is_waited_out_to_the_end_and_then_everything_goes_on(start):
    zones = {f"z{n}.example": [timed_out("succeeds")] for n in range(5)}
    async with start(zones) as fleet:
        fleet.fault(kind="rate_limited", times=1, retry_after=700)
        await fleet.watch(minutes=30)
        answered = [request for request in fleet.world.ledger if request.status == 429]
        assert len(answered) == 1
        after = [request.at - answered[0].at for request in fleet.world.ledger if request.at > answered[0].at]
        assert min(after) >= timedelta(seconds=700)
        assert len(fleet.patches()) == 5


@in_simulated_time
async def test_a_wall_clock_that_is_set_back_by_a_day_stops_no_looks(start):
    async with start({"a.example": CALM, "t.example": [timed_out()]}) as fleet:
        await fleet.watch(minutes=16)
        fleet.clock.step = -timedelta(days=1)
        await fleet.watch(minutes=31)
        assert (len(looks(fleet, "a.example")), len(looks(fleet, "t.example"))) == (4, 47)
        assert set(map(round, gaps(fleet, "a.example"))) == {15 * 60}
        assert set(map(round, gaps(fleet, "t.example"))) == {60}


@in_simulated_time
async def test_a_wall_clock_that_is_set_forward_by_a_day_brings_no_burst_of_looks(start):
    async with start({"a.example": CALM}) as fleet:
        await fleet.watch(minutes=16)
        fleet.clock.step = timedelta(days=1)
        await fleet.watch(minutes=31)
        assert set(map(round, gaps(fleet, "a.example"))) == {15 * 60}


class Lent:
    """A tenure that ends when the test says so."""

    def __init__(self):
        self.accounts = {"main"}

    def keeps(self, account):
        return account in self.accounts

    holds = may_send = keeps

    def term(self, _account):
        return 1


@in_simulated_time
async def test_a_pass_that_ends_after_its_account_was_lost_does_not_count_for_the_next_tenure(start):
    async with start({"a.example": [{"status": "active"}]}) as fleet:
        tenure = fleet.components.tenure = Lent()
        fleet.wire.before("GET", "certificate_packs", tenure.accounts.clear)
        await fleet.look()
        assert fleet.passes.worked == set()


@in_simulated_time
async def test_zones_that_a_long_429_hides_are_said_to_be_not_seen_and_until_when(start):
    async with start({"a.example": CALM}) as fleet:
        fleet.fault(kind="rate_limited", times=1, retry_after=365 * 86_400)
        await fleet.watch(minutes=1)
        [zone] = fleet.runtime.inventory().unseen()
        until = rfc3339(zone.tried_at + timedelta(hours=1))
        assert zone.error == f"list_packs: not sent: Cloudflare has told this credential to wait until {until}"
        await fleet.watch(minutes=90)
        assert fleet.runtime.inventory().unseen() == []


@in_simulated_time
async def test_a_restart_that_a_long_429_holds_spends_no_attempt(start):
    async with start({"a.example": [timed_out("succeeds")]}) as fleet:
        fleet.fault(kind="rate_limited", times=1, retry_after=365 * 86_400, path="*/certificate_packs/*")
        await fleet.watch(minutes=30)
        assert (fleet.patches(), fleet.row("a.example")["attempts"]) == ([], 0)
        await fleet.watch(minutes=90)
        assert len(fleet.patches()) == 1
