"""What looking costs: commands as whole processes, in multiples of `--help`; pages by CPU and by how the loop is held.

`--before DIR` measures another tree beside this one, in turn.
"""

import argparse
import asyncio
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

from measure import Cost, run, write_config
from server import zone_id

COMMAND = [sys.executable, "-P", "-m", "watchdog"]  # of the tree that PYTHONPATH names, wherever this is called

PACKS_OF_A_ZONE = 20
TIMED_OUT = 50  # each so many-th pack
JOURNAL = 200_000
PAGES = ("/", "/api/v1/packs?limit=100", "/api/v1/packs?limit=100&needs_person=true", "/api/v1/zones", "/api/v1/alerts")
ASKED = 10


def make(folder: Path, packs: int, lines: int) -> None:
    """Fill the state that the configuration in `folder` names."""
    from watchdog.model.clock import Anchor
    from watchdog.model.decisions import Decision, Do
    from watchdog.model.findings import Certainty, Diagnosis, Finding, FindingName
    from watchdog.model.history import History, JournalLine, Remembered, ZoneMemory
    from watchdog.model.packs import Pack
    from watchdog.model.reasons import Reason
    from watchdog.state.changes import Changes
    from watchdog.state.store import Store

    now = datetime.now(UTC)
    healthy, waits = Decision(Do.LEAVE, Reason.HEALTHY), Decision(Do.WAIT, Reason.BACKING_OFF, now + timedelta(hours=1))
    says = "CAA records of the domain cannot be read: 1.1.1.1 says SERVFAIL. Let's Encrypt refuses then."
    finding = Finding(
        name=FindingName.CAA_UNREACHABLE,
        certainty=Certainty.LIKELY,
        host="",
        says=says,
        remedy="Make the name servers answer.",
    )
    changes = Changes()
    for number in range(packs):
        zone, bad = number // PACKS_OF_A_ZONE, number % TIMED_OUT == 0
        label = f"zone-{zone:05d}.example.com"
        ends = now + timedelta(days=20 if bad else 40 + number % 40)
        pack = Pack(
            id=f"{number * 2654435761 % 2**32:08x}-0000-4000-8000-{number:012x}",
            zone_id=zone_id(zone),
            type="advanced",
            status="validation_timed_out" if bad else "active",
            hosts=(f"*.h{number}.{label}", f"h{number}.{label}"),
            certificate_authority="google",
            expires_at=ends,
            uploaded_at=ends - timedelta(days=90),
            validity_days=90,
            validation_errors=("SERVFAIL looking up CAA",) if bad else (),
        )
        known = Remembered(
            account="bench",
            zone=label,
            pack=pack,
            since=now - timedelta(days=2),
            seen_at=now,
            decision=waits if bad else healthy,
        )
        changes.packs.append(known)
        if bad:
            changes.histories[pack.key] = History(
                attempts=2,
                trouble_since=known.since,
                last_restart_at=now - timedelta(hours=1),
                next_restart_at=waits.until,
            )
            changes.diagnoses[pack.key] = Diagnosis(now, (finding,))
        if not number % PACKS_OF_A_ZONE:
            changes.zones.append(ZoneMemory(account="bench", label=label, id=pack.zone_id, seen_at=now, tried_at=now))
    for number in range(lines):
        known = changes.packs[number % len(changes.packs)]
        changes.journal.append(
            JournalLine(
                at=now - timedelta(minutes=lines - number) / 2,
                event="pack_changed",
                account="bench",
                zone=known.zone,
                zone_id=known.pack.zone_id,
                pack_id=known.pack.id,
                detail="before=active status=initializing",
            )
        )
    store = Store.open(f"sqlite:///{folder / 'state.db'}", exclusive=True)
    store.save(changes, Anchor(now, 0.0, ""))
    store.close()


async def stand(folder: Path) -> None:
    """Serve the pages of what is in the state, as the daemon does, and say what they cost; asks Cloudflare nothing."""
    from watchdog import runtime as spine
    from watchdog.config.load import load
    from watchdog.daemon import Daemon, new_metrics
    from watchdog.state.store import Store
    from watchdog.tell.listener import Listener, bind
    from watchdog.tell.pages import application

    worst = 0.0

    async def beat() -> None:
        nonlocal worst
        while True:
            began, used = time.perf_counter(), time.process_time()
            await asyncio.sleep(0.001)
            late = time.perf_counter() - began - 0.001
            # Of a delay only as much is ours as this process has computed meanwhile: the machine may be busy otherwise.
            worst = max(worst, min(late, time.process_time() - used))

    config = load(folder / "config.yaml", {})
    store, metrics = Store.open(f"sqlite:///{folder / 'state.db'}", exclusive=True), new_metrics()
    async with spine.open_runtime(config, store, metrics=metrics) as runtime:
        try:  # as ``watch`` does
            from watchdog.commands.run import tune
        except ImportError:  # an older tree
            tune = import_module("watchdog.run").tune
        tune()
        daemon: Any = Daemon(runtime, metrics, folder / "config.yaml", {})
        try:  # as after a pass, also what comes next
            await asyncio.to_thread(runtime.inventory)
        except AttributeError:  # an older tree
            await asyncio.to_thread(spine.inventory, runtime.components)
        await asyncio.to_thread(getattr(sys.modules["watchdog.daemon"], "prepare", lambda: None))
        answers = getattr(daemon, "sources", None) or daemon.answers  # the name in an older tree
        pages = application(answers.sources())

        async def measured(scope: Any, receive: Any, send: Any) -> None:
            nonlocal worst
            if scope["path"] != "/bench":
                await pages(scope, receive, send)
                return
            body = json.dumps([time.process_time(), worst]).encode()
            worst = 0.0
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": body})

        sock = bind("127.0.0.1:0")
        Listener(measured, sock).start()
        beating = asyncio.create_task(beat())
        print(sock.getsockname()[1], flush=True)
        await beating


