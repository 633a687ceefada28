"""Several replicas over one PostgreSQL beside one daemon over SQLite: looks per second, CPU, bytes, takeover.

Each replica is a process with a limit for its address of its own; a look is one list call of one zone, and every zone
is due all the time. Only what follows on a full start is counted: all is seen once, each replica has its share, and has
loaded it.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from measure import serving, stats
from server import zone_id

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.harness.postgresql import Server, postgresql

REPLICA = """
import sys
import watchdog.cloudflare.address as address
address.PER_ADDRESS = int(sys.argv.pop(1))
from watchdog.cli import main
main()
"""
UNLIMITED = 1_000_000
PATIENCE = 1200.0
FILLING = 20.0
"""Seconds over which the first looks are spread; a pass is as long, and each ends with a look at the whole fleet."""
nap = threading.Event().wait
SERVERS = 2
HELD = """SELECT instance, account, holder FROM certpack_watchdog.leases WHERE account <> ''
  AND expires > extract(epoch FROM clock_timestamp()) * 1000000"""
ROWS = """SELECT relname, n_tup_upd, n_tup_hot_upd, n_dead_tup, pg_table_size(relid), autovacuum_count
  FROM pg_stat_user_tables WHERE schemaname = 'certpack_watchdog' AND n_tup_upd > 0 ORDER BY n_tup_upd DESC LIMIT 5"""


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """What is watched, and where it is served."""

    folder: Path
    addresses: list[str]
    accounts: int
    zones: int  # of each account
    packs: int
    lease: str
    interval: float  # seconds

    def config(self, name: str, number: int, state: str, accounts: int) -> Path:
        """That of one daemon, for the first so many accounts."""
        shared = state.startswith("postgres")
        lines = [
            "accounts:",
            *(
                f"  account-{each:02d}: {{api_token: bench-token-{each:028d}, "
                "rate_limit: {requests: 1000000, per: 5m, share: 1.0}}"
                for each in range(accounts)
            ),
            f"api: {{base_url: {self.addresses[number % len(self.addresses)]}/client/v4}}",
            f"schedule: {{interval: {self.interval:g}s, attention_interval: {self.interval:g}s}}",
            "web: {listen: ''}",
            "log: {level: error, format: json}",
            "diagnosis: {enabled: false}",
            "config: {auto_reload: false}",
            f"state: {{url: '{state}'}}",
            *([f"replica: {{name: {name}, lease: {self.lease}}}"] if shared else []),
            "zones:",
            *(
                f"  - {{name: zone-{zone:05d}.example.com, id: '{zone_id(zone)}',"
                f" account: account-{zone // self.zones:02d}}}"
                for zone in range(accounts * self.zones)
            ),
        ]
        path = self.folder / f"{name}.yaml"
        path.touch(mode=0o600)
        path.write_text("\n".join(lines) + "\n")
        return path

    def looks(self) -> int:
        """How many zones were seen since this was last asked."""
        return sum(stats(address)["requests"]["list"] for address in self.addresses)

    def last_looks(self) -> dict[int, float]:
        """When a zone of each account was last seen, by this machine's clock, since the count was last started over."""
        seen: dict[int, float] = {}
        for address in self.addresses:
            for account, at in stats(address)["last"].items():
                seen[int(account)] = max(seen.get(int(account), 0.0), at)
        return seen


