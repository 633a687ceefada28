"""Claims about what operators load into Prometheus and Grafana: it speaks of what the daemon exports, and works."""

import json
import re
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from typer.main import get_command

from tests.harness.builders import NOW, exposed, inventory, troubled
from tests.harness.servers import RealPrometheus, eventually, process, read
from watchdog.cli import app
from watchdog.cloudflare.errors import KNOWN_CODES, Operation
from watchdog.model.alerts import AlertLog
from watchdog.model.decisions import Do
from watchdog.model.history import Sent
from watchdog.model.meanings import ALERTS as OWN_ALERTS
from watchdog.model.outcomes import DeliveryOutcome
from watchdog.model.packs import KNOWN_STATUSES
from watchdog.model.reasons import Reason
from watchdog.model.report import PassReport
from watchdog.notify.alertmanager import HEARTBEAT, name_of
from watchdog.tell.gauges import Account, ReplicaSnapshot, Snapshot
from watchdog.tell.metrics import Metrics

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
MONITOR = ROOT / "deploy" / "kubernetes" / "prometheus-operator" / "servicemonitor.yaml"
RULES_FILE = PROMETHEUS / "certpack-watchdog.rules.yml"
TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "certpack-watchdog.json").read_text())
RUNBOOKS = sorted((ROOT / "docs" / "runbooks").glob("*.md"))
PAGES = [path for path in RUNBOOKS if path.name != "README.md"]

