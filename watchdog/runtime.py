"""Everything that one configuration builds, and what lasts as long as the process.

``daemon`` lives in a ``Runtime``; each command borrows one. ``open_runtime`` opens and closes what it builds.
``Runtime.apply`` takes another configuration, all of it or nothing: ``Building`` makes every part anew and touches
nothing that runs, then everything is swapped at once. This is the only place that knows the order.
"""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from random import Random, SystemRandom
from socket import gethostname
from typing import TYPE_CHECKING, cast

from msgspec.structs import replace

from watchdog.building import Building, Lasting, Present
from watchdog.clock import Enduring, RealClock, SharedClock
from watchdog.cloudflare.address import PER_ADDRESS, Address
from watchdog.cloudflare.http import Transport
from watchdog.cloudflare.transport import connect
from watchdog.components import Components
from watchdog.config.changes import Change, changes, needs_restart
from watchdog.config.schema import Config
from watchdog.decide.budget import Budget, due_since
from watchdog.model.clock import Clock, anchor
from watchdog.model.event_names import EventName
from watchdog.model.events import Event
from watchdog.model.history import Sent, cautious_until
from watchdog.model.leases import ALONE, Replica
from watchdog.model.reasons import Reason
from watchdog.model.report import Inventory
from watchdog.model.text import clean
from watchdog.passes import AT_ONCE, Passes
from watchdog.schedule.agenda import Agenda
from watchdog.state.intents import Intents
from watchdog.state.memory import Memory, Recalled
from watchdog.state.store import Store
from watchdog.telemetry import LogsAndMetrics
from watchdog.tell import logs
from watchdog.tell.logs import Logs

if TYPE_CHECKING:
    from watchdog.notify.pipeline import Pipeline
    from watchdog.replicas.keeper import Keeper
    from watchdog.tell.metrics import Metrics


class CannotReload(Exception):
    """The new configuration is valid, but needs a restart of the daemon; ``str()`` names the settings."""


class Runtime:
    """The components of one configuration, the cycle over them, and the way to people where a daemon has opened it."""

    def __init__(self, config: Config, lasting: Lasting, *, dry_run: bool, agenda: Agenda | None) -> None:
        """``agenda`` is another than the configuration asks for."""
        self.config = config
        self.store, self.telemetry, self.lasting = lasting.store, lasting.telemetry, lasting
        self.pipeline: Pipeline | None = None
        self.keeper: Keeper | None = None
        first = Building(config, lasting).configured()
        self.components = Components(
            configured=replace(first, agenda=agenda) if agenda is not None else first,
            memory=lasting.memory,
            intents=lasting.intents,
            budget=lasting.budget,
            telemetry=lasting.telemetry,
            clock=lasting.clock,
            dice=lasting.dice,
            dry_run=dry_run,
            tenure=lasting.tenure,
        )
        self.passes = Passes(self.components)

    def inventory(self) -> Inventory:
        """All watched zones and their packs, as they are remembered now; in any thread."""
        memory, pending_for = self.components.memory, self.config.alerts.pending_for
        zones = [memory.zone(zone) for zone in self.components.zones()]
        packs = [memory.packs_in(zone) for zone in zones]
        return Inventory(packs, zones, self.components.clock.now(), pending_for=pending_for, silences=memory.silences)

    def apply(self, config: Config) -> list[Change]:
        """Take another configuration, all of it or nothing. Gives what differs.

        Memory, turns, learned quotas, the standings of credentials and the zones that discovery found stay. An account
        that is gone is kept while looks with it are under way. Raises ``CannotReload``, and whatever a part raises
        while it is built; then the configuration that was there goes on in full.
        """
        differing = changes(self.config, config)
        if fixed := needs_restart(self.config, config):
            raise CannotReload(f"{', '.join(fixed)} cannot change while running: restart the daemon")
        building = Building(
            config,
            self.lasting,
            Present(config=self.config, components=self.components, passes=self.passes, pipeline=self.pipeline),
        )
        configured, allowances = building.configured(), building.allowances()
        set_logging_up, switch_destinations = building.logging(), building.destinations()

        # From here on there are only assignments.
        self.config, self.components.configured = config, configured
        for quota, allowance in allowances:
            quota.allow(allowance)
        set_logging_up()
        switch_destinations()
        return differing


