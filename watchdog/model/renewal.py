"""How pressing a pack is: where it stands in its own renewal window. Arithmetic on what Cloudflare documents.

Renewal opens 30 days before expiry for certificates of 90 and 365 days, 7 days before for 30, 3 days before for 14,
and closes 24 hours before expiry [cloudflare-docs, certificate-and-hostname-priority and validity-periods, 2026]. So a
fixed number of days says nothing: 3 days left is the beginning for one certificate and nearly the end for another.

The life is the certificate's own, ``expires_on`` - ``uploaded_on``, and never the ``validity_days`` that were ordered:
authorities issue shorter ones than that (at most 200 days since 2026-03-15, 100 from 2027-03-15, 47 from 2029-03-15
[CA/Browser Forum SC-081v3]; Let's Encrypt 64 from 2027-02-10, 45 from 2028-02-16). Of such lives nobody says when
renewal opens; that it closes 24 hours before expiry holds for all.
"""

from datetime import datetime, timedelta

import msgspec

CLOSES_BEFORE = timedelta(hours=24)
"""Cloudflare stops renewing this long before expiry."""

VALIDATION_TAKES = timedelta(minutes=5)
"""An automatic validation that works usually finishes within this."""

_TOLERANCE = 0.04
"""The part by which a life may differ from the one it is called by: authorities set the beginning back by an hour, and
a certificate is uploaded some hours after it was issued. At least a day."""

_WINDOWS = tuple(
    (life - (around := max(life * _TOLERANCE, timedelta(days=1))), life + around, before)
    for life, before in (
        (timedelta(days=14), timedelta(days=3)),
        (timedelta(days=30), timedelta(days=7)),
        (timedelta(days=90), timedelta(days=30)),
        (timedelta(days=365), timedelta(days=30)),
    )
)
"""The shortest and the longest life, and how long before expiry its renewal opens, as Cloudflare documents them."""

_ASSUMED_PART = 5
"""Where nobody says when renewal opens, a fifth of the life is reckoned with: less than in any documented case but the
longest, so that people hear rather late of it than of nothing every month."""

_ASSUMED_LONGEST = timedelta(days=30)
_ASSUMED_SHORTEST = timedelta(days=3)
"""Also where the life itself is not known: the shortest window there is."""


LONGEST_WINDOW = timedelta(days=30)
"""No renewal opens earlier before expiry; spares the arithmetic for most packs."""

PRESSING = 0.5
"""The part of a renewal window after which a certificate that is not renewed is worth a word, and its pack a closer
look. Cloudflare begins to renew when the window opens, and an automatic renewal takes minutes; half a window still
leaves a person the other."""


class RenewalWindow(msgspec.Struct, frozen=True):
    """A pack's renewal window. A restart sent after ``last_restart_at`` comes too late for the renewal.

    ``opens_at`` is ``None`` where nobody says when renewal opens for a certificate of this life.
    """

    opens_at: datetime | None
    closes_at: datetime
    last_restart_at: datetime
    used: float
    """The part of the window (or of the assumed one) that is gone: 0 until it opens, 1 once it has closed."""


def renewal(expires_at: datetime | None, uploaded_at: datetime | None, now: datetime) -> RenewalWindow | None:
    """Where a pack stands; ``None`` when it has no certificate yet. ``uploaded_at`` may be ``None``: not known."""
    if expires_at is None:
        return None
    life = expires_at - uploaded_at if uploaded_at is not None and uploaded_at < expires_at else None
    window = _documented(life) if life is not None else None
    assumed = window or _assumed(life)
    opens_at, closes_at = expires_at - assumed, expires_at - CLOSES_BEFORE
    used = min(max((now - opens_at) / (closes_at - opens_at), 0.0), 1.0)
    return RenewalWindow(opens_at if window else None, closes_at, closes_at - VALIDATION_TAKES, used)


def _documented(life: timedelta) -> timedelta | None:
    for shortest, longest, before in _WINDOWS:
        if shortest <= life <= longest:
            return before
    return None


def _assumed(life: timedelta | None) -> timedelta:
    if life is None:
        return _ASSUMED_SHORTEST
    return min(max(life / _ASSUMED_PART, _ASSUMED_SHORTEST), _ASSUMED_LONGEST)
