"""Requests that are booked on the disk before they are sent, so that a process that is killed takes no count with it.

A part of the share is booked at a time; the next process counts what was booked as sent. ``rate_limit`` alone calls
this, once for each request. It uses the monotonic clock only.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable

from watchdog.cloudflare.sliding_window import SlidingWindow
from watchdog.model.clock import Clock

PARTS = 16
"""Of the share, and of its window: so much is booked at once at the most, and for so long. A start may find one part
too many counted, and a busy window costs some 20 writes."""

FIRST_BOOKING = 4
"""Requests that are booked at first, and at least: a daemon that crashes again and again must not spend its share on
bookings. Each that is used up in time is followed by one twice as large, any other by one without half of what was left
of it: so a steady pace needs one booking for each ``until``."""

SHORTEST_BOOKING = 10.0
"""Seconds that a booking holds at least, however short the window: writing it may wait 5 s for another process, and one
that is over before it is written would be made again and again."""

Book = Callable[[int, float, float], Awaitable[object]]
"""Notes that so many requests may be sent until then; what was noted until the third moment counts no more (monotonic).
Returns once that is durable."""


class Bookings:
    """The bookings of one credential. Without a ``book`` nothing is booked, and nobody waits."""

    def __init__(self, book: Book | None, window: SlidingWindow, clock: Clock) -> None:
        """``window`` is the account's: a booking is a part of it."""
        self._book = book
        self._window = window
        self._clock = clock
        self._lock = asyncio.Lock()
        self._left, self._until, self._size = 0, -math.inf, FIRST_BOOKING // 2

    async def use(self) -> None:
        """Wait until a request that is sent now is counted whatever becomes of this process."""
        while not self.use_one():
            async with self._lock:
                if self._book is not None and not self._has_one():  # nobody did it meanwhile
                    await self._make(self._book)

    def use_one(self) -> bool:
        """Use a booking that there is; False where one has to be made first."""
        if self._book is not None and not self._has_one():
            return False
        self._left -= 1
        return True

    async def _make(self, book: Book) -> None:
        now, window = self._clock.monotonic(), self._window
        wanted = 2 * self._size if self._left <= 0 else max(FIRST_BOOKING, self._size - self._left // 2)
        self._size = requests = max(1, min(wanted, window.limit // PARTS))
        until = now + max(window.seconds / PARTS, SHORTEST_BOOKING)
        await book(requests, until, now - window.seconds)
        self._left, self._until = requests, until

    def _has_one(self) -> bool:
        return self._left > 0 and self._clock.monotonic() < self._until
