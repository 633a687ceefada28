"""The one shape of time. ``app`` holds the real one; tests hand in their own.

Wall time is always an aware UTC ``datetime``; durations are ``timedelta``. ``monotonic`` counts seconds from an
arbitrary start and never runs backwards, so everything that measures or limits a rate uses it.
"""

from datetime import datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Tells the time and waits."""

    def now(self) -> datetime:
        """Wall time, aware, in UTC."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never backwards."""

    async def sleep(self, delay: timedelta) -> None:
        """Wait for at least ``delay``."""
