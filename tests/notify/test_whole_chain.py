"""From Cloudflare to the person who is told: what goes wrong there, and how many messages of it arrive here."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from tests.harness.alerting import Diagnoser, chain
from tests.harness.fleet import timed_out
from tests.harness.time import in_simulated_time
from tests.harness.values import replace
from watchdog.model.findings import Certainty, Finding, FindingName
from watchdog.model.meanings import ALERTS
from watchdog.model.packs import ManualRecord
from watchdog.notify.rules import ALL_WELL, active_alerts
from watchdog.simulator.scenario import pack_id
from watchdog.state import outbox

ROOT = Path(__file__).parents[2]
ZONE = "a.example"
OTHERS = {f"{name}.example": [{}] for name in "bcd"}
REFUSES = "The certificate authority will not issue for this domain"


def titles(runtime):
    return [re.sub(r"\d{4}-\S+Z", "TIME", title) for title in runtime.network.titles()]


@in_simulated_time
async def test_a_pack_that_is_given_up_is_told_and_its_end_says_how_long_it_took_and_how_many_restarts(tmp_path):
    config = {"restart": {"max_attempts": 2, "backoff": {"jitter": 0.0}}}
    async with chain(tmp_path, {ZONE: [timed_out(hosts=[ZONE])]}, config=config) as runtime:
        await runtime.watch(hours=3)
        runtime.fleet.world.set_status(pack_id(ZONE, 0), "active")
        await runtime.watch(minutes=20)
        assert runtime.fleet.metric("recovery_duration_seconds_sum") == timedelta(hours=3).total_seconds()
        assert runtime.fleet.metric("recovery_duration_seconds_bucket", le="10800.0") == 1
    assert titles(runtime) == [
        "[critical] gave_up: a.example: gave up after 2 restarts",
        "[resolved] gave_up: a.example: recovered after 3 h, 2 restarts",
    ]


@in_simulated_time
async def test_a_token_that_may_read_and_not_restart_is_told_with_the_permission_it_lacks(tmp_path):
    tokens = [{"name": "main", "value": "token-of-main", "permissions": ["read", "zone_read"]}]
    packs = {ZONE: [timed_out(hosts=[ZONE])]}
    slow = {"schedule": {"attention_interval": "5m"}}
    async with chain(tmp_path, packs, scenario={"tokens": tokens}, config=slow) as runtime:
        await runtime.watch(hours=2)
        assert runtime.fleet.patches() == [0, 5, 10, 25, 40, 55, 70, 85, 100, 115]
    assert titles(runtime) == [
        "[critical] credential_refused: a.example: Cloudflare does not let this credential restart it"
    ]
    assert "lacks the permission Zone / SSL and Certificates / Edit" in runtime.network.told()[0]["text"]


@in_simulated_time
async def test_an_outage_of_cloudflare_is_one_message_and_its_end_another(tmp_path):
    outage = {"kind": "reset", "after": "10m", "until": "190m"}
    scenario, slow = {"faults": [outage]}, {"schedule": {"attention_interval": "5m"}}
    async with chain(tmp_path, {ZONE: [timed_out()], **OTHERS}, scenario=scenario, config=slow) as runtime:
        await runtime.watch(hours=6)
    assert titles(runtime) == [
        "[warning] cloudflare_failing: no zone was seen since TIME: Cloudflare's API cannot be reached, or fails",
        "[resolved] cloudflare_failing: certpack-watchdog: zones are seen again after 3 h",
    ]


@in_simulated_time
async def test_a_start_in_the_middle_of_an_outage_says_nothing_new(tmp_path):
    async with chain(tmp_path, OTHERS) as runtime:
        await runtime.watch(minutes=20)
        runtime.fleet.fault(kind="reset")
        await runtime.watch(minutes=50)
        world, network = runtime.fleet.world, runtime.network
    async with chain(tmp_path, OTHERS, world=world, network=network) as again:
        await again.watch(minutes=50)
    assert [title[:29] for title in titles(again)] == ["[warning] cloudflare_failing:"]


@in_simulated_time
async def test_a_start_knows_that_a_renewal_is_late_before_any_zone_is_seen(tmp_path):
    late = timed_out(hosts=[ZONE], expires_in="10d", validity_days=90)
    async with chain(tmp_path, {ZONE: [late]}, config={"restart": {"enabled": False}}) as runtime:
        await runtime.watch(minutes=1)
        assert [title[:30] for title in titles(runtime)] == ["[warning] expiring: a.example:"]
        world = runtime.fleet.world
    async with chain(tmp_path, {ZONE: []}, world=world) as again:
        now = again.fleet.clock.now()
        held = active_alerts(again.fleet.runtime.inventory(), ALL_WELL, now - timedelta(hours=1), now)
    assert [str(alert.reason) for alert in held.alerts.values()] == ["expiring"]


TROUBLES = {
    "gave-up.example": timed_out(),
    "expired.example": {"status": "expired", "expires_in": "0s"},
    "expiring.example": timed_out(after="90d", expires_in="5d"),
    "missing.example": {},
    "other-stage.example": {"status": "issuance_timed_out"},
    "universal.example": timed_out(type="universal"),
    "worker.example": timed_out(),
    "twin.example": {},
    "refused.example": timed_out(story={"errors": [REFUSES]}),
    "held.example": timed_out(),
    "limited.example": timed_out(expires_in="2d", story={"errors": ["The authority has rate limited these domains."]}),
    "records.example": timed_out(after="90d"),
    "pending.example": {
        "status": "pending_validation",
        "story": {"outcomes": ["times_out"], "stages": {"timing_out": "90d"}},
    },
    "strange.example": {"status": "quarantined", "story": {"stuck_in": "quarantined"}},
    "unseen.example": {},
    "well.example": {},
}
"""Zones of the first account, each of one pack with a trouble of its own. Another account's token is revoked."""

