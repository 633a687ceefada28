"""Every exit code, reached for real; every failure one sentence on stderr."""

import re
import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from watchdog.state.store import Store

pytestmark = pytest.mark.process

HEALTHY = [{"name": "well.example", "packs": [{"status": "active"}]}]
TIMED_OUT = [{"name": "late.example", "packs": [{"status": "validation_timed_out"}]}]
UNIVERSAL = [{"name": "other.example", "packs": [{"status": "validation_timed_out", "type": "universal"}]}]
REVOKED = [{"name": "main", "value": "simulated-token", "revoked": True}]
NOWHERE = "http://127.0.0.1:1/client/v4"
ZONE = [{"id": "0" * 32}]


def test_0_a_fleet_that_is_well_and_not_a_word_about_each_pack(command, cloudflare, configure):
    zones = [{"name": f"well{number}.example", "packs": [{}] * 3} for number in range(5)]
    done = command("once", "-c", configure(cloudflare(zones=zones)))
    assert (done.code, done.out) == (0, "15 packs in 5 zones; none needs you; last look just now\n")
    assert done.events == ["pass_completed"]


def test_0_a_restart_that_was_accepted(command, cloudflare, configure):
    world = cloudflare(zones=TIMED_OUT)
    done = command("once", "-c", configure(world))
    assert done.code == 0
    assert len(world.restarts) == 1
    assert done.events == ["restart_intended", "restart_sent", "pass_completed"]
    assert "initializing for 0 s; 1 restart so far." in done.out


def test_1_something_needs_a_person(shell, cloudflare, configure):
    done = shell("once", "-c", configure(cloudflare(zones=UNIVERSAL)))
    assert done.code == 1
    assert "packs of type universal cannot be restarted" in " ".join(done.out.split())


def test_1_a_zone_could_not_be_seen_while_others_were(command, cloudflare, configure):
    world = cloudflare(zones=HEALTHY)
    zones = [{"name": "well.example"}, {"name": "nowhere.example"}]
    done = command("once", "-c", configure(world, zones=zones))
    assert done.code == 1
    assert "nowhere.example is not seen (not found," in done.out
    assert done.out.startswith("1 pack in 2 zones; 1 zone not seen; last look just now\n")
    assert [line["event"] for line in done.lines if line["level"] == "error"] == ["zone_unseen"]


def test_69_cloudflare_cannot_be_reached(shell, configure):
    done = shell("once", "-c", configure(NOWHERE, zones=ZONE))
    assert done.code == 69
    assert "could not connect" in done.out


@pytest.mark.parametrize("arguments", [("explain", "well.example"), ("restart", "well.example", "p1")])
def test_69_a_zone_that_discovery_could_not_look_for_is_not_called_unwatched(command, configure, arguments):
    config = configure(NOWHERE, zones=[], account={"api_token": "simulated-token", "discover": {}})
    said = command(*arguments, "-c", config).failed(69)
    assert said == (
        "zone well.example is not under `zones`, and discovery failed: "
        "account main: list_zones: could not connect to 127.0.0.1:1: Connection refused"
    )


def test_69_cloudflare_refuses_the_credential(command, cloudflare, configure):
    config = configure(cloudflare(zones=TIMED_OUT, tokens=REVOKED))
    once, online = command("once", "-c", config), command("check-config", "--online", "-c", config)
    assert (once.code, online.code) == (69, 69)
    assert "credential refused" in once.out
    assert "FAILED  account main: token: " in online.out
    restart = command("restart", "late.example", "0" * 32, "-c", config)
    assert "Invalid access token" in restart.failed(69)


def test_74_there_is_no_state_yet(command, configure):
    config = configure(NOWHERE, zones=ZONE)
    assert "there is no state at " in command("status", "-c", config).failed(74)


@pytest.mark.parametrize("name", ["once", "run"])
def test_74_the_state_cannot_be_opened(command, configure, tmp_path, name):
    (tmp_path / "state.db").write_bytes(b"this is no database, whatever it is called" * 50)
    assert "is not a SQLite database" in command(name, "-c", configure(NOWHERE, zones=ZONE)).failed(74)


