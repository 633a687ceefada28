"""PostgreSQL as the state's ``Database``: a schema that several replicas share, and its settings.

What only PostgreSQL has is here and in ``postgresql_errors``, ``libpq``, ``patient`` and ``batches``: the kinds of
transaction, the lock of migrations. Every transaction says for itself what it needs (``SET LOCAL``), so that all of it
works through PgBouncer in transaction mode. Made by ``opening`` alone; may be used in several threads.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from watchdog.state import schema
from watchdog.state.database import StateDamaged, StateError
from watchdog.state.libpq import connector
from watchdog.state.migrations import HEAD
from watchdog.state.migrations.upgrade import UpgradeError, revision_of, upgrade
from watchdog.state.postgresql_errors import LOCK, OF_THE_STATE, SILENT, sentence
from watchdog.state.quarantine import Quarantined

_AT_ONCE = 2
"""Connections: one of the thread that the store is used in, one of the leases, which must not wait for it."""

_STOPPED = "3s"
"""How long a transaction may be open with nothing said in it: a process that is stopped inside one must not keep the
others from its accounts for longer than that."""

_ROOM = "ALTER TABLE zones SET (fillfactor = 60); ALTER TABLE leases SET (fillfactor = 60)"
"""A row that every look or beat writes finds room on its page, and then no index is written (docs/scale.md)."""

NOW: sa.ColumnElement[int] = sa.literal_column(
    "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)", sa.BigInteger
)
"""The server's own time when a statement comes to it, as times are stored."""


