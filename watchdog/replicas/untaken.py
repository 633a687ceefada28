"""Which accounts were given away to be spread evenly, and came back because nobody took them. Called by ``keeper``."""

LEASES = 10
"""For so many leases such an account stays: its heir may be too slow for what it is given, again and again."""


class Untaken:
    """The accounts that one replica gave away. Times are seconds of one monotonic clock."""

    def __init__(self, lease: float) -> None:
        """``lease`` is the length of one, in seconds."""
        self._for = LEASES * lease
        self._given: dict[str, int] = {}
        self._until: dict[str, float] = {}

    def gave(self, account: str, epoch: int) -> None:
        """The account was held under this epoch, and is given away."""
        self._given[account] = epoch

    def took(self, account: str, epoch: int, now: float) -> None:
        """The account is ours again, under this epoch, which counts up by one each time that somebody takes it."""
        if self._given.pop(account, epoch) == epoch - 1:
            self._until[account] = now + self._for

    def stays(self, account: str, now: float) -> bool:
        """Whether the account is not to be given away yet."""
        return now < self._until.get(account, now)
