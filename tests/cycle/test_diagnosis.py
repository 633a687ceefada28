"""What a diagnosis changes in the flow. The diagnoser here says what DNS would show; who asks has tests of its own."""

import asyncio

import pytest

from tests.harness.fleet import timed_out
from tests.harness.time import in_simulated_time
from tests.harness.values import replace
from watchdog.cloudflare.http import NotSent
from watchdog.model.findings import Certainty, Finding, FindingName
from watchdog.model.packs import ManualRecord
from watchdog.simulator.scenario import Fault, pack_id, zone_id

ZONE, OTHER = "a.example", "b.example"
SELDOM = {"schedule": {"attention_interval": "15m"}}
"""For days of which only the end matters."""
CAA = Finding(
    name=FindingName.CAA_FORBIDS,
    certainty=Certainty.CERTAIN,
    host=ZONE,
    says="CAA forbids the authority.",
    remedy="Allow it.",
)
LIKELY = Finding(
    name=FindingName.CAA_FORBIDS,
    certainty=Certainty.LIKELY,
    host=ZONE,
    says="CAA may forbid the authority.",
    remedy="Allow it.",
)
TOKEN = ManualRecord("TXT", "_acme-challenge.a.example", "new-token")
MISSING = Finding(
    name=FindingName.TOKEN_MISSING,
    certainty=Certainty.LIKELY,
    host=ZONE,
    says="The token is not there.",
    remedy="Add it.",
    record=TOKEN,
)
PLACED = Finding(
    name=FindingName.TOKENS_PLACED,
    certainty=Certainty.CERTAIN,
    host="",
    says="All tokens are in DNS.",
    remedy="Nothing.",
)


class Diagnoser:
    """Says ``findings`` of a zone's packs after ``delay`` seconds, by status if that matters."""

    def __init__(self):
        self.findings, self.delay, self.asked, self.meanwhile = {}, {}, [], lambda: None

    def begin_pass(self):
        pass

    async def diagnose(self, pack, *_):
        zone = next(host for host in pack.hosts if not host.startswith("*."))
        self.asked.append((zone, pack.status))
        await asyncio.sleep(self.delay.get(zone, 0))
        self.meanwhile()
        found = self.findings.get((zone, pack.status), self.findings.get(zone, ()))
        return tuple(found)

    async def close(self):
        pass


def attended(fleet):
    fleet.components.configured = replace(fleet.components.configured, diagnoser=Diagnoser())
    return fleet.components.diagnoser


@in_simulated_time
async def test_a_certain_obstacle_holds_the_restart_until_the_first_look_that_finds_it_gone(start):
    async with start({ZONE: [timed_out("succeeds")]}) as fleet:
        diagnoser = attended(fleet)
        diagnoser.findings[ZONE] = [CAA]
        await fleet.watch(hours=2)
        assert fleet.patches() == []
        row = fleet.row(ZONE)
        assert (row["reason"], row["attempts"]) == ("held_by_diagnosis", 0)
        assert [finding["name"] for finding in row["findings"]] == ["caa_forbids"]
        held = fleet.events("restart_held", level="warning")
        assert [event.reason for event in held] == ["held_by_diagnosis"]
        assert "CAA forbids" in held[0].detail
        diagnoser.findings.clear()
        await fleet.watch(minutes=16)
        assert len(fleet.patches()) == 1


@in_simulated_time
async def test_a_likely_obstacle_warns_and_holds_nothing(start):
    async with start({ZONE: [timed_out("succeeds")]}) as fleet:
        attended(fleet).findings[ZONE] = [LIKELY]
        await fleet.look()
        assert fleet.patches() == [0]


@in_simulated_time
async def test_a_slow_diagnosis_delays_neither_another_zone_nor_another_pack(start):
    zones = {f"slow{number}.example": [timed_out()] for number in range(40)}
    async with start({**zones, OTHER: [timed_out("succeeds")]}) as fleet:
        diagnoser = attended(fleet)
        diagnoser.delay = dict.fromkeys(zones, 15.0)
        await fleet.look()
        first = fleet.patches(OTHER)
        assert len(first) == 1
        assert first[0] * 60 < 1
        assert len(fleet.patches()) == 41


@in_simulated_time
async def test_healthy_packs_and_those_that_wait_are_not_diagnosed_at_every_look(start):
    async with start({ZONE: [timed_out()], OTHER: [{"status": "active"}]}) as fleet:
        diagnoser = attended(fleet)
        await fleet.watch(hours=1)
        restarts = len(fleet.patches())
        asked = [status for zone, status in diagnoser.asked if status == "validation_timed_out"]
        # before each restart, and once when it had timed out again
        assert restarts < len(asked) <= 2 * restarts
        assert not any(zone == OTHER for zone, _ in diagnoser.asked)


