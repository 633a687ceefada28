"""How many requests count at a moment, and when there is room for one more. Arithmetic alone; the caller has the clock.

A request counts from the moment it is sent until one window after its answer came: whichever way Cloudflare cuts its
windows, a request can only have been counted between these two.
"""

import math
from collections import deque
from collections.abc import Iterable

import msgspec


class Allowance(msgspec.Struct, frozen=True):
    """At most ``requests`` in any ``per`` seconds, of which we use ``share`` (0 to 1)."""

    requests: int
    per: float
    share: float

    @property
    def ours(self) -> int:
        """Requests per window that are ours; at least one."""
        return max(1, math.floor(self.requests * self.share))


class SlidingWindow:
    """At most ``limit`` requests in any ``seconds``, each counted from its start until ``seconds`` after its end."""

    def __init__(self, limit: int, seconds: float) -> None:
        self.limit = limit
        self.seconds = seconds
        self.in_flight = 0
        self._ended: deque[float] = deque()

    def used(self, now: float) -> int:
        """Requests that count at ``now``."""
        while self._ended and self._ended[0] <= now - self.seconds:
            self._ended.popleft()
        return self.in_flight + len(self._ended)

    def wait(self, now: float, headroom: int = 0) -> float:
        """Seconds until one more may start with ``headroom`` left over; ``inf`` while only an answer can make room."""
        over = self.used(now) - (self.limit - headroom)
        if over < 0:
            return 0.0
        if over >= len(self._ended):
            return math.inf
        return max(0.0, self._ended[over] + self.seconds - now)

    def recall(self, ended: Iterable[float]) -> None:
        """Requests of an earlier process, and when they ended at the latest, the first to end first."""
        self._ended.extend(ended)

    def count_anew(self, ended: Iterable[float]) -> None:
        """As ``recall``, in place of all that has ended: somebody else has counted since."""
        self._ended = deque(sorted(ended))

    def start(self) -> None:
        """One more is on its way."""
        self.in_flight += 1

    def end(self, now: float) -> None:
        """The answer to one came, or never will."""
        self.in_flight -= 1
        self._ended.append(now)
