"""Real servers and tools from Debian's packages, for tests: Prometheus, Alertmanager, systemd in a container."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue
from typing import TypeVar

import pytest

from watchdog.clock import RealClock
from watchdog.simulator.server import serve
from watchdog.simulator.world import World

T = TypeVar("T")
UNABLE = 77
BOOT = r"""
set -eu
mount -t tmpfs tmpfs "$W" 2>/dev/null || exit 77
mkdir "$W/up" "$W/work" "$W/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$W/up,workdir=$W/work" "$W/root" 2>/dev/null || exit 77
cd "$W/root"
rm -rf etc/systemd/system/*.wants etc/systemd/system/*.requires
rm -rf etc/systemd/system/certpack-watchdog* etc/certpack-watchdog
printf '[Unit]\nRequires=basic.target\nAfter=basic.target\nAllowIsolate=yes\n' > etc/systemd/system/test.target
ln -sf test.target etc/systemd/system/default.target
: > etc/machine-id
cp -a "$SETUP/." .
exec systemd-nspawn -q -D "$W/root" -M "$NAME" --register=no --keep-unit --private-network --boot --console=pipe
"""


def lacking() -> str:
    """Why no such machine can be had here; empty where it can."""
    if os.geteuid() != 0:
        return "needs root (systemd-nspawn)"
    missing = [name for name in ("systemd-nspawn", "unshare", "nsenter", "setpriv") if not shutil.which(name)]
    return f"{', '.join(missing)} not installed" if missing else ""


def until(what: Callable[[], T], seconds: float = 30) -> T:
    """Asks again and again until the answer is truthy, or time is up; gives the last answer."""
    last = time.monotonic() + seconds
    while not (answer := what()) and time.monotonic() < last:
        time.sleep(0.05)
    return answer


class Machine:
    """One booted machine; commands run inside it."""

    def __init__(self, leader: int) -> None:
        self.leader = leader

    def run(self, *command: str, check: bool = True) -> str:
        """Runs a command inside, and gives what it printed; its failure is this test's."""
        done = subprocess.run(
            ["nsenter", "-t", str(self.leader), "-a", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        assert not check or done.returncode == 0, f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}"
        return done.stdout.strip()

    def show(self, unit: str, name: str) -> str:
        """One property of a unit."""
        return self.run("systemctl", "show", "--value", "--property", name, unit)

    def write(self, path: str, text: str) -> None:
        """Puts a file into the machine."""
        self.run("/bin/sh", "-c", 'mkdir -p "$(dirname "$1")" && printf %s "$2" > "$1"', "sh", path, text)


class CannotBootError(Exception):
    """This machine does not allow the mounts that are needed."""


@contextlib.contextmanager
def booted(work: Path, setup: Path) -> Iterator[Machine]:
    """A machine whose root is this one's with `setup` copied over it, for as long as the block lasts."""
    console, root = work / "console", work / "overlay"
    root.mkdir()
    name = f"certpack{os.getpid()}"
    with console.open("wb") as said:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "slave", "/bin/sh", "-c", BOOT],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            env={**os.environ, "W": str(root), "SETUP": str(setup), "NAME": name},
        )
    try:
        machine = until(lambda: _running(process))
        if process.poll() == UNABLE:
            raise CannotBootError
        assert isinstance(machine, Machine), f"systemd did not come up:\n{console.read_text(errors='replace')}"
        yield machine
        os.kill(machine.leader, signal.SIGRTMIN + 4)  # "power off", to a systemd that is PID 1
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
    finally:
        process.kill()
        process.wait()


def _running(process: subprocess.Popen[bytes]) -> Machine | bool:
    if process.poll() is not None:
        return True
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for child in children:
        machine = Machine(int(child))
        if machine.run("systemctl", "is-system-running", check=False) in {"running", "degraded"}:
            return machine
    return False


_TOKEN = re.compile(
    r"""(?x) (?P<comment>\#[^\n]*) | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`) | (?P<range>\[[^\]]*\])
    | (?P<number>(?<![\w:])\d[\w.]*) | (?P<name>[A-Za-z_:][\w:]*) | (?P<sign>=~|!~|!=|==|>=|<=|[-+*/%^=<>(){},@])
    """
)
_GROUPING = {"by", "without", "on", "ignoring", "group_left", "group_right"}
_WORDS = {"and", "or", "unless", "bool", "offset", "inf", "nan"}


@dataclass
class Selector:
    """One metric as an expression asks for it: its name, and each label with the values it is compared with."""

    metric: str
    labels: list[tuple[str, str, str]] = field(default_factory=list)


@dataclass
class Reading:
    """The selectors of an expression, and the labels it groups or matches by."""

    selectors: list[Selector] = field(default_factory=list)
    grouping: set[str] = field(default_factory=set)


def read(expression: str) -> Reading:
    """What an expression refers to."""
    tokens = [(match.lastgroup or "", match[0]) for match in _TOKEN.finditer(expression)]
    tokens = [token for token in tokens if token[0] != "comment"]
    reading, place = Reading(), 0
    while place < len(tokens):
        kind, text = tokens[place]
        following = tokens[place + 1][1] if place + 1 < len(tokens) else ""
        place += 1
        if kind != "name" or text.lower() in _WORDS:
            continue
        if text.lower() in _GROUPING:
            while following == "(" and tokens[place][1] != ")":
                place += 1
                if tokens[place][0] == "name":
                    reading.grouping.add(tokens[place][1])
        elif following == "{":
            end = next(at for at in range(place, len(tokens)) if tokens[at][1] == "}")
            inside = tokens[place + 1 : end]
            reading.selectors.append(Selector(text, list(_matchers(inside))))
            place = end + 1
        elif following != "(" and following.lower() not in {"by", "without"}:
            reading.selectors.append(Selector(text))
    return reading


def _matchers(tokens: list[tuple[str, str]]) -> Iterator[tuple[str, str, str]]:
    words = [text for _, text in tokens if text != ","]
    for label, sign, value in zip(words[::3], words[1::3], words[2::3], strict=True):
        yield label, sign, value[1:-1]


ROOT = Path(__file__).parents[2]
ALERTMANAGER = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
PROMETHEUS = shutil.which("prometheus")
MANAGED = """
route: {{receiver: hook, group_by: [alertname], group_wait: {wait}, group_interval: 1s, repeat_interval: 1h}}
receivers: [{{name: hook, webhook_configs: [{{url: "{url}", send_resolved: true}}]}}]
"""


def eventually(what, seconds=60):
    """The first true answer of ``what``; fails with its last answer when time is up."""
    deadline = time.monotonic() + seconds
    while not (answer := what()):
        assert time.monotonic() < deadline, f"{what.__name__}: still {answer!r} after {seconds} s"
        time.sleep(0.05)
    return answer


def process(stack, command, log):
    """A process whose output goes to a file; ended with the stack."""
    output = stack.enter_context(log.open("a"))
    running = stack.enter_context(subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT))
    stack.callback(running.wait, 30)
    stack.callback(running.terminate)
    return running


def watchdog(stack, folder):
    """The daemon, on ``config.yaml`` in its folder, as a process; its log is ``daemon.log``."""
    command = [sys.executable, "-m", "watchdog", "run", "-c", str(folder / "config.yaml")]
    return process(stack, command, folder / "daemon.log")


def free_address():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return f"127.0.0.1:{probe.getsockname()[1]}"


def asked(url):
    """What is answered there; ``None`` while nobody does, or with anything but success."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  loopback
            return answer.read()
    except OSError:
        return None


