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

Six restarts on the first day, while a person may still be mending DNS, and the eighth on the second. Jitter only ever
lengthens a wait, so no pack is restarted earlier than the table says.
"""

from datetime import timedelta


def wait_after(attempt: int, initial: timedelta, factor: float, longest: timedelta) -> timedelta:
    """The wait after the ``attempt``-th restart (from 1), without jitter: ``initial × factor^(attempt-1)``, capped."""
    if attempt < 1:
        raise ValueError("attempts are counted from 1")
    wait = initial.total_seconds()
    for _ in range(attempt - 1):
        if wait >= longest.total_seconds() or factor == 1.0:
            break
        wait *= factor
    return min(timedelta(seconds=min(wait, longest.total_seconds())), longest)


def with_jitter(wait: timedelta, jitter: float, dice: float) -> timedelta:
    """``wait``, longer by at most ``jitter`` (0 to 1) of itself; ``dice`` (0 to 1) is thrown once, by the caller."""
    return wait * (1.0 + jitter * dice)
