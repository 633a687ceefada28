"""SQLAlchemy, for who will hardly need it: what is written with it is noted, and made when somebody asks for it.

Importing it costs 0.15 s of CPU, a third of a start, and all that nearly every start wants of it are the texts of
statements that never change. So the modules with the tables and the statements take ``sa`` from here, write as ever,
and get notes of what they wrote. Core makes a note ``real`` at its first real use, also when a note is handed to
Core itself or to one of its connections. ``key`` names what is noted by the whole of it, its tables included: a text
that was stored under it (``texts``) is that of this statement, and a statement that is changed has another key.

Nothing here knows a table, a statement or a database.
"""

import hashlib
import operator
from collections.abc import Callable, Iterator
from enum import Enum
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

__all__ = ["Note", "call", "key", "real", "sa"]

_Value = TypeVar("_Value")


class Note:
    """What was written with SQLAlchemy, and is not made yet. It stands for what it will be wherever that is written."""

    __slots__ = ("_kind", "_known", "_made", "_make", "_parts")

    def __init__(self, kind: str, make: Callable[..., Any], *parts: Any) -> None:
        """``make`` makes it of its ``parts``, once they are real; ``kind`` tells one way of making from another."""
        self._kind = kind
        self._make = make
        self._parts = parts
        self._made: list[Any] = []
        self._known = ""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # of a protocol that this is none of
            raise AttributeError(name)
        if name.startswith("_"):  # Core's own
            return getattr(real(self), name)
        return Note("attribute", getattr, self, name)

    def __call__(self, *values: Any, **named: Any) -> "Note":
        """A note of the call."""
        return Note("call", _called, self, values, named)

    def __getitem__(self, place: Any) -> "Note":
        return Note("item", operator.getitem, self, place)

    def __iter__(self) -> Iterator[Any]:
        return iter(real(self))

    def __invert__(self) -> "Note":
        return Note("invert", operator.invert, self)

    def __add__(self, other: Any) -> "Note":
        return Note("add", operator.add, self, other)

    def __sub__(self, other: Any) -> "Note":
        return Note("sub", operator.sub, self, other)

    def __or__(self, other: Any) -> "Note":
        return Note("or", operator.or_, self, other)

    def __lt__(self, other: Any) -> "Note":
        return Note("lt", operator.lt, self, other)

    def __le__(self, other: Any) -> "Note":
        return Note("le", operator.le, self, other)

    def __gt__(self, other: Any) -> "Note":
        return Note("gt", operator.gt, self, other)

    def __ge__(self, other: Any) -> "Note":
        return Note("ge", operator.ge, self, other)

    def __eq__(self, other: object) -> "Note":  # type: ignore[override]  # as Core has it
        return Note("eq", operator.eq, self, other)

    def __ne__(self, other: object) -> "Note":  # type: ignore[override]  # as Core has it
        return Note("ne", operator.ne, self, other)

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        if self._kind in {"eq", "ne"}:  # asked where notes are keys
            one, other = self._parts
            return (one is other) == (self._kind == "eq")
        raise TypeError("whether it is true is not known before it is made")

    is_clause_element = False

    def __clause_element__(self) -> Any:
        """What Core takes where it is handed a note."""
        return real(self)


def real(value: Any) -> Any:
    """What is noted, made by SQLAlchemy: each note once. What is no note stays as it is."""
    if isinstance(value, Note):
        if not value._made:
            value._made.append(value._make(*map(real, value._parts)))
        return value._made[0]
    if isinstance(value, dict):
        return {real(name): real(each) for name, each in value.items()}
    if isinstance(value, list | tuple) and type(value) in {list, tuple}:
        return type(value)(map(real, value))
    return value


def key(value: Any) -> str:
    """Names what is noted by all that it is made of."""
    if isinstance(value, Note):
        if not value._known:
            said = " ".join((value._kind, *map(key, value._parts)))
            value._known = hashlib.sha256(said.encode()).hexdigest()[:16]
        return value._known
    if isinstance(value, dict):
        return f"{{{','.join(f'{key(name)}:{key(each)}' for name, each in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"({','.join(map(key, value))})"
    if isinstance(value, Enum):
        return repr(value.value)
    return value.__qualname__ if callable(value) else repr(value)


def call(make: Callable[..., _Value], *parts: Any) -> _Value:
    """A note of what ``make``, a function at the top of a module, makes of ``parts`` once they are real."""
    note: Any = Note(f"{make.__module__}.{make.__qualname__}", make, *parts)
    return note  # type: ignore[no-any-return]  # a note stands for what it will be


def _called(what: Callable[..., Any], values: tuple[Any, ...], named: dict[str, Any]) -> Any:
    return what(*values, **named)


if TYPE_CHECKING:
    import sqlalchemy as sa
else:
    sa = Note("sqlalchemy", lambda: import_module("sqlalchemy"))
