"""The other spine: how people are told.

After each pass: what holds now (``conditions``) · what of it is to be said (``dedup``) · what each destination wants to
hear (``letters``) · the log and the letters on disk in one transaction (``record.outbox``) · into the lanes
(``delivery``). Nothing here ever raises, and nothing here is waited for but, a while, the disk: lanes are tasks of
their own.

Built and closed by ``app``. Everything happens in the loop's thread, but for the arithmetic over a large fleet.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any, Protocol, TypeVar

from watchdog.config.schema import Config
from watchdog.model.alerts import AlertLog, Letter, Message
from watchdog.model.clock import Clock
from watchdog.model.renewal import renewal
from watchdog.model.report import Inventory, PassReport
from watchdog.model.text import defect
from watchdog.notify.dedup import Decided, settle
from watchdog.notify.destinations import Destinations, Logs
from watchdog.notify.http import HttpSender
from watchdog.notify.messages import messages
from watchdog.notify.rows import alert_rows, firing_counts
from watchdog.notify.rules import ALL_WELL, Limits, Standing, holding, unwatched
from watchdog.state import outbox
from watchdog.state.database import StateError
from watchdog.state.outbox import Unwritten
from watchdog.state.store import Store

T = TypeVar("T")

PATIENCE_WITH_DISK = timedelta(seconds=5)
"""How long news waits to be on the disk before it goes out all the same: a disk that hangs is news itself, and the
worst that can come of it is a letter that arrives twice."""


class Ask(Protocol):
    """Runs a question to the store in the store's one thread."""

    def __call__(self, question: Callable[[], T], /) -> Awaitable[T]:
        """What it answers."""


class Pipeline:
    """Tells people. ``start`` it before the first pass, ``close`` it after the last."""

    def __init__(
        self,
        config: Config,
        store: Store,
        ask: Ask,
        *,
        clock: Clock,
        logs: Logs,
        count: Callable[[str, str], None] = lambda _destination, _outcome: None,
        post: HttpSender,
    ) -> None:
        """``ask`` runs what it is given in the thread that ``store`` belongs to. ``count`` counts tries."""
        self._config = config
        self._store = store
        self._ask = ask
        self._clock = clock
        self._logs = logs
        self._started_at = clock.now()
        self._log = AlertLog()
        self._last_id = 0
        self._blind = False
        self._unwritten = Unwritten()
        self._considering = asyncio.Lock()
        self._writing: asyncio.Task[None] | None = None
        self._destinations = Destinations(post, clock, logs, count, self._arrived, lambda: self._log)

    # ── lifetime ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def start(self) -> None:
        """Recall what was said and what is still to be delivered, and begin to deliver."""
        letters: list[Letter] = []
        try:
            kept = await self._ask(lambda: outbox.load(self._store))
        except StateError as error:  # what was said may be said again
            self._logs.say("error", "alert_failed", error=str(error))
        else:
            self._log, letters, self._last_id = kept.log, kept.letters, kept.last_id
        self._open(letters)

    def reload(self, config: Config) -> None:
        """Take another configuration. What it does not change goes on; letters to a destination that is gone go too."""
        self._config = config
        self._open([])

    async def close(self, patience: timedelta = timedelta(seconds=3)) -> None:
        """Let letters that are on the wire arrive for at most ``patience``; others wait on disk for the next start."""
        await self._destinations.close(patience)
        await self._write_soon()

    async def delivered(self, patience: timedelta) -> None:
        """Wait until each destination has taken, or not taken, what there is for it, but at most ``patience``."""
        await self._destinations.settled(patience)

    def _open(self, letters: list[Letter]) -> None:
        lost = self._destinations.open(self._config, letters)
        self._unwritten.letters |= {letter.id: None for letter in lost}

    # ── what is told ─────────────────────────────────────────────────────────────────────────────────────────────

    async def after_pass(self, inventory: Inventory, report: PassReport, standing: Standing = ALL_WELL) -> None:
        """A pass is over: ping the heartbeat, then say what is to be said."""
        if report.zones:  # a pass in which no zone was due says nothing new of what can be seen
            self._blind = report.unseen == report.zones
        self._destinations.ping(failed=self._blind or bool(standing.state_error))
        await self.consider(inventory, standing)

    async def consider(self, inventory: Inventory, standing: Standing = ALL_WELL) -> None:
        """Say what is to be said now; also between two passes, when the watchdog itself is in trouble."""
        async with self._considering:
            try:
                await self._consider(inventory, standing)
            except Exception as surprise:  # noqa: BLE001  a defect here must not end the watch
                self._logs.say("error", "alert_failed", error=defect(surprise))

    async def _consider(self, inventory: Inventory, standing: Standing) -> None:
        now, settings, before = self._clock.now(), self._config.alerts, self._log
        limits = Limits(settings.pending_for, self._config.schedule.interval, settings.runbooks)
        lanes = dict(self._destinations.lanes())

        def look() -> tuple[Decided, list[tuple[str, Message]], Unwritten]:
            found = holding(inventory, standing, limits, renewal, self._started_at, now)
            missing = [entry.alert for name, entry in before.entries.items() if name not in found.alerts]
            gone = unwatched(missing, inventory) if missing else frozenset()
            heard = bool(lanes)
            said = settle(before, found.alerts, found.unwell, gone, now, settings.repeat_every, heard=heard)
            news = [(name, each) for name, route in lanes.items() for each in messages(said.notices, route, now)]
            return said, news, outbox.difference(before, said.log)

        said, news, changes = await asyncio.to_thread(look)  # a tenth of a second for ten thousand packs
        self._log = said.log
        letters = [Letter(number, *each) for number, each in enumerate(news, self._last_id + 1)]
        self._last_id += len(letters)
        changes.letters |= {letter.id: letter for letter in letters}
        self._unwritten.merge(changes)
        await self._write_soon()
        for letter in letters:
            if not self._destinations.put(letter):  # a reload took its destination away meanwhile
                self._unwritten.letters[letter.id] = None
        if before.firing(now) != said.log.firing(now):
            self._destinations.changed()

    # ── answers to those who ask ─────────────────────────────────────────────────────────────────────────────────

    def rows(self) -> Callable[[], dict[str, Any]]:
        """A snapshot of what fires, as JSON."""
        log, now = self._log, self._clock.now()
        return lambda: alert_rows(log.entries.values(), now)

    def firing(self) -> Mapping[tuple[str, str], int]:
        """How many alerts fire, by reason and severity."""
        return firing_counts(self._log.entries.values(), self._clock.now())

    def destinations(self) -> tuple[str, ...]:
        """The names of all destinations."""
        return self._destinations.names

    # ── the disk ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _arrived(self, letter: Letter) -> None:
        self._unwritten.letters[letter.id] = None
        await self._write_soon()

    async def _write_soon(self) -> None:
        """Write what has gathered, and be back after ``PATIENCE_WITH_DISK`` at the latest."""
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        await asyncio.wait([self._writing], timeout=PATIENCE_WITH_DISK.total_seconds())
        if self._writing.done():
            self._writing.result()

    async def _write(self) -> None:
        """Write until nothing is left. What cannot be written is kept for the next time, and delivered all the same."""
        while not self._unwritten.empty():
            changes, self._unwritten = self._unwritten, Unwritten()
            try:
                await self._ask(partial(outbox.save, self._store, changes))
            except StateError:  # the state says so itself, and it is an alert
                changes.merge(self._unwritten)
                self._unwritten = changes
                return