@pytest.mark.parametrize("name", ["once", "run"])
def test_78_a_newer_version_wrote_the_state(command, configure, tmp_path, name):
    Store.open(f"sqlite:///{tmp_path / 'state.db'}", exclusive=True).close()
    with sqlite3.connect(tmp_path / "state.db") as other:
        other.execute("UPDATE alembic_version SET version_num = '9999'")
    other.close()
    done = command(name, "-c", configure(NOWHERE, zones=ZONE))
    assert "was written by a newer version of this program" in done.failed(78)


@pytest.mark.parametrize("name", ["once", "run"])
def test_75_another_instance_holds_the_state(command, configure, tmp_path, name):
    store = Store.open(f"sqlite:///{tmp_path / 'state.db'}", exclusive=True)
    try:
        done = command(name, "-c", configure(NOWHERE, zones=ZONE))
    finally:
        store.close()
    assert str(tmp_path / "state.db") in done.failed(75)


@pytest.mark.parametrize("arguments", ["check-config", "check-config --online", "run", "once", "status", "restart a b"])
def test_78_the_configuration_is_wrong(command, tmp_path, arguments):
    (tmp_path / "bad.yaml").write_text(
        "accounts: {main: {api_token: x}}\nzones: [{name: example.com}]\nintervall: 5m\n"
    )
    sentence = command(*arguments.split(), "-c", "bad.yaml").failed(78)
    assert sentence.startswith("bad.yaml:3: intervall: ")


@pytest.mark.parametrize(
    ("path", "why"), [("missing.yaml", "No such file or directory"), (".", "Is a directory")], ids=["missing", "folder"]
)
def test_78_the_configuration_cannot_be_read(shell, path, why):
    assert shell("check-config", "-c", path).failed(78) == f"{path}: cannot be read: {why}"


def test_78_every_fault_is_a_line_of_its_own(command, tmp_path):
    (tmp_path / "bad.yaml").write_text(
        "accounts: {main: {api_token: x}}\nzones: [{name: ' '}]\nschedule: {interval: 5}\nlog: {level: loud}\n"
    )
    done = command("check-config", "-c", "bad.yaml")
    assert (done.code, done.out) == (78, "")
    places = [line.split(": ")[:2] for line in done.err.splitlines()]
    assert places == [["bad.yaml:2", "zones[0].name"], ["bad.yaml:3", "schedule.interval"], ["bad.yaml:4", "log.level"]]


def test_74_the_daemon_cannot_listen_where_it_should(command, configure):
    with socket.create_server(("127.0.0.1", 0)) as other:
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        config = configure(NOWHERE, zones=ZONE, more=f'web: {{listen: "{listen}"}}\n')
        sentence = command("run", "-c", config).failed(74)
    assert sentence == (
        f"web.listen: cannot listen on {listen}: Address already in use; choose another address or port"
    )


@pytest.mark.parametrize(
    ("scenario", "why"),
    [
        ("zones:\n  - {name: a.example, colour: red}\n", ":2: zones[0].colour: unknown key; docs/simulator.md has"),
        ("speed: 0\n", ":1: speed: Input should be greater than 0"),
        ("- a list\n", ":1: "),
        (None, ": cannot be read: No such file or directory"),
    ],
    ids=["unknown", "impossible", "list", "missing"],
)
def test_78_the_scenario_cannot_be_played(command, tmp_path, scenario, why):
    if scenario is not None:
        (tmp_path / "scenario.yaml").write_text(scenario)
    sentence = command("simulate", "--port", "0", "--scenario", "scenario.yaml").failed(78)
    assert sentence.startswith(f"scenario.yaml{why}")


def test_74_the_simulator_cannot_listen_where_it_should(command):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        sentence = command("simulate", "--port", port).failed(74)
    assert sentence == f"--port: cannot listen on 127.0.0.1:{port}: Address already in use"


def test_a_reader_who_has_seen_enough_is_no_failure(shell, command, cloudflare, configure):
    config = configure(cloudflare(zones=TIMED_OUT))
    assert command("once", "-c", config).code == 0
    for arguments in (("schema",), ("status", "-o", "json", "-c", config), ("status", "-c", config)):
        process = shell.start(*arguments)
        process.stdout.close()  # as `| head -0` does
        assert (process.stderr.read(), process.wait(10)) == ("", 0), arguments


def test_74_what_was_found_cannot_be_written(shell):
    with Path("/dev/full").open("w") as full:
        process = shell.start("schema", stdout=full)
        assert process.communicate(timeout=10)[1] == "what was found cannot be printed: No space left on device\n"
    assert process.returncode == 74


