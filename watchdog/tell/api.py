"""``/api/v1``: the fleet, its events and its alerts as JSON, in pages; it only reads.

Rows are those of ``model.report``, here as everywhere. ``openapi`` tells of all this to programs, from the same tables.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from difflib import get_close_matches
from itertools import islice
from typing import Annotated, Any

import msgspec

from watchdog.model.decisions import Do
from watchdog.model.history import JournalQuery
from watchdog.model.names import canonical
from watchdog.model.pack_ids import SHORTEST_PREFIX
from watchdog.model.packs import KNOWN_STATUSES
from watchdog.model.reasons import Reason
from watchdog.model.report import event_row, silence_row, zone_row
from watchdog.model.zone_packs import Tracked
from watchdog.tell.fleet import Fleet, key_of
from watchdog.tell.query import (
    ACCOUNT,
    LIMIT,
    NEEDS_PERSON,
    USUAL,
    ZONE,
    Parameter,
    Refused,
    after,
    cursor,
    matches,
    one_of,
    since,
)
from watchdog.tell.sources import Sources

LARGEST_NUMBER = 2**63 - 1
"""Of a line of the journal: what a database holds."""

EVENTS_OF_A_PACK = 50
"""Lines of the journal that one pack's answer has."""

PACKS: Mapping[str, Parameter] = {
    "account": ACCOUNT,
    "zone": ZONE,
    "status": Parameter(
        read=str,
        schema={"type": "string"},
        says=f"Cloudflare's status: {', '.join(sorted(KNOWN_STATUSES))}, or a new one that a pack has.",
    ),
    "decision": one_of([str(do) for do in Do], "What was decided at the last look."),
    "reason": one_of([str(reason) for reason in Reason], "Why that was decided."),
    "needs_person": NEEDS_PERSON,
    "limit": LIMIT,
    "after": after(tuple[str, str, str]),
}
ZONES: Mapping[str, Parameter] = {
    "account": ACCOUNT,
    "zone": ZONE,
    "limit": LIMIT,
    "after": after(tuple[str, str]),
}


def events_parameters(sources: Sources) -> Mapping[str, Parameter]:
    """Those of ``/api/v1/events``."""
    return {
        "since": since(sources.now, sources.duration),
        "zone": ZONE,
        "limit": LIMIT,
        "after": after(Annotated[int, msgspec.Meta(ge=0, le=LARGEST_NUMBER)]),
    }


