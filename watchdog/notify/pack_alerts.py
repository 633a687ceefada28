"""How an alert about a pack is written. Arithmetic only.

Whether there is one, and how grave it is, says ``model.needs``; ``rules`` asks that of every pack.
"""

from collections.abc import Iterator
from datetime import datetime

from watchdog.model.alerts import Alert
from watchdog.model.clock import rfc3339
from watchdog.model.history import History, Remembered, as_it_is_since
from watchdog.model.packs import ManualRecord, hosts_beside
from watchdog.model.report import next_step
from watchdog.model.text import counted
from watchdog.model.trouble import Need

MOST_HOSTS = 5
MOST_FINDINGS = 8
MOST_RECORDS = 20
"""What a person reads in a message; the rest is in ``explain`` and in the JSON of a webhook."""

_SAID = "mend what is named above."
"""In place of a remedy that stands among the findings."""


def pack_alert(
    known: Remembered,
    history: History,
    need: Need,
    now: datetime,
) -> Alert:
    """The alert about what a pack needs."""
    pack = known.pack
    return Alert(
        reason=need.reason,
        severity=need.severity,
        subject=f"{need.family}/{pack.lasting_name}",
        summary=f"{_who(known)}: {need.what}",
        since=as_it_is_since(known, history),
        body="\n".join(_body(known, history, need.remedy, now)),
        account=known.account,
        zone=known.zone,
        zone_id=pack.zone_id,
        pack_id=pack.id,
        hosts=pack.hosts,
        records=_to_place(known, history),
        restarts=history.attempts,
        stage=need.stage,
        worse_at=need.worse_at,
    )


def _who(known: Remembered) -> str:
    """The pack in a few words: its zone, and the first of its hosts where that says more."""
    beside = hosts_beside(known.zone, known.pack.hosts)
    return f"{known.zone} ({beside})" if beside else known.zone


def _to_place(known: Remembered, history: History) -> tuple[ManualRecord, ...]:
    """The records a person is to place: none where they were found before the last restart, which made new tokens."""
    found, last = known.diagnosis, history.last_restart_at
    return found.records if found is not None and (last is None or found.at > last) else ()


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
    shown = known.diagnosis.findings[:MOST_FINDINGS] if known.diagnosis is not None else ()
    for finding in shown:
        where = f"{finding.host}: " if finding.host else ""
        yield f"- {where}{finding.says} → {finding.remedy}"
    records = _to_place(known, history)
    if records:
        yield "To be placed:"
    yield from (f"  {record.name} {record.type} {record.value}" for record in records[:MOST_RECORDS])
    if len(records) > MOST_RECORDS:
        yield f"  and {len(records) - MOST_RECORDS} more"
    yield f"Next: {next_step(known, history, now)}"
    yield f"You: {_SAID if any(remedy[1:] == each.remedy[1:] for each in shown) else remedy}"
    yield f"More: certpack-watchdog explain {known.zone} {pack.id}"
