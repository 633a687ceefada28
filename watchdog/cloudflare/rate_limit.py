"""How fast one credential may call: within its share in any window, urgent things first, every wait obeyed.

The limit that must not be passed is Cloudflare's: 1,200 requests in 5 minutes for one user or token, after which
*everything* of that user is blocked for 5 minutes (Cloudflare's documentation, "Rate limits"). The promise is exact: in
no window of ``per`` are more than ``share x requests`` of ours (``sliding_window``), also over a process that is killed
(``bookings``). What the answers say can only make it stricter: a policy (``policies``), a 429 (``block``). All
credentials together keep to the limit of one address, and take turns there (``address``). It uses the monotonic clock
only. ``sender`` calls this for each request, ``client`` to reserve several.
"""

import asyncio
import heapq
import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import IntEnum
from itertools import count

from watchdog.cloudflare import ratelimit_headers
from watchdog.cloudflare.address import LONGEST_NAP, SHORTEST_NAP, Address
from watchdog.cloudflare.block import Block, TooLong
from watchdog.cloudflare.bookings import Book, Bookings
from watchdog.cloudflare.policies import Policies
from watchdog.cloudflare.sliding_window import Allowance, SlidingWindow
from watchdog.model.clock import Clock


class Urgency(IntEnum):
    """Who goes first when several wait."""

    ACT = 0
    TROUBLED = 1
    CALM = 2


_Waiter = tuple[Urgency, int, int, str, asyncio.Future[datetime | None]]
"""How urgent, who came first, how many requests, of which operation; answered once they may begin, else until when."""


class Reservation:
    """Requests of the quota that were reserved ahead. ``read_at`` is when the pack was read for them (monotonic)."""

    def __init__(self, left: int) -> None:
        self._left = left
        self.read_at: float | None = None

    def take(self) -> bool:
        """Use one, if one is left."""
        self._left -= 1
        return self._left >= 0


