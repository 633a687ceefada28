"""The unit as systemd itself reads it, and the daemon under a systemd that was booted for it."""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.servers import CannotBootError, Machine, booted, lacking, until
from watchdog.demo.stories import TOKEN

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "systemd" / "certpack-watchdog.service"
NAME = "certpack-watchdog.service"
HOME = "/opt/certpack-watchdog"
PYTHON = "/usr/bin/python3"  # the daemon's user cannot enter a Python under /root

pytestmark = pytest.mark.real
analyze = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="systemd-analyze not installed (Debian: systemd)"
)

CONFIG = """\
accounts:
  main:
    api_token_file: ${CREDENTIALS_DIRECTORY}/token
    discover: {include: ["*"]}
api: {base_url: "http://127.0.0.1:8787/client/v4"}
log: {level: LEVEL}
"""
SIMULATOR = f"""\
[Unit]
# Also keeps the unit loaded once it has stopped, so that systemd still says how it ended.
Before={NAME}
[Service]
ExecStart={HOME}/bin/certpack-watchdog simulate --port 8787 --scenario /etc/scenario.yaml
DynamicUser=yes
"""
SCENARIO = f"""\
tokens: [{{value: {TOKEN}}}]
zones:
  - {{name: well.example, packs: [{{status: active}}]}}
  - {{name: late.example, packs: [{{status: validation_timed_out}}]}}
"""
SHORT = """\
[Service]
WatchdogSec=2
TimeoutAbortSec=1
RestartSec=100ms
"""
QUICK = """\
[Service]
RestartSec=100ms
"""
STATE = "/var/lib/private/certpack-watchdog"
CONFUSE = """\
import sqlite3, sys
state = sqlite3.connect(sys.argv[1], isolation_level=None)
[version] = state.execute("PRAGMA schema_version").fetchone()
state.execute("PRAGMA writable_schema = ON")
state.execute("UPDATE sqlite_master SET rootpage = 99999 WHERE name = 'histories'")
state.execute(f"PRAGMA schema_version = {version + 1}")
"""
ASK = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9909/healthz', timeout=5).status)"


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, its program replaced by one that is here: systemd-analyze looks for it."""
    copy = tmp_path / NAME
    copy.write_text(UNIT.read_text().replace(f"{HOME}/bin/certpack-watchdog", "/bin/true"))
    return copy


@analyze
def test_systemd_finds_nothing_to_say_about_the_unit(unit: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@analyze
def test_the_exposure_of_the_unit_is_at_most_1_5(unit: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=15", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def install(work: Path) -> Path:
    """What an installation puts on a machine, under `work/setup`: the program, the unit, the configuration."""
    setup = work / "setup"
    venv, etc = setup / HOME.strip("/"), setup / "etc"
    dist = work / "dist"
    pip_install = [str(venv / "bin/pip"), "install", "-q", "--no-deps"]
    for command in (
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(dist)],
        [PYTHON, "-m", "venv", str(venv)],
        [*pip_install, "--require-hashes", "-r", str(ROOT / "requirements/runtime.txt")],
        [*pip_install, "--no-index", "-f", str(dist), "certpack-watchdog"],
    ):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    script = venv / "bin" / "certpack-watchdog"
    script.write_text(script.read_text().replace(str(venv), HOME))  # it is made here and moved there
    system = etc / "systemd" / "system"
    system.mkdir(parents=True)
    shutil.copy(UNIT, system / NAME)
    (system / "simulator.service").write_text(SIMULATOR)
    (etc / "scenario.yaml").write_text(SCENARIO)
    ours = etc / "certpack-watchdog"
    ours.mkdir()
    (ours / "token").write_text(f"{TOKEN}\n")
    (ours / "token").chmod(0o600)
    (ours / "config.yaml").write_text(CONFIG.replace("LEVEL", "info"))
    for folder in (setup, setup / "opt", venv, etc, ours):
        folder.chmod(0o755)
    return setup


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A booted machine with the program installed, the simulator answering and the unit not yet started."""
    if reason := lacking():
        pytest.skip(reason)
    found = subprocess.run(
        [PYTHON, "-c", "import sys, ensurepip; sys.exit(sys.version_info < (3, 11))"], capture_output=True, check=False
    )
    if found.returncode:
        pytest.skip(f"{PYTHON} is not a Python 3.11 with venv (Debian: python3-venv)")
    work = tmp_path_factory.mktemp("machine")
    try:
        with booted(work, install(work)) as machine:
            machine.run("systemctl", "start", "simulator.service")
            yield machine
    except CannotBootError:
        pytest.skip("this machine does not allow overlay mounts")
    finally:
        shutil.rmtree(work, ignore_errors=True)


