"""What Prometheus is promised: names, types and labels as operators wrote their rules against them."""

import re
import shutil
import subprocess
import sys
import threading
from datetime import timedelta
from itertools import product
from pathlib import Path

import pytest
import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tests.harness import showcase
from tests.harness.builders import NOW, TROUBLED, exposed, inventory, pack, troubled, zone
from tests.harness.values import replace
from watchdog.cloudflare.errors import KNOWN_CODES, Operation
from watchdog.decide.checks import Case, RestartRules
from watchdog.decide.policy import decide
from watchdog.model.alerts import AlertLog
from watchdog.model.decisions import Decision, Do
from watchdog.model.findings import Certainty, Finding, FindingName
from watchdog.model.history import UNTROUBLED, Sent
from watchdog.model.meanings import ALERTS
from watchdog.model.outcomes import DeliveryOutcome
from watchdog.model.packs import KNOWN_STATUSES
from watchdog.model.reasons import VALIDATION_REASONS, Reason
from watchdog.model.report import PassReport
from watchdog.tell.gauges import PREFIX, Account, ReplicaSnapshot, Snapshot
from watchdog.tell.metrics import DECISIONS, MOST_CODES, REFUSALS, REFUSED_AT, Metrics

PROMISED = {
    "restarts_total": ("counter", {"account", "zone", "outcome"}),
    "failures_total": ("counter", {"account", "operation", "error_code"}),
    "packs": ("gauge", {"account", "zone", "status"}),
    "pack_expiry_timestamp_seconds": ("gauge", {"account", "zone", "pack"}),
    "pack_decision": ("gauge", {"account", "zone", "pack", "decision", "reason"}),
    "pack_restart_attempts": ("gauge", {"account", "zone", "pack"}),
    "pack_next_restart_timestamp_seconds": ("gauge", {"account", "zone", "pack"}),
    "zone_last_success_timestamp_seconds": ("gauge", {"account", "zone"}),
    "pass_duration_seconds": ("histogram", set()),
    "api_request_duration_seconds": ("histogram", {"operation", "status"}),
    "recovery_duration_seconds": ("histogram", set()),
    "last_pass_timestamp_seconds": ("gauge", set()),
    "rate_limit_remaining": ("gauge", {"account"}),
    "rate_limited_until_timestamp_seconds": ("gauge", {"account"}),
    "rate_limit_wait_seconds_total": ("counter", {"account"}),
    "decisions_total": ("counter", {"decision", "reason"}),
    "alerts_firing": ("gauge", {"reason", "severity"}),
    "silences": ("gauge", {"account"}),
    "notifications_total": ("counter", {"destination", "outcome"}),
    "config_last_reload_successful": ("gauge", set()),
    "config_last_reload_success_timestamp_seconds": ("gauge", set()),
    "state_up": ("gauge", set()),
    "account_held": ("gauge", {"account"}),
    "lease_transitions_total": ("counter", {"account"}),
    "config_info": ("gauge", {"hash"}),
    "build_info": ("gauge", {"version", "python"}),
}
REPLICA = ReplicaSnapshot(held={"main": True, "other": False}, transitions={"main": 3}, config="c0ffee")
OF_A_REPLICA = {"account_held", "lease_transitions_total", "config_info"}
LIBRARY = {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "python_info"}
RULES_FILE = Path(__file__).parents[2] / "deploy" / "prometheus" / "certpack-watchdog.rules.yml"
RULES = [rule for group in yaml.safe_load(RULES_FILE.read_text())["groups"] for rule in group["rules"]]
FIRING = AlertLog().firing_counts()
ACCOUNTS = (Account("main", 1100, 2.5, NOW),)
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


@pytest.fixture
def metrics():
    return Metrics("1.2.3", KNOWN_CODES)


