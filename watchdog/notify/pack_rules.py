"""Which alert holds about the trouble of one pack, and how an alert about a pack is written. Arithmetic only.

``rules`` asks it of every pack. A pack has at most one alert about its trouble, by what was decided of it; the other
one it can have is about its expiry (``expiry_rules``).
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from watchdog.model.alerts import Alert
from watchdog.model.events import rfc3339
from watchdog.model.findings import Certainty
from watchdog.model.history import History, Remembered
from watchdog.model.packs import IN_PROGRESS, VALIDATION_TIMED_OUT, ManualRecord, Pack
from watchdog.model.reasons import REASONS, Reason, Severity
from watchdog.model.report import next_step
from watchdog.model.text import clean, counted

TROUBLE = "trouble"
"""The family of these alerts; the first part of their subjects."""

MOST_HOSTS = 5
MOST_FINDINGS = 8
MOST_RECORDS = 20
"""What a person reads in a message; the rest is in ``explain`` and in the JSON of a webhook."""

_HELD_BY_PEOPLE = frozenset({"holding_deployment", "staging_deployment"})


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
        return _trouble(known, history, reason, text.format_map(_facts(known, history)), now)
    stage = _waits_for_records(known, history)
    if stage:
        text = f"needs records placed after {counted(stage, 'restart')}"
        return _trouble(known, history, Reason.RECORDS_NEEDED, text, now, stage=stage)
    waits = known.pack.status in IN_PROGRESS - _HELD_BY_PEOPLE
    if waits and now - known.since >= pending_for:
        text = f"{known.pack.status} since {rfc3339(known.since)}"
        return _trouble(known, history, Reason.PENDING_TOO_LONG, text, now)
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


def pack_alert(
    known: Remembered,
    history: History,
    reason: Reason,
    what: str,
    now: datetime,
    *,
    family: str,
    remedy: str,
    severity: Severity | None = None,
    stage: int = 0,
) -> Alert:
    """An alert about a pack; ``what`` is said of it, ``remedy`` is what a person does."""
    pack = known.pack
    return Alert(
        reason=reason,
        severity=severity or REASONS[reason].severities[0],
        subject=f"{family}/{subject(pack)}",
        summary=f"{_who(known)}: {what}",
        since=history.trouble_since or known.since,
        body="\n".join(_body(known, history, remedy, now)),
        account=known.account,
        zone=known.zone,
        zone_id=pack.zone_id,
        pack_id=pack.id,
        hosts=pack.hosts,
        records=_to_place(known, history) if family == TROUBLE else (),
        restarts=history.attempts,
        stage=stage,
    )


def _trouble(known: Remembered, history: History, reason: Reason, what: str, now: datetime, *, stage: int = 0) -> Alert:
    remedy = REASONS[reason].pack_remedy.format_map(_facts(known, history))
    return pack_alert(known, history, reason, what, now, family=TROUBLE, remedy=remedy, stage=stage)


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


def _body(known: Remembered, history: History, remedy: str, now: datetime) -> Iterator[str]:
    pack = known.pack
    hosts = ", ".join(pack.hosts[:MOST_HOSTS]) + (", …" if len(pack.hosts) > MOST_HOSTS else "")
    yield f"Pack {pack.id} ({pack.certificate_authority or 'unknown authority'}) for {hosts or 'no host'}."
    last = history.last_restart_at
    tried = f"; {counted(history.attempts, 'restart')}, the last at {rfc3339(last)}" if last is not None else ""
    yield f"{pack.status or 'No status'} since {rfc3339(known.since)}{tried}."
    expiry = pack.expires_at
    if expiry is None:
        yield "It has no certificate yet."
    else:
        yield f"Its certificate {'is' if now < expiry else 'was'} valid until {rfc3339(expiry)}."
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
    yield f"Next: {next_step(known, history, now)}"
    yield f"You: {remedy}"
    yield f"More: certpack-watchdog explain {known.zone} {pack.id}"
