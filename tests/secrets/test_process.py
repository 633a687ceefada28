"""The real program, with a canary in every secret, at the log level debug: nothing it writes anywhere shows one."""

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.harness.alerting import Receiver
from tests.harness.canaries import KEY, OTHER_TOKEN, PROXY_PASSWORD, PROXY_USER, TOKEN, leaks
from tests.harness.processes import PATIENCE
from tests.secrets.test_configurations import configuration
from tests.tell.test_web import PATHS

pytestmark = pytest.mark.process

SECRETS_OF_ALL = {"tokens": [{"name": "main", "value": TOKEN}, {"name": "old", "email": "ops@example.com", "key": KEY}]}
ZONES = {"a.example": [{"status": "validation_timed_out"}], "b.example": [{"status": "active"}]}


@pytest.fixture
def proxy():
    """Takes what is meant for hosts that do not exist, and repeats all of it in its answers."""
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def environ(proxy):
    address = f"http://{PROXY_USER}:{PROXY_PASSWORD}@127.0.0.1:{proxy.port}"
    proxies = {f"{kind}_proxy": address for kind in ("http", "https", "all")}
    return {**proxies, "no_proxy": "127.0.0.1", "PYTHONASYNCIODEBUG": "1", "PYTHONPATH": os.pathsep.join(sys.path)}


def planted(machine, host="nowhere.example"):
    """A configuration of the machine's world with every secret in it; destinations are at ``host``."""
    text = json.dumps(configuration()).replace("127.0.0.1:1", host)
    found = json.loads(text)
    zones = [{**zone, "account": "main"} for zone in machine.config()["zones"]]
    more = {"zones": zones, "log": {"level": "debug", "format": "json"}}
    return {**machine.config(), "accounts": found["accounts"], "alerts": found["alerts"], **more}


def said(machine, environ, *arguments, path=None):
    """What a command writes to stdout and stderr."""
    path = path or machine.folder / "config.yaml"
    command = [sys.executable, "-m", "watchdog", *arguments, "--config", str(path)]
    done = subprocess.run(
        command, capture_output=True, timeout=PATIENCE, env={**os.environ, **environ}, check=False, cwd=machine.folder
    )
    assert b"Traceback" not in done.stderr, done.stderr
    return done.stdout + done.stderr


def echoing(proxy, status):
    """The proxy's answers from now on: this status, and everything it was sent."""
    proxy.answers = [
        (status, {"location": "http://elsewhere.example/"}, f"{PROXY_USER}:{PROXY_PASSWORD} {TOKEN}".encode())
        for _ in range(1000)
    ]


def test_a_running_daemon_shows_no_secret_on_any_way_out(machine, proxy, environ):
    machine.cloudflare(ZONES, **SECRETS_OF_ALL)
    echoing(proxy, 500)
    config = planted(machine)
    daemon = machine.run(config, **environ)
    for event, count in (("pass_completed", 1), ("restart_sent", 1), ("alert_failed", 1)):
        daemon.until(event, count)
    shown = {"pages": "\n".join(daemon.get(path).text for path in PATHS)}
    daemon.configure({**config, "accounts": {"main": {"api_token": f"{OTHER_TOKEN}\n{TOKEN}"}}})
    daemon.signal(signal.SIGHUP)
    daemon.until("config_refused")
    daemon.configure({**config, "accounts": {**config["accounts"], "main": {"api_token": OTHER_TOKEN}}})
    daemon.signal(signal.SIGHUP)
    daemon.until("config_reloaded")
    daemon.until("api_error")
    assert daemon.stop() == 0
    shown["output"] = daemon.output
    assert proxy.got
    shown["state"] = b"".join(file.read_bytes() for file in machine.folder.glob("state.db*"))
    assert len(shown["state"]) > 4096
    assert leaks(**shown) == set()


def test_no_command_shows_a_secret(machine, environ):
    machine.cloudflare(ZONES, **SECRETS_OF_ALL)
    (machine.folder / "config.yaml").write_text(json.dumps(planted(machine)))
    shown = {
        " ".join(arguments): said(machine, environ, *arguments)
        for arguments in (
            ("check-config",),
            ("check-config", "--online"),
            ("check-config", "--show"),
            ("once", "--alert"),
            ("once", "-o", "json"),
            ("status",),
            ("explain", "a.example"),
        )
    }
    assert b"pass_completed" in shown["once -o json"]
    assert leaks(**shown) == set()


AWAY = {"api": {"base_url": "https://api.nowhere.example/v4", "timeout": "2s"}}


@pytest.mark.parametrize("status", [407, 302])
def test_a_proxy_that_repeats_what_it_was_sent_makes_nobody_show_it(machine, proxy, environ, status):
    machine.cloudflare(ZONES, **SECRETS_OF_ALL)
    (machine.folder / "config.yaml").write_text(json.dumps(planted(machine) | AWAY))
    echoing(proxy, status)
    shown = {name: said(machine, environ, name) for name in ("once", "test-alert")}
    assert b"FAILED  hook" in shown["test-alert"]
    assert b"api_error" in shown["once"]
    assert proxy.got
    assert leaks(**shown) == set()


def test_nothing_is_shown_where_nothing_answers(machine, environ):
    """Refused connections, TLS spoken to a server without it, and a proxy that is not there."""
    with Receiver() as plain:
        machine.cloudflare(ZONES, **SECRETS_OF_ALL)
        config = planted(machine, f"127.0.0.1:{plain.port}")
        text = json.dumps(config).replace('"http://', '"https://').replace('"json://', '"jsons://')
        away = json.loads(text) | {"api": {"base_url": f"https://127.0.0.1:{plain.port}/v4", "timeout": "2s"}}
        (machine.folder / "config.yaml").write_text(json.dumps(away))
        shown = {name: said(machine, environ, name) for name in ("once", "test-alert")}
        assert b"TLS failed" in shown["test-alert"]
    gone = {name: value.replace(str(plain.port), "1") for name, value in environ.items()}
    gone |= {f"{kind}_proxy": f"http://{PROXY_USER}:{PROXY_PASSWORD}@127.0.0.1:1" for kind in ("http", "https", "all")}
    (machine.folder / "config.yaml").write_text(json.dumps(planted(machine) | AWAY))
    shown |= {f"{name}, no proxy": said(machine, gone, name) for name in ("once", "test-alert")}
    assert b"could not connect" in shown["test-alert, no proxy"]
    assert leaks(**shown) == set()