def families(metrics, found=None, accounts=ACCOUNTS, per_pack="all", replica=REPLICA):
    """Every family by its name without the prefix, counters with their ``_total``."""
    snapshot = Snapshot(
        inventory=found or inventory(),
        accounts=accounts,
        firing=FIRING,
        destinations=("ops",),
        per_pack=per_pack,
        replica=replica,
    )
    body, _ = exposed(metrics, snapshot, "")
    parsed = list(parse_text(body.decode()))
    total = {family.name: f"{family.name}_total" for family in parsed if family.type == "counter"}
    return {total.get(family.name, family.name).removeprefix(PREFIX): family for family in parsed}


def values(metrics, name, *labels, found=None, accounts=ACCOUNTS, per_pack="all"):
    """The samples of one metric: the values of these labels, and the value."""
    samples = families(metrics, found, accounts, per_pack)[name].samples
    return {
        tuple(s.labels[label] for label in labels): s.value for s in samples if not s.name.endswith(("_bucket", "_sum"))
    }


def busy(metrics):
    """Everything happens once, so that every metric has a sample."""
    metrics.called("main", "list_packs", 200, 0.2, None)
    metrics.called("main", "get_pack", 502, 0.2, "http_502")
    metrics.restarted("main", "example.com", Sent.ACCEPTED)
    report = PassReport(NOW, seconds=3.0)
    report.decisions[Do.RESTART, Reason.VALIDATION_TIMED_OUT] += 1
    metrics.passed(report, NOW)
    return inventory(troubled())


def test_every_promised_metric_is_there_and_no_other(metrics):
    found = set(families(metrics, busy(metrics)))
    own = {name for name in found if not name.startswith(("process_", "python_info"))}
    assert own == set(PROMISED)
    assert found >= LIBRARY


@pytest.mark.parametrize("name", PROMISED)
def test_each_metric_has_its_promised_type_and_labels_and_says_what_it_is(metrics, name):
    family = families(metrics, busy(metrics))[name]
    kind, labels = PROMISED[name]
    assert (family.type, family.documentation != "") == (kind, True)
    assert family.samples
    assert {label for sample in family.samples for label in sample.labels} - {"le"} == labels


def test_one_that_has_the_state_for_itself_says_nothing_of_leases(metrics):
    assert not OF_A_REPLICA & set(families(metrics, replica=None))


def test_a_replica_says_which_accounts_it_works_and_how_often_that_changed(metrics):
    assert values(metrics, "account_held", "account") == {("main",): 1, ("other",): 0}
    assert values(metrics, "lease_transitions_total", "account") == {("main",): 3, ("other",): 0}


def test_restarts_are_counted_by_outcome_from_zero(metrics):
    labels = ("zone", "outcome")
    born = values(metrics, "restarts_total", *labels)
    assert born == {("example.com", outcome): 0 for outcome in ("accepted", "refused", "unknown")}
    metrics.restarted("main", "example.com", Sent.UNKNOWN)
    assert values(metrics, "restarts_total", *labels) == born | {("example.com", "unknown"): 1}


def test_a_refused_credential_is_counted_from_zero_and_other_failures_once_they_happen(metrics):
    labels = ("account", "operation", "error_code")
    born = values(metrics, "failures_total", *labels)
    assert born == dict.fromkeys(product(("main",), REFUSED_AT, REFUSALS), 0)
    metrics.called("main", "list_packs", 403, 0.2, "10000")
    metrics.called("main", "get_pack", 502, 0.2, "http_502")
    metrics.called("gone", "get_pack", 502, 0.2, "http_502")
    happened = {("main", "list_packs", "10000"): 1, ("main", "get_pack", "http_502"): 1}
    assert values(metrics, "failures_total", *labels) == born | happened


def test_a_refusal_is_what_the_rule_counts_that_tells_of_it():
    rule = next(rule for rule in RULES if rule.get("alert") == "CertpackCredentialRefused")
    assert re.search(r'failures_total\{error_code=~"([^"]+)"', rule["expr"])[1].split("|") == list(REFUSALS)
    assert set(REFUSED_AT) <= {str(operation) for operation in Operation}


