"""The passes: which zone is next, how many at once, and until when. Nothing here knows a pack.

A pass begins when the ticker ticks and ends when every zone that is due has been watched, or when its time is up; no
pass depends on finishing. What was not reached is still due, and what is still being watched then goes on and is
counted in the next pass. One zone's fault, slowness or surprise never stops another.
"""

import asyncio
from collections import Counter
from collections.abc import Collection, Coroutine
from datetime import datetime, timedelta

from watchdog.components import Components
from watchdog.cycle import Cycle, Slots
from watchdog.model.events import Event
from watchdog.model.packs import ZoneRef
from watchdog.model.report import PassReport
from watchdog.schedule.agenda import Agenda

AT_ONCE = 16
"""Zones of one account that are looked at at the same time. At 50 ms an answer this is 320 requests/s: enough."""


class Passes:
    """Passes, one after the other, over the zones that are due."""

    def __init__(self, components: Components) -> None:
        self.components = components
        self.cycle = Cycle(components)
        self.busy: Counter[str] = Counter()  # per account: zones that are being watched
        self.worked: set[str] = set()  # accounts of which all that was due was watched once, and all zones are known
        self._tasks: set[asyncio.Task[None]] = set()
        self._parts: dict[str, asyncio.Task[None]] = {}  # per account: its part of the pass under way
        self._horizon: datetime | None = None  # when the pass under way is over
        self._slots: dict[str, Slots] = {}
        self._epoch, self._ticks = components.clock.now(), components.clock.monotonic()

    async def run_pass(self, length: timedelta) -> PassReport:
        """Watch every zone that is due within ``length``, for at most that long."""
        components, cycle = self.components, self.cycle
        began, start, horizon = cycle.ledger.now(), components.clock.monotonic(), self._steady() + length
        cycle.ledger.report.started_at, cycle.ledger.report.dry_run = began, components.dry_run
        for account in self._slots.keys() - components.clients.keys():
            del self._slots[account]
        components.budget.merge(await components.memory.refresh())
        self._count_anew()
        if silences := await components.memory.follow_silences(began):
            cycle.ledger.publish(components.telemetry.happened, silences)
        if components.diagnoser is not None:
            components.diagnoser.begin_pass()
        self._parts, self._horizon = {}, horizon
        self.begin_parts()
        while left := [part for part in self._parts.values() if not part.done()]:
            patience = (horizon - self._steady()).total_seconds()
            if patience <= 0:
                break
            await asyncio.wait(left, timeout=patience)
        self._horizon = None
        await components.memory.writer.flush()
        report, cycle.ledger.report = cycle.ledger.report, PassReport(cycle.ledger.now())
        report.waiting = components.agenda.waiting(horizon)
        report.seconds = components.clock.monotonic() - start
        cycle.ledger.publish(components.telemetry.passed, report)
        return report

    def _count_anew(self) -> None:
        """Requests that a command has sent beside this process are of the account's share too."""
        memory = self.components.memory
        while memory.booked.elsewhere:
            account = memory.booked.elsewhere.pop()
            if (client := self.components.clients.get(account)) is not None:
                client.quota.count_anew(memory.booked.of(account))

    def begin_parts(self) -> None:
        """Let each account that is ours have its part of the pass under way, also one that has just come to be ours.

        Who takes over from a replica that is gone would else wait for the end of a pass over all other zones.
        """
        if self._horizon is None:
            return
        for account in self.components.clients:
            under_way = self._parts.get(account)
            if self.components.tenure.holds(account) and (under_way is None or under_way.done()):
                self._parts[account] = self._start(self._account(account, self._horizon))

    async def stop(self, patience: timedelta) -> None:
        """Begin nothing new, let what is under way finish for at most ``patience``, then cancel it."""
        self.cycle.stopping = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=patience.total_seconds())
        left = list(self._tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self.components.memory.writer.flush()

    def enrol(self, accounts: Collection[str] | None = None) -> None:
        """Put the watched zones on the agenda, or those of some ``accounts``: the others stay as they are."""
        zones = self.components.zones()
        if accounts is not None:
            zones = tuple(zone for zone in zones if zone.account in accounts)
        self.enrol_on(self.components.agenda, zones, accounts)

    def enrol_on(self, agenda: Agenda, zones: Collection[ZoneRef], accounts: Collection[str] | None = None) -> None:
        """Put these zones on an agenda: those with a pack in trouble at once, else the one seen longest ago.

        They are all there are, or all there are of some ``accounts``.
        """
        components = self.components
        seen = components.memory.zones
        troubled = {zone.key for zone in zones if components.memory.troubled(zone)}

        def last_tried(zone: ZoneRef) -> tuple[bool, float]:
            known = seen.get(zone.key)
            at = known.tried_at if known else None
            return (zone.key not in troubled, at.timestamp() if at else 0.0)

        agenda.enrol(sorted(zones, key=last_tried), troubled, self._steady(), accounts)

    async def tidy(self) -> None:
        """Forget zones and packs that have been gone for long."""
        components, now = self.components, self.cycle.ledger.now()
        components.budget.tidy(now)
        await components.memory.tidy(components.zones(), now)

    def _steady(self) -> datetime:
        """The time of the turns: as the clock was at the start, and never set since. Zones must not wait for DST."""
        return self._epoch + timedelta(seconds=self.components.clock.monotonic() - self._ticks)

    def _start(self, work: Coroutine[None, None, None], *others: set[asyncio.Task[None]]) -> asyncio.Task[None]:
        """Begin it. Until it is over it is among all tasks, and among those ``others``."""
        task, kept = asyncio.create_task(work), (self._tasks, *others)

        def over(_: asyncio.Task[None]) -> None:  # one for all, as the loop has a turn for each
            for tasks in kept:
                tasks.discard(task)

        for tasks in kept:
            tasks.add(task)
        task.add_done_callback(over)
        return task

    async def _account(self, account: str, horizon: datetime) -> None:
        """One account's part of a pass: watch its zones, and meanwhile look whether there are more, if that is due."""
        if self.components.watched.is_due(account, self._steady()):
            await asyncio.wait([self._start(each(account, horizon)) for each in (self._turns, self._discover)])
        else:
            await self._turns(account, horizon)
        if self.components.tenure.holds(account):  # else what was done is of a tenure that is over
            self.worked.add(account)

    async def _discover(self, account: str, horizon: datetime) -> None:
        components, watched = self.components, self.components.watched
        before, client = watched.found.get(account), components.clients.get(account)
        if client is None:  # a reload has just taken it away
            return
        if accounts := await watched.refresh(account, client, self._steady()):
            ledger, zones = self.cycle.ledger, watched.found[account]
            found = Event.discovered(account, before, zones, ledger.now())
            if before is None and all(zone.key in components.memory.zones for zone in zones):
                ledger.publish(components.telemetry.happened, [found])  # at every start: no news for the journal
            else:
                ledger.record([] if found is None else [found])
            self.enrol(accounts)
            await self._turns(account, horizon)

    async def _turns(self, account: str, horizon: datetime) -> None:
        """Give each of the account's zones that is due its turn, ``AT_ONCE`` at a time."""
        components = self.components
        if account not in self._slots:
            self._slots[account] = Slots(asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(AT_ONCE))
        slots, turns = self._slots[account], set[asyncio.Task[None]]()
        while True:
            await slots.polling.acquire()
            over = self.cycle.stopping or self._steady() >= horizon or not components.tenure.holds(account)
            zone = None if over else components.agenda.take(account, self._steady(), horizon)
            if zone is None:
                slots.polling.release()
                break
            self.busy[account] += 1  # before its turn begins: a reload in between must leave it its client
            self._start(self._turn(zone, slots), turns)
        if turns:
            await asyncio.wait(turns)

    async def _turn(self, zone: ZoneRef, slots: Slots) -> None:
        """One zone's turn. Whatever goes wrong in it is recorded, and stays in it."""
        seen = False
        try:
            seen = await self.cycle.watch(zone, slots)
        except Exception as surprise:  # noqa: BLE001  a fault of ours in one zone must not stop the others
            self.cycle.lose(zone, surprise)
        finally:
            self.busy[zone.account] -= 1
            if not self.busy[zone.account]:
                del self.busy[zone.account]
            troubled = self.cycle.troubled(zone)
            self.components.agenda.done(zone, self._steady(), troubled=troubled, failed=not seen)
