"""What one refusal costs: nothing of the other zones, whatever it means for its own."""

from itertools import pairwise

import pytest

from tests.harness.time import in_simulated_time
from watchdog.simulator.scenario import zone_id

CALM = [{"status": "active"}]
GONE = {"kind": "json_error", "status": 403, "code": 9109, "message": "Unauthorized to access requested resource"}
DENIED = {"kind": "json_error", "status": 403, "code": 10000, "message": "Authentication error"}
SLOW_DOWN = {"kind": "json_error", "status": 200, "code": 971, "message": "Please wait and consider throttling"}


def looks(fleet, zone):
    return [fleet.minute(request.at) for request in fleet.asked("GET", zone)]


@pytest.mark.parametrize("living", [1, 2, 20])
@pytest.mark.parametrize("refusal", [GONE, DENIED], ids=["gone", "denied"])
@in_simulated_time
async def test_dead_zones_cost_the_living_no_look(start, living, refusal):
    zones = {f"dead{n}.example": CALM for n in range(3)} | {f"z{n}.example": CALM for n in range(living)}
    async with start(zones) as fleet:
        for number in range(3):
            fleet.fault(zone=f"dead{number}.example", **refusal)
        await fleet.watch(hours=6)
        for number in range(living):
            at = looks(fleet, f"z{number}.example")
            assert len(at) >= 24
            assert max(later - earlier for earlier, later in pairwise(at)) <= 16.5
        assert fleet.events("zone_unseen", level="error")
        for number in range(3):
            assert fleet.zone(f"dead{number}.example")["reason"] == "not_found"
            assert len(looks(fleet, f"dead{number}.example")) < 24
        assert not fleet.components.clients["main"].credential.stopped


@in_simulated_time
async def test_a_restart_that_is_told_to_slow_down_in_a_200_is_no_attempt_and_goes_later(start):
    async with start({"a.example": [{"status": "validation_timed_out"}]}) as fleet:
        fleet.fault(method="PATCH", times=1, **SLOW_DOWN)
        await fleet.watch(minutes=4)
        assert (fleet.patches(), fleet.row("a.example")["attempts"]) == ([0], 0)
        await fleet.watch(minutes=6)
        assert len(fleet.patches()) == 2
        assert fleet.row("a.example")["reason"] == "healthy"


@in_simulated_time
async def test_a_zone_that_moved_is_found_again_by_its_name(start):
    """The one it was leaves the account; another of its name is there by now."""
    names = {"shop.example": CALM}
    scenario = {"zones": [{"name": "shop.example", "id": "b" * 32, "status": "pending", "packs": CALM}]}
    config = {"per_zone": {"shop.example": {"id": None}}}
    async with start(names, scenario=scenario, config=config) as fleet:
        await fleet.watch(minutes=2)
        assert fleet.zone("shop.example")["zone_id"] == zone_id("shop.example")
        old, new = fleet.world.zones[zone_id("shop.example")], fleet.world.zones["b" * 32]
        fleet.world.zones[old.id] = old.model_copy(update={"status": "moved"})
        fleet.world.zones[new.id] = new.model_copy(update={"status": "active"})
        fleet.fault(zone=old.id, **GONE)
        await fleet.watch(minutes=40)
        assert fleet.zone("shop.example")["zone_id"] == "b" * 32
        assert fleet.zone("shop.example")["last_error"] is None


@in_simulated_time
async def test_of_two_zones_of_one_name_discovery_watches_the_active_one(start):
    old = {"name": "shop.example", "id": "a" * 32, "status": "moved", "packs": []}
    config = {"accounts": {"main": {"discover": {"include": ["*"]}}}}
    async with start({}, scenario={"zones": [old, {"name": "shop.example", "packs": CALM}]}, config=config) as fleet:
        await fleet.watch(minutes=2)
        assert fleet.zone("shop.example")["zone_id"] == zone_id("shop.example")


@in_simulated_time
async def test_a_zone_that_moved_is_looked_at_no_more_once_the_account_that_it_moved_to_is_known(start):
    old = {"name": "shop.example", "id": "a" * 32, "status": "moved", "packs": [{"status": "pending_validation"}]}
    new = {"name": "shop.example", "id": "b" * 32, "packs": CALM}
    tokens = [
        {"name": "main", "value": "token-of-main", "zones": [old["id"]]},
        {"name": "partner", "value": "token-of-partner", "zones": [new["id"]]},
    ]
    config = {"accounts": {name: {"discover": {"include": ["*"]}} for name in ("main", "partner")}}
    scenario = {"zones": [old, new], "tokens": tokens}
    async with start({}, partner={}, scenario=scenario, config=config) as fleet:
        await fleet.watch(minutes=10)
        looks = [fleet.minute(request.at) for request in fleet.asked("GET") if old["id"] in request.path]
        assert [minute for minute in looks if minute >= 1] == []


@in_simulated_time
async def test_two_active_zones_of_one_name_are_told_as_ambiguous_and_an_internal_one_never_counts(start):
    zones = [
        {"name": "shop.example", "id": "a" * 32, "packs": CALM},
        {"name": "shop.example", "id": "b" * 32, "packs": CALM},
        {"name": "own.example", "id": "c" * 32, "type": "internal", "packs": []},
        {"name": "own.example", "id": "d" * 32, "packs": CALM},
    ]
    config = {"accounts": {"main": {"discover": {"include": ["*"]}}}}
    async with start({}, scenario={"zones": zones}, config=config) as fleet:
        await fleet.watch(minutes=2)
        assert fleet.zone("shop.example")["reason"] == "ambiguous_zone"
        assert "a" * 32 in fleet.zone("shop.example")["last_error"]
        assert fleet.zone("own.example")["zone_id"] == "d" * 32