@dataclass(frozen=True)
class Usage:
    """What was used up to one moment."""

    at: float
    replicas: float  # seconds of CPU
    database: float
    written: int  # bytes of WAL


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table."""

    name: str
    seconds: float
    looks: int
    replicas: float
    database: float
    written: int

    def __str__(self) -> str:
        per_thousand = 1000 / self.looks
        return (
            f"| {self.name} | {self.looks / self.seconds:.1f} | {1000 * self.replicas * per_thousand:.0f} "
            f"| {1000 * self.database * per_thousand:.0f} "
            f"| {1000 * (self.replicas + self.database) * per_thousand:.0f} | {self.written / self.looks:.0f} |"
        )


def cpu_of(pid: int, *, children: bool = False) -> float:
    """Seconds of one process; with its children, those that have ended as well."""
    ticks = 0
    for place in Path("/proc").iterdir():
        if place.name.isdigit() and (children or place.name == str(pid)):
            with contextlib.suppress(OSError):  # it has ended meanwhile
                fields = (place / "stat").read_text().rpartition(")")[2].split()
                mine = place.name == str(pid)
                if mine or int(fields[1]) == pid:
                    ticks += sum(map(int, fields[11 : 15 if mine and children else 13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def used(daemons: list["subprocess.Popen[bytes]"], server: Server | None) -> Usage:
    replicas = sum(cpu_of(daemon.pid) for daemon in daemons)
    if server is None:
        return Usage(time.perf_counter(), replicas, 0.0, 0)
    postmaster = int((server.data / "postmaster.pid").read_text().split()[0])
    [(written,)] = server.execute("SELECT CAST(pg_current_wal_lsn() - '0/0' AS bigint)")
    return Usage(time.perf_counter(), replicas, cpu_of(postmaster, children=True), written)


def until(true: Callable[[], bool], what: str, daemons: Iterable["subprocess.Popen[bytes]"] = ()) -> None:
    end = time.perf_counter() + PATIENCE
    while not true():
        if any(daemon.poll() for daemon in daemons):
            sys.exit("a daemon has ended: its last words are above")
        if time.perf_counter() > end:
            sys.exit(f"waited in vain for {what}")
        nap(0.2)


@contextlib.contextmanager
def running(
    fleet: Fleet, replicas: int, state: str, accounts: int, rate: int
) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """So many daemons, for as long as the block lasts."""
    daemons = []
    try:
        for number in range(replicas):
            name = f"replica-{number}"
            config = fleet.config(name, number, state, accounts)
            daemons.append(subprocess.Popen([sys.executable, "-c", REPLICA, str(rate), "run", "--config", str(config)]))
        yield daemons
    finally:
        for daemon in daemons:
            daemon.terminate()
        for daemon in daemons:
            daemon.wait()


def spread(server: Server, accounts: int, replicas: int) -> bool:
    """Whether every account has a holder, and no holder has two more than another."""
    counts = Counter(instance for instance, _, _ in server.execute(HELD))
    return counts.total() == accounts and len(counts) == replicas and max(counts.values()) - min(counts.values()) <= 1


def fill(fleet: Fleet, state: str) -> None:
    """Every zone is seen once, so that what is measured afterwards is no first look."""
    fleet.looks()
    seen = 0
    with running(replace(fleet, interval=FILLING), 1, state, fleet.accounts, UNLIMITED) as daemons:

        def all_seen() -> bool:
            nonlocal seen
            seen += fleet.looks()
            return seen > fleet.accounts * fleet.zones

        until(all_seen, "a look at every zone", daemons)


def all_seen(
    fleet: Fleet, accounts: Iterable[int], what: str, daemons: Iterable["subprocess.Popen[bytes]"]
) -> dict[int, float]:
    """Waits until each of these accounts was looked at from now on; when each was first seen to be."""
    missing, first = set(accounts), dict[int, float]()
    fleet.looks()

    def seen() -> bool:
        for account, at in fleet.last_looks().items():
            first.setdefault(account, at)
        return first.keys() >= missing

    until(seen, what, daemons)
    return {account: first[account] for account in missing}


def measure(
    fleet: Fleet,
    name: str,
    replicas: int,
    server: Server | None,
    state: str,
    *,
    options: argparse.Namespace,
) -> Row:
    with running(fleet, replicas, state, fleet.accounts, options.per_second) as daemons:
        if server is not None:
            until(lambda: spread(server, fleet.accounts, replicas), f"{replicas} replicas with a share each", daemons)
        # Nobody looks at an account before it is loaded: so the loads of all of them are over.
        all_seen(fleet, range(fleet.accounts), "a look at each account", daemons)
        nap(options.settling)
        fleet.looks()
        before = used(daemons, server)
        nap(options.seconds)
        after, looks = used(daemons, server), fleet.looks()
    return Row(
        name=name,
        seconds=after.at - before.at,
        looks=looks,
        replicas=after.replicas - before.replicas,
        database=after.database - before.database,
        written=after.written - before.written,
    )


def takeover(fleet: Fleet, server: Server, accounts: int, rate: int) -> tuple[int, float, float]:
    """Of two replicas one is killed: its accounts, and the seconds until the other saw the first and the last."""
    state = server.url()
    with running(fleet, 2, state, accounts, rate) as daemons:
        until(lambda: spread(server, accounts, 2), "two replicas with a share each", daemons)
        all_seen(fleet, range(accounts), "a look at each account", daemons)
        # Those that it holds: the name of the last holder stays, also of accounts that are not configured here.
        lost = {account for _, account, holder in server.execute(HELD) if holder == "replica-0"}
        daemons[0].send_signal(signal.SIGKILL)
        daemons[0].wait()
        killed = time.perf_counter()
        gone = {int(name.rpartition("-")[2]) for name in lost}
        first = all_seen(fleet, gone, "a look at every account of the one that was killed", daemons[1:])
    return len(gone), min(first.values()) - killed, max(first.values()) - killed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=16)
    parser.add_argument("--zones", type=int, default=50, help="of each account")
    parser.add_argument("--packs", type=int, default=5, help="of each zone")
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument(
        "--per-second", type=int, default=20, help="requests of each address; the daemon's own limit is 190"
    )
    parser.add_argument("--seconds", type=float, default=20, help="that each number of replicas is measured for")
    parser.add_argument("--settling", type=float, default=15, help="seconds before each measurement")
    parser.add_argument("--lease", default="30s")
    parser.add_argument("--takeovers", type=int, default=1)
    parser.add_argument("--takeover-accounts", type=int, default=16, help="of two replicas, one of which is killed")
    options = parser.parse_args()
    zones = options.accounts * options.zones
    asked = ("--zones", zones, "--packs", options.packs, "--percent", 0, "--block", options.zones)
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.ExitStack() as stack,
        postgresql(shared_buffers="128MB") as server,
    ):
        addresses = [stack.enter_context(serving(*asked)) for _ in range(SERVERS)]
        fleet = Fleet(
            folder=Path(folder),
            addresses=addresses,
            accounts=options.accounts,
            zones=options.zones,
            packs=options.packs,
            lease=options.lease,
            # Half of what is needed to see all of them: so there is always one that is due. A pass is as long.
            interval=max(1.0, zones / (2 * max(options.replicas) * options.per_second)),
        )
        print(
            f"{options.accounts} accounts × {options.zones} zones × {options.packs} packs; "
            f"{options.per_second} requests per second for each address; {options.seconds:g} s each\n"
        )
        print("| | looks/s | replicas, CPU ms per 1,000 looks | database | together | bytes of WAL per look |")
        print("|---|--:|--:|--:|--:|--:|", flush=True)
        alone = f"sqlite:///{fleet.folder / 'state.db'}"
        fill(fleet, alone)
        print(measure(fleet, "SQLite", 1, None, alone, options=options), flush=True)
        fill(fleet, server.url())
        server.execute("VACUUM ANALYZE")  # else autovacuum does so in the middle of the first line
        for number in options.replicas:
            print(measure(fleet, f"{number}", number, server, server.url(), options=options), flush=True)
        print("\n| table | updates | of them HOT | dead rows | bytes | autovacuums |\n|---|--:|--:|--:|--:|--:|")
        for table, updates, hot, dead, size, vacuums in server.execute(ROWS):
            print(f"| {table} | {updates:,} | {100 * hot / updates:.0f} % | {dead:,} | {size:,} | {vacuums} |")
        few = min(options.takeover_accounts, options.accounts)
        for _ in range(options.takeovers):
            gone, first, last = takeover(fleet, server, few, options.per_second)
            print(
                f"\ntakeover: {gone} accounts with {gone * options.zones * options.packs:,} packs, "
                f"lease {options.lease}: the first was looked at {first:.1f} s after the kill, the last {last:.1f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
