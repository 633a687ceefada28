"""A fleet under the watchdog in simulated time, told as a timeline.

The components, the cycle, the state on disk and the metrics are the real ones; Cloudflare is the simulator in process;
the ticker is a loop that begins a pass every ``attention_interval``, as APScheduler does for the daemon.
"""

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from random import Random

from tests.harness.builders import exposed
from tests.harness.cloudflare_client import InProcess
from tests.harness.time import LoopClock
from tests.harness.values import rows_of
from watchdog.config.files import Files
from watchdog.config.load import load
from watchdog.daemon import PATIENCE, Daemon, new_metrics
from watchdog.model.event_names import EVENTS
from watchdog.model.pack_ids import canonical_id
from watchdog.runtime import Runtime, open_runtime
from watchdog.simulator.scenario import Fault, Scenario, pack_id, zone_id
from watchdog.simulator.world import World
from watchdog.state.store import Store
from watchdog.tell.gauges import Account, Snapshot

ADDRESS = "http://127.0.0.1:9/client/v4"


def timed_out(*outcomes, after="5m", **more):
    """A pack that has timed out. Its restarts go as ``outcomes`` say, a time-out being noticed ``after`` so long."""
    story = {"outcomes": outcomes or ("times_out",), "stages": {"timing_out": after}, **more.pop("story", {})}
    return {"status": "validation_timed_out", "story": story, **more}


class Wire(InProcess):
    """The way to the simulated Cloudflare. Tests may do something just before a request arrives."""

    def __init__(self, world):
        super().__init__(world)
        self.gate = None
        self._before = []

    def before(self, method, path_ends, do):
        """Once, before the next such request arrives: ``do()``."""
        self._before.append((method, path_ends, do))

    async def answer(self, asked):
        for entry in list(self._before):
            method, path_ends, do = entry
            if asked.method == method and asked.path.endswith(path_ends):
                self._before.remove(entry)
                do()
        if self.gate is None:
            return await super().answer(asked)
        return await self.gate(lambda: super(Wire, self).answer(asked))


class Telemetry:
    """Hands everything on to the real telemetry and remembers it."""

    def __init__(self, real):
        self._real = real
        self.events, self.reports, self.looks, self.strange = [], [], [], []

    def happened(self, events):
        self.events += events
        self.strange += [event for event in events if not keeps_to_the_vocabulary(event)]
        self._real.happened(events)

    def restarted(self, zone, sent):
        self._real.restarted(zone, sent)

    def looked(self, zone):
        self.looks.append((asyncio.get_running_loop().time(), zone.label))
        self._real.looked(zone)

    def passed(self, report):
        self.reports.append(report)
        self._real.passed(report)


def keeps_to_the_vocabulary(event):
    """Whether an event has no other level and no other fields than its kind."""
    kind = EVENTS[event.name]
    fields = [name for name, value in event.facts if value not in (None, "")]
    fields += ["pack_id"] * (event.pack is not None) + ["reason"] * (event.reason is not None)
    return event.level in kind.levels and set(fields) <= set(kind.fields)


class Fleet:
    """One run of the watchdog's process over a world."""

    patience = PATIENCE

    def __init__(self, world: World, runtime: Runtime, wire: Wire, store: Store, metrics, clock):
        self.world, self.runtime, self.wire, self.store, self.metrics, self.clock = (
            world,
            runtime,
            wire,
            store,
            metrics,
            clock,
        )
        self.components = runtime.components
        self.telemetry = self.components.telemetry = Telemetry(self.components.telemetry)
        self.components.dice = Random(7)  # noqa: S311 - tests repeat
        self.passes = runtime.passes
        self.passes.enrol()

    # What the test lets happen.

    async def look(self):
        """One pass."""
        return await self.passes.run_pass(self.runtime.config.schedule.attention_interval)

    async def watch(self, **duration):
        """Passes by the ticker, for so long."""
        length = self.runtime.config.schedule.attention_interval
        end = self.clock.monotonic() + timedelta(**duration).total_seconds()
        while (began := self.clock.monotonic()) < end:
            await self.look()
            ticker = min(end, began + length.total_seconds())
            await asyncio.sleep(max(0.0, ticker - self.clock.monotonic()))

    async def sleep(self, seconds):
        """Time goes by, and nobody looks."""
        await asyncio.sleep(seconds)

    def fault(self, **fault):
        """Something goes wrong from now on."""
        self.world.add_fault(Fault.model_validate(fault))

    def unwritable(self, on=True):
        """The state's disk takes no writes (or takes them again)."""
        pragma(self.store, f"query_only = {'ON' if on else 'OFF'}")

    # What the test asks.

    def asked(self, method, zone=None):
        """The requests of one method that reached Cloudflare."""
        return [
            request
            for request in self.world.ledger
            if request.method == method and (zone is None or zone_id(zone) in request.path)
        ]

    def patches(self, zone=None):
        """When PATCHes arrived at Cloudflare, whatever became of them: minutes since 12:00."""
        return [self.minute(request.at) for request in self.asked("PATCH", zone)]

    def minute(self, at):
        return (at - self.clock._start).total_seconds() / 60  # noqa: SLF001 - its own clock

    def events(self, name, zone=None, level=None):
        """What was told under this name. Lines that only ``debug`` shows do not count."""
        return [
            event
            for event in self.telemetry.events
            if event.name == name
            and (zone is None or event.zone.label == zone)
            and event.level != "debug"
            and level in (None, event.level)
        ]

    def row(self, zone, number=0):
        """The pack's row, as ``status`` and ``/api/v1/packs`` show it."""
        key = canonical_id(pack_id(zone, number))
        return next(row for row in self.rows(zone) if canonical_id(row["pack_id"]) == key)

    def rows(self, zone):
        return [row for row in rows_of(self.runtime.inventory())["packs"] if row["zone"] == zone]

    def zone(self, zone):
        return next(row for row in rows_of(self.runtime.inventory())["zones"] if row["zone"] == zone)

    def journal(self, name, zone, number=0):
        """The lines of a pack's journal that have this name, as they are on the disk."""
        lines = self.store.journal_of(zone_id(zone), pack_id(zone, number), 1000)
        return [line for line in lines if line.event == name]

    def metric(self, name, **labels):
        """The sum of a metric's samples with these labels."""
        text = self.exposition()
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        lines = [line for line in text.splitlines() if line.startswith(f"certpack_watchdog_{name}")]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if all(each in line for each in wanted))

    def exposition(self):
        accounts = tuple(Account(n, c.quota.remaining, c.quota.waited) for n, c in self.components.clients.items())
        return exposed(self.metrics, Snapshot(inventory=self.runtime.inventory(), accounts=accounts), "")[0].decode()


