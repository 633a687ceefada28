"""What is worth a word about one pack. Arithmetic only; ``conditions`` asks it of every pack.

A pack has at most one alert about its trouble, by what was decided of it, and at most one about its expiry.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

from watchdog.model.alerts import Alert
from watchdog.model.events import rfc3339
from watchdog.model.findings import Certainty
from watchdog.model.history import History, Remembered
from watchdog.model.packs import EXPIRED, IN_PROGRESS, VALIDATION_TIMED_OUT, Pack
from watchdog.model.reasons import REASONS, Reason, Severity
from watchdog.model.report import next_step
from watchdog.model.text import clean
from watchdog.notify.texts import about_pack, named, restarts, to_place, who

LATE = 0.5
"""The part of a renewal window after which a certificate that is not renewed is worth a word. Cloudflare begins to
renew when the window opens, and an automatic renewal takes minutes; half a window still leaves a person the other."""

SHORTEST_VALIDITY = 14
"""Days; taken where a certificate's validity is not known: rather a word late than one every month about nothing."""

LONGEST_WINDOW = timedelta(days=30)
"""No renewal opens earlier before expiry; spares the arithmetic for most packs."""

TROUBLE, EXPIRY = "trouble", "expiry"
"""The two families of alerts about packs; the first part of their subjects."""

_HELD_BY_PEOPLE = frozenset({"holding_deployment", "staging_deployment"})


class Window(Protocol):
    """A renewal window, as ``decide.urgency`` reckons it."""

    @property
    def last_restart_at(self) -> datetime:
        """A restart after this comes too late for the renewal."""

    @property
    def used(self) -> float:
        """The part of the window that is gone."""


RenewalWindow = Callable[[datetime | None, int, datetime], Window | None]
"""From expiry, validity in days and now to the window, if there is a certificate."""


def subject(pack: Pack) -> str:
    """A pack's name for as long as it lives, even if a restart changes its id."""
    zone_id, hosts, authority, kind = pack.identity
    return " ".join((zone_id, *hosts, authority, kind)) if hosts else f"{zone_id} {pack.id}"


def trouble(known: Remembered, history: History, pending_for: timedelta, now: datetime) -> Alert | None:
    """The one alert about the pack's trouble, if it has any."""
    reason = known.decision.reason
    if reason is Reason.HEALTHY:
        return None
    if text := REASONS[reason].pack:
        return _about(known, history, reason, text.format_map(_facts(known, history)))
    stage = _waits_for_records(known, history)
    if stage:
        text = f"needs records placed after {restarts(stage)}"
        return _about(known, history, Reason.RECORDS_NEEDED, text, stage=stage)
    waits = known.pack.status in IN_PROGRESS - _HELD_BY_PEOPLE
    if waits and now - known.since >= pending_for:
        return _about(known, history, Reason.PENDING_TOO_LONG, f"{known.pack.status} since {rfc3339(known.since)}")
    return None


def _facts(known: Remembered, history: History) -> dict[str, str]:
    """What the texts of ``REASONS`` about packs may name."""
    pack, found = known.pack, known.diagnosis.findings if known.diagnosis is not None else ()
    certain = next((finding.says.rstrip(".") for finding in found if finding.certainty is Certainty.CERTAIN), "")
    status = clean(pack.status, 60) or "none"
    return {
        "restarts": restarts(history.attempts),
        "obstacle": certain or status,
        "authority": pack.certificate_authority or "the certificate authority",
        "status": status,
        "type": pack.type or "none",
        "zone": known.zone,
        "pack": pack.id,
    }


def _waits_for_records(known: Remembered, history: History) -> int:
    """After how many restarts a person is to place records; 0 while there is nothing to place.

    Records found before the last restart are of tokens that it has spent, so they say nothing of it.
    """
    found, last = known.diagnosis, history.last_restart_at
    if found is None or last is None or not found.records:
        return 0
    if known.pack.status != VALIDATION_TIMED_OUT and known.pack.status not in IN_PROGRESS:
        return 0
    return history.attempts if found.at >= last else history.attempts - 1


def expiry(known: Remembered, history: History, renewal: RenewalWindow, now: datetime) -> Alert | None:
    """The one alert about the end of the pack's certificate, if that is near or past."""
    pack = known.pack
    if pack.status != EXPIRED and (pack.expires_at is None or pack.expires_at - now > LONGEST_WINDOW):
        return None
    if pack.status == EXPIRED or (pack.expires_at is not None and pack.expires_at <= now):
        at = f" at {rfc3339(pack.expires_at)}" if pack.expires_at is not None else ""
        return _about(known, history, Reason.EXPIRED, f"expired{at}", family=EXPIRY)
    window = renewal(pack.expires_at, pack.validity_days or SHORTEST_VALIDITY, now)
    if pack.expires_at is None or window is None or window.used < LATE:
        return None
    late = now >= window.last_restart_at
    text = f"expires at {rfc3339(pack.expires_at)}, and " + (
        "it is too late for Cloudflare to renew it" if late else "is not renewed yet"
    )
    severity = Severity.CRITICAL if late else Severity.WARNING
    last = rfc3339(window.last_restart_at)
    return _about(known, history, Reason.EXPIRING, text, severity=severity, family=EXPIRY, last=last)


def _about(
    known: Remembered,
    history: History,
    reason: Reason,
    what: str,
    *,
    stage: int = 0,
    severity: Severity | None = None,
    family: str = TROUBLE,
    last: str = "",
) -> Alert:
    pack = known.pack
    to_do = REASONS[reason].pack_remedy.format_map(_facts(known, history) | {"last": last})
    return Alert(
        reason,
        severity or REASONS[reason].severities[0],
        f"{family}/{subject(pack)}",
        f"{who(known)}: {what}",
        history.trouble_since or known.since,
        about_pack(known, history, next_step(known, history), to_do),
        *named(known),
        hosts=pack.hosts,
        records=to_place(known, history) if family == TROUBLE else (),
        restarts=history.attempts,
        stage=stage,
    )
