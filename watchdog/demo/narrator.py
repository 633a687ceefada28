"""Tells each story of the demo in one line, once it has ended: from the daemon's own events, and from what people got.

Nothing is told that did not happen. It is handed the events as the log and the journal get them, and the chat's texts.
"""

import textwrap
from collections import Counter
from collections.abc import Callable
from datetime import datetime

from watchdog.demo.stories import GONE, SHOWN, STORIES, TOLD, Story
from watchdog.model.clock import span
from watchdog.model.event_names import EventName
from watchdog.model.events import Event
from watchdog.model.reasons import Reason

WIDTH = 80
_COLUMNS = (17, 21, 22, 6)
_HEAD = ("ZONE", "WHAT WAS WRONG", "WHAT IT DID", "TOOK", "END")


class Narrator:
    """``ended`` is called when the last story is told, and the alert that is shown is over."""

    def __init__(self, say: Callable[[str], None], now: Callable[[], datetime], ended: Callable[[], None]) -> None:
        self._say = say
        self._now = now
        self._ended = ended
        self._began = now()
        self._untold = dict(STORIES)
        self._counts: dict[str, Counter[EventName]] = {name: Counter() for name in STORIES}
        self._signs: set[str] = set()
        self._told: set[str] = set()
        self._held: set[str] = set()
        self._first: dict[str, datetime] = {}
        self._shown = 0

    def introduce(self) -> None:
        """The head of the table."""
        self._say(_row(*_HEAD))

    def happened(self, events: list[Event]) -> None:
        """What the daemon saw and did."""
        for event in events:
            zone = event.zone.label
            if zone not in STORIES:
                continue
            self._counts[zone][event.name] += 1
            self._first.setdefault(zone, event.at)
            if event.reason is Reason.HELD_BY_DIAGNOSIS:
                self._held.add(zone)
            if _is_sign(STORIES[zone], event):
                self._signs.add(zone)
        self._tell()

    def chatted(self, text: str) -> None:
        """What came in at the chat."""
        self._told |= {name for name in STORIES if name in text}
        if SHOWN in text and self._shown < 2:  # noqa: PLR2004  its beginning and its end
            self._shown += 1
            after = self._now() - self._began
            self._say(f"\nThe chat gets, {span(after)} after the start:\n" + "\n".join(quoted(text)) + "\n")
        self._tell()

    def _tell(self) -> None:
        for zone, story in list(self._untold.items()):
            signed = story.sign is None or zone in self._signs
            if signed and (story.ends != TOLD or zone in self._told):
                del self._untold[zone]
                took = span(self._now() - self._first.get(zone, self._began))
                self._say(_row(zone, story.wrong, self._did(zone, story), took, story.ends))
        if not self._untold and self._shown == 2:  # noqa: PLR2004  as above
            self._ended()

    def _did(self, zone: str, story: Story) -> str:
        counts = self._counts[zone]
        restarts = counts[EventName.RESTART_SENT] + counts[EventName.RESTART_FAILED]
        done = ["held"] if zone in self._held else []
        done += [_times("restart", restarts)] if restarts else []
        done += ["recheck"] if counts[EventName.RECHECK_SENT] else []
        return ", ".join(done) or story.did


def quoted(text: str) -> list[str]:
    """A message as a chat shows it, in as many columns as there are."""
    lines = []
    for line in text.splitlines():
        indent = " " * (len(line) - len(line.lstrip(" ")))
        found = textwrap.wrap(
            line, WIDTH - 4, subsequent_indent=f"{indent}  ", break_long_words=False, break_on_hyphens=False
        )
        lines += found or [""]
    return [f"  | {line}".rstrip() for line in lines]


def _is_sign(story: Story, event: Event) -> bool:
    if event.name is not story.sign:
        return False
    return story.ends != GONE or dict(event.facts).get("status") == "deleted"


def _row(*cells: str) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, (*_COLUMNS, 0), strict=True)).rstrip()


def _times(word: str, number: int) -> str:
    return word if number == 1 else f"{number} {word}s"
