"""How fast all accounts together may call from one address, and whose turn it is. ``rate_limit`` alone calls this.

Acts go first. Among looks the accounts take turns, a request each, so that none waits for another's whole sweep,
however many zones that one has: at 64 accounts and 190 requests per second each is asked a few times a second. Who
comes waits in line; nobody looks again by itself whether there is room. It uses the monotonic clock only.
"""

import asyncio
import math
from collections import deque
from typing import Protocol

from watchdog.cloudflare.sliding_window import SlidingWindow
from watchdog.model.clock import Clock

PER_ADDRESS = 190
"""Requests per second over all credentials. Cloudflare's limit for one client address is 200."""

TOGETHER = 10
"""The part of a window that is waited for: at the limit of an address 19 requests begin together then, and what follows
from their answers is done together too, in half as many turns of the loop. Of what the time that answers take leaves of
a window 94 to 99 % are used all the same."""

SHORTEST_NAP = 0.05
"""Seconds between two grants where so much is still out that nobody can tell when there will be room for a part."""

LONGEST_NAP = 1.0
"""Seconds after which who waits for answers that are still out looks again: as long as an answer counts."""


class Caller(Protocol):
    """An account that waits in line."""

    def needs(self, *, act: bool) -> int:
        """How many requests it would begin now, as an act or as anything; 0 if nothing of it waits for the address."""

    def turn(self, number: int, *, act: bool) -> None:
        """Begin so many, which the address has counted; 0: it needed none. It has left the line, and may come again."""


class Address:
    """At most ``limit`` requests in any second."""

    def __init__(self, limit: int, clock: Clock) -> None:
        self._clock = clock
        self._window = SlidingWindow(limit, 1.0)
        self._acts: deque[Caller] = deque()
        self._looks: deque[Caller] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._serving = False

    @property
    def limit(self) -> int:
        """The most that can be had at once."""
        return self._window.limit

    def take(self, number: int) -> bool:
        """So many requests begin now, if nobody waits in line and there is room for all of them."""
        if self._acts or self._looks or self._window.wait(self._clock.monotonic(), number - 1) > 0:
            return False
        self._start(number)
        return True

    def line_up(self, caller: Caller, *, act: bool) -> None:
        """Take a turn after all who wait for the same. Nobody stands in one line twice."""
        (self._acts if act else self._looks).append(caller)
        if self._timer is None and not self._serving:
            self._serve()

    def end(self) -> None:
        """The answer to one came, or never will."""
        self._window.end(self._clock.monotonic())

    def _start(self, number: int) -> None:
        for _ in range(number):
            self._window.start()

    def _serve(self) -> None:
        """Give turns for as long as there is room."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._serving = True  # who has had a turn comes into line again meanwhile
        now = self._clock.monotonic()
        while line := self._acts or self._looks:
            act = line is self._acts
            needed = line[0].needs(act=act)
            if needed and (wait := self._window.wait(now, needed - 1)) > 0:
                together = self._window.wait(now, max(needed, self._window.limit // TOGETHER) - 1)
                nap = min(max(wait, SHORTEST_NAP) if math.isinf(together) else together, LONGEST_NAP)
                self._timer = asyncio.get_running_loop().call_later(nap, self._serve)
                break
            self._start(needed)
            line.popleft().turn(needed, act=act)
        self._serving = False