class PostgreSQL:
    """An open schema."""

    damage: StateDamaged | None = None
    lost: Quarantined | None = None
    exclusive = False
    now: sa.ColumnElement[int] | None = NOW

    def __init__(self, url: str, *, member: bool) -> None:
        """A ``member`` is a daemon, which holds leases; what others write is noted, so that daemons look for it."""
        self._member = member
        connect, options, self.schema = connector(url)
        self._secret = str(options.get("password") or "")
        place = options.get("host") or options.get("hostaddr") or options.get("service") or "the local socket"
        self.name = f"the state {options.get('dbname') or 'database'} at {place} (schema {self.schema})"
        self._engine = sa.create_engine(
            "postgresql+psycopg://",
            creator=connect,
            pool_size=_AT_ONCE,
            max_overflow=0,
            pool_timeout=5,
            pool_pre_ping=True,
            use_native_hstore=False,
        )
        self._writes = 0

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """One transaction that sees one moment."""
        with self._transaction("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY", reading=True) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """One transaction; durable when this ends. Who must not be written beside locks the lease of its account."""
        with self._transaction("SET TRANSACTION ISOLATION LEVEL READ COMMITTED") as connection:
            yield connection
            if not self._member:
                connection.execute(_WRITTEN_OUTSIDE)

    def ask(self, connection: sa.Connection, said: str, given: Mapping[str, Any]) -> Iterable[Sequence[Any]]:
        """The rows that a text gives."""
        return connection.execute(sa.text(said), given)

    def row_as_text(self, columns: Sequence[str]) -> str:
        """The SQL as PostgreSQL has it."""
        return f"CAST(json_build_array({', '.join(columns)}) AS text)"

    def rows_as_text(self, columns: Sequence[str], where: str) -> str:
        """The SQL as PostgreSQL has it."""
        return f"'[' || string_agg(CASE WHEN {where} THEN {self.row_as_text(columns)} END, ',') || ']'"

    def aside(self) -> None:
        """``None``: others write, too."""

    def senseless(self, error: Exception) -> StateError:
        """The error for a row that no program of ours has written."""
        return self._sentence(error, reading=True)

    def count_on(self, connection: sa.Connection) -> None:
        """Number the next rows of each table from its highest number on."""
        for table in schema.metadata.sorted_tables:
            if (column := table.autoincrement_column) is not None:
                sequence = sa.func.pg_get_serial_sequence(f"{self.schema}.{table.name}", column.name)
                last = sa.select(sa.func.coalesce(sa.func.max(column), 0) + 1).scalar_subquery()
                connection.execute(sa.select(sa.func.setval(sequence, last, sa.false())).where(sequence.is_not(None)))

    def changed_elsewhere(self) -> bool:
        """Whether somebody has written who holds no lease, since this was last asked, or since the opening."""
        with self.reading() as connection:
            before, self._writes = self._writes, int(connection.execute(_OUTSIDE).scalar_one())
        return self._writes != before

    def set_aside(self, at: datetime) -> Path:  # noqa: ARG002  as Database has it
        """Always a ``StateError``: a server sees to its own files."""
        raise StateError(f"{self.name} is not set aside: restore it from a copy")

    def close(self) -> None:
        """Close the connections; a second call does nothing."""
        self._engine.dispose()

    def is_there(self) -> bool:
        """Whether there are tables of a state."""
        with self._transaction() as connection:
            return bool(revision_of(connection))

    def prepare(self, *, migrate: bool) -> None:
        """The tables, brought up to date by one process at a time, or refused."""
        with self._transaction() as connection:
            revision = revision_of(connection)
        if revision != HEAD:
            if not migrate:
                with self._errors():
                    raise UpgradeError(
                        "is not there yet: nothing has run with this configuration"
                        if not revision
                        else "is not up to date yet: the daemon brings it up to date when it starts"
                    )
            with self._transaction() as connection, _waiting_for_ever(connection):
                connection.exec_driver_sql("SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0")
                connection.execute(_LOCK_MIGRATIONS, {"key": _key(self.schema)})
                if connection.execute(_HAS_SCHEMA, {"name": self.schema}).first() is None:
                    connection.execute(sa.schema.CreateSchema(self.schema))
                upgrade(connection)  # which looks again: another may have been faster
                connection.exec_driver_sql(_ROOM)
        with self.reading() as connection:
            self._writes = int(connection.execute(_OUTSIDE).scalar_one())

    @contextmanager
    def _transaction(self, begin: str = "", *, reading: bool = False) -> Iterator[sa.Connection]:
        with self._errors(reading=reading), self._engine.begin() as connection:
            # In one go, and each for this transaction alone: behind a pooler the next has another connection.
            connection.exec_driver_sql(
                f"{begin + '; ' if begin else ''}SET LOCAL search_path TO {self.schema};"
                f" SET LOCAL idle_in_transaction_session_timeout = '{_STOPPED}';"
                f" SET LOCAL lock_timeout = '{LOCK}'; SET LOCAL statement_timeout = '{SILENT}'"
            )
            yield connection

    @contextmanager
    def _errors(self, *, reading: bool = False) -> Iterator[None]:
        """Where every error becomes a sentence; while ``reading``, a value that makes no sense does too."""
        try:
            yield
        except OF_THE_STATE as error:
            raise self._sentence(error, reading=reading) from error

    def _sentence(self, error: Exception, *, reading: bool) -> StateError:
        return sentence(self.name, self._secret, error, reading=reading)


_OUTSIDE = sa.select(schema.meta.c.outside_writes)
_WRITTEN_OUTSIDE = sa.update(schema.meta).values(outside_writes=schema.meta.c.outside_writes + 1)
_LOCK_MIGRATIONS = sa.select(sa.func.pg_advisory_xact_lock(sa.bindparam("key", type_=sa.BigInteger)))
_HAS_SCHEMA = sa.text("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = :name")


@contextmanager
def _waiting_for_ever(connection: sa.Connection) -> Iterator[None]:
    driver: Any = connection.connection.driver_connection
    driver.waits_for_ever = True
    try:
        yield
    finally:
        driver.waits_for_ever = False


def _key(name: str) -> int:
    """The advisory lock of one schema's migrations."""
    digest = hashlib.sha256(f"certpack-watchdog {name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
