"""The silences that hold, for somebody at a terminal: what ``silence list`` prints."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from watchdog.model.silences import Silence
from watchdog.model.text import clean
from watchdog.tell.times import moment
from watchdog.tell.wrapping import wrapped

_LONGEST = 1000


def silence_lines(silences: Sequence[Silence], now: datetime, width: int) -> Iterator[str]:
    """One silence after the other, in lines of that many columns."""
    for each in silences:
        about = f"{each.zone} {each.pack_id}" if each.pack_id else f"{each.zone}, all packs"
        said = f"{each.id}  {about}: nobody is told until {moment(each.until, now)}. {each.comment}"
        yield from wrapped(clean(said, _LONGEST), width, "", " " * 4)
    if not silences:
        yield "no silence holds"
