"""Real servers and processes on loopback, as tests start them: on ports nobody else has, and ended with the test."""

import asyncio
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from queue import Queue

import pytest

from watchdog.clock import RealClock
from watchdog.simulator.server import serve
from watchdog.simulator.world import World

ROOT = Path(__file__).parents[2]
ALERTMANAGER = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
PROMETHEUS = shutil.which("prometheus")
MANAGED = """
route: {{receiver: hook, group_by: [alertname], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}}
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


def alertmanager(stack, folder, hook):
    """A real Alertmanager that sends on to the webhook ``hook`` at once; gives its address."""
    (folder / "alertmanager.yml").write_text(MANAGED.format(url=hook))
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
