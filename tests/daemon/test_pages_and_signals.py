"""The daemon as its own process, asked over HTTP, told by signals, and telling the service manager."""

import signal

import pytest

from tests.harness.alerting import Receiver
from tests.harness.fleet import timed_out
from tests.harness.processes import until
from watchdog.simulator.scenario import Fault, pack_id, zone_id

pytestmark = pytest.mark.process

CALM = [{"status": "active"}]


def states(datagram):
    return dict(line.split("=", 1) for line in datagram.decode().splitlines())


def told(manager, name):
    """The next datagram that holds this state."""
    while name not in (found := states(manager.recv(4096))):
        pass
    return found


def metric(text, name):
    [line] = [line for line in text.splitlines() if line.startswith(f"certpack_watchdog_{name} ")]
    return float(line.split()[-1])


def test_its_pages_answer_while_it_runs_and_readiness_waits_for_the_first_pass(machine):
    world = machine.cloudflare({"a.example": CALM, "slow.example": CALM})
    config = machine.config(schedule={"interval": "4s", "attention_interval": "1.2s"})
    config["zones"][0]["packs"] = [pack_id("a.example", 0)]
    world.add_fault(Fault.model_validate({"kind": "slow", "zone": "slow.example", "delay": "1.2s"}))
    daemon = machine.run(config)
    early = daemon.get("/readyz")
    assert (early.status_code, early.text) == (503, "the first pass is not done\n")
    assert daemon.get("/healthz").text == "ok\n"
    daemon.until("pass_completed")
    assert (daemon.get("/readyz").status_code, daemon.get("/readyz").text) == (200, "ok\n")
    metrics = daemon.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain; version=")
    assert metric(metrics.text, "last_pass_timestamp_seconds") > 0
    assert metric(metrics.text, "config_last_reload_successful") == 1
    rows = daemon.get("/api/v1/packs").json()
    assert [row["pack_id"] for row in rows["packs"] if row["zone"] == "a.example"] == [pack_id("a.example", 0)]
    assert {zone["zone"] for zone in rows["zones"]} == {"a.example", "slow.example"}
    assert daemon.stop() == 0


def test_sighup_takes_a_good_file_up_key_by_key_and_refuses_a_broken_one_whole(machine):
    zones = {"a.example": CALM, "new.example": CALM, "partner.example": CALM}
    tokens = [
        {"name": "main", "value": "token-of-main"},
        {"name": "rolled", "value": "rolled-token-of-main"},
        {"name": "partner", "value": "token-of-partner"},
    ]
    machine.cloudflare(zones, tokens=tokens)
    before = machine.config()
    a, new, partner = before["zones"]
    before["accounts"]["partner"] = {"api_token": "token-of-partner"}
    before["zones"] = [a, {**partner, "account": "partner"}]
    daemon = machine.run(before)
    until(lambda: machine.world.requests_by("partner"), "a look at the partner's zone")
    daemon.until("pass_completed")

    after = machine.config(zones=[a, new], schedule={"interval": "0.5s", "attention_interval": "0.1s"})
    after["accounts"]["main"]["api_token"] = "rolled-token-of-main"
    daemon.configure(after)
    daemon.signal(signal.SIGHUP)
    reloaded = daemon.until("config_reloaded")
    assert reloaded["changes"] == [
        "accounts.main.api_token: secret → changed",
        "accounts.partner: present → absent",
        "schedule.interval: 0.6s → 0.5s",
        "schedule.attention_interval: 0.2s → 0.1s",
        "zones[partner.example]: present → absent",
        "zones[new.example]: absent → present",
    ]
    until(lambda: machine.asked("new.example"), "a look at the new zone")
    until(lambda: machine.world.requests_by("rolled"), "a request with the new token")
    text = daemon.get("/metrics").text
    assert "partner" not in text
    assert 'zone="new.example"' in text
    theirs, ours = len(machine.world.requests_by("partner")), len(machine.asked("a.example"))

    daemon.configure(after | {"schedule": {"intervall": "5s"}})
    daemon.signal(signal.SIGHUP)
    refused = daemon.until("config_refused")
    assert "did you mean" in refused["error"]
    assert refused["level"] == "error"
    assert metric(daemon.get("/metrics").text, "config_last_reload_successful") == 0
    until(lambda: len(machine.asked("a.example")) >= ours + 3, "looks under the old configuration")
    assert len(machine.world.requests_by("partner")) == theirs

    daemon.configure(after | {"web": {"listen": "127.0.0.1:1"}})
    daemon.signal(signal.SIGHUP)
    assert "web.listen cannot change while running" in daemon.until("config_refused", 2)["error"]

    daemon.configure(after)
    daemon.signal(signal.SIGHUP)
    daemon.until("config_reloaded", 2)
    assert metric(daemon.get("/metrics").text, "config_last_reload_successful") == 1
    assert daemon.stop() == 0
    assert "token-of" not in daemon.output


