"""One look at one zone: all of its packs, or those the configuration names, or why it could not be seen."""

import pytest

from tests.harness.cloudflare_client import Sky
from tests.harness.time import in_simulated_time
from tests.harness.values import replace
from watchdog.model.observation import Seen, Unseen
from watchdog.model.pack_ids import canonical_id
from watchdog.model.packs import ZoneRef
from watchdog.model.reasons import Reason
from watchdog.observe.poll import poll_zone
from watchdog.simulator.scenario import Fault, pack_id, zone_id

NAME = "example.com"
ZONE = ZoneRef("main", NAME, zone_id(NAME))
FIRST, SECOND = pack_id(NAME, 0), pack_id(NAME, 1)


def sky(*packs, name=NAME):
    return Sky({"zones": [{"name": name, "packs": list(packs) or [{"status": "active"}]}]})


async def poll(sky, zone=ZONE, **options):
    return await poll_zone(zone, sky.client, troubled=False, **options)


def pinned_to(*ids):
    return replace(ZONE, packs=frozenset(map(canonical_id, ids)))


def ids(seen):
    return [pack.id for pack in seen.packs]


@in_simulated_time
async def test_a_zone_is_seen_with_all_of_its_packs():
    seen = await poll(sky({"status": "active"}, {"status": "validation_timed_out"}))
    assert (ids(seen), seen.missing) == ([FIRST, SECOND], ())


@in_simulated_time
async def test_a_zone_without_an_id_is_looked_up_by_its_name():
    seen = await poll(sky(), replace(ZONE, id=""))
    assert (seen.zone.id, ids(seen)) == (ZONE.id, [FIRST])


@in_simulated_time
async def test_a_zone_that_nobody_has_is_not_found():
    seen = await poll(sky(), ZoneRef("main", "other.example"))
    assert (type(seen), seen.reason) == (Unseen, Reason.NOT_FOUND)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"kind": "html_error", "status": 502}, Reason.UNSEEN),
        ({"kind": "json_error", "status": 404, "code": 1001}, Reason.NOT_FOUND),
        ({"kind": "json_error", "status": 403, "code": 9103}, Reason.CREDENTIAL_REFUSED),
    ],
)
@in_simulated_time
async def test_why_a_zone_could_not_be_seen_is_a_reason_and_a_sentence(fault, reason):
    cloud = sky()
    cloud.world.add_fault(Fault.model_validate(fault))
    seen = await poll(cloud)
    assert (type(seen), seen.reason, seen.error.startswith("list_packs: ")) == (Unseen, reason, True)


@pytest.mark.parametrize("spelled", [FIRST, FIRST.upper(), FIRST.replace("-", "")])
@in_simulated_time
async def test_of_a_zone_with_named_packs_only_those_are_seen_however_they_are_spelled(spelled):
    seen = await poll(sky({"status": "active"}, {"status": "active", "hosts": ["b.example.com"]}), pinned_to(spelled))
    assert (ids(seen), seen.missing) == ([FIRST], ())


@in_simulated_time
async def test_a_named_pack_that_is_not_there_is_missing():
    seen = await poll(sky(), pinned_to(FIRST, "00ff"))
    assert (ids(seen), seen.missing) == ([FIRST], ("00ff",))


async def identity_of_the_first(cloud):
    return (await poll(cloud)).packs[0].identity


@in_simulated_time
async def test_where_a_named_pack_is_gone_the_one_of_the_same_identity_is_seen_in_its_place():
    cloud = sky()
    seen = await poll(cloud, pinned_to("00ff"), pinned={"00ff": await identity_of_the_first(cloud)})
    assert (ids(seen), seen.missing) == ([FIRST], ())


@pytest.mark.parametrize(("kind", "followed"), [("universal", True), ("advanced", False)])
@in_simulated_time
async def test_only_of_a_universal_pack_cloudflare_may_change_the_authority_when_it_renews_it(kind, followed):
    before = sky({"status": "active", "type": kind, "certificate_authority": "lets_encrypt"})
    renewed = sky({"status": "active", "type": kind, "certificate_authority": "google"})
    seen = await poll(renewed, pinned_to("00ff"), pinned={"00ff": await identity_of_the_first(before)})
    assert (ids(seen), seen.missing) == (([FIRST], ()) if followed else ([], ("00ff",)))


@in_simulated_time
async def test_where_a_named_pack_is_deleted_both_are_seen():
    cloud = sky({"status": "deleted"}, {"status": "active"})
    seen = await poll(cloud, pinned_to(FIRST), pinned={canonical_id(FIRST): await identity_of_the_first(cloud)})
    assert (sorted(ids(seen)), seen.missing) == (sorted([FIRST, SECOND]), ())


@in_simulated_time
async def test_while_a_named_pack_lives_no_other_is_followed():
    cloud = sky({"status": "active"}, {"status": "active"})
    seen = await poll(cloud, pinned_to(FIRST), pinned={canonical_id(FIRST): await identity_of_the_first(cloud)})
    assert ids(seen) == [FIRST]


@pytest.mark.parametrize("status", ["deleted", "backup_issued", "staging_active"])
@in_simulated_time
async def test_a_pack_that_goes_or_is_not_deployed_is_not_followed(status):
    cloud = sky({"status": status})
    seen = await poll(cloud, pinned_to("00ff"), pinned={"00ff": await identity_of_the_first(cloud)})
    assert (seen.packs, seen.missing) == ((), ("00ff",))
    assert isinstance(seen, Seen)


# ── packs named by their hosts ───────────────────────────────────────────────────────────────────────────────────────


def hosted_by(*hosts):
    return replace(ZONE, hosts=frozenset({hosts}))


@in_simulated_time
async def test_a_pack_named_by_its_hosts_is_seen_in_whatever_form_they_are_written():
    cloud = sky({"status": "active", "hosts": ["B.example.com", "a.example.com"]}, {"status": "active"})
    seen = await poll(cloud, hosted_by("a.example.com", "b.example.com"))
    assert (ids(seen), seen.missing) == ([FIRST], ())


@in_simulated_time
async def test_a_pack_of_more_hosts_or_fewer_is_another():
    cloud = sky({"status": "active", "hosts": ["a.example.com", "b.example.com"]})
    for hosts in (("a.example.com",), ("a.example.com", "b.example.com", "c.example.com")):
        seen = await poll(cloud, hosted_by(*hosts))
        assert (seen.packs, seen.missing) == ((), (" ".join(hosts),))


@in_simulated_time
async def test_the_host_that_branding_adds_makes_no_other_pack_of_one_that_is_named_by_its_hosts():
    cloud = sky({"status": "active", "hosts": ["a.example.com", "sni.cloudflaressl.com"]})
    seen = await poll(cloud, hosted_by("a.example.com"))
    assert (ids(seen), seen.missing) == ([FIRST], ())


@in_simulated_time
async def test_packs_may_be_named_both_ways_in_one_zone():
    cloud = sky({"status": "active", "hosts": ["a.example.com"]}, {"status": "active"}, {"status": "active"})
    seen = await poll(cloud, replace(pinned_to(SECOND), hosts=frozenset({("a.example.com",)})))
    assert (sorted(ids(seen)), seen.missing) == (sorted([FIRST, SECOND]), ())
