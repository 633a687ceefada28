"""A connection to SQLite by Python's own driver, which takes Core's statements as a connection of Core does.

What of ``sqlalchemy.Connection`` this room uses, and no more: a statement's text comes from ``texts``, its values go to
the driver as they are, and rows come back as they lie in the database. ``sqlite`` makes one.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from types import SimpleNamespace
from typing import Any

from watchdog.state.texts import text_of

_ONE = SimpleNamespace(name="sqlite")


def execute(raw: sqlite3.Connection, text: str, values: Sequence[Any] | Mapping[str, Any]) -> sqlite3.Cursor:
    """Run a text of SQLite's own. ``values`` that no database could be asked with are a ``sqlite3.DataError``.

    What the driver raises for them would else be taken for a row that makes no sense.
    """
    try:
        return raw.execute(text, values)
    except (OverflowError, UnicodeEncodeError) as error:
        raise sqlite3.DataError(str(error)) from error


class Result:
    """What a statement gave, to be read once."""

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self._cursor = cursor

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self._cursor)

    @property
    def rowcount(self) -> int:
        """How many rows were changed."""
        return self._cursor.rowcount

    @property
    def inserted_primary_key(self) -> tuple[int | None]:
        """The number of the row that was inserted."""
        return (self._cursor.lastrowid,)

    def all(self) -> list[tuple[Any, ...]]:
        """Every row."""
        return self._cursor.fetchall()

    def first(self) -> tuple[Any, ...] | None:
        """The first row, if there is one."""
        row: tuple[Any, ...] | None = self._cursor.fetchone()
        self._cursor.close()
        return row

    def one(self) -> tuple[Any, ...]:
        """The row there is; a ``ValueError`` where there is none."""
        row = self.first()
        if row is None:
            raise ValueError("a row is missing")
        return row

    def scalar(self) -> Any:
        """The first value of the first row, ``None`` where there is none."""
        row = self.first()
        return None if row is None else row[0]

    def scalar_one(self) -> Any:
        """The first value of the row there is; a ``ValueError`` where there is none."""
        return self.one()[0]

    def scalars(self) -> "Scalars":
        """The first value of each row."""
        return Scalars(self._cursor)

    def mappings(self) -> "Mappings":
        """The rows by the names of their columns."""
        return Mappings(self._cursor)

    def close(self) -> None:
        """Let go of what is left."""
        self._cursor.close()


class Scalars:
    """The first value of each row."""

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self._cursor = cursor

    def __iter__(self) -> Iterator[Any]:
        return (row[0] for row in self._cursor)

    def all(self) -> list[Any]:
        """Every first value."""
        return list(self)


class Mappings:
    """Rows by the names of their columns."""

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self._cursor = cursor
        self._names = [column[0] for column in cursor.description]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (dict(zip(self._names, row, strict=True)) for row in self._cursor)

    def all(self) -> list[dict[str, Any]]:
        """Every row."""
        return list(self)

    def first(self) -> dict[str, Any] | None:
        """The first row, if there is one."""
        return next(iter(self), None)


class Connection:
    """An open SQLite database. The driver begins no transaction of its own accord."""

    dialect = _ONE
    """Its name, as a connection of Core tells it."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self.raw = raw

    def execute(self, statement: Any, values: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None) -> Result:
        """Run one statement, with values for its parameters, or with several of each."""
        if isinstance(values, Sequence):
            return self.run_each(statement, values)
        text = text_of(statement, tuple(values or ()))
        given = {**text.fixed, **values} if values else text.fixed
        return Result(execute(self.raw, text.sql, [given[place] for place in text.places]))

    def run_each(self, statement: Any, rows: Sequence[Mapping[str, Any]]) -> Result:
        """Run one statement for each of ``rows``, at least one, which name the same columns."""
        text = text_of(statement, tuple(rows[0]))
        if text.fixed:
            rows = [text.fixed | row for row in rows]  # type: ignore[operator]  # every row here is a dict
        places = text.places
        several = itemgetter(*places) if len(places) > 1 else lambda row: (row[places[0]],)
        return Result(self.raw.executemany(text.sql, map(several, rows)))

    def exec_driver_sql(self, text: str, values: Sequence[Any] = ()) -> Result:
        """Run a text of SQLite's own."""
        return Result(execute(self.raw, text, values))
