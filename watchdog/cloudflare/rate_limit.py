"""How fast one credential may call: within its share in any window, urgent things first, every wait obeyed.

The limit that must not be passed is Cloudflare's: 1,200 requests in 5 minutes for one user or token, after which
*everything* of that user is blocked for 5 minutes (Cloudflare's documentation, "Rate limits"). A request is counted
from the moment it is sent until one window after its answer came: whichever way Cloudflare cuts its windows, a request
can only have been counted between these two. So the promise is exact: in no window of ``per`` are more than
``share x requests`` of ours.

A process that is killed takes its count with it, so requests are booked on the disk before they are sent, a part of
the share at a time; the next process counts what was booked as sent.

What the answers say can only make it stricter: a smaller ``Ratelimit-Policy``, a ``Ratelimit`` that other users of the
same token have eaten from, a 429. Each policy of these headers has a name, and holds for the operations whose answers
name it: what ``GET /zones`` says of ``"list_zones"`` is no word about restarts. It uses the monotonic clock only.
"""

import asyncio
import heapq
import math
import re
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

SHORTEST_RESET = 10.0
"""Seconds to a reset that are believed. Recorded answers say ``t=1`` whatever is left (130 of 131 answers of one
account in 2026), so less is no word about when there is room again."""

PLENTY = 0.1
"""The part of a policy's requests that must be left for a 429 to be no matter of the account's allowance."""

DEFAULT = "default"
"""The policy of the allowance that a user's requests share. It holds for every operation that has named no other."""

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

MOST_POLICIES = 20
"""Policies that are told apart; Cloudflare names one or two."""

_LONGEST_NAP = 1.0
"""Seconds after which a waiter looks again when it waits for answers that are still out."""


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


@dataclass(slots=True, kw_only=True)
class _Policy:
    """What Cloudflare said of one policy. ``left`` is what it said is left, less what was sent since.

    ``headroom`` is what looks leave to the others of the same user. ``window`` is that of a policy besides the default
    one, once its size is known.
    """

    left: int | None = None
    until: float = -math.inf
    heard_at: float = -math.inf
    headroom: int = 0
    window: SlidingWindow | None = None


