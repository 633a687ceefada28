"""What is known now of zones, packs and what was tried for them: every question is answered from the process.

``Memory`` inherits it, fills it from the disk and from looks, and changes it in no other thread than the loop's; what
may be asked in any says so. Packs of zones in which all are well may still lie on the disk, ``unread``.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from itertools import chain

from watchdog.model.decisions import Do
from watchdog.model.history import UNTROUBLED, History, Remembered, ZoneMemory
from watchdog.model.observation import Known
from watchdog.model.pack_ids import PackKey, canonical_id
from watchdog.model.packs import HELD_BY_PEOPLE, Identity, Pack, ZoneRef
from watchdog.model.reasons import Reason
from watchdog.model.zone_packs import Tracked, ZonePacks
from watchdog.state.changes import Snapshot
from watchdog.state.database import StateError
from watchdog.state.unread import SENSELESS, Unread


class Knowledge(ABC):
    """Everything that is remembered, as of now."""

    def __init__(self) -> None:
        self.zones: dict[tuple[str, str], ZoneMemory] = {}
        self._packs: dict[str, dict[str, Remembered]] = {}
        self._unread: dict[str, Unread] = {}  # of the zones that are not among those
        self._histories: dict[PackKey, History] = {}
        self.revision = 0
        """Another number after something else is known of a zone or pack, or was tried for it."""
        self._revisions: dict[str, int] = {}  # by zone id: another after something else is known of its packs
        self._summed: dict[tuple[str, str], tuple[str, int, ZonePacks]] = {}  # with the id and revision it was made of

    def history(self, pack: Pack) -> History:
        """What was tried for this pack since it was last well."""
        return self._histories.get(pack.key, UNTROUBLED) if self._histories else UNTROUBLED

    def of(self, zone: ZoneRef) -> Known:
        """All that a look at this zone is compared with."""
        before = self.zones.get(zone.key) or ZoneMemory(account=zone.account, label=zone.label)
        return Known(before, self._of(zone.id), self._histories)

    def zone(self, zone: ZoneRef) -> ZoneMemory:
        """What is known of this zone; empty when it was never looked at."""
        return self.zones.get(zone.key) or ZoneMemory(account=zone.account, label=zone.label, id=zone.id)

    def zone_id(self, zone: ZoneRef) -> str:
        """The id this zone had when it was last seen; empty when it never was."""
        known = self.zones.get(zone.key)
        return known.id if known else ""

    def read(self) -> Iterator[Remembered]:
        """Every pack, but those that were well when they were stored and whose zone nobody has asked for yet."""
        packs = chain(self._packs.values(), (unread.unwell for unread in self._unread.values()))
        return (known for each in packs for known in each.values())

    def packs_of(self, zone: ZoneRef | ZoneMemory) -> list[Remembered]:
        """The packs remembered of one zone. May be called in any thread."""
        known, (account, label) = self.zones.get(zone.key), zone.key
        if not known or not known.id:
            return []
        unread = self._unread.get(known.id)  # asked for first: it is taken away once the others are there
        packs = self._packs.get(known.id, {}) if unread is None else self._values(unread)
        # Copied in one step, as others may change it meanwhile.
        return [pack for pack in list(packs.values()) if pack.account == account and pack.zone == label]

    def packs_in(self, zone: ZoneMemory) -> ZonePacks:
        """The same with their histories: one value until something else is known. May be called in any thread."""
        revision = self._revisions.get(zone.id, 0)  # before what is known: what changes meanwhile makes it another
        summed, unread = self._summed.get(zone.key), self._unread.get(zone.id)
        if summed is not None and summed[:2] == (zone.id, revision):
            return summed[2]
        if unread is not None and (unread.account, unread.zone) == zone.key:
            unwell = [(known, self.history(known.pack)) for known in unread.unwell.values()]
            take = partial(self._tracked, unread, unwell)
            packs = ZonePacks(zone.key, zone.id, unread.statuses, unwell, unread.ends, take)
        else:
            packs = ZonePacks.of(
                zone.key, zone.id, [(known, self.history(known.pack)) for known in self.packs_of(zone)]
            )
        self._summed[zone.key] = zone.id, revision, packs
        return packs

    def known(self, pack: Pack) -> Remembered | None:
        """The pack as it was remembered after its last look."""
        return self._of(pack.zone_id).get(pack.id)

    def read_ahead(self) -> None:
        """Read the packs that were left on the disk: a disk may fail or hang later. May be called in any thread.

        A zone that cannot be read is left: its next look fails and says why.
        """
        for unread in list(self._unread.values()):
            with suppress(StateError):
                self._values(unread)

    def pinned(self, zone: ZoneRef) -> dict[str, Identity]:
        """What the packs are that the configuration names by their ids, as far as they were ever seen."""
        if not zone.packs:
            return {}
        named = ((canonical_id(known.pack.id), known.pack) for known in self.packs_of(zone))
        return {key: pack.identity for key, pack in named if key in zone.packs and pack.hosts}

    def unwell(self, zone: ZoneRef) -> Sequence[Tracked]:
        """The packs of a zone that are not well or were tried, with what was tried for them."""
        known = self.zones.get(zone.key)
        if known is None or not known.id:
            return ()
        unread = self._unread.get(known.id)
        return () if unread is not None and not unread.unwell else self.packs_in(known).unwell

    def troubled(self, zone: ZoneRef) -> bool:
        """Whether a pack of the zone is in trouble, was just restarted, or is being worked on."""
        return any(_wants_attention(known) for known, _ in self.unwell(zone))

    def _tracked(self, unread: Unread, unwell: list[Tracked]) -> list[Tracked]:
        well = (known for pack_id, known in self._values(unread).items() if pack_id not in unread.unwell)
        return [*unwell, *((known, UNTROUBLED) for known in well)]

    # ── what changes it ──────────────────────────────────────────────────────────────────────────────────────────

    @abstractmethod
    def _found_senseless(self, error: Exception) -> None:
        """What was left on the disk makes no sense."""

    def _learn(self, snapshot: Snapshot, histories: dict[PackKey, History]) -> None:
        """What is stored of some accounts, or of all, is known from now on; the ``histories`` by the clock of now."""
        self.zones = {**self.zones, **snapshot.zones}
        for zone_id, unread in snapshot.unread.items():
            if zone_id in self._packs or zone_id in self._unread:  # another account watches it as well
                for known in self._values(unread).values():
                    self._set(known)
            else:
                self._unread[zone_id] = unread
                self._revisions[zone_id] = self._revisions.get(zone_id, 0) + 1
        for known in snapshot.packs.values():
            self._set(known)
        zones = {zone.id for zone in snapshot.zones.values()} | {zone_id for zone_id, _ in snapshot.packs}
        zones |= snapshot.unread.keys()
        self._take({key: each for key, each in self._histories.items() if key[0] not in zones} | histories)
        self.revision += 1

    def _let_go(self, accounts: Collection[str]) -> tuple[set[str], set[PackKey]]:
        """Forget what is known of these accounts; gives the zones that they alone have, and the packs elsewhere."""
        theirs = [known.pack.key for known in self.read() if known.account in accounts]
        kept = {key: zone for key, zone in self.zones.items() if zone.account not in accounts}
        zones = {zone.id for zone in self.zones.values() if zone.account in accounts} | {zone for zone, _ in theirs}
        zones -= {zone.id for zone in kept.values()}
        keys = {key for key in self._histories if key[0] in zones}.union(theirs)
        self.zones = kept
        self._unread = {zone_id: unread for zone_id, unread in self._unread.items() if unread.account not in accounts}
        for zone_id, pack_id in keys:
            self._packs.get(zone_id, {}).pop(pack_id, None)
            self._histories.pop((zone_id, pack_id), None)
            self._changed((zone_id, pack_id))
        self._packs = {zone_id: packs for zone_id, packs in self._packs.items() if packs}
        self._summed = {key: each for key, each in list(self._summed.items()) if key[0] not in accounts}
        self.revision += 1
        return zones, keys

    def _of(self, zone_id: str) -> dict[str, Remembered]:
        """The packs of a zone, which is read if it was not yet; in the loop's thread."""
        if (unread := self._unread.get(zone_id)) is not None:
            self._packs[zone_id] = self._values(unread)
            del self._unread[zone_id]
        return self._packs.get(zone_id, {})

    def _changed(self, key: PackKey) -> None:
        """Something else is known of this pack, or was tried for it."""
        zone_id, pack_id = key
        unread = self._unread.get(zone_id)
        if unread is not None and pack_id not in unread.unwell:
            self._of(zone_id)
        self._revisions[zone_id] = self._revisions.get(zone_id, 0) + 1
        self.revision += 1

    def _take(self, histories: dict[PackKey, History]) -> None:
        """These are all there are."""
        before, self._histories = self._histories, histories
        for key in before.keys() | histories.keys():
            if before.get(key) != histories.get(key):
                self._changed(key)

    def _set(self, known: Remembered) -> None:
        zone_id, pack_id = key = known.pack.key
        self._of(zone_id)
        self._packs.setdefault(zone_id, {})[pack_id] = known
        self._changed(key)

    def _values(self, unread: Unread) -> dict[str, Remembered]:
        """The packs of a zone that was not read. The daemon ends soon where they make no sense.

        Raises ``StateError`` where they cannot be read: nothing may take them for unknown.
        """
        try:
            return unread.known
        except SENSELESS as error:
            self._found_senseless(error)
            return {}

    def _has_moved(self, key: tuple[str, str], zone_id: str) -> bool:
        """Whether a zone is another than this at Cloudflare by now: its name stands for another id."""
        zone = self.zones.get(key)
        return zone is not None and zone.id not in ("", zone_id)

    def _last_seen(self, known: Remembered) -> datetime:
        zone = self.zones.get((known.account, known.zone))
        return zone.seen_at if zone and zone.seen_at else known.seen_at


def _wants_attention(known: Remembered) -> bool:
    if known.decision.do is Do.LEAVE:
        return known.decision.reason is Reason.IN_PROGRESS and known.pack.status not in HELD_BY_PEOPLE
    return known.decision.do is not Do.GIVE_UP
