"""The one shape of time. ``clock`` has the real one; tests hand in their own.

Wall time is always an aware UTC ``datetime``; durations are ``timedelta``. ``monotonic`` counts seconds from an
arbitrary start and never runs backwards, so everything that measures or limits a rate uses it.
"""

from datetime import datetime, timedelta
from functools import lru_cache
from typing import Protocol

import msgspec

NO_STEP = timedelta(0)

SMALLEST_STEP = timedelta(seconds=1)
"""What a clock is off by less than this is put right by slewing, which both clocks follow."""


class Clock(Protocol):
    """Tells the time and waits."""

    @property
    def boot(self) -> str:
        """Names the start that ``monotonic`` counts from; empty where another process cannot count from the same."""

    def now(self) -> datetime:
        """Wall time, aware, in UTC."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never backwards."""

    async def sleep(self, delay: timedelta) -> None:
        """Wait for at least ``delay``."""


_UNITS = (("d", 86400), ("h", 3600), ("min", 60))
"""Units and their seconds. Each is used from two of it on, which say more than one of the next."""


class Anchor(msgspec.Struct, frozen=True):
    """One moment on both clocks: with it, times that were noted then can be told apart from a clock that was set."""

    at: datetime
    monotonic: float
    boot: str

    def step_since(self, earlier: "Anchor") -> timedelta:
        """By how much the wall clock was set since ``earlier``: zero where it was not, or where nobody can know."""
        if not self.boot or self.boot != earlier.boot:
            return NO_STEP
        step = (self.at - earlier.at) - timedelta(seconds=self.monotonic - earlier.monotonic)
        return step if abs(step) >= SMALLEST_STEP else NO_STEP


def anchor(clock: Clock) -> Anchor:
    """The present moment."""
    return Anchor(clock.now(), clock.monotonic(), clock.boot)


@lru_cache(4096)
def rfc3339(at: datetime) -> str:
    """A UTC time as operators read it, to the second. Packs share most of theirs."""
    return f"{at.isoformat()[:19]}Z"  # as ``strftime`` says it, in a fifth of the time


def maybe_rfc3339(at: datetime | None) -> str | None:
    """As ``rfc3339``, and nothing of nothing."""
    return None if at is None else rfc3339(at)


def span(duration: timedelta) -> str:
    """So long, as it is said everywhere: in one unit, rounded down.

    >>> span(timedelta(hours=3, minutes=59)), span(timedelta(minutes=100)), span(timedelta(seconds=9))
    ('3 h', '100 min', '9 s')
    """
    seconds = max(int(duration.total_seconds()), 0)
    for unit, size in _UNITS:
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
