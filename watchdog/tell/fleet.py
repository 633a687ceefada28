"""The fleet as pages and API show it: sorted, counted and indexed once, read by many requests.

``Fleet`` is made of an inventory, in another thread, and never changed. ``Fleets`` keeps the last one and makes the
next: small fleets are always fresh, large ones at most a minute old, and whoever asks ever so often makes no more of
them than a twentieth of a core can.
"""

import asyncio
import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

import msgspec

from watchdog.model.decisions import Do
from watchdog.model.history import History, Remembered, ZoneMemory, as_it_is_since, next_restart_at
from watchdog.model.pack_ids import meant
from watchdog.model.packs import GOING_AWAY, HEALTHY
from watchdog.model.reasons import Reason
from watchdog.model.report import Inventory
from watchdog.model.trouble import Need
from watchdog.model.zone_packs import Tracked, ZonePacks

EXPIRING_SHOWN = 10
"""Certificates on the page that end next."""

FRESH = 1.0
"""Seconds for which nobody minds that a fleet is old."""

QUICK = 0.05
"""Seconds of work that a request may wait for: a fleet of some thousand packs."""

STALE = 60.0
"""Seconds after which a request waits all the same: a pass later, everything may be otherwise."""

Key = tuple[str, str, str]
"""Account, zone and pack id: the order of packs everywhere."""


class Needy(msgspec.Struct, frozen=True):
    """A pack that asks something of a person, who is not told of it until ``silenced_until``."""

    known: Remembered
    history: History
    need: Need
    silenced_until: datetime | None = None


def key_of(tracked: Tracked) -> Key:
    """Where a pack stands in the order."""
    known = tracked[0]
    return (known.account, known.zone, known.pack.id)


class Fleet:
    """All that is known at one moment. Packs and zones stand in the order of account, zone and pack id.

    Made in another thread, in small steps: what sorts a large list in one go would hold up the loop meanwhile.
    """

    def __init__(self, inventory: Inventory) -> None:
        self.at = inventory.at
        self.inventory = inventory
        self.zones: list[ZoneMemory] = sorted(inventory.zones, key=lambda zone: zone.key)
        self.unseen = [zone for zone in self.zones if zone.error]
        self.accounts = sorted({zone.account for zone in self.zones})
        self._by_zone = {each.key: each for each in inventory.by_zone}
        self._keys = sorted(self._by_zone)
        self.count = 0
        self.statuses: dict[str, int] = {}
        for each in inventory.by_zone:
            for status, count in each.statuses.items():
                self.statuses[status] = self.statuses.get(status, 0) + count
                self.count += count
        needy: list[Needy] = []
        working: list[Tracked] = []
        left_alone: list[Tracked] = []
        needs = inventory.needs
        for tracked in sorted(inventory.restless, key=key_of):
            known, history = tracked
            pack, status = known.pack, known.pack.status
            if need := needs.of(known, history):
                silenced_until = inventory.silenced.until(known.account, known.zone, pack)
                needy.append(Needy(known, history, need, silenced_until))
            if (need is None or not need.of_a_person) and status not in HEALTHY and status not in GOING_AWAY:
                at_work = known.decision.do is not Do.LEAVE or known.decision.reason is Reason.IN_PROGRESS
                (working if at_work else left_alone).append(tracked)
        # What is silenced comes last; else what is graver first, and of that what lasts longest.
        needy.sort(
            key=lambda each: (
                each.silenced_until is not None,
                -each.need.severity.rank,
                as_it_is_since(each.known, each.history),
            )
        )
        self.needy = needy
        self.need_a_person = {each.known.pack.key: each for each in needy if each.need.of_a_person}
        working.sort(key=lambda tracked: (not tracked[1].attempts, next_restart_at(*tracked) or inventory.at))
        self.working, self.left_alone = working, left_alone
        soonest = _soonest(inventory.by_zone, self.at, 5 * EXPIRING_SHOWN)
        self.expiring = [known for known in soonest if needs.serves(known.pack)][:EXPIRING_SHOWN]

    def of_zone(self, account: str, zone: str) -> tuple[ZoneMemory, list[Tracked]] | None:
        """A zone and its packs; ``None`` where it is not watched."""
        start = bisect_right(self.zones, (account, zone), key=lambda each: each.key) - 1
        if start < 0 or self.zones[start].key != (account, zone):
            return None
        return self.zones[start], self.packs_in(account, zone)

    def packs_in(self, account: str, zone: str) -> list[Tracked]:
        """The packs of one zone."""
        found = self._by_zone.get((account, zone))
        return sorted(found.packs, key=key_of) if found is not None else []

    def packs_of_zone(self, key: tuple[str, str]) -> int:
        """How many they are."""
        found = self._by_zone.get(key)
        return found.count if found is not None else 0

    def after(self, place: Key | None) -> Iterator[Tracked]:
        """The packs that come after a place in the order; all where there is none."""
        start = bisect_left(self._keys, place[:2]) if place is not None else 0
        for number in range(start, len(self._keys)):
            for tracked in self.packs_in(*self._keys[number]):
                if place is None or key_of(tracked) > place:
                    yield tracked

    def needing(self, place: Key | None) -> Iterator[Tracked]:
        """Of those the ones that need a person."""
        packs = sorted(((each.known, each.history) for each in self.need_a_person.values()), key=key_of)
        return (tracked for tracked in packs if place is None or key_of(tracked) > place)

    def find(self, zone_id: str, prefix: str) -> list[Tracked]:
        """The packs of a zone whose ids begin so, written with or without dashes."""
        zone = next((zone for zone in self.zones if zone.id == zone_id), None)
        if zone is None:
            return []
        found = self.packs_in(*zone.key)
        ids = meant([known.pack.id for known, _ in found], prefix)
        return [tracked for tracked in found if tracked[0].pack.id in ids]


