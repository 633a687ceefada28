"""How a state is opened: the database that a URL names, by a daemon, by whoever only reads, as a copy, to be moved.

The one place that knows which kinds of database there are. What is opened and turns out to be no good is closed again.
Called by ``store`` and, to move a state, by ``cli``.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from watchdog.model.clock import Anchor
from watchdog.state import clocks
from watchdog.state.copying import Moved, copy_rows, move_rows
from watchdog.state.database import Database, StateDamaged, StateError
from watchdog.state.glance import access, without_a_trace
from watchdog.state.location import create, is_strange, mode, named, path_of
from watchdog.state.lock import InstanceLock
from watchdog.state.sqlite import SQLite

if TYPE_CHECKING:
    from watchdog.state.postgresql import PostgreSQL


def open_database(url: str, *, exclusive: bool, mend_at: datetime | None = None) -> Database:
    """Open the state at ``sqlite:///PATH`` or ``postgresql://…``.

    ``exclusive`` is the daemon's way, which creates what is missing and migrates what is old. It takes the lock of a
    file; on PostgreSQL it keeps nobody out, as leases do that. Otherwise the state must exist and be current, and may
    be in use by a daemon. With ``mend_at``, which is now, a file is also looked through, and a damaged one is set aside
    for a new one; else that is a ``StateDamaged``. Raises ``StateHeld``, ``StateTooNew``, and ``StateError`` for
    whatever else is wrong with it.
    """
    if _is_postgresql(url):
        server = _postgresql(url, member=exclusive)
        with _closed_on_failure(server):
            server.prepare(migrate=exclusive)
        return server
    path = path_of(url)
    if not exclusive and not mode(path):
        raise StateError(f"there is no state at {path} yet: nothing has run with this configuration")
    _refuse_strange(path)
    lock = InstanceLock.take(path) if exclusive else None
    try:
        try:
            return _file(path, lock, mend_at)
        except StateDamaged:
            if mend_at is None:
                raise
            return _file(path, lock, None)
    except BaseException:
        if lock is not None:
            lock.release()
        raise


def open_copy(url: str) -> Database:
    """What the state at ``url`` holds, nothing where there is none, in memory: nothing that is written there stays.

    The state is read and left as it is, whether or not a daemon holds it; an older file is brought up to date in memory
    alone. Raises ``StateTooNew``, ``StateDamaged`` and ``StateError``.
    """
    if _is_postgresql(url):
        copy = in_memory()
        if (server := _postgresql_if_there(url)) is not None:
            with closing(server):
                copy_rows(server, copy)
        return copy
    path = named(url)
    there = bool(mode(path))
    if there:
        _refuse_strange(path)
    return in_memory(path, copied=there)


def in_memory(path: Path = Path("memory"), *, copied: bool = False) -> SQLite:
    """A state in memory: an empty one or, ``copied``, what the file at ``path`` holds."""
    database = SQLite(path, None, None)
    try:
        if copied:
            database.copy(without_a_trace(path))
        database.prepare(migrate=True, check=False)
    except BaseException as error:
        database.abandon(None, error)
        raise
    return database


def move(source: str, target: str, now: Anchor) -> Moved:
    """Copy what the state at one URL holds into the one at another, which must be empty; see ``copying``.

    Nobody may be at work on either. The first stays as it is. Raises ``StateHeld``, ``StateInUse``, ``StateTooNew`` and
    ``StateError``.
    """
    with closing(_existing(source)) as old:
        if old.now is None:
            with old.writing() as connection:
                clocks.align(connection, now)
        with closing(open_database(target, exclusive=True)) as new:
            return move_rows(old, new, now)


def _existing(url: str) -> Database:
    """The state at ``url``, for nobody else to use meanwhile; a ``StateError`` where there is none."""
    if _is_postgresql(url):
        if (server := _postgresql_if_there(url)) is None:
            raise StateError("there is no state yet in the schema that the URL names")
        return server
    path = path_of(url)
    if not mode(path):
        raise StateError(f"there is no state at {path}")
    return open_database(url, exclusive=True)


def _file(path: Path, lock: InstanceLock | None, mend_at: datetime | None) -> SQLite:
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


def _refuse_strange(path: Path) -> None:
    if is_strange(path):
        raise StateError(f"{path} is not a SQLite database, nor ever was a state: choose another path in state.url")


def _is_postgresql(url: str) -> bool:
    return url.startswith("postgres")


def _postgresql(url: str, *, member: bool) -> "PostgreSQL":
    from watchdog.state.postgresql import PostgreSQL  # noqa: PLC0415 - most never need it

    return PostgreSQL(url, member=member)


def _postgresql_if_there(url: str) -> "PostgreSQL | None":
    """The state at ``url`` to be read; ``None`` where nothing has run with it."""
    server = _postgresql(url, member=False)
    with _closed_on_failure(server):
        if not server.is_there():
            server.close()
            return None
        server.prepare(migrate=False)
    return server


@contextmanager
def _closed_on_failure(database: Database) -> Iterator[None]:
    try:
        yield
    except BaseException:
        database.close()
        raise
