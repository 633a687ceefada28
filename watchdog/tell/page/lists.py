"""Long lists in pages of their own: which part is shown, and the way to the others."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

import msgspec

T = TypeVar("T")


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """The way to the other parts; empty where there are none. ``left`` items come after these."""

    name: str
    before: str
    after: str
    left: int


class Part(msgspec.Struct, Generic[T], frozen=True):
    """One part of a list."""

    rows: list[T]
    turn: Turn


def part(
    name: str,
    items: Sequence[T],
    size: int,
    asked: Mapping[str, str],
    shown: Callable[[T], Any],
    keep: Mapping[str, str] | None = None,
) -> Part[Any]:
    """The part of ``items`` that is asked for by its number under ``name``; ``keep`` goes into the links.

    A number that makes no sense is the first; one behind the end is the last.
    """
    text = asked.get(name, "")
    last = max(0, (len(items) - 1) // size)
    number = int(text) - 1 if re.fullmatch(r"[0-9]{1,7}", text) else 0
    number = max(0, min(number, last))
    start = number * size

    def link(there: int) -> str:
        return f"?{urlencode({**(keep or {}), name: there + 1})}#{name}"

    left = len(items) - start - size
    turn = Turn(
        name=name,
        before=link(number - 1) if number else "",
        after=link(number + 1) if left > 0 else "",
        left=max(left, 0),
    )
    return Part([shown(item) for item in items[start : start + size]], turn)
