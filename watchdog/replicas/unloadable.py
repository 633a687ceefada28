"""Which accounts a replica could not load when it took them over, again and again. Called by ``keeper``."""

from collections.abc import Iterable

LEASES = 10
"""For so many leases such an account is left to others: a defect does not go away by itself, a lost connection does."""


class Unloadable:
    """The accounts that one replica could not load. Times are seconds of one monotonic clock."""

    def __init__(self, lease: float) -> None:
        """``lease`` is the length of one, in seconds."""
        self._lease = lease
        self._failed: dict[str, float] = {}
        self._left: dict[str, tuple[float, str]] = {}

    def failed(self, account: str, why: str, now: float) -> None:
        """The account could not be loaded. The second time within a lease it is left to others."""
        before, self._failed[account] = self._failed.get(account), now
        if before is not None and now - before <= self._lease:
            self._left[account] = now + LEASES * self._lease, why

    def apart(self, accounts: Iterable[str]) -> list[list[str]]:
        """The accounts in groups that are to be loaded together. One that failed is alone: it may make others fail."""
        groups: list[list[str]] = [[]]
        for account in accounts:
            if account in self._failed:
                groups.append([account])
            else:
                groups[0].append(account)
        return [group for group in groups if group]

    def loaded(self, account: str) -> None:
        """The account was loaded."""
        self._failed.pop(account, None)
        self._left.pop(account, None)

    def left(self, now: float) -> dict[str, str]:
        """The accounts that are left to others who can work them, and why."""
        self._left = {account: each for account, each in self._left.items() if now < each[0]}
        return {account: why for account, (_, why) in self._left.items()}
