"""Rate limits, and everything that can go wrong on the way."""

import asyncio
import json
import signal
from datetime import timedelta
from typing import Any

import httpx
import pytest

from watchdog.simulator.app import create_app
from watchdog.simulator.scenario import Fault, Scenario
from watchdog.simulator.server import serve
from watchdog.simulator.world import World

TINY = {"requests": 3, "per": "5m", "block": "5m"}


def test_every_answer_carries_what_is_left(one_pack: Any) -> None:
    sim = one_pack()
    answer = sim.get(sim.packs_path)
    assert answer.headers["Ratelimit"] == '"default";r=1199;t=300'
    assert answer.headers["Ratelimit-Policy"] == '"default";q=1200;w=300'
    assert answer.headers["cf-ray"]
    sim.clock.advance(seconds=100)
    assert sim.get("/nowhere").headers["Ratelimit"] == '"default";r=1198;t=200'


def test_going_over_blocks_everything_for_the_next_five_minutes(one_pack: Any) -> None:
    sim = one_pack(rate_limit=TINY)
    sim.clock.advance(seconds=1)
    assert [sim.get("/zones").status_code for _ in range(3)] == [200] * 3
    sim.clock.advance(seconds=200)
    blocked = sim.get("/zones")
    assert (blocked.status_code, blocked.json()["errors"][0]["code"]) == (429, 971)
    assert blocked.headers["Retry-After"] == "300"
    sim.clock.advance(seconds=299)
    assert sim.get("/user/tokens/verify").headers["Retry-After"] == "1"
    sim.clock.advance(seconds=1)
    assert sim.get(sim.packs_path).headers["Ratelimit"] == '"default";r=2;t=300'


def test_a_new_window_is_a_new_allowance(one_pack: Any) -> None:
    sim = one_pack(rate_limit=TINY)
    for _ in range(3):
        sim.get("/zones")
    sim.clock.advance(seconds=300)
    assert sim.get("/zones").is_success


def test_a_429_may_come_without_retry_after(one_pack: Any) -> None:
    sim = one_pack(rate_limit=TINY | {"requests": 0, "retry_after": False})
    assert "Retry-After" not in sim.get("/zones").headers


def test_credentials_have_an_allowance_each(one_pack: Any) -> None:
    tokens = [{"name": "a", "value": "token-a"}, {"name": "b", "value": "token-b"}]
    sim = one_pack(tokens=tokens, rate_limit=TINY | {"requests": 1})
    seen = [sim.get("/zones", headers={"Authorization": f"Bearer token-{x}"}).status_code for x in "aabb"]
    assert seen == [200, 429, 200, 429]


def test_other_tools_of_the_same_user_consume_too(one_pack: Any) -> None:
    sim = one_pack(rate_limit={"requests": 100, "others": 80})
    sim.get("/zones")
    sim.clock.advance(seconds=150)
    assert sim.get(sim.packs_path).headers["Ratelimit"] == '"default";r=58;t=150'


@pytest.mark.parametrize(("per_second", "last"), [(5, 429), (6, 200), (0, 200)])
def test_one_address_has_an_allowance_per_second(one_pack: Any, per_second: Any, last: Any) -> None:
    sim = one_pack(rate_limit={"per_second": per_second})
    assert [sim.get("/zones").status_code for _ in range(6)][-1] == last
    sim.clock.advance(seconds=1)
    assert sim.get("/zones").status_code == 200


def test_faults_that_replace_the_answer(one_pack: Any) -> None:
    sim = one_pack()
    expected = {
        Fault(kind="json_error", status=502, code=0): (502, "application/json"),
        Fault(kind="html_error", status=500): (500, "text/html; charset=UTF-8"),
        Fault(kind="html_error", status=200): (200, "text/html; charset=UTF-8"),
        Fault(kind="text_error", status=522): (522, "text/plain; charset=UTF-8"),
        Fault(kind="rate_limited"): (429, "application/json"),
    }
    for fault, (status, content_type) in expected.items():
        sim.world.clear_faults()
        sim.world.add_fault(fault)
        answer = sim.get("/zones")
        assert (answer.status_code, answer.headers["content-type"]) == (status, content_type)
        assert "Retry-After" not in answer.headers
    sim.world.clear_faults()
    assert sim.get("/zones").is_success


def test_faults_that_spoil_the_answer(one_pack: Any) -> None:
    sim = one_pack()
    whole = sim.pack()

    def spoiled(**fault: Any) -> Any:
        sim.world.clear_faults()
        sim.world.add_fault(Fault(**fault))
        return sim.pack()

    assert spoiled(kind="missing_fields") == {"id": whole["id"]}
    assert spoiled(kind="missing_fields", fields=["hosts"]) == {k: v for k, v in whole.items() if k != "hosts"}
    assert spoiled(kind="nulls") == dict.fromkeys(whole) | {"id": whole["id"]}
    assert spoiled(kind="nulls", fields=["id"]) == whole | {"id": None}
    assert spoiled(kind="unknown_words") == whole | {"status": "pending_moonrise", "type": "quantum"}
    assert isinstance(spoiled(kind="odd_primary")["primary_certificate"], int)
    assert spoiled(kind="slow") == whole
    sim.world.clear_faults()
    sim.world.add_fault(Fault(kind="huge"))
    assert len(sim.get(f"{sim.packs_path}/{whole['id']}").content) > 16_000_000


def test_a_slow_answer_takes_its_time_on_the_clock_and_has_its_effect(one_pack: Any) -> None:
    sim = one_pack(faults=[{"kind": "slow", "method": "PATCH", "delay": "90s"}])
    sim.restart()
    assert sim.clock.slept == [timedelta(seconds=90)]
    assert len(sim.world.restarts) == 1