def test_a_fleet_of_31_zones_in_two_accounts_is_half_of_what_it_was(metrics):
    """1,060 lines, before series were born when they are used."""
    accounts = (Account("main", 1100, 2.5), Account("partner", 1100, 0.0))
    body, _ = exposed(
        metrics,
        Snapshot(inventory=showcase.fleet(), accounts=accounts, firing=FIRING, destinations=("ops", "pager")),
        "",
    )
    assert len(body.decode().splitlines()) <= 1060 / 2


@pytest.mark.parametrize("status", ["backup_issued", "staging_active"])
def test_the_expiry_of_a_pack_that_nobody_is_served_is_not_shown(metrics, status):
    metrics.passed(PassReport(NOW), NOW)
    assert values(metrics, "pack_expiry_timestamp_seconds", "pack", found=inventory(pack("p1", status))) == {}


def test_the_expiry_of_a_pack_that_was_replaced_is_not_shown(metrics):
    metrics.passed(PassReport(NOW), NOW)
    known, history = pack("p1")
    old = replace(known, pack=replace(known.pack, expires_at=NOW)), history
    shown = values(metrics, "pack_expiry_timestamp_seconds", "pack", found=inventory(old, pack("p2")))
    assert {key[0] for key in shown} == {"p2"}


def test_decisions_that_can_be_made_are_counted_from_zero(metrics):
    assert values(metrics, "decisions_total", "decision", "reason") == dict.fromkeys(DECISIONS, 0)


def test_the_decisions_counted_from_zero_are_those_the_policy_can_make():
    rules = RestartRules()
    obstacle = Finding(
        name=FindingName.CAA_FORBIDS,
        certainty=Certainty.CERTAIN,
        host="example.com",
        says="It forbids.",
        remedy="Allow it.",
    )
    axes = product(
        (*KNOWN_STATUSES, "quantum_entangled"),
        ("advanced", "universal"),
        (UNTROUBLED, TROUBLED, replace(TROUBLED, gave_up_at=NOW)),
        (rules, replace(rules, enabled=False)),
        (None, NOW + timedelta(hours=1)),
        (None, *VALIDATION_REASONS),
        ((), (obstacle,)),
        (None, NOW),
        (None, Reason.ORDERED_BY_CLOUDFLARE),
    )
    known, _ = pack()
    made = {
        decide(
            Case(
                pack=replace(known.pack, status=status, type=kind, expires_at=NOW + timedelta(days=1)),
                history=history,
                rules=rules,
                now=NOW,
                budget_free_at=free_at,
                failed_for=failed_for,
                findings=findings,
                lost_at=lost_at,
                decided_for=decided_for,
            )
        )
        for status, kind, history, rules, free_at, failed_for, findings, lost_at, decided_for in axes
    }
    assert {(decision.do, decision.reason) for decision in made} == set(DECISIONS)


def test_waits_for_the_quota_are_counted_per_account(metrics):
    accounts = (Account("main", None, 0.0), Account("other", None, 2.5))
    waits = values(metrics, "rate_limit_wait_seconds_total", "account", accounts=accounts)
    assert waits == {("main",): 0, ("other",): 2.5}


def test_what_is_left_of_the_quota_is_only_shown_once_cloudflare_said_it(metrics):
    accounts = (Account("main", None, 0.0), Account("other", 7, 0.0))
    assert values(metrics, "rate_limit_remaining", "account", accounts=accounts) == {("other",): 7}


def test_until_when_cloudflare_makes_an_account_wait_is_only_shown_while_it_does(metrics):
    accounts = (Account("main", None, 0.0), Account("other", 7, 0.0, NOW))
    shown = values(metrics, "rate_limited_until_timestamp_seconds", "account", accounts=accounts)
    assert shown == {("other",): NOW.timestamp()}


def test_packs_are_counted_by_status(metrics):
    found = inventory(pack("p1"), pack("p2"), troubled("p3"))
    counts = {("example.com", "active"): 2, ("example.com", "validation_timed_out"): 1}
    assert values(metrics, "packs", "zone", "status", found=found) == counts


