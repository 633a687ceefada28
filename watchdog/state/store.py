"""The one door to the state: what must outlive the process is written here and read back here.

Each method is one transaction. A restart's intent is durable before ``intend`` returns, so the attempt is counted and
the backoff stands whatever happens next. Synchronous: the caller owns the one thread it runs in. It reads no clock
(times are handed in), writes no log and decides nothing. Every failure is one sentence in a ``StateError``. ``cli``
opens it; ``memory``, ``outbox`` and the commands call it. It knows no kind of database: that is behind ``Database``,
which ``opening`` makes.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Self

from msgspec.structs import replace

from watchdog.model.clock import Anchor
from watchdog.model.events import Event
from watchdog.model.history import History, Intent, JournalLine, Remembered
from watchdog.model.leases import Fence
from watchdog.model.silences import Silence
from watchdog.state import bookings, clocks, journal, leases, opening, packs, restarts, schema, silences, survey, unread
from watchdog.state.changes import Changes, Snapshot
from watchdog.state.database import Database, StateDamaged, StateError
from watchdog.state.deferred import sa
from watchdog.state.looking import Looking
from watchdog.state.restarts import Wanted
from watchdog.state.roster import Roster
from watchdog.state.rows import Ask

_PROBE = sa.update(schema.meta).values(probes=schema.meta.c.probes + 1)


class Store(Looking):
    """An open state. Made by ``open``; to be closed with ``close``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._row_as_text, self._rows_as_text = database.row_as_text, database.rows_as_text
        self.roster = Roster(database)
        self.shared = database.now is not None
        """Whether several processes on several machines may act on it, each on the accounts whose leases it holds."""
        self.exclusive = database.exclusive
        """Whether this process alone may act on the state."""
        self.lost = database.lost
        """The last state that was set aside here, if any was."""

    @classmethod
    def open(cls, url: str, *, exclusive: bool, mend_at: datetime | None = None) -> Self:
        """Open the state at ``url``; see ``opening.open_database`` for what the others mean and what it raises."""
        return cls(opening.open_database(url, exclusive=exclusive, mend_at=mend_at))

    @classmethod
    def open_copy(cls, url: str) -> Self:
        """What the state at ``url`` holds, in memory, to be written to without a trace. Raises as ``open``."""
        return cls(opening.open_copy(url))

    @classmethod
    def in_memory(cls) -> Self:
        """An empty state that is gone with this process."""
        return cls(opening.in_memory())

    @property
    def damage(self) -> StateDamaged | None:
        """What was found to be unreadable since the opening; whoever may is to ``set_aside`` this state then."""
        return self._database.damage

    def time(self) -> datetime | None:
        """As all of several machines know it, where they share the state."""
        return self.roster.time() if self.shared else None

    def close(self) -> None:
        """Close the database, then let another instance in; a second call does nothing."""
        self._database.close()

    def set_aside(self, at: datetime) -> Path:
        """Close a state that is damaged and move it away, so that the next opening begins a new one; gives its name."""
        return self._database.set_aside(at)

    def reading(self) -> AbstractContextManager[sa.Connection]:
        """A transaction of another module of this room that sees one moment."""
        return self._database.reading()

    @contextmanager
    def writing(self, fence: Fence | None = None) -> Iterator[sa.Connection]:
        """A transaction of another module of this room: whole on the disk when this ends, or undone.

        ``LeaseLost`` where the ``fence`` does not hold; it holds until this ends.
        """
        with self._database.writing() as connection:
            if fence is not None:
                leases.check(connection, self.roster.now, fence)
            yield connection

    def load(self, zone_id: str = "") -> Snapshot:
        """Everything, as of one moment; of packs only those of one zone, where one is named."""
        of_packs = schema.packs.c.zone_id == zone_id if zone_id else None
        with self.reading() as connection:
            tried, zones = self._tried(connection, None), packs.load_zones(connection)
            return replace(tried, zones=zones, packs=packs.load_packs(connection, of_packs))

    def recall(self, accounts: Collection[str] | None = None, *, whole: bool = True) -> Snapshot:
        """Everything, as of one moment; packs of zones in which all are well are left unread.

        Not ``whole``, those stay on the disk where only this process writes to them, and are read when somebody asks.
        Where ``accounts`` are named, all of it but the silences is only theirs.
        """
        aside = None if whole else self._database.aside()
        of_zones = None if accounts is None else schema.zones.c.account.in_(accounts)
        with self.reading() as connection:
            tried = self._tried(connection, accounts)
            found = packs.load_diagnoses(connection)
            known, well = unread.load(
                self._ask(connection),
                self._rows_as_text,
                survey.of_accounts(accounts),
                found,
                tried.histories,
                aside,
            )
            return replace(tried, zones=packs.load_zones(connection, of_zones), packs=known, unread=well)

    def tried(self, accounts: Collection[str] | None = None) -> Snapshot:
        """What was tried, and silences, without zones and packs; of some ``accounts`` as ``recall``."""
        with self.reading() as connection:
            return self._tried(connection, accounts)

    def found_senseless(self, error: Exception) -> StateError:
        """What was read makes no sense, as shows only now: ``damage`` says so from now on, where it is that."""
        return self._database.senseless(error)

    def _tried(self, connection: sa.Connection, accounts: Collection[str] | None) -> Snapshot:
        return Snapshot(
            anchor=clocks.anchor(connection),
            zones={},
            packs={},
            histories=restarts.load_histories(connection, None if accounts is None else restarts.of_accounts(accounts)),
            silences=silences.load(connection),
        )

    def align(self, now: Anchor) -> None:
        """Bring stored times to the clock of ``now``, if it was set since they were noted. So does every write."""
        with self._aligned(now):
            pass

    def save(self, changes: Changes, now: Anchor, fence: Fence | None = None) -> None:
        """All of it or, with a ``StateError``, nothing. Never takes back a restart that another process counted.

        The times in ``changes`` are by the clock of ``now``. ``LeaseLost`` where the ``fence`` does not hold.
        """
        with self._aligned(now, fence) as connection:
            packs.save(connection, changes)
            restarts.save(connection, changes)
            journal.append(connection, [*changes.of_leases, *changes.journal])

    def intend(
        self,
        intent: Intent,
        expected: History,
        after: History,
        now: Anchor,
        fence: Fence | None = None,
        seen: Remembered | None = None,
    ) -> int:
        """Store ``intent``, ``after`` and what was ``seen`` durably, before the request leaves; gives the intent's id.

        ``Stale`` where the stored history counts other restarts than ``expected``, ``LeaseLost`` where the account is
        not held by the ``fence``: then nothing was written, and nothing may be sent.
        """
        with self._aligned(now) as connection:
            return self._intend(connection, Wanted(intent, expected, after, seen), fence)

    def intend_each(self, wanted: Sequence[Wanted], now: Anchor) -> list[int | restarts.Stale]:
        """As ``intend`` for each, all in one transaction: gives its id, or why it alone was not stored.

        Only for a state that is not ``shared``: there what is written before it proves stale must go with it.
        """
        stored: list[int | restarts.Stale] = []
        with self._aligned(now) as connection:
            for each in wanted:
                try:
                    stored.append(self._intend(connection, each, None))
                except restarts.Stale as stale:
                    stored.append(stale)
        return stored

    def _intend(self, connection: sa.Connection, wanted: Wanted, fence: Fence | None) -> int:
        clock, mine, intent = self._database.now, None, wanted.intent
        if clock is not None and fence is not None:
            mine = leases.held(clock, fence, intent.account)
        elif clock is not None:
            leases.lock(connection, intent.account)
        try:
            intent_id = restarts.intend(connection, intent, wanted.expected, wanted.after, mine)
        except restarts.NotHeld as lost:
            raise leases.LeaseLost(fence.of([intent.account]).epochs if fence else {}) from lost
        if wanted.seen is not None:  # the lease is locked by now, as before any other write
            packs.keep(connection, wanted.seen)
        return intent_id

    def withdraw(self, intent_id: int, history: History, now: Anchor, fence: Fence | None = None) -> None:
        """Nothing was sent, for certain: the intent goes and ``history`` is put back, unless a later intent stands."""
        with self._aligned(now, fence) as connection:
            restarts.withdraw(connection, intent_id, history)

    def open_intents(self) -> list[tuple[int, Intent]]:
        """Those whose outcome is not known, oldest first: the process died between sending and settling."""
        with self.reading() as connection:
            return restarts.open_intents(connection)

    def restarts_since(self, at: datetime) -> list[tuple[str, datetime]]:
        """Account and time of each restart intended after ``at``, oldest first, whatever became of it."""
        with self.reading() as connection:
            return restarts.since(connection, at)

    def history_of(self, zone_id: str, pack_id: str) -> History:
        """One pack's history as it is stored now."""
        with self.reading() as connection:
            return restarts.history_of(connection, (zone_id, pack_id))

    def book(
        self, account: str, boot: str, until: float, requests: int, forget_before: float, fence: Fence | None = None
    ) -> None:
        """Note durably that an account may send so many ``requests`` until then; see ``bookings``."""
        with self.writing(fence) as connection:
            bookings.book(connection, account, boot, until, requests, forget_before)

    def booked(self, boot: str) -> list[tuple[str, float, int]]:
        """What was booked since ``boot``: account, until when, and how many requests; the earliest first."""
        with self.reading() as connection:
            return bookings.booked(connection, boot)

    def journal_of(self, zone_id: str, pack_id: str, limit: int) -> list[JournalLine]:
        """The newest ``limit`` lines about one pack, newest first; with no ``pack_id``, those about the zone itself."""
        with self.reading() as connection:
            return journal.of_pack(connection, zone_id, pack_id, limit)

    def add_silence(self, silence: Silence) -> Silence:
        """Keep a silence, and a line in the journal; gives it with its id."""
        with self.writing() as connection:
            kept = silences.add(connection, silence)
            journal.append(connection, [Event.silence_added(kept, kept.at).journal_line])
        return kept

    def end_silences(self, ended: Sequence[Silence], now: datetime) -> list[Silence]:
        """Forget these, with a line in the journal for each that was still there; gives those."""
        with self.writing() as connection:
            found = silences.end(connection, ended)
            journal.append(connection, [Event.silence_ended(each, now).journal_line for each in found])
        return found

    def changed_elsewhere(self) -> bool:
        """Whether another process has written since this was last asked, or since the opening."""
        return self._database.changed_elsewhere()

    def prune(self, journal_before: datetime, unwatched_since: datetime) -> int:
        """Forget what is old; gives the number of rows.

        Journal lines and settled intents older than ``journal_before``, and zones nobody has looked at since
        ``unwatched_since``. Packs are forgotten by ``Changes.forgotten``, as whether one still exists is not known
        here; but for those of accounts that no replica has worked since then, of which none knows anything any more.
        """
        with self.writing() as connection:
            idle = leases.forget(connection, unwatched_since) if self.shared else []
            return (
                (packs.forget(connection, idle) if idle else 0)
                + restarts.prune(connection, journal_before, unwatched_since)
                + packs.prune(connection, unwatched_since)
                + journal.prune(connection, journal_before)
            )

    def writable(self) -> bool:
        """Whether an intent could be stored now. Honest only as a small write that really goes to the disk."""
        try:
            with self.writing() as connection:
                connection.execute(_PROBE)
        except StateError:
            return False
        return True

    @contextmanager
    def _asking(self) -> Iterator[Ask]:
        """A transaction that is asked by texts."""
        with self.reading() as connection:
            yield self._ask(connection)

    def _ask(self, connection: sa.Connection) -> Ask:
        return lambda said, **given: self._database.ask(connection, said, given)

    @contextmanager
    def _aligned(self, now: Anchor, fence: Fence | None = None) -> Iterator[sa.Connection]:
        with self.writing(fence) as connection:
            if not self.shared:  # else times are by the database's clock, and no machine's
                clocks.align(connection, now)
            yield connection
