"""Nobody knows how the real Cloudflare answers here; whichever way it is, a pack is restarted once and recovers."""

import pytest

from tests.harness.fleet import timed_out
from tests.harness.time import in_simulated_time
from watchdog.simulator.scenario import Unknowns, pack_id

ZONE = "a.example"
SELDOM = {"schedule": {"attention_interval": "15m"}}
"""For days of which only the end matters."""
BOTH = [
    ("restart_when_not_timed_out", ["unchanged", "refused"]),
    ("status_after_restart", ["initializing", "pending_validation"]),
    ("restart_changes_id", [False, True]),
    ("errors_outlive_timeout", [True, False]),
    ("failed_renewal", ["same_pack", "second_pack"]),
    ("default_page_size", [1, 20]),
    ("page_ignored", [False, True]),
    ("result_info", [True, False]),
    ("acm_missing_status", [400, 403]),
    ("authentication_error_status", [400, 401, 403]),
    ("internal_zones_listed", [False, True]),
    ("ratelimit_resets_in", ["window", "second"]),
]
EACH = [{name: value} for name, values in BOTH for value in values]


def test_every_unknown_of_the_simulator_is_tried():
    assert {name for name, _ in BOTH} == set(Unknowns.model_fields)


@pytest.mark.repeats
@pytest.mark.parametrize("unknowns", EACH, ids=str)
@in_simulated_time
async def test_a_pack_is_restarted_once_and_recovers_whichever_way_it_is(start, unknowns):
    zones = {ZONE: [timed_out("succeeds", expires_in="12d"), *({"status": "active"} for _ in range(60))]}
    async with start(zones, scenario={"unknowns": unknowns}) as fleet:
        await fleet.watch(minutes=40)
        assert len(fleet.patches()) == 1
        assert {row["status"] for row in fleet.rows(ZONE) if row["status"] != "deleted"} == {"active"}
        assert len(fleet.events("recovered")) == 1


@pytest.mark.repeats
@pytest.mark.parametrize("unknowns", EACH, ids=str)
@in_simulated_time
async def test_a_pack_that_keeps_timing_out_keeps_its_backoff_whichever_way_it_is(start, unknowns):
    backoff = {"backoff": {"initial": "15m", "jitter": 0}, "max_attempts": 3}
    async with start({ZONE: [timed_out()]}, scenario={"unknowns": unknowns}, config={"restart": backoff}) as fleet:
        await fleet.watch(minutes=90)
        assert [round(at) for at in fleet.patches()] == [0, 15, 45]
        assert len(fleet.events("gave_up")) == 1


@pytest.mark.repeats
@pytest.mark.parametrize("status", [400, 403])
@in_simulated_time
async def test_a_pack_of_a_zone_without_certificate_manager_is_tried_once_and_left(start, status):
    zones = {ZONE: {"acm": False, "packs": [timed_out()]}, "b.example": [timed_out("succeeds")]}
    scenario = {"unknowns": {"acm_missing_status": status}}
    config = {"restart": {"backoff": {"initial": "15m", "jitter": 0}, "max_attempts": 3}, **SELDOM}
    async with start(zones, scenario=scenario, config=config) as fleet:
        await fleet.watch(hours=30)
        row = fleet.row(ZONE)
        assert [round(at) for at in fleet.patches(ZONE)] == [0]
        assert "Advanced Certificate Manager is not enabled" in row["last_error"]
        assert (row["reason"], row["attempts"], row["next_restart_at"]) == ("ordered_by_cloudflare", 1, None)
        assert len(fleet.patches("b.example")) == 1


@in_simulated_time
async def test_a_pack_that_cloudflare_ordered_is_left_across_a_start_too(start):
    zones = {ZONE: {"acm": False, "packs": [timed_out()]}}
    async with start(zones, config=SELDOM) as fleet:
        await fleet.watch(hours=1)
        world = fleet.world
    async with start(zones, world=world, config=SELDOM) as again:
        await again.watch(hours=30)
        assert again.row(ZONE)["reason"] == "ordered_by_cloudflare"
        assert len(again.patches(ZONE)) == 1


@in_simulated_time
async def test_attempts_carry_on_under_the_packs_new_id_and_across_a_start(start):
    scenario = {"unknowns": {"restart_changes_id": True}}
    config = {"restart": {"backoff": {"initial": "15m", "jitter": 0}}}
    async with start({ZONE: [timed_out()]}, scenario=scenario, config=config) as fleet:
        await fleet.watch(minutes=20)
    async with start({ZONE: []}, world=fleet.world, config=config) as again:
        await again.watch(minutes=30)
        rows = [row for row in again.rows(ZONE) if row["status"] != "deleted"]
        assert [row["attempts"] for row in rows] == [3]
        assert rows[0]["pack_id"] != pack_id(ZONE, 0)
        assert [round(at) for at in again.patches()] == [0, 15, 45]


@in_simulated_time
async def test_a_pack_that_is_named_by_its_id_is_followed_under_the_new_ones_and_across_a_start(start):
    scenario = {"unknowns": {"restart_changes_id": True}}
    config = {
        "restart": {"backoff": {"initial": "15m", "jitter": 0}},
        "per_zone": {ZONE: {"packs": [pack_id(ZONE, 0)]}},
    }
    packs = [timed_out(), {"status": "active", "hosts": ["b.a.example"]}]
    async with start({ZONE: packs}, scenario=scenario, config=config) as fleet:
        await fleet.watch(minutes=20)
        assert len(fleet.events("pack_replaced")) == 2
    async with start({ZONE: []}, world=fleet.world, config=config) as again:
        await again.watch(minutes=30)
        assert [round(at) for at in again.patches()] == [0, 15, 45]
        assert [row["attempts"] for row in again.rows(ZONE) if row["status"] != "deleted"] == [3]
        replaced = again.events("pack_replaced")
        assert [dict(event.facts)["old_pack_id"] for event in replaced] == [fleet.events("pack_replaced")[1].pack.id]


@in_simulated_time
async def test_two_packs_of_the_same_hosts_authority_and_type_keep_their_own_backoff(start):
    config = {"restart": {"backoff": {"initial": "15m", "jitter": 0}}}
    async with start({ZONE: [timed_out(), timed_out("succeeds")]}, config=config) as fleet:
        await fleet.watch(minutes=40)
        assert [row["status"] for row in fleet.rows(ZONE)].count("active") == 1
        assert len(fleet.patches()) == 1 + 2
