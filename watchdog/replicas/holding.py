"""The leases that this process has: which accounts it may work, and until when. Who asks it sees a ``Tenure``.

Nothing here asks the database: ``keeper`` notes what it said, and nobody else does. No lease is trusted for longer than
a moment that lies before its last renewal was sent, plus its length, less a margin: by a clock that counts while a
machine is suspended. What it means to take an account in, or to let one go, is the matter of an ``Attendant``.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta
from typing import Protocol

from watchdog.model.clock import Clock
from watchdog.model.leases import Fence, Lease

MARGIN = 10
"""The part of a lease that is not used: for a request that is on its way, and clocks that do not run alike."""


class Attendant(Protocol):
    """Who loads what is known of an account when its lease comes, and forgets it when its lease goes."""

    async def take_in(self, leases: Collection[Lease]) -> None:
        """These are ours: load all that is known of them. Raises ``StateError``."""

    def taken(self, leases: Collection[Lease]) -> None:
        """All that is known of these is loaded: from now on they are worked."""

    async def finish(self, account: str) -> None:
        """No new work of this account begins: wait for what is under way, and write all of it."""

    def let_go(self, leases: Collection[Lease], *, given: bool) -> None:
        """Not ours any more, as they were ``given`` away or somebody took them: forget what is known of them."""


class Holding:
    """The leases of one process, ``instance``, each ``ttl`` long."""

    attendant: Attendant
    """To be set before the first lease is asked for: what an account is to this process is built later than this."""

    def __init__(self, instance: str, clock: Clock, ttl: timedelta) -> None:
        self._instance, self._clock = instance, clock
        self._lasts = (ttl - ttl / MARGIN).total_seconds()
        self._leases: dict[str, Lease] = {}  # as far as anybody knows
        self._until: dict[str, float] = {}
        self._loaded: set[str] = set()  # all that is known of them is here
        self._finishing: set[str] = set()  # of these: no new work of them begins
        self._closed: set[str] = set()  # given back, as soon as the database has heard of it

    # ── what everybody asks ──────────────────────────────────────────────────────────────────────────────────────

    def keeps(self, account: str) -> bool:
        """Whether all that is known of the account is here, and more may be noted: also while it is handed over."""
        return account in self._loaded

    def holds(self, account: str) -> bool:
        """Whether the account may be looked at and restarted now, and people told of it."""
        return account in self._loaded and account not in self._finishing and self.may_send(account)

    def may_send(self, account: str) -> bool:
        """Whether a request of the account may leave at this moment."""
        until = self._until.get(account)
        return until is not None and self._clock.monotonic() < until

    def term(self, account: str) -> int:
        """The epoch of its lease, -1 without one."""
        lease = self._leases.get(account)
        return -1 if lease is None else lease.epoch

    def fence(self) -> Fence:
        """The epoch of each lease that is ours."""
        return Fence(self._instance, {account: lease.epoch for account, lease in self._leases.items()})

    def lost(self, epochs: Mapping[str, int]) -> None:
        """The database says that these leases are over. One that was taken again since has another epoch, and holds."""
        held = {account: lease.epoch for account, lease in self._leases.items()}
        self.lose([account for account, epoch in epochs.items() if held.get(account, epoch) == epoch], given=False)

    # ── what the keeper notes ────────────────────────────────────────────────────────────────────────────────────

    @property
    def settled(self) -> frozenset[str]:
        """The accounts that are worked, and that nobody has begun to hand over."""
        return frozenset(self._loaded - self._finishing)

    def of(self, account: str) -> Lease | None:
        """The account's lease; ``None`` where it is not ours."""
        return self._leases.get(account)

    def took(self, leases: Iterable[Lease], asked: float) -> None:
        """These leases are ours, ``asked`` for at that moment (monotonic, in seconds); nothing is loaded yet."""
        for lease in leases:
            self._leases[lease.account], self._until[lease.account] = lease, asked + self._lasts

    def renewed(self, accounts: Collection[str], asked: float) -> None:
        """The leases of these accounts were renewed, ``asked`` for at that moment (monotonic, in seconds).

        An account that was let go meanwhile stays so.
        """
        for account in accounts:
            if account in self._leases and account not in self._closed:
                self._until[account] = asked + self._lasts

    def load(self, leases: Collection[Lease]) -> None:
        """All that is known of these is loaded; a lease may have been lost meanwhile."""
        kept = [lease for lease in leases if self._leases.get(lease.account) is lease]
        self._loaded.update(lease.account for lease in kept)
        if lost := [lease for lease in leases if lease.account not in self._leases]:
            self.attendant.let_go(lost, given=False)
        self.attendant.taken(kept)

    def finish(self, account: str) -> None:
        """The account is about to be handed over: no new work of it begins."""
        self._finishing.add(account)

    def close(self, account: str) -> None:
        """The account is about to be given back: no request of it leaves from here on, whatever is renewed."""
        self._closed.add(account)
        self._until.pop(account, None)

    def lose(self, accounts: Iterable[str], *, given: bool) -> None:
        """These accounts are not ours any more: they were ``given`` back, or their leases are over."""
        now, lost = self._clock.now(), list[Lease]()
        for account in accounts:
            unknown = Lease(account=account, holder="", instance="", epoch=0, expires=now, since=now)
            lost.append(self._leases.pop(account, unknown))
            self._until.pop(account, None)
            self._loaded.discard(account)
            self._finishing.discard(account)
            self._closed.discard(account)
        if lost:
            self.attendant.let_go(lost, given=given)