def test_a_pack_in_trouble_shows_its_attempts_and_when_it_is_tried_again(metrics):
    found = inventory(troubled("p1"), pack("p2"))
    assert values(metrics, "pack_restart_attempts", "pack", found=found) == {("p1",): 2}
    due = (NOW + timedelta(minutes=15)).timestamp()
    assert values(metrics, "pack_next_restart_timestamp_seconds", "pack", found=found) == {("p1",): due}


def test_a_pack_that_is_neither_healthy_nor_in_progress_shows_what_was_decided_and_why(metrics):
    found = inventory(
        pack("p1"),
        pack("p2", "pending_validation", decision=Decision(Do.LEAVE, Reason.IN_PROGRESS)),
        troubled("p3"),
        troubled("p4", decision=Decision(Do.GIVE_UP, Reason.GAVE_UP)),
    )
    shown = values(metrics, "pack_decision", "pack", "decision", "reason", found=found)
    assert shown == {("p3", "wait", "backing_off"): 1, ("p4", "give_up", "gave_up"): 1}


def test_a_pack_of_the_configuration_that_cloudflare_has_not_shows_that(metrics):
    found = inventory(pack("p1", "deleted", decision=Decision(Do.LEAVE, Reason.NOT_FOUND)))
    assert values(metrics, "pack_decision", "pack", "reason", found=found) == {("p1", "not_found"): 1}


def test_a_pack_that_was_given_up_is_not_tried_again_and_shows_no_time_for_it(metrics):
    found = inventory(troubled("p1", history=replace(TROUBLED, gave_up_at=NOW, next_restart_at=None)))
    assert values(metrics, "pack_restart_attempts", "pack", found=found) == {("p1",): 2}
    assert values(metrics, "pack_next_restart_timestamp_seconds", "pack", found=found) == {}


@pytest.mark.parametrize(("per_pack", "shown"), [("all", {"p1", "p2"}), ("troubled", {"p1"}), ("none", set())])
def test_per_pack_says_which_packs_have_series_of_their_own(metrics, per_pack, shown):
    found = inventory(troubled("p1"), pack("p2"))
    asked = {"found": found, "per_pack": per_pack}
    assert {one for (one,) in values(metrics, "pack_expiry_timestamp_seconds", "pack", **asked)} == shown
    assert {one for (one,) in values(metrics, "pack_restart_attempts", "pack", **asked)} == shown & {"p1"}
    assert sum(values(metrics, "packs", "status", **asked).values()) == 2


def test_the_series_of_a_zone_that_is_gone_are_gone(metrics):
    metrics.restarted("main", "old.example", Sent.ACCEPTED)
    both = inventory(pack("p1"), pack("p2", zone="old.example"), zones=(zone(), zone("old.example")))
    assert b"old.example" in exposed(metrics, Snapshot(inventory=both, accounts=ACCOUNTS), "")[0]
    assert b"old.example" not in exposed(metrics, Snapshot(inventory=inventory(pack("p1")), accounts=ACCOUNTS), "")[0]


def test_the_count_of_a_zone_that_comes_back_goes_on(metrics):
    metrics.restarted("main", "example.com", Sent.ACCEPTED)
    families(metrics, inventory(zones=()))
    assert values(metrics, "restarts_total", "outcome")[("accepted",)] == 1


def test_the_series_of_a_pack_that_is_gone_are_gone(metrics):
    found = inventory(pack("p1"), pack("p2"))
    assert {one for (one,) in values(metrics, "pack_expiry_timestamp_seconds", "pack", found=found)} == {"p1", "p2"}
    found = inventory(pack("p1"))
    assert {one for (one,) in values(metrics, "pack_expiry_timestamp_seconds", "pack", found=found)} == {"p1"}