def packs(fleet: Fleet, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What ``/api/v1/packs`` answers: a page of rows, the zones they are in, and where to go on."""
    _check_names(fleet, asked)
    if (status := asked.get("status")) is not None and status not in KNOWN_STATUSES and status not in fleet.statuses:
        known = ", ".join(sorted(KNOWN_STATUSES | set(fleet.statuses)))
        raise Refused("bad_value", f"status: {status!r} is not known; known are: {known}")
    limit, wanted = asked.get("limit", USUAL), _wanted(fleet, asked)
    among = fleet.needing if asked.get("needs_person") else fleet.after
    found = list(islice(filter(wanted, among(asked.get("after"))), limit + 1))
    shown = found[:limit]
    names = {(known.account, known.zone) for known, _ in shown}
    return {
        "packs": [fleet.inventory.row(*tracked) for tracked in shown],
        "zones": [
            zone_row(found_zone[0], fleet.packs_of_zone(name))
            for name in sorted(names)
            if (found_zone := fleet.of_zone(*name)) is not None
        ],
        "next": cursor(key_of(shown[-1])) if len(found) > limit else None,
    }


def zones(fleet: Fleet, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What ``/api/v1/zones`` answers."""
    _check_names(fleet, asked)
    limit, place = asked.get("limit", USUAL), asked.get("after")
    account, fits = asked.get("account"), matches(asked.get("zone", "*"))
    wanted = (
        zone
        for zone in fleet.zones
        if (place is None or zone.key > place) and account in (None, zone.account) and fits(zone.label)
    )
    found = list(islice(wanted, limit + 1))
    shown = found[:limit]
    return {
        "zones": [zone_row(zone, fleet.packs_of_zone(zone.key)) for zone in shown],
        "next": cursor(shown[-1].key) if len(found) > limit else None,
    }


def silences(fleet: Fleet) -> dict[str, Any]:
    """What ``/api/v1/silences`` answers: those that hold, in the order they were added."""
    return {"silences": list(map(silence_row, fleet.inventory.silenced.all))}


def the_pack(fleet: Fleet, zone_id: str, pack_id: str) -> Tracked:
    """The pack that is named by its id, or by how that begins. Raises ``Refused``."""
    if not re.fullmatch(r"[0-9A-Za-z_-]{4,64}", pack_id):
        raise Refused("bad_value", f"pack_id: at least {SHORTEST_PREFIX} characters of the pack's id are needed")
    found = fleet.find(zone_id.lower(), pack_id)
    if not found:
        raise Refused("not_found", "no such zone is watched, or it has no such pack; /api/v1/packs lists them", 404)
    if len(found) > 1:
        ids = ", ".join(known.pack.id for known, _ in found[:10])
        raise Refused("bad_value", f"pack_id: {len(found)} packs of this zone begin so: {ids}")
    return found[0]


async def pack(sources: Sources, fleet: Fleet, tracked: Tracked) -> dict[str, Any]:
    """What ``/api/v1/packs/{zone_id}/{pack_id}`` answers: a row, and what happened, newest first."""
    query = JournalQuery(zone_id=tracked[0].pack.zone_id, pack=tracked[0].pack.id, most=EVENTS_OF_A_PACK)
    lines = await sources.events(query)
    return {**fleet.inventory.row(*tracked), "events": [event_row(line) for _, line in lines]}


async def events(sources: Sources, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What ``/api/v1/events`` answers: what happened, newest first."""
    limit = asked.get("limit", USUAL)
    start: datetime | None = asked.get("since")
    query = JournalQuery(since=start, zone=asked.get("zone", ""), before=asked.get("after"), most=limit + 1)
    found = await sources.events(query)
    shown = found[:limit]
    return {
        "events": [event_row(line) for _, line in shown],
        "next": cursor(shown[-1][0]) if len(found) > limit else None,
    }


def _wanted(fleet: Fleet, asked: Mapping[str, Any]) -> Callable[[Tracked], bool]:
    account, status, decision, reason = (asked.get(name) for name in ("account", "status", "decision", "reason"))
    needs_person = asked.get("needs_person")
    fits = matches(asked["zone"]) if "zone" in asked else None

    def wanted(tracked: Tracked) -> bool:
        known = tracked[0]
        return (
            (account is None or known.account == account)
            and (status is None or known.pack.status == status)
            and (decision is None or known.decision.do == decision)
            and (reason is None or known.decision.reason == reason)
            and (needs_person is None or (known.pack.key in fleet.need_a_person) == needs_person)
            and (fits is None or fits(known.zone))
        )

    return wanted


def _check_names(fleet: Fleet, asked: Mapping[str, Any]) -> None:
    """A name that was misspelled is no empty answer."""
    account, zone = asked.get("account"), asked.get("zone", "*")
    if account is not None and account not in fleet.accounts:
        raise Refused("bad_value", f"account: {account!r} is not known; known are: {', '.join(fleet.accounts)}")
    wanted = canonical(zone)
    if not set(zone) & set("*?") and not any(canonical(each.label) == wanted for each in fleet.zones):
        near = get_close_matches(zone.lower(), {each.label for each in islice(fleet.zones, 5000)}, 3)
        known = f"did you mean {' or '.join(near)}" if near else "/api/v1/zones lists them"
        raise Refused("bad_value", f"zone: no zone {zone!r} is watched; {known}")
