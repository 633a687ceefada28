"""It speaks the real contract: the official SDK gets along with it, and the answers have the documented shape."""

from typing import Any

import pytest
from cloudflare import Cloudflare, NotFoundError, PermissionDeniedError

from watchdog.simulator.scenario import Scenario, Story
from watchdog.simulator.world import World

PACK = {
    "id",
    "type",
    "hosts",
    "primary_certificate",
    "status",
    "certificates",
    "validity_days",
    "validation_method",
    "certificate_authority",
    "cloudflare_branding",
}
PENDING = {"validation_records", "dcv_delegation_records"}
CERTIFICATE = {
    "id",
    "hosts",
    "issuer",
    "signature",
    "status",
    "bundle_method",
    "zone_id",
    "uploaded_on",
    "modified_on",
    "expires_on",
    "priority",
    "geo_restrictions",
}


def errors(answer: Any) -> Any:
    return answer.status_code, [error["code"] for error in answer.json()["errors"]]


def test_the_official_sdk_lists_reads_and_restarts_packs(clock: Any, on_a_socket: Any) -> None:
    world = World(Scenario.fleet(2, 60, timed_out=0.5), clock)
    with (
        on_a_socket(world) as base_url,
        Cloudflare(api_token="simulated-token", base_url=base_url, max_retries=0) as client,
    ):
        assert client.user.tokens.verify().status == "active"
        zone, _ = client.zones.list()
        packs = list(client.ssl.certificate_packs.list(zone_id=zone.id, status="all", per_page=50))
        assert len(packs) == len({pack.id for pack in packs}) == 60
        assert len(list(client.ssl.certificate_packs.list(zone_id=zone.id))) == 30
        timed_out = [pack for pack in packs if pack.status == "validation_timed_out"]
        assert len(timed_out) == 30
        restarted = client.ssl.certificate_packs.edit(timed_out[0].id, zone_id=zone.id)
        assert restarted.status == "initializing"
        clock.advance(minutes=10)
        active = client.ssl.certificate_packs.get(timed_out[0].id, zone_id=zone.id)
        assert active.status == "active"
        assert min(certificate.expires_on for certificate in active.certificates) > clock.now()
        assert len(world.restarts_of(active.id)) == 1
        rechecked = client.ssl.verification.edit(timed_out[1].id, zone_id=zone.id, validation_method="txt")
        assert rechecked.status == "validation_timed_out"
        assert client.dcv_delegation.get(zone_id=zone.id).uuid
        assert len(list(client.ssl.verification.get(zone_id=zone.id))) == 60
        with pytest.raises(NotFoundError):
            client.ssl.certificate_packs.get("0" * 32, zone_id=zone.id)
        world.revoke("main")
        with pytest.raises(PermissionDeniedError):
            client.zones.get(zone_id=zone.id)


def test_a_pack_has_the_documented_fields(simulate: Any) -> None:
    packs = [{"status": status} for status in ("active", "pending_validation", "validation_timed_out")]
    active, pending, timed_out = simulate({"zones": [{"name": "example.com", "packs": packs}]}).packs()
    assert set(active) == PACK
    assert set(pending) == PACK | PENDING
    assert set(timed_out) == PACK | {"validation_errors"}
    assert {frozenset(certificate) for certificate in active["certificates"]} == {frozenset(CERTIFICATE)}


def test_only_active_packs_are_listed_without_status_all(one_pack: Any) -> None:
    sim = one_pack()
    assert sim.get(sim.packs_path).json()["result"] == []
    assert len(sim.packs()) == 1


def test_pages_are_capped_at_50_and_counted(simulate: Any) -> None:
    sim = simulate({"zones": [{"name": "example.com", "packs": [{}] * 60}]})
    page = sim.get(sim.packs_path, params={"status": "all", "per_page": 100, "page": 2}).json()
    assert len(page["result"]) == 10
    assert page["result_info"] == {"page": 2, "per_page": 50, "count": 10, "total_count": 60, "total_pages": 2}


