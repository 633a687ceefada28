"""The memory of one process, and the disk: what it loads and takes over, how its times follow the clock, what goes.

What is known is ``knowledge``'s matter, what a look or a decision changes in it ``noting``'s; the ``writer`` brings it
to the disk. Nothing here decides. Only ``ledger`` and what lies above it call it, from the loop's thread, but for what
says that it may be called in any.
"""

from collections.abc import Collection, Iterable
from concurrent.futures import Executor
from datetime import datetime, timedelta
from functools import partial

import msgspec
from msgspec.structs import replace

from watchdog.model.clock import NO_STEP, Anchor
from watchdog.model.events import Event
from watchdog.model.history import UNTROUBLED, History, Intent, JournalLine, JournalQuery
from watchdog.model.leases import ALONE, WATCHDOG, Tenure
from watchdog.model.pack_ids import PackKey
from watchdog.model.packs import Pack, ZoneRef
from watchdog.model.silences import Silence
from watchdog.state.booked import Booked, Booking
from watchdog.state.changes import Snapshot
from watchdog.state.database import StateError
from watchdog.state.noting import Noting
from watchdog.state.quarantine import Quarantined
from watchdog.state.store import Store
from watchdog.state.writer import NEVER, Writer, shifted

FORGET_AFTER = timedelta(days=7)
"""How long a pack that is gone, or a zone that is no longer watched, is remembered: a week of looking back."""

KEEP_JOURNAL = timedelta(days=90)
"""How long the journal is kept: the longest usual validity of a certificate, so one whole renewal can be told."""

RESTARTS_OF = timedelta(hours=1)
"""How far back restarts are recalled: as far as the hourly budget reaches."""

Restarts = list[tuple[str, datetime]]
"""Account and time of restarts, oldest first."""


class Recalled(msgspec.Struct, frozen=True):
    """What a start finds besides what ``Memory`` answers: open intents by their ids, and the restarts of the hour."""

    open_intents: list[tuple[int, Intent]]
    restarts: Restarts


