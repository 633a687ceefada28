"""What is worth a word about one pack. Arithmetic only; ``rules`` asks it of every pack.

A pack has at most one alert about its trouble, by what was decided of it, and at most one about its expiry.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Protocol

from watchdog.model.alerts import Alert
from watchdog.model.events import rfc3339
from watchdog.model.findings import Certainty
from watchdog.model.history import History, Remembered
from watchdog.model.packs import EXPIRED, IN_PROGRESS, VALIDATION_TIMED_OUT, ManualRecord, Pack
from watchdog.model.reasons import REASONS, Reason, Severity
from watchdog.model.renewal import LONGEST_WINDOW, PRESSING
from watchdog.model.report import next_restart_at, next_step
from watchdog.model.text import clean, counted

TROUBLE, EXPIRY = "trouble", "expiry"
"""The two families of alerts about packs; the first part of their subjects."""

MOST_HOSTS = 5
MOST_FINDINGS = 8
MOST_RECORDS = 20
"""What a person reads in a message; the rest is in ``explain`` and in the JSON of a webhook."""

_HELD_BY_PEOPLE = frozenset({"holding_deployment", "staging_deployment"})


class Window(Protocol):
    """A renewal window, as ``model.renewal`` reckons it."""

    @property
    def last_restart_at(self) -> datetime:
        """A restart after this comes too late for the renewal."""

    @property
    def used(self) -> float:
        """The part of the window that is gone."""


RenewalWindow = Callable[[datetime | None, datetime | None, datetime], Window | None]
"""From expiry, upload and now to the window, if there is a certificate."""


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
        text = f"needs records placed after {counted(stage, 'restart')}"
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
        "restarts": counted(history.attempts, "restart"),
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
    window = renewal(pack.expires_at, pack.uploaded_at, now)
    if pack.expires_at is None or window is None:
        return None
    following, late = next_restart_at(known, history), now >= window.last_restart_at
    waits_too_long = following is not None and following > window.last_restart_at and not late
    if window.used < PRESSING and not waits_too_long:
        return None
    text = f"expires at {rfc3339(pack.expires_at)}, and "
    if late:
        text += "it is too late for Cloudflare to renew it"
    elif waits_too_long and following is not None:
        text += f"its next restart, at {rfc3339(following)}, comes too late for the renewal"
    else:
        text += "is not renewed yet"
    severity = Severity.CRITICAL if late or waits_too_long else Severity.WARNING
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
    remedy = REASONS[reason].pack_remedy.format_map(_facts(known, history) | {"last": last})
    return Alert(
        reason=reason,
        severity=severity or REASONS[reason].severities[0],
        subject=f"{family}/{subject(pack)}",
        summary=f"{_who(known)}: {what}",
        since=history.trouble_since or known.since,
        body="\n".join(_body(known, history, remedy)),
        account=known.account,
        zone=known.zone,
        zone_id=pack.zone_id,
        pack_id=pack.id,
        hosts=pack.hosts,
        records=_to_place(known, history) if family == TROUBLE else (),
        restarts=history.attempts,
        stage=stage,
    )


def _who(known: Remembered) -> str:
    """The pack in a few words: its zone, and the first of its hosts where that says more."""
    hosts = known.pack.hosts
    if set(hosts) <= {known.zone, f"*.{known.zone}"}:
        return known.zone
    more = f" and {len(hosts) - 1} more" if len(hosts) > 1 else ""
    return f"{known.zone} ({hosts[0]}{more})"


def _to_place(known: Remembered, history: History) -> tuple[ManualRecord, ...]:
    """The records a person is to place: none where they were found before the last restart, which made new tokens."""
    found, last = known.diagnosis, history.last_restart_at
    return found.records if found is not None and (last is None or found.at >= last) else ()


def _body(known: Remembered, history: History, remedy: str) -> Iterator[str]:
    pack = known.pack
    hosts = ", ".join(pack.hosts[:MOST_HOSTS]) + (", …" if len(pack.hosts) > MOST_HOSTS else "")
    yield f"Pack {pack.id} ({pack.certificate_authority or 'unknown authority'}) for {hosts or 'no host'}."
    last = history.last_restart_at
    tried = f"; {counted(history.attempts, 'restart')}, the last at {rfc3339(last)}" if last is not None else ""
    yield f"{pack.status or 'No status'} since {rfc3339(known.since)}{tried}."
    expiry = pack.expires_at
    yield f"Its certificate is valid until {rfc3339(expiry)}." if expiry is not None else "It has no certificate yet."
    error = history.last_error or "; ".join(pack.validation_errors)
    if error:
        yield f"Last error: {error}"
    if known.diagnosis is not None:
        for finding in known.diagnosis.findings[:MOST_FINDINGS]:
            where = f"{finding.host}: " if finding.host else ""
            yield f"- {where}{finding.says} → {finding.remedy}"
    records = _to_place(known, history)
    if records:
        yield "To be placed:"
    yield from (f"  {record.name} {record.type} {record.value}" for record in records[:MOST_RECORDS])
    if len(records) > MOST_RECORDS:
        yield f"  and {len(records) - MOST_RECORDS} more"
    yield f"Next: {next_step(known, history)}"
    yield f"You: {remedy}"
    yield f"More: certpack-watchdog explain {known.zone} {pack.id}"
