"""A daemon's long life in simulated time: nothing stays as it is for long, and what it holds is counted.

Cloudflare is made by hand here, since the simulator keeps a ledger for ever. Zones come and go by discovery, packs time
out, recover, are deleted and made anew under other ids, every few passes brings another configuration, and people
cannot be reached for days.
"""

import asyncio
import gc
import json
import os
import threading
from collections import Counter, deque
from pathlib import Path
from random import Random

import httpx

from tests.harness.over_httpx import OverHttpx
from tests.harness.time import LoopClock
from watchdog.config.load import load
from watchdog.daemon import Daemon, new_metrics
from watchdog.notify.http import HttpSender
from watchdog.runtime import open_runtime
from watchdog.state.store import Store

ZONES = 12
PACKS = 3
DEAD = ("deleted", "pending_deletion")


class Ticker:
    """Ticks by the loop's time."""

    def __init__(self, period, tick):
        self.period, self.tick, self.ticked, self._timer = period, tick, 0, None

    def start(self):
        self.ticked += 1
        self.tick()
        self._timer = asyncio.get_running_loop().call_later(self.period.total_seconds(), self.start)

    def retune(self, period):
        self.period = period

    def tick_now(self):
        self.tick()

    def stop(self):
        self._timer.cancel()


class Churn(OverHttpx):
    """Cloudflare, where little lasts."""

    def __init__(self, dice):
        self._dice = dice
        self._born = 0
        self.zones = {}
        for _ in range(ZONES):
            self._found_zone()

    def _id(self):
        self._born += 1
        return f"{self._born:032x}"

    def _found_zone(self):
        zone = self._id()
        self.zones[zone] = {self._id(): "active" for _ in range(PACKS)}

    def move_on(self):
        """What happens between two passes."""
        dice = self._dice
        if dice.random() < 0.2:
            del self.zones[dice.choice(list(self.zones))]
            self._found_zone()
        packs = self.zones[dice.choice(list(self.zones))]
        pack = dice.choice(list(packs))
        packs[pack] = dice.choice(["validation_timed_out", "active", "issuance_timed_out", "deleted", "unheard_of"])
        for each, status in list(packs.items()):
            if status == "initializing":
                packs[each] = dice.choice(["active", "validation_timed_out"])
            elif status == "deleted" and dice.random() < 0.5:
                del packs[each]
                packs[self._id()] = dice.choice(["active", "validation_timed_out"])

    async def handle_async_request(self, request):
        status, body = self._answer(request.method, request.url.path.removeprefix("/client/v4").strip("/").split("/"))
        if self._dice.random() < 0.03:
            status = self._dice.choice((400, 403, 409, 500, 502, 503, 520, 522))
            body = {"success": False, "errors": [{"code": 1000 + self._dice.randrange(20), "message": "no"}]}
        return httpx.Response(status, stream=httpx.ByteStream(json.dumps(body).encode()))

    def _answer(self, method, path):
        zone = path[1] if len(path) > 1 else ""
        if path == ["zones"]:
            listed = [{"id": each, "name": f"z{int(each, 16)}.example", "status": "active"} for each in self.zones]
            return 200, _fine(listed)
        if path[0] != "zones" or zone not in self.zones:
            return 404, {"success": False, "errors": [{"code": 7003, "message": "no such zone"}]}
        if len(path) == 2:
            return 200, _fine({"id": zone, "name": f"z{int(zone, 16)}.example", "status": "active"})
        packs = self.zones[zone]
        if len(path) == 4:
            return 200, _fine([_pack(zone, *each) for each in packs.items()])
        pack = path[4]
        if pack not in packs:
            return 404, {"success": False, "errors": [{"code": 1408, "message": "no such pack"}]}
        if method == "PATCH":
            packs[pack] = "initializing"
        return 200, _fine(_pack(zone, pack, packs[pack]))


def _fine(result):
    return {"success": True, "errors": [], "messages": [], "result": result}


def _pack(zone, pack, status):
    return {"id": pack, "type": "advanced", "status": status, "hosts": [f"p{int(pack, 16)}.z{int(zone, 16)}.example"]}


class People(httpx.AsyncBaseTransport):
    """Those who are told; for every other day nobody is there."""

    def __init__(self, clock):
        self._clock = clock

    async def handle_async_request(self, request):  # noqa: ARG002  whatever they are told
        if self._clock.now().day % 2:
            raise httpx.ConnectError("nobody is there")
        return httpx.Response((self._clock.now().hour % 5 and 200) or 400, stream=httpx.ByteStream(b""))


