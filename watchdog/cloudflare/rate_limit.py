"""How fast one credential may call: within its share in any window, urgent things first, every wait obeyed.

The limit that must not be passed is Cloudflare's: 1,200 requests in 5 minutes for one user or token, after which
*everything* of that user is blocked for 5 minutes (Cloudflare's documentation, "Rate limits"). A request is counted
from the moment it is sent until one window after its answer came: whichever way Cloudflare cuts its windows, a request
can only have been counted between these two. So the promise is exact: in no window of ``per`` are more than
``share x requests`` of ours.

A process that is killed takes its count with it, so turns are booked on the disk before they are used, a part of the
share at a time; the next process counts what was booked as sent.

What the answers say can only make it stricter: a smaller ``Ratelimit-Policy``, a ``Ratelimit`` that other users of the
same token have eaten from, a 429. It uses the monotonic clock only.
"""

import asyncio
import heapq
import math
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from itertools import count

from watchdog.model.clock import Clock


class Urgency(IntEnum):
    """Who goes first when several wait."""

    ACT = 0
    TROUBLED = 1
    CALM = 2


BLOCKED_WITHOUT_A_WORD = 300.0
"""Seconds to wait after a 429 that says nothing: Cloudflare's block lasts five minutes."""

LONGEST_BLOCK = 86_400.0
"""Seconds that a 429 may ask for; a longer ``Retry-After`` is a slip, or no word of Cloudflare's, and must not end all
work for ever. After it, one refused request tells again, in the log too."""

LONGEST_WINDOW = 3_600
"""Seconds that ``Ratelimit`` and ``Ratelimit-Policy`` may speak of; Cloudflare's windows have 300. They are obeyed
without a line in the log, so that they may cost an hour at most."""

PER_ADDRESS = 190
"""Requests per second over all credentials. Cloudflare's limit for one client address is 200."""

PARTS = 16
"""Of the share, and of its window: so much is booked at once at the most, and for so long. A start may find one part
too many counted, and a busy window costs some 20 writes."""

FIRST_BOOKING = 4
"""Requests that are booked at first, and where the last booking was not used up: a daemon that crashes again and again
must not spend its share on bookings. Each that is used up in time is followed by one twice as large."""

SHORTEST_BOOKING = 10.0
"""Seconds that a booking holds at least, however short the window: writing it may wait 5 s for another process, and one
that is over before it is written would be made again and again."""

Book = Callable[[int, float, float], Awaitable[None]]
"""Notes that so many requests may be sent until then; what was noted until the third moment counts no more (monotonic).
Returns once that is durable."""

_LONGEST_NAP = 1.0
"""Seconds after which a waiter looks again when its turn depends on answers that are still out."""


@dataclass(frozen=True, slots=True)
class Allowance:
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

    def wait(self, now: float, reserve: int = 0) -> float:
        """Seconds until one more may start with ``reserve`` left over; ``inf`` while only an answer can make room."""
        over = self.used(now) - (self.limit - reserve)
        if over < 0:
            return 0.0
        if over >= len(self._ended):
            return math.inf
        return max(0.0, self._ended[over] + self.seconds - now)

    def recall(self, ended: Iterable[float]) -> None:
        """Requests of an earlier process, and when they ended at the latest, the first to end first."""
        self._ended.extend(ended)

    def start(self) -> None:
        """One more is on its way."""
        self.in_flight += 1

    def end(self, now: float) -> None:
        """The answer to one came, or never will."""
        self.in_flight -= 1
        self._ended.append(now)


