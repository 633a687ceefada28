"""How long to wait after a restart, and why so long.

A failed validation spends the tokens, and certificate authorities count failures: Let's Encrypt allows 5 failed
authorizations per name, account and hour and pauses a name after 1,152 in a row; the account is Cloudflare's, so the
room is shared. 3 to 5 restarts per pack and day is a safe ceiling. With the defaults (15 m, factor 2, at most 24 h):

    ====  =========  ===============
    n-th  wait then  since the first
    ====  =========  ===============
    1     15 m       0
    2     30 m       15 m
    3     1 h        45 m
    4     2 h        1 h 45 m
    5     4 h        3 h 45 m
    6     8 h        7 h 45 m
    7     16 h       15 h 45 m
    8     24 h       31 h 45 m
    ====  =========  ===============

Seven restarts on the first day, while a person may still be mending DNS, and the eighth on the second: if each
validation fails at once, where Cloudflare's own schedule takes days. Jitter only ever lengthens a wait, so no pack is
restarted earlier than the table says, unless a restart would come too late for the renewal (``checks``).
"""

from datetime import timedelta

import msgspec


class Backoff(msgspec.Struct, frozen=True):
    """The waits between the restarts of one pack: ``initial`` × ``factor`` per further restart, at most ``longest``.

    ``jitter``, 0 to 1, is the part of itself by which a wait may be drawn longer.
    """

    initial: timedelta = timedelta(minutes=15)
    factor: float = 2.0
    longest: timedelta = timedelta(hours=24)
    jitter: float = 0.0

    def wait_after(self, attempt: int) -> timedelta:
        """The wait after the ``attempt``-th restart (from 1), without jitter. Raises ``ValueError`` below 1."""
        if attempt < 1:
            raise ValueError("attempts are counted from 1")
        wait, longest = self.initial.total_seconds(), self.longest.total_seconds()
        for _ in range(attempt - 1):
            if wait >= longest or self.factor == 1.0:
                break
            wait *= self.factor
        return min(timedelta(seconds=min(wait, longest)), self.longest)

    def drawn(self, attempt: int, dice: float) -> timedelta:
        """The wait after the ``attempt``-th restart with jitter; ``dice``, 0 to 1, is thrown once, by the caller."""
        return self.wait_after(attempt) * (1.0 + self.jitter * dice)
