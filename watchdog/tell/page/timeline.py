"""The picture of a pack: its statuses and restarts over the last 30 days. Numbers only."""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import msgspec

from watchdog.model.clock import span
from watchdog.model.event_names import EventName
from watchdog.model.history import JournalLine, Remembered
from watchdog.model.packs import EXPIRED, GOING_AWAY, HEALTHY, IN_PROGRESS, OTHER_STAGE_TIMED_OUT, VALIDATION_TIMED_OUT
from watchdog.model.text import counted

SHOWN = timedelta(days=30)

WIDTH, HEIGHT = 720, 40
_TICK = 9
"""How high a restart is, over all bars."""

_HEIGHTS = {"well": 8, "busy": 16, "late": 26, "away": 5, "blank": 2}
"""How high each kind stands, so that it can be told without colours."""

_THINNEST = 3.0
"""What lasted a minute is seen all the same."""

_FACT = re.compile(r"(?:^| )(before|status|old_pack_id)=(\S+)")


class Stretch(msgspec.Struct, frozen=True):
    """From when to when a pack was of one kind: ``well``, ``busy``, ``late``, ``away``, or ``blank`` (not known)."""

    begins: datetime
    ends: datetime
    kind: str


class Bar(msgspec.Struct, frozen=True):
    """A rectangle of the picture, of the kind that the style sheet colours."""

    kind: str
    x: float
    y: float
    width: float
    height: float


class Story(msgspec.Struct):
    """What is known of one pack's last 30 days."""

    begins: datetime
    ends: datetime
    stretches: list[Stretch] = msgspec.field(default_factory=list)
    restarts: list[datetime] = msgspec.field(default_factory=list)

    def words(self) -> str:
        """The same for whoever does not see the picture."""
        late = sum((each.ends - each.begins for each in self.stretches if each.kind == "late"), timedelta(0))
        known = sum((each.ends - each.begins for each in self.stretches if each.kind != "blank"), timedelta(0))
        parts = [f"timed out or expired for {span(late)}" if late else "never timed out or expired"]
        parts.append(counted(len(self.restarts), "restart") if self.restarts else "no restart")
        return f"The last {span(known)}: {', '.join(parts)}."

    def bars(self) -> list[Bar]:
        """The picture: bars that stand on the ground, and above them the restarts."""
        length = (self.ends - self.begins).total_seconds()

        def across(at: datetime) -> float:
            return (at - self.begins).total_seconds() / length * WIDTH

        bars = []
        for each in self.stretches:
            left, high = across(each.begins), _HEIGHTS[each.kind]
            bars.append(
                Bar(each.kind, x=left, y=HEIGHT - high, width=max(across(each.ends) - left, _THINNEST), height=high)
            )
        half = _THINNEST / 2
        return bars + [Bar("restart", x=across(at) - half, y=2, width=_THINNEST, height=_TICK) for at in self.restarts]


def story(known: Remembered, lines: Iterable[JournalLine], now: datetime) -> Story:
    """A pack's last 30 days, from the lines about it and its predecessors, oldest first.

    What a pack was before its first line is only known where it was well: that is when there are no lines.
    """
    begins = now - SHOWN
    told = Story(begins, now)
    place, status, first = begins, "", None
    for line in lines:
        if not begins <= line.at <= now:
            continue
        first = first or line.at
        if line.event == EventName.RESTART_SENT:
            told.restarts.append(line.at)
        change = _change(line, status)
        if change is None:
            continue
        before, after = change
        if not status and _kind(before) != "well":
            told.stretches.append(Stretch(place, first, "blank"))
            place = first
        told.stretches.append(Stretch(place, line.at, _kind(before)))
        place, status = line.at, after
    if status != known.pack.status:
        since = max(place, min(known.since, now))
        told.stretches.append(Stretch(place, since, _kind(status)))
        place = since
    told.stretches.append(Stretch(place, now, _kind(known.pack.status)))
    told.stretches = [each for each in told.stretches if each.ends > each.begins]
    return told


def _change(line: JournalLine, status: str) -> tuple[str, str] | None:
    """From what to what a pack changed, if a line says so; ``status`` is what was known of it."""
    facts = dict(_FACT.findall(line.detail))
    if "status" not in facts:
        return None
    if line.event in (EventName.PACK_CHANGED, EventName.PACK_REPLACED):
        return facts.get("before", status), facts["status"]
    if line.event == EventName.RESTART_SENT:
        return status or VALIDATION_TIMED_OUT, facts["status"]
    return None


def by_pack(lines: Sequence[tuple[int, JournalLine]]) -> dict[str, list[JournalLine]]:
    """The lines of a zone by the packs that stand there now, oldest first; what a pack replaced is its own past."""
    found: dict[str, list[JournalLine]] = {}
    for _, line in reversed(lines):
        past = dict(_FACT.findall(line.detail)).get("old_pack_id") if line.event == EventName.PACK_REPLACED else None
        if past is not None:
            found.setdefault(line.pack_id, []).extend(found.pop(past, []))
        found.setdefault(line.pack_id, []).append(line)
    return found


def _kind(status: str) -> str:
    if status in HEALTHY:
        return "well"
    if status in IN_PROGRESS:
        return "busy"
    if status in (VALIDATION_TIMED_OUT, EXPIRED) or status in OTHER_STAGE_TIMED_OUT:
        return "late"
    return "away" if status in GOING_AWAY else "blank"