@in_simulated_time
async def test_new_records_are_told_once_and_a_recheck_is_asked_once_when_they_are_placed(start):
    story = {"stages": {"pending_validation": "6h"}}
    async with start({ZONE: [timed_out("succeeds", story=story)]}) as fleet:
        diagnoser = attended(fleet)
        diagnoser.findings[ZONE, "pending_validation"] = [MISSING]
        await fleet.watch(minutes=30)
        told = fleet.events("records_to_place")
        assert len(told) == 1
        assert "_acme-challenge.a.example TXT new-token" in told[0].detail
        assert fleet.row(ZONE)["records"] == [
            {"type": "TXT", "name": "_acme-challenge.a.example", "value": "new-token"}
        ]
        assert rechecks(fleet) == []
        diagnoser.findings[ZONE, "pending_validation"] = [PLACED]
        await fleet.watch(minutes=50)
        assert len(rechecks(fleet)) == 1
    async with start({ZONE: []}, world=fleet.world) as again:
        attended(again).findings[ZONE, "pending_validation"] = [PLACED]
        await again.watch(minutes=5)
        assert len(rechecks(again)) == 1  # the hour is not over, and a new process knows


@in_simulated_time
async def test_a_recheck_is_asked_for_again_as_soon_as_an_obstacle_that_came_between_has_gone(start):
    story = {"stages": {"timing_out": "6h"}}
    async with start({ZONE: [timed_out("times_out", story=story)]}) as fleet:
        diagnoser = attended(fleet)
        for found, minutes, asked in (([PLACED], 5, 1), ([PLACED, CAA], 20, 1), ([PLACED], 2, 2)):
            diagnoser.findings[ZONE, "pending_validation"] = found
            await fleet.watch(minutes=minutes)
            assert len(rechecks(fleet)) == asked


@pytest.mark.parametrize("diagnosed", [True, False])
@in_simulated_time
async def test_a_universal_pack_that_timed_out_is_rechecked_a_few_times_a_day_and_never_restarted(start, diagnosed):
    universal = {**timed_out(), "type": "universal"}
    async with start({ZONE: [universal]}, config=SELDOM) as fleet:
        if diagnosed:
            attended(fleet)
        await fleet.watch(hours=25)
        assert len(rechecks(fleet)) == 4
        assert {request.body for request in rechecks(fleet)} == {'{"validation_method":"txt"}'}
        assert rechecks(fleet) == fleet.asked("PATCH")
        assert fleet.row(ZONE)["reason"] == "not_restartable"
        asked = [event.reason for event in fleet.events("recheck_sent")]
        assert asked == ["not_restartable"] * 4


@in_simulated_time
async def test_a_recheck_that_was_refused_is_told_until_one_is_accepted(start):
    universal = {**timed_out(), "type": "universal"}
    async with start({ZONE: [universal]}) as fleet:
        fault = {"kind": "json_error", "status": 403, "code": 10000, "message": "Authentication error"}
        fleet.world.add_fault(Fault(**fault, method="PATCH", times=1))
        await fleet.watch(hours=1)
        assert "code 10000: Authentication error" in fleet.row(ZONE)["last_error"]
        await fleet.watch(hours=8)
        assert "10000" not in fleet.row(ZONE)["last_error"]


@in_simulated_time
async def test_a_method_that_a_person_has_just_changed_is_not_changed_back_by_a_recheck(start):
    story = {"stages": {"pending_validation": "6h"}}
    async with start({ZONE: [timed_out("succeeds", status="pending_validation", story=story)]}) as fleet:
        diagnoser, life = attended(fleet), fleet.world.pack(zone_id(ZONE), pack_id(ZONE, 0))
        diagnoser.findings[ZONE, "pending_validation"] = [PLACED]
        diagnoser.meanwhile = lambda: setattr(life, "validation_method", "http")
        await fleet.look()
        assert rechecks(fleet) == []
        await fleet.watch(minutes=5)
        assert {request.body for request in rechecks(fleet)} == {'{"validation_method":"http"}'}


@in_simulated_time
async def test_after_a_zone_was_told_to_slow_down_none_of_its_packs_is_rechecked_for_a_while(start):
    packs = [{**timed_out(), "type": "universal", "hosts": [f"{name}.{ZONE}"]} for name in "abc"]
    async with start({ZONE: packs}) as fleet:
        fleet.fault(kind="rate_limited", method="PATCH", times=1)
        await fleet.watch(minutes=5)
        assert len(rechecks(fleet)) == 1
        await fleet.watch(minutes=11)
        assert len(rechecks(fleet)) == 4  # that one again: nothing was done of it


