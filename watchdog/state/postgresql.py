"""PostgreSQL as the state's ``Database``: a schema that several replicas share, its settings, its errors in sentences.

What only PostgreSQL has is here: the connection's options, the kinds of transaction, the lock of migrations. Every
transaction says for itself what it needs (``SET LOCAL``), so that all of it works through PgBouncer in transaction
mode. psycopg is imported when a state is opened, not before: who uses SQLite need not have it. Called by ``store``
alone; may be used in several threads.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError

from watchdog.model.text import clean
from watchdog.state import schema
from watchdog.state.database import StateDamaged, StateError, StateTooNew
from watchdog.state.migrations import HEAD
from watchdog.state.migrations.upgrade import TooNew, UpgradeError, revision_of, upgrade
from watchdog.state.quarantine import Quarantined

SCHEMA = "certpack_watchdog"
"""Where the tables are when the URL names no schema: no other program's tables are there."""

CONNECTION: Mapping[str, Any] = {
    "application_name": "certpack-watchdog",
    "connect_timeout": 5,
    # Both, for cut off in the middle each alone waits for more than 25 s: the one while it sends, the others while it
    # waits for an answer.
    "tcp_user_timeout": 5000,
    "keepalives": 1,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 3,
}
"""What is asked of libpq where the URL says nothing of it: a connection that is cut is noticed within some 5 s."""

_AT_ONCE = 2
"""Connections: one of the thread that the store is used in, one of the leases, which must not wait for it."""

_STOPPED = "3s"
"""How long a transaction may be open with nothing said in it: a process that is stopped inside one must not keep the
others from its accounts for longer than that."""

_LOCK = "5s"
"""How long to wait for another's lock: each is held for well under a second."""

_SILENT = "10s"
"""How long one statement may take."""

_ROOM = "ALTER TABLE zones SET (fillfactor = 60); ALTER TABLE leases SET (fillfactor = 60)"
"""A row that every look or beat writes finds room on its page, and then no index is written (docs/scale.md)."""

NOW: sa.ColumnElement[int] = sa.literal_column(
    "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)", sa.BigInteger
)
"""The server's own time when a statement comes to it, as times are stored."""

_SENTENCES = {
    "28": "refuses the user or the password",
    "3D": "has no such database",
    "42501": "does not permit this user to do that",
    "53": "has no room left: its disk, its memory or its connections are used up",
    "25006": "is read-only: a standby, or a server that is being moved",
    "55P03": f"has a lock that another process holds for more than {_LOCK}",
    "57014": f"takes longer than {_SILENT} for a statement",
    "57P": "is being shut down",
}
"""By SQLSTATE, or how it begins."""

_SENSELESS = (ValueError, TypeError, OverflowError, msgspec.MsgspecError)


class PostgreSQL:
    """An open schema. Made by ``open_database``."""

    damage: StateDamaged | None = None
    lost: Quarantined | None = None
    exclusive = False
    now: sa.ColumnElement[int] | None = NOW

    def __init__(self, url: str, *, member: bool) -> None:
        """A ``member`` is a daemon, which holds leases; what others write is noted, so that daemons look for it."""
        self._member = member
        psycopg, connect = _driver()
        try:
            options, self.schema = _options(psycopg, url)
        except psycopg.Error as error:
            raise StateError(f"state.url is not understood: {_without_excerpt(str(error))}") from None
        self._secret = str(options.get("password") or "")
        place = options.get("host") or options.get("hostaddr") or options.get("service") or "the local socket"
        self.name = f"the state {options.get('dbname') or 'database'} at {place} (schema {self.schema})"
        self._engine = sa.create_engine(
            "postgresql+psycopg://",
            # libpq reads the URL itself, with several hosts, services and whatever else it knows.
            creator=lambda: connect(**{**CONNECTION, **options}, prepare_threshold=None),
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
        """As PostgreSQL writes JSON."""
        return f"CAST(json_build_array({', '.join(columns)}) AS text)"

    def rows_as_text(self, columns: Sequence[str], where: str) -> str:
        """The same of many."""
        return f"'[' || string_agg(CASE WHEN {where} THEN {self.row_as_text(columns)} END, ',') || ']'"

    def aside(self) -> None:
        """Others write, too."""

    def senseless(self, error: Exception) -> StateError:
        """There is a row that no program of ours has written."""
        return self._sentence(error, reading=True)

    def count_on(self, connection: sa.Connection) -> None:
        """Rows with numbers of their own were written: those to come are numbered from there."""
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
        """Never: a server sees to its own files."""
        raise StateError(f"{self.name} is not set aside: restore it from a copy")

    def close(self) -> None:
        """Let go of the connections; a second call does nothing."""
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
                f" SET LOCAL lock_timeout = '{_LOCK}'; SET LOCAL statement_timeout = '{_SILENT}'"
            )
            yield connection

    @contextmanager
    def _errors(self, *, reading: bool = False) -> Iterator[None]:
        """Where every error becomes a sentence. While ``reading``, a value that makes no sense is one as well."""
        try:
            yield
        except TooNew as error:
            raise StateTooNew(f"{self.name} {error}: run that version, or restore a copy from before") from error
        except UpgradeError as error:
            said = str(error).replace("choose another path in state.url", "name another schema in state.url")
            raise StateError(f"{self.name} {said}") from error
        except (SQLAlchemyError, *_SENSELESS) as error:
            raise self._sentence(error, reading=reading) from error

    def _sentence(self, error: Exception, *, reading: bool) -> StateError:
        cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        state = str(getattr(cause, "sqlstate", None) or "")
        said = _unsaid(str(cause), self._secret)
        for code, sentence in _SENTENCES.items():
            if state.startswith(code):
                return StateError(f"{self.name} {sentence}: {clean(said)}")
        if isinstance(error, sa.exc.TimeoutError | OperationalError | InterfaceError):
            return StateError(f"{self.name} cannot be reached: {clean(said)}")
        senseless = reading and isinstance(cause, _SENSELESS)
        return StateError(
            f"{self.name} {'holds what makes no sense' if senseless else 'cannot be used'}: {clean(said)}"
        )


