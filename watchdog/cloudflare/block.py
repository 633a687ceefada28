"""How long a 429 stops one credential, and whether that is waited out. ``rate_limit`` alone makes one.

Cloudflare says the seconds in the answer; what it does not say, and what is more than it ever asks for, is here.
"""

import math
from collections.abc import Mapping
from datetime import datetime, timedelta

from watchdog.cloudflare import ratelimit_headers
from watchdog.cloudflare.policies import SHORTEST_RESET
from watchdog.model.clock import Clock

BLOCKED_WITHOUT_A_WORD = 300.0
"""Seconds to wait after a 429 that says nothing: Cloudflare's block lasts five minutes."""

LONGEST_BLOCK = 3_600.0
"""Seconds that a 429 may ask for; a longer ``Retry-After`` is a slip, or no word of Cloudflare's, and must not end all
work while certificates run out. After it, one refused request tells again, in the log too."""

PATIENCE = 600.0
"""Seconds of a block that are waited out: twice what Cloudflare's lasts. Of a longer one whoever asks is told at once,
so that a zone is known as not seen, and why, and a single pass has an end."""


class TooLong(Exception):
    """A block lasts longer than ``PATIENCE``: it is over at ``until``."""

    def __init__(self, until: datetime) -> None:
        super().__init__()
        self.until = until


class Block:
    """The block of one credential. ``over_at`` is its end by the monotonic clock, minus infinity before the first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ends: datetime | None = None
        self.over_at = -math.inf

    @property
    def left(self) -> float:
        """Seconds until it is over; 0 when there is none."""
        return max(0.0, self.over_at - self._clock.monotonic())

    @property
    def until(self) -> datetime | None:
        """When it is over, as it was worked out when it came; ``None`` when there is none."""
        return self._ends if self.left else None

    @property
    def too_long_until(self) -> datetime | None:
        """The same, where it lasts longer than ``PATIENCE`` from now."""
        return self._ends if self._ends is not None and self.left > PATIENCE else None

    def begin(self, headers: Mapping[str, str], hint: float | None) -> float:
        """It lasts for ``Retry-After``, else ``hint``, else ``t``, else 300 seconds; never shorter than it did.

        ``hint`` is what the body asks for. Returns the seconds, at most ``LONGEST_BLOCK``.
        """
        seconds = ratelimit_headers.retry_after(headers)
        seconds = hint if seconds is None else seconds
        if seconds is None:
            reset = max((t for _, _, t in ratelimit_headers.left(headers)), default=0)
            seconds = float(reset) if reset >= SHORTEST_RESET else BLOCKED_WITHOUT_A_WORD
        seconds = min(seconds, LONGEST_BLOCK)
        over_at = self._clock.monotonic() + seconds
        if over_at > self.over_at:
            self.over_at, self._ends = over_at, self._clock.now() + timedelta(seconds=seconds)
        return seconds