def _soonest(zones: Iterable[ZonePacks], now: datetime, most: int) -> list[Remembered]:
    """The packs whose certificates end first of all that have not, in their order."""
    dated = ((ends, each) for each in zones if (ends := _next_end(each, now)) is not None)
    # Of the zones with the first ends so many have as many packs, and no other has an earlier one.
    first = heapq.nsmallest(most, dated, key=lambda found: found[0])
    packs = (
        (ends, key_of(tracked), tracked[0])
        for _, each in first
        for tracked in each.packs
        if (ends := tracked[0].pack.expires_at) is not None and ends > now
    )
    return [known for _, _, known in heapq.nsmallest(most, packs, key=lambda found: found[:2])]


def _next_end(zone: ZonePacks, now: datetime) -> datetime | None:
    """The first end of a certificate that is to come."""
    well = zone.ends is None or zone.ends > now
    asked = (known.pack.expires_at for known, _ in (zone.unwell if well else zone.packs))
    ends = [each for each in (*asked, zone.ends) if each is not None and each > now]
    return min(ends, default=None)


class Fleets:
    """The last fleet, and the making of the next."""

    def __init__(self, take: Callable[[], Inventory], monotonic: Callable[[], float]) -> None:
        """``take`` is called in another thread."""
        self._take = take
        self._monotonic = monotonic
        self._fleet: Fleet | None = None
        self._made_at = 0.0
        self._took = 0.0
        self._making: asyncio.Task[Fleet] | None = None

    async def latest(self) -> Fleet:
        """The fleet, as fresh as it may be."""
        age = self._monotonic() - self._made_at
        if self._fleet is not None and age < max(FRESH, 20 * self._took if self._took > QUICK else 0):
            return self._fleet
        if self._making is None or self._making.done():
            self._making = asyncio.create_task(self._make())
        if self._fleet is not None and self._took > QUICK and age < STALE:
            return self._fleet
        return await asyncio.shield(self._making)

    async def _make(self) -> Fleet:
        began = self._monotonic()
        self._fleet = await asyncio.to_thread(lambda: Fleet(self._take()))
        self._made_at = self._monotonic()
        self._took = self._made_at - began
        return self._fleet