TOKEN = ManualRecord("TXT", "_acme-challenge.records.example", "new-token")
FINDINGS = {
    "held.example": [
        Finding(
            name=FindingName.CAA_FORBIDS,
            certainty=Certainty.CERTAIN,
            host="",
            says="CAA forbids google.",
            remedy="Allow it.",
        )
    ],
    "records.example": [
        Finding(
            name=FindingName.TOKEN_MISSING,
            certainty=Certainty.LIKELY,
            host="",
            says="No token.",
            remedy="Add it.",
            record=TOKEN,
        )
    ],
}


@in_simulated_time
async def test_every_alert_there_is_comes_about_with_all_a_person_needs_and_keeps_its_fingerprint(tmp_path):
    zones = {name: {"packs": [{"hosts": [name], **start}]} for name, start in TROUBLES.items()}
    zones["worker.example"]["acm"] = False
    config = {
        "schedule": {"attention_interval": "10m"},
        "restart": {"max_attempts": 1},
        "alerts": {"pending_for": "2h"},
        "per_zone": {"missing.example": {"id": "f" * 32}, "twin.example": {"id": None}},
    }
    faults = [{"kind": "reset", "zone": "unseen.example", "after": "1m"}]
    tokens = [{"name": "main", "value": "token-of-main"}, {"name": "other", "value": "token-of-other", "revoked": True}]
    twin = {"name": "twin.example", "id": "e" * 32}
    scenario, found = {"faults": faults, "tokens": tokens, "zones": [twin]}, {}

    def gather(runtime):
        for row in runtime.pipeline.rows()["alerts"]:
            assert found.setdefault(row["fingerprint"], (row["reason"], row["zone"])) == (row["reason"], row["zone"])
            assert row["severity"] in ALERTS[row["reason"]]
            assert row["summary"]
            assert "\n" not in row["summary"]
            assert "You: " in row["body"], row
            assert (ROOT / row["runbook"]).exists()

    others = {"b.example": []}
    async with chain(tmp_path, zones, other=others, scenario=scenario, config=config) as runtime:
        runtime.fleet.components.configured = replace(
            runtime.fleet.components.configured, diagnoser=Diagnoser(FINDINGS)
        )
        await runtime.watch(hours=3)
        runtime.fleet.unwritable()
        own = {
            "config_error": "x.yaml:1: wrong",
            "overdue_since": runtime.fleet.clock.now(),
            "state_lost": "It is kept.",
            "unheld": {"main": runtime.fleet.clock.now()},
        }
        await runtime.watch(minutes=20, own=own)
        gather(runtime)
        runtime.fleet.unwritable(on=False)
        runtime.fleet.fault(kind="reset")
        await runtime.watch(hours=1)
        gather(runtime)
        before, world = dict(found), runtime.fleet.world
    assert {reason for reason, _ in found.values()} == set(ALERTS)
    async with chain(tmp_path, zones, other=others, world=world, config=config) as again:
        gather(again)
    assert found == before


# ── five hundred packs at once: seconds of work each, so they go with the tests of whole processes ───────────────────


def crowd(prefix, **story):
    """Half of them: ten packs in each of twenty-five zones."""
    return {
        f"{prefix}{zone}.example": [
            timed_out(hosts=[f"h{number}.{prefix}{zone}.example"], story=story) for number in range(10)
        ]
        for zone in range(25)
    }