class Memory(Noting):
    """Everything remembered of zones and packs."""

    def __init__(self, store: Store, worker: Executor, tenure: Tenure = ALONE) -> None:
        """``worker`` has one thread, and every use of ``store`` goes through it.

        Of what is not kept by ``tenure`` nothing is known here, until it is adopted.
        """
        super().__init__(Writer(store, worker, tenure))
        self._store = store
        self._tenure = tenure
        self.lost: Quarantined | None = None
        self.silences: tuple[Silence, ...] = ()
        self._silences_told: tuple[Silence, ...] = ()
        self._set_at = Anchor(NEVER, 0.0, "")  # when the clock was last set
        self.booked = Booked(store, self.writer, tenure)

    # ── the disk and the clock ───────────────────────────────────────────────────────────────────────────────────

    async def recall(self, now: Anchor, *, whole: bool = True) -> Recalled:
        """Load what was stored. Intents that are open were cut off when their process died. Raises ``StateError``.

        Not ``whole``, packs that are well are read when somebody asks for their zone, which may raise it then.
        """
        if (lost := self._store.lost) is not None:  # by a clock that has been set back since, caution would never end
            self.lost = replace(lost, at=min(lost.at, now.at))
        self._set_at = now
        self.writer.set_clock(now, NO_STEP)
        if self._store.exclusive:
            await self.writer.attempt(lambda: self._store.align(now))
        fenced = self._tenure.fence() is not None
        return await self._take_in([] if fenced else None, now, whole=whole)

    async def adopt(self, accounts: Collection[str]) -> Recalled:
        """Load what was stored of these accounts, which are this process's from now on. Raises ``StateError``."""
        async with self.writer.writing:  # nor is anything else taken over from the disk meanwhile
            return await self._take_in(accounts, self.writer.moment)

    def release(self, accounts: Collection[str]) -> None:
        """Forget what is known of these accounts: somebody else works them, and writes what it finds."""
        self.writer.drop(accounts, *self._let_go(accounts))
        self.booked.release(accounts)

    async def _take_in(self, accounts: Collection[str] | None, now: Anchor, *, whole: bool = True) -> Recalled:
        """Load everything, or what is of some ``accounts``."""
        store = self._store

        def load() -> tuple[Snapshot, tuple[dict[PackKey, History], Restarts], list[Booking], list[tuple[int, Intent]]]:
            snapshot = store.recall(accounts, whole=whole)
            return snapshot, self._aligned(snapshot, now), self.booked.stored(now), store.open_intents()

        snapshot, (histories, restarts), booked, intents = await self.writer.ask(load)
        self.silences = self._silences_told = snapshot.silences
        self._learn(snapshot, histories)
        self.booked.recall(booked, now, accounts)
        if accounts is not None:
            intents = [(number, intent) for number, intent in intents if intent.account in accounts]
            restarts = [(account, at) for account, at in restarts if account in accounts]
        return Recalled(intents, restarts)

    def observe_clock(self, now: Anchor) -> timedelta:
        """By how much the clock was set since this was last asked: whatever is waited for here moves with it."""
        step = now.step_since(self._set_at)
        self.writer.set_clock(now, step)
        if step:
            self._set_at = now
            self._take(shifted(self._histories, step))
            if self._store.shared:  # nobody else moves what is stored
                self.writer.changes.histories.update(self._histories)
            self.lost = self.lost and replace(self.lost, at=self.lost.at + step)
        return step

    async def refresh(self) -> Restarts:
        """Take over what another process (the ``restart`` command) has written since; gives the restarts of the hour.

        A disk that cannot be read is no reason to stop looking: what the process knows stands, ``writer.error`` says
        why, and an intent still meets what is stored.
        """
        writer = self.writer
        try:
            if not await writer.ask(self._store.changed_elsewhere):
                return []
            async with writer.writing:  # what changes meanwhile stays in ``changes``
                await writer.write()
                # In one go: what is stored meanwhile by an intent is in both or in neither.
                moment = writer.moment
                while True:
                    fence = self._tenure.fence()
                    accounts = None if fence is None else list(fence.epochs)
                    (stored, restarts), self.silences = await writer.ask(partial(self._stored, moment, accounts))
                    if fence == self._tenure.fence():
                        break  # else it is also of accounts that went meanwhile
                self.booked.count(await writer.ask(lambda: self.booked.stored(moment)), moment)
        except StateError as error:
            writer.error = str(error)
            return []
        step = writer.moment.step_since(moment)  # it was set while that was read
        stored = shifted(stored, step)
        for key, history in writer.changes.histories.items():  # not written yet, and not older than a restart elsewhere
            if (history.last_restart_at or NEVER) >= (stored.get(key, UNTROUBLED).last_restart_at or NEVER):
                stored[key] = history
        self._take({key: history for key, history in stored.items() if history != UNTROUBLED})
        return [(account, at + step) for account, at in restarts]

    async def follow_silences(self, now: datetime) -> list[Event]:
        """Forget silences whose time is over; gives what is new of all since this was last asked."""
        over = [each for each in self.silences if not each.holds(now)]
        if over and await self.writer.attempt(lambda: self._store.end_silences(over, now)):
            self.silences = tuple(each for each in self.silences if each not in over)
        before, self._silences_told = self._silences_told, self.silences
        added = [Event.silence_added(each, now) for each in self.silences if each not in before]
        return added + [Event.silence_ended(each, now) for each in before if each not in self.silences]

    def _stored(
        self, moment: Anchor, accounts: Collection[str] | None
    ) -> tuple[tuple[dict[PackKey, History], Restarts], tuple[Silence, ...]]:
        snapshot = self._store.tried(accounts)
        return self._aligned(snapshot, moment), snapshot.silences

    def _aligned(self, snapshot: Snapshot, now: Anchor) -> tuple[dict[PackKey, History], Restarts]:
        """The stored histories and the restarts of the last hour, by the clock of ``now``."""
        step = NO_STEP if snapshot.anchor is None else now.step_since(snapshot.anchor)
        restarts = self._store.restarts_since(now.at - step - RESTARTS_OF)
        return shifted(snapshot.histories, step), [(account, at + step) for account, at in restarts]

    @property
    def lost_at(self) -> datetime | None:
        """When the state before this one was lost, if one was."""
        return self.lost.at if self.lost else None

    async def journal_of(self, pack: Pack, most: int) -> list[JournalLine]:
        """The newest lines about one pack, newest first."""
        return await self.writer.ask(lambda: self._store.journal_of(pack.zone_id, pack.id, most))

    async def events(self, query: JournalQuery) -> list[tuple[int, JournalLine]]:
        """The lines of the journal that are wanted with their numbers, newest first. Raises ``StateError``."""
        return await self.writer.ask(lambda: self._store.journal(query))

    async def tidy(self, zones: Iterable[ZoneRef], now: datetime) -> None:
        """Forget packs that are gone or whose zone moved a week ago, zones unwatched for that long, old journal lines.

        Packs that the configuration names are kept: by what they were, the one that took their place is found.
        """
        horizon = now - FORGET_AFTER
        self._forget_old({zone.key: zone.packs for zone in zones}, horizon)
        await self.writer.flush()
        if self._tenure.holds(WATCHDOG):  # one is enough
            await self.writer.attempt(lambda: self._store.prune(now - KEEP_JOURNAL, horizon))

    def _found_senseless(self, error: Exception) -> None:
        self.writer.error = str(self._store.found_senseless(error))
