"""``certpack-watchdog`` as processes of their own, on real ports and signals, beside a simulated Cloudflare."""

import json
import os
import signal
import subprocess
import sys
import time

import httpx

from tests.harness.cloudflare_client import in_a_thread
from watchdog.clock import RealClock
from watchdog.simulator.scenario import Scenario, zone_id
from watchdog.simulator.world import World

PATIENCE = 20


def until(found, what, patience=PATIENCE):
    """What ``found()`` gives, as soon as it gives something."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        result = found()
        if result:
            return result
        time.sleep(0.01)
    raise AssertionError(f"{what}: not within {patience} s")


class Process:
    """``certpack-watchdog run`` in a process of its own."""

    def __init__(self, folder, config, environ, arguments):
        self.folder = folder
        self.path = folder / "config.yaml"
        self.configure(config)
        self._out = (folder / f"out{time.monotonic_ns()}").open("w+b")
        command = [sys.executable, "-m", "watchdog", "run", "--config", str(self.path), *arguments]
        self.process = subprocess.Popen(
            command, stdout=self._out, stderr=self._out, env={**os.environ, **environ}, cwd=folder
        )

    def configure(self, config):
        """Write the configuration file; a dictionary, or any text."""
        self.path.write_text(config if isinstance(config, str) else json.dumps(config))
        self.path.chmod(0o600)  # it holds a credential

    @property
    def output(self):
        """Everything it wrote so far."""
        return os.pread(self._out.fileno(), 10_000_000, 0).decode()

    def lines(self, event):
        """Its log lines of this name."""
        found = [json.loads(line) for line in self.output.splitlines() if line.startswith("{") and line.endswith("}")]
        return [line for line in found if line["event"] == event]

    def until(self, event, count=1):
        """The line of this name, as soon as it was written ``count`` times."""

        def found():
            assert event == "stopped" or self.process.poll() is None, f"it has ended:\n{self.output}"
            return self.lines(event)[count - 1 :]

        try:
            return until(found, f"{count} lines of {event}")[0]
        except AssertionError as error:
            raise AssertionError(f"{error}:\n{self.output}") from None

    def signal(self, number):
        self.process.send_signal(number)

    def ended(self):
        """Its exit code, as soon as it has one."""
        return self.process.wait(PATIENCE)

    def stop(self):
        """SIGTERM; gives the exit code."""
        self.signal(signal.SIGTERM)
        return self.ended()

    def get(self, path):
        """A page of its own listener."""
        address = self.until("started")["listen"]
        return httpx.get(address + path.removeprefix("/"), timeout=PATIENCE, trust_env=False)

    def kill(self):
        """End it, if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def close(self):
        self.kill()
        self._out.close()


class Machine:
    """A place with a simulated Cloudflare on a port, in which the daemon can be run."""

    def __init__(self, folder, stack):
        self.folder = folder
        self._stack = stack
        self._processes = []
        self.world = None
        self.base_url = ""

    def cloudflare(self, zones, **scenario):
        """Begin to simulate: zones by name, each a list of packs."""
        told = [{"name": name, "packs": packs} for name, packs in zones.items()]
        scenario = {"tokens": [{"name": "main", "value": "token-of-main"}], "zones": told, **scenario}
        self.world = World(Scenario.model_validate(scenario), RealClock())
        self.base_url = self._stack.enter_context(in_a_thread(self.world))
        return self.world

    def config(self, **settings):
        """A configuration for all its zones, with everything quick."""
        zones = self.world.zones.values() if self.world else ()
        return {
            "accounts": {"main": {"api_token": "token-of-main"}},
            "zones": [{"name": zone.name, "id": zone.id, "account": "main"} for zone in zones],
            "schedule": {"interval": "0.6s", "attention_interval": "0.2s"},
            "restart": {"backoff": {"initial": "3s", "jitter": 0}},
            "web": {"listen": "127.0.0.1:0"},
            "state": {"url": f"sqlite:///{self.folder}/state.db"},
            "log": {"format": "json"},
            "diagnosis": {"enabled": False},  # no test asks the world's DNS
            "api": {"base_url": self.base_url, "timeout": "10s"},
            **settings,
        }

    def run(self, config=None, *arguments, **environ):
        """Start the daemon."""
        environ = {"PYTHONPATH": os.pathsep.join(sys.path), **environ}
        process = Process(self.folder, config or self.config(), environ, arguments)
        self._stack.callback(process.close)
        self._processes.append(process)
        return process

    def stop(self):
        """Kill what still runs, so that what it used can be taken away."""
        for process in self._processes:
            process.kill()

    def command(self, *arguments):
        """Another command on the same configuration."""
        command = [sys.executable, "-m", "watchdog", *arguments, "--config", str(self.folder / "config.yaml")]
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=environ, check=False)

    def patches(self):
        """The PATCHes that arrived at Cloudflare."""
        return [request for request in self.world.ledger if request.method == "PATCH"]

    def asked(self, zone):
        """The requests about one zone."""
        return [request for request in self.world.ledger if zone_id(zone) in request.path]
