"""SQLite as the state's ``Database``: a file on a local disk, its lock, its settings, and its errors in sentences.

What only SQLite has is here and in ``location``, ``lock`` and ``quarantine``: PRAGMAs, the kinds of BEGIN, the search
for damage, error codes. Called by ``store`` alone.
"""

import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import msgspec

from watchdog.model.text import clean
from watchdog.state import driver, texts
from watchdog.state.aside import Aside
from watchdog.state.database import StateDamaged, StateError, StatePutBack, StateTooNew
from watchdog.state.deferred import real, sa
from watchdog.state.glance import access, without_a_trace
from watchdog.state.location import create, is_strange, mode, named, newest_copy, path_of, room_for_copy
from watchdog.state.lock import InstanceLock
from watchdog.state.migrations import HEAD
from watchdog.state.migrations.upgrade import OURS, VERSION, TooNew, UpgradeError, fill, judged, upgrade
from watchdog.state.place import Place
from watchdog.state.quarantine import last_loss, new_name, set_aside
from watchdog.state.rows import row_as_text, rows_as_text

_BUSY = 5.0
"""Seconds to wait for another process's write; each of ours lasts well under one."""

_SENTENCES = {
    sqlite3.SQLITE_FULL: "cannot be written: the disk is full",
    sqlite3.SQLITE_NOTADB: "is damaged: it is not a SQLite database any more",
    sqlite3.SQLITE_CORRUPT: "is damaged",
    sqlite3.SQLITE_BUSY: f"is locked by another process for more than {_BUSY:.0f} s",
    sqlite3.SQLITE_READONLY: "cannot be written by this user, or lies on a read-only file system",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: this user must be able to read it, a daemon to write its directory too",
    sqlite3.SQLITE_IOERR: "cannot be read or written: the disk reports an error",
}
_DAMAGE = frozenset({sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT})
_NAMES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
_SENSELESS = (sqlite3.OperationalError, ValueError, TypeError, OverflowError, msgspec.MsgspecError)


