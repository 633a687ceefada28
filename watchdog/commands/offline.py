"""What is told from the state alone: ``status`` and ``events``. No network, no credential, no lock.

Each gives a value and prints nothing: ``cli`` prints it. Nothing here changes anything, so that somebody who may only
read the configuration and the state is answered. What is heavy (the clients, the daemon) is not imported.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache, lru_cache
from itertools import chain, starmap
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from watchdog.model.clock import rfc3339
from watchdog.model.ending import EXPIRY
from watchdog.model.history import UNTROUBLED, JournalLine, JournalQuery
from watchdog.model.names import matcher
from watchdog.model.reasons import Reason
from watchdog.model.renewal import LONGEST_WINDOW
from watchdog.model.report import Inventory, zone_row
from watchdog.state.changes import Plain, Snapshot, Survey
from watchdog.state.quarantine import caution
from watchdog.state.rows import texts_from
from watchdog.tell.rows import PlainForm
from watchdog.tell.terminal import json_line

if TYPE_CHECKING:
    from watchdog.config.schema import Config
    from watchdog.state.glance import Glance
    from watchdog.state.store import Store
    from watchdog.tell.overview import Overview

MOST_TOLD = 1000
"""Lines of the journal that ``events`` prints: more is read by nobody."""

MOST_KEPT = 200_000
"""More lines than the journal has (``state.journal.ROWS``)."""

_ID = re.compile(r"[0-9a-f]{32}")

Wanted = Callable[[str, str], bool]
"""Whether a zone, by account and label, is to be watched."""


def overview(config: "Config", store: "Store | Glance", now: datetime) -> "Overview":
    """What is not well, and the counts of everything."""
    from watchdog.tell.overview import Listed, Overview  # noqa: PLC0415  not for those who print JSON

    wanted = _watched(config)
    found = _counted(store, store.survey(now + LONGEST_WINDOW), wanted)
    return Overview(
        inventory=_noteworthy(config, store, found, now, wanted),
        packs=found.packs,
        zones=found.zones,
        last_look=found.last_look,
        listed=lambda: (
            Listed(account=account, zone=zone, zone_id=zone_id, pack_id=pack_id, status=status, expires_at=expires_at)
            for account, zone, zone_id, pack_id, status, expires_at in store.listed()
            if wanted(account, zone)
        ),
        alike=store.alike,
    )


def _watched(config: "Config") -> Wanted:
    """What the configuration wants to be watched.

    What it wants no more is remembered for a week, and nobody need hear of it. Where several replicas share the state,
    others may have other configurations.
    """
    if config.state.shared:
        return lambda _account, _label: True
    named = {(zone.account, zone.label) for zone in config.zones}
    searches = {
        name: (list(map(matcher, found.include)), list(map(matcher, found.exclude)))
        for name, account in config.accounts.items()
        if (found := account.discover) is not None
    }

    whole = {
        name
        for name, account in config.accounts.items()
        if account.discover is not None and "*" in account.discover.include and not account.discover.exclude
    }
    if whole >= config.accounts.keys():
        return lambda account, _label: account in whole

    def is_watched(account: str, label: str) -> bool:
        include, exclude = searches.get(account, ((), ()))
        found = any(fits(label) for fits in include) and not any(fits(label) for fits in exclude)
        return found or (account, label) in named

    return cache(is_watched) if searches else is_watched


def _counted(store: "Store | Glance", found: Survey, wanted: Wanted) -> Survey:
    """The same without what is not wanted in its counts, and in when the last look was."""
    if all(starmap(wanted, store.zone_keys())):
        return found
    watched = [zone for zone in store.zones() if wanted(*zone.key)]
    packs = sum(count for key, count in store.counts().items() if wanted(*key))
    last_look = max((zone.tried_at for zone in watched if zone.tried_at is not None), default=None)
    return replace(found, packs=packs, zones=len(watched), last_look=last_look)


def _of(snapshot: Snapshot, wanted: Wanted) -> Snapshot:
    packs = {key: known for key, known in snapshot.packs.items() if wanted(known.account, known.zone)}
    zones = {key: zone for key, zone in snapshot.zones.items() if wanted(*key)}
    return replace(snapshot, packs=packs, zones=zones)


def _noteworthy(config: "Config", store: "Store | Glance", found: Survey, now: datetime, wanted: Wanted) -> Inventory:
    """The packs of which something is to be told, and those that may stand in for one whose end is pressing."""
    inventory = inventory_of(config, _of(found.unwell, wanted), now)
    # Where its trouble is graver than its end, nobody asks who stands in for it.
    pressing = {known.pack.zone_id for known, _, need in inventory.asked if need is not None and need.family == EXPIRY}
    if not pressing:
        return inventory
    return inventory_of(config, _of(store.with_zones(found.unwell, pressing), wanted), now)


class Rows(msgspec.Struct, frozen=True):
    """All that is remembered, as lines of JSON, each made when it is asked for: ``zones`` come after ``packs``."""

    packs: Iterator[str]
    zones: Iterator[str]


def rows(config: "Config", store: "Store | Glance", now: datetime, *, zone: str = "", reason: str = "") -> Rows:
    """Everything, or the packs and zones whose zone fits the pattern, and the packs that are so for a ``reason``."""
    ending_by, fits = now + LONGEST_WINDOW, cache(matcher(zone)) if zone else None
    found, wanted = store.survey(ending_by), _watched(config)
    inventory = _noteworthy(config, store, found, now, wanted)
    aside = {each.zone_id for each in found.unwell.silences} | {zone_id for zone_id, _ in found.unwell.histories}
    if aside := aside - {known.pack.zone_id for known, _ in inventory.packs}:
        found = replace(found, unwell=store.with_zones(found.unwell, aside))
        inventory = _noteworthy(config, store, found, now, wanted)
    told, counted, listed = defaultdict[str, set[str]](set), Counter[tuple[str, str]](), reason in ("", Reason.HEALTHY)
    for known, _ in inventory.packs:
        told[known.pack.zone_id].add(known.pack.id)
        counted[known.account, known.zone] += 1

    def of_told() -> Iterator[str]:
        for known, history, need in inventory.asked:
            row = inventory.row_with(known, history, need) if fits is None or fits(known.zone) else None
            if row is not None and reason in ("", row["reason"]):
                yield json_line(row)

    def of_others() -> Iterator[list[str]]:
        for key, lines in _plain_lines(store.plain(ending_by), now, told, fits, wanted):
            counted[key] += len(lines)
            yield lines

    def of_zones() -> Iterator[str]:
        counts: Mapping[tuple[str, str], int] = counted if listed else store.counts()
        yield from (
            json_line(zone_row(each, counts.get(each.key, 0)))
            for each in store.zones()
            if wanted(*each.key) and (not fits or fits(each.label))
        )

    return Rows(chain(of_told(), chain.from_iterable(of_others() if listed else ())), of_zones())


def _plain_lines(
    packs: Iterable[Plain],
    now: datetime,
    told: Mapping[str, Collection[str]],
    fits: Callable[[str], bool] | None,
    wanted: Wanted,
) -> Iterator[tuple[tuple[str, str], list[str]]]:
    """The rows of packs of which there is nothing to tell.

    Gives account and zone, and rows of it. Those that are ``told`` of, by zone id, are left out, and those in zones
    that do not fit or are not ``wanted``.
    Packs come zone by zone: what those of a zone have in common is filled in once.
    """
    form = PlainForm(now)
    expires_, rest = form.expires, form.rest
    before, key, fitting, lines = "", ("", ""), False, list[str]()
    told_here: Collection[str] = ()
    first = second = third = ""

    @lru_cache(maxsize=10_000)
    def moment(micros: int) -> str:
        return datetime.fromtimestamp(micros // 1_000_000, UTC).isoformat()[:19]

    for shared, pack_id, hosts, begun, expires in packs:
        if shared != before:
            if lines:
                yield key, lines
            zone_id, account, zone, kind, status = texts_from(shared)
            before, key, lines = shared, (account, zone), []
            fitting = (fits is None or fits(zone)) and wanted(account, zone)
            first, second, third = form.shared(account, zone, zone_id, kind, status)
            told_here = told.get(zone_id, ())
        if fitting and pack_id not in told_here:
            words = hosts if hosts.isascii() else json.dumps(json.loads(hosts))
            own_id = encode_basestring_ascii(pack_id)
            lines.append(f"{first}{own_id}{second}{words}{third}{moment(begun)}{expires_}{moment(expires)}{rest}")
    if lines:
        yield key, lines


def loss(config: "Config", store: "Store | Glance", now: datetime) -> str:
    """What a reader must know of a state that was lost lately, in sentences; empty where none was."""
    cautious = caution(store.lost, config.restart.backoff.initial, now)
    if not cautious or store.lost is None:
        return ""
    return f"The state was lost, and another is used since {rfc3339(store.lost.at)}. {cautious}"


def events(store: "Store | Glance", query: JournalQuery) -> list[JournalLine]:
    """What happened, oldest first. A zone may be given by its id as well."""
    if _ID.fullmatch(query.zone):
        query = replace(query, zone="", zone_id=query.zone)
    return sorted((line for _, line in reversed(store.journal(query))), key=lambda line: line.at)


def inventory_of(config: "Config", snapshot: Snapshot, now: datetime) -> Inventory:
    """The packs and zones of a snapshot, with the configured ``pending_for``."""
    packs = [(known, snapshot.histories.get(key, UNTROUBLED)) for key, known in snapshot.packs.items()]
    pending_for, zones = config.alerts.pending_for, list(snapshot.zones.values())
    return Inventory.of(packs, zones, now, pending_for=pending_for, silences=snapshot.silences)
