"""How many requests are let through: per credential in a fixed window, and per second from one address.

Going over an allowance blocks everything of that credential for a while, and what is sent meanwhile does not count.
"""

import math
from dataclasses import dataclass

from watchdog.model.clock import Clock
from watchdog.simulator.scenario import RateLimit


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left after one request: ``blocked`` is the seconds to wait, 0 if it may pass."""

    left: int
    resets_in: int
    blocked: int = 0


@dataclass(slots=True)
class _Window:
    began: float
    used: int = 0
    blocked_until: float = 0.0


class Limits:
    """Counts every request that asks to pass."""

    def __init__(self, rules: RateLimit, clock: Clock) -> None:
        self.rules = rules
        self._clock = clock
        self._windows: dict[str, _Window] = {}
        self._addresses: dict[str, _Window] = {}

    def crowded(self, address: str) -> bool:
        """Whether this request is one too many of its address in its second."""
        window = self._window(self._addresses, address, 1.0)
        window.used += 1
        return 0 < self.rules.per_second < window.used

    def take(self, credential: str, *, listing: bool = False) -> Allowance:
        """Count one request of a credential; one that lists zones has an allowance of its own where there is one."""
        if listing and self.rules.list_zones:
            return self._take(f"{credential}, listing zones", self.rules.list_zones, 0)
        return self._take(credential, self.rules.requests, self.rules.others)

    def _take(self, credential: str, requests: int, others: int) -> Allowance:
        now, per = self._clock.monotonic(), self.rules.per.total_seconds()
        window = self._window(self._windows, credential, per)
        if now >= window.blocked_until:
            window.used += 1
            left = requests - window.used - int(others * (now - window.began) / per)
            if left >= 0:
                return Allowance(left, math.ceil(window.began + per - now))
            window.blocked_until = now + self.rules.block.total_seconds()
        wait = math.ceil(window.blocked_until - now)
        return Allowance(0, wait, max(1, wait))

    def _window(self, windows: dict[str, _Window], key: str, length: float) -> _Window:
        now = self._clock.monotonic()
        window = windows.get(key)
        if window is None or now >= max(window.began + length, window.blocked_until):
            window = windows[key] = _Window(now)
        return window