def ask(port: int, path: str) -> bytes:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"accept-encoding": "gzip"})
    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310  loopback
        return bytes(answer.read())


def looks(tree: str, packs: int) -> list[tuple[str, float, float, int]]:
    """For each page: CPU of the first and of a later answer in ms, the longest hold of the loop in ms, bytes."""
    environ = {**os.environ, "PYTHONPATH": tree}
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_config(folder, "http://127.0.0.1:9", packs // PACKS_OF_A_ZONE, "{requests: 1200, per: 5m}")
        subprocess.run([sys.executable, __file__, "--make", name, "--packs", str(packs)], env=environ, check=True)
        command = [sys.executable, __file__, "--stand", name]
        with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None  # noqa: S101  a pipe was asked for
            port = int(process.stdout.readline())
            for path in (*PAGES, "/metrics"):
                before = json.loads(ask(port, "/bench"))[0]
                size = len(ask(port, path))
                first = json.loads(ask(port, "/bench"))
                for _ in range(ASKED):
                    ask(port, path)
                later = json.loads(ask(port, "/bench"))
                held = max(first[1], later[1])
                found.append((path, (first[0] - before) * 1e3, (later[0] - first[0]) / ASKED * 1e3, held * 1e3, size))
            process.kill()
    return found


def commands(trees: dict[str, str], rounds: int, packs: int) -> None:
    wanted = {
        "--help": ["--help"],
        "status": ["status"],
        "status -o json": ["status", "-o", "json"],
        "events --since 12h": ["events", "--since", "12h"],
        "events --since 12h -o json": ["events", "--since", "12h", "-o", "json"],
    }
    costs: dict[tuple[str, str], list[Cost]] = {}
    with tempfile.TemporaryDirectory() as top:
        for tree, code in trees.items():
            folder = Path(top) / tree
            folder.mkdir()
            path = write_config(folder, "http://127.0.0.1:9", 0, "{requests: 1200, per: 5m}, discover: {}")
            path.write_text(path.read_text().removesuffix("zones:\n"))
            os.environ["PYTHONPATH"] = code
            subprocess.run(
                [sys.executable, __file__, "--make", str(folder), "--packs", str(packs), "--lines", str(JOURNAL)],
                check=True,
            )
        for _ in range(rounds + 1):
            for tree, code in trees.items():
                os.environ["PYTHONPATH"] = code
                for name, arguments in wanted.items():
                    more = [] if name == "--help" else ["-c", str(Path(top) / tree / "config.yaml")]
                    costs.setdefault((tree, name), []).append(run([*COMMAND, *arguments, *more]))

    def middle(tree: str, name: str, field: str) -> float:
        return statistics.median(getattr(cost, field) for cost in costs[tree, name][1:])  # the first writes bytecode

    print(f"\n{packs:,} packs, one in {TIMED_OUT} timed out; {JOURNAL:,} lines of journal; medians of {rounds}\n")
    print("| | " + " | ".join(f"{tree}: CPU ms | × --help | MB" for tree in trees) + " |")
    print("|---|" + "--:|--:|--:|" * len(trees))
    for name in wanted:
        cells = (
            f"{middle(tree, name, 'cpu') * 1e3:.0f} | {middle(tree, name, 'cpu') / middle(tree, '--help', 'cpu'):.1f}"
            f" | {middle(tree, name, 'rss'):.0f}"
            for tree in trees
        )
        print(f"| `{name}` | " + " | ".join(cells) + " |")


def pages(trees: dict[str, str], fleets: list[int]) -> None:
    for packs in fleets:
        print(f"\n{packs:,} packs\n")
        print("| | " + " | ".join(f"{tree}: first, CPU ms | then | loop held ms | kB" for tree in trees) + " |")
        print("|---|" + "--:|--:|--:|--:|" * len(trees))
        found = {tree: looks(code, packs) for tree, code in trees.items()}
        for number, (path, *_) in enumerate(found[next(iter(trees))]):
            rows = (found[tree][number] for tree in trees)
            cells = (f"{first:.0f} | {then:.1f} | {held:.1f} | {size / 1e3:.0f}" for _, first, then, held, size in rows)
            print(f"| `{path}` | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--packs", type=int, default=100_000)
    parser.add_argument("--before", type=Path, help="another tree, measured beside this one")
    parser.add_argument("--only", choices=["commands", "pages"])
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--stand", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--lines", type=int, default=1000, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:
        make(options.make, options.packs, options.lines)
    elif options.stand:
        gc.set_threshold(20_000)  # as commands do before their loop
        asyncio.run(stand(options.stand))
    else:
        compared = {"this": str(Path(__file__).parents[1])}
        if options.before:
            compared = {"before": str(options.before.resolve()), **compared}
        if options.only != "pages":
            commands(compared, options.rounds, options.packs)
        if options.only != "commands":
            pages(compared, [10_000, options.packs])
