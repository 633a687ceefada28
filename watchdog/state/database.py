"""What a database must be for the state to live in it, and what is common to all of them: errors, upserts, batches.

``Database`` is all that ``store`` asks for; ``sqlite`` and ``postgresql`` are the two there are. The rows, the tables
and the statements are in the other files of this room, in SQLAlchemy's Core and no dialect, so that neither writes any
of them again. No file system and no SQL of a single dialect here. The errors are for everyone.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from functools import cache, lru_cache
from importlib import import_module
from operator import itemgetter
from pathlib import Path
from typing import Any, Protocol

from watchdog.state import driver, schema
from watchdog.state.deferred import call, real, sa
from watchdog.state.quarantine import Quarantined
from watchdog.state.rows import Row


class StateError(Exception):
    """The state cannot be used; the message is one sentence for an operator."""


class StateDamaged(StateError):
    """What is stored cannot be read any more, and no waiting will mend it."""


class StatePutBack(StateDamaged):
    """What is stored was taken away under us, and lies in its place again: the next start goes on with it."""


class StateTooNew(StateError):
    """A newer version of this program wrote the state, and this one would not understand it."""


class StateHeld(StateError):
    """Another instance holds the state. ``pid`` is its process, or empty where it could not be read."""

    def __init__(self, path: Path, pid: str) -> None:
        holder = f"process {pid}" if pid else "another process"
        super().__init__(f"the state {path} is held by {holder}: only one instance may use it")
        self.path = path
        self.pid = pid


class StateInUse(StateError):
    """Replicas are at work on the state."""


class Database(Protocol):
    """An open database with the tables of ``schema``, to be used in one thread at a time.

    Every failure leaves it as one sentence in a ``StateError``, whatever raised it.
    """

    damage: StateDamaged | None
    """What was found to be unreadable since the opening: then nothing that is stored can be trusted."""

    @property
    def name(self) -> str:
        """What it is called in a sentence."""

    @property
    def exclusive(self) -> bool:
        """Whether this process alone may act on the state."""

    @property
    def now(self) -> sa.ColumnElement[int] | None:
        """The database's own time, where several processes on several machines share it; ``None`` where none do."""

    @property
    def lost(self) -> Quarantined | None:
        """The last state that was set aside here, if any was."""

    def reading(self) -> AbstractContextManager[sa.Connection]:
        """One transaction that sees one moment. A value that makes no sense is damage."""

    def writing(self) -> AbstractContextManager[sa.Connection]:
        """One transaction, whole and durable when this ends, or undone. No other writes from its beginning on."""

    def ask(self, connection: sa.Connection, said: str, given: Mapping[str, Any]) -> Iterable[Sequence[Any]]:
        """The rows that a text, with parameters by name, gives on a connection of this database."""

    def row_as_text(self, columns: Sequence[str]) -> str:
        """The SQL that gives these columns of a row as a JSON array."""

    def rows_as_text(self, columns: Sequence[str], where: str) -> str:
        """The SQL that gives the rows of a group for which ``where`` holds as one JSON array of arrays.

        Where there are none it may give NULL.
        """

    def aside(self) -> Callable[..., Iterable[Sequence[Any]]] | None:
        """Asks the database in any thread, beside any transaction; ``None`` where others write, or it cannot be had."""

    def senseless(self, error: Exception) -> StateError:
        """The error for a value that was read and turns out to make no sense."""

    def count_on(self, connection: sa.Connection) -> None:
        """Rows were written with their numbers: the next rows are to be numbered from there."""

    def changed_elsewhere(self) -> bool:
        """Whether another process has written since this was last asked, or since the opening."""

    def set_aside(self, at: datetime) -> Path:
        """Move a damaged state away, so that the next opening begins a new one, and close; gives its new name."""

    def close(self) -> None:
        """Close the database; a second call does nothing."""