@asynccontextmanager
async def open_runtime(
    config: Config,
    store: Store,
    *,
    dry_run: bool = False,
    clock: Clock | None = None,
    agenda: Agenda | None = None,
    metrics: "Metrics | None" = None,
    http: Transport | None = None,
    dice: Random | None = None,
    replica: bool = False,
) -> AsyncIterator[Runtime]:
    """The components for a configuration and an open store, with everything recalled. Closes all it opened.

    ``http`` is another way to Cloudflare than ``connect`` gives, ``dice`` others than the system's. Who shares the
    store with a daemon leaves it to that one, which may be in the middle of a restart, to say what became of those
    without an outcome.

    As a ``replica`` of several that share the store it knows nothing until its ``keeper`` takes accounts.
    """
    dice = dice or SystemRandom()
    worker = ThreadPoolExecutor(1, thread_name_prefix="state")
    clock = clock or RealClock()
    if store.shared:
        clock = await _shared_clock(store, cast("Enduring", clock), worker)
    logs.configure(config.log.level, config.log.format, clock)
    telemetry = LogsAndMetrics(Logs(clock), metrics, clock)
    keeper = _keeper(config, store, clock, dice) if replica and store.shared else None
    tenure = ALONE if keeper is None else keeper.held
    memory = Memory(store, worker, tenure)
    lasting = Lasting(
        store=store,
        memory=memory,
        intents=Intents(store, memory, tenure),
        budget=Budget(),
        http=http or connect(config.api.base_url, 2 * AT_ONCE * max(1, len(config.accounts))),
        address=Address(PER_ADDRESS, clock),
        telemetry=telemetry,
        clock=clock,
        dice=dice,
        tenure=tenure,
    )
    runtime: Runtime | None = None
    try:
        # Who makes a single pass reads all of it: at once is quicker.
        await _recall(config, lasting, alone=store.exclusive, whole=metrics is None)
        runtime = Runtime(config, lasting, dry_run=dry_run, agenda=agenda)
        runtime.keeper = keeper
        yield runtime
    finally:
        if runtime is not None and runtime.components.diagnoser is not None:
            await runtime.components.diagnoser.close()
        await lasting.http.aclose()
        worker.shutdown()
        if keeper is not None:
            keeper.close()


async def _recall(config: Config, lasting: Lasting, *, alone: bool, whole: bool) -> None:
    """Load the memory. A restart whose outcome nobody noted was cut off by the end of the process: say so, once.

    Not ``alone``, it may as well be under way in the daemon, who will note it.
    """
    now, memory, telemetry = lasting.clock.now(), lasting.memory, lasting.telemetry
    recalled = await memory.recall(anchor(lasting.clock), whole=whole)
    take_up(lasting, recalled, settling=alone)
    initial = config.restart.backoff.initial
    if alone and memory.lost is not None and now < (until := cautious_until(memory.lost.at, initial)):
        telemetry.logs.write(EventName.STATE_LOST, kept=str(memory.lost.kept), restarts_from=until)


def take_up(lasting: Lasting, recalled: Recalled, *, settling: bool) -> None:
    """Go on where others ended: with the hour's restarts, the queue for the budget and, ``settling``, open intents."""
    now, memory = lasting.clock.now(), lasting.memory
    lasting.budget.merge(recalled.restarts)
    for known in memory.read():
        if known.decision.reason is Reason.OVER_BUDGET:
            due = due_since(memory.history(known.pack), now)
            lasting.budget.wait(known.account, known.pack.key, due, now)
    for intent_id, intent in recalled.open_intents if settling else ():
        error = "the process ended before the answer came"
        lasting.intents.settle(intent_id, Sent.UNKNOWN, error, now)
        event = Event.restart_cut_off(intent, now, error)
        memory.journal([event])
        lasting.telemetry.logs.happened(event, pack_id=intent.pack_id)


async def _shared_clock(store: Store, machine: Enduring, worker: Executor) -> Clock:
    """The database's, whatever this machine's clock says."""
    before = machine.boottime()
    return SharedClock(machine, await asyncio.get_running_loop().run_in_executor(worker, store.roster.time), before)


def _keeper(config: Config, store: Store, clock: Clock, dice: Random) -> "Keeper":
    from watchdog.replicas.keeper import Keeper  # noqa: PLC0415  most share their state with nobody

    name = config.replica.name or clean(gethostname(), 63)
    now = clock.now()
    me = Replica(instance=f"{name}-{dice.getrandbits(32):08x}", name=name, expires=now, since=now)
    worker = ThreadPoolExecutor(1, thread_name_prefix="leases")
    return Keeper(store.roster, worker, clock, me, config.replica.lease)
