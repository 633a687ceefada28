"""The right person knows, once: whole lives of the daemon's pipeline, with destinations that come and go."""

import asyncio
from collections import Counter
from datetime import timedelta
from itertools import count

import pytest

from tests.harness.alerting import HOOK, Network, gave_up, living
from tests.harness.builders import inventory, pack, troubled, zone
from tests.harness.time import Death, LoopClock, in_simulated_time
from tests.harness.values import replace
from watchdog.model.decisions import Decision, Do
from watchdog.model.reasons import Reason
from watchdog.notify.rules import HealthReport
from watchdog.state.database import StateError
from watchdog.state.store import Store

MANAGER = "  destinations:\n    - {name: am, alertmanager: 'http://am.test', heartbeat: true}\n"
TWO = (
    HOOK
    + "    - {name: other, webhook: 'http://other.test/s3cr3t', min_severity: critical, zones: ['*.example.com']}\n"
)
TITLE = "[critical] gave_up: example.com: gave up after 8 restarts"
RECOVERED = "[resolved] gave_up: example.com: recovered after"


PAGER = "  destinations:\n    - {name: pager, pagerduty: s3cr3t, pagerduty_url: 'https://pager.test'}\n"


@pytest.fixture
def network():
    return Network()


@in_simulated_time
async def test_a_pack_that_gives_up_is_told_once_and_its_recovery_too(tmp_path, network):
    async with living(tmp_path, network) as runtime:
        await runtime.passes(pack("p1"), count=3)
        await runtime.passes(gave_up(), count=90)
        await runtime.passes(pack("p1"), count=3)
    first, second = network.titles()
    assert (first, second[: len(RECOVERED)]) == (TITLE, RECOVERED)
    assert second.endswith("8 restarts")
    assert runtime.logs.events() == ["alert_sent", "alert_sent"]
    assert runtime.counted == [("hook", "accepted")] * 2


@in_simulated_time
async def test_a_new_critical_waits_for_its_group_as_long_as_the_configuration_says(tmp_path, network):
    zones, both = [zone(), zone("b.example")], (gave_up(), gave_up("p2", zone="b.example"))
    async with living(tmp_path, network, "  critical_within: 3m\n" + HOOK) as runtime:
        await runtime.passes(gave_up(), zones=zones)
        await runtime.passes(*both, zones=zones, count=2)
        assert network.titles() == [TITLE]
        await runtime.passes(*both, zones=zones)
    assert network.titles() == [TITLE, TITLE.replace("example.com", "b.example")]


@in_simulated_time
async def test_the_log_says_of_each_message_what_it_told_of_which_zones_and_where(tmp_path, network):
    async with living(tmp_path, network) as runtime:
        await runtime.passes(gave_up())
        await runtime.passes(pack("p1"), count=7)
    told = network.told()
    facts = [
        {
            "message_id": number,
            "reason": "gave_up",
            "severity": "critical",
            "kind": kind,
            "zones": ["example.com"],
            "fingerprints": [message["alerts"][0]["fingerprint"]],
            "destinations": ["hook"],
            "title": message["title"],
        }
        for number, message, kind in zip([1, 2], told, ["started", "over"], strict=True)
    ]
    assert [fields for _, _, fields in runtime.logs.lines] == facts


@in_simulated_time
async def test_the_log_names_the_first_ten_zones_of_a_large_message_and_the_fingerprints_of_fifty(tmp_path, network):
    names = [f"z{number}.example" for number in range(60)]
    async with living(tmp_path, network) as runtime:
        await runtime.passes(*(gave_up(zone=name) for name in names), zones=[zone(name) for name in names])
    [(_, _, line)] = runtime.logs.lines
    assert (len(line["zones"]), len(line["fingerprints"])) == (10, 50)


@in_simulated_time
async def test_a_message_links_the_page_that_says_what_to_do_where_people_find_it(tmp_path, network):
    async with living(tmp_path, network, "  runbooks: https://wiki.test/certpack\n" + HOOK) as runtime:
        await runtime.passes(gave_up())
    assert network.told()[0]["text"].endswith("Runbook: https://wiki.test/certpack/gave_up.md")


