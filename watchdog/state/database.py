"""The one door to the disk: what must outlive the process is written here and read back here.

A restart's intent is durable before ``intend`` returns, so the attempt is counted and the backoff stands whatever
happens next. Synchronous: the caller owns the one thread it runs in. It reads no clock (times are handed in), writes
no log, decides nothing, and ends every failure as one sentence in a ``StateError``. ``cli`` opens it, ``memory``,
``outbox`` and the commands call it. Only SQLite, through SQLAlchemy's Core: the ORM would cost 8 MB for nothing.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from watchdog.model.clock import Anchor
from watchdog.model.findings import Diagnosis
from watchdog.model.history import UNTROUBLED, History, Intent, JournalLine, Remembered, Sent, ZoneMemory
from watchdog.model.text import clean
from watchdog.state import schema
from watchdog.state.location import create, is_strange, mode, path_of
from watchdog.state.lock import InstanceLock, StateDamaged, StateError, StateHeld
from watchdog.state.migrations.upgrade import UpgradeError, is_current, upgrade
from watchdog.state.quarantine import Quarantined, last_loss, set_aside
from watchdog.state.schema import PackKey, from_micros, to_micros

__all__ = [
    "Changes",
    "PackKey",
    "Quarantined",
    "Settled",
    "Snapshot",
    "Stale",
    "StateDamaged",
    "StateError",
    "StateHeld",
    "Store",
]

JOURNAL_ROWS = 200_000
"""At most this many are kept by ``prune``: some 50 MB, and months of an ordinary fleet."""
JOURNAL_UNWRITTEN = 10_000
"""At most this many wait while the disk takes no writes."""
SAME = timedelta(seconds=1)
"""Two notes of one restart may differ by this much where the clock was set between them."""
_BUSY = 5.0
"""Seconds to wait for another process's write; each of ours lasts well under one."""

_UPSERT_ZONE = schema.upsert(schema.zones)
_UPSERT_PACK = schema.upsert(schema.packs)
_UPSERT_HISTORY = schema.upsert(schema.histories)
# A batch may have been put together before another process counted a restart: that count stays.
_UPSERT_HISTORY_UNLESS_OLDER = (
    f"{_UPSERT_HISTORY} WHERE coalesce(excluded.last_restart_at, -1) >= coalesce(histories.last_restart_at, -1)"
)
_DELETE_HISTORY = "DELETE FROM histories WHERE zone_id = ? AND pack_id = ?"
_UPSERT_DIAGNOSIS = schema.upsert(schema.diagnoses)
_DELETE_DIAGNOSIS = "DELETE FROM diagnoses WHERE zone_id = ? AND pack_id = ?"
_DELETE_PACK = "DELETE FROM packs WHERE zone_id = ? AND pack_id = ?"
_INSERT_INTENT = (
    "INSERT INTO intents (account, zone, zone_id, pack_id, attempt, at, next_restart_at, error)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, '')"
)
_SETTLE = "UPDATE intents SET outcome = ?, error = ?, settled_at = ? WHERE id = ?"
_SHIFT_HISTORIES = (
    "UPDATE histories SET trouble_since = trouble_since + :step, last_restart_at = last_restart_at + :step,"
    " next_restart_at = next_restart_at + :step, gave_up_at = gave_up_at + :step"
)
# All of them: one that stays behind when the clock is set back lies ahead then, and counts as just made.
_SHIFT_INTENTS = "UPDATE intents SET at = at + :step, next_restart_at = next_restart_at + :step"
# Times ahead of now come from a clock that was wrong: as if it were now, so that no wait is lost, or lasts for years.
_NO_HISTORY_AHEAD = (
    "UPDATE histories SET next_restart_at = next_restart_at - last_restart_at + :now, last_restart_at = :now"
    " WHERE last_restart_at > :now"
)
_NO_INTENT_AHEAD = "UPDATE intents SET next_restart_at = next_restart_at - at + :now, at = :now WHERE at > :now"
_ANCHOR = "UPDATE meta SET anchor_at = ?, anchor_monotonic = ?, anchor_boot = ? WHERE id = 1"
_INSERT_BOOKING = "INSERT INTO bookings (account, boot, until, requests) VALUES (?, ?, ?, ?)"
_PRUNE_BOOKINGS = "DELETE FROM bookings WHERE boot <> ? OR until < ? OR (account = ? AND until < ?)"
_INSERT_ENTRY = "INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"

