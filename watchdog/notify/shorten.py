"""A message made to fit what one service takes. Arithmetic only.

Whole lines are kept, since a line may be a command or a record that is copied, and a last one says how many alerts are
left out and which command shows them. A line is cut only where not even the first one fits. Nothing is split in parts:
a part that gets lost would make the others arrive twice.
"""

from collections.abc import Callable

import msgspec

from watchdog.model.alerts import Message

ALERT = "- "
"""What a line of a message about several alerts begins with where it names one of them."""

_SHOWN_BY = "`certpack-watchdog status`"
_TAIL = len(f"\n… and 99999 more: {_SHOWN_BY}")


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """What a service takes: at most so much of a ``title`` and a ``body``, as ``size`` counts it.

    ``merged``: the title goes into the body, with a line break of two characters between, and counts against it.
    """

    title: int
    body: int
    merged: bool = False
    size: Callable[[str], int] = len


def shortened(message: Message, room: Room) -> tuple[str, str]:
    """The title and the body that arrive there."""
    most = max(room.body - _TAIL, room.body // 2) if room.merged else room.title
    title = _cut(message.title, min(most, room.title or most), room.size)
    left = room.body - (room.size(title) + 2 if room.merged else 0)
    return title, _body(message, left, room.size)


def _body(message: Message, most: int, size: Callable[[str], int]) -> str:
    if size(message.body) <= most:
        return message.body
    lines = message.body.split("\n")
    kept = len(lines)
    while kept:
        kept -= 1
        text = "\n".join((*_without_blank_end(lines[:kept]), _tail(message, lines[:kept])))
        if size(text) <= most and kept:
            return text
    tail = _tail(message, [])
    room = most - size(tail) - 1
    first = _cut(lines[0], room, size) if room > len(tail) // 2 else ""
    return f"{first}\n{tail}" if first else _cut(tail, most, size)


def _tail(message: Message, kept: list[str]) -> str:
    """How much is left out after the lines that are kept, and what shows it."""
    listed = sum(line.startswith(ALERT) for line in kept)
    left = message.total - listed if message.total > 1 else 0
    if left <= 0 or any(line.startswith("… and ") for line in kept):
        return f"… more: {_SHOWN_BY}"
    return f"… and {left} more: {_SHOWN_BY}"


def _without_blank_end(lines: list[str]) -> list[str]:
    kept = len(lines)
    while kept and not lines[kept - 1].strip():
        kept -= 1
    return lines[:kept]


def _cut(text: str, most: int, size: Callable[[str], int]) -> str:
    if size(text) <= most:
        return text
    kept = min(len(text), max(most, 0))
    while kept and size(text[:kept].rstrip() + "…") > most:
        kept -= 1
    return text[:kept].rstrip() + "…" if kept else ""