@in_simulated_time
async def test_a_start_repeats_nothing_that_was_said_and_says_what_lasts_when_it_is_due(tmp_path, network):
    for _ in range(6):
        async with living(tmp_path, network) as runtime:
            await runtime.passes(gave_up(), count=5)
    assert network.titles() == [TITLE]
    async with living(tmp_path, network) as runtime:
        await runtime.passes(gave_up(), count=24 * 60)
    assert network.titles() == [TITLE, TITLE.replace("gave_up", "still gave_up", 1)]


@in_simulated_time
async def test_what_a_destination_missed_arrives_in_order_when_it_is_back(tmp_path, network):
    network.down.add("hook.test")
    async with living(tmp_path, network) as runtime:
        await runtime.passes(gave_up(), count=10)
        await runtime.passes(pack("p1"), count=10)
        assert network.titles() == []
        network.down.clear()
        await asyncio.sleep(16 * 60)
    assert [title[:10] for title in network.titles()] == ["[critical]", "[resolved]"]


@in_simulated_time
async def test_a_kill_while_a_destination_is_down_loses_nothing(tmp_path, network):
    network.down.add("hook.test")
    async with living(tmp_path, network, kill=True) as runtime:
        await runtime.passes(gave_up())
    async with living(tmp_path, network, kill=True) as runtime:
        await runtime.passes(pack("p1"), count=7)
    network.down.clear()
    async with living(tmp_path, network):
        await asyncio.sleep(1)
    assert [title[:10] for title in network.titles()] == ["[critical]", "[resolved]"]
    async with living(tmp_path, network):
        await asyncio.sleep(3600)
    assert len(network.told()) == 2


@in_simulated_time
async def test_what_was_accepted_and_not_noted_is_sent_again_under_the_same_id(tmp_path, network):
    network.slow["hook.test"] = 3
    async with living(tmp_path, network, kill=True) as runtime:
        await runtime.pipeline.after_pass(inventory(gave_up()))
        await asyncio.sleep(2)  # it is on the wire
    network.asked.clear()
    async with living(tmp_path, network):
        await asyncio.sleep(10)
    async with living(tmp_path, network):
        await asyncio.sleep(10)
    assert [message["id"] for message in network.told()] == ["20261124T120000-1"]


@in_simulated_time
async def test_a_stop_lets_what_is_on_the_wire_arrive(tmp_path, network):
    network.slow["hook.test"] = 2
    async with living(tmp_path, network) as runtime:
        await runtime.pipeline.consider(inventory(gave_up()))
        await asyncio.sleep(1)
    assert network.titles() == [TITLE]
    async with living(tmp_path, network):
        await asyncio.sleep(60)
    assert network.titles() == [TITLE]


@in_simulated_time
async def test_a_broken_destination_delays_neither_another_nor_a_pass(tmp_path, network):
    network.slow["other.test"] = 10**6
    async with living(tmp_path, network, TWO) as runtime:
        before = runtime.clock.now()
        await runtime.passes(gave_up(zone="www.example.com"), zones=[zone("www.example.com")])
        assert runtime.clock.now() - before == timedelta(seconds=60)
        assert len(network.told("hook.test")) == 1
    assert ("other", "failed") in runtime.counted


@in_simulated_time
async def test_each_destination_hears_what_it_wants(tmp_path, network):
    zones = [zone("www.example.com"), zone("example.org")]
    async with living(tmp_path, network, TWO) as runtime:
        await runtime.passes(gave_up(zone="www.example.com"), gave_up("p2", zone="example.org"), zones=zones)
    assert network.titles("hook.test") == ["[critical] gave_up: 2 packs in 2 zones of account main"]
    assert network.titles("other.test") == [TITLE.replace("example.com", "www.example.com")]


@pytest.mark.repeats
@in_simulated_time
async def test_five_hundred_packs_at_once_make_one_message_and_so_does_their_recovery(tmp_path, network):
    names = [f"z{number}.example" for number in range(500)]
    zones = [zone(name) for name in names]
    async with living(tmp_path, network) as runtime:
        await runtime.passes(*(gave_up(f"p-{name}", zone=name) for name in names), zones=zones, count=30)
        await runtime.passes(*(pack(f"p-{name}", zone=name) for name in names), zones=zones, count=30)
    assert [title.split(" after")[0] for title in network.titles()] == [
        "[critical] gave_up: 500 packs in 500 zones of account main",
        "[resolved] gave_up: 500 packs in 500 zones of account main",
    ]
    assert network.told()[0]["total"] == 500


