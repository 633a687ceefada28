"""The real process where the machine has nothing left, no room or no file descriptors: it waits, and goes on."""

import os
import resource
import signal
import socket
import sqlite3
import subprocess
from contextlib import ExitStack, closing, suppress

import pytest

from tests.harness.fleet import timed_out
from tests.harness.processes import until
from watchdog.simulator.scenario import Fault

pytestmark = pytest.mark.process

ZONE = "a.example"
QUICK = {"backoff": {"initial": "0.3s", "max": "0.3s", "jitter": 0}, "max_attempts": 100}


def again_and_again():
    return timed_out("times_out", story={"stages": {"initializing": "0.1s", "timing_out": "0.1s"}})


# ── the disk ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class Disk:
    """A small file system of its own, to be filled and cleared."""

    def __init__(self, folder):
        self.folder, self._filler = folder, folder / "filler"

    def fill(self):
        with self._filler.open("ab", buffering=0) as file, suppress(OSError):
            while file.write(bytes(4096)) == 4096:  # a file that takes a part of it is full too
                pass
        assert os.statvfs(self.folder).f_bavail == 0

    def clear(self):
        self._filler.unlink()


@pytest.fixture
def disk(machine):
    """512 KB on which the state lies."""
    folder = machine.folder / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k,mode=0700", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
    try:
        yield Disk(folder)
    finally:
        machine.stop()
        subprocess.run(["umount", "-l", str(folder)], check=True)


def on(disk, machine, **settings):
    return machine.config(restart=QUICK, state={"url": f"sqlite:///{disk.folder}/state.db"}, **settings)


def intents(disk):
    with closing(sqlite3.connect(disk.folder / "state.db")) as state:
        return state.execute("SELECT count(*) FROM intents").fetchone()[0]


def test_a_disk_that_fills_while_it_runs_stops_restarts_and_nothing_else_until_there_is_room(machine, disk):
    machine.cloudflare({ZONE: [again_and_again()]})
    daemon = machine.run(on(disk, machine))
    until(lambda: len(machine.patches()) >= 2, "restarts")
    disk.fill()
    said = daemon.until("state_unwritable")
    assert (said["level"], "the disk is full" in said["error"] or "disk reports" in said["error"]) == ("error", True)
    until(lambda: "state_unwritable" in {line["reason"] for line in daemon.lines("restart_held")}, "held for it")
    sent, passes = len(machine.patches()), len(daemon.lines("pass_completed"))
    daemon.until("pass_completed", passes + 5)  # a whole second, with a restart due every 0.3
    assert len(machine.patches()) == sent
    ready = daemon.get("/readyz")
    assert (ready.status_code, ready.text[:29]) == (503, "the state cannot be written: ")
    assert daemon.get("/healthz").status_code == 200
    disk.clear()
    daemon.until("state_writable")
    until(lambda: len(machine.patches()) >= sent + 2, "restarts again")
    assert daemon.get("/readyz").status_code == 200
    assert daemon.stop() == 0
    assert intents(disk) == len(machine.patches())


@pytest.mark.parametrize("existing", [True, False], ids=["with a state", "without one"])
def test_a_disk_that_is_full_at_the_start_ends_it_with_74_each_time_until_there_is_room(machine, disk, existing):
    machine.cloudflare({ZONE: [again_and_again()]})
    if existing:
        first = machine.run(on(disk, machine))
        first.until("restart_sent")
        assert first.stop() == 0
    sent = len(machine.patches())
    disk.fill()
    for _ in range(2):
        refused = machine.run(on(disk, machine))
        assert refused.ended() == 74
        [sentence] = refused.output.splitlines()
        assert sentence.startswith(f"the state {disk.folder}/state.db cannot be ")
    assert len(machine.patches()) == sent
    disk.clear()
    machine.run(on(disk, machine)).until("restart_sent")
    assert not list(disk.folder.glob("*damaged*"))


def test_a_damaged_state_on_a_full_disk_is_set_aside_and_the_loss_is_known_once_there_is_room(machine, disk):
    machine.cloudflare({ZONE: [again_and_again()]})
    (disk.folder / "state.db").write_bytes(b"nonsense" * 1000)
    (disk.folder / "state.db.lock").touch()
    disk.fill()
    refused = machine.run(on(disk, machine))
    assert refused.ended() == 74
    [kept] = disk.folder.glob("state.db.damaged-*Z")
    assert kept.read_bytes() == b"nonsense" * 1000
    disk.clear()
    daemon = machine.run(on(disk, machine))
    assert daemon.until("state_lost")["kept"] == str(kept)
    assert daemon.until("restart_held")["reason"] == "state_lost"
    assert machine.patches() == []


# ── file descriptors ─────────────────────────────────────────────────────────────────────────────────────────────────


def cpu(pid):
    """Seconds of CPU a process has used."""
    with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123  it is no file
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_without_a_free_file_descriptor_it_neither_dies_nor_spins_nor_floods_and_goes_on_when_there_are_some(machine):
    world = machine.cloudflare({ZONE: [again_and_again()]})
    daemon = machine.run(machine.config(restart=QUICK))
    daemon.until("restart_sent")
    pid, (host, port) = daemon.process.pid, daemon.until("started")["listen"][7:-1].rsplit(":", 1)
    usual = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, usual[1]))  # what is open stays, and none that closes comes back
    with ExitStack() as callers:
        for _ in range(20):
            callers.enter_context(socket.create_connection((host, int(port))))
        world.add_fault(Fault(kind="reset", times=1))  # so that its connection to Cloudflare is gone as well
        daemon.until("zone_unseen")
        daemon.signal(signal.SIGHUP)
        assert "Too many open files" in daemon.until("config_refused")["error"]
        passes, used = len(daemon.lines("pass_completed")), cpu(pid)
        daemon.until("pass_completed", passes + 15)  # three seconds
        assert cpu(pid) - used < 1.0
        assert [line["error"] for line in daemon.lines("library")] == ["OSError: [Errno 24] Too many open files"]
    sent = len(machine.patches())
    resource.prlimit(pid, resource.RLIMIT_NOFILE, usual)
    until(lambda: len(machine.patches()) >= sent + 2, "restarts again")
    assert daemon.get("/readyz").status_code == 200
    daemon.signal(signal.SIGHUP)
    daemon.until("config_reloaded")
    assert daemon.stop() == 0


def test_a_start_without_enough_file_descriptors_is_a_sentence_and_74_and_the_next_one_works(machine):
    machine.cloudflare({ZONE: [again_and_again()]})
    daemon = machine.run(machine.config(restart=QUICK))
    resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (10, 10))
    assert daemon.ended() == 74
    assert daemon.output.splitlines()[-1].startswith("Too many open files: raise the limit (LimitNOFILE")
    assert machine.patches() == []
    machine.run(machine.config(restart=QUICK)).until("restart_sent")