RULES = [rule for group in yaml.safe_load(RULES_FILE.read_text())["groups"] for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDED = {rule["record"]: rule["expr"] for rule in RULES if "record" in rule}
TARGET = {"job", "instance"}


def exported(replica):
    """Every sample name the daemon exposes, with its labels; some only where it is a ``replica`` of several."""
    metrics = Metrics("1", KNOWN_CODES)
    metrics.called("main", "get_pack", 502, 0.1, "http_502")
    metrics.passed(PassReport(NOW), NOW)
    snapshot = Snapshot(
        inventory=inventory(troubled()),
        accounts=(Account("main", 1, 0.0, NOW),),
        firing=AlertLog().firing_counts(),
        destinations=("ops",),
        replica=replica,
    )
    body, _ = exposed(metrics, snapshot, "")
    names = defaultdict(set)
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            names[sample.name] |= set(sample.labels)
    return names


EXPORTED = exported(ReplicaSnapshot(held={"main": True}, transitions={}, config="c0ffee"))
BY_ONE_ALONE = exported(None)
PROMETHEUS_OWN = {"up": set(), "ALERTS": {"alertname", "alertstate", "severity"}}
VALUES = {
    "status": {*KNOWN_STATUSES, "other"},
    "outcome": {*Sent, *DeliveryOutcome},
    "reason": set(Reason),
    "decision": set(Do),
    "operation": set(Operation),
    "error_code": set(KNOWN_CODES),
    "alertstate": {"firing", "pending"},
    "job": {"certpack-watchdog"},
}
"""The closed sets that the values of a label come from."""


def known_labels(metric):
    """The labels a metric may be asked for; a recorded one has those of the metrics it is made from."""
    if metric in RECORDED:
        sources = {selector.metric for selector in read(RECORDED[metric]).selectors} - {metric}
        return TARGET.union(*(known_labels(source) for source in sources))
    return TARGET | {**PROMETHEUS_OWN, **EXPORTED}[metric]


def filled_in(expression):
    """An expression of the dashboard with values in the place of its variables."""
    for variable, value in (("$__rate_interval", "5m"), ("$__range", "1h")):
        expression = expression.replace(variable, value)
    return re.sub(r"\$(job|instance|account|zone)\b", ".*", expression)


def panels():
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def dashboard_expressions():
    for panel in panels():
        for target in panel["targets"]:
            yield f"{panel['title']} {target['refId']}", filled_in(target["expr"])
    for annotation in DASHBOARD["annotations"]["list"]:
        if "expr" in annotation:
            yield annotation["name"], filled_in(annotation["expr"])


def runbook_expressions():
    for path in RUNBOOKS:
        for block in re.findall(r"(?ms)^```promql\n(.*?)^```", path.read_text()):
            for number, line in enumerate(block.splitlines(), 1):
                yield f"{path.name}:{number}", line


EXPRESSIONS = {
    **{f"rule {rule.get('alert', rule.get('record'))}": rule["expr"] for rule in RULES},
    **{f"dashboard {name}": expression for name, expression in dashboard_expressions()},
    **{f"runbook {name}": expression for name, expression in runbook_expressions()},
}


# ── names and labels ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_an_expression_asks_only_for_metrics_and_labels_that_are_exported(name):
    reading = read(EXPRESSIONS[name])
    assert reading.selectors
    of_all = set()
    for selector in reading.selectors:
        assert selector.metric in {*EXPORTED, *RECORDED, *PROMETHEUS_OWN}
        labels = known_labels(selector.metric)
        assert {label for label, *_ in selector.labels} <= labels, selector
        of_all |= labels
    assert reading.grouping <= of_all


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_an_expression_compares_labels_with_values_they_can_have(name):
    for selector in read(EXPRESSIONS[name]).selectors:
        for label, sign, value in selector.labels:
            if label == "status" and selector.metric.startswith("certpack_watchdog_api_request_duration_seconds"):
                assert re.fullmatch(r"[\d.|]+", value)  # of HTTP
            elif label in VALUES and value != ".*":
                asked = set(value.split("|")) if sign.endswith("~") else {value}
                assert asked <= VALUES[label], selector


def test_the_reader_of_expressions_sees_every_name_label_and_value():
    reading = read(
        'sum by (zone) (rate(one_total{status=~"a|b", zone!="}"}[5m])) / on (job) group_left () two offset 5m'
        ' > 1e3 and three @ 7 # four{five="6"}'
    )
    assert [selector.metric for selector in reading.selectors] == ["one_total", "two", "three"]
    assert reading.selectors[0].labels == [("status", "=~", "a|b"), ("zone", "!=", "}")]
    assert reading.grouping == {"zone", "job"}


# ── rules ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_has_severity_summary_description_and_a_runbook_of_its_own(name):
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in {"info", "warning", "critical"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    assert "\n" not in rule["annotations"]["summary"]
    words = re.sub(r"(?<!^)(?=[A-Z])", "_", name.removeprefix("Certpack")).lower()
    assert rule["annotations"]["runbook"] == f"docs/runbooks/{words}.md"
    assert (ROOT / rule["annotations"]["runbook"]).exists()


def test_an_alert_reads_only_records_of_its_own_group():
    # Groups are evaluated side by side: from another group it would see the record of the evaluation before.
    for group in yaml.safe_load(RULES_FILE.read_text())["groups"]:
        before = set()
        for rule in group["rules"]:
            used = {selector.metric for selector in read(rule["expr"]).selectors} & set(RECORDED)
            assert used <= before | {rule.get("record")}
            before.add(rule.get("record"))


def test_names_are_given_once():
    names = [rule.get("alert") or rule["record"] for rule in RULES]
    assert len(names) == len(set(names))


@pytest.fixture(scope="module")
def tests_of_rules():
    return [test for path in TESTS for test in yaml.safe_load(path.read_text())["tests"]]


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_is_tested_firing_and_not_firing(name, tests_of_rules):
    cases = [case for test in tests_of_rules for case in test["alert_rule_test"]]
    assert {bool(case["exp_alerts"]) for case in cases if case["alertname"] == name} == {True, False}


def test_no_test_is_about_an_alert_that_there_is_not(tests_of_rules):  # promtool lets it pass
    assert {case["alertname"] for test in tests_of_rules for case in test["alert_rule_test"]} == ALERTS.keys()


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_a_test_of_rules_names_the_rules_that_are_shipped(path):  # promtool lets a missing file pass
    [named] = yaml.safe_load(path.read_text())["rule_files"]
    assert (path.parent / named).resolve() == RULES_FILE


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_is_tested_with_series_that_vanish(name, tests_of_rules):
    ending = [test for test in tests_of_rules if any("stale" in series["values"] for series in test["input_series"])]
    assert name in {case["alertname"] for test in ending for case in test["alert_rule_test"]}


def test_the_scrape_job_has_the_name_that_the_rules_expect_and_the_port_of_the_daemon():
    (job,) = yaml.safe_load((PROMETHEUS / "scrape.yml").read_text())["scrape_configs"]
    jobs = {
        value
        for rule in RULES
        for selector in read(rule["expr"]).selectors
        for label, _, value in selector.labels
        if label == "job"
    }
    assert jobs == {job["job_name"]}
    assert job["static_configs"][0]["targets"] == ["127.0.0.1:9909"]


def test_a_target_label_takes_the_place_of_none_of_ours():
    (job,) = yaml.safe_load((PROMETHEUS / "scrape.yml").read_text())["scrape_configs"]
    [endpoint] = yaml.safe_load(MONITOR.read_text())["spec"]["endpoints"]
    assert job["honor_labels"] is endpoint["honorLabels"] is True


def test_no_label_of_ours_takes_the_place_of_one_that_tells_targets_apart():
    assert not {"job", "instance"} & set().union(*EXPORTED.values())


# ── runbooks ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def said_by(path):
    """The alerts of Prometheus with their severities, and the daemon's, that a page says it is for."""
    line = path.read_text().split("\n\n")[1].replace("\n", " ")
    assert line.startswith("Said by ")
    return (
        set(re.findall(r"Prometheus, as `(\w+)` \((\w+)\)", line)),
        set(re.findall(r"the daemon itself, as `(\w+)`", line)),
    )


def test_every_runbook_is_for_an_alert_and_every_alert_has_one():
    said = {(path.name, *alert) for path in PAGES for alert in said_by(path)[0]}
    rules = {
        (rule["annotations"]["runbook"].rpartition("/")[2], name, rule["labels"]["severity"])
        for name, rule in ALERTS.items()
    }
    assert said == rules
    for path in PAGES:
        prometheus, daemon = said_by(path)
        assert prometheus | daemon, path.name
        assert daemon <= {path.stem}


def test_every_alert_of_the_daemon_itself_has_a_runbook_and_no_runbook_names_another():
    assert {one for path in PAGES for one in said_by(path)[1]} == {str(reason) for reason in OWN_ALERTS}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_runbook_says_what_it_means_how_to_look_what_to_do_and_when_to_ignore_it(path):
    sections = re.findall(r"(?ms)^## (.+?)\n\n(.+?)(?=^## |\Z)", path.read_text())
    assert [title for title, _ in sections] == ["What it means", "How to look", "What to do", "When to ignore it"]
    assert all(text.strip() for _, text in sections)
    assert "```promql\n" in dict(sections)["How to look"]


def test_the_index_lists_every_runbook_and_its_alert():
    index = (ROOT / "docs" / "runbooks" / "README.md").read_text()
    rows = re.findall(r"(?m)^\| \[(.+)\]\((\w+)\.md\) \| (.+?) \| (.+?) \| (.+?) \|$", index)
    assert sorted(row[1] for row in rows) == sorted(path.stem for path in PAGES)
    for title, stem, alert, severity, reason in rows:
        path = ROOT / "docs" / "runbooks" / f"{stem}.md"
        prometheus, daemon = said_by(path)
        assert path.read_text().startswith(f"# {title}\n")
        assert {(name, severity) for name in re.findall(r"`(\w+)`", alert)} == prometheus
        assert set(re.findall(r"`(\w+)`", reason)) == daemon


@pytest.mark.parametrize("path", RUNBOOKS, ids=lambda path: path.stem)
def test_a_runbook_names_commands_options_and_pages_that_exist(path):
    text = path.read_text()
    commands = get_command(app).commands
    for name, rest in re.findall(r"(?m)(?:^|`)certpack-watchdog ([a-z-]+)([^\n`|;]*)", text):
        options = {option for parameter in commands[name].params for option in parameter.opts}
        assert set(re.findall(r"(?<!\S)--[a-z-]+", rest.partition("#")[0])) <= options
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (path.parent / link).exists(), link


# ── dashboard ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_panel_asks_the_chosen_data_source_and_says_what_it_shows():
    assert DASHBOARD["templating"]["list"][0]["type"] == "datasource"
    for panel in panels():
        assert panel["description"]
        for one in (panel, *panel["targets"]):
            assert one["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    for variable in DASHBOARD["templating"]["list"][1:]:
        assert variable["datasource"]["uid"] == "${datasource}"
        metric, label = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["definition"]).groups()
        (selector,) = read(filled_in(metric)).selectors
        assert {label, *(name for name, *_ in selector.labels)} <= known_labels(selector.metric)


def test_panels_have_ids_of_their_own_and_do_not_cover_each_other():
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    taken = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
        references = [target["refId"] for target in panel.get("targets", ())]
        assert len(references) == len(set(references))


def test_the_dashboard_uses_no_variable_that_it_does_not_have():
    have = {variable["name"] for variable in DASHBOARD["templating"]["list"]} | {"__rate_interval", "__range", "__all"}
    assert set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD))) <= have