@in_simulated_time
async def test_a_refused_credential_is_one_message_however_many_zones_it_was_for(tmp_path, network):
    error = "list_packs: HTTP 403, code 10000: Authentication error; it lacks Zone / SSL and Certificates / Edit"
    zones = [zone(f"z{number}.example", error=error, reason="credential_refused") for number in range(300)]
    async with living(tmp_path, network) as runtime:
        await runtime.passes(zones=zones, count=10)
    [message] = network.told()
    assert message["title"] == "[critical] credential_refused: 300 zones of account main"
    assert "Zone / SSL and Certificates / Edit" in message["text"]


# ── Alertmanager ─────────────────────────────────────────────────────────────────────────────────────────────────


@in_simulated_time
async def test_an_alertmanager_is_told_every_minute_what_holds_and_at_once_what_is_new(tmp_path, network):
    async with living(tmp_path, network, MANAGER) as runtime:
        await runtime.passes(gave_up(), count=10)
        assert len(network.asked["am.test"]) in (11, 12)
        assert ("CertpackWatchdogGaveUp", "2026-11-24T12:13:00Z") in network.firing()
        await runtime.passes(pack("p1"), count=2)
        assert ("CertpackWatchdogGaveUp", "2026-11-24T12:10:00Z") in network.firing()
        await runtime.passes(pack("p1"), count=20)
    assert [name for name, _ in network.firing()] == ["CertpackWatchdogHeartbeat"]
    assert [fields["title"] for _, _, fields in runtime.logs.lines] == ["1 alerts fire", "0 alerts fire"]


@in_simulated_time
async def test_an_alertmanager_that_is_down_is_logged_once_until_it_answers_again(tmp_path, network):
    network.down.add("am.test")
    async with living(tmp_path, network, MANAGER) as runtime:
        await runtime.passes(gave_up(), count=10)
        assert runtime.logs.events() == ["alert_failed"]
        network.down.clear()
        await runtime.passes(gave_up(), count=2)
    assert runtime.logs.events() == ["alert_failed", "alert_sent"]
    assert runtime.counted.count(("am", "failed")) >= 10


@in_simulated_time
async def test_an_alertmanager_hears_what_holds_as_soon_as_the_daemon_lives_again(tmp_path, network):
    async with living(tmp_path, network, MANAGER, kill=True) as runtime:
        await runtime.passes(gave_up())
    network.asked.clear()
    async with living(tmp_path, network, MANAGER):
        await asyncio.sleep(1)
        assert "CertpackWatchdogGaveUp" in dict(network.firing())


@in_simulated_time
async def test_while_zones_cannot_be_listed_after_a_start_none_of_their_alerts_is_said_to_be_gone(tmp_path, network):
    async with living(tmp_path, network) as runtime:
        await runtime.passes(gave_up())
    failing = HealthReport(discovery={"main": (Reason.UNSEEN, "list_zones: HTTP 502")})
    async with living(tmp_path, network) as runtime:
        for _ in range(30):
            await runtime.pipeline.after_pass(inventory(zones=[]), failing)
            await asyncio.sleep(300)
        assert not any("gave_up" in title for title in network.titles()[1:])
        await runtime.passes(gave_up(), count=3)
        assert not any("gave_up" in title for title in network.titles()[1:])
        await runtime.passes(pack(), count=20)
        assert [title for title in network.titles() if title.startswith(RECOVERED)]


# ── heartbeat ────────────────────────────────────────────────────────────────────────────────────────────────────


HEARTBEAT = "  heartbeat_url: http://hc.test/ping/s3cr3t\n"
DARK = {"error": "list_packs: HTTP 502", "reason": "unseen"}


def beats(network):
    """What each ping said of its pass."""
    return ["failed" if path.endswith("/fail") else "good" for path, _ in network.asked["hc.test"]]