def test_zones_are_found_by_name_and_by_account(simulate: Any) -> None:
    zones = [{"name": "a.example"}, {"name": "b.example", "account_id": "b" * 32, "type": "partial"}]
    sim = simulate({"zones": zones})
    assert [zone["type"] for zone in sim.get("/zones", params={"name": "b.example"}).json()["result"]] == ["partial"]
    assert [zone["name"] for zone in sim.get("/zones", params={"account.id": "b" * 32}).json()["result"]] == [
        "b.example"
    ]
    assert sim.get("/zones", params={"name": "c.example"}).json()["result"] == []
    assert sim.get(f"/zones/{sim.zone.id}").json()["result"]["name"] == "a.example"


def test_a_restart_wants_a_json_object(one_pack: Any) -> None:
    sim = one_pack()
    json_type = {"Content-Type": "application/json"}
    assert sim.restart(json=None, content=b"{}").status_code == 400
    assert sim.restart(json=None, content=b"", headers=json_type).status_code == 400
    assert sim.restart(json=[]).status_code == 400
    assert sim.world.restarts == []
    assert sim.restart(json=None, content=b"{}", headers={"Content-Type": "application/json; charset=utf-8"}).is_success


def test_only_an_advanced_pack_can_be_restarted(one_pack: Any) -> None:
    assert one_pack({"type": "universal"}).restart().status_code == 400


def test_branding_adds_a_host(one_pack: Any) -> None:
    assert one_pack().restart(json={"cloudflare_branding": True}).json()["result"]["hosts"][-1] == (
        "sni.cloudflaressl.com"
    )


def test_a_pack_is_found_with_and_without_dashes(one_pack: Any) -> None:
    sim = one_pack()
    assert sim.get(f"{sim.packs_path}/{sim.pack()['id'].replace('-', '')}").is_success


def test_ids_that_are_not_known_or_malformed_are_told_apart(one_pack: Any) -> None:
    sim = one_pack()
    assert errors(sim.get("/zones/nonsense/ssl/certificate_packs")) == (400, [7003, 7000])
    assert errors(sim.get(f"/zones/{'0' * 32}/ssl/certificate_packs")) == (404, [7003, 7000])
    assert errors(sim.get(f"{sim.packs_path}/nonsense")) == (400, [7003, 7000])
    assert errors(sim.get(f"{sim.packs_path}/{'0' * 32}")) == (404, [1408])
    assert errors(sim.get("/nowhere")) == (404, [7003, 7000])


@pytest.mark.parametrize(
    ("headers", "chain"),
    [
        ({"Authorization": "Bearer two words"}, 6111),
        ({"Authorization": "simulated-token"}, 6111),
        ({"Authorization": ""}, 6111),
    ],
)
def test_a_malformed_credential_header_is_6003_with_its_chain(one_pack: Any, headers: Any, chain: Any) -> None:
    answer = one_pack().get("/zones", headers=headers)
    assert errors(answer) == (400, [6003])
    assert [error["code"] for error in answer.json()["errors"][0]["error_chain"]] == [chain]


def test_a_refusal_has_the_whole_envelope(one_pack: Any) -> None:
    answer = one_pack().get("/zones", headers={"Authorization": "Bearer unknown"}).json()
    assert answer == {
        "success": False,
        "errors": [{"code": 9109, "message": "Invalid access token"}],
        "messages": [],
        "result": None,
    }


def test_the_older_pair_of_email_and_key_is_a_credential(one_pack: Any) -> None:
    sim = one_pack(tokens=[{"name": "old", "email": "a@example.com", "key": "c0ffee"}])
    pair = {"X-Auth-Email": "a@example.com", "X-Auth-Key": "c0ffee"}
    assert sim.get("/zones", headers=pair | {"Authorization": "Bearer c0ffee"}).status_code == 403
    sim.credential = {}
    assert sim.get("/zones", headers=pair).is_success
    assert errors(sim.get("/zones", headers=pair | {"X-Auth-Key": "two words"})) == (400, [6003])
    assert errors(sim.get("/zones")) == (400, [9106])
    assert [request.status for request in sim.world.requests_by("old")] == [200]