@pytest.fixture
def running(machine: Machine) -> Iterator[Machine]:
    """The machine with the unit started afresh and ready; stopped again afterwards."""
    machine.write("/etc/certpack-watchdog/config.yaml", CONFIG.replace("LEVEL", "info"))
    machine.run("systemctl", "reset-failed")
    try:
        machine.run("systemctl", "start", NAME)
    except AssertionError as error:
        pytest.fail(f"{error}\n{journal(machine)}")
    yield machine
    machine.run("systemctl", "stop", NAME, check=False)


def journal(machine: Machine) -> str:
    return machine.run("journalctl", "--no-pager", "-o", "cat", "-u", NAME, check=False)


def test_it_starts_says_ready_and_says_what_it_is_doing(running: Machine) -> None:
    assert running.show(NAME, "ActiveState") == "active", journal(running)
    assert until(lambda: running.show(NAME, "StatusText")), journal(running)


def test_it_answers_on_loopback_under_all_the_hardening(running: Machine) -> None:
    assert until(lambda: running.run(PYTHON, "-c", ASK, check=False) == "200"), journal(running)


def test_it_runs_as_nobody_in_particular_with_a_state_only_it_can_enter(running: Machine) -> None:
    pid = running.show(NAME, "MainPID")
    assert running.run("stat", "-c", "%u", f"/proc/{pid}") != "0"
    assert running.run("stat", "-c", "%a", "/var/lib/private/certpack-watchdog") == "700"
    assert running.run("ls", "/var/lib/private/certpack-watchdog"), "nothing was written there"


def test_the_token_reaches_neither_the_journal_nor_the_environment(running: Machine) -> None:
    assert until(lambda: running.show(NAME, "StatusText"))
    pid = running.show(NAME, "MainPID")
    assert TOKEN not in journal(running) + running.run("cat", f"/proc/{pid}/environ", f"/proc/{pid}/cmdline")


def test_reload_takes_a_new_configuration_in_the_same_process(running: Machine) -> None:
    before = running.show(NAME, "MainPID")
    running.write("/etc/certpack-watchdog/config.yaml", CONFIG.replace("LEVEL", "debug"))
    running.run("systemctl", "reload", NAME)
    assert until(lambda: "config_reloaded" in journal(running)), journal(running)
    assert (running.show(NAME, "MainPID"), running.show(NAME, "ActiveState")) == (before, "active")


def test_reload_of_a_wrong_configuration_fails_names_the_fault_and_leaves_the_old_one_running(running: Machine) -> None:
    before, taken = running.show(NAME, "MainPID"), journal(running).count("config_reloaded")
    running.write("/etc/certpack-watchdog/config.yaml", CONFIG.replace("LEVEL", "info") + "nonsense: true\n")
    said = running.run("/bin/sh", "-c", f"systemctl reload {NAME} 2>&1; echo ended with $?")
    assert "ended with 0" not in said
    assert "config.yaml:7: nonsense: unknown key" in journal(running)
    assert journal(running).count("config_reloaded") == taken
    assert (running.show(NAME, "MainPID"), running.show(NAME, "ActiveState")) == (before, "active")


def test_a_wrong_configuration_that_nobody_reloads_is_in_the_status_until_it_is_mended(running: Machine) -> None:
    assert until(lambda: running.show(NAME, "StatusText").startswith("2 packs in 2 zones; ")), journal(running)
    running.write("/etc/certpack-watchdog/config.yaml", CONFIG.replace("LEVEL", "info") + "nonsense: true\n")
    refused = "Reload refused: /etc/certpack-watchdog/config.yaml:7: nonsense: unknown key"
    assert until(lambda: running.show(NAME, "StatusText").startswith(refused), 60), journal(running)
    running.write("/etc/certpack-watchdog/config.yaml", CONFIG.replace("LEVEL", "warning"))
    assert until(lambda: running.show(NAME, "StatusText").startswith("2 packs in 2 zones; "), 60), journal(running)
    assert running.show(NAME, "ActiveState") == "active"


def test_stop_ends_it_with_0_well_within_the_time_it_has(running: Machine) -> None:
    assert until(lambda: running.show(NAME, "StatusText"))
    began = time.monotonic()
    running.run("systemctl", "stop", NAME)
    assert time.monotonic() - began < 20
    ended = (running.show(NAME, "Result"), running.show(NAME, "ExecMainStatus"), running.show(NAME, "ExecMainCode"))
    assert ended == ("success", "0", "1"), journal(running)


def test_a_wrong_configuration_is_not_tried_again(machine: Machine) -> None:
    machine.write("/etc/certpack-watchdog/config.yaml", "acounts: {}\n")
    machine.run("systemctl", "start", NAME, check=False)
    assert machine.show(NAME, "ActiveState") == "failed", journal(machine)
    assert (machine.show(NAME, "ExecMainStatus"), machine.show(NAME, "NRestarts")) == ("78", "0"), journal(machine)


