"""One zone's, one account's, one pack's trouble is its own: what it is told as, and that the others do not notice."""

import asyncio
from itertools import pairwise

import pytest

from tests.harness.fleet import as_a_daemon, timed_out
from tests.harness.time import in_simulated_time
from tests.harness.values import replace
from watchdog.model.leases import Alone
from watchdog.simulator.scenario import pack_id, zone_id

CALM = [{"status": "active"}]
TROUBLES = {
    "html": {"kind": "html_error", "status": 502},
    "html that says it is fine": {"kind": "html_error", "status": 200},
    "edge": {"kind": "text_error", "status": 522},
    "json": {"kind": "json_error", "status": 500, "code": 1000},
    "forbidden": {"kind": "json_error", "status": 403, "code": 9109, "message": "Unauthorized to access this zone"},
    "unknown": {"kind": "json_error", "status": 404, "code": 7003, "message": "Could not route"},
    "reset": {"kind": "reset"},
    "cut": {"kind": "truncated"},
    "nothing in it": {"kind": "nulls"},
}


@pytest.mark.repeats
@pytest.mark.parametrize("trouble", TROUBLES)
@in_simulated_time
async def test_a_zone_that_cannot_be_seen_is_told_once_and_the_others_go_on(start, trouble):
    zones = {"bad.example": [{"status": "active"}], **{f"z{n}.example": [timed_out("succeeds")] for n in range(5)}}
    async with start(zones) as fleet:
        fleet.fault(zone="bad.example", **TROUBLES[trouble])
        await fleet.watch(hours=2)
        assert len(fleet.patches()) == 5
        assert all(fleet.row(f"z{n}.example")["reason"] == "healthy" for n in range(5))
        if trouble == "nothing in it":  # a list of packs without a single word in them is still a list
            assert fleet.row("bad.example")["reason"] == "unknown_status"
            return
        told = [event.reason for event in fleet.events("zone_unseen", "bad.example", "error")]
        assert told == (["unseen", "not_found"] if trouble == "forbidden" else [told[0]])
        assert fleet.zone("bad.example")["last_error"]
        assert fleet.zone("bad.example")["last_success_at"] is None
        fleet.world.clear_faults()
        await fleet.watch(minutes=61 if trouble == "forbidden" else 16)
        assert fleet.zone("bad.example")["last_error"] is None


@in_simulated_time
async def test_a_zone_that_cannot_be_seen_is_asked_ever_less_often(start):
    async with start({"bad.example": [{"status": "active"}]}) as fleet:
        fleet.fault(kind="json_error", status=404, code=7003)
        await fleet.watch(hours=3)
        asked = [fleet.minute(request.at) for request in fleet.asked("GET")]
        assert [round(later - earlier) for earlier, later in pairwise(asked)][:6] == [1, 2, 4, 8, 15, 15]


@in_simulated_time
async def test_a_zone_that_answers_after_20_seconds_delays_nobody_elses_restart(start):
    zones = {"slow.example": [timed_out("succeeds")], **{f"z{n}.example": [timed_out("succeeds")] for n in range(40)}}
    async with start(zones) as fleet:
        fleet.fault(kind="slow", zone="slow.example", delay="20s")
        await fleet.look()
        quick = [at for n in range(40) for at in fleet.patches(f"z{n}.example")]
        assert len(quick) == 40
        assert max(quick) * 60 < 1
        assert [round(at * 60) for at in fleet.patches("slow.example")] == [40]


@in_simulated_time
async def test_fifteen_zones_that_hang_leave_a_place_for_the_others(start):
    hanging = {f"h{n:02}.example": [{"status": "active"}] for n in range(15)}
    async with start({**hanging, "a.example": [timed_out("succeeds")]}) as fleet:
        for zone in hanging:
            fleet.fault(kind="slow", zone=zone, delay="1h")
        await fleet.watch(minutes=2)
        assert fleet.patches("a.example")[0] * 60 < 1
        assert len(fleet.events("zone_unseen")) == 15


