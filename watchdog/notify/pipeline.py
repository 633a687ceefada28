"""The other spine: how people are alerted.

After each pass: which alerts hold (``rules``) → what of them is new (``dedup``) → a message for each destination that
wants it (``messages``) → log and messages on disk in one transaction (``state.outbox``) → to the destinations
(``destinations``). Nothing here ever raises, and nothing here is waited for but, a while, the disk: each destination
has a task of its own.

Built and closed by ``daemon``. Everything happens in the loop's thread, but for the arithmetic over a large fleet.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol, TypeVar

from watchdog.config.schema import Config
from watchdog.model.alerts import AlertLog, Message
from watchdog.model.clock import Clock
from watchdog.model.events import Event, EventName
from watchdog.model.report import Inventory
from watchdog.model.text import defect
from watchdog.notify.dedup import Deduplicated, deduplicate, replaced, unsilenced
from watchdog.notify.destinations import Destinations, Logs
from watchdog.notify.http import HttpSender
from watchdog.notify.messages import firing_json, messages
from watchdog.notify.rules import ALL_WELL, Limits, Standing, active_alerts, nothing_seen, unwatched
from watchdog.state import outbox
from watchdog.state.database import StateError
from watchdog.state.outbox import Unwritten
from watchdog.state.store import Store

T = TypeVar("T")

PATIENCE_WITH_DISK = timedelta(seconds=5)
"""How long a message waits to be on the disk before it goes out all the same: a disk that hangs is news itself, and the
worst that can come of it is a message that arrives twice."""


class Ask(Protocol):
    """Runs a question to the store in the store's one thread."""

    def __call__(self, question: Callable[[], T], /) -> Awaitable[T]:
        """What it answers."""