_SENTENCES = {
    sqlite3.SQLITE_FULL: "cannot be written: the disk is full",
    sqlite3.SQLITE_NOTADB: "is damaged: it is not a SQLite database any more",
    sqlite3.SQLITE_CORRUPT: "is damaged",
    sqlite3.SQLITE_BUSY: f"is locked by another process for more than {_BUSY:.0f} s",
    sqlite3.SQLITE_READONLY: "cannot be written by this user, or lies on a read-only file system",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: this user must be able to read and write it and its directory",
    sqlite3.SQLITE_IOERR: "cannot be read or written: the disk reports an error",
}
_LONGEST_BOOKED = 7 * 86400.0
"""Seconds: far longer than the five minutes of Cloudflare's window."""
_DAMAGE = frozenset({sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT})
_SENSELESS = (sqlite3.OperationalError, ValueError, TypeError, OverflowError)


class Stale(Exception):
    """The stored history is not the one expected; ``history`` is what is stored."""

    def __init__(self, history: History) -> None:
        super().__init__("another process has acted on this pack since it was last read")
        self.history = history


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that is remembered. A pack without a history is ``UNTROUBLED``.

    The times of histories and intents are by the clock of ``anchor``; ``None`` before anything was written.
    """

    anchor: Anchor | None
    zones: dict[tuple[str, str], ZoneMemory]
    packs: dict[PackKey, Remembered]
    histories: dict[PackKey, History]


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of an intent."""

    intent_id: int
    outcome: Sent
    error: str
    at: datetime


@dataclass(slots=True)
class Changes:
    """What one pass has to write. Histories that are ``UNTROUBLED`` are deleted, ``forgotten`` packs with theirs."""

    zones: list[ZoneMemory] = field(default_factory=list)
    packs: list[Remembered] = field(default_factory=list)
    histories: dict[PackKey, History] = field(default_factory=dict)
    diagnoses: dict[PackKey, Diagnosis | None] = field(default_factory=dict)
    forgotten: list[PackKey] = field(default_factory=list)
    journal: list[JournalLine] = field(default_factory=list)
    settled: list[Settled] = field(default_factory=list)

    def empty(self) -> bool:
        """Whether there is nothing to write."""
        return not any(getattr(self, each.name) for each in fields(self))

    def merge(self, newer: "Changes") -> None:
        """Add what changed later. Of what changed twice the later stands: a full disk must not fill the memory."""
        self.zones = list({zone.key: zone for zone in (*self.zones, *newer.zones)}.values())
        self.packs = list({(each.pack.zone_id, each.pack.id): each for each in (*self.packs, *newer.packs)}.values())
        self.histories.update(newer.histories)
        self.diagnoses.update(newer.diagnoses)
        seen_again = {(each.pack.zone_id, each.pack.id) for each in newer.packs}
        self.forgotten = [key for key in self.forgotten if key not in seen_again] + newer.forgotten
        self.settled += newer.settled
        self.journal = [*self.journal, *newer.journal][-JOURNAL_UNWRITTEN:]