def open_database(url: str, *, exclusive: bool) -> PostgreSQL:
    """Open the state at ``postgresql://…``.

    ``exclusive`` is the daemon's way, which creates what is missing and migrates what is old; it keeps nobody out, as
    leases do that. Raises ``StateTooNew``, and ``StateError`` for whatever else is wrong with it.
    """
    database = PostgreSQL(url, member=exclusive)
    try:
        database.prepare(migrate=exclusive)
    except BaseException:
        database.close()
        raise
    return database


def open_if_there(url: str) -> PostgreSQL | None:
    """Open the state at ``postgresql://…`` to be read; ``None`` where nothing has run with it. Raises as above."""
    database = PostgreSQL(url, member=False)
    try:
        if not database.is_there():
            database.close()
            return None
        database.prepare(migrate=False)
    except BaseException:
        database.close()
        raise
    return database


_OUTSIDE = sa.select(schema.meta.c.outside_writes)
_WRITTEN_OUTSIDE = sa.update(schema.meta).values(outside_writes=schema.meta.c.outside_writes + 1)
_LOCK_MIGRATIONS = sa.select(sa.func.pg_advisory_xact_lock(sa.bindparam("key", type_=sa.BigInteger)))
_HAS_SCHEMA = sa.text("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = :name")


def _driver() -> tuple[Any, Callable[..., Any]]:
    """psycopg, and what gives a connection."""
    try:
        return import_module("psycopg"), import_module("watchdog.state.patient").PatientConnection.connect
    except ImportError:
        raise StateError(
            "a state on PostgreSQL needs the extra `postgresql`: pip install certpack-watchdog[postgresql]"
        ) from None


@contextmanager
def _waiting_for_ever(connection: sa.Connection) -> Iterator[None]:
    driver: Any = connection.connection.driver_connection
    driver.waits_for_ever = True
    try:
        yield
    finally:
        driver.waits_for_ever = False


def _options(psycopg: Any, url: str) -> tuple[dict[str, Any], str]:
    """What libpq is asked for, and the name of the schema."""
    address, _, query = url.partition("?")
    rest = [each for each in query.split("&") if each and not each.startswith("schema=")]
    named = re.findall(r"(?:^|&)schema=([^&]*)", query)
    said = f"{address}?{'&'.join(rest)}" if rest else address
    return psycopg.conninfo.conninfo_to_dict(said), named[0] if named else SCHEMA


def _key(name: str) -> int:
    """The advisory lock of one schema's migrations."""
    digest = hashlib.sha256(f"certpack-watchdog {name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def _without_excerpt(text: str) -> str:
    """What libpq says of a URL, without the part of it that comes last: that may be a password, however it is written.

    >>> _without_excerpt('invalid percent-encoded token: "s3%cret"')
    'invalid percent-encoded token'
    """
    said, found, _ = text.partition(': "')
    return clean(said) if found else "libpq cannot read it"


def _unsaid(text: str, secret: str) -> str:
    return text.replace(secret, "***") if secret else text