def test_closed_streams_are_no_failure_of_their_own():
    def closed(arguments):
        line = f"{sys.executable} -m watchdog {arguments} >&- 2>&-"
        return subprocess.run(["sh", "-c", line], cwd=Path(__file__).parents[2], check=False, timeout=10).returncode

    assert (closed("schema"), closed("check-config -c nowhere.yaml")) == (0, 78)


def test_130_the_simulator_is_interrupted(shell):
    process = shell.start("simulate", "--port", "0")
    assert process.stdout.readline().startswith("A simulated Cloudflare answers at http://127.0.0.1:")
    process.send_signal(signal.SIGINT)
    assert "Traceback" not in process.communicate(timeout=10)[1]
    assert process.returncode == 130


@pytest.mark.parametrize("name", ["status", "explain", "restart"])
def test_74_a_damaged_state_is_for_run_and_once_to_mend(command, configure, tmp_path, name):
    (tmp_path / "state.db").write_bytes(b"nonsense" * 500)
    (tmp_path / "state.db.lock").touch()
    arguments = {"status": [], "explain": ["late.example"], "restart": ["late.example", "0" * 32]}[name]
    said = command(name, *arguments, "-c", configure(NOWHERE, zones=ZONE)).failed(74)
    assert said.endswith(
        "is damaged: it is not a SQLite database any more; `run` and `once` set it aside and begin a new one"
    )
    assert (tmp_path / "state.db").read_bytes() == b"nonsense" * 500


def test_0_a_damaged_state_is_set_aside_and_the_pass_restarts_nothing(command, cloudflare, configure, tmp_path):
    world = cloudflare(zones=TIMED_OUT)
    (tmp_path / "state.db").write_bytes(b"nonsense" * 500)
    (tmp_path / "state.db.lock").touch()
    done = command("once", "-c", configure(world))
    assert done.code == 0
    assert done.events == ["state_lost", "restart_held", "pass_completed"]
    [kept] = tmp_path.glob("state.db.damaged-*Z")
    assert (kept.read_bytes(), done.lines[0]["kept"]) == (b"nonsense" * 500, str(kept))
    held = command(
        "restart", "late.example", world.packs(next(iter(world.zones)))[0].id, "-c", tmp_path / "config.yaml"
    )
    assert held.failed(1).startswith("held: state_lost until ")
    last = " ".join(command("status", "-c", tmp_path / "config.yaml").out.rpartition("\n\n")[2].split())
    assert re.fullmatch(
        r"The state was lost, and another is used since \d\d:\d\d \([^)]+\)\. "
        rf"The one before is kept as {re.escape(str(kept))}\. "
        r"No pack is restarted before [^;]+ \(in [^)]+\); then all goes on by itself\.",
        last,
    )
    assert world.restarts == []


def test_74_what_makes_no_sense_is_set_aside_too_and_the_next_start_works(command, cloudflare, configure, tmp_path):
    config = configure(cloudflare(zones=HEALTHY))
    assert command("once", "-c", config).code == 0
    with sqlite3.connect(tmp_path / "state.db") as other:
        other.execute("UPDATE zones SET error = CAST(x'ff' AS TEXT)")
    other.close()
    said = command("once", "-c", config).failed(74)
    assert " is damaged: Could not decode to UTF-8 column 'error'" in said
    assert said.endswith(", and the next start does without it")
    assert command("once", "-c", config).code == 0


@pytest.mark.parametrize("arguments", [("check-config",), ("once",), ("explain", "a"), ("test-alert",), ("run",)])
def test_a_proxy_that_cannot_be_used_is_a_fault_of_the_configuration(command, configure, arguments):
    config = configure("http://127.0.0.1:1/client/v4", zones=[{"name": "a.example"}])
    done = command(*arguments, "-c", config, https_proxy="socks5://planted-user:planted-password@127.0.0.1:1")
    assert "https_proxy must be an HTTP proxy" in done.failed(78)
    assert "planted" not in done.err


def test_what_needs_no_network_minds_no_proxy(command, configure):
    config = configure("http://127.0.0.1:1/client/v4", zones=[{"name": "a.example"}])
    assert "there is no state" in command("status", "-c", config, https_proxy="socks5://127.0.0.1:1").failed(74)
