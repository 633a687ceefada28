"""The daemon as a process: what it serves, logs and survives; and the simulator alone."""

import json
import re
import signal

import httpx
import pytest

from tests.cli.conftest import Done

pytestmark = pytest.mark.process

PLANTED = "planted-secret-4f1c9e"
FLEET = [
    {"name": "well.example", "packs": [{"status": "active"}]},
    {"name": "late.example", "packs": [{"status": "validation_timed_out"}]},
]


def get(url, **options):
    try:
        return httpx.get(url, trust_env=False, timeout=5, **options)
    except httpx.TransportError:
        return None


@pytest.fixture
def running(shell, cloudflare, configure, free_port, until):
    """A daemon that is ready, its configuration, its address and the world it watches."""
    world = cloudflare(zones=FLEET, tokens=[{"value": PLANTED}])
    more = f'web: {{listen: "127.0.0.1:{free_port}"}}\nlog: {{level: debug}}\n'
    config = configure(world, token=PLANTED, more=more)
    process, url = shell.start("run", "-c", config), f"http://127.0.0.1:{free_port}"

    def ready():
        assert process.poll() is None, process.communicate()
        answer = get(f"{url}/readyz")
        return answer is not None and answer.status_code == 200

    until(ready)
    return process, config, url, world


def test_a_daemons_day(running, command, until):
    process, config, url, world = running
    said = []

    # It restarts what has timed out, once, and shows it.
    until(lambda: len(world.restarts) == 1)
    metrics = get(f"{url}/metrics").text
    said.append(metrics)
    assert 'certpack_watchdog_restarts_total{account="main",outcome="accepted",zone="late.example"} 1.0' in metrics
    packs = get(f"{url}/api/v1/packs")
    said.append(packs.text)
    assert {row["zone"]: row["reason"] for row in packs.json()["packs"]} == {
        "well.example": "healthy",
        "late.example": "restarted",
    }

    # Beside it the state can be looked at, and no second one can begin.
    status, second = command("status", "-c", config), command("once", "-c", config)
    assert (status.code, second.code) == (0, 75)
    said += [status.out, second.err]

    def reload_successful():
        return "\ncertpack_watchdog_config_last_reload_successful 1.0\n" in get(f"{url}/metrics").text

    # A reload that is wrong changes nothing and says why; one that is right is taken.
    good = config.read_text()
    config.write_text(good + "nonsense: true\nfolly: true\n")
    process.send_signal(signal.SIGHUP)
    until(lambda: not reload_successful())
    config.write_text(good + "schedule: {interval: 10m}\n")
    process.send_signal(signal.SIGHUP)
    until(reload_successful)
    assert get(f"{url}/healthz").status_code == 200

    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=15)
    said += [out, err]
    assert (process.returncode, out) == (0, "")
    lines = Done(0, out, err).lines
    events = [line["event"] for line in lines]
    assert events[0] == "started"
    assert events[-2:] == ["stopping", "stopped"]
    assert {"restart_intended", "restart_sent", "pass_completed", "config_refused", "config_reloaded"} <= set(events)
    assert not [line for line in lines if line.get("zone") == "well.example"]
    refused = next(line for line in lines if line["event"] == "config_refused")
    assert re.search(r": nonsense: .+; \S+config\.yaml:\d+: folly: ", refused["error"])

    # Nothing of all this holds the credential.
    assert PLANTED not in "".join(said)


def test_a_daemon_that_is_interrupted_ends_well(running):
    process = running[0]
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=15)
    assert process.returncode == 0
    assert json.loads(err.splitlines()[-1])["event"] == "stopped"


def test_a_daemon_whose_log_nobody_reads_goes_on(running, until):
    process, config, url, _ = running
    process.stderr.close()
    config.write_text(config.read_text() + "nonsense: true\n")
    process.send_signal(signal.SIGHUP)
    until(lambda: "config_last_reload_successful 0.0" in get(f"{url}/metrics").text)
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0
    process.stdout.close()


def test_the_simulator_says_how_to_speak_to_it(shell, tmp_path):
    (tmp_path / "scenario.yaml").write_text("zones: [{name: a.example}]\n")
    process = shell.start("simulate", "--port", "0", "--scenario", "scenario.yaml")
    said = [process.stdout.readline() for _ in range(4)]
    assert re.fullmatch(r"A DNS resolver that knows these zones is at 127\.0\.0\.1:\d+\n", said[3])
    base = said[0].split()[-1]
    token, zone = said[1].split()[-1], said[2].split()[1]
    packs = get(
        f"{base}/zones/{zone}/ssl/certificate_packs?status=all", headers={"authorization": f"Bearer {token}"}
    ).json()
    assert [pack["status"] for pack in packs["result"]] == ["active"]


def test_a_pass_that_is_told_to_end_puts_away_what_it_has_begun(shell, cloudflare, configure, until, command):
    slow = {"kind": "slow", "method": "PATCH", "delay": "20s"}
    config = configure(
        cloudflare(zones=[{"name": "late.example", "packs": [{"status": "validation_timed_out"}]}], faults=[slow])
    )
    process = shell.start("once", "-c", config)
    until(lambda: "restart_intended" in process.stderr.readline())
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    assert process.returncode == -signal.SIGTERM
    told = command("events", "-o", "json", "-c", config).json["events"]
    assert [line["event"] for line in told] == ["restart_intended"]