@contextmanager
def cloudflare(scenario):
    """The simulator in a thread of its own: its world, and the address of its API."""
    world, there, stop = World(scenario, RealClock()), Queue(), asyncio.Event()

    async def stand():
        async with serve(world) as url:
            there.put((url, asyncio.get_running_loop()))
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(stand()))
    thread.start()
    url, loop = there.get(timeout=10)
    try:
        yield world, url
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)


def alertmanager(stack, folder, hook, *, inhibit=(), wait="0s"):
    """A real Alertmanager that sends on to the webhook ``hook``, after ``wait``; gives its address."""
    managed = MANAGED.format(url=hook, wait=wait) + f"inhibit_rules: {json.dumps(inhibit)}\n"
    (folder / "alertmanager.yml").write_text(managed)
    address = free_address()
    options = (
        f"--config.file={folder / 'alertmanager.yml'}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
    )
    process(stack, [ALERTMANAGER, *options], folder / "alertmanager.log")

    def ready():
        return asked(f"http://{address}/-/ready") is not None

    eventually(ready)
    return address


class RealPrometheus:
    """A Prometheus with a configuration, once it is ready."""

    def __init__(self, stack, folder, configuration):
        self.address = free_address()
        (folder / "prometheus.yml").write_text(json.dumps(configuration))
        options = (
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={self.address}",
        )
        process(stack, [PROMETHEUS, *options], folder / "prometheus.log")
        eventually(self.ready)

    def ready(self):
        return asked(f"http://{self.address}/-/ready") is not None

    def ask(self, path, **parameters):
        """The ``data`` of an answer; whatever is not a success, or comes with a warning, fails."""
        query = urllib.parse.urlencode(parameters, doseq=True)
        try:
            with urllib.request.urlopen(f"http://{self.address}/api/v1/{path}?{query}", timeout=20) as answer:
                said = json.load(answer)
        except urllib.error.HTTPError as error:
            pytest.fail(f"{parameters}: {error.read().decode()}")
        assert said["status"] == "success"
        assert not said.get("warnings"), said
        return said["data"]