@in_simulated_time
async def test_the_heartbeat_follows_every_pass_and_says_when_the_state_cannot_be_written(tmp_path, network):
    async with living(tmp_path, network, HEARTBEAT) as runtime:
        await runtime.passes(pack("p1"))
        await runtime.passes(pack("p1"), health=HealthReport(state_error="the disk is full"))
        network.down.add("hc.test")
        await runtime.passes(pack("p1"))
    assert beats(network) == ["good", "failed"]
    assert runtime.logs.lines[-1] == ("warning", "heartbeat_failed", {"error": "could not connect"})


@in_simulated_time
async def test_where_an_account_is_worked_by_nobody_the_heartbeat_ceases(tmp_path, network):
    async with living(tmp_path, network, HEARTBEAT) as runtime:
        await runtime.passes(heartbeat=False)
    assert network.asked["hc.test"] == []


@in_simulated_time
async def test_the_heartbeat_goes_by_what_all_zones_last_showed(tmp_path, network):
    async with living(tmp_path, network, HEARTBEAT) as runtime:
        await runtime.passes(pack("p1"), zones=[zone("a.example"), zone("b.example", **DARK)])
        await runtime.passes(pack("p1"), zones=[zone("a.example", **DARK), zone("b.example", **DARK)])
        await runtime.passes(pack("p1"), zones=[zone("a.example"), zone("b.example", **DARK)])
    assert beats(network) == ["good", "failed", "good"]


@in_simulated_time
async def test_the_heartbeat_says_that_nothing_is_seen_where_no_zone_is_known_since_discovery_fails(tmp_path, network):
    failing = HealthReport(discovery={"main": ("credential_refused", "list_zones: HTTP 403")})
    async with living(tmp_path, network, HEARTBEAT) as runtime:
        await runtime.pipeline.after_pass(inventory(zones=[]), failing)
        await runtime.pipeline.destinations.settled(timedelta(seconds=20))
        await runtime.pipeline.after_pass(inventory(zones=[zone("a.example")]), failing)
        await runtime.pipeline.destinations.settled(timedelta(seconds=20))
    assert beats(network) == ["failed", "good"]


# ── the configuration and the disk ───────────────────────────────────────────────────────────────────────────────


@in_simulated_time
async def test_the_first_destination_hears_what_held_before_it_was_there(tmp_path, network):
    async with living(tmp_path, network, "  pending_for: 24h\n") as runtime:
        await runtime.passes(gave_up(), count=30)
        runtime.reload(HOOK)
        await runtime.passes(gave_up(), count=2)
    assert network.titles() == [TITLE]


@in_simulated_time
async def test_a_reload_gives_what_waits_to_the_destinations_new_address_and_leaves_the_others_alone(tmp_path, network):
    network.down |= {"hook.test"}
    async with living(tmp_path, network, TWO) as runtime:
        await runtime.passes(gave_up(zone="www.example.com"), zones=[zone("www.example.com")])
        runtime.reload(TWO.replace("hook.test", "new.test"))
        await asyncio.sleep(1)
        assert (len(network.told("new.test")), len(network.told("other.test"))) == (1, 1)
        runtime.reload("  pending_for: 24h\n")
        assert runtime.pipeline.destinations.names == ()


@in_simulated_time
async def test_letters_to_a_destination_that_is_gone_are_forgotten(tmp_path, network):
    network.down.add("hook.test")
    async with living(tmp_path, network, kill=True) as runtime:
        await runtime.passes(gave_up())
    async with living(tmp_path, network, "  pending_for: 24h\n"):
        pass
    network.down.clear()
    async with living(tmp_path, network):
        await asyncio.sleep(3600)
    assert network.told() == []


class FullDisk:
    """A store whose disk takes no writes for a while."""

    def __init__(self, store):
        self._store, self.full = store, True

    def reading(self):
        return self.writing()

    def writing(self, fence=None):
        if self.full:
            raise StateError("the state cannot be written: the disk is full")
        return self._store.writing(fence)

    def close(self):
        self._store.close()


