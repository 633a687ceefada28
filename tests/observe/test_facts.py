"""What is known of a zone stands for a while, also where it cannot be read anew."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.cloudflare_client import ZONE, Sky
from tests.harness.time import in_simulated_time, simulated
from watchdog.cloudflare.paging import PER_PAGE
from watchdog.model.packs import NOTHING_KNOWN, ZoneRef
from watchdog.observe.facts import BELIEVED_FOR, FEWEST, KEPT_FOR, Facts
from watchdog.simulator.scenario import Fault, zone_id

REF = ZoneRef("main", "example.com", ZONE)


def moved():
    return Sky({"zones": [{"name": "example.com", "status": "moved"}]})


@in_simulated_time
async def test_they_are_asked_for_anew_once_they_are_not_fresh():
    sky, facts = moved(), Facts()
    for _ in range(2):
        await facts.of(REF, sky.client, sky.clock.now())
    asked = len(sky.asked)
    await sky.clock.sleep(KEPT_FOR)
    await facts.of(REF, sky.client, sky.clock.now())
    assert len(sky.asked) == 2 * asked


@pytest.mark.parametrize(("after", "status"), [(KEPT_FOR, "moved"), (BELIEVED_FOR, "")])
@in_simulated_time
async def test_a_failed_read_leaves_what_was_read_before_for_an_hour(after, status):
    sky, facts = moved(), Facts()
    await facts.of(REF, sky.client, sky.clock.now())
    sky.world.add_fault(Fault(kind="json_error", status=400, code=7003))
    await sky.clock.sleep(after)
    assert (await facts.of(REF, sky.client, sky.clock.now())).status == status


@in_simulated_time
async def test_of_a_zone_that_could_never_be_read_nothing_is_known():
    sky, facts = moved(), Facts()
    sky.world.add_fault(Fault(kind="json_error", status=400, code=7003))
    assert await facts.of(REF, sky.client, sky.clock.now()) == NOTHING_KNOWN


@in_simulated_time
async def test_a_delegation_id_that_was_asked_for_later_stands_with_the_facts():
    sky, facts = Sky({"zones": [{"name": "example.com"}]}), Facts()
    await facts.of(REF, sky.client, sky.clock.now())
    label = await facts.delegation(REF, sky.client)
    assert label
    assert (await facts.of(REF, sky.client, sky.clock.now())).delegation == label


@in_simulated_time
async def test_a_delegation_id_that_may_not_be_read_is_none():
    sky, facts = Sky({"zones": [{"name": "example.com"}]}), Facts()
    sky.world.add_fault(Fault(kind="json_error", status=400, code=7003))
    assert await facts.delegation(REF, sky.client) == ""


@in_simulated_time
async def test_a_delegation_id_that_may_not_be_read_is_asked_for_again_with_the_facts_and_not_before():
    sky, facts = Sky({"zones": [{"name": "example.com"}]}), Facts()
    await facts.of(REF, sky.client, sky.clock.now())
    sky.world.add_fault(Fault(kind="json_error", status=400, code=7003))
    await facts.delegation(REF, sky.client)
    asked = len(sky.asked)
    assert await facts.delegation(REF, sky.client) == ""
    assert len(sky.asked) == asked
    sky.world.faults.clear()
    await sky.clock.sleep(KEPT_FOR)
    await facts.of(REF, sky.client, sky.clock.now())
    assert await facts.delegation(REF, sky.client)


@in_simulated_time
async def test_a_delegation_id_that_was_read_stands_where_it_cannot_be_read_anew():
    sky, facts = Sky({"zones": [{"name": "example.com"}]}), Facts()
    await facts.of(REF, sky.client, sky.clock.now())
    label = await facts.delegation(REF, sky.client)
    await sky.clock.sleep(KEPT_FOR)
    assert (await facts.of(REF, sky.client, sky.clock.now())).delegation == ""
    sky.world.add_fault(Fault(kind="json_error", status=400, code=7003))
    assert await facts.delegation(REF, sky.client) == label


# ── many zones in trouble ────────────────────────────────────────────────────────────────────────────────────────────


def fleet(zones, **scenario):
    """So many zones, every other one moved."""
    listed = [{"name": name(number), "status": "moved" if number % 2 else "active"} for number in range(zones)]
    return Sky({"zones": listed, **scenario})


def name(number):
    return f"zone-{number}.example.com"


async def known_of(facts, sky, number):
    ref = ZoneRef("main", name(number), zone_id(name(number)))
    return (await facts.of(ref, sky.client, sky.clock.now())).status


@settings(max_examples=30, deadline=None)
@given(zones=st.integers(1, 400), part=st.floats(0, 1))
def test_facts_take_never_twice_the_requests_of_the_better_way_but_for_the_first_few(zones, part):
    troubled = math.ceil(part * zones)

    async def work():
        sky, facts = fleet(zones), Facts()
        found = [await known_of(facts, sky, number) for number in range(troubled)]
        assert found == ["moved" if number % 2 else "active" for number in range(troubled)]
        return len(sky.asked)

    better = min(troubled, math.ceil(zones / PER_PAGE))
    assert simulated(work) <= 2 * max(better, FEWEST) + 1


@in_simulated_time
async def test_facts_that_were_listed_are_asked_for_anew_once_they_are_not_fresh():
    sky, facts = fleet(40), Facts()
    for number in range(40):
        await known_of(facts, sky, number)
    asked = len(sky.asked)
    await sky.clock.sleep(KEPT_FOR)
    for number in range(40):
        await known_of(facts, sky, number)
    assert len(sky.asked) > asked


@in_simulated_time
async def test_zones_that_cannot_be_listed_are_asked_for_one_by_one():
    sky, facts = fleet(40), Facts()
    for number in range(FEWEST):
        await known_of(facts, sky, number)
    sky.world.add_fault(Fault(kind="json_error", status=400, code=7003, times=1))
    assert [await known_of(facts, sky, number) for number in (10, 11)] == ["active", "moved"]


@in_simulated_time
async def test_a_zone_that_is_not_in_the_list_is_asked_for_by_its_name():
    sky, facts = fleet(60, unknowns={"page_ignored": True}), Facts()
    assert [await known_of(facts, sky, number) for number in range(60)] == ["active", "moved"] * 30
