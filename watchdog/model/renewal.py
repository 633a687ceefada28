"""How pressing a pack is: where it stands in its own renewal window. Arithmetic on what Cloudflare documents.

Renewal opens 30 days before expiry for certificates of 90 and 365 days, 7 days before for 30, 3 days before for 14,
and closes 24 hours before expiry. So a fixed number of days says nothing: 3 days left is the beginning for one
certificate and nearly the end for another.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

CLOSES_BEFORE = timedelta(hours=24)
"""Cloudflare stops renewing this long before expiry."""

VALIDATION_TAKES = timedelta(minutes=5)
"""An automatic validation that works usually finishes within this."""

_WINDOWS = ((14, timedelta(days=3)), (30, timedelta(days=7)))
"""Validity in days, and how long before expiry its renewal opens; longer validities have ``_LONG``."""

_LONG = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class RenewalWindow:
    """A pack's renewal window. A restart sent after ``last_restart_at`` comes too late for the renewal."""

    opens_at: datetime
    closes_at: datetime
    last_restart_at: datetime
    used: float
    """The part of the window that is gone: 0 until it opens, 1 once it has closed."""


def renewal(expires_at: datetime | None, validity_days: int, now: datetime) -> RenewalWindow | None:
    """Where a pack stands; ``None`` when it has no certificate yet. An unknown validity (0) counts as a long one."""
    if expires_at is None:
        return None
    window = next((before for days, before in _WINDOWS if 0 < validity_days <= days), _LONG)
    opens_at, closes_at = expires_at - window, expires_at - CLOSES_BEFORE
    used = min(max((now - opens_at) / (closes_at - opens_at), 0.0), 1.0)
    return RenewalWindow(opens_at, closes_at, closes_at - VALIDATION_TAKES, used)