class Quota:
    """The turns of one credential. ``acquire`` one, make the request, ``release`` it with the answer's headers."""

    def __init__(
        self,
        allowance: Allowance,
        address: SlidingWindow,
        clock: Clock,
        book: Book | None = None,
        booked: Iterable[tuple[float, int]] = (),
    ) -> None:
        """``booked`` are the turns that earlier processes booked: until when, and how many, in order."""
        self._configured = allowance
        self._address = address
        self._clock = clock
        self._window = SlidingWindow(allowance.ours, allowance.per)
        self._window.recall(until for until, requests in booked for _ in range(requests))
        self._book = book
        self._booking = asyncio.Lock()
        self._booked, self._booked_until, self._size = 0, -math.inf, FIRST_BOOKING // 2
        self._courtesy = allowance.requests // 50  # what looks leave to the others of the same user
        self._waiting: list[tuple[Urgency, int, int, asyncio.Future[None]]] = []
        self._order = count()
        self._timer: asyncio.TimerHandle | None = None
        self._blocked_until = -math.inf
        self._left: int | None = None  # what Cloudflare last said is left, less what was sent since
        self._left_until = -math.inf
        self.waited = 0.0

    @property
    def remaining(self) -> int | None:
        """Requests left in Cloudflare's current window, for everyone; ``None`` while it has not said."""
        return self._left if self._clock.monotonic() < self._left_until else None

    @property
    def blocked_for(self) -> float:
        """Seconds until the block that a 429 brought is over; 0 when there is none."""
        return max(0.0, self._blocked_until - self._clock.monotonic())

    def allow(self, allowance: Allowance) -> None:
        """Another allowance holds from now on; what was counted stays counted."""
        self._configured = allowance
        self._window.limit, self._window.seconds = allowance.ours, allowance.per
        self._courtesy = allowance.requests // 50

    async def acquire(self, urgency: Urgency) -> None:
        """Wait for a turn that may be used at once. The most urgent goes first; among equals the first to come."""
        await self.reserve(urgency)
        await self.use_a_booking()

    async def use_a_booking(self) -> None:
        """Wait until a request that is sent now is counted whatever becomes of this process.

        To be called with a turn, which is released if this fails.
        """
        try:
            while self._book is not None and not self._has_a_booking():
                async with self._booking:
                    if not self._has_a_booking():  # nobody did it meanwhile
                        now, window = self._clock.monotonic(), self._window
                        # Twice as many as before where those were used up, few where they were not.
                        wanted = 2 * self._size if self._booked <= 0 else FIRST_BOOKING
                        self._size = requests = max(1, min(wanted, window.limit // PARTS))
                        until = now + max(window.seconds / PARTS, SHORTEST_BOOKING)
                        await self._book(requests, until, now - window.seconds)
                        self._booked, self._booked_until = requests, until
        except BaseException:
            self.release()
            raise
        self._booked -= 1

    def _has_a_booking(self) -> bool:
        return self._booked > 0 and self._clock.monotonic() < self._booked_until

    async def reserve(self, urgency: Urgency, turns: int = 1) -> int:
        """Wait for so many turns at once, or for all of a window that has fewer; gives how many they are.

        Each needs a booking before it is used.
        """
        turns = min(turns, self._window.limit)
        if not self._waiting and self._wait(urgency, turns) <= 0:
            self._start(turns)
            return turns
        began = self._clock.monotonic()
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (urgency, next(self._order), turns, granted))
        self._pump()
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():
                for _ in range(turns):
                    self._window.end(self._clock.monotonic())
                    self._address.end(self._clock.monotonic())
            raise
        finally:
            self.waited += self._clock.monotonic() - began
        return turns

    def release(self, headers: Mapping[str, str] | None = None) -> None:
        """The answer came (or never will: ``None``)."""
        now = self._clock.monotonic()
        self._window.end(now)
        self._address.end(now)
        if headers is not None:
            self._learn(headers, now)
        if self._waiting:
            self._pump()

    def block(self, headers: Mapping[str, str]) -> float:
        """A 429 came: nothing more is sent for ``Retry-After``, else ``t``, else 300 seconds. Returns the seconds.

        At most ``LONGEST_BLOCK``.
        """
        said = headers.get("retry-after", "").strip()
        if said.isascii() and said.isdigit():
            seconds = float(said[:9])
        else:
            resets = [t for _, t in _items(headers.get("ratelimit", ""), "r", "t")]
            seconds = float(max(resets, default=0)) or BLOCKED_WITHOUT_A_WORD
        seconds = min(seconds, LONGEST_BLOCK)
        self._blocked_until = max(self._blocked_until, self._clock.monotonic() + seconds)
        return seconds

    def _learn(self, headers: Mapping[str, str], now: float) -> None:
        policy = headers.get("ratelimit-policy")
        if policy:
            self._obey(policy)
        said = headers.get("ratelimit")
        if said:
            lists = [(r, t) for r, t in _items(said, "r", "t") if t > 0]
            if lists:
                left, reset = min(lists)
                self._left = left - self._window.in_flight
                self._left_until = now + min(reset, LONGEST_WINDOW)

    def _obey(self, policy: str) -> None:
        mine = self._configured
        for requests, per in _items(policy, "q", "w"):
            if requests > 0 and per > 0 and requests / per < mine.requests / mine.per:
                mine = Allowance(requests, min(per, LONGEST_WINDOW), mine.share)
        self._window.limit, self._window.seconds = mine.ours, mine.per
        self._courtesy = mine.requests // 50

    def _wait(self, urgency: Urgency, turns: int = 1) -> float:
        now, more = self._clock.monotonic(), min(turns, self._window.limit) - 1
        window, address = self._window.wait(now, self._reserve(urgency) + more), self._address.wait(now, more)
        wait = max(self._blocked_until - now, window, address)
        courtesy = 0 if urgency is Urgency.ACT else self._courtesy
        if self._left is not None and self._left <= courtesy + more:
            wait = max(wait, self._left_until - now)
        return wait

    def _reserve(self, urgency: Urgency) -> int:
        """Requests (3 % of ours) that looks leave over, so that a restart never waits for a whole window."""
        return 0 if urgency is Urgency.ACT else self._window.limit // 32

    def _start(self, turns: int) -> None:
        for _ in range(turns):
            self._window.start()
            self._address.start()
        if self._left is not None:
            self._left -= turns

    def _pump(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            urgency, _, turns, granted = self._waiting[0]
            if granted.done():  # cancelled while it waited
                heapq.heappop(self._waiting)
                continue
            wait = self._wait(urgency, turns)
            if wait > 0:
                nap = wait if math.isfinite(wait) else _LONGEST_NAP
                self._timer = asyncio.get_running_loop().call_later(nap, self._pump)
                return
            heapq.heappop(self._waiting)
            self._start(turns)
            granted.set_result(None)


def _items(header: str, one: str, two: str) -> Iterator[tuple[int, int]]:
    """The pairs of two parameters in a list header such as ``"default";r=1199;t=300, "other";r=5;t=1``."""
    for item in header[:1024].split(","):
        found: dict[str, int] = {}
        for part in item.split(";")[1:]:
            name, _, value = part.strip().partition("=")
            if value.isascii() and value.isdigit() and len(value) < 10:
                found[name] = int(value)
        if one in found and two in found:
            yield found[one], found[two]
