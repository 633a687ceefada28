"""The silences on disk: written by the command, read by the daemon beside it, and forgotten when they end.

Functions over the connection of a transaction that ``store`` has begun.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from watchdog.model.silences import Silence
from watchdog.state import schema
from watchdog.state.deferred import sa
from watchdog.state.rows import row_of, value_of

_s = schema.silences.c
_ALL = sa.select(schema.silences).order_by(_s.id)
_ADD = sa.insert(schema.silences)
_END = sa.delete(schema.silences).where(_s.id == sa.bindparam("which"))


def load(connection: sa.Connection) -> tuple[Silence, ...]:
    """All of them, also those whose time is over, in the order they were added."""
    return tuple(value_of(Silence, row) for row in connection.execute(_ALL).mappings())


def add(connection: sa.Connection, silence: Silence) -> Silence:
    """Store a silence; gives it with its id, which no other ever has."""
    row = {name: value for name, value in row_of(silence).items() if name != "id"}
    key = connection.execute(_ADD, row).inserted_primary_key
    return replace(silence, id=int(key[0])) if key is not None else silence


def end(connection: sa.Connection, silences: Iterable[Silence]) -> list[Silence]:
    """Forget these; gives those that were still there."""
    return [each for each in silences if connection.execute(_END, {"which": each.id}).rowcount]
