"""The simulator's resolver: what a diagnosis finds of a scenario's zones through it."""

import asyncio
from datetime import timedelta

import pytest

from tests.harness.dns import NOW, PATIENT, SHORT, names, pack
from tests.harness.time import ManualClock
from watchdog.diagnose.diagnoser import PackDiagnoser
from watchdog.model.packs import ManualRecord, Validation, ZoneFacts
from watchdog.simulator.resolver import ZoneResolver
from watchdog.simulator.scenario import Scenario
from watchdog.simulator.world import World

ZONE = "shop.example"
CAA = {"type": "CAA", "value": '0 issue "letsencrypt.org"'}


@pytest.fixture
def look():
    """``look(zone, ca=…, after=…)``: the findings about a pack of this zone, and the world."""

    def see(zone, *, ca="google", after=timedelta(0), resolvers=1, speed=1.0, timeout=PATIENT):
        clock = ManualClock()
        start = {"packs": [{"status": "pending_validation", "hosts": [ZONE]}], **zone, "name": ZONE}
        world = World(Scenario.model_validate({"zones": [start], "speed": speed}), clock)
        clock.advance(seconds=after.total_seconds())
        life = world.packs(world.scenario.zones[0].id)[0]
        tokens = tuple(ManualRecord("TXT", f"_acme-challenge.{host}", token) for host, token in life.tokens())
        seen = pack(ZONE, ca=ca, status=life.status, validation=Validation("txt", tokens=tokens))
        facts = ZoneFacts(name=ZONE, type=start.get("type", "full"), status="active")

        async def whole():
            resolver = ZoneResolver(world)
            async with resolver.serving(), ZoneResolver(world).serving() as other:
                addresses = [resolver.address, other.address][:resolvers]
                diagnoser = PackDiagnoser(addresses, timeout, now=lambda: NOW)
                found = await diagnoser.diagnose(seen, facts)
                await diagnoser.close()
                return names(found)

        return asyncio.run(whole())

    return see


def test_the_tokens_of_a_full_zone_are_there_at_once(look):
    assert look({}) == {("tokens_placed", "certain", "")}


def test_nobody_places_the_tokens_of_a_partial_zone_unless_the_scenario_says_so(look):
    assert look({"type": "partial"}) == {("token_missing", "likely", ZONE)}


@pytest.mark.parametrize(("minutes", "found"), [(19, "token_missing"), (21, "tokens_placed")])
def test_a_person_of_the_scenario_places_tokens_a_while_after_the_validation_began(look, minutes, found):
    story = {"stages": {"pending_validation": "4h"}}
    packs = [{"status": "pending_validation", "hosts": [ZONE], "story": story}]
    zone = {"type": "partial", "packs": packs, "dns": {"tokens_after": "20m"}}
    assert {name for name, _, _ in look(zone, after=timedelta(minutes=minutes))} == {found}


@pytest.mark.parametrize(("minutes", "forbidden"), [(1, True), (39, True), (41, False)])
def test_a_record_is_there_from_its_time_to_its_time(look, minutes, forbidden):
    zone = {
        "packs": [{"status": "validation_timed_out", "hosts": [ZONE]}],
        "dns": {"records": [{**CAA, "until": "40m"}]},
    }
    found = look(zone, after=timedelta(minutes=minutes))
    assert (("caa_forbids", "certain", ZONE) in found) == forbidden


def test_a_scenario_that_is_sped_up_has_its_records_sooner(look):
    zone = {"dns": {"records": [{**CAA, "after": "60m"}]}}
    assert ("caa_forbids", "certain", ZONE) in look(zone, speed=60.0, after=timedelta(seconds=61))


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("servfail", ("caa_unreachable", "likely", ZONE)),
        ("refused", ("caa_unreachable", "likely", ZONE)),
        ("bogus", ("dnssec_bogus", "certain", ZONE)),
    ],
)
def test_a_zone_whose_name_servers_fail_is_diagnosed_so(look, kind, found):
    assert found in look({"dns": {"faults": [{"kind": kind}]}}, resolvers=2)


def test_of_a_name_server_that_is_silent_nothing_comes(look):
    found = look({"dns": {"faults": [{"kind": "silent", "name": f"_acme-challenge.{ZONE}"}]}}, timeout=SHORT)
    assert ("dns_timeout", "hint", ZONE) in found


def test_a_delegation_is_followed_to_cloudflares_own_zone(look):
    target = f"{ZONE}.0123456789abcdef.dcv.cloudflare.com."
    record = {"type": "CNAME", "name": f"_acme-challenge.{ZONE}", "value": target}
    assert look({"type": "partial", "dns": {"records": [record]}}) == set()