QUICKLY = {
    "restart": {"max_attempts": 2, "max_per_hour": 1000, "backoff": {"initial": "15m"}},
    "schedule": {"attention_interval": "15m"},
    "log": {"level": "error"},
}


@pytest.mark.process
@in_simulated_time
async def test_five_hundred_packs_that_all_time_out_and_are_given_up_are_at_most_five_messages(tmp_path):
    async with chain(tmp_path, crowd("a"), second=crowd("b"), config=QUICKLY) as runtime:
        await runtime.watch(hours=8)
        assert len(runtime.fleet.patches()) == 1000
    assert len(titles(runtime)) <= 5
    assert sum(message["total"] for message in runtime.network.told()) == 500
    assert all(title.startswith("[critical] gave_up: ") for title in titles(runtime))


@pytest.mark.process
@in_simulated_time
async def test_five_hundred_packs_of_a_refused_credential_are_one_message_and_one_or_two_of_its_end(tmp_path):
    everything = {**crowd("a"), **crowd("b")}
    async with chain(tmp_path, everything, config={**QUICKLY, "restart": {"enabled": False}}) as runtime:
        await runtime.watch(hours=1)
        assert titles(runtime) == []
        runtime.fleet.world.revoke("main")
        await runtime.watch(hours=3)
        runtime.fleet.world.restore("main")
        await runtime.watch(hours=3)
    first, *rest = titles(runtime)
    assert first == "[critical] credential_refused: 50 zones of account main"
    ends = [re.fullmatch(r"\[resolved\] credential_refused: (\d+) zones of account main.*", each) for each in rest]
    assert len(ends) <= 2
    assert sum(int(end[1]) for end in ends) == 50


@pytest.mark.process
@in_simulated_time
async def test_five_hundred_packs_that_their_authority_refuses_are_one_message_for_each_account(tmp_path):
    story = {"errors": [REFUSES]}
    async with chain(tmp_path, crowd("a", **story), second=crowd("b", **story), config=QUICKLY) as runtime:
        runtime.fleet.components.configured = replace(runtime.fleet.components.configured, diagnoser=Diagnoser())
        await runtime.watch(hours=8)
        assert runtime.fleet.patches() == []
    assert titles(runtime) == [
        "[warning] ca_refuses: 250 packs in 25 zones of account main",
        "[warning] ca_refuses: 250 packs in 25 zones of account second",
    ]


GIVES_UP = {"restart": {"max_attempts": 2, "backoff": {"initial": "15m", "jitter": 0.0}}}
BOTH = [{"name": "am", "alertmanager": "http://am.test"}, {"name": "hook", "webhook": "http://hook.test/"}]


@in_simulated_time
async def test_alerts_of_an_account_that_was_taken_out_are_over_after_one_pass(tmp_path):
    partner, config = {"p.example": [timed_out(hosts=["p.example"])]}, GIVES_UP | {"alerts": {"destinations": BOTH}}
    config["schedule"] = {"attention_interval": "5m"}
    async with chain(tmp_path, OTHERS, partner=partner, config=dict(config)) as runtime:
        await runtime.watch(hours=2)
        world, network = runtime.fleet.world, runtime.network
        [(name, _)] = network.firing()
    async with chain(tmp_path, OTHERS, world=world, network=network, config=dict(config)) as again:
        await again.watch(minutes=1)
        assert again.pipeline.rows()["alerts"] == []
        assert network.firing() == [(name, network.told()[-1]["at"])]
        await again.watch(hours=25)
        assert outbox.load(again.fleet.store).log.states == {}
    assert [re.sub(r"after .*", "", title) for title in titles(again)] == [
        "[critical] gave_up: p.example: gave up ",
        "[resolved] gave_up: p.example: no longer configured ",
    ]


@in_simulated_time
async def test_what_is_of_an_account_that_only_got_another_name_does_not_end_before_its_zones_were_looked_at(tmp_path):
    tokens = {"tokens": [{"name": name, "value": f"token-of-{name}"} for name in ("main", "old", "new")]}
    packs = {"p.example": [timed_out(hosts=["p.example"])]}
    async with chain(tmp_path, OTHERS, old=packs, config=dict(GIVES_UP), scenario=tokens) as runtime:
        await runtime.watch(hours=2)
        world, network = runtime.fleet.world, runtime.network
    async with chain(tmp_path, OTHERS, new=packs, world=world, network=network, config=dict(GIVES_UP)) as again:
        again.fleet.fault(kind="html_error", status=502, zone="p.example", until="140m")  # 20 minutes more
        await again.watch(hours=4)
        assert [alert["account"] for alert in again.pipeline.rows()["alerts"]] == ["new"]
    assert titles(again) == ["[critical] gave_up: p.example: gave up after 2 restarts"]
