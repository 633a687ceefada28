"""What becomes of packs, told as timelines."""

import re
from datetime import datetime, timedelta
from typing import Any

import pytest

STAGES = {"initializing": "10s", "pending_validation": "2m", "pending_issuance": "40s", "pending_deployment": "30s"}


def timeline(sim: Any, *steps: Any) -> Any:
    seen = []
    for seconds in steps:
        sim.clock.advance(seconds=seconds)
        seen.append(sim.pack()["status"])
    return seen


def test_a_restarted_pack_goes_through_every_status_to_active(one_pack: Any) -> None:
    sim = one_pack({"story": {"stages": STAGES}})
    assert sim.pack()["status"] == "validation_timed_out"
    assert sim.restart().json()["result"]["status"] == "initializing"
    assert timeline(sim, 9, 1, 119, 1, 39, 1, 29, 1) == [
        "initializing",
        "pending_validation",
        "pending_validation",
        "pending_issuance",
        "pending_issuance",
        "pending_deployment",
        "pending_deployment",
        "active",
    ]


def test_a_long_absence_changes_nothing_about_when_things_happened(one_pack: Any) -> None:
    sim = one_pack({"story": {"stages": STAGES}})
    sim.restart()
    sim.clock.advance(days=3)
    [expiry] = {certificate["expires_on"] for certificate in sim.pack()["certificates"]}
    active_at = datetime.fromisoformat("2026-11-01T12:03:20Z")
    assert datetime.fromisoformat(expiry) == active_at + timedelta(days=90)


def test_each_validation_has_the_outcome_its_story_gives_it_and_the_last_repeats(one_pack: Any) -> None:
    sim = one_pack({"story": {"outcomes": ["times_out", "times_out", "succeeds"]}})
    outcomes = []
    for _ in range(3):
        sim.restart()
        outcomes += timeline(sim, 4000)
    assert outcomes == ["validation_timed_out", "validation_timed_out", "active"]
    sim.world.set_status(sim.pack()["id"], "validation_timed_out")
    sim.restart()
    assert timeline(sim, 4000) == ["active"]


def test_speed_divides_the_durations(one_pack: Any) -> None:
    sim = one_pack({"story": {"stages": STAGES}}, speed=100)
    sim.restart()
    assert timeline(sim, 1.9, 0.2) == ["pending_deployment", "active"]


def test_every_restart_brings_new_tokens_and_they_show_only_while_pending(one_pack: Any) -> None:
    sim = one_pack({"story": {"outcomes": ["times_out"]}})
    seen = set()
    for _ in range(3):
        assert "validation_records" not in sim.pack()
        sim.restart()
        sim.clock.advance(seconds=60)
        records = sim.pack()["validation_records"]
        assert [record["txt_name"] for record in records] == ["_acme-challenge.example.com"] * 2
        seen |= {record["txt_value"] for record in records}
        sim.clock.advance(hours=2)
    assert len(seen) == 6


def test_tokens_have_the_letters_of_real_ones_so_that_what_places_them_meets_all(one_pack: Any) -> None:
    sim = one_pack({"status": "pending_validation", "hosts": [f"h{number}.example.com" for number in range(40)]})
    tokens = [record["txt_value"] for record in sim.pack()["validation_records"]]
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", token) for token in tokens)
    assert {"-", "_"} <= set("".join(tokens))


def test_http_validation_shows_a_url_for_each_host_but_no_wildcard(one_pack: Any) -> None:
    sim = one_pack({"status": "pending_validation", "validation_method": "http"})
    [record] = sim.pack()["validation_records"]
    assert record["http_url"].startswith("http://example.com/.well-known/")
    assert record["http_body"]


def test_ssl_com_wants_two_tokens_for_a_host(one_pack: Any) -> None:
    sim = one_pack({"status": "pending_validation", "certificate_authority": "ssl_com", "hosts": ["example.com"]})
    assert len(sim.pack()["validation_records"]) == 2


def test_an_active_pack_has_an_ecdsa_and_an_rsa_certificate_and_a_new_one_has_none(simulate: Any) -> None:
    packs = [{"id": "a" * 32}, {"status": "pending_validation"}]
    active, pending = simulate({"zones": [{"name": "example.com", "packs": packs}]}).packs()
    assert {c["signature"] for c in active["certificates"]} == {"ECDSAWithSHA256", "SHA256WithRSA"}
    assert active["primary_certificate"] == active["certificates"][0]["id"]
    assert pending["certificates"] == []
    assert pending["primary_certificate"] == "0"


def test_a_stuck_pack_stays_where_it_is(one_pack: Any) -> None:
    sim = one_pack({"story": {"stuck_in": "pending_issuance"}})
    sim.restart()
    assert timeline(sim, 86400 * 30) == ["pending_issuance"]