@pytest.mark.parametrize("status", ["deleted", "pending_deletion", "inactive"])
def test_a_pack_that_is_remembered_but_going_away_warns_of_no_expiry(metrics, status):
    found = inventory(pack("p1", status, history=TROUBLED))
    for name in PROMISED:
        if name.startswith("pack_"):
            assert values(metrics, name, "pack", found=found) == {}, name


def test_a_zone_that_was_never_seen_has_no_last_success(metrics):
    found = inventory(zones=(zone(), replace(zone("new.example"), seen_at=None)))
    assert values(metrics, "zone_last_success_timestamp_seconds", "zone", found=found) == {
        ("example.com",): NOW.timestamp()
    }


def test_a_refused_configuration_shows_and_the_time_of_the_good_one_stays(metrics):
    metrics.reloaded(NOW, successful=True)
    metrics.reloaded(NOW + timedelta(hours=1), successful=False)
    assert values(metrics, "config_last_reload_successful") == {(): 0}
    assert values(metrics, "config_last_reload_success_timestamp_seconds") == {(): NOW.timestamp()}


def test_the_last_pass_is_zero_before_the_first_and_then_its_time(metrics):
    assert values(metrics, "last_pass_timestamp_seconds") == {(): 0}
    metrics.passed(PassReport(NOW, seconds=3.0), NOW)
    assert values(metrics, "last_pass_timestamp_seconds") == {(): NOW.timestamp()}
    assert values(metrics, "pass_duration_seconds") == {(): 1}


def test_calls_are_timed_by_operation_and_http_status(metrics):
    metrics.called("main", "list_packs", 200, 0.3, None)
    metrics.called("main", "list_packs", 0, 30.0, "timeout")
    counts = values(metrics, "api_request_duration_seconds", "operation", "status")
    assert counts == {("list_packs", "200"): 1, ("list_packs", "0"): 1}


def test_a_status_nobody_knows_is_counted_as_other(metrics):
    found = inventory(pack("p1", 'quantum "entangled"\n'), pack("p2", ""))
    assert values(metrics, "packs", "status", found=found) == {("other",): 2}


def test_error_codes_nobody_knows_cannot_fill_the_memory(metrics):
    for code in range(50_000, 51_000):
        metrics.called("main", "get_pack", 400, 0.1, str(code))
    counts = values(metrics, "failures_total", "operation", "error_code")
    codes = {code for (_, code), count in counts.items() if count}
    assert len(codes) == MOST_CODES - len(KNOWN_CODES) + 1
    assert sum(counts.values()) == 1000
    assert counts["get_pack", "other"] == 1000 - (MOST_CODES - len(KNOWN_CODES))


def test_no_error_text_and_no_host_is_ever_a_label(metrics):
    told = replace(TROUBLED, last_error="planted free text")
    found = inventory(troubled(history=told), zones=(zone(error="planted free text"),))
    body, _ = exposed(metrics, Snapshot(inventory=found, accounts=ACCOUNTS), "")
    assert b"planted" not in body


def test_a_zones_name_survives_the_exposition_whatever_it_is(metrics):
    name = 'a"b\\c{d}=e'
    found = inventory(pack(zone=name), zones=(zone(name),))
    assert values(metrics, "packs", "zone", found=found) == {(name,): 1}


@pytest.mark.parametrize("accept", ["", "*/*", "text/plain", "text/html", "\x00", "text/plain;version=x"])
def test_the_text_format_is_what_most_get(metrics, accept):
    body, content_type = exposed(metrics, Snapshot(inventory=busy(metrics), accounts=ACCOUNTS), accept)
    assert content_type.startswith("text/plain; version=")
    names = [family.name for family in parse_text(body.decode())]
    assert sum(name.startswith(PREFIX) for name in names) == len(PROMISED.keys() - OF_A_REPLICA)