@asynccontextmanager
async def as_a_daemon(fleet, environ=None):
    """The fleet's components run by the daemon. Its ticker goes by real time, which stands still beside the loop's."""
    daemon = Daemon(fleet.runtime, fleet.metrics, fleet.start.path, environ or {}, files=fleet.start.files)
    running = asyncio.create_task(daemon.run())
    await asyncio.sleep(1)
    try:
        yield daemon
    finally:
        daemon.ask_to_stop()
        await running


class Start:
    """Starts the watchdog's process over a world, again and again if need be."""

    def __init__(self, folder):
        self.folder = folder
        self.files = Files()

    def scenario(self, accounts, scenario):
        tokens = [{"name": name, "value": f"token-of-{name}"} for name in accounts]
        zones = [
            packs if isinstance(packs, dict) else {"packs": packs}
            for zones in accounts.values()
            for packs in zones.values()
        ]
        names = [name for zones in accounts.values() for name in zones]
        zones = [{"name": name, **zone} for name, zone in zip(names, zones, strict=True)]
        scenario = dict(scenario or {})
        zones += scenario.pop("zones", [])
        return Scenario.model_validate({"tokens": tokens, "zones": zones, **scenario})

    def configuration(self, accounts, state, settings):
        zones = [
            {"name": name, "id": zone_id(name), "account": account, **settings.get("per_zone", {}).get(name, {})}
            for account, zones in accounts.items()
            for name in zones
        ]
        zones = [{key: value for key, value in zone.items() if value is not None} for zone in zones]
        settings = {key: value for key, value in settings.items() if key != "per_zone"}
        own = settings.pop("accounts", {})
        return {
            "accounts": {
                name: own[name]
                if "api_key" in own.get(name, {})
                else {"api_token": f"token-of-{name}", **own.get(name, {})}
                for name in accounts
            },
            "zones": zones,
            "state": {"url": f"sqlite:///{state}"},
            "web": {"listen": ""},
            "log": {"format": "json"},
            "diagnosis": {"enabled": False},
            "api": {"base_url": ADDRESS},
            **settings,
        }

    @property
    def path(self):
        return self.folder / "config.yaml"

    def load(self, configuration):
        self.path.write_text(json.dumps(configuration))
        self.files = Files()
        return load(self.path, {}, opened=self.files.opened)

    @asynccontextmanager
    async def __call__(
        self,
        main,
        *,
        scenario=None,
        config=None,
        world=None,
        dry_run=False,
        state="state.db",
        wrong=timedelta(0),
        store=None,
        **others,
    ):
        """The fleet: zones by name, each a list of packs, of the account ``main`` and of ``others``.

        ``config`` is laid over the configuration (``per_zone`` over zones), ``scenario`` over the simulator's. With a
        ``world``, the process starts again over what is there; by ``wrong`` its clock is off then. With a ``store``
        that is shared it is one replica, and takes accounts as its keeper beats.
        """
        accounts = {"main": main, **others}
        clock = LoopClock()
        clock.step = wrong
        world = world or World(self.scenario(accounts, scenario), LoopClock())  # nobody sets Cloudflare's clock
        path = self.folder / state
        settings = self.configuration(accounts, path, dict(config or {}))
        loaded = self.load(settings)
        metrics, wire = new_metrics(), Wire(world)
        async with AsyncExitStack() as stack:
            store = store or Store.open(f"sqlite:///{path}", exclusive=True, mend_at=clock.now())
            stack.callback(store.close)
            runtime = await stack.enter_async_context(
                open_runtime(
                    loaded, store, dry_run=dry_run, clock=clock, metrics=metrics, http=wire, replica=store.shared
                )
            )
            fleet = Fleet(world, runtime, wire, store, metrics, clock)
            fleet.start, fleet.settings = self, settings
            stack.push_async_callback(fleet.passes.stop, timedelta(0))
            yield fleet
            assert fleet.telemetry.strange == []


def pragma(store, text):
    """Ask or set one of SQLite's knobs: how a disk is made full, read-only or busy without one.

    On the connection that ``store`` itself uses, also in the middle of a transaction of its.
    """
    row = store._database._raw.execute(f"PRAGMA {text}").fetchone()  # noqa: SLF001 - else a full disk is needed
    return row and row[0]


def by_core(store):
    """SQLAlchemy's own connection to the database that ``store`` has open."""
    return store._database._by_core()  # noqa: SLF001 - else a test would open the file a second time, beside its lock