def test_a_deleted_pack_answers_for_a_while_and_is_then_gone(one_pack: Any) -> None:
    sim = one_pack({"story": {"deleted_after": "10m"}}, deleted_shows="1h")
    pack_id = sim.pack()["id"]
    assert timeline(sim, 599, 1) == ["validation_timed_out", "deleted"]
    assert sim.restart(pack_id).json()["errors"][0]["code"] == 1406
    sim.clock.advance(hours=1)
    gone = sim.get(f"{sim.packs_path}/{pack_id}")
    assert (gone.status_code, gone.json()["errors"][0]["code"]) == (404, 1408)
    assert sim.packs() == []


def test_a_certificate_that_nobody_renews_expires(one_pack: Any) -> None:
    sim = one_pack({"status": "active", "expires_in": "2d"})
    assert timeline(sim, 86400 * 2 - 1, 1) == ["active", "expired"]


def test_a_recheck_ends_a_validation_that_would_succeed_at_once(one_pack: Any) -> None:
    sim = one_pack({"status": "pending_validation"})
    path = f"/zones/{sim.zone.id}/ssl/verification/{sim.pack()['id']}"
    answer = sim.ask("PATCH", path, json={"validation_method": "txt"}).json()["result"]
    assert answer == {"status": "pending_issuance", "validation_method": "txt"}


def test_a_recheck_with_another_method_is_another_order(one_pack: Any) -> None:
    sim = one_pack({"status": "pending_validation", "story": {"outcomes": ["times_out"]}})
    path = f"/zones/{sim.zone.id}/ssl/verification/{sim.pack()['id']}"
    assert sim.ask("PATCH", path, json={"validation_method": "txt"}).json()["result"]["status"] == "pending_validation"
    assert sim.ask("PATCH", path, json={"validation_method": "http"}).json()["result"]["status"] == "initializing"


@pytest.mark.parametrize("way", ["same_pack", "second_pack"])
def test_a_renewal_that_fails_shows_as_the_scenario_says(one_pack: Any, way: Any) -> None:
    story = {"renews_after": "10d", "outcomes": ["times_out", "succeeds"]}
    sim = one_pack({"status": "active", "expires_in": "30d", "story": story}, unknowns={"failed_renewal": way})
    sim.clock.advance(days=11)
    packs = sim.packs()
    if way == "same_pack":
        assert [(pack["status"], len(pack["certificates"])) for pack in packs] == [("validation_timed_out", 2)]
    else:
        assert [pack["status"] for pack in packs] == ["active", "validation_timed_out"]
        assert [len(pack["certificates"]) for pack in packs] == [2, 0]
    sim.restart(packs[-1]["id"])
    sim.clock.advance(minutes=10)
    assert [pack["status"] for pack in sim.packs()][-1] == "active"
    assert [pack["status"] for pack in sim.packs()][:-1] == ([] if way == "same_pack" else ["deleted"])


@pytest.mark.parametrize(
    ("way", "statuses"), [("same_pack", ["validation_timed_out"]), ("second_pack", ["active", "validation_timed_out"])]
)
def test_a_renewal_that_failed_before_the_start_shows_as_the_scenario_says(
    one_pack: Any, way: Any, statuses: Any
) -> None:
    packs = one_pack({"expires_in": "20d"}, unknowns={"failed_renewal": way}).packs()
    assert [pack["status"] for pack in packs] == statuses
    assert all(certificate["status"] == "active" for certificate in packs[0]["certificates"])
    assert len(packs[0]["certificates"]) == 2


@pytest.mark.parametrize("looks", [1, 100])
def test_second_packs_follow_each_other_however_often_one_looks(one_pack: Any, looks: Any) -> None:
    sim = one_pack(
        {"status": "pending_validation", "story": {"renews_after": "10d"}},
        unknowns={"failed_renewal": "second_pack"},
        deleted_shows="5d",
    )
    for _ in range(looks):
        sim.clock.advance(days=25 / looks)
        packs = sim.packs()
    # Active on day 0, 10 and 20, each for ten days until its successor is there.
    assert [pack["status"] for pack in packs] == ["deleted", "active"]


def test_setting_the_status_of_a_pack_that_does_not_exist_is_an_error(one_pack: Any) -> None:
    with pytest.raises(KeyError):
        one_pack().world.delete_pack("nonsense")


def test_the_zone_wide_verification_rechecks_everything_when_told_to(one_pack: Any) -> None:
    sim = one_pack({"status": "pending_validation", "validation_method": "email"})
    path = f"/zones/{sim.zone.id}/ssl/verification"
    assert sim.pack()["validation_records"][0]["emails"]
    assert sim.get(path).json()["result"][0]["certificate_status"] == "authorizing"
    assert sim.get(path, params={"retry": "true"}).json()["result"][0]["certificate_status"] == "issuing"
    assert sim.ask("PATCH", f"{path}/{sim.pack()['id']}", json={}).status_code == 400


def test_the_same_seed_gives_the_same_world(one_pack: Any) -> None:
    def tokens() -> Any:
        return one_pack({"status": "pending_validation"}).pack()["validation_records"]

    assert tokens() == tokens()
