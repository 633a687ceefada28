"""What the benchmarks share: the fake server as a process, a configuration for it, and the cost of a whole process."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server import zone_id

HERE = Path(__file__).parent
OURS = [sys.executable, "-m", "watchdog"]

# A process of its own, and a small one: a child's peak memory starts at what its parent held when it was forked.
METER = """
import os, sys, time
began = time.perf_counter()
_, status, used = os.wait4(os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ), 0)
cost = [used.ru_utime + used.ru_stime, time.perf_counter() - began, used.ru_maxrss, os.waitstatus_to_exitcode(status)]
os.write(int(sys.argv[1]), repr(cost).encode())
"""


@dataclass(frozen=True)
class Cost:
    """What one process took, from its start to its end."""

    cpu: float  # seconds, user and system
    wall: float  # seconds
    rss: float  # MB at its largest
    code: int


@dataclass(frozen=True)
class Version:
    """The program: as it is here, or what an interpreter or the tree of another version has."""

    where: Path | None = None

    @property
    def command(self) -> list[str]:
        """How it is run."""
        python = str(self.where) if self.where is not None and self.where.is_file() else sys.executable
        return [python, "-m", "watchdog"]

    @property
    def environment(self) -> dict[str, str] | None:
        """What it is run in; ``None`` for that of the benchmark."""
        if self.where is None:
            return None
        return {**os.environ, "PYTHONPATH": str(self.where) if self.where.is_dir() else ""}

    @property
    def folder(self) -> Path:
        """Where it is run: ``-m`` takes what is there before what is installed."""
        if self.where is None:
            return HERE.parent
        return self.where if self.where.is_dir() else Path(tempfile.gettempdir())

    def run(self, *arguments: str) -> Cost:
        """Runs it to its end."""
        return run([*self.command, *arguments], environment=self.environment, folder=self.folder)


def run(
    command: list[str], lines: str = "", environment: dict[str, str] | None = None, folder: Path | None = None
) -> Cost:
    """Runs one command to its end, whatever it prints kept back; shown where it dies or is used wrongly."""
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as told:
        asked.write(lines.encode())
        asked.seek(0)
        subprocess.run(
            [sys.executable, "-I", "-S", "-c", METER, str(told.fileno()), *command],
            stdin=asked,
            stdout=said,
            stderr=subprocess.STDOUT,
            pass_fds=[told.fileno()],
            env=environment,
            cwd=folder,
            check=True,
        )
        told.seek(0)
        cpu, wall, rss, code = json.load(told)
        if code not in {0, 1}:
            said.seek(0)
            sys.exit(f"{' '.join(command)}: exit {code}\n{said.read()[-2000:].decode(errors='replace')}")
    return Cost(cpu, wall, rss / (1024 * 1024 if sys.platform == "darwin" else 1024), code)


@contextlib.contextmanager
def serving(*arguments: object) -> Iterator[str]:
    """The fake server, for as long as the block lasts; gives its address."""
    command = [sys.executable, str(HERE / "server.py"), *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None  # noqa: S101  a pipe was asked for
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.terminate()


@contextlib.contextmanager
def resolving() -> Iterator[str]:
    """The DNS resolver, for as long as the block lasts; gives its address."""
    with subprocess.Popen([sys.executable, str(HERE / "resolver.py")], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None  # noqa: S101  a pipe was asked for
            yield f"127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.terminate()


def stats(address: str) -> dict[str, Any]:
    """What the server counted since the last time it was asked; starts it over."""
    with urllib.request.urlopen(f"{address}/stats?reset", timeout=60) as answer:  # noqa: S310  loopback
        return dict(json.load(answer))


def write_config(folder: Path, address: str, zones: int, rate_limit: str, resolver: str = "") -> Path:
    """A configuration that watches every zone by its id, restarts without a cap and keeps a fresh state in `folder`.

    It diagnoses where there is a ``resolver``.
    """
    lines = [
        "accounts:",
        f"  bench: {{api_token: bench-token-0123456789abcdef0123456789ab, rate_limit: {rate_limit}}}",
        f"api: {{base_url: {address}/client/v4}}",
        "restart: {max_per_hour: 1000000}",
        "web: {listen: ''}",
        f"diagnosis: {{resolvers: ['{resolver}']}}" if resolver else "diagnosis: {enabled: false}",
        f"state: {{url: 'sqlite:///{folder / 'state.db'}'}}",
        "zones:",
        *(f"  - {{name: zone-{zone:05d}.example.com, id: '{zone_id(zone)}'}}" for zone in range(zones)),
    ]
    path = folder / "config.yaml"
    path.write_text("\n".join(lines) + "\n")
    return path
