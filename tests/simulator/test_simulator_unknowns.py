"""Every Unknown of Cloudflare's answers can be had both ways."""

from typing import Any

import pytest


@pytest.mark.parametrize("way", ["unchanged", "refused"])
def test_restarting_a_pack_that_has_not_timed_out(one_pack: Any, way: Any) -> None:
    sim = one_pack({"status": "pending_validation"}, unknowns={"restart_when_not_timed_out": way})
    before, answer = sim.pack(), sim.restart()
    assert answer.status_code == {"unchanged": 200, "refused": 400}[way]
    assert sim.pack() == before
    assert sim.world.restarts == []


@pytest.mark.parametrize("status", ["initializing", "pending_validation"])
def test_the_status_right_after_a_restart(one_pack: Any, status: Any) -> None:
    sim = one_pack(unknowns={"status_after_restart": status})
    answer = sim.restart().json()["result"]
    assert answer["status"] == status
    assert ("validation_records" in answer) == (status == "pending_validation")


def test_the_id_stays_after_a_restart(one_pack: Any) -> None:
    sim = one_pack()
    assert sim.restart().json()["result"]["id"] == sim.pack()["id"]


def test_the_id_changes_after_a_restart_and_the_old_one_shows_as_deleted(one_pack: Any) -> None:
    sim = one_pack(unknowns={"restart_changes_id": True})
    old = sim.pack()
    new = sim.restart().json()["result"]
    assert new["id"] != old["id"]
    assert new["hosts"] == old["hosts"]
    assert {pack["id"]: pack["status"] for pack in sim.packs()} == {old["id"]: "deleted", new["id"]: "initializing"}
    assert len(sim.world.restarts_of(old["id"])) == 1


@pytest.mark.parametrize("outlive", [True, False])
def test_validation_errors_after_the_time_out(one_pack: Any, outlive: Any) -> None:
    story = {"outcomes": ["times_out"], "errors": ["CAA records block"]}
    sim = one_pack({"status": "pending_validation", "story": story}, unknowns={"errors_outlive_timeout": outlive})
    assert sim.pack()["validation_errors"] == [{"message": "CAA records block"}]
    sim.clock.advance(hours=2)
    assert sim.pack()["status"] == "validation_timed_out"
    assert ("validation_errors" in sim.pack()) == outlive


@pytest.mark.parametrize("size", [20, 5])
def test_the_default_page_size(simulate: Any, size: Any) -> None:
    sim = simulate({"zones": [{"name": "a.example", "packs": [{}] * 21}], "unknowns": {"default_page_size": size}})
    assert len(sim.packs()) == size


@pytest.mark.parametrize("present", [True, False])
def test_result_info_is_there_or_not(one_pack: Any, present: Any) -> None:
    sim = one_pack(unknowns={"result_info": present})
    assert ("result_info" in sim.get(sim.packs_path).json()) == present


def test_an_endpoint_that_ignores_page_gives_everything_every_time(simulate: Any) -> None:
    sim = simulate({"zones": [{"name": "a.example", "packs": [{}] * 60}], "unknowns": {"page_ignored": True}})
    assert sim.packs(page=1) == sim.packs(page=2)
    assert len(sim.packs(page=2)) == 60


@pytest.mark.parametrize("status", [403, 400])
def test_the_http_status_of_1450(one_pack: Any, status: Any) -> None:
    answer = one_pack(zone={"acm": False}, unknowns={"acm_missing_status": status}).restart()
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (status, 1450)


@pytest.mark.parametrize("status", [400, 401, 403])
def test_the_http_status_of_10000(one_pack: Any, status: Any) -> None:
    tokens = [{"value": "simulated-token", "permissions": ["read"]}]
    answer = one_pack(tokens=tokens, unknowns={"authentication_error_status": status}).restart()
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (status, 10000)