@in_simulated_time
async def test_a_disk_that_takes_no_writes_keeps_nobody_from_being_told(tmp_path, network):
    disk = FullDisk(Store.open(f"sqlite:///{tmp_path / 'state.db'}", exclusive=True))
    async with living(tmp_path, network, store=disk) as runtime:
        health = HealthReport(state_error="the disk is full")
        await runtime.passes(gave_up(), count=3, health=health)
        assert sorted(title.split(":")[0] for title in network.titles()) == [
            "[critical] gave_up",
            "[critical] state_unwritable",
        ]
        disk.full = False
        await runtime.passes(gave_up(), count=10)
    async with living(tmp_path, network) as runtime:
        await runtime.passes(gave_up(), count=10)
    assert len(network.told()) == 3  # and that the state can be written again


@in_simulated_time
async def test_no_end_is_told_before_the_disk_takes_it_for_who_comes_next_would_not_know_of_it(tmp_path, network):
    disk = FullDisk(Store.open(f"sqlite:///{tmp_path / 'state.db'}", exclusive=True))
    disk.full = False
    async with living(tmp_path, network, store=disk) as runtime:
        await runtime.passes(gave_up())
        disk.full = True
        await runtime.passes(pack(), count=20, health=HealthReport(state_error="the disk is full"))
        assert [each["status"] for each in network.told()] == ["firing", "firing"]
        disk.full = False
        await runtime.passes(pack(), count=20)
    assert [each["status"] for each in network.told()[2:]] == ["resolved", "resolved"]


@in_simulated_time
async def test_a_disk_that_hangs_keeps_nobody_from_being_told_either(tmp_path, network):
    disk = asyncio.Event()
    disk.set()
    async with living(tmp_path, network, TWO, disk=disk) as runtime:
        disk.clear()
        for pack_id in ("p1", "p2"):
            began = runtime.clock.now()
            await runtime.pipeline.consider(inventory(gave_up(pack_id, zone=f"{pack_id}.example.com")))
            assert runtime.clock.now() - began == timedelta(seconds=5)
            await asyncio.sleep(15 * 60)
        assert len(network.told("hook.test")) == len(network.told("other.test")) == 2
        disk.set()
    async with living(tmp_path, network, TWO):
        await asyncio.sleep(3600)
    assert len(network.told("hook.test")) == 2


@in_simulated_time
async def test_nothing_secret_is_logged_whatever_fails(tmp_path, network):
    network.down |= {"hook.test", "other.test", "hc.test"}
    async with living(tmp_path, network, "  heartbeat_url: http://hc.test/s3cr3t\n" + TWO) as runtime:
        await runtime.passes(gave_up(zone="www.example.com"), zones=[zone("www.example.com")], count=10)
        network.down.clear()
        network.status = dict.fromkeys(("hook.test", "other.test", "hc.test"), 404)
        await runtime.passes(gave_up(zone="www.example.com"), zones=[zone("www.example.com")], count=10)
    assert runtime.logs.lines
    assert "s3cr3t" not in repr(runtime.logs.lines)
    assert "test/" not in repr(runtime.logs.lines)


@in_simulated_time
async def test_a_defect_in_what_is_worth_a_word_ends_nothing(tmp_path, network):
    async with living(tmp_path, network) as runtime:
        await runtime.pipeline.consider(None)
        await runtime.passes(gave_up())
    level, event, fields = runtime.logs.lines[0]
    assert (level, event) == ("error", "alert_failed")
    assert "defect" in fields["error"]
    assert network.titles() == [TITLE]


@in_simulated_time
async def test_whoever_asks_is_told_what_fires(tmp_path, network):
    async with living(tmp_path, network) as runtime:
        await runtime.passes(gave_up())
        [row] = runtime.pipeline.rows()["alerts"]
        assert (row["reason"], row["severity"], row["last_said_at"]) == ("gave_up", "critical", "2026-11-24T12:00:00Z")
        assert runtime.pipeline.firing()["gave_up", "critical"] == 1
        assert runtime.pipeline.firing()["expired", "critical"] == 0