@pytest.mark.parametrize("kind", ["json_error", "reset"])
@pytest.mark.parametrize("takes_effect", [True, False])
def test_a_restart_that_fails_may_have_had_its_effect(one_pack: Any, kind: Any, takes_effect: Any) -> None:
    sim = one_pack(faults=[{"kind": kind, "method": "PATCH", "takes_effect": takes_effect}])
    try:
        assert sim.restart().status_code == 503
    except httpx.ReadError:
        assert kind == "reset"
    assert len(sim.world.restarts) == int(takes_effect)
    assert sim.world.ledger[-1].status == {"json_error": 503, "reset": 0}[kind]


@pytest.mark.parametrize(
    ("when", "struck"),
    [
        ({"nth": 3}, [3]),
        ({"every": 2}, [2, 4, 6]),
        ({"times": 2}, [1, 2]),
        ({"every": 2, "times": 1}, [2]),
        ({"after": "20s", "until": "40s"}, [2, 3]),
        ({"path": "/zones/*"}, []),
        ({"method": "PATCH"}, []),
        ({"zone": "example.com"}, []),
        ({"probability": 0}, []),
    ],
)
def test_a_fault_strikes_when_it_should(one_pack: Any, when: Any, struck: Any) -> None:
    sim = one_pack(faults=[{"kind": "json_error"} | when])
    seen = []
    for number in range(1, 7):
        sim.clock.advance(seconds=10)
        if sim.get("/zones").status_code == 503:
            seen.append(number)
    assert seen == struck


def test_a_fault_by_chance_strikes_some_and_the_same_every_time(simulate: Any) -> None:
    scenario = {"faults": [{"kind": "json_error", "probability": 0.5}]}
    once, again = (
        [sim.get("/zones").status_code for _ in range(20)] for sim in (simulate(scenario), simulate(scenario))
    )
    assert set(once) == {200, 503}
    assert once == again


def test_a_fault_of_one_zone_leaves_the_others_alone(simulate: Any) -> None:
    zones = [{"name": "a.example"}, {"name": "b.example"}]
    sim = simulate({"zones": zones, "faults": [{"kind": "json_error", "zone": "b.example"}]})
    seen = {zone.name: sim.get(f"/zones/{zone.id}").status_code for zone in sim.world.zones.values()}
    assert seen == {"a.example": 200, "b.example": 503}


def ask_on_the_wire(clock: Any, fault: Any, method: Any = "GET") -> Any:
    scenario = {"zones": [{"name": "a.example", "packs": [{"status": "validation_timed_out"}]}], "faults": [fault]}
    world = World(Scenario.model_validate(scenario), clock)
    [zone] = world.zones.values()
    [life] = world.packs(zone.id)
    path = f"/zones/{zone.id}/ssl/certificate_packs/{life.id}"

    async def ask() -> Any:
        headers = {"Authorization": "Bearer simulated-token"}
        async with serve(world) as base_url, httpx.AsyncClient(headers=headers) as client:
            try:
                return await client.request(method, base_url + path, json={})
            finally:
                world.clear_faults()
                assert (await client.get(base_url + path)).is_success

    try:
        return asyncio.run(ask()), world
    except httpx.HTTPError as error:
        return error, world


def test_a_reset_is_a_reset_on_the_wire(clock: Any) -> None:
    error, world = ask_on_the_wire(clock, {"kind": "reset"}, "PATCH")
    assert isinstance(error, httpx.ReadError)
    assert world.restarts == []
    error, world = ask_on_the_wire(clock, {"kind": "reset", "takes_effect": True}, "PATCH")
    assert isinstance(error, httpx.ReadError)
    assert len(world.restarts) == 1


def test_a_truncated_body_ends_in_the_middle_on_the_wire(clock: Any) -> None:
    error, world = ask_on_the_wire(clock, {"kind": "truncated"})
    assert isinstance(error, httpx.RemoteProtocolError)
    assert "without sending complete message body" in str(error)
    assert world.ledger[0].status == 200


def test_a_whole_answer_comes_through_on_the_wire(clock: Any) -> None:
    answer, _ = ask_on_the_wire(clock, {"kind": "slow", "delay": "5s"})
    assert json.loads(answer.content)["success"]


def test_stopping_does_not_wait_for_a_slow_answer(clock: Any, caplog: Any) -> None:
    world = World(Scenario(faults=[Fault(kind="slow", delay=timedelta(days=1))]), clock)

    async def stop_in_the_middle() -> None:
        asleep = asyncio.Event()

        async def sleep(_delay: Any) -> None:
            asleep.set()
            await asyncio.Event().wait()

        clock.sleep = sleep
        async with httpx.AsyncClient() as client:
            async with serve(world) as base_url:
                asking = asyncio.create_task(client.get(f"{base_url}/zones"))
                await asleep.wait()
            with pytest.raises(httpx.RemoteProtocolError):
                await asking

    asyncio.run(stop_in_the_middle())
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_serving_takes_no_signals_says_when_a_port_is_taken_and_leaves_nothing_behind(clock: Any) -> None:
    world = World(Scenario(), clock)

    before = signal.getsignal(signal.SIGTERM)

    async def twice() -> Any:
        async with serve(world) as base_url:
            assert signal.getsignal(signal.SIGTERM) is before
            port = httpx.URL(base_url).port
            with pytest.raises(OSError, match="in use"):
                await serve(world, port=port).__aenter__()
        return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    assert asyncio.run(twice()) == []


def test_what_is_not_http_or_not_under_the_prefix_is_not_served(simulate: Any) -> None:
    assert simulate({}).get("http://sim/elsewhere").status_code == 404
    with pytest.raises(NotImplementedError):
        asyncio.run(create_app(simulate({}).world)({"type": "lifespan"}, None, None))