def test_the_dashboard_can_be_imported_anywhere():
    assert DASHBOARD["id"] is None
    assert DASHBOARD["uid"] == DASHBOARD["title"] == "certpack-watchdog"
    assert DASHBOARD["schemaVersion"] >= 36
    assert not re.search(r"https?://", json.dumps(DASHBOARD))


# ── the real tools ───────────────────────────────────────────────────────────────────────────────────────────────────

needs_promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="promtool not installed (Debian: prometheus)")
needs_prometheus = pytest.mark.skipif(
    not shutil.which("prometheus"), reason="prometheus not installed (Debian: prometheus)"
)


def promtool(*arguments):
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.real
@needs_promtool
def test_promtool_finds_nothing_wrong_with_the_rules_and_the_scrape_job():
    promtool("check", "rules", "--lint-fatal", RULES_FILE)
    promtool("check", "config", PROMETHEUS / "scrape.yml")


@pytest.mark.real
@needs_promtool
@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_promtool_sees_each_alert_fire_and_not_fire_as_it_should(path):
    promtool("test", "rules", path)


@contextmanager
def scraping_the_demo(folder):
    """A Prometheus that has scraped the demo, and the demo's process."""
    with ExitStack() as stack:
        demo = [sys.executable, "-m", "watchdog", "demo", "--for", "5m", "--port", "0"]
        told = folder / "demo.log"
        daemon = process(stack, demo, told)

        def listening():
            assert daemon.poll() is None, told.read_text()
            return re.search(r"http://(127\.0\.0\.1:\d+)/metrics", told.read_text())

        target = eventually(listening)[1]
        config = yaml.safe_load((PROMETHEUS / "scrape.yml").read_text())
        config["scrape_configs"][0] |= {
            "scrape_interval": "1s",
            "scrape_timeout": "1s",
            "static_configs": [{"targets": [target]}],
        }
        config |= {"global": {"evaluation_interval": "1s"}, "rule_files": [str(RULES_FILE)]}
        prometheus = RealPrometheus(stack, folder, config)

        def scraped():
            return prometheus.ask("query", query='certpack_watchdog_packs{status="deployment_timed_out"}')["result"]

        eventually(scraped)
        yield prometheus, daemon


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    with scraping_the_demo(tmp_path_factory.mktemp("prometheus")) as (prometheus, _):
        yield prometheus


