"""What happened, told in its order: the journal for people, by the local clock, as wide as the terminal is."""

from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime

from watchdog.model.history import JournalLine
from watchdog.model.text import clean
from watchdog.tell.times import localised
from watchdog.tell.wrapping import wrapped

_LONGEST = 2000
_INDENT = " " * 12


def timeline(events: Iterable[JournalLine], now: datetime, width: int, short: Callable[[str], str]) -> Iterator[str]:
    """The lines of the journal, oldest first as they are given, under a heading for each day.

    ``short`` gives the beginning of a pack's id that is enough for a command.
    """
    day: date | None = None
    for line in events:
        local = line.at.astimezone()
        if local.date() != day:
            if day is not None:
                yield ""
            day = local.date()
            yield f"{local:%A} {local.day} {local:%B %Y}, {local:%Z}"
        about = " ".join(part for part in (line.zone or line.account, short(line.pack_id)) if part)
        reason = f" ({line.reason})" if line.reason else ""
        head = clean(f"{line.event}{reason}: {about}" if about else f"{line.event}{reason}", _LONGEST)
        yield from wrapped(head, width, f"  {local:%H:%M:%S}  ", _INDENT)
        if line.detail:
            yield from wrapped(localised(clean(line.detail, _LONGEST), now), width, _INDENT, _INDENT)
