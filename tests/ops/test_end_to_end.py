"""From a pack that gives up in the simulated Cloudflare to a real receiver: by the rules of a real Prometheus, by the
daemon itself through a real Alertmanager, and by the daemon's own webhook while it is killed again and again.

Every part is a real process or server on loopback. Prometheus and Alertmanager run with the files that are shipped;
only ports and intervals are of the test.
"""

import json
import random
import re
import sqlite3
import threading
import time
from collections import Counter
from contextlib import ExitStack, closing

import pytest
import yaml

from tests.harness.alerting import Receiver
from tests.harness.servers import (
    ALERTMANAGER,
    PROMETHEUS,
    ROOT,
    RealPrometheus,
    alertmanager,
    asked,
    cloudflare,
    eventually,
    free_address,
    watchdog,
)
from watchdog.simulator.scenario import Scenario, pack_id, zone_id

DEPLOY = ROOT / "deploy" / "prometheus"
FAILING = {"status": "validation_timed_out", "story": {"outcomes": ["times_out"], "stages": {"timing_out": "1s"}}}


def configured(folder, url, accounts, destinations, web=""):
    """Writes ``config.yaml``: the zones of each account, looked at every second, given up after one restart."""
    config = {
        "accounts": {name: {"api_token": f"token-of-{name}"} for name in accounts},
        "zones": [
            {"name": zone, "id": zone_id(zone), "account": account}
            for account, zones in accounts.items()
            for zone in zones
        ],
        "schedule": {"interval": "1s", "attention_interval": "1s"},
        "restart": {"max_attempts": 1, "backoff": {"initial": "1s", "jitter": 0.0}},
        "diagnosis": {"enabled": False},
        "alerts": {"destinations": destinations},
        "web": {"listen": web},
        "state": {"url": f"sqlite:///{folder / 'state.db'}"},
        "log": {"format": "json"},
        "api": {"base_url": url},
    }
    (folder / "config.yaml").write_text(json.dumps(config))


def world_of(accounts, pack):
    """Each account with its token and its zones of one pack."""
    return Scenario.model_validate(
        {
            "tokens": [{"name": name, "value": f"token-of-{name}"} for name in accounts],
            "zones": [{"name": zone, "packs": [pack]} for zones in accounts.values() for zone in zones],
        }
    )


# ── Prometheus and Alertmanager ──────────────────────────────────────────────────────────────────────────────────────


def scraping(target, manager):
    """The shipped job and the shipped rules, for this daemon and this Alertmanager, every second."""
    config = yaml.safe_load((DEPLOY / "scrape.yml").read_text())
    [job] = config["scrape_configs"]
    job |= {"scrape_interval": "1s", "scrape_timeout": "1s", "static_configs": [{"targets": [target]}]}
    return config | {
        "global": {"evaluation_interval": "1s"},
        "rule_files": [str(DEPLOY / "certpack-watchdog.rules.yml")],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [manager]}]}]},
    }


@pytest.mark.real
@pytest.mark.skipif(not ALERTMANAGER, reason="alertmanager not installed (Debian: prometheus-alertmanager)")
@pytest.mark.skipif(not PROMETHEUS, reason="prometheus not installed (Debian: prometheus)")
def test_a_pack_that_gives_up_is_told_by_prometheus_and_by_the_daemon_and_so_is_its_recovery(tmp_path):
    accounts, web = {"main": ["a.example"]}, free_address()
    with ExitStack() as stack:
        hook = stack.enter_context(Receiver())
        world, url = stack.enter_context(cloudflare(world_of(accounts, FAILING)))
        manager = alertmanager(stack, tmp_path, hook.url)
        destinations = [{"name": "am", "alertmanager": f"http://{manager}", "heartbeat": True}]
        configured(tmp_path, url, accounts, destinations, web)
        RealPrometheus(stack, tmp_path, scraping(web, manager))
        watchdog(stack, tmp_path)

        def told(status):
            alerts = [alert for got in list(hook.got) for alert in got.json["alerts"] if alert["status"] == status]
            return {alert["labels"]["alertname"]: alert for alert in alerts}

        def both_fire():
            return told("firing").keys() >= {"CertpackGaveUp", "CertpackWatchdogGaveUp", "CertpackWatchdogHeartbeat"}

        eventually(both_fire)
        rule, own = told("firing")["CertpackGaveUp"], told("firing")["CertpackWatchdogGaveUp"]
        assert rule["labels"]["job"] == "certpack-watchdog"
        assert (own["labels"]["zone"], own["labels"]["severity"]) == ("a.example", "critical")
        assert own["annotations"]["summary"].endswith("gave up after 1 restart")
        assert rule["annotations"]["runbook"] == own["annotations"]["runbook"] == "docs/runbooks/gave_up.md"

        world.set_status(pack_id("a.example", 0), "active")

        def both_are_over():
            return told("resolved").keys() >= {"CertpackGaveUp", "CertpackWatchdogGaveUp"}

        eventually(both_are_over)