class Pipeline:
    """Alerts people. ``start`` it before the first pass, ``close`` it after the last."""

    def __init__(
        self,
        config: Config,
        store: Store,
        ask: Ask,
        *,
        clock: Clock,
        logs: Logs,
        count: Callable[[str, str], None] = lambda _destination, _outcome: None,
        http: HttpSender,
        journal: Callable[[list[Event]], None] = lambda _events: None,
    ) -> None:
        """``ask`` runs what it is given in the thread that ``store`` belongs to. ``count`` counts tries.

        ``journal`` keeps what people were told, for looking back.
        """
        self._config = config
        self._store = store
        self._ask = ask
        self._clock = clock
        self._logs = logs
        self._started_at = clock.now()
        self._log = AlertLog()
        self._silenced: dict[str, datetime] = {}
        self._last_id = 0
        self._unwritten = Unwritten()
        self._considering = asyncio.Lock()
        self._writing: asyncio.Task[None] | None = None
        self._destinations = Destinations(
            http=http,
            clock=clock,
            logs=logs,
            count=count,
            forget=self._forget,
            log=lambda: unsilenced(self._log, self._silenced),
            journal=journal,
        )

    # ── lifetime ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def start(self) -> None:
        """Load the log and what is still to be delivered, and begin to deliver."""
        messages: list[Message] = []
        try:
            kept = await self._ask(lambda: outbox.load(self._store))
        except StateError as error:  # what was sent may be sent again
            self._logs.write(EventName.ALERT_FAILED, "error", error=str(error))
        else:
            self._log, messages, self._last_id = kept.log, kept.letters, kept.last_id
        self._drop(self._destinations.prepare(self._config)(messages))

    def prepare(self, config: Config) -> Callable[[], None]:
        """Make what another configuration asks for. What is given switches to it, and cannot fail.

        What the configuration does not change goes on; messages to what is gone go too.
        """
        switch = self._destinations.prepare(config)

        def take() -> None:
            self._config = config
            self._drop(switch([]))

        return take

    async def close(self, patience: timedelta = timedelta(seconds=3)) -> None:
        """Let messages that are on the wire arrive for at most ``patience``; others wait on disk for the next start."""
        await self._destinations.close(patience)
        await self._write_soon()

    async def delivered(self, patience: timedelta) -> None:
        """Wait until each destination has taken, or not taken, what there is for it, but at most ``patience``."""
        await self._destinations.settled(patience)

    def _drop(self, messages: list[Message]) -> None:
        """Nobody is there to take them any more."""
        self._unwritten.letters |= {message.id: None for message in messages}

    # ── after a pass ─────────────────────────────────────────────────────────────────────────────────────────────

    async def after_pass(self, inventory: Inventory, standing: Standing = ALL_WELL) -> None:
        """A pass is over: ping the heartbeat, then send what is to be sent."""
        blind = nothing_seen(inventory.zones, standing)
        self._destinations.pass_completed(failed=blind or bool(standing.state_error))
        await self.consider(inventory, standing)

    async def consider(self, inventory: Inventory, standing: Standing = ALL_WELL) -> None:
        """Send what is to be sent now; also between two passes, when the watchdog itself is in trouble."""
        async with self._considering:
            try:
                await self._consider(inventory, standing)
            except Exception as surprise:  # noqa: BLE001  a defect here must not end the watch
                self._logs.write(EventName.ALERT_FAILED, "error", error=defect(surprise))

    async def _consider(self, inventory: Inventory, standing: Standing) -> None:
        now, settings, before = self._clock.now(), self._config.alerts, self._log
        limits = Limits(settings.pending_for, self._config.schedule.interval, settings.runbooks)
        routes = dict(self._destinations.routes())

        def evaluate() -> tuple[Deduplicated, list[Message], Unwritten, dict[str, datetime]]:
            found = active_alerts(inventory, standing, limits, self._started_at, now)
            missing = [entry.alert for name, entry in before.entries.items() if name not in found.alerts]
            gone = unwatched(missing, inventory) if missing else frozenset()
            known = {name: entry.alert for name, entry in before.entries.items()} | found.alerts
            silenced = inventory.silenced.of(known)
            decided = deduplicate(
                before,
                found.alerts,
                found.unwell,
                gone,
                now,
                settings.repeat_every,
                settings.critical_within,
                silenced=silenced,
                listening=bool(routes),
            )
            people = decided.notices
            incidents = (*people, *replaced(before, decided))
            new = [
                each
                for name, route in routes.items()
                for each in messages(incidents if route.incidents else people, name, route, now)
            ]
            return decided, new, outbox.difference(before, decided.log), silenced

        decided, new, changes, silenced = await asyncio.to_thread(
            evaluate
        )  # a tenth of a second for ten thousand packs
        self._log, then, self._silenced = decided.log, self._silenced, silenced
        numbered = [replace(message, id=number) for number, message in enumerate(new, self._last_id + 1)]
        self._last_id += len(numbered)
        changes.letters |= {message.id: message for message in numbered}
        self._unwritten.merge(changes)
        await self._write_soon()
        for message in numbered:
            if not self._destinations.put(message):  # a reload took its destination away meanwhile
                self._unwritten.letters[message.id] = None
        if unsilenced(before, then).firing() != unsilenced(decided.log, silenced).firing():
            self._destinations.alerts_changed()

    # ── answers to those who ask ─────────────────────────────────────────────────────────────────────────────────

    def rows(self) -> dict[str, Any]:
        """What fires, as JSON; in any thread."""
        return firing_json(self._log.entries.values(), self._silenced)

    def firing(self) -> Mapping[tuple[str, str], int]:
        """How many alerts fire, by reason and severity."""
        return self._log.firing_counts()

    def destinations(self) -> tuple[str, ...]:
        """The names of all destinations."""
        return self._destinations.names

    def backlog(self) -> dict[str, tuple[int, str]]:
        """By destination: how many messages wait for it, and why the last try failed (empty: it did not)."""
        return self._destinations.backlog()

    # ── the disk ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _forget(self, message: Message) -> None:
        self._unwritten.letters[message.id] = None
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