class Quota:
    """The requests of one credential. ``acquire``, make the request, ``release`` with the answer's headers."""

    def __init__(
        self,
        allowance: Allowance,
        address: SlidingWindow,
        clock: Clock,
        book: Book | None = None,
        booked: Iterable[tuple[float, int]] = (),
    ) -> None:
        """``booked`` are the requests that earlier processes booked: until when, and how many, in order."""
        self._configured = allowance
        self._address = address
        self._clock = clock
        self._window = SlidingWindow(allowance.ours, allowance.per)
        self._window.recall(until for until, requests in booked for _ in range(requests))
        self._book = book
        self._booking = asyncio.Lock()
        self._booked, self._booked_until, self._size = 0, -math.inf, FIRST_BOOKING // 2
        self._policies = {DEFAULT: _Policy()}
        self._named: dict[str, tuple[_Policy, ...]] = {}  # by operation: those that its last answer named
        self._waiting: list[tuple[Urgency, int, int, str, asyncio.Future[None]]] = []
        self._order = count()
        self._timer: asyncio.TimerHandle | None = None
        self._blocked_until = -math.inf
        self.waited = 0.0
        self.allow(allowance)

    @property
    def remaining(self) -> int | None:
        """Requests left of the allowance, for everyone, as Cloudflare said within the last window; else ``None``."""
        default = self._policies[DEFAULT]
        return default.left if self._clock.monotonic() < default.heard_at + self._window.seconds else None

    @property
    def blocked_for(self) -> float:
        """Seconds until the block that a 429 brought is over; 0 when there is none."""
        return max(0.0, self._blocked_until - self._clock.monotonic())

    def allow(self, allowance: Allowance) -> None:
        """Another allowance holds from now on; what was counted stays counted."""
        self._configured = allowance
        self._set(allowance)

    def _set(self, allowance: Allowance) -> None:
        self._window.limit, self._window.seconds = allowance.ours, allowance.per
        self._policies[DEFAULT].headroom = allowance.requests // 50

    async def acquire(self, urgency: Urgency, operation: str = "") -> None:
        """Wait until a request may be sent at once. The most urgent goes first; among equals the first to come."""
        await self.reserve(urgency, operation=operation)
        await self.use_a_booking()

    async def use_a_booking(self) -> None:
        """Wait until a request that is sent now is counted whatever becomes of this process.

        To be called with a reservation, which is released if this fails.
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

    async def reserve(self, urgency: Urgency, number: int = 1, operation: str = "") -> int:
        """Wait for so many requests at once, or for all of a window that has fewer; gives how many they are.

        Each needs a booking before it is used.
        """
        number = min(number, self._window.limit)
        if not self._waiting and self._wait(urgency, number, operation, self._clock.monotonic()) <= 0:
            self._start(number, operation)
            return number
        began = self._clock.monotonic()
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (urgency, next(self._order), number, operation, granted))
        self._pump()
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():
                for _ in range(number):
                    self._window.end(self._clock.monotonic())
                    self._address.end(self._clock.monotonic())
            raise
        finally:
            self.waited += self._clock.monotonic() - began
        return number

    def release(self, headers: Mapping[str, str] | None = None, operation: str = "") -> None:
        """The answer came (or never will: ``None``)."""
        now = self._clock.monotonic()
        self._window.end(now)
        self._address.end(now)
        if headers is not None:
            self._learn(headers, now, operation)
        if self._waiting:
            self._pump()

    def block(self, headers: Mapping[str, str], hint: float | None = None) -> float:
        """A 429 came: nothing more is sent for ``Retry-After``, else ``hint``, else ``t``, else 300 seconds.

        ``hint`` is what the body asks for. Returns the seconds, at most ``LONGEST_BLOCK``.
        """
        seconds = retry_after(headers)
        seconds = hint if seconds is None else seconds
        if seconds is None:
            reset = max((t for _, _, t in _items(headers.get("ratelimit", ""), "r", "t")), default=0)
            seconds = float(reset) if reset >= SHORTEST_RESET else BLOCKED_WITHOUT_A_WORD
        seconds = min(seconds, LONGEST_BLOCK)
        self._blocked_until = max(self._blocked_until, self._clock.monotonic() + seconds)
        return seconds

    def has_plenty(self, headers: Mapping[str, str]) -> bool:
        """Whether these headers say that much is left of every policy they name: then a 429 has another cause."""
        sizes = {name: q for name, q, _ in _items(headers.get("ratelimit-policy", ""), "q", "w")}
        left = list(_items(headers.get("ratelimit", ""), "r", "t"))
        return bool(left) and all(r >= PLENTY * sizes.get(name, self._configured.requests) for name, r, _ in left)

    def names_others_alone(self, headers: Mapping[str, str]) -> bool:
        """Whether these headers name policies, and the account's allowance is none of them."""
        names = {name for name, _, _ in _items(headers.get("ratelimit", ""), "r", "t")}
        return bool(names) and DEFAULT not in names

    def _learn(self, headers: Mapping[str, str], now: float, operation: str) -> None:
        sizes = {name: (q, w) for name, q, w in _items(headers.get("ratelimit-policy", ""), "q", "w") if q > 0 < w}
        said = list(_items(headers.get("ratelimit", ""), "r", "t"))
        named: dict[str, _Policy] = {}
        for name in (*sizes, *(name for name, _, _ in said)):
            if name in self._policies or len(self._policies) < MOST_POLICIES:
                named[name] = self._policies.setdefault(name, _Policy())
        if not named:
            return
        self._named[operation] = tuple(named.values())
        for name, policy in named.items():
            if name in sizes:
                self._obey(name, policy, *sizes[name])
            if policy.window is not None:
                policy.window.recall((now,))
        for name, left, reset in said:
            if name not in named:
                continue
            policy = named[name]
            policy.left = left - (self._window.in_flight if name == DEFAULT else 0)
            policy.until = now + min(max(reset, SHORTEST_RESET), LONGEST_WINDOW)
            policy.heard_at = now

    def _obey(self, name: str, policy: _Policy, requests: int, per: int) -> None:
        mine, said = self._configured, Allowance(requests, min(per, LONGEST_WINDOW), self._configured.share)
        if name == DEFAULT:
            self._set(said if requests / per < mine.requests / mine.per else mine)
            return
        policy.headroom = requests // 50
        if policy.window is None:
            policy.window = SlidingWindow(said.ours, said.per)
        policy.window.limit, policy.window.seconds = said.ours, said.per

    def _of(self, operation: str) -> tuple[_Policy, ...]:
        return self._named.get(operation) or (self._policies[DEFAULT],)

    def _wait(self, urgency: Urgency, number: int, operation: str, now: float) -> float:
        more = min(number, self._window.limit) - 1
        window, address = self._window.wait(now, self._reserve(urgency) + more), self._address.wait(now, more)
        wait = max(self._blocked_until - now, window, address)
        for policy in self._of(operation):
            if policy.window is not None:
                wait = max(wait, policy.window.wait(now))
            headroom = 0 if urgency is Urgency.ACT else policy.headroom
            if policy.left is not None and policy.left <= headroom + more:
                wait = max(wait, policy.until - now)
        return wait

    def _reserve(self, urgency: Urgency) -> int:
        """Requests (3 % of ours) that looks leave over, so that a restart never waits for a whole window."""
        return 0 if urgency is Urgency.ACT else self._window.limit // 32

    def _start(self, number: int, operation: str) -> None:
        for _ in range(number):
            self._window.start()
            self._address.start()
        now = self._clock.monotonic()
        for policy in self._of(operation):
            if policy.left is None:
                continue
            policy.left -= number
            if policy.left <= policy.headroom and policy.until <= now:  # one asks how things are, not all who wait
                policy.until = now + SHORTEST_RESET

    def _pump(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        later: list[tuple[Urgency, int, int, str, asyncio.Future[None]]] = []
        nap, now = math.inf, self._clock.monotonic()  # one moment for all, or none would wait for what others wait for
        while self._waiting:
            waiter = self._waiting[0]
            urgency, _, number, operation, granted = waiter
            if granted.done():  # cancelled while it waited
                heapq.heappop(self._waiting)
                continue
            wait = self._wait(urgency, number, operation, now)
            if wait > 0:
                nap = min(nap, wait if math.isfinite(wait) else _LONGEST_NAP)
                if wait <= self._wait(urgency, number, "", now):  # it waits for what all wait for
                    break
                later.append(heapq.heappop(self._waiting))  # for its own policy: the next may go before
                continue
            heapq.heappop(self._waiting)
            self._start(number, operation)
            granted.set_result(None)
        for waiter in later:
            heapq.heappush(self._waiting, waiter)
        if self._waiting:
            self._timer = asyncio.get_running_loop().call_later(nap, self._pump)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that ``Retry-After`` asks for; ``None`` where it does not, or in another way than in seconds."""
    said = headers.get("retry-after", "").strip()
    return float(said[:9]) if said.isascii() and said.isdigit() else None


_NAMED = re.compile(r'"([\w./ -]{1,40})"')


def _items(header: str, one: str, two: str) -> Iterator[tuple[str, int, int]]:
    """Name and two parameters of each item in a list header such as ``"default";r=1199;t=300, "other";r=5;t=1``.

    An item whose name cannot be read is taken for the default one.
    """
    for item in header[:1024].split(","):
        found: dict[str, int] = {}
        head, *parts = item.split(";")
        for part in parts:
            key, _, value = part.strip().partition("=")
            if value.isascii() and value.isdigit() and len(value) < 10:
                found[key] = int(value)
        if one in found and two in found:
            named = _NAMED.fullmatch(head.strip())
            yield (named[1].lower() if named else DEFAULT), found[one], found[two]
