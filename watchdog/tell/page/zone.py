"""The page of one zone: what ``explain`` knows without asking anybody, and a picture of each pack's last 30 days."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from watchdog.model.clock import rfc3339
from watchdog.model.findings import Finding
from watchdog.model.history import JournalLine, ZoneMemory, next_restart_at
from watchdog.model.meanings import meaning
from watchdog.model.packs import DASHBOARD
from watchdog.model.renewal import RenewalWindow, renewal
from watchdog.model.report import next_step, record_row
from watchdog.model.text import clean, counted, sentence
from watchdog.model.zone_packs import Tracked
from watchdog.tell.fleet import Fleet, Needy
from watchdog.tell.page.front import event_shown, needy_shown, zone_shown
from watchdog.tell.page.lists import part
from watchdog.tell.page.timeline import HEIGHT, WIDTH, by_pack, story
from watchdog.tell.page.words import hosts_listed, moment
from watchdog.tell.sources import Situation

PACKS_SHOWN = 10
EVENTS_SHOWN = 100
MOST_EVENTS = 2000
"""Lines that the pictures are made of."""


def zone_page(
    fleet: Fleet,
    found: tuple[ZoneMemory, Sequence[Tracked]],
    situation: Situation,
    events: Sequence[tuple[int, JournalLine]] | str,
    asked: Mapping[str, str],
    now: datetime,
) -> dict[str, Any]:
    """What the template shows; ``events`` are the lines about this zone, newest first, or why they cannot be read."""
    zone, packs = found
    lines = [] if isinstance(events, str) else events
    told = by_pack(lines)
    # Who needs a person first, then who is in trouble.
    ranked = sorted(packs, key=lambda each: (each[0].pack.key not in fleet.need_a_person, not each[1].trouble_since))
    shown = part("packs", ranked, PACKS_SHOWN, asked, lambda tracked: _pack(tracked, fleet, situation, told, now))
    row = zone_shown(zone, fleet, now)
    seen = f"last seen {row['seen'].words}" if row["seen"] is not None else "never seen"
    return {
        "title": f"{zone.label} · certpack-watchdog",
        "root": "../../",
        "zone": {
            **row,
            "sentence": f"{counted(len(packs), 'pack')}, account {zone.account}, {seen}.",
            "severity": str(severities[0]) if (severities := meaning(zone.reason).severities) else "warning",
            "dashboard": DASHBOARD,
        },
        "packs": shown.rows,
        "width": WIDTH,
        "height": HEIGHT,
        "turn": shown.turn,
        "unreadable": sentence(events) if isinstance(events, str) else "",
        "lines": [event_shown(line, now) for _, line in lines[:EVENTS_SHOWN]],
    }


def _pack(
    tracked: Tracked, fleet: Fleet, situation: Situation, told: Mapping[str, list[JournalLine]], now: datetime
) -> dict[str, Any]:
    known, history = tracked
    pack, need = known.pack, fleet.inventory.needs.of(known, history)
    past = story(known, told.get(pack.id, ()), now)
    due = next_restart_at(known, history)
    window = renewal(pack.expires_at, pack.uploaded_at, now)
    records = known.diagnosis.records if known.diagnosis is not None else ()
    silenced_until = fleet.inventory.silenced.until(known.account, known.zone, pack)
    needy = (
        {} if need is None else needy_shown(Needy(known, history, need, silenced_until), situation, now, several=False)
    )
    return {
        **needy,
        "severity": needy.get("severity", ""),
        "silenced": moment(silenced_until, now) if silenced_until is not None else None,
        "names": hosts_listed(pack.hosts),
        "id": pack.id,
        "kind": ", ".join(filter(None, (pack.type, pack.certificate_authority))),
        "status": clean(pack.status, 60) or "none",
        "status_since": moment(known.since, now),
        "decision": str(known.decision.do),
        "reason": str(known.decision.reason),
        "next": next_step(known, history, now),
        "attempts": history.attempts or "none",
        "last_restart": history.last_restart_at and moment(history.last_restart_at, now),
        "restart": moment(due, now) if due is not None and due > now else None,
        "ends": pack.expires_at and moment(pack.expires_at, now),
        "ends_word": "ended" if pack.expires_at is not None and pack.expires_at <= now else "ends",
        "renewal": _window(window, now) if window is not None else "",
        "last_error": clean(history.last_error or "; ".join(pack.validation_errors), 1000),
        "found": moment(known.diagnosis.at, now) if known.diagnosis is not None else None,
        "findings": _folded(known.diagnosis.findings) if known.diagnosis is not None else [],
        "records": [record_row(record) for record in records],
        "more_records": 0,
        "bars": past.bars(),
        "story": past.words(),
    }


def _window(window: RenewalWindow, now: datetime) -> str:
    if now >= window.closes_at:
        return f"its renewal closed at {rfc3339(window.closes_at)}"
    if window.opens_at is None or now >= window.opens_at:
        return f"Cloudflare renews it until {rfc3339(window.closes_at)}"
    return f"Cloudflare renews it from {rfc3339(window.opens_at)} on"


def _folded(findings: Iterable[Finding]) -> list[dict[str, str]]:
    """Equal findings once, with all their hosts."""
    hosts: dict[tuple[str, str, str], list[str]] = {}
    for finding in findings:
        hosts.setdefault((finding.certainty, finding.says, finding.remedy), []).append(finding.host)
    return [
        {"certainty": certainty, "says": says, "remedy": remedy, "hosts": hosts_listed(named) if any(named) else ""}
        for (certainty, says, remedy), of in hosts.items()
        for named in [[each for each in of if each]]
    ]
