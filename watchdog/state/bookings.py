"""What was booked of each account's quota, so that the next process of this boot does not spend it again.

Functions over the connection of a transaction that ``store`` has begun. Times are as ``Clock.monotonic`` counts them,
which means something only within one boot.
"""

from watchdog.state import schema
from watchdog.state.deferred import sa

LONGEST = 7 * 86400.0
"""Seconds that a booking is kept at most: far longer than the five minutes of Cloudflare's window."""

SHARED = "shared"
"""In place of a boot where several machines share a state: then they are by the database's clock."""

_b = schema.bookings.c
_BOOKED = sa.select(_b.account, _b.until, _b.requests).where(_b.boot == sa.bindparam("of")).order_by(_b.until)
_BOOK = sa.insert(schema.bookings)
_PRUNE = sa.delete(schema.bookings).where(
    sa.or_(
        _b.boot != sa.bindparam("of"),
        _b.until < sa.bindparam("longest"),
        sa.and_(_b.account == sa.bindparam("mine"), _b.until < sa.bindparam("before")),
    )
)


def book(connection: sa.Connection, account: str, boot: str, until: float, requests: int, forget_before: float) -> None:
    """Note that ``account`` may send so many ``requests`` until then.

    What lies before ``forget_before`` goes, of other accounts (one may be gone for good) a week later.
    """
    old = {"of": boot, "longest": forget_before - LONGEST, "mine": account, "before": forget_before}
    connection.execute(_PRUNE, old)
    connection.execute(_BOOK, {"account": account, "boot": boot, "until": until, "requests": requests})


def booked(connection: sa.Connection, boot: str) -> list[tuple[str, float, int]]:
    """What was booked since ``boot``: account, until when, and how many requests; the earliest first."""
    rows = connection.execute(_BOOKED, {"of": boot})
    return [(account, float(until), int(requests)) for account, until, requests in rows]
