"""The texts of statements as SQLite takes them: stored with the program, or made by SQLAlchemy where they are not.

``statements.json`` is made by ``tools.generate``, which has Core say every statement that ``store`` and its modules
say; a test holds it to that. A statement is looked up by all that it is made of (``deferred.key``), so what is stored
is never that of another. ``driver`` alone calls this.
"""

from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from watchdog.state import deferred
from watchdog.state.deferred import Note

_STORED = "statements.json"


class Text(NamedTuple):
    """A statement as the driver takes it. ``places`` are the names of its parameters in their order.

    ``fixed`` are the values of those that belong to the statement.
    """

    sql: str
    places: tuple[str, ...]
    fixed: dict[str, Any]


class Stored(msgspec.Struct, frozen=True):
    """What lies in the file: how a new state's tables are made, and the statements by key and names of columns."""

    tables: list[str]
    statements: dict[str, Text]


@cache
def stored() -> Stored:
    """What was stored with the program."""
    return msgspec.json.decode(Path(__file__).with_name(_STORED).read_bytes(), type=Stored)


made: dict[str, Text] = {}
"""The texts that had to be made in this process, by what they are stored under."""


def text_of(statement: Any, names: Sequence[str]) -> Text:
    """The text of a statement that is given values for these ``names``."""
    if not isinstance(statement, Note):
        return make(statement, names)
    under = f"{deferred.key(statement)} {','.join(sorted(names))}"
    return stored().statements.get(under) or _made(under, statement, tuple(names))


@lru_cache(maxsize=256)
def _made(under: str, statement: Note, names: tuple[str, ...]) -> Text:
    text = made[under] = make(deferred.real(statement), names)
    return text


def make(statement: Any, names: Sequence[str]) -> Text:
    """As Core says it."""
    from sqlalchemy.dialects.sqlite import dialect  # noqa: PLC0415  0.15 s, and most never need it

    compiled = statement.compile(dialect=dialect(), column_keys=list(names) or None)
    # Where a list of values is in it, its places are made of the values; names that are given have theirs later.
    said = compiled.construct_expanded_state(dict.fromkeys(names) | dict.fromkeys(_required(compiled)))
    places = tuple(said.positiontup or ())
    fixed = {name: value for name, value in said.parameters.items() if name in places and name not in names}
    return Text(said.statement, places, fixed)


def _required(compiled: Any) -> list[str]:
    return [each.key for each in compiled.binds.values() if each.required]
