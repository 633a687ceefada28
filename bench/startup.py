"""What the commands cost before they do anything: CPU and memory of whole processes, medians, beside ``--help``.

``once`` is over one zone that is well. The daemon is started on a state of 5,000 zones with 20 packs each, and measured
until its first request arrives. ``--before`` names an earlier version, as in ``sweep.py``; both are measured in turn.
"""

import argparse
import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from measure import Cost, Version, serving, write_config

LARGE, PACKS = 5_000, 20
FILL = """
import sys
from datetime import UTC, datetime, timedelta
from server import pack_id, zone_id
from watchdog.model.clock import Anchor
from watchdog.model.decisions import Decision, Do
from watchdog.model.history import Remembered, ZoneMemory
from watchdog.model.packs import Pack
from watchdog.model.reasons import Reason
from watchdog.state.changes import Changes
from watchdog.state.store import Store

now, zones, packs = datetime.now(UTC), [], []
for zone in range(int(sys.argv[2])):
    name, key = f"zone-{zone:05d}.example.com", zone_id(zone)
    zones.append(ZoneMemory(account="bench", label=name, id=key, seen_at=now, tried_at=now))
    for number in range(int(sys.argv[3])):
        end = now + timedelta(days=60, seconds=zone)
        pack = Pack(
            id=pack_id(zone, number), zone_id=key, type="advanced", status="active", expires_at=end, validity_days=90,
            hosts=(f"*.p{number}.{name}", f"p{number}.{name}", name), certificate_authority="google",
        )
        well = Decision(Do.LEAVE, Reason.HEALTHY)
        packs.append(Remembered(account="bench", zone=name, pack=pack, since=now, seen_at=now, decision=well))
store = Store.open(sys.argv[1], exclusive=True)
store.save(Changes(zones=zones, packs=packs), Anchor(now, 0.0, ""))
store.close()
"""


def until_the_first_request(version: Version, folder: Path) -> Cost:
    """The daemon on a large state, to its first request."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        config = write_config(folder, address, LARGE, "{requests: 1200, per: 5m}")
        command = [*version.command, "run", "--config", str(config)]
        with subprocess.Popen(
            command, env=version.environment, cwd=version.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            server.settimeout(120)
            server.accept()[0].close()
            used = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            status = Path(f"/proc/{process.pid}/status").read_text()
            process.kill()
    cpu = (int(used[11]) + int(used[12])) / os.sysconf("SC_CLK_TCK")
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    return Cost(cpu=cpu, wall=0.0, rss=peak, code=0)


def filled(version: Version, folder: Path) -> Path:
    """A folder with a large state in it."""
    paths = [str(Path(__file__).parent), *([str(version.where)] if version.where and version.where.is_dir() else [])]
    url = f"sqlite:///{folder / 'state.db'}"
    subprocess.run(
        [version.command[0], "-c", FILL, url, str(LARGE), str(PACKS)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        cwd=version.folder,
        check=True,
    )
    return folder


def measured(version: Version, small: Path, large: Path, address: str) -> dict[str, Callable[[], Cost]]:
    """What is measured of one version, by name."""
    config = str(write_config(small, address, 1, "{requests: 1200, per: 5m}"))
    state = filled(version, large)
    return {
        "`--help`": lambda: version.run("--help"),
        "`check-config`": lambda: version.run("check-config", "--config", config),
        "`once`, one zone that is well": lambda: version.run("once", "--config", config, "--output", "json"),
        f"`run`, {LARGE * PACKS:,} packs, to its first request": lambda: until_the_first_request(version, state),
    }


def table(versions: dict[str, Version], rounds: int, address: str) -> None:
    """All versions in turn, so that a machine that is busy for a while is so for each."""
    with contextlib.ExitStack() as stack:
        ways = {
            name: measured(
                version,
                Path(stack.enter_context(tempfile.TemporaryDirectory())),
                Path(stack.enter_context(tempfile.TemporaryDirectory())),
                address,
            )
            for name, version in versions.items()
        }
        costs: dict[tuple[str, str], list[Cost]] = {}
        for turn in range(rounds + 1):
            for name, of_version in ways.items():
                for what, measure in of_version.items():
                    cost = measure()
                    if turn:  # the first run may still write bytecode
                        costs.setdefault((name, what), []).append(cost)
    print("\n| | " + " | ".join(f"{name}: CPU ms | × `--help` | MB" for name in versions) + " |")
    print("|---|" + "--:|--:|--:|" * len(versions))
    usual: dict[str, float] = {}
    for what in next(iter(ways.values())):
        cells = []
        for name in versions:
            cpu, rss = (statistics.median(getattr(each, of) for each in costs[name, what]) for of in ("cpu", "rss"))
            cells.append(f"{cpu * 1000:.0f} | {cpu / usual.setdefault(name, cpu):.1f} | {rss:.0f}")
        print(f"| {what} | {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--before", type=Path, help="an earlier version: an interpreter that has it, or its tree")
    options = parser.parse_args()
    versions = {"before": Version(options.before)} if options.before else {}
    with serving("--zones", 1, "--packs", 5, "--percent", 0) as address:
        table({**versions, "now": Version()}, options.rounds, address)


if __name__ == "__main__":
    sys.exit(main())