@in_simulated_time
async def test_a_single_pass_can_wait_until_all_is_delivered_but_not_for_ever(tmp_path, network):
    network.down.add("other.test")
    everything = TWO + "    - {name: am, alertmanager: 'http://am.test'}\n"
    async with living(tmp_path, network, "  heartbeat_url: http://hc.test/\n" + everything) as runtime:
        await runtime.pipeline.after_pass(inventory(gave_up(zone="www.example.com")))
        await runtime.pipeline.destinations.settled(timedelta(seconds=20))
        assert len(network.told()) == len(network.asked["hc.test"]) == 1
        assert "CertpackWatchdogGaveUp" in dict(network.firing())


# ── killed at every moment ───────────────────────────────────────────────────────────────────────────────────────


class Wire(Network):
    """A network that death may cut."""

    gate = None

    async def handle_async_request(self, request):
        if self.gate is None:
            return await super().handle_async_request(request)
        return await self.gate(lambda: super(Wire, self).handle_async_request(request))


class Day:
    """Two packs of two zones are given up, while the receiver is down at first; then the first is well again.

    It goes on where it was, whoever looks.
    """

    def __init__(self, network):
        self.network, self.done = network, 0
        ill, well = gave_up(), pack("p1")
        other, healthy = gave_up("p2", zone="example.org"), pack("p2", zone="example.org")
        self.steps = [(True, ill, healthy), (True, ill, other), (False, ill, other), (False, well, other)]

    async def go_on(self, runtime):
        zones = [zone("example.com"), zone("example.org")]
        for down, *packs in self.steps[self.done :]:
            (self.network.down.add if down else self.network.down.discard)("hook.test")
            await runtime.passes(*packs, zones=zones)
            await asyncio.sleep(20 * 60)
            self.done += 1


async def live_until(death, folder, day):
    """A life that ends when death comes, or the day is over; whether it was death."""
    loop = asyncio.get_running_loop()
    async with living(folder, day.network, kill=True) as runtime:
        loop.gate = day.network.gate = death
        dying, telling = asyncio.ensure_future(death.came.wait()), asyncio.ensure_future(day.go_on(runtime))
        await asyncio.wait([dying, telling], return_when=asyncio.FIRST_COMPLETED)
        loop.gate = day.network.gate = None
        return death.came.is_set()


@pytest.mark.process  # it takes seconds
@in_simulated_time
async def test_killed_at_any_moment_it_tells_everything_and_hardly_anything_twice(tmp_path_factory):
    twice = []
    for moment in count():
        folder, day = tmp_path_factory.mktemp("life"), Day(Wire())
        died = await live_until(Death(moment), folder, day)
        async with living(folder, day.network) as again:
            await day.go_on(again)
            await asyncio.sleep(20 * 60)
        times = Counter(message["id"] for message in day.network.told())
        kinds = [(alert["pack_id"], alert["kind"]) for message in day.network.told() for alert in message["alerts"]]
        assert set(kinds) == {("p1", "started"), ("p2", "started"), ("p1", "over")}, f"killed at crossing {moment}"
        assert len(times) == 3, f"killed at crossing {moment}: {times}"
        twice.append(len(kinds) - len(times))
        if not died:
            break
    assert moment >= 12
    assert sum(twice) == 6, twice  # of each, while the receiver's yes comes back and is noted


def incidents(network):
    """What PagerDuty was told of each incident, in order."""
    said = {}
    for event in network.told("pager.test"):
        said.setdefault(event["dedup_key"], []).append(event["event_action"])
    return said


@in_simulated_time
async def test_each_of_many_alerts_opens_an_incident_and_each_end_closes_one(tmp_path, network):
    names, zones = [f"p{number}" for number in range(120)], [f"z{number}.example" for number in range(120)]
    both = list(zip(names, zones, strict=True))
    seen = [zone(name) for name in zones]
    async with living(tmp_path, network, PAGER) as runtime:
        await runtime.passes(*(gave_up(name, zone=where) for name, where in both), zones=seen)
        assert list(incidents(network).values()) == [["trigger"]] * 120
        await runtime.passes(*(pack(name, zone=where) for name, where in both), zones=seen, count=10)
    assert list(incidents(network).values()) == [["trigger", "resolve"]] * 120