@pytest.mark.real
@needs_prometheus
def test_a_real_prometheus_evaluates_every_rule_on_the_demo_without_error(real):
    def all_evaluated():
        rules = [rule for group in real.ask("rules")["groups"] for rule in group["rules"]]
        return len(rules) == len(RULES) and all(rule["health"] == "ok" for rule in rules) and rules

    evaluated = {rule["name"]: rule for rule in eventually(all_evaluated)}
    assert all(not rule.get("lastError") for rule in evaluated.values())


@pytest.mark.real
@needs_prometheus
def test_the_stories_of_the_demo_raise_their_alerts_in_a_real_prometheus(real):
    expected = {
        ("CertpackOtherStageTimedOut", "stuck.example"),
        ("CertpackUnknownStatus", "novel.example"),
        ("CertpackZoneNeverSeen", "partner.example"),
        ("CertpackInTroubleLong", "universal.example"),
        ("CertpackInTroubleLong", "hands-off.example"),
        ("CertpackGaveUp", "gives-up.example"),
    }

    def raised():
        alerts = real.ask("alerts")["alerts"]
        return expected <= {(alert["labels"]["alertname"], alert["labels"].get("zone", "")) for alert in alerts}

    eventually(raised)
    alerts = {alert["labels"]["alertname"]: alert for alert in real.ask("alerts")["alerts"]}
    assert alerts["CertpackGaveUp"]["state"] == "firing"
    assert alerts["CertpackOtherStageTimedOut"]["annotations"]["summary"].endswith("deployment_timed_out: 1")
    assert alerts.keys().isdisjoint({"CertpackWatchdogDown", "CertpackWatchdogAbsent", "CertpackPassOverdue"})


@pytest.mark.real
@needs_prometheus
@pytest.mark.parametrize("name", EXPRESSIONS)
def test_a_real_prometheus_evaluates_the_expression(real, name):
    real.ask("query", query=EXPRESSIONS[name])


NOT_IN_THE_DEMO = {"Started or reloaded"}


@pytest.mark.real
@needs_prometheus
@pytest.mark.parametrize("name", [name for name, _ in dashboard_expressions() if name not in NOT_IN_THE_DEMO])
def test_every_panel_shows_something_of_the_demo(real, name):
    expression = EXPRESSIONS[f"dashboard {name}"]

    def shown():
        now = time.time()
        return real.ask("query_range", query=expression, start=now - 300, end=now, step=1)["result"]

    eventually(shown)


