"""Everything that one database holds, into another that has the same tables. Called by ``store``.

What is about processes (leases, replicas, the clock that times were noted by) stays behind where a state moves.
"""

from typing import Any

import msgspec

from watchdog.model.clock import Anchor
from watchdog.state import clocks, schema
from watchdog.state.bookings import SHARED
from watchdog.state.database import Database, StateError, StateInUse, execute_each
from watchdog.state.deferred import real, sa
from watchdog.state.rows import from_micros, to_micros

_STAYS = (schema.leases, schema.replicas, schema.meta)
_ALIVE = sa.select(schema.replicas.c.name).where(schema.replicas.c.expires > sa.bindparam("now")).order_by("name")
_LAST_MESSAGE = sa.select(schema.meta.c.last_message)


class Moved(msgspec.Struct, frozen=True):
    """How many zones and packs were copied, and how many rows in all."""

    zones: int
    packs: int
    rows: int


def copy_rows(source: Database, target: Database) -> None:
    """Copy everything, as of one moment, in place of whatever ``target`` has: all of it or nothing."""
    tables = list(schema.metadata.sorted_tables)
    with source.reading() as connection:
        found = {table.name: connection.execute(sa.select(table)).mappings().all() for table in tables}
    with target.writing() as connection:
        for table in reversed(tables):
            connection.execute(sa.delete(table))
        for table in tables:
            if found[table.name]:
                connection.execute(sa.insert(table), [dict(row) for row in found[table.name]])


def move_rows(source: Database, target: Database, now: Anchor) -> Moved:
    """Copy a state that nobody works on into an empty one, of whatever kind: all of it or nothing.

    ``now`` is what the clocks of this machine say. Raises ``StateInUse`` and ``StateError``.
    """
    stays, bookings = real(_STAYS), real(schema.bookings.name)
    moved = [table for table in schema.metadata.sorted_tables if table not in stays]
    with source.reading() as connection:
        there = _clock(connection, source, now)
        _see_that_nobody_works(connection, source, there)
        found = {table.name: _rows(connection, table) for table in moved}
        last_message = connection.execute(_LAST_MESSAGE).scalar_one()
    with target.writing() as connection:
        here = _clock(connection, target, now)
        _see_that_nobody_works(connection, target, here)
        if any(connection.execute(sa.select(table).limit(1)).first() for table in moved):
            raise StateError(f"{target.name} holds a state already: name an empty one")
        found[bookings] = [
            row | {"boot": here.boot, "until": row["until"] - there.monotonic + here.monotonic}
            for row in found[bookings]
            if row["boot"] == there.boot
        ]
        for table in moved:
            execute_each(connection, sa.insert(table), found[table.name], awaited=False)
        clocks.shift(connection, here.at - there.at)
        connection.execute(sa.update(schema.meta).values(last_message=last_message))
        target.count_on(connection)
    return Moved(len(found["zones"]), len(found["packs"]), sum(map(len, found.values())))


def _clock(connection: sa.Connection, database: Database, now: Anchor) -> Anchor:
    """By which the times of a state are counted, and its bookings: the machine's, or that of a shared database."""
    if database.now is None:
        return now
    at = from_micros(connection.execute(sa.select(database.now)).scalar_one())
    return Anchor(at, at.timestamp(), SHARED)


def _see_that_nobody_works(connection: sa.Connection, database: Database, now: Anchor) -> None:
    """Where the opening keeps nobody out."""
    alive = connection.execute(_ALIVE, {"now": to_micros(now.at)}).scalars().all()
    if not database.exclusive and alive:
        raise StateInUse(f"{database.name} is worked on by {', '.join(alive)}: stop every replica first")


def _rows(connection: sa.Connection, table: sa.Table) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(sa.select(table)).mappings()]
