"""The first page: one sentence, what is wrong with the watchdog itself, who needs a person, and all the rest."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from watchdog.model.decisions import Do
from watchdog.model.ending import EXPIRY
from watchdog.model.history import JournalLine, Remembered, ZoneMemory, as_it_is_since, next_restart_at
from watchdog.model.meanings import listing_remedy, meaning
from watchdog.model.pack_ids import shortened
from watchdog.model.packs import DASHBOARD, hosts_beside
from watchdog.model.reasons import Reason
from watchdog.model.report import next_step, record_row
from watchdog.model.text import clean, counted, sentence
from watchdog.model.zone_packs import Tracked
from watchdog.tell.fleet import Fleet, Needy
from watchdog.tell.page.lists import part
from watchdog.tell.page.words import hosts_listed, moment, path_of
from watchdog.tell.query import matches
from watchdog.tell.sources import Situation

NEEDS_SHOWN = 20
WORKING_SHOWN = 20
UNSEEN_SHOWN = 20
ZONES_SHOWN = 50
EVENTS_SHOWN = 50
RECORDS_SHOWN = 10
_LONGEST = 1000
_CHANGE = re.compile(r"^before=(\S+) status=(\S+)$")


class Banner(msgspec.Struct, frozen=True):
    """Something about the watchdog itself that everybody must know who reads the page."""

    severity: str
    says: str
    why: str = ""


def front_page(
    fleet: Fleet,
    situation: Situation,
    events: Sequence[tuple[int, JournalLine]] | str,
    asked: Mapping[str, str],
    now: datetime,
) -> dict[str, Any]:
    """What the template shows; ``events`` are the newest lines of the journal, or why they cannot be read."""
    find = clean(asked.get("zone", ""), 255)
    fits = matches(find if set(find) & set("*?") else f"*{find}*")
    zones = [zone for zone in fleet.zones if fits(zone.label)] if find else fleet.zones
    kept = {"zone": find} if find else {}
    need = list(fleet.need_a_person.values())
    said = summary(fleet, situation, now)
    several = len(fleet.accounts) > 1
    return {
        "title": f"{len(need)} need you · certpack-watchdog" if need else "certpack-watchdog",
        "root": "./",
        "sentence": said,
        "banners": list(banners(situation, now)),
        "waiting": situation.last_pass is None and not fleet.count,
        "needs": part(
            "needs", need, NEEDS_SHOWN, asked, lambda each: needy_shown(each, situation, now, several=several)
        ),
        "unseen": part("unseen", fleet.unseen, UNSEEN_SHOWN, asked, lambda zone: zone_shown(zone, fleet, now)),
        "working": part("working", fleet.working, WORKING_SHOWN, asked, lambda tracked: _working_shown(tracked, now)),
        "left": part("left", fleet.left_alone, WORKING_SHOWN, asked, lambda tracked: _working_shown(tracked, now)),
        "expiring": [_expiring_shown(known, now) for known in fleet.expiring],
        "find": find,
        "zones": part(
            "zones",
            zones,
            ZONES_SHOWN,
            asked,
            lambda zone: zone_shown(zone, fleet, now),
            kept,
        ),
        "unreadable": sentence(events) if isinstance(events, str) else "",
        "lines": [] if isinstance(events, str) else [event_shown(line, now) for _, line in events],
        "version": situation.version,
        "loaded": moment(situation.loaded_at, now),
        "accounts": [
            {
                "name": each.name,
                "remaining": each.remaining,
                "allowed": each.allowed,
                "blocked_until": each.blocked_until and moment(each.blocked_until, now),
            }
            for each in situation.accounts
        ],
        "holders": [
            {"account": each.account, "holder": each.holder, "since": moment(each.since, now), "here": each.here}
            for each in situation.holders
        ],
        "destinations": [
            {"name": each.name, "waiting": each.waiting, "failing": clean(each.failing, _LONGEST)}
            for each in situation.destinations
        ],
    }


def summary(fleet: Fleet, situation: Situation, now: datetime) -> str:
    """All of it in one sentence."""
    need, unseen = len(fleet.need_a_person), len(fleet.unseen)
    parts = [f"{counted(fleet.count, 'pack')} in {counted(len(fleet.zones), 'zone')}"]
    silenced = sum(1 for each in fleet.need_a_person.values() if each.silenced_until is not None)
    needed = f"{need} need{'s' if need == 1 else ''} you" if need else "nothing needs you"
    parts.append(f"{needed} ({silenced} silenced)" if silenced else needed)
    if unseen:
        parts.append(f"{counted(unseen, 'zone')} not seen")
    last = situation.last_pass_at
    parts.append("the first pass is under way" if last is None else f"last pass {moment(last, now).words}")
    return "; ".join(parts) + "."


def banners(situation: Situation, now: datetime) -> Iterator[Banner]:
    """What is to be known before anything else, the gravest first."""
    if situation.state_error:
        yield Banner("critical", "The state cannot be written, so nothing is restarted.", _why(situation.state_error))
    if situation.overdue_since is not None:
        late = moment(situation.overdue_since, now).words
        yield Banner("critical", f"A pass does not end; it was due {late}.", "What stands here may be old.")
    if situation.state_lost:
        yield Banner("warning", "The state was lost, and another is used.", _why(situation.state_lost))
    if situation.refusal:
        yield Banner(
            "warning",
            f"The configuration was refused at the last reload. The one from {moment(situation.loaded_at, now).words}"
            " goes on.",
            _why(situation.refusal),
        )
    for account, (reason, error) in situation.discovery.items():
        if reason is Reason.NOT_FOUND:
            yield Banner("warning", f"Account {account} has no zone to watch.", _why(error))
            continue
        remedy = sentence(listing_remedy(reason))
        yield Banner("warning", f"The zones of account {account} cannot be listed.", f"{_why(error)} {remedy}")
    if situation.dry_run:
        yield Banner("info", "Dry run: nothing is changed at Cloudflare.")


def needy_shown(each: Needy, situation: Situation, now: datetime, *, several: bool) -> dict[str, Any]:
    """One pack that needs a person; ``several`` where accounts are to be told apart."""
    known, need = each.known, each.need
    records = known.diagnosis.records if known.diagnosis is not None else ()
    runbook = f"{situation.runbooks.rstrip('/')}/{need.reason}.md"
    return {
        "severity": str(need.severity),
        "zone": known.zone,
        "account": known.account if several else "",
        "hosts": hosts_beside(known.zone, known.pack.hosts),
        "href": path_of(known.account, known.zone),
        "why": need.what if "_" in need.what.partition(" ")[0] else sentence(need.what),  # a status begins small
        "reason": str(need.reason),
        "since": moment(as_it_is_since(known, each.history), now),
        "ending": moment(known.pack.expires_at, now) if need.family == EXPIRY and known.pack.expires_at else None,
        "next_step": sentence(need.remedy),
        "silenced": moment(each.silenced_until, now) if each.silenced_until is not None else None,
        "records": [record_row(record) for record in records[:RECORDS_SHOWN]],
        "more_records": max(0, len(records) - RECORDS_SHOWN),
        "dashboard": DASHBOARD,
        "runbook": runbook,
        "runbook_link": runbook if runbook.startswith(("https://", "http://")) else "",
    }


def zone_shown(zone: ZoneMemory, fleet: Fleet, now: datetime) -> dict[str, Any]:
    """One zone."""
    remedy = meaning(zone.reason).zone_remedy if zone.error else ""
    return {
        "name": zone.label,
        "href": path_of(zone.account, zone.label),
        "said": counted(fleet.packs_of_zone(zone.key), "pack")
        + (f", {zone.account}" if len(fleet.accounts) > 1 else "")
        + (", not seen" if zone.error else ""),
        "seen": moment(zone.seen_at, now) if zone.seen_at is not None else None,
        "error": _why(zone.error),
        "remedy": sentence(remedy) + ("." if remedy and not remedy.endswith(".") else ""),
    }


def event_shown(line: JournalLine, now: datetime) -> dict[str, Any]:
    """One line of the journal."""
    return {
        "at": moment(line.at, now),
        "event": line.event,
        "zone": line.zone or line.account,
        "href": path_of(line.account, line.zone) if line.zone else "",
        "pack": shortened(line.pack_id, 8),
        "reason": line.reason,
        "detail": _CHANGE.sub(r"\1 → \2", clean(line.detail, _LONGEST)),
    }


def _working_shown(tracked: Tracked, now: datetime) -> dict[str, Any]:
    known, history = tracked
    due = next_restart_at(known, history) if known.decision.do is not Do.LEAVE else None
    return {
        "zone": known.zone,
        "hosts": hosts_beside(known.zone, known.pack.hosts),
        "href": path_of(known.account, known.zone),
        "status": clean(known.pack.status, 60) or "none",
        "since": moment(as_it_is_since(known, history), now),
        "attempts": history.attempts,
        "restart": moment(due, now) if due is not None and due > now else None,
        "next": next_step(known, history, now),
    }


def _expiring_shown(known: Remembered, now: datetime) -> dict[str, Any]:
    ends = known.pack.expires_at or now
    return {
        "zone": known.zone,
        "href": path_of(known.account, known.zone),
        "names": hosts_listed(known.pack.hosts),
        "ends": moment(ends, now),
    }


def _why(error: str) -> str:
    text = clean(error, _LONGEST)
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."