@in_simulated_time
async def test_a_discovery_that_hangs_delays_no_zone_of_the_configuration(start):
    accounts = {"main": {"discover": {}}}
    async with start({"a.example": [timed_out("succeeds")]}, config={"accounts": accounts}) as fleet:
        fleet.fault(kind="slow", path="/zones", delay="1h")
        await fleet.look()
        assert fleet.patches("a.example")[0] * 60 < 1


@in_simulated_time
async def test_zones_that_discovery_finds_are_watched_from_the_same_pass_on(start):
    accounts = {"main": {"discover": {"exclude": ["*.test"]}}}
    scenario = {
        "zones": [
            {"name": "found.example", "packs": [timed_out("succeeds")]},
            {"name": "not.test", "packs": [timed_out("succeeds")]},
        ]
    }
    async with start({}, scenario=scenario, config={"accounts": accounts}) as fleet:
        await fleet.look()
        assert (len(fleet.patches("found.example")), len(fleet.patches("not.test"))) == (1, 0)


@in_simulated_time
async def test_a_discovery_that_fails_leaves_the_zones_it_found_last(start):
    accounts = {"main": {"discover": {}}}
    scenario = {"zones": [{"name": "found.example", "packs": [timed_out("succeeds", after="5m")]}]}
    async with start({}, scenario=scenario, config={"accounts": accounts}) as fleet:
        await fleet.look()
        fleet.fault(kind="html_error", path="/zones", status=502)
        await fleet.watch(hours=1)
        assert fleet.row("found.example")["reason"] == "healthy"


@in_simulated_time
async def test_a_discovery_with_gaps_in_it_leaves_the_zones_it_found_last(start):
    accounts = {"main": {"discover": {}}}
    scenario = {"zones": [{"name": "found.example", "packs": [timed_out("succeeds", after="5m")]}]}
    async with start({}, scenario=scenario, config={"accounts": accounts}) as fleet:
        await fleet.look()
        fleet.fault(kind="missing_fields", path="/zones", fields=["name"])
        await fleet.watch(hours=1)
        assert fleet.row("found.example")["reason"] == "healthy"
        assert "a zone without an id or a name" in fleet.components.watched.failures["main"][1]


@in_simulated_time
async def test_a_zone_known_by_name_alone_is_looked_up_once(start):
    per_zone = {"a.example": {"id": None}}
    async with start({"a.example": [timed_out("succeeds")]}, config={"per_zone": per_zone}) as fleet:
        await fleet.watch(hours=1)
        assert sum(request.path == "/zones" for request in fleet.asked("GET")) == 1
        assert fleet.zone("a.example")["zone_id"] == zone_id("a.example")
    async with start({"a.example": []}, world=fleet.world, config={"per_zone": per_zone}) as again:
        await again.watch(minutes=5)
        assert sum(request.path == "/zones" for request in again.asked("GET")) == 1  # it is remembered


@in_simulated_time
async def test_a_refused_credential_is_not_hammered_tells_once_and_leaves_the_other_account_alone(start):
    mine, theirs = {f"m{n}.example": [timed_out("succeeds")] for n in range(10)}, {}
    theirs = {f"p{n}.example": [timed_out("succeeds")] for n in range(50)}
    async with start(mine, partner=theirs) as fleet:
        fleet.world.revoke("partner")
        await fleet.watch(hours=3)
        assert len(fleet.patches()) == 10
        asked = [fleet.minute(request.at) for request in fleet.world.requests_by("partner")]
        assert sum(at < 1 for at in asked) <= 16  # those under way at the first refusal; then nothing but probes
        assert all(later - earlier >= 15 for earlier, later in pairwise(at for at in asked if at >= 1))
        assert 8 <= sum(at >= 1 for at in asked) <= 12
        assert all(len(fleet.events("zone_unseen", zone)) == 1 for zone in theirs)
        assert fleet.zone("p0.example")["reason"] == "credential_refused"