def test_the_watchdog_leaves_a_living_daemon_alone_and_replaces_a_hanging_one(machine: Machine) -> None:
    machine.write("/etc/certpack-watchdog/config.yaml", CONFIG.replace("LEVEL", "info"))
    machine.write(f"/run/systemd/system/{NAME}.d/short.conf", SHORT)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "reset-failed")
    machine.run("systemctl", "start", NAME)
    pid = machine.show(NAME, "MainPID")
    time.sleep(5)  # two and a half times what the watchdog allows
    assert (machine.show(NAME, "MainPID"), machine.show(NAME, "NRestarts")) == (pid, "0"), journal(machine)
    machine.run("kill", "-STOP", pid)
    assert until(lambda: machine.show(NAME, "NRestarts") == "1"), journal(machine)
    assert until(lambda: machine.show(NAME, "ActiveState") == "active"), journal(machine)
    assert machine.show(NAME, "MainPID") != pid
    machine.run("systemctl", "stop", NAME)


# ── whatever ends it, it comes back without a person ─────────────────────────────────────────────────────────────────


@pytest.fixture
def quick(machine: Machine) -> Iterator[Machine]:
    """The machine, the unit not started, and a failure followed by the next start at once."""
    machine.write("/etc/certpack-watchdog/config.yaml", CONFIG.replace("LEVEL", "info"))
    machine.run("rm", "-rf", f"/run/systemd/system/{NAME}.d")
    machine.write(f"/run/systemd/system/{NAME}.d/quick.conf", QUICK)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "reset-failed")
    yield machine
    machine.run("systemctl", "stop", NAME, check=False)
    machine.run("rm", "-rf", f"/run/systemd/system/{NAME}.d")
    machine.run("systemctl", "daemon-reload")


def works(machine: Machine, restarts: int) -> bool:
    """Whether it runs after so many automatic restarts or more, and answers."""
    running = machine.show(NAME, "ActiveState") == "active" and int(machine.show(NAME, "NRestarts")) >= restarts
    return running and machine.run(PYTHON, "-c", ASK, check=False) == "200"


def set_aside(machine: Machine) -> list[str]:
    return sorted(machine.run("find", STATE, "-name", "state.db.damaged-*Z").splitlines())


def test_killed_it_is_started_again_however_often_and_works(quick: Machine) -> None:
    quick.run("systemctl", "start", NAME)
    for number in range(1, 8):  # more often than systemd's own limit allows
        assert until(lambda at=number - 1: works(quick, at)), journal(quick)
        quick.run("kill", "-KILL", quick.show(NAME, "MainPID"))
    assert until(lambda: works(quick, 7)), journal(quick)
    assert quick.show(NAME, "NRestarts") == "7"


def test_a_damaged_state_is_set_aside_at_the_start_and_while_it_runs_and_it_works(quick: Machine) -> None:
    quick.run("systemctl", "start", NAME)
    assert until(lambda: works(quick, 0)), journal(quick)
    quick.run("systemctl", "stop", NAME)
    quick.run("/bin/sh", "-c", f"head -c 60000 /dev/zero > {STATE}/state.db")
    quick.run("systemctl", "start", NAME)
    assert until(lambda: works(quick, 0)), journal(quick)
    assert len(set_aside(quick)) == 1
    assert '"event": "state_lost"' in journal(quick)

    quick.run(PYTHON, "-c", CONFUSE, f"{STATE}/state.db")
    assert until(lambda: works(quick, 1) and len(set_aside(quick)) == 2, 90), journal(quick)  # at its next pass
    assert "is damaged" in journal(quick)
    assert quick.run("stat", "-c", "%s", set_aside(quick)[0]) == "60000"


def test_a_full_disk_is_waited_out_beyond_every_limit_of_starts(quick: Machine) -> None:
    quick.run("/bin/sh", "-c", f"mount -t tmpfs -o size=512k,mode=0700 tmpfs {STATE}")
    try:
        quick.run("/bin/sh", "-c", f"head -c 1M /dev/zero > {STATE}/filler", check=False)
        quick.run("systemctl", "start", "--no-block", NAME)
        assert until(lambda: int(quick.show(NAME, "NRestarts")) >= 7, 90), journal(quick)
        assert quick.show(NAME, "ExecMainStatus") in {"74", "0"}  # 0: the next one is just starting
        quick.run("rm", f"{STATE}/filler")
        assert until(lambda: works(quick, 7)), journal(quick)
    finally:
        quick.run("systemctl", "stop", NAME, check=False)
        quick.run("umount", STATE)