def execute_each(
    connection: "sa.Connection | driver.Connection",
    statement: sa.ClauseElement,
    rows: Sequence[Row],
    *,
    awaited: bool = True,
) -> None:
    """Run one statement for each of ``rows``, which name the same columns; not at all for none.

    It goes faster on PostgreSQL where what it locks is ``awaited`` by nobody.
    """
    if isinstance(connection, driver.Connection):
        if rows:
            connection.run_each(statement, rows)
    elif rows:
        # Core compiles it, once, and the driver gets the rows as they are: Core itself would take every value of every
        # row in its hands, in a first pass over a large fleet for longer than the database needs to store them.
        said, order = _compiled(real(statement), connection.dialect, tuple(rows[0]))
        if not awaited or connection.dialect.name != "postgresql":
            connection.exec_driver_sql(said, list(map(order, rows)))
            return
        # psycopg sends many rows as a pipeline, and a server does not count as idle amid one: the locks of a process
        # that is stopped there would outlive it (seen with 15.18: 16 of 16 such sessions, and 0 of 24 without).
        for row in map(order, rows):
            connection.exec_driver_sql(said, row)


@lru_cache(maxsize=64)
def _compiled(
    statement: sa.ClauseElement, dialect: sa.Dialect, names: tuple[str, ...]
) -> tuple[str, Callable[[Row], Any]]:
    """The text of a statement, and how a row is handed over with it; its values are as they lie in the database."""
    compiled = statement.compile(dialect=dialect, column_keys=list(names))
    places: list[str] | None = getattr(compiled, "positiontup", None)
    if places is None:
        return compiled.string, dict
    return compiled.string, itemgetter(*places) if len(places) > 1 else lambda row: (row[places[0]],)


def upsert_each(connection: sa.Connection, table: sa.Table, rows: Sequence[Row], *, unless_older: str = "") -> None:
    """Insert whole rows, or replace all of the stored ones but their keys.

    A stored row whose time in the column ``unless_older`` is later than the new one's is left as it is.
    """
    if connection.dialect.name == "postgresql" and len(rows) > 1:
        from watchdog.state.batches import upsert_many  # noqa: PLC0415 - most never need it

        upsert_many(connection, real(table), rows, unless_older)
        return
    execute_each(connection, _upsert(connection.dialect.name, table, unless_older), rows)


def delete_each(connection: sa.Connection, table: sa.Table, keys: Iterable[tuple[str | int, ...]]) -> None:
    """Delete the rows with these primary keys; one that is not there is no error."""
    listed = list(keys)
    if listed:
        names = schema.KEYS[table]
        execute_each(connection, _delete(table), [dict(zip(names, key, strict=True)) for key in listed])


@cache
def _upsert(dialect: str, table: sa.Table, unless_older: str) -> sa.ClauseElement:
    return call(upsert, dialect, table, unless_older)


@cache
def _delete(table: sa.Table) -> sa.ClauseElement:
    return call(deletion, table)


def deletion(table: sa.Table) -> sa.ClauseElement:
    """Delete the row with one primary key."""
    core = real(sa)
    keys = (column == core.bindparam(column.name) for column in table.primary_key)
    return core.delete(table).where(*keys)  # type: ignore[no-any-return]  # ``real`` gives any


def upsert(dialect: str, table: sa.Table, unless_older: str = "") -> sa.ClauseElement:
    """The one statement for which Core has no word of its own: both dialects that are thought of spell it alike."""
    insert = import_module(f"sqlalchemy.dialects.{dialect}").insert(table)
    new, names = insert.excluded, [column.name for column in table.columns if not column.primary_key]
    where = None
    if unless_older:
        core = real(sa)
        never, coalesce = core.literal_column("-1"), core.func.coalesce
        where = coalesce(new[unless_older], never) >= coalesce(table.c[unless_older], never)
    values = {name: new[name] for name in names}
    statement: sa.ClauseElement = insert.on_conflict_do_update(
        index_elements=list(table.primary_key), set_=values, where=where
    )
    return statement


@cache
def insert_missing(dialect: str, table: sa.Table) -> sa.ClauseElement:
    """Insert a row, unless there is one with its key."""
    statement: sa.ClauseElement = import_module(f"sqlalchemy.dialects.{dialect}").insert(table).on_conflict_do_nothing()
    return statement