@in_simulated_time
async def test_a_credential_that_is_mended_is_noticed_by_the_slow_probe(start):
    zones = {f"p{n}.example": [timed_out("succeeds")] for n in range(5)}
    async with start({}, partner=zones) as fleet:
        fleet.world.revoke("partner")
        await fleet.watch(hours=1)
        fleet.world.restore("partner")
        await fleet.watch(minutes=32)  # a probe within 15 minutes, then each zone at its next turn
        assert len(fleet.patches()) == 5
        assert all(fleet.zone(zone)["last_error"] is None for zone in zones)


class LoadedDice:
    """Dice that fall off the table the first time: a surprise in the middle of our own code."""

    def __init__(self):
        self.thrown = 0

    def random(self):
        self.thrown += 1
        if self.thrown == 1:
            raise ZeroDivisionError("the dice fell off the table")
        return 0.5


@in_simulated_time
async def test_a_surprise_with_one_pack_does_not_stop_the_next_of_its_zone(start):
    zones = {"a.example": [timed_out("succeeds", hosts=[f"h{n}.a.example"]) for n in range(3)]}
    async with start(zones) as fleet:
        fleet.components.dice = LoadedDice()
        await fleet.look()
        assert [request.path.rsplit("/", 1)[1] for request in fleet.asked("PATCH")] == [
            pack_id("a.example", 1),
            pack_id("a.example", 2),
        ]
        assert "the dice fell off the table" in fleet.row("a.example")["last_error"]
        assert "defect of certpack-watchdog" in fleet.row("a.example")["last_error"]
        assert len(fleet.events("zone_unseen", level="error")) == 1
        await fleet.watch(minutes=10)
        assert len(fleet.patches()) == 3  # and that pack has its turn at the next look


@in_simulated_time
async def test_a_surprise_with_every_look_at_one_zone_is_told_once_and_does_not_stop_the_others(start):
    async with start({"a.example": [timed_out()], "b.example": [timed_out("succeeds")]}) as fleet:
        usual = fleet.components.rules

        def broken(zone):
            return usual(zone if zone.label == "b.example" else None)

        fleet.components.configured = replace(fleet.components.configured, rules=broken)
        await fleet.watch(hours=1)
        assert (len(fleet.patches("a.example")), len(fleet.patches("b.example"))) == (0, 1)
        assert len(fleet.events("zone_unseen", "a.example", "error")) == 1


@in_simulated_time
async def test_a_surprise_on_the_way_to_one_zone_is_told_once_and_does_not_stop_the_others(start):
    async with start({"a.example": [timed_out("succeeds")], "b.example": [timed_out("succeeds")]}) as fleet:

        def closed():
            raise RuntimeError("session is closed")

        for _ in range(3):
            fleet.wire.before("GET", f"{zone_id('a.example')}/ssl/certificate_packs", closed)
        await fleet.look()
        assert (len(fleet.patches("a.example")), len(fleet.patches("b.example"))) == (0, 1)
        assert "defect of certpack-watchdog" in fleet.zone("a.example")["last_error"]
        await fleet.watch(minutes=10)
        assert len(fleet.events("zone_unseen", "a.example", "error")) == 1
        assert len(fleet.patches("a.example")) == 1


class Broken:
    """A telemetry that fails at everything it is told."""

    def __getattr__(self, name):
        def fail(*_args):
            raise RuntimeError(f"cannot tell {name}")

        return fail


@in_simulated_time
async def test_a_teller_that_fails_at_everything_fails_no_pass_and_holds_no_restart_back(start):
    async with start({"a.example": [timed_out("succeeds")], "b.example": [timed_out("succeeds")]}) as fleet:
        fleet.components.telemetry = Broken()
        await fleet.watch(minutes=10)
        assert len(fleet.patches()) == 2
        assert fleet.row("a.example")["reason"] == "healthy"
        assert len(fleet.journal("restart_sent", "a.example")) == 1


