"""SQLite as the state's ``Database``: a file on a local disk, its lock and its settings.

What only SQLite has is here and in ``sqlite_errors``, ``location``, ``lock`` and ``quarantine``: PRAGMAs, the kinds of
BEGIN, the search for damage. Made by ``opening`` alone.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from watchdog.model.text import clean
from watchdog.state import driver, texts
from watchdog.state.aside import Aside
from watchdog.state.database import StateDamaged, StateError, StatePutBack
from watchdog.state.deferred import real, sa
from watchdog.state.glance import uri
from watchdog.state.location import create, room_for_copy
from watchdog.state.lock import InstanceLock
from watchdog.state.migrations import HEAD
from watchdog.state.migrations.upgrade import OURS, VERSION, UpgradeError, fill, judged, upgrade
from watchdog.state.place import Place
from watchdog.state.quarantine import last_loss, new_name, set_aside
from watchdog.state.rows import row_as_text, rows_as_text
from watchdog.state.sqlite_errors import BUSY, concerns_state, sentence

_NAMES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"


class SQLite:
    """An open state file, to be used in one thread at a time, though not always the same."""

    now: sa.ColumnElement[int] | None = None

    def __init__(self, path: Path, lock: InstanceLock | None, options: Mapping[str, str] | None) -> None:
        """``options`` are those of SQLite's own URIs; with ``None`` it is in memory, a copy of what is at ``path``."""
        self._path = path
        self.name = f"the state {path}"
        self._in_memory = options is None
        self._lock = lock
        self.lost = last_loss(path)
        self.damage: StateDamaged | None = None
        name = uri(path, options) if options is not None else ":memory:"
        with self._errors():
            # The driver begins no transaction of its own accord: ours begin with what ``_transaction`` says.
            self._raw = sqlite3.connect(
                name, uri=True, timeout=BUSY, check_same_thread=False, isolation_level=None, cached_statements=256
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
        """The SQL as SQLite has it."""
        return row_as_text(columns)

    def rows_as_text(self, columns: Sequence[str], where: str) -> str:
        """The SQL as SQLite has it."""
        return rows_as_text(columns, where)

    def aside(self) -> Aside | None:
        """A second connection to the file, while this process holds it; ``None`` where it cannot be had."""
        if self._aside is None and self._lock is not None and not self._in_memory:
            try:
                self._aside = Aside(self._path, BUSY, lambda: self._errors(reading=True))
            except StateDamaged:
                raise
            except StateError:  # there may be no free descriptor
                return None
        return self._aside

    def senseless(self, error: Exception) -> StateError:
        """The error for a value that makes no sense: the state is damaged."""
        return self._sentence(error, reading=True)

    def count_on(self, connection: sa.Connection) -> None:
        """Nothing: SQLite does so by itself."""

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
        """Take over what the file holds, which is opened with these options. Raises ``StateError``."""
        with (
            self._errors(reading=True),
            closing(sqlite3.connect(uri(self._path, options), uri=True, timeout=BUSY)) as there,
        ):
            there.backup(self._raw)

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
        """Where every error becomes a sentence; while ``reading``, a value that makes no sense does too."""
        try:
            yield
        except Exception as error:
            if not concerns_state(error):
                raise
            raise self._sentence(error, reading=reading) from error

    def _sentence(self, error: Exception, *, reading: bool) -> StateError:
        found = sentence(self._path, error, reading=reading)
        if isinstance(found, StateDamaged):
            self.damage = found
        return found
