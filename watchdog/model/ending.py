"""What the end of one pack's certificate asks of a person. Arithmetic only; ``needs`` asks it of every pack.

What can be done depends on who renews it. Cloudflare renews the certificates that were ordered through it, until 24
hours before their end; a universal one cannot be restarted, only nudged; one that was uploaded is renewed by nobody
but its owner, who needs more time for that.
"""

from datetime import datetime, timedelta

import msgspec

from watchdog.model.clock import rfc3339
from watchdog.model.history import History, Remembered, next_restart_at
from watchdog.model.meanings import ORDERED_AGAIN
from watchdog.model.packs import EXPIRED, PENDING_EXPIRATION, UNIVERSAL, UPLOADED, VALIDATION_TIMED_OUT, Pack
from watchdog.model.reasons import Reason, Severity
from watchdog.model.renewal import LONGEST_WINDOW, PRESSING, RenewalWindow, renewal
from watchdog.model.trouble import Need

UPLOADED_PRESSING = timedelta(days=14)
"""How long before its end the need of an uploaded certificate is critical; it begins ``LONGEST_WINDOW`` before."""

EXPIRY = "expiry"
"""The family of these needs."""


class _Remedies(msgspec.Struct, frozen=True):
    """What a person does while it can still be renewed, once it cannot, and once it has run out."""

    early: str
    late: str
    over: str


_TOGGLE = "turn the proxy of its records off and on"
_LAST_RESORT = (
    "Universal SSL off and on comes last: there is no TLS meanwhile, a minute must lie between, and the backup"
    " certificate goes."
)
_REFUSED = "if its hosts are still served: browsers refuse this one"
_ORDERED = _Remedies(
    "see why Cloudflare has not renewed it: `explain` looks at CAA and DNS. Order another after {last}.",
    f"order another certificate now: Cloudflare does not renew this one any more. {ORDERED_AGAIN}",
    f"order another certificate now, {_REFUSED}. {ORDERED_AGAIN}",
)
_TIMED_OUT = _Remedies(
    "see that it is validated before {last}; until then a restart still leads to a renewal. Order another after that.",
    _ORDERED.late,
    _ORDERED.over,
)
_UNIVERSAL = _Remedies(
    f"see that its hosts are proxied and that CAA allows Cloudflare's authorities; then {_TOGGLE}.",
    f"{_TOGGLE}, or cover its hosts with an advanced certificate. {_LAST_RESORT}",
    f"cover its hosts with an advanced certificate now, or {_TOGGLE}. {_LAST_RESORT}",
)
_UPLOADED = _Remedies(
    "upload a new certificate for its hosts before {end}: Cloudflare does not renew what was uploaded.",
    "upload a new certificate for its hosts now: Cloudflare does not renew what was uploaded.",
    f"upload a new certificate now, {_REFUSED}.",
)
_RUNNING_OUT = _Remedies(
    "see whether another pack covers its hosts; if none does, order one before {end}.",
    "see whether another pack covers its hosts; if none does, order one now.",
    _ORDERED.over,
)


def ending(known: Remembered, history: History, now: datetime) -> Need | None:
    """What the end of the pack's certificate asks, if that is near or past, and if visitors are served it."""
    pack = known.pack
    if pack.status != EXPIRED and (pack.expires_at is None or pack.expires_at - now > LONGEST_WINDOW):
        return None
    if pack.status == EXPIRED or (pack.expires_at is not None and pack.expires_at <= now):
        at = f" at {rfc3339(pack.expires_at)}" if pack.expires_at is not None else ""
        remedy = _remedies(pack).over
        what = f"expired{at}"
        return Need(reason=Reason.EXPIRED, severity=Severity.CRITICAL, family=EXPIRY, what=what, remedy=remedy)
    if pack.type in UPLOADED:
        return _uploaded(pack.expires_at, now)
    window = renewal(pack.expires_at, pack.uploaded_at, now)
    return None if window is None else _ordered(known, history, window, now)


def _uploaded(end: datetime | None, now: datetime) -> Need | None:
    if end is None:
        return None
    late = end - now <= UPLOADED_PRESSING
    return Need(
        reason=Reason.EXPIRING,
        severity=Severity.CRITICAL if late else Severity.WARNING,
        family=EXPIRY,
        what=f"expires at {rfc3339(end)}, and Cloudflare does not renew what was uploaded",
        remedy=_UPLOADED.late if late else _UPLOADED.early.format(end=rfc3339(end)),
        worse_at=end if late else end - UPLOADED_PRESSING,
    )


def _ordered(known: Remembered, history: History, window: RenewalWindow, now: datetime) -> Need | None:
    end, last = known.pack.expires_at, window.last_restart_at
    if end is None:
        return None
    following, late = next_restart_at(known, history), now >= last
    waits_too_long = following is not None and following > last and not late
    if window.used < PRESSING and not waits_too_long:
        return None
    text = f"expires at {rfc3339(end)}, and "
    if late:
        text += "it is too late for Cloudflare to renew it"
    elif waits_too_long and following is not None:
        text += f"its next restart, at {rfc3339(following)}, comes too late for the renewal"
    else:
        text += "is not renewed yet"
    remedies = _remedies(known.pack)
    remedy = remedies.late if late else remedies.early.format(last=rfc3339(last), end=rfc3339(end))
    if waits_too_long:
        remedy += " Or order it from another certificate authority now: the limits of the first do not hold there."
        remedy += f" {ORDERED_AGAIN}"
    return Need(
        reason=Reason.EXPIRING,
        severity=Severity.CRITICAL if late or waits_too_long else Severity.WARNING,
        family=EXPIRY,
        what=text,
        remedy=remedy,
        worse_at=end if late or waits_too_long else last,
    )


def _remedies(pack: Pack) -> _Remedies:
    if pack.type in UPLOADED:
        return _UPLOADED
    if pack.status == PENDING_EXPIRATION:
        return _RUNNING_OUT
    if pack.type == UNIVERSAL:
        return _UNIVERSAL
    return _TIMED_OUT if pack.status == VALIDATION_TIMED_OUT else _ORDERED