@in_simulated_time
async def test_a_recheck_that_never_left_is_tried_again_at_the_next_look(start):
    async with start({ZONE: [{**timed_out(), "type": "universal"}]}) as fleet:

        def refused():
            raise NotSent("refused") from ConnectionRefusedError("connection refused")

        fleet.wire.before("PATCH", pack_id(ZONE, 0), refused)
        await fleet.look()
        assert rechecks(fleet) == []
        await fleet.watch(minutes=16)
        assert len(rechecks(fleet)) == 1


@in_simulated_time
async def test_no_recheck_is_asked_for_that_the_state_does_not_know_of(start):
    async with start({ZONE: [{**timed_out(), "type": "universal"}]}) as fleet:
        fleet.unwritable()
        await fleet.watch(minutes=20)
        assert rechecks(fleet) == fleet.events("recheck_sent") == []
        fleet.unwritable(on=False)
        await fleet.watch(minutes=20)
        assert len(rechecks(fleet)) == 1


@in_simulated_time
async def test_a_universal_pack_is_not_rechecked_where_that_is_turned_off(start):
    universal = {**timed_out(), "type": "universal"}
    async with start({ZONE: [universal]}, config={"restart": {"recheck": False}}) as fleet:
        diagnoser = attended(fleet)
        await fleet.watch(hours=9)
        assert (rechecks(fleet), diagnoser.asked) == ([], [])


@in_simulated_time
async def test_rechecks_can_be_turned_off_and_a_dry_run_sends_none(start):
    story = {"stages": {"pending_validation": "6h"}}
    config = {"restart": {"recheck": False}}
    async with start({ZONE: [timed_out("succeeds", story=story)]}, config=config) as fleet:
        attended(fleet).findings[ZONE, "pending_validation"] = [PLACED]
        await fleet.watch(minutes=30)
        assert rechecks(fleet) == []


@in_simulated_time
async def test_where_restarts_are_disabled_no_recheck_is_sent_either(start):
    packs = [timed_out("succeeds", status="pending_validation"), {**timed_out(), "type": "universal"}]
    async with start({ZONE: packs}, config={"restart": {"enabled": False}}) as fleet:
        attended(fleet).findings[ZONE, "pending_validation"] = [PLACED]
        await fleet.watch(hours=9)
        assert fleet.asked("PATCH") == []


def rechecks(fleet):
    return [request for request in fleet.asked("PATCH") if "/ssl/verification/" in request.path]


@in_simulated_time
async def test_what_was_found_survives_the_process_and_goes_with_the_trouble(start):
    async with start({ZONE: [timed_out("succeeds")]}) as fleet:
        attended(fleet).findings[ZONE] = [CAA]
        await fleet.look()
    async with start({ZONE: []}, world=fleet.world) as again:
        assert [finding["name"] for finding in again.row(ZONE)["findings"]] == ["caa_forbids"]
        attended(again)
        await again.watch(hours=1)
        assert (again.row(ZONE)["status"], again.row(ZONE)["findings"]) == ("active", [])


@in_simulated_time
async def test_an_authority_that_refuses_is_left_to_a_person_at_once(start):
    errors = {"errors": ["The CA will not issue for this domain"]}
    async with start({ZONE: [timed_out(story=errors)]}, config=SELDOM) as fleet:
        attended(fleet)
        await fleet.watch(hours=30)
        assert len(fleet.patches()) <= 1
        assert fleet.row(ZONE)["reason"] == "ca_refuses"


UNDIAGNOSED = {**SELDOM, "diagnosis": {"enabled": False}}


@in_simulated_time
async def test_cloudflares_own_words_are_read_though_nothing_is_looked_up(start):
    errors = {"errors": ["The CA will not issue for this domain"]}
    async with start({ZONE: [timed_out(story=errors)]}, config=UNDIAGNOSED) as fleet:
        await fleet.watch(hours=30)
        assert len(fleet.patches()) <= 1
        assert fleet.row(ZONE)["reason"] == "ca_refuses"


@in_simulated_time
async def test_a_zone_whose_facts_may_not_be_read_is_restarted_all_the_same(start):
    async with start({ZONE: [timed_out("succeeds")]}) as fleet:
        attended(fleet)
        fleet.fault(kind="json_error", path="/zones", status=403, code=10000, message="Authentication error")
        await fleet.look()
        assert len(fleet.patches()) == 1
