"""The whole daemon with a canary in every secret, at the log level debug, while everything goes wrong."""

import json

import httpx
import pytest

from tests.harness.canaries import KEY, OTHER_TOKEN, PLANTED, PROXY_PASSWORD, PROXY_USER, TOKEN, leaks, reprs
from tests.harness.fleet import as_a_daemon, timed_out
from tests.harness.time import in_simulated_time
from tests.secrets.test_configurations import configuration
from watchdog.tell.pages import application

PATHS = ("/", "/healthz", "/readyz", "/metrics", "/api/v1/packs", "/api/v1/alerts")
ZONES = {"a.example": [timed_out()], "b.example": [timed_out()]}


async def pages(daemon):
    """Every page of the listener."""
    transport = httpx.ASGITransport(app=application(daemon.sources.sources()))
    async with httpx.AsyncClient(transport=transport, base_url="http://daemon") as client:
        return "\n".join([(await client.get(path)).text for path in PATHS])


@pytest.mark.repeats
@in_simulated_time
async def test_a_daemon_shows_no_secret_whatever_goes_wrong(start, capfd, monkeypatch, tmp_path):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://{PROXY_USER}:{PROXY_PASSWORD}@127.0.0.1:1")
    planted = configuration()
    accounts = {"main": {"api_token": TOKEN}, "old": planted["accounts"]["old"]}
    echoes = {"a.example": f"no: Authorization: Bearer {TOKEN}", "b.example": f"no: X-Auth-Key: {KEY}"}
    tokens = [
        {"name": "main", "value": TOKEN},
        {"name": "old", "email": "ops@example.com", "key": KEY},
    ]
    faults = [
        {"kind": "json_error", "zone": zone, "message": message, **fault}
        for zone, message in echoes.items()
        for fault in (
            {"status": 400, "code": 1499, "method": "PATCH"},
            {"status": 403, "code": 9109, "after": "2h", "until": "182m"},
        )
    ]
    config = {
        "accounts": accounts,
        "alerts": planted["alerts"],
        "log": {"level": "debug", "format": "json"},
        "schedule": {"attention_interval": "10m"},
        "restart": {"max_attempts": 2, "backoff": {"initial": "1m", "jitter": 0}},
    }
    scenario = {"tokens": tokens, "faults": faults}
    async with start({"a.example": ZONES["a.example"]}, old={"b.example": ZONES["b.example"]}, scenario=scenario,
                     config=config) as fleet, as_a_daemon(fleet) as daemon:  # fmt: skip
        await fleet.sleep(3600)
        assert fleet.row("a.example")["reason"] == "gave_up"
        for wrong in (
            {"accounts": {"main": {"api_token": f"{OTHER_TOKEN} x"}}},
            {"alerts": {"destinations": [list(PLANTED.values())]}},
        ):
            fleet.start.path.write_text(json.dumps({**fleet.settings, **wrong}, default=str))
            daemon.ask_to_reload()
            await fleet.sleep(60)
        await fleet.sleep(2 * 3600)
        shown = {
            "pages": await pages(daemon),
            "status line": daemon.health.summary(fleet.runtime.inventory()),
            "core": reprs(daemon, fleet.runtime, fleet.telemetry.events, fleet.telemetry.reports),
            "journal": repr([fleet.journal(name, "a.example") for name in ("restart_failed", "gave_up")]),
        }
        fleet.settings = {**fleet.settings, "accounts": {**accounts, "main": {"api_token": OTHER_TOKEN}}}
        fleet.start.path.write_text(json.dumps(fleet.settings))
        daemon.ask_to_reload()
        await fleet.sleep(600)
        shown["state"] = b"".join(file.read_bytes() for file in tmp_path.glob("state.db*"))
    shown["logs"] = "".join(capfd.readouterr())
    for event in ("alert_failed", "heartbeat_failed", "gave_up", "config_refused", "config_reloaded", "zone_unseen"):
        assert f'"event": "{event}"' in shown["logs"]
    assert "(credential)" in shown["logs"]
    assert "(credential)" in shown["pages"]
    assert leaks(**shown) == set()