@pytest.mark.real
@needs_prometheus
def test_the_series_that_a_real_prometheus_stored_have_the_names_and_labels_that_the_tests_go_by(real):
    def stored():
        series = real.ask("series", **{"match[]": '{__name__=~"certpack_watchdog_.+"}'})
        names = defaultdict(set)
        for labels in series:
            names[labels["__name__"]] |= set(labels) - {"__name__"} - TARGET
        return names

    expected = {name: labels for name, labels in BY_ONE_ALONE.items() if name.startswith("certpack_watchdog_")}
    del expected["certpack_watchdog_rate_limited_until_timestamp_seconds"]  # there while a 429 stops an account
    assert eventually(lambda: stored().keys() >= expected.keys() and stored()) == expected


@pytest.mark.real
@needs_prometheus
def test_a_real_prometheus_knows_the_expiries_of_a_daemon_that_was_killed_and_says_that_it_is_down(tmp_path):
    with scraping_the_demo(tmp_path) as (prometheus, daemon):

        def expiries(metric):
            result = prometheus.ask("query", query=metric)["result"]
            return {one["metric"]["pack"] for one in result}

        recorded, scraped = (f"{level}certpack_watchdog_pack_expiry_timestamp_seconds" for level in ("pack:", ""))
        recorded += ":last"
        known = eventually(lambda: expiries(recorded))
        daemon.kill()

        def down():
            return not expiries(scraped) and prometheus.ask("query", query="up == 0")["result"]

        eventually(down)
        since = time.time()

        def still_known_after_several_evaluations():
            return (
                float(prometheus.ask("query", query=f"min(timestamp({recorded}))")["result"][0]["value"][1]) > since + 3
            )

        eventually(still_known_after_several_evaluations)
        assert expiries(recorded) >= known
        raised = {alert["labels"]["alertname"] for alert in prometheus.ask("alerts")["alerts"]}
        assert "CertpackWatchdogDown" in raised


# ── both ways at once ────────────────────────────────────────────────────────────────────────────────────────────────

TELLER = yaml.safe_load((ROOT / "deploy" / "alertmanager" / "alertmanager.yml").read_text())
INHIBIT = TELLER["inhibit_rules"]


def named_in(matchers):
    """The names of alerts that one side of an inhibit rule has."""
    [name] = [matcher for matcher in matchers if matcher.startswith("alertname")]
    pattern = name.partition('"')[2].rstrip('"')
    found = {each for each in {*ALERTS, *map(name_of, OWN_ALERTS)} if re.fullmatch(pattern, each)}
    return {each for each in found if "pack!" not in str(matchers) or each not in ALERTS or speaks_of_a_pack(each)}


def speaks_of_a_pack(name):
    """Whether it has the label ``pack``, as the series it is made from has."""
    return "pack_" in ALERTS[name]["expr"] or "pack:" in ALERTS[name]["expr"]


def seconds(span):
    return int(span[:-1]) * {"s": 1, "m": 60}[span[-1]]


def test_the_heartbeat_goes_to_no_person_and_is_repeated_at_each_interval_but_not_ended():
    [route] = TELLER["route"]["routes"]
    [receiver] = [each for each in TELLER["receivers"] if each["name"] == route["receiver"]]
    assert route["matchers"] == [f'alertname="{HEARTBEAT}"']
    assert route["receiver"] != TELLER["route"]["receiver"]
    assert seconds(route["repeat_interval"]) < seconds(route["group_interval"])
    assert not any(hook["send_resolved"] for hook in receiver["webhook_configs"])


@pytest.mark.skipif(not shutil.which("amtool"), reason="amtool not installed (Debian: prometheus-alertmanager)")
@pytest.mark.real
def test_amtool_takes_the_example_for_those_who_use_both_ways():
    path = ROOT / "deploy" / "alertmanager" / "alertmanager.yml"
    done = subprocess.run(["amtool", "check-config", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(INHIBIT)} inhibit rules" in done.stdout


@pytest.mark.parametrize("rule", INHIBIT, ids=lambda rule: rule["target_matchers"][0])
def test_a_side_of_an_inhibit_rule_names_alerts_that_exist(rule):
    assert named_in(rule["source_matchers"]) & set(map(name_of, OWN_ALERTS))
    assert named_in(rule["target_matchers"]) & set(ALERTS)
    assert ('job=""' in rule["source_matchers"], 'job!=""' in rule["target_matchers"]) == (True, True)


def test_every_rule_that_says_what_the_daemon_says_too_is_inhibited_by_it():
    both = {
        name for name in ALERTS if f"CertpackWatchdog{name.removeprefix('Certpack')}" in set(map(name_of, OWN_ALERTS))
    }
    quiet = {name for rule in INHIBIT for name in named_in(rule["target_matchers"])}
    assert both - quiet == set()
    assert "severity" in set.intersection(*(set(rule["equal"]) for rule in INHIBIT))
