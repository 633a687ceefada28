"""Who works which account, where several replicas share a state: leases, replicas, and what one process holds.

``state.leases`` keeps them in the database, ``replicas.spread`` says which account is for whom, ``replicas.keeper``
takes and gives them. Everyone else asks a ``Tenure``; where one process has the state for itself that is ``ALONE``.
Every time is the database's own.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Protocol

import msgspec

WATCHDOG = ""
"""In place of an account: what concerns the watchdog itself, which is told by one of the replicas."""


LONGEST_LEASE = timedelta(minutes=10)
"""A lease that seems to last for longer was written by a clock that was set back since."""


def lasts(expires: datetime, now: datetime) -> bool:
    """Whether what a replica said it will renew until then is not over."""
    return now < expires <= now + LONGEST_LEASE


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """One account's, as it is stored.

    ``holder`` is the name of the replica that took it last, ``instance`` its process (empty: it was handed back).
    ``epoch`` counts the takeovers. ``since`` is when it was taken, or handed back. ``seen_at`` is when the holder last
    saw zones of the account.
    """

    account: str
    holder: str
    instance: str
    epoch: int
    expires: datetime
    since: datetime
    seen_at: datetime | None = None
    version: str = ""
    config: str = ""

    def held(self, now: datetime) -> bool:
        """Whether it is somebody's."""
        return bool(self.instance) and lasts(self.expires, now)

    @property
    def worked_at(self) -> datetime:
        """When the holder last was there, as far as this shows it."""
        return max(self.expires if self.instance else self.since, self.since, self.seen_at or self.since)


class Replica(msgspec.Struct, frozen=True, kw_only=True):
    """One process that takes leases. ``accounts`` are those it can work, ``config`` is a hash of its configuration.

    ``troubles`` is what there is to be alerted of about this process itself, as one sentence by reason.
    """

    instance: str
    name: str
    expires: datetime
    since: datetime
    accounts: tuple[str, ...] = ()
    troubles: Mapping[str, str] = msgspec.field(default_factory=dict)
    version: str = ""
    config: str = ""


class Roll(msgspec.Struct, frozen=True):
    """All leases by account, and the living replicas by instance, as they were ``at`` one moment.

    ``exact`` is whether that is known to some seconds: not where the database was slow to answer.
    """

    at: datetime
    leases: Mapping[str, Lease]
    replicas: Mapping[str, Replica]
    exact: bool = True


AWAY_FOR = timedelta(days=1)
"""How long a replica that is gone may come back, with the accounts that it alone is configured with."""


def away(roll: Roll, configured: Collection[str]) -> frozenset[str]:
    """The accounts that no living replica is ``configured`` with, and whose last holder is not there to know better.

    A holder of the same name that lives has them no more; one that is gone may only be down, for a day.
    """
    living = {replica.name for replica in roll.replicas.values()}
    return frozenset(
        account
        for account, lease in roll.leases.items()
        if account not in configured and lease.holder and lease.holder not in living
        if roll.at - lease.worked_at < AWAY_FOR
    ) - {WATCHDOG}


class Fence(msgspec.Struct, frozen=True):
    """What a process must still hold when it writes: the epoch of each of its leases, by account."""

    instance: str
    epochs: Mapping[str, int]

    def of(self, accounts: Collection[str]) -> "Fence":
        """The part about some accounts. One that is not held has an epoch that never was."""
        return Fence(self.instance, {account: self.epochs.get(account, -1) for account in accounts})


class Tenure(Protocol):
    """Which accounts are this process's to work."""

    def keeps(self, account: str) -> bool:
        """Whether what is remembered of it is here, and what is found of it is noted: also while it is handed over."""

    def holds(self, account: str) -> bool:
        """Whether it may be looked at, restarted and told of now."""

    def may_send(self, account: str) -> bool:
        """Whether a request of it may leave at this moment; also while it is being handed over."""

    def term(self, account: str) -> int:
        """A number that is another one once the account was lost and taken again."""

    def fence(self) -> Fence | None:
        """What has to hold when something is written; ``None`` where nobody else writes."""

    def lost(self, epochs: Mapping[str, int]) -> None:
        """The database says that these leases are over, which had these epochs, by account."""


class Alone:
    """The tenure of a process that has the state for itself: everything."""

    def keeps(self, account: str) -> bool:  # noqa: ARG002  whichever it is
        """Always."""
        return True

    holds = may_send = keeps

    def term(self, account: str) -> int:  # noqa: ARG002  whichever it is
        """It is never lost."""
        return 0

    def fence(self) -> Fence | None:
        """There is none."""
        return None

    def lost(self, epochs: Mapping[str, int]) -> None:
        """It never happens."""


ALONE = Alone()