class Store:
    """An open state. Made by ``open``; to be closed with ``close``.

    ``lost`` is the last state that was set aside here, if any was. ``damage`` is what was found to be unreadable since
    the opening: then nothing that is stored can be trusted, and whoever may is to ``set_aside`` this one.
    """

    def __init__(self, path: Path, lock: InstanceLock | None) -> None:
        self._path = path
        self._lock = lock
        self.lost = last_loss(path)
        self.damage: StateDamaged | None = None
        # Opened in one thread and then used in one other, never in two at once.
        # Autocommit: transactions are begun in ``_transaction``, where it shows, and not by the driver's own rules.
        self._engine = sa.create_engine(
            sa.URL.create("sqlite", database=str(path)),
            connect_args={"timeout": _BUSY, "check_same_thread": False},
            poolclass=sa.NullPool,
            isolation_level="AUTOCOMMIT",
        )
        with self._door():
            self._db = self._engine.connect()
        driver = self._db.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)  # noqa: S101 - tells the type checker what the URL says
        self._driver = driver
        self._version = 0

    @classmethod
    def open(cls, url: str, *, exclusive: bool, mend_at: datetime | None = None) -> Self:
        """Open the state at ``sqlite:///path``.

        ``exclusive`` is the daemon's way: it takes the instance lock, creates what is missing and migrates what is old.
        Otherwise the state must exist and be current, and may be in use by a daemon. With ``mend_at``, which is now,
        it is also looked through, and a damaged one is set aside for a new one; else that is a ``StateDamaged``.
        """
        path = path_of(url)
        if not exclusive and not mode(path):
            raise StateError(f"there is no state at {path} yet: nothing has run with this configuration")
        if exclusive and is_strange(path):
            raise StateError(f"{path} is not a SQLite database, nor ever was a state: choose another path in state.url")
        lock = InstanceLock.take(path) if exclusive else None
        try:
            try:
                return cls._opened(path, lock, mend_at)
            except StateDamaged:
                if mend_at is None:
                    raise
                return cls._opened(path, lock, None)
        except BaseException:
            if lock is not None:
                lock.release()
            raise

    @classmethod
    def _opened(cls, path: Path, lock: InstanceLock | None, mend_at: datetime | None) -> Self:
        """Once. What is damaged is out of the way when this raises, if it may be mended."""
        if lock is not None:
            create(path)
        store = cls(path, lock)
        try:
            store._prepare(migrate=lock is not None, check=mend_at is not None)
        except BaseException as error:
            try:
                if isinstance(error, StateDamaged) and mend_at is not None:
                    store._move_away(mend_at, error)
            finally:
                store._close_database()
            raise
        return store

    @property
    def exclusive(self) -> bool:
        """Whether this process alone may act on the state."""
        return self._lock is not None

    def close(self) -> None:
        """Close the database, then let another instance in; a second call does nothing."""
        self._close_database()
        if self._lock is not None:
            self._lock.release()

    def set_aside(self, at: datetime) -> Path:
        """Close a state that is damaged and move it away, so that the next opening begins a new one; gives its name."""
        try:
            return self._move_away(at, self.damage)
        finally:
            self.close()

    def load(self) -> Snapshot:
        """Everything, as of one moment."""
        with self._transaction("DEFERRED", reading=True):
            anchor = self._anchor()
            zones = map(schema.zone_of, self._driver.execute(schema.select_all(schema.zones)))
            packs = schema.packs_of(self._driver.execute(schema.select_all(schema.packs)))
            histories = map(schema.history_of, self._driver.execute(schema.select_all(schema.histories)))
            found = dict(packs)
            for row in self._driver.execute(schema.select_all(schema.diagnoses)):
                key, diagnosis = schema.diagnosis_of(row)
                if key in found:
                    found[key] = replace(found[key], diagnosis=diagnosis)
            return Snapshot(anchor, {zone.key: zone for zone in zones}, found, dict(histories))

    def align(self, now: Anchor) -> None:
        """Bring stored times to the clock of ``now``, if it was set since they were noted. So does every write."""
        with self._transaction():
            self._align(now)

    def save(self, changes: Changes, now: Anchor) -> None:
        """All of it or, with a ``StateError``, nothing. Never takes back a restart that another process counted.

        The times in ``changes`` are by the clock of ``now``.
        """
        troubled = [(key, history) for key, history in changes.histories.items() if history != UNTROUBLED]
        well = [key for key, history in changes.histories.items() if history == UNTROUBLED]
        with self._transaction():
            self._align(now)
            self._many(_UPSERT_ZONE, [schema.zone_row(zone) for zone in changes.zones])
            self._many(_UPSERT_PACK, [schema.pack_row(pack) for pack in changes.packs])
            self._many(_UPSERT_HISTORY_UNLESS_OLDER, [schema.history_row(*pair) for pair in troubled])
            self._many(_DELETE_HISTORY, well + changes.forgotten)
            self._many(_DELETE_PACK, changes.forgotten)
            found = changes.diagnoses.items()
            self._many(_UPSERT_DIAGNOSIS, [schema.diagnosis_row(key, each) for key, each in found if each is not None])
            self._many(_DELETE_DIAGNOSIS, [key for key, each in found if each is None] + changes.forgotten)
            self._many(
                _SETTLE, [(each.outcome, each.error, to_micros(each.at), each.intent_id) for each in changes.settled]
            )
            self._many(_INSERT_ENTRY, [schema.entry_row(entry) for entry in changes.journal])

    def intend(self, intent: Intent, expected: History, after: History, now: Anchor) -> int:
        """Store ``intent`` and ``after`` durably, before the request leaves; gives the intent's id.

        ``Stale`` where the stored history counts other restarts than ``expected``: then nothing was written, and
        nothing may be sent.
        """
        key = (intent.zone_id, intent.pack_id)
        with self._transaction():
            self._align(now)
            stored = self._history_of(key)
            if not _same(stored, expected):
                raise Stale(stored)
            intent_id = self._db.exec_driver_sql(_INSERT_INTENT, schema.intent_row(intent)).lastrowid
            self._put_history(key, after)
        return intent_id

    def withdraw(self, intent_id: int, history: History, now: Anchor) -> None:
        """Nothing was sent, for certain: the intent goes and ``history`` is put back, unless a later intent stands."""
        c = schema.intents.c
        with self._transaction():
            self._align(now)
            row = self._db.execute(sa.select(c.zone_id, c.pack_id).where(c.id == intent_id)).one_or_none()
            if row is None:
                return
            later = sa.select(c.id).where(c.zone_id == row.zone_id, c.pack_id == row.pack_id, c.id > intent_id).limit(1)
            self._db.execute(schema.intents.delete().where(c.id == intent_id))
            if self._db.execute(later).first() is None:
                self._put_history((row.zone_id, row.pack_id), history)

    def open_intents(self) -> list[tuple[int, Intent]]:
        """Those whose outcome is not known, oldest first: the process died between sending and settling."""
        c = schema.intents.c
        wanted = sa.select(c.id, *(c[name] for name in Intent.__dataclass_fields__)).where(c.outcome.is_(None))
        with self._door(reading=True):
            return [(row[0], Intent(*row[1:])) for row in self._db.execute(wanted.order_by(c.id))]

    def restarts_since(self, at: datetime) -> list[tuple[str, datetime]]:
        """Account and time of each restart intended after ``at``, oldest first, whatever became of it."""
        c = schema.intents.c
        with self._door(reading=True):
            rows = self._db.execute(sa.select(c.account, c.at).where(c.at > at).order_by(c.at, c.id))
            return [(row.account, row.at) for row in rows]

    def book(self, account: str, boot: str, until: float, requests: int, forget_before: float) -> None:
        """Note durably that an account may send so many ``requests`` until then (as ``Clock.monotonic`` counts).

        What lies before ``forget_before`` goes, of other accounts (one may be gone for good) a week later.
        """
        with self._transaction():
            self._many(_PRUNE_BOOKINGS, [(boot, forget_before - _LONGEST_BOOKED, account, forget_before)])
            self._many(_INSERT_BOOKING, [(account, boot, until, requests)])

    def booked(self, boot: str) -> list[tuple[str, float, int]]:
        """What was booked since ``boot``: account, until when, and how many requests; the earliest first."""
        c = schema.bookings.c
        with self._door(reading=True):
            wanted = sa.select(c.account, c.until, c.requests).where(c.boot == boot).order_by(c.until)
            return [(row.account, float(row.until), int(row.requests)) for row in self._db.execute(wanted)]

    def history_of(self, zone_id: str, pack_id: str) -> History:
        """One pack's history as it is stored now."""
        with self._door():
            return self._history_of((zone_id, pack_id))

    def journal_of(self, zone_id: str, pack_id: str, limit: int) -> list[JournalLine]:
        """The newest ``limit`` lines about one pack, newest first; with no ``pack_id``, those about the zone itself."""
        c = schema.journal.c
        wanted = sa.select(*(c[name] for name in JournalLine.__dataclass_fields__))
        wanted = wanted.where(c.zone_id == zone_id, c.pack_id == pack_id).order_by(c.at.desc(), c.id.desc())
        with self._door():
            return [JournalLine(*row) for row in self._db.execute(wanted.limit(limit))]

    def changed_elsewhere(self) -> bool:
        """Whether another process has written since this was last asked, or since the opening."""
        with self._door():
            before, self._version = self._version, self._pragma("data_version")
            return self._version != before

    def prune(self, journal_before: datetime, unwatched_since: datetime) -> int:
        """Forget what is old; gives the number of rows.

        Journal lines and settled intents older than ``journal_before``, and zones nobody has looked at since
        ``unwatched_since``. Packs are forgotten by ``Changes.forgotten``: whether one still exists is not known here.
        """
        histories, journal = schema.histories, schema.journal
        h, i, j = histories.c, schema.intents.c, journal.c
        # A history outlives its pack while it is recent itself: the backoff of a pack that was never listed counts too.
        kept = sa.exists().where(schema.packs.c.zone_id == h.zone_id, schema.packs.c.pack_id == h.pack_id)
        recent = sa.or_(h.trouble_since >= unwatched_since, h.last_restart_at >= unwatched_since)
        surplus = j.id <= sa.select(sa.func.max(j.id)).scalar_subquery() - JOURNAL_ROWS
        statements = (
            histories.delete().where(~kept, sa.not_(sa.func.coalesce(recent, sa.false()))),
            schema.zones.delete().where(schema.zones.c.tried_at < unwatched_since),
            schema.intents.delete().where(i.outcome.is_not(None), i.at < journal_before),
            journal.delete().where(sa.or_(j.at < journal_before, surplus)),
        )
        with self._transaction():
            return sum(self._db.execute(statement).rowcount for statement in statements)

    def writable(self) -> bool:
        """Whether an intent could be stored now. Honest only as a small write that really goes to the disk."""
        try:
            with self._transaction():
                self._db.exec_driver_sql("UPDATE meta SET probes = probes + 1 WHERE id = 1")
        except StateError:
            return False
        return True

    @contextmanager
    def transaction(self, kind: str = "IMMEDIATE") -> Iterator[sa.Connection]:
        """One transaction of another module of this room, whole on the disk when this ends, or undone."""
        with self._transaction(kind):
            yield self._db

    def _move_away(self, at: datetime, damage: StateDamaged | None) -> Path:
        """Before the database is closed: SQLite would clear the log of writes away."""
        try:
            return set_aside(self._path, at)
        except OSError as error:
            raise StateError(f"{damage}; and it cannot be set aside: {error.strerror}") from error

    def _close_database(self) -> None:
        with suppress(SQLAlchemyError, sqlite3.Error):
            self._db.close()
        self._engine.dispose()

    def _prepare(self, *, migrate: bool, check: bool) -> None:
        """Settings of the connection; then the tables, looked through, brought up to date or refused."""
        with self._door(reading=True):
            if migrate:
                self._db.exec_driver_sql("PRAGMA journal_mode = WAL").close()
            self._db.exec_driver_sql("PRAGMA synchronous = FULL")
            self._db.exec_driver_sql("PRAGMA foreign_keys = ON")
            # 0.08 s for the 47 MB of 100,000 packs and as many lines of journal, where loading them takes 1.2 s.
            if check and (found := self._db.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()) != "ok":
                raise StateDamaged(f"the state {self._path} is damaged: {clean(found)}")
            current = is_current(self._db)
        with self._door():
            if not current:
                if not migrate:
                    raise UpgradeError("is not up to date yet: the daemon brings it up to date when it starts")
                with self._transaction():
                    upgrade(self._db)
            self._version = self._pragma("data_version")

    def _anchor(self) -> Anchor | None:
        at, monotonic, boot = self._driver.execute(
            "SELECT anchor_at, anchor_monotonic, anchor_boot FROM meta WHERE id = 1"
        ).fetchone()
        return None if at is None else Anchor(from_micros(at), monotonic, boot)

    def _align(self, now: Anchor) -> None:
        """Within a transaction: the times that are stored, by the clock of ``now``."""
        then = self._anchor()
        if then is not None and then.boot == now.boot and now.boot:
            step = now.step_since(then)
            if not step:
                return
            shift = {"step": step // timedelta(microseconds=1)}
            self._driver.execute(_SHIFT_HISTORIES, shift)
            self._driver.execute(_SHIFT_INTENTS, shift)
        else:
            self._driver.execute(_NO_HISTORY_AHEAD, {"now": to_micros(now.at)})
            self._driver.execute(_NO_INTENT_AHEAD, {"now": to_micros(now.at)})
        self._driver.execute(_ANCHOR, (to_micros(now.at), now.monotonic, now.boot))

    def _history_of(self, key: PackKey) -> History:
        wanted = f"{schema.select_all(schema.histories)} WHERE zone_id = ? AND pack_id = ?"
        row = self._db.exec_driver_sql(wanted, key).first()
        return UNTROUBLED if row is None else schema.history_of(tuple(row))[1]

    def _put_history(self, key: PackKey, history: History) -> None:
        if history == UNTROUBLED:
            self._db.exec_driver_sql(_DELETE_HISTORY, key)
        else:
            self._db.exec_driver_sql(_UPSERT_HISTORY, schema.history_row(key, history))

    def _many(self, statement: str, rows: Sequence[schema.Row] | Sequence[PackKey]) -> None:
        if rows:
            self._db.exec_driver_sql(statement, list(rows))

    def _pragma(self, name: str) -> int:
        return int(self._db.exec_driver_sql(f"PRAGMA {name}").scalar_one())

    @contextmanager
    def _transaction(self, kind: str = "IMMEDIATE", *, reading: bool = False) -> Iterator[None]:
        """One transaction: whole on the disk when this ends, or undone."""
        with self._door(reading=reading):
            self._db.exec_driver_sql(f"BEGIN {kind}")
            try:
                yield
                self._db.exec_driver_sql("COMMIT")
            except BaseException:
                # SQLite has already rolled back by itself after some errors, a full disk among them.
                if self._driver.in_transaction:
                    with suppress(SQLAlchemyError):
                        self._db.exec_driver_sql("ROLLBACK")
                raise

    @contextmanager
    def _door(self, *, reading: bool = False) -> Iterator[None]:
        """Where every error of the database becomes a sentence.

        While ``reading`` what is stored, a value that makes no sense is damage as well: SQLite sees none in a text.
        """
        try:
            yield
        except UpgradeError as error:
            raise StateError(f"the state {self._path} {error}") from error
        except (SQLAlchemyError, sqlite3.Error, ValueError, TypeError, OverflowError) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
            senseless = reading and isinstance(cause, _SENSELESS) and code in {0, sqlite3.SQLITE_ERROR}
            said = _SENTENCES.get(code, f"{'is damaged' if senseless else 'cannot be used'}: {clean(cause)}")
            said = f"the state {self._path} {said}"
            if not senseless and code not in _DAMAGE:
                raise StateError(said) from error
            self.damage = StateDamaged(said)
            raise self.damage from error


def _same(stored: History, expected: History) -> bool:
    """Whether both count the same restarts."""
    if stored.attempts != expected.attempts:
        return False
    if stored.last_restart_at is None or expected.last_restart_at is None:
        return stored.last_restart_at is expected.last_restart_at
    return abs(stored.last_restart_at - expected.last_restart_at) < SAME