def test_permissions_and_zones_of_a_token_are_respected(simulate: Any) -> None:
    token = {"value": "simulated-token", "zones": ["a.example"], "permissions": ["read"]}
    sim = simulate({"zones": [{"name": "a.example"}, {"name": "b.example"}], "tokens": [token]})
    assert sim.get(sim.packs_path).is_success
    assert errors(sim.get("/zones")) == (403, [10000])
    assert errors(sim.restart()) == (403, [10000])
    other = next(zone.id for zone in sim.world.zones.values() if zone.name == "b.example")
    assert errors(sim.get(f"/zones/{other}")) == (403, [9109])


def test_a_token_is_refused_from_a_filtered_address(one_pack: Any) -> None:
    answer = one_pack(tokens=[{"value": "simulated-token", "refused_from": "192.0.2.1"}]).get("/zones")
    assert errors(answer) == (403, [9109])
    assert "from location: 192.0.2.1" in answer.json()["errors"][0]["message"]


def test_verifying_a_good_token_says_10000_among_its_messages(one_pack: Any) -> None:
    answer = one_pack().get("/user/tokens/verify").json()
    assert (answer["success"], answer["result"]["status"], answer["messages"][0]["code"]) == (True, "active", 10000)


def test_an_account_owned_token_verifies_only_at_its_account(one_pack: Any) -> None:
    sim = one_pack(tokens=[{"value": "simulated-token", "account_owned": True}])
    assert errors(sim.get("/user/tokens/verify")) == (401, [1000])
    assert sim.get(f"/accounts/{sim.zone.account_id}/tokens/verify").is_success


def test_a_token_can_be_revoked_and_restored(one_pack: Any) -> None:
    sim = one_pack()
    sim.world.revoke("main")
    assert errors(sim.get("/user/tokens/verify")) == (401, [1000])
    assert errors(sim.get(sim.packs_path)) == (403, [9109])
    sim.world.restore("main")
    assert sim.get(sim.packs_path).is_success


def test_the_ledger_tells_who_asked_what_and_what_was_answered(one_pack: Any) -> None:
    sim = one_pack()
    pack_id = sim.pack()["id"]
    sim.restart(pack_id)
    listing, restart = sim.world.requests_by("main")
    assert (listing.method, listing.path, listing.query) == ("GET", sim.packs_path, "status=all")
    assert (restart.method, restart.path, restart.body, restart.status) == (
        "PATCH",
        f"{sim.packs_path}/{pack_id}",
        "{}",
        200,
    )
    assert sim.world.restarts_of(pack_id) == [sim.clock.now()]
    assert "simulated-token" not in repr(sim.world.ledger)


def test_a_fleet_has_the_fraction_that_was_asked_for(clock: Any) -> None:
    fleet = Scenario.fleet(10, 7, timed_out=0.1, story=Story(outcomes=("times_out",)), speed=60)
    world = World(fleet, clock)
    packs = [pack for zone in world.zones for pack in world.packs(zone)]
    assert len({pack.id for pack in packs}) == 70
    assert sum(pack.restartable for pack in packs) == 7


def test_nothing_unknown_gets_into_a_scenario() -> None:
    for wrong in (
        {"zone": []},
        {"zones": [{"name": "a.example", "colour": "red"}]},
        {"speed": 0},
        {"tokens": [{"name": "none"}]},
        {"rate_limit": {"per": "soon"}},
        {"deleted_shows": "99999999999999d"},
        {"deleted_shows": "999999999d"},
        {"zones": [{"name": "a.example"}, {"name": "a.example"}]},
        {"zones": [{"name": "a.example", "id": 12345678901234567890123456789012}]},
    ):
        with pytest.raises(ValueError, match="validation error"):
            Scenario.model_validate(wrong)