class SQLite:
    """An open state file. Made by ``open_database``; to be used in one thread at a time, though not always the same."""

    now: sa.ColumnElement[int] | None = None

    def __init__(self, path: Path, lock: InstanceLock | None, options: Mapping[str, str] | None) -> None:
        """``options`` are those of SQLite's own URIs; with ``None`` it is in memory, a copy of what is at ``path``."""
        self._path = path
        self.name = f"the state {path}"
        self._in_memory = options is None
        self._lock = lock
        self.lost = last_loss(path)
        self.damage: StateDamaged | None = None
        said = "&".join(f"{name}={value}" for name, value in (options or {}).items())
        name = f"file:{quote(str(path))}?{said}" if options is not None else ":memory:"
        with self._errors():
            # The driver begins no transaction of its own accord: ours begin with what ``_transaction`` says.
            self._raw = sqlite3.connect(
                name, uri=True, timeout=_BUSY, check_same_thread=False, isolation_level=None, cached_statements=256
            )
        self._connection = driver.Connection(self._raw)
        self._aside: Aside | None = None
        self._place: Place | None = None
        self._version = 0

    @property
    def exclusive(self) -> bool:
        """Whether this process holds the lock."""
        return self._lock is not None

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """One transaction that sees one moment, and keeps nobody from writing."""
        with self._transaction("BEGIN DEFERRED", reading=True) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """One transaction that no other process writes beside; on the disk when this ends."""
        if self._place is not None and self._place.lost:
            raise self.damage or self._misplaced(self._place)
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    def ask(self, connection: sa.Connection, said: str, given: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:  # noqa: ARG002  there is one
        """The rows that a text gives."""
        return driver.execute(self._raw, said, given)

    def row_as_text(self, columns: Sequence[str]) -> str:
        """As SQLite writes JSON."""
        return row_as_text(columns)

    def rows_as_text(self, columns: Sequence[str], where: str) -> str:
        """The same of many."""
        return rows_as_text(columns, where)

    def aside(self) -> Aside | None:
        """A second connection to the file, while this process holds it; ``None`` where it cannot be had."""
        if self._aside is None and self._lock is not None and not self._in_memory:
            try:
                self._aside = Aside(self._path, _BUSY, lambda: self._errors(reading=True))
            except StateDamaged:
                raise
            except StateError:  # there may be no free descriptor
                return None
        return self._aside

    def senseless(self, error: Exception) -> StateError:
        """It is damaged."""
        return self._sentence(error, reading=True)

    def count_on(self, connection: sa.Connection) -> None:
        """SQLite does so by itself."""

    def changed_elsewhere(self) -> bool:
        """Whether another connection has written since this was last asked, or since the opening."""
        before, self._version = self._version, self._data_version()
        return self._version != before

    def close(self) -> None:
        """Close the file, then let another instance in; a second call does nothing."""
        self._disconnect()
        if self._lock is not None:
            self._lock.release()

    def set_aside(self, at: datetime) -> Path:
        """Move the file away with what belongs to it, and close it; gives its new name.

        Where another file was put in its place, what it holds goes to that name.
        """
        try:
            if self._place is None or not self._place.lost:
                return self._move_away(at, self.damage)
            create(kept := new_name(self._path, at))
            self._save(kept)
            with suppress(OSError):
                self._place.leave()
            return kept
        finally:
            self.close()

    def prepare(self, *, migrate: bool, check: bool) -> None:
        """Settings of the connection; then the tables, looked through, brought up to date or refused."""
        with self._statements(reading=True) as connection:
            if migrate:
                connection.exec_driver_sql("PRAGMA journal_mode = WAL").close()
            connection.exec_driver_sql("PRAGMA synchronous = FULL")
            connection.exec_driver_sql("PRAGMA foreign_keys = ON")
            # 0.08 s for the 47 MB of 100,000 packs and as many lines of journal, where all of a start takes 0.8 s.
            if check and (found := connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()) != "ok":
                raise StateDamaged(f"the state {self._path} is damaged: {clean(found)}")
            names = set(connection.exec_driver_sql(_NAMES).scalars())
            revision = judged(names, connection.execute(VERSION).scalar() if names >= OURS else None)
        if revision != HEAD:
            with self._errors():
                if not migrate:
                    raise UpgradeError("is not up to date yet: the daemon brings it up to date when it starts")
            self._upgrade(revision)
        self._version = self._data_version()
        if self._lock is not None and not self._in_memory:
            self._place = Place(self._path)

    def copy(self, options: Mapping[str, str]) -> None:
        """Take what the file holds."""
        said = "&".join(f"{name}={value}" for name, value in options.items())
        with self._errors(reading=True):
            there = sqlite3.connect(f"file:{quote(str(self._path))}?{said}", uri=True, timeout=_BUSY)
            try:
                there.backup(self._raw)
            finally:
                there.close()

    def abandon(self, mend_at: datetime | None, error: BaseException) -> None:
        """Close a file that could not be opened well; a damaged one is moved away first, if it may be mended."""
        try:
            if isinstance(error, StateDamaged) and mend_at is not None:
                self._move_away(mend_at, error)
        finally:
            self._disconnect()

    def _upgrade(self, revision: str) -> None:
        """From ``revision`` on, or from nothing at all. A copy of what there was stays beside it."""
        if revision and not self._in_memory:
            self._save(room_for_copy(self._path, f"revision-{revision}"))
        with self.writing() as connection:
            if revision:
                with self._by_core() as core, core.begin():
                    upgrade(core)
                return
            for statement in texts.stored().tables:
                connection.exec_driver_sql(statement)
            fill(connection)

    def _save(self, copy: Path) -> Path:
        """Write all of it to a file that is empty, or not there."""
        with self._statements() as connection:
            connection.exec_driver_sql("VACUUM INTO ?", (str(copy),)).close()
        return copy

    def _misplaced(self, place: Place) -> StateError:
        """Nothing is written to a file that nobody finds again. Where it was removed, what it holds is put back.

        As long as that cannot be done, it is what a disk is that takes no writes: this process alone knows everything.
        """
        try:
            if place.taken:
                self.damage = StateDamaged(f"the state {self._path} was replaced by another file while it was in use")
                return self.damage
            place.put_back(self._save(room_for_copy(self._path, "saved")))
        except (OSError, StateError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            return StateError(f"the state {self._path} was removed while it was in use, and cannot be put back: {why}")
        self.damage = StatePutBack(f"the state {self._path} was removed while it was in use")
        return self.damage

    def _by_core(self) -> sa.Connection:
        """The same connection as one of Core, in the transaction that was begun on it: for Alembic."""
        core = real(sa)
        engine = core.create_engine("sqlite://", creator=lambda: self._raw, poolclass=core.StaticPool)
        connection: sa.Connection = engine.connect()
        return connection

    def _move_away(self, at: datetime, damage: StateDamaged | None) -> Path:
        """Before the file is closed: SQLite would clear the log of writes away."""
        try:
            return set_aside(self._path, at)
        except OSError as error:
            raise StateError(f"{damage}; and it cannot be set aside: {error.strerror}") from error

    def _disconnect(self) -> None:
        with suppress(sqlite3.Error):
            if self._aside is not None:
                self._aside.close()
            self._raw.close()

    def _data_version(self) -> int:
        with self._errors():
            return int(self._raw.execute("PRAGMA data_version").fetchone()[0])

    @contextmanager
    def _transaction(self, begin: str, *, reading: bool = False) -> Iterator[sa.Connection]:
        with self._statements(reading=reading) as connection:
            self._raw.execute(begin)
            try:
                yield connection
                self._raw.commit()
            except BaseException:
                self._raw.rollback()
                raise

    @contextmanager
    def _statements(self, *, reading: bool = False) -> Iterator[sa.Connection]:
        """Statements that are each a transaction, as some PRAGMAs must be, until one of them begins a longer one."""
        with self._errors(reading=reading):
            yield cast("sa.Connection", self._connection)  # which does all that is asked of one in this room

    @contextmanager
    def _errors(self, *, reading: bool = False) -> Iterator[None]:
        """Where every error becomes a sentence.

        While ``reading`` what is stored, a value that makes no sense is damage as well: SQLite sees none in a text.
        """
        try:
            yield
        except TooNew as error:
            copy = newest_copy(self._path, HEAD)
            instead = f"put {copy} in its place, a copy from before" if copy else "restore a copy from before"
            raise StateTooNew(f"the state {self._path} {error}: run that version, or {instead}") from error
        except UpgradeError as error:
            raise StateError(f"the state {self._path} {error}") from error
        except (sqlite3.Error, ValueError, TypeError, OverflowError, msgspec.MsgspecError) as error:
            raise self._sentence(error, reading=reading) from error
        except Exception as error:
            if not _is_of_core(error):
                raise
            raise self._sentence(error, reading=reading) from error

    def _sentence(self, error: Exception, *, reading: bool) -> StateError:
        cause = getattr(error, "orig", error)  # Core has the driver's inside of its own
        code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
        senseless = reading and isinstance(cause, _SENSELESS) and code in {0, sqlite3.SQLITE_ERROR}
        said = _SENTENCES.get(code, f"{'is damaged' if senseless else 'cannot be used'}: {clean(cause)}")
        said = f"the state {self._path} {said}"
        if not senseless and code not in _DAMAGE:
            return StateError(said)
        self.damage = StateDamaged(said)
        return self.damage


def open_database(url: str, *, exclusive: bool, mend_at: datetime | None = None) -> SQLite:
    """Open the state at ``sqlite:///path``.

    ``exclusive`` is the daemon's way: it takes the instance lock, creates what is missing and migrates what is old.
    Otherwise the state must exist and be current, and may be in use by a daemon. With ``mend_at``, which is now, it is
    also looked through, and a damaged one is set aside for a new one; else that is a ``StateDamaged``. Raises
    ``StateHeld``, ``StateTooNew``, and ``StateError`` for whatever else is wrong with it.
    """
    path = path_of(url)
    if not exclusive and not mode(path):
        raise StateError(f"there is no state at {path} yet: nothing has run with this configuration")
    if exclusive and is_strange(path):
        raise StateError(f"{path} is not a SQLite database, nor ever was a state: choose another path in state.url")
    lock = InstanceLock.take(path) if exclusive else None
    try:
        try:
            return _opened(path, lock, mend_at)
        except StateDamaged:
            if mend_at is None:
                raise
            return _opened(path, lock, None)
    except BaseException:
        if lock is not None:
            lock.release()
        raise


def open_existing(url: str) -> SQLite:
    """As ``open_database`` for a daemon, but where there is no state, none is begun: a ``StateError``."""
    path = path_of(url)
    if not mode(path):
        raise StateError(f"there is no state at {path}")
    return open_database(url, exclusive=True)


def open_copy(url: str) -> SQLite:
    """What the state at ``url`` holds, nothing where there is none, in memory: nothing that is written there stays.

    The file is read and left as it is, whether or not a daemon holds it; an older one is brought up to date here alone.
    Raises ``StateTooNew``, ``StateDamaged`` and ``StateError``.
    """
    path = named(url)
    there = bool(mode(path))
    if there and is_strange(path):
        raise StateError(f"{path} is not a SQLite database, nor ever was a state: choose another path in state.url")
    return in_memory(path, copied=there)


def in_memory(path: Path, *, copied: bool) -> SQLite:
    """A state in memory: a copy of the file at ``path``, or an empty one in its place."""
    database = SQLite(path, None, None)
    try:
        if copied:
            database.copy(without_a_trace(path))
        database.prepare(migrate=True, check=False)
    except BaseException as error:
        database.abandon(None, error)
        raise
    return database


def _opened(path: Path, lock: InstanceLock | None, mend_at: datetime | None) -> SQLite:
    """Once. What is damaged is out of the way when this raises, if it may be mended."""
    if lock is not None:
        create(path)
    database = SQLite(path, lock, {} if lock is not None else access(path))
    try:
        database.prepare(migrate=lock is not None, check=mend_at is not None)
    except BaseException as error:
        database.abandon(mend_at, error)
        raise
    return database


def _is_of_core(error: Exception) -> bool:
    """Whether SQLAlchemy raised it, which an upgrade uses."""
    core = sys.modules.get("sqlalchemy")
    return core is not None and isinstance(error, core.exc.SQLAlchemyError)