def test_the_service_manager_is_told_ready_status_watchdog_reloading_and_stopping(machine, manager):
    machine.cloudflare({"a.example": [timed_out("succeeds")]})
    environ = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "600000"}
    daemon = machine.run(None, **environ)
    ready = states(manager.recv(4096))
    assert ready == {"READY": "1", "STATUS": "Started; the first pass is under way."}
    assert daemon.get("/healthz").status_code == 200  # at once: READY means that it can be asked
    assert told(manager, "WATCHDOG") == {"WATCHDOG": "1"}
    assert told(manager, "STATUS")["STATUS"].startswith("1 pack in 1 zone; none needs a person. Last pass ")
    daemon.signal(signal.SIGHUP)
    reloading = told(manager, "RELOADING")
    assert reloading["RELOADING"] == "1"
    assert int(reloading["MONOTONIC_USEC"]) > 0
    assert told(manager, "READY") == {"READY": "1"}  # in a datagram of its own: whatever follows may fail
    assert told(manager, "STATUS")["STATUS"].startswith("1 pack in 1 zone; ")
    daemon.signal(signal.SIGTERM)
    assert told(manager, "STOPPING") == {
        "STOPPING": "1",
        "STATUS": "Stopping: letting what is under way finish.",
    }
    assert daemon.ended() == 0


def test_no_credential_is_in_anything_it_says_or_keeps_however_talkative_it_is(machine):
    secrets = {"main": "planted-token-3f9a", "keys": "planted-key-77c1", "bad": "planted-refused-0b2e"}
    tokens = [
        {"name": "main", "value": secrets["main"]},
        {"name": "keys", "email": "ops@example.com", "key": secrets["keys"]},
        {"name": "bad", "value": secrets["bad"], "revoked": True},
    ]
    zones = {"a.example": [timed_out("succeeds")], "b.example": CALM, "c.example": CALM}
    world = machine.cloudflare(zones, tokens=tokens)
    for kind, status in (("html_error", 400), ("json_error", 404), ("text_error", 418)):  # none is tried again
        world.add_fault(Fault.model_validate({"kind": kind, "zone": "b.example", "times": 1, "status": status}))
    config = machine.config(log={"level": "debug", "format": "json"})
    config["accounts"] = {
        "main": {"api_token": secrets["main"]},
        "keys": {"api_email": "ops@example.com", "api_key": "${PLANTED}"},
        "bad": {"api_token": secrets["bad"]},
    }
    for zone, account in zip(config["zones"], config["accounts"], strict=True):
        zone["account"] = account
    daemon = machine.run(config, PLANTED=secrets["keys"])
    daemon.until("api_error", 4)
    daemon.until("restart_sent")
    pages = "".join(daemon.get(page).text for page in ("/", "/metrics", "/healthz", "/readyz", "/api/v1/packs"))
    daemon.configure(config | {"accounts": {"main": {"api_token": "planted other-5d5d"}}})
    daemon.signal(signal.SIGHUP)
    daemon.until("config_refused")
    assert daemon.stop() == 0
    kept = b"".join(file.read_bytes() for file in machine.folder.glob("state.db*")).decode("latin-1")
    for text in (daemon.output, pages, kept):
        assert "a.example" in text  # it is the right text
        assert "planted" not in text
    assert {request.credential for request in world.ledger} == {"main", "keys", "bad"}  # and each was used


def test_a_dry_run_of_the_daemon_sends_no_patch_and_says_so(machine):
    machine.cloudflare({"a.example": [timed_out()]})
    daemon = machine.run(None, "--dry-run")
    held = daemon.until("restart_held")
    assert (held["reason"], held["zone_id"]) == ("dry_run", zone_id("a.example"))
    assert daemon.until("pass_completed", 3)["dry_run"]
    assert daemon.stop() == 0
    assert machine.patches() == []


def test_a_reload_whose_url_apprise_does_not_know_is_refused_whole_and_people_of_the_old_one_are_told(machine):
    machine.cloudflare({"a.example": CALM})
    with Receiver() as hook:
        daemon = machine.run(machine.config(alerts={"destinations": [{"name": "hook", "webhook": hook.url}]}))
        daemon.until("pass_completed")
        daemon.configure(
            machine.config(
                alerts={"destinations": [{"name": "chat", "url": "nosuchservice://planted-secret"}]},
                log={"level": "error", "format": "json"},
            )
        )
        daemon.signal(signal.SIGHUP)
        refused = daemon.until("config_refused")
        [letter] = until(lambda: hook.got, "a message")
        daemon.until("alert_sent")  # at info, so the old level holds
        assert daemon.stop() == 0
    says = f"{daemon.path}: alerts.destinations[chat].url: Apprise knows no service for this URL"
    assert refused["error"] == says
    assert (letter.json["reason"], says in letter.json["alerts"][0]["body"]) == ("config_refused", True)
    assert "planted-secret" not in daemon.output + letter.body.decode()