class Quota:
    """The requests of one credential. ``acquire``, make the request, ``release`` with the answer's headers."""

    def __init__(
        self,
        allowance: Allowance,
        address: Address,
        clock: Clock,
        book: Book | None = None,
        booked: Iterable[tuple[float, int]] = (),
    ) -> None:
        """``booked`` are the requests that earlier processes booked: until when, and how many, in order."""
        self._address = address
        self._clock = clock
        self._window = SlidingWindow(allowance.ours, allowance.per)
        self._window.recall(until for until, requests in booked for _ in range(requests))
        self._policies = Policies(allowance, self._window)
        self._bookings = Bookings(book, self._window, clock)
        self._waiting: list[_Waiter] = []
        self._in_line = {True: False, False: False}  # of the address: for an act, for a look
        self._order = count()
        self._timer: asyncio.TimerHandle | None = None
        self._block = Block(clock)
        self._ends_at: float | None = None
        self.waited = 0.0

    def count_anew(self, booked: Iterable[tuple[float, int]]) -> None:
        """Another process has sent requests of this credential: these are all that were booked, as at the start."""
        self._window.count_anew(until for until, requests in booked for _ in range(requests))

    @property
    def allowance(self) -> Allowance:
        """What is allowed: as configured, or as Cloudflare has since said."""
        return self._policies.allowance

    @property
    def remaining(self) -> int | None:
        """Requests left of the allowance, for everyone, as Cloudflare said within the last window; else ``None``."""
        return self._policies.remaining(self._clock.monotonic())

    @property
    def blocked_for(self) -> float:
        """Seconds until the block that a 429 brought is over; 0 when there is none."""
        return self._block.left

    @property
    def blocked_until(self) -> datetime | None:
        """When that block is over, as it was worked out when it came; ``None`` when there is none."""
        return self._block.until

    def allow(self, allowance: Allowance) -> None:
        """Another allowance holds from now on; what was counted stays counted."""
        self._policies.allow(allowance)

    async def acquire(self, urgency: Urgency, operation: str = "") -> None:
        """Wait until a request may be sent at once. The most urgent goes first; among equals the first to come.

        Raises ``TooLong``.
        """
        await self.reserve(urgency, operation=operation)
        if not self._bookings.use_one():
            await self.use_a_booking()

    async def use_a_booking(self) -> None:
        """Wait until a request that is sent now is counted whatever becomes of this process.

        To be called with a reservation, which is released if this fails.
        """
        try:
            await self._bookings.use()
        except BaseException:
            self.release()
            raise

    async def reserve(self, urgency: Urgency, number: int = 1, operation: str = "") -> int:
        """Wait for so many requests at once, or for all of a window that has fewer; gives how many they are.

        Each needs a booking before it is used. Raises ``TooLong``.
        """
        if (until := self._block.too_long_until) is not None:
            raise TooLong(until)
        number = min(number, self._window.limit, self._address.limit)
        at_once = not self._waiting and self._wait(urgency, number, operation, self._clock.monotonic()) <= 0
        if at_once and self._address.take(number):
            self._start(number, operation)
            return number
        began = self._clock.monotonic()
        granted: asyncio.Future[datetime | None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (urgency, next(self._order), number, operation, granted))
        self._pump_if_new()
        self._dismiss()
        try:
            blocked = await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled() and granted.result() is None:
                for _ in range(number):
                    self._window.end(self._clock.monotonic())
                    self._address.end()
            raise
        finally:
            self.waited += self._clock.monotonic() - began
        if blocked is not None:
            raise TooLong(blocked)
        return number

    def release(self, headers: Mapping[str, str] | None = None, operation: str = "") -> None:
        """The answer came (or never will: ``None``)."""
        now = self._clock.monotonic()
        self._window.end(now)
        self._address.end()
        if headers is not None:
            self._policies.learn(headers, operation, now)
        if self._waiting:
            self._pump_if_new()

    def block(self, headers: Mapping[str, str], hint: float | None = None) -> float:
        """A 429 came: nothing more is sent for as long as ``Block.begin`` says. Returns the seconds."""
        seconds = self._block.begin(headers, hint)
        if (until := self._block.too_long_until) is not None:
            for *_, granted in self._waiting:
                if not granted.done():
                    granted.set_result(until)
        return seconds

    def end(self, patience: float) -> None:
        """All ends within so many seconds: from now on nobody waits for a look, nor for longer than that to act.

        Who does is cancelled.
        """
        self._ends_at = self._clock.monotonic() + patience
        self._dismiss()

    def _dismiss(self) -> None:
        if self._ends_at is None:
            return
        now = self._clock.monotonic()
        for urgency, _, number, operation, granted in self._waiting:
            if urgency is not Urgency.ACT or now + self._wait(urgency, number, operation, now) > self._ends_at:
                granted.cancel()

    def has_plenty(self, headers: Mapping[str, str]) -> bool:
        """Whether these headers say that much is left of every policy they name: then a 429 has another cause."""
        return ratelimit_headers.has_plenty(headers, self._policies.allowance.requests)

    def _wait(self, urgency: Urgency, number: int, operation: str, now: float) -> float:
        number = min(number, self._window.limit)
        more = number - 1
        return max(
            self._block.over_at - now,
            self._window.wait(now, self._headroom(urgency) + more),
            self._policies.wait(operation, number, now, acts=urgency is Urgency.ACT),
        )

    def _headroom(self, urgency: Urgency) -> int:
        """Requests (3 % of ours) that looks leave over, so that a restart never waits for a whole window."""
        return 0 if urgency is Urgency.ACT else self._window.limit // 32

    def _start(self, number: int, operation: str) -> None:
        for _ in range(number):
            self._window.start()
        self._policies.started(operation, number, self._clock.monotonic())

    def needs(self, *, act: bool) -> int:
        """How many requests whoever is next would begin now; 0 if nobody is, or if it is no ``act`` and should be."""
        waiter = self._next()
        if waiter is None:
            return 0
        heapq.heappush(self._waiting, waiter)
        urgency, _, number, _, _ = waiter
        return 0 if act and urgency is not Urgency.ACT else number

    def turn(self, number: int, *, act: bool) -> None:
        """It is our turn at the address: so many requests of whoever is next begin now."""
        self._in_line[act] = False
        if number and (waiter := self._next()) is not None:
            self._grant(waiter)
        self._pump()

    def _grant(self, waiter: _Waiter) -> None:
        _, _, number, operation, granted = waiter
        self._start(number, operation)
        granted.set_result(None)

    def _pump(self) -> None:
        """Begin what may begin; what waits for the address alone goes into its line."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while (waiter := self._next()) is not None:
            urgency, _, number, _, _ = waiter
            if not self._address.take(number):
                heapq.heappush(self._waiting, waiter)
                act = urgency is Urgency.ACT
                if not self._in_line[act]:
                    self._in_line[act] = True
                    self._address.line_up(self, act=act)
                return
            self._grant(waiter)

    def _pump_if_new(self) -> None:
        """As ``_pump``, but where whoever is first stands in line at the address: then its turn there comes first."""
        if not self._in_line[self._waiting[0][0] is Urgency.ACT]:
            self._pump()

    def _next(self) -> _Waiter | None:
        """Takes out whoever may begin as far as this account is concerned. If nobody may, it is asked again later."""
        later: list[_Waiter] = []
        nap, now = math.inf, self._clock.monotonic()  # one moment for all, or none would wait for what others wait for
        found = None
        while self._waiting and found is None:
            waiter = heapq.heappop(self._waiting)
            urgency, _, number, operation, granted = waiter
            if granted.done():  # cancelled while it waited
                continue
            wait = self._wait(urgency, number, operation, now)
            if wait <= 0:
                found = waiter
                continue
            later.append(waiter)
            nap = min(nap, wait if math.isfinite(wait) else LONGEST_NAP)
            if wait <= self._wait(urgency, number, "", now):  # it waits for what all wait for
                break  # else for its own policy: the next may go before
        for waiter in later:
            heapq.heappush(self._waiting, waiter)
        if found is None and self._waiting and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(max(nap, SHORTEST_NAP), self._pump)
        return found
