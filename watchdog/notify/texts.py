"""What is known of a pack or a zone and what to do about it, as the lines of an alert's body. Arithmetic only."""

from collections.abc import Iterator

from watchdog.model.events import rfc3339
from watchdog.model.history import History, Remembered, ZoneMemory
from watchdog.model.packs import ManualRecord
from watchdog.model.reasons import REASONS, Reason

MOST_HOSTS = 5
MOST_FINDINGS = 8
MOST_RECORDS = 20
"""What a person reads in a message; the rest is in ``explain`` and in the JSON of a webhook."""


def named(known: Remembered) -> tuple[str, str, str, str]:
    """Account, zone, zone id and pack id, as an alert has them."""
    return (known.account, known.zone, known.pack.zone_id, known.pack.id)


def who(known: Remembered) -> str:
    """The pack in a few words: its zone, and the first of its hosts where that says more."""
    hosts = known.pack.hosts
    if set(hosts) <= {known.zone, f"*.{known.zone}"}:
        return known.zone
    more = f" and {len(hosts) - 1} more" if len(hosts) > 1 else ""
    return f"{known.zone} ({hosts[0]}{more})"


def restarts(count: int) -> str:
    """So many, as people say it.

    >>> restarts(1)
    '1 restart'
    """
    return f"{count} restart" if count == 1 else f"{count} restarts"


def to_place(known: Remembered, history: History) -> tuple[ManualRecord, ...]:
    """The records a person is to place: none where they were found before the last restart, which made new tokens."""
    found, last = known.diagnosis, history.last_restart_at
    return found.records if found is not None and (last is None or found.at >= last) else ()


def about_pack(known: Remembered, history: History, following: str, to_do: str) -> str:
    """The body of an alert about a pack; ``following`` is what the watchdog does next, ``to_do`` what a person does."""
    return "\n".join(_pack_lines(known, history, following, to_do))


def about_zone(zone: ZoneMemory, reason: Reason) -> str:
    """The body of an alert about a zone. A refusal's own text names the permission that is missing."""
    lines = [f"Account {zone.account}, zone {zone.label}" + (f" ({zone.id})." if zone.id else ".")]
    lines += [f"{zone.error}."] if zone.error else []
    lines += [f"It was last seen whole at {rfc3339(zone.seen_at)}."] if zone.seen_at else ["It was never seen whole."]
    return "\n".join((*lines, f"You: {REASONS[reason].zone_remedy}"))


def _pack_lines(known: Remembered, history: History, following: str, to_do: str) -> Iterator[str]:
    pack = known.pack
    hosts = ", ".join(pack.hosts[:MOST_HOSTS]) + (", …" if len(pack.hosts) > MOST_HOSTS else "")
    yield f"Pack {pack.id} ({pack.certificate_authority or 'unknown authority'}) for {hosts or 'no host'}."
    last = history.last_restart_at
    tried = f"; {restarts(history.attempts)}, the last at {rfc3339(last)}" if last is not None else ""
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
    records = to_place(known, history)
    if records:
        yield "To be placed:"
    yield from (f"  {record.name} {record.type} {record.value}" for record in records[:MOST_RECORDS])
    if len(records) > MOST_RECORDS:
        yield f"  and {len(records) - MOST_RECORDS} more"
    yield f"Next: {following}"
    yield f"You: {to_do}"
    yield f"More: certpack-watchdog explain {known.zone} {pack.id}"
