"""The simulator speaks as others have recorded Cloudflare: headers, edge errors, verification, orders and zones."""

from itertools import pairwise

import pytest

SEVEN = {"initializing", "authorizing", "active", "expired", "issuing", "timing_out", "pending_deployment"}
EVERYTHING = ["read", "write", "zone_read", "zone_write"]
ORDER = {
    "type": "advanced",
    "hosts": ["shop.example.com"],
    "certificate_authority": "lets_encrypt",
    "validation_method": "txt",
    "validity_days": 90,
}


@pytest.fixture
def full(one_pack):
    """A zone whose token may do everything."""
    return one_pack({"status": "active"}, tokens=[{"value": "simulated-token", "permissions": EVERYTHING}])


def errors(answer):
    return answer.status_code, [error["code"] for error in answer.json()["errors"]]


# ── headers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_listing_zones_names_a_policy_of_its_own(one_pack):
    sim = one_pack()
    assert sim.get("/zones").headers["Ratelimit"].startswith('"list_zones";')
    assert sim.get(sim.packs_path).headers["Ratelimit"].startswith('"default";')


def test_listing_zones_may_be_exhausted_while_all_else_is_answered(one_pack):
    sim = one_pack(rate_limit={"list_zones": 1})
    assert [sim.get("/zones").status_code for _ in range(2)] == [200, 429]
    assert sim.get(sim.packs_path).status_code == 200


def test_verifying_a_token_names_no_policy(one_pack):
    assert "Ratelimit" not in one_pack().get("/user/tokens/verify").headers


def test_the_reset_may_always_be_one_second_away(one_pack):
    sim = one_pack(unknowns={"ratelimit_resets_in": "second"})
    assert sim.get(sim.packs_path).headers["Ratelimit"] == '"default";r=1199;t=1'


# ── faults ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("kind", "body"), [("null_body", b"null"), ("empty_body", b"")])
def test_a_429_may_say_nothing(one_pack, kind, body):
    sim = one_pack(faults=[{"kind": kind, "status": 429}])
    answer = sim.get(sim.packs_path)
    assert (answer.status_code, answer.content) == (429, body)


def test_an_edge_error_is_problem_details_with_the_hint_in_the_body_only(one_pack):
    sim = one_pack(faults=[{"kind": "edge_error", "status": 429, "code": 1015, "message": "Slow", "retry_after": 7}])
    answer = sim.get(sim.packs_path)
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.json()["error_code"], answer.json()["retry_after"]) == (1015, 7)
    assert "retry-after" not in answer.headers


def test_a_fault_that_replaces_the_answer_keeps_a_restart_from_happening(one_pack):
    sim = one_pack(faults=[{"kind": "null_body", "status": 429, "method": "PATCH"}])
    sim.restart()
    assert sim.world.restarts == []


# ── credentials ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_unknown_key_pair_is_9103(one_pack):
    sim = one_pack()
    sim.credential = {"X-Auth-Email": "nobody@example.com", "X-Auth-Key": "unknown"}
    assert errors(sim.get(sim.packs_path)) == (403, [9103])


def test_a_global_key_as_bearer_is_a_malformed_header(one_pack):
    sim = one_pack()
    sim.credential = {"Authorization": "Bearer cfk_0123456789"}
    answer = sim.get(sim.packs_path)
    assert errors(answer) == (400, [6003])
    assert answer.json()["errors"][0]["error_chain"][0]["code"] == 6111


def test_a_new_token_is_refused_for_some_seconds_and_not_longer(one_pack):
    sim = one_pack(tokens=[{"value": "simulated-token", "new_for": "5s"}])
    sim.clock.advance(seconds=4)
    assert errors(sim.get(sim.packs_path)) == (403, [10000])
    sim.clock.advance(seconds=1)
    assert sim.get(sim.packs_path).status_code == 200


def test_reading_is_enough_for_a_recheck(one_pack):
    sim = one_pack({"status": "pending_validation"}, tokens=[{"value": "simulated-token", "permissions": ["read"]}])
    path = sim.packs_path.replace("certificate_packs", "verification")
    answer = sim.ask("PATCH", f"{path}/{sim.pack()['id']}", json={"validation_method": "txt"})
    assert answer.status_code == 200


