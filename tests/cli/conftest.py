"""The command line twice, and a simulated Cloudflare for it to speak to. Nothing leaves loopback.

``shell`` starts real processes, for whatever has to do with processes: streams, signals, the daemon. ``command`` calls
the same entry point in this process, in a tenth of the time; file descriptors and the exit code are as real.
"""

import asyncio
import json
import logging
import os
import pty
import queue
import re
import socket
import subprocess
import sys
import termios
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
import structlog

from tests.harness.handbook import log_events
from watchdog.cli import main
from watchdog.clock import RealClock
from watchdog.simulator.scenario import Scenario
from watchdog.simulator.server import serve
from watchdog.simulator.world import World

TOKEN = "simulated-token"
ENVIRON = {
    name: value for name, value in os.environ.items() if not name.startswith(("CERTPACK_", "PYTHON", "COLUMNS"))
} | {"PYTHONPATH": str(Path(__file__).parents[2])}


class Shell:
    """Runs ``certpack-watchdog`` in a folder of its own."""

    def __init__(self, folder, compiled):
        self.folder = folder
        self._environ = ENVIRON | {"PYTHONPYCACHEPREFIX": str(compiled)}  # compiled once, and not into the tree
        self._running = []

    def start(self, *arguments, env=None, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options):
        command = [sys.executable, "-m", "watchdog", *map(str, arguments)]
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=self._environ | (env or {}),
            stdout=stdout,
            stderr=stderr,
            text=True,
            **{"stdin": subprocess.DEVNULL, **options},
        )
        self._running.append(process)
        return process

    def __call__(self, *arguments, **options):
        return ended(self.start(*arguments, **options))

    def end(self):
        for process in self._running:
            if process.poll() is None:
                process.kill()
            process.communicate()


def ended(process):
    out, err = process.communicate(timeout=30)
    return Done(process.returncode, out, err)


class Done:
    """An ended command: its exit code and what it said."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def lines(self):
        """What was logged, checked against the promise every line makes."""
        found, documented = [json.loads(line) for line in self.err.splitlines()], log_events()
        for line in found:
            levels, fields = documented[line["event"]]
            assert line["level"] in levels, line
            assert line.keys() <= {"timestamp", "level", "event"} | fields, line
            assert list(line)[:3] == ["timestamp", "level", "event"]
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["timestamp"])
            assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in (*line, line["event"]))
            if line["event"].startswith("restart_"):
                assert line.keys() >= {"account", "zone", "zone_id", "pack_id", "reason", "attempt"}
                assert "next_restart_at" in line or line["reason"] == "dry_run"
        return found

    @property
    def events(self):
        return [line["event"] for line in self.lines]

    def failed(self, code):
        """That it ended with ``code`` and one sentence on stderr, which is returned."""
        assert (self.code, self.out) == (code, ""), self.err
        sentences = [line for line in self.err.splitlines() if not line.startswith("{")]
        assert len(sentences) == 1, self.err
        return sentences[0]


@pytest.fixture
def shell(tmp_path, tmp_path_factory):
    shell = Shell(tmp_path, tmp_path_factory.getbasetemp() / "compiled")
    yield shell
    shell.end()


@pytest.fixture
def screen(shell):
    """``screen(*arguments)``: what a terminal of 80 columns shows, and the exit code."""

    def see(*arguments, columns=80):
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, columns))
        process = shell.start(*arguments, stdout=theirs, stderr=theirs, env={"TERM": "xterm-256color"})
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # EIO: nobody has the other end any more
            while chunk := os.read(ours, 65536):
                shown += chunk
        os.close(ours)
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()).replace("\r\n", "\n"), process.wait(10)

    return see


@pytest.fixture
def command(tmp_path, monkeypatch, capfd):
    """``command(*arguments, **environment)``: the command line in this process, as ``Done``."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []  # pytest's own would be closed
    monkeypatch.chdir(tmp_path)

    def run(*arguments, **environment):
        monkeypatch.setattr(sys, "argv", ["certpack-watchdog", *map(str, arguments)])
        capfd.readouterr()
        with monkeypatch.context() as surroundings:
            for name, value in environment.items():
                surroundings.setenv(name, value)
            with pytest.raises(SystemExit) as exit_:
                main()
        return Done(exit_.value.code or 0, *capfd.readouterr())

    yield run
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture
def cloudflare():
    """``cloudflare(scenario)``: a simulated Cloudflare on a port; gives its world, with ``url`` beside it."""
    ends = []

    def build(scenario=None, **parts):
        world = World(scenario or Scenario.model_validate(parts), RealClock())
        ready = queue.Queue()

        async def stand():
            stop = asyncio.Event()
            async with serve(world) as url:
                ready.put((url, asyncio.get_running_loop(), stop))
                await stop.wait()

        thread = threading.Thread(target=lambda: asyncio.run(stand()))
        thread.start()
        world.url, loop, stop = ready.get(timeout=10)
        ends.append((thread, loop, stop))
        return world

    yield build
    for thread, loop, stop in ends:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)


@pytest.fixture
def configure(tmp_path):
    """``configure(world)``: writes ``config.yaml`` for a world (or a bare URL) and gives its path."""

    def write(world, *, token=TOKEN, zones=None, more="", account=None, name="config.yaml"):
        url = getattr(world, "url", world)
        listed = [{"name": zone.name, "id": zone.id} for zone in world.zones.values()] if zones is None else zones
        path = tmp_path / name
        path.touch(mode=0o600)
        path.write_text(
            f"accounts:\n  main: {json.dumps(account or {'api_token': token})}\n"
            f"zones: {json.dumps(listed)}\n"
            f"api: {{base_url: {json.dumps(url)}, timeout: 5s}}\n"
            f"state: {{url: sqlite:///{tmp_path / 'state.db'}}}\n"
            f"diagnosis: {{enabled: false}}\n{more}"  # it would ask DNS beyond this machine
        )
        return path

    return write


@pytest.fixture
def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@pytest.fixture
def until():
    """``until(found)``: what ``found()`` gives once it is true, within a deadline."""

    def wait(found, seconds=15.0):
        deadline = time.monotonic() + seconds
        while not (result := found()):
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.02)
        return result

    return wait