def configuration(folder, passes, length):
    """What the file says after so many passes: names come and go with every change of it."""
    generation = passes // 25
    return {
        "accounts": {
            "main": {"api_token": "main", "discover": {}},
            f"other-{generation}": {"api_token": f"other-{generation}", "discover": {"include": ["z1*"]}},
        },
        "schedule": {"interval": "6h", "attention_interval": f"{length.total_seconds():g}s"},
        "restart": {"backoff": {"initial": "1h", "max": "24h"}, "max_attempts": 3},
        "alerts": {
            "heartbeat_url": f"http://hc.example/{generation}",
            "destinations": [
                {"name": f"hook-{generation}", "webhook": "http://hook.example/"},
                {"name": "am", "alertmanager": "http://am.example/"},
            ],
        },
        "diagnosis": {"resolvers": ["127.0.0.1:1"], "timeout": "0.1s"},
        "state": {"url": f"sqlite:///{folder / 'state.db'}"},
        "web": {"listen": ""},
        "log": {"level": "error", "format": "json"},
        "api": {"base_url": "http://127.0.0.1:9/client/v4"},
    }


async def live(folder, marks, length, seed=1):
    """A daemon's life of as many passes of this ``length`` as the last of ``marks`` says; what it held at each."""
    clock, dice = LoopClock(), Random(seed)  # noqa: S311  the same every time
    path, held = folder / "config.yaml", []

    def write(passes):
        path.touch(mode=0o600)
        path.write_text(json.dumps(configuration(folder, passes, length)))

    write(0)
    config, metrics, churn = load(path, {}), new_metrics(), Churn(dice)
    store = Store.open(config.state.url.get_secret_value(), exclusive=True)
    bells = []

    def ticker(period, ring):
        bells.append(Ticker(period, ring))
        return bells[0]

    async with open_runtime(config, store, clock=clock, metrics=metrics, http=churn, dice=dice) as runtime:
        daemon = Daemon(runtime, metrics, path, {}, ticker=ticker, sender=HttpSender("test", People(clock)))
        running = asyncio.create_task(daemon.run())
        for passes in range(1, marks[-1] + 1):
            await asyncio.sleep(length.total_seconds())
            churn.move_on()
            if passes % 25 == 0:
                write(passes)
                daemon.ask_to_reload()
            if passes in marks:
                held.append(holdings(daemon, store, folder))
        daemon.ask_to_stop()
        await running
    store.close()
    assert bells[0].ticked >= marks[-1]
    return held


# ── what is counted ──────────────────────────────────────────────────────────────────────────────────────────────


def holdings(daemon, store, folder):
    """Everything a daemon holds, by name: a number each."""
    found = Counter({f"in {name}": size for name, size in containers(daemon).items()})
    gc.collect()
    everything = gc.get_objects()
    for thing in everything:
        if str(type(thing).__module__).startswith(("watchdog.", "asyncio", "_asyncio")):
            found[f"of {type(thing).__name__}"] += 1
    found["objects"] = len(everything)
    found["bytes resident"] = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    found["file descriptors"] = len(list(Path("/proc/self/fd").iterdir()))
    found["threads"] = threading.active_count()
    found["tasks"] = len(asyncio.all_tasks())
    found["series"] = sum(
        1 for line in b"".join(daemon.sources.metrics("")[0]).splitlines() if not line.startswith(b"#")
    )
    with store.reading() as db:
        names = [row[0] for row in db.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for name in names:
            found[f"rows of {name}"] = db.exec_driver_sql(f"SELECT count(*) FROM {name}").scalar_one()  # noqa: S608  a table of ours
    for name in ("state.db", "state.db-wal"):
        found[f"bytes of {name}"] = (folder / name).stat().st_size
    return found


def containers(root):
    """How much is in the containers of each attribute of everything of ours in reach, nested ones with it."""
    sizes, seen, left = Counter(), set(), deque([("", root)])
    while left:
        name, thing = left.popleft()
        if id(thing) in seen:
            continue
        if isinstance(thing, dict | list | set | frozenset | tuple | deque):
            seen.add(id(thing))
            if not isinstance(thing, tuple):
                sizes[name] += len(thing)
            left.extend((name, each) for each in ([*thing, *thing.values()] if isinstance(thing, dict) else thing))
        elif type(thing).__module__.startswith("watchdog.") and not isinstance(thing, type):
            seen.add(id(thing))
            slots = [slot for kind in type(thing).__mro__ for slot in getattr(kind, "__slots__", ())]
            values = {**getattr(thing, "__dict__", {}), **{slot: getattr(thing, slot, None) for slot in slots}}
            left.extend((f"{type(thing).__name__}.{attribute}", value) for attribute, value in values.items())
    return sizes


KEPT_LONG = ("rows of journal", "rows of intents", "bytes of state.db")
"""What is kept for 90 days, and so goes on growing for as long."""

STRAY = Counter({"objects": 5_000, "bytes resident": 8 << 20, "series": 500, "bytes of state.db-wal": 1 << 20})
"""How much more than before is within the ups and downs of such a life; of everything else ``FEW``."""
FEW = 100


def grown(before, after, names):
    """What of ``names`` is more than a quarter above what it was, and by more than its ups and downs."""
    return {
        name: (before[name], after[name])
        for name in names
        if after[name] > before[name] * 1.25 and after[name] - before[name] > STRAY.get(name, FEW)
    }