def test_openmetrics_is_for_those_who_ask(metrics):
    found = busy(metrics)
    asked = f"{OPENMETRICS},text/plain;version=0.0.4;q=0.5"
    body, content_type = exposed(metrics, Snapshot(inventory=found, accounts=ACCOUNTS), asked)
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")
    names = {family.name for family in parse_openmetrics(body.decode()) if family.name.startswith(PREFIX)}
    assert names == {PREFIX + name.removesuffix("_total") for name in PROMISED.keys() - OF_A_REPLICA}


def test_it_can_be_exposed_in_one_thread_while_another_counts(metrics):
    found, stop, wrong = inventory(*(troubled(f"p{n}") for n in range(50))), threading.Event(), []

    def scrape():
        try:
            while not stop.is_set():
                families(metrics, found)
        except Exception as error:  # noqa: BLE001  whatever it is, it is what this test is about
            wrong.append(error)

    scraper, interval = threading.Thread(target=scrape), sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        scraper.start()
        for number in range(2_000):
            report = PassReport(NOW)
            report.decisions[f"decision{number}", "reason"] += 1
            metrics.passed(report, NOW)
            metrics.called("main", "get_pack", number, 0.1, str(number))
            metrics.restarted("main", f"zone{number}", Sent.ACCEPTED)
    finally:
        stop.set()
        scraper.join(30)
        sys.setswitchinterval(interval)
    assert wrong == []


@pytest.mark.real
@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool not installed (Debian: prometheus)")
def test_promtool_finds_nothing_to_say_about_the_exposition(metrics):
    body, _ = exposed(metrics, Snapshot(inventory=busy(metrics), accounts=ACCOUNTS), "")
    done = subprocess.run(["promtool", "check", "metrics"], input=body, capture_output=True, timeout=20, check=False)
    assert (done.stdout, done.stderr, done.returncode) == (b"", b"", 0)
    assert re.search(rb"(?m)^certpack_watchdog_restarts_total\{", body)


def test_messages_are_counted_by_destination_and_outcome_from_zero(metrics):
    metrics.notified("ops", DeliveryOutcome.FAILED)
    assert values(metrics, "notifications_total", "destination", "outcome") == {
        ("ops", "accepted"): 0,
        ("ops", "failed"): 1,
        ("ops", "dropped"): 0,
    }


def test_every_alert_there_can_be_is_counted_from_zero(metrics):
    assert values(metrics, "alerts_firing", "reason", "severity") == dict.fromkeys(
        [(str(reason), str(severity)) for reason, severities in ALERTS.items() for severity in severities], 0
    )


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_a_scrape_is_as_the_one_before_while_nothing_changes(metrics, accept):
    found = busy(metrics)
    first, second = (exposed(metrics, Snapshot(inventory=found, accounts=ACCOUNTS), accept)[0] for _ in range(2))
    assert ours(first) == ours(second)


def ours(body):
    return [line for line in body.splitlines() if not line.startswith((b"process_", b"python_"))]


def test_a_restart_shows_in_the_next_scrape_though_no_pack_was_looked_at_since(metrics):
    found = busy(metrics)
    before = values(metrics, "restarts_total", "outcome", found=found)
    metrics.restarted("main", "example.com", Sent.ACCEPTED)
    after = values(metrics, "restarts_total", "outcome", found=found)
    assert after["accepted",] == before["accepted",] + 1


def test_each_format_is_given_its_own_however_they_are_asked_for_in_turn(metrics):
    found = busy(metrics)
    asked = [
        exposed(metrics, Snapshot(inventory=found, accounts=ACCOUNTS), accept)[0] for accept in ("", OPENMETRICS, "")
    ]
    assert [b"# TYPE certpack_watchdog_restarts_total counter" in body for body in asked] == [True, False, True]
    assert [body.endswith(b"# EOF\n") for body in asked] == [False, True, False]


def test_packs_that_are_looked_at_anew_show_in_the_next_scrape(metrics):
    assert values(metrics, "packs", "status", found=inventory(pack())) == {("active",): 1}
    assert values(metrics, "packs", "status", found=inventory(troubled())) == {("validation_timed_out",): 1}