@pytest.mark.real
@pytest.mark.skipif(not ALERTMANAGER, reason="alertmanager not installed (Debian: prometheus-alertmanager)")
@pytest.mark.skipif(not PROMETHEUS, reason="prometheus not installed (Debian: prometheus)")
def test_who_uses_both_ways_with_the_shipped_inhibit_rules_is_told_once_by_the_daemon(tmp_path):
    accounts, web = {"main": ["a.example"]}, free_address()
    inhibit = yaml.safe_load((DEPLOY.parent / "alertmanager" / "alertmanager.yml").read_text())["inhibit_rules"]
    with ExitStack() as stack:
        hook = stack.enter_context(Receiver())
        world, url = stack.enter_context(cloudflare(world_of(accounts, FAILING)))
        manager = alertmanager(stack, tmp_path, hook.url, inhibit=inhibit, wait="5s")
        configured(tmp_path, url, accounts, [{"name": "am", "alertmanager": f"http://{manager}"}], web)
        RealPrometheus(stack, tmp_path, scraping(web, manager))
        watchdog(stack, tmp_path)

        def inhibited():
            held = json.loads(asked(f"http://{manager}/api/v2/alerts") or b"[]")
            by = {each["fingerprint"]: each["labels"]["alertname"] for each in held}
            return {
                each["labels"]["alertname"]: {by.get(name) for name in each["status"]["inhibitedBy"]} for each in held
            }

        def the_rule_is_quiet():
            return inhibited().get("CertpackGaveUp") == {"CertpackWatchdogGaveUp"}

        def told(status):
            alerts = [alert for got in list(hook.got) for alert in got.json["alerts"] if alert["status"] == status]
            return {alert["labels"]["alertname"] for alert in alerts}

        def told_of_it():
            return told("firing")

        def told_of_the_end():
            return told("resolved")

        eventually(the_rule_is_quiet)
        assert eventually(told_of_it) == {"CertpackWatchdogGaveUp"}
        world.set_status(pack_id("a.example", 0), "active")
        assert "CertpackWatchdogGaveUp" in eventually(told_of_the_end)


# ── the daemon's own webhook, and SIGKILL ────────────────────────────────────────────────────────────────────────────


def waiting(folder):
    """How many letters are in the outbox on the disk."""
    path = folder / "state.db"
    if not path.exists():
        return 0
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        try:
            return database.execute("SELECT count(*) FROM outbox").fetchone()[0]
        except sqlite3.OperationalError:  # no tables yet
            return 0


DOWN, DOWN_AND_WRITTEN, THERE, DEAF = range(4)  # how the receiver is in a life: deaf, it takes and never answers


@pytest.mark.process
def test_however_long_the_receiver_is_down_and_whenever_the_daemon_is_killed_every_alert_arrives(tmp_path):
    lives, dice = 8, random.Random(4)  # noqa: S311  the same moments every time, as far as processes allow
    accounts = {f"account{number}": [f"z{number}.example"] for number in range(lives)}  # groups that do not wait
    web, hook_port = free_address(), int(free_address().rpartition(":")[2])
    received = []
    with ExitStack() as stack:
        world, url = stack.enter_context(cloudflare(world_of(accounts, {"status": "active"})))
        hook = {"name": "hook", "webhook": f"http://127.0.0.1:{hook_port}/"}
        configured(tmp_path, url, accounts, [hook], web)

        def ready():
            return asked(f"http://{web}/readyz")

        for life in range(lives):
            with ExitStack() as mortal:
                there = mortal.enter_context(Receiver(hook_port)) if life % 4 in (THERE, DEAF) else None
                if life % 4 == DEAF:
                    there.hang = threading.Event()
                daemon = watchdog(mortal, tmp_path)
                eventually(ready)
                world.set_status(pack_id(f"z{life}.example", 0), "issuance_timed_out")
                before = waiting(tmp_path)

                def written(before=before):
                    return waiting(tmp_path) > before

                if life % 4 == DOWN_AND_WRITTEN:
                    eventually(written)
                elif life % 4 == DEAF:
                    assert there.wait_for(1)
                else:
                    time.sleep(dice.uniform(0, 1.5))
                daemon.kill()
                daemon.wait()
                received += there.got if there else []
        assert waiting(tmp_path) >= 1
        last = stack.enter_context(Receiver(hook_port))
        watchdog(stack, tmp_path)

        def expected():
            alerts = json.loads(asked(f"http://{web}/api/v1/alerts") or b'{"alerts": []}')["alerts"]
            return {alert["fingerprint"] for alert in alerts} if len(alerts) == lives else set()

        def arrived():
            told = [got.json for got in (*received, *last.got)]
            return {alert["fingerprint"] for message in told for alert in message["alerts"]}

        def all_is_told():
            return expected() and arrived() >= expected() and waiting(tmp_path) == 0

        eventually(all_is_told)
        messages = [got.json for got in (*received, *last.got)]
        times = Counter(message["id"] for message in messages)
        starts = Counter(
            alert["fingerprint"]
            for message in {message["id"]: message for message in messages}.values()
            for alert in message["alerts"]
            if alert["kind"] == "started"
        )
    assert starts == dict.fromkeys(starts, 1)  # each was said once; what came again came under the id it had
    again = sum(count - 1 for count in times.values())
    assert 1 <= again <= lives // 2  # at most one for each kill while somebody was there
    log = (tmp_path / "daemon.log").read_text()
    assert not re.search("Traceback|defect", log)