@in_simulated_time
async def test_an_alert_that_gives_way_to_another_leaves_no_incident_open(tmp_path, network):
    refused = troubled(decision=Decision(Do.GIVE_UP, Reason.CA_REFUSES))
    async with living(tmp_path, network, PAGER + HOOK.split("\n", 1)[1]) as runtime:
        await runtime.passes(gave_up())
        await runtime.passes(refused)
        assert sorted(incidents(network).values()) == [["trigger"], ["trigger", "resolve"]]
        await runtime.passes(pack("p1"), count=10)
    assert list(incidents(network).values()) == [["trigger", "resolve"]] * 2
    assert [title.split(":")[0] for title in network.titles()] == [
        "[critical] gave_up",
        "[warning] ca_refuses",
        "[resolved] ca_refuses",
    ]


@in_simulated_time
async def test_the_line_of_a_message_says_whom_it_told_what_about_which_alerts(tmp_path, network):
    packs = [gave_up(f"p{number}", zone=f"{number}.example") for number in range(12)]
    async with living(tmp_path, network) as runtime:
        await runtime.passes(*packs, zones=[zone(f"{number}.example") for number in range(12)])
    ((_, _, line),) = runtime.logs.lines
    assert {name: line[name] for name in ("message_id", "reason", "severity", "kind", "destinations")} == {
        "message_id": 1,
        "reason": "gave_up",
        "severity": "critical",
        "kind": "started",
        "destinations": ["hook"],
    }
    assert (len(line["zones"]), len(line["fingerprints"])) == (10, 12)


@in_simulated_time
async def test_the_journal_says_of_each_zone_that_people_were_told(tmp_path, network):
    known, history = gave_up("p2", zone="a.example")
    other = replace(known, pack=replace(known.pack, hosts=("other.a.example",)))
    packs = [gave_up("p1", zone="a.example"), (other, history), gave_up("p3", zone="b.example")]
    async with living(tmp_path, network) as runtime:
        await runtime.passes(*packs, zones=[zone("a.example"), zone("b.example")])
    kept = [(event.name, event.zone.label, event.pack and event.pack.id, event.reason) for event in runtime.kept]
    assert kept == [("alert_sent", "a.example", None, "gave_up"), ("alert_sent", "b.example", "p3", "gave_up")]


@in_simulated_time
async def test_the_journal_says_once_that_people_could_not_be_told_and_again_when_they_never_will(tmp_path, network):
    network.down.add("hook.test")
    async with living(tmp_path, network) as runtime:
        await runtime.passes(gave_up())
        await asyncio.sleep(4 * 86400)
        await runtime.passes(pack("p1"), count=2)
    failed = [event for event in runtime.kept if event.name == "alert_failed"]
    assert ["dropped=True" in event.detail for event in failed][:2] == [False, True]


@in_simulated_time
async def test_alerts_of_an_account_that_may_have_got_another_name_wait_while_zones_cannot_be_listed(tmp_path, network):
    async with living(tmp_path, network) as home:
        await home.passes(gave_up(zone="a.example"), zones=[zone("a.example")], count=2)
    others, failing = [zone("b.example", "renamed")], HealthReport(discovery={"renamed": ("unseen", "HTTP 502")})
    async with living(tmp_path, network, account="renamed") as home:
        await home.passes(zones=others, health=failing, count=5)
        assert [title for title in network.titles() if "a.example" in title and "resolved" in title] == []
        await home.passes(zones=others, count=5)
        assert len([title for title in network.titles() if "a.example" in title and "resolved" in title]) == 1


@in_simulated_time
async def test_an_account_that_nobody_works_ends_as_what_it_is(tmp_path, network):
    """Worked again, or configured by no replica any more."""
    now, both = LoopClock().now(), frozenset({"main", "far"})
    nobody = HealthReport(unheld={"far": now}, configured=both)
    async with living(tmp_path, network) as household:
        for after in (both, frozenset({"main"})):
            await household.passes(health=nobody, count=20)
            await household.passes(health=HealthReport(configured=after), count=20)
    ends = [title.rpartition(": ")[2] for title in network.titles() if title.startswith("[resolved]")]
    assert ends[0].startswith("a replica works the account again after")
    assert ends[1].startswith("no longer configured after")
