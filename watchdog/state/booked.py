"""The requests that every process on this state has booked, as far as is known here: the quota counts by them.

A booking is on the disk before its requests leave, so that the next process counts them; one that the disk did not take
counts here all the same. Called by ``memory`` and, for the quota, by ``building``, ``passes`` and ``handover``.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from watchdog.model.clock import Anchor
from watchdog.model.leases import Tenure
from watchdog.state.bookings import SHARED
from watchdog.state.store import Store
from watchdog.state.writer import Writer

Booking = tuple[str, float, int]
"""Account, until when, and how many requests."""


class Booked:
    """Bookings by account: until when, in seconds of the monotonic clock, and how many requests."""

    def __init__(self, store: Store, writer: Writer, tenure: Tenure) -> None:
        self._store, self._writer, self._tenure = store, writer, tenure
        self._all: dict[str, list[tuple[float, int]]] = {}
        self._unwritten: dict[str, list[tuple[float, int]]] = {}  # those of these that only this process knows
        self.elsewhere: set[str] = set()  # the accounts of which others have booked, until somebody heeds that

    def of(self, account: str) -> Sequence[tuple[float, int]]:
        """All that is booked of it."""
        return self._all.get(account, ())

    def stored(self, now: Anchor) -> list[Booking]:
        """What is on the disk; in the thread of the store."""
        boot = self._boot(now)
        return self._store.booked(boot) if boot else []

    def recall(self, booked: Iterable[Booking], now: Anchor, accounts: Collection[str] | None) -> None:
        """Note what was ``stored``: all of it, or what is of some ``accounts``."""
        ahead = self._ahead(now)
        for account, until, requests in booked:
            if accounts is None or account in accounts:
                self._all.setdefault(account, []).append((until - ahead, requests))
        for account in accounts or ():  # it was this process's before, perhaps
            self._all.setdefault(account, []).extend(self._unwritten.get(account, ()))

    def release(self, accounts: Collection[str]) -> None:
        """Others book for these accounts."""
        for account in accounts:
            self._all.pop(account, None)

    def count(self, booked: Iterable[Booking], now: Anchor) -> None:
        """Note what was booked in all, as a command beside this process books as well.

        Where bookings are by the database's clock, one's own are not told apart from others, but for those unwritten.
        """
        found: dict[str, Counter[tuple[float, int]]] = {}
        for account, until, requests in booked:
            if self._tenure.keeps(account):
                found.setdefault(account, Counter())[until - self._ahead(now), requests] += 1
        for account, all_there_are in found.items():
            mine = Counter(self._all.get(account, ()))
            if all_there_are - mine:
                unwritten = Counter(self._unwritten.get(account, ()))
                union = all_there_are + unwritten if self._store.shared else all_there_are | mine
                self._all[account] = sorted(union.elements())
                self.elsewhere.add(account)

    async def book(self, account: str, requests: int, until: float, forget_before: float) -> bool:
        """Note that an account may send so many requests ``until`` then, so that the next process knows.

        If that cannot be written, which makes this False, this process counts all the same.
        """
        for known in (self._all, self._unwritten):
            if account in known:
                known[account] = [booking for booking in known[account] if booking[0] >= forget_before]
        # A reload may take the account away, and bring it again.
        self._all.setdefault(account, []).append((until, requests))
        boot, ahead = self._boot(self._writer.moment), self._ahead(self._writer.moment)
        fence = self._writer.fence(account)
        written = await self._writer.attempt(
            lambda: self._store.book(account, boot, until + ahead, requests, forget_before + ahead, fence)
        )
        if not written:
            self._unwritten.setdefault(account, []).append((until, requests))
        return written

    def _boot(self, now: Anchor) -> str:
        """What bookings are counted by: the seconds of one boot or, where machines share them, the database's clock."""
        return SHARED if self._store.shared else now.boot

    def _ahead(self, now: Anchor) -> float:
        """By how many seconds the clock that bookings are stored by is ahead of the monotonic one."""
        return now.at.timestamp() - now.monotonic if self._store.shared else 0.0