# ── verification ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_pack_of_a_long_life_is_verified_in_one_of_seven_words(one_pack):
    story = {"outcomes": ["times_out", "succeeds"], "renews_after": "60d"}
    sim = one_pack({"status": "initializing", "story": story})
    path, seen = sim.packs_path.replace("certificate_packs", "verification"), []
    for _ in range(600):
        seen.append(sim.get(path).json()["result"][0]["certificate_status"])
        if sim.pack()["status"] == "validation_timed_out":
            sim.restart()
        sim.clock.advance(seconds=20)
    assert set(seen) <= SEVEN
    assert sum(a != b for a, b in pairwise(seen)) >= 6  # it did live through them


# ── orders and zones ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_ordered_pack_becomes_active(full):
    ordered = full.ask("POST", f"{full.packs_path}/order", json=ORDER).json()["result"]
    assert (ordered["status"], ordered["hosts"]) == ("initializing", ORDER["hosts"])
    full.clock.advance(hours=1)
    assert full.get(f"{full.packs_path}/{ordered['id']}").json()["result"]["status"] == "active"


def test_the_same_hosts_cannot_be_ordered_twice(full):
    order = ORDER | {"hosts": full.pack()["hosts"][::-1]}
    assert full.ask("POST", f"{full.packs_path}/order", json=order).status_code == 400
    full.ask("DELETE", f"{full.packs_path}/{full.pack()['id']}")
    assert full.ask("POST", f"{full.packs_path}/order", json=order).status_code == 200


@pytest.mark.parametrize("missing", sorted(ORDER))
def test_an_order_needs_every_field(full, missing):
    order = {name: value for name, value in ORDER.items() if name != missing}
    assert errors(full.ask("POST", f"{full.packs_path}/order", json=order)) == (400, [9207])


def test_nothing_is_ordered_without_advanced_certificate_manager(one_pack):
    sim = one_pack(zone={"acm": False})
    assert errors(sim.ask("POST", f"{sim.packs_path}/order", json=ORDER)) == (403, [1450])


def test_a_deleted_pack_shows_as_deleted(full):
    pack = full.pack()["id"]
    assert full.ask("DELETE", f"{full.packs_path}/{pack}").json()["result"] == {"id": pack}
    assert full.get(f"{full.packs_path}/{pack}").json()["result"]["status"] == "deleted"


def test_the_quota_counts_advanced_packs(full):
    used = [full.get(f"{full.packs_path}/quota").json()["result"]["advanced"]["used"]]
    full.ask("POST", f"{full.packs_path}/order", json=ORDER)
    used.append(full.get(f"{full.packs_path}/quota").json()["result"]["advanced"]["used"])
    assert used == [1, 2]


def test_a_zone_is_made_edited_and_removed(full):
    zone = full.ask("POST", "/zones", json={"name": "new.example", "account": {}}).json()["result"]
    assert (zone["name"], zone["status"], zone["paused"]) == ("new.example", "pending", False)
    edited = full.ask("PATCH", f"/zones/{zone['id']}", json={"paused": True}).json()["result"]
    assert edited["paused"] is True
    assert full.ask("DELETE", f"/zones/{zone['id']}").json()["result"] == {"id": zone["id"]}
    assert full.get(f"/zones/{zone['id']}").status_code == 404


def test_editing_zones_needs_a_permission_of_its_own(one_pack):
    sim = one_pack()
    assert errors(sim.ask("PATCH", f"/zones/{sim.zone.id}", json={"paused": True})) == (403, [10000])


def test_internal_zones_are_listed_only_when_asked_for_unless_the_world_says_otherwise(simulate):
    zones = [{"name": "a.example", "packs": []}, {"name": "a.example", "id": "f" * 32, "type": "internal", "packs": []}]

    def listed(sim, **query):
        return [zone["type"] for zone in sim.get("/zones", params=query).json()["result"]]

    sim = simulate({"zones": zones})
    assert (listed(sim), listed(sim, type="internal")) == (["full"], ["internal"])
    assert listed(simulate({"zones": zones, "unknowns": {"internal_zones_listed": True}})) == ["full", "internal"]