@in_simulated_time
async def test_a_stop_begins_no_further_restart_and_lets_the_one_under_way_finish(start):
    zones = {"a.example": [timed_out("succeeds", hosts=[f"h{n}.a.example"]) for n in range(40)]}
    async with start(zones) as fleet:
        fleet.fault(kind="slow", method="PATCH", delay="5s")
        under_way = asyncio.create_task(fleet.look())
        await fleet.sleep(2)
        await fleet.passes.stop(fleet.patience)
        await under_way
        assert len(fleet.patches()) == 1
        assert len(fleet.events("restart_sent")) == 1
        assert fleet.store.open_intents() == []


@in_simulated_time
async def test_a_stop_begins_no_further_look(start):
    zones = {f"z{n:02}.example": [{"status": "active"}] for n in range(40)}
    async with start(zones) as fleet:
        fleet.fault(kind="slow", delay="5s")
        under_way = asyncio.create_task(fleet.look())
        await fleet.sleep(2)
        await fleet.passes.stop(fleet.patience)
        await under_way
        assert len(fleet.asked("GET")) == 16


@in_simulated_time
async def test_a_daemon_that_cloudflare_makes_wait_stops_at_once(start):
    async with start({"a.example": [{"status": "active"}]}) as fleet:
        fleet.fault(kind="rate_limited", retry_after=300)
        async with as_a_daemon(fleet):
            await fleet.sleep(5)
            asked_at = fleet.clock.monotonic()
        assert fleet.clock.monotonic() - asked_at < 1


class TakingOver(Alone):
    """The tenure of a replica to which accounts come one by one."""

    def __init__(self, *accounts: str) -> None:
        self.accounts = {*accounts}

    def keeps(self, account: str) -> bool:
        return account in self.accounts

    holds = may_send = keeps


@in_simulated_time
async def test_an_account_that_comes_during_a_pass_does_not_wait_for_its_end(start):
    async with start({"slow.example": CALM}, other={"late.example": CALM}) as fleet:
        fleet.components.tenure = mine = TakingOver("main")
        fleet.passes.enrol()
        fleet.fault(kind="slow", zone="slow.example", delay="20s")
        under_way = asyncio.create_task(fleet.look())
        await fleet.sleep(1)
        mine.accounts.add("other")
        fleet.passes.enrol()
        fleet.passes.begin_parts()
        await fleet.sleep(1)
        assert fleet.asked("GET", "late.example")
        assert not under_way.done()
        await under_way


@in_simulated_time
async def test_a_pass_lasts_until_what_came_during_it_is_seen(start):
    async with start({"slow.example": CALM}, other={"slower.example": CALM}) as fleet:
        fleet.components.tenure = mine = TakingOver("main")
        fleet.passes.enrol()
        fleet.fault(kind="slow", zone="slow.example", delay="10s")
        fleet.fault(kind="slow", zone="slower.example", delay="20s")
        under_way = asyncio.create_task(fleet.look())
        await fleet.sleep(1)
        mine.accounts.add("other")
        fleet.passes.enrol()
        fleet.passes.begin_parts()
        assert (await under_way).seconds == pytest.approx(21, abs=1)


@in_simulated_time
async def test_a_zone_whose_packs_the_disk_does_not_give_is_told_and_looked_at_again(start):
    zones = {"a.example": CALM}
    async with start(zones) as fleet:
        await fleet.watch(minutes=1)
    async with start(zones, world=fleet.world) as again:
        again.store._database._aside._raw.close()  # noqa: SLF001 - as a disk that gives nothing any more
        await again.watch(minutes=16)
        (known,) = again.runtime.components.memory.zones.values()
        assert known.error.startswith("the state ")
        assert len(again.events("zone_unseen", "a.example")) == 1
        assert len(again.asked("GET")) > 1
