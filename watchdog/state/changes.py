"""What goes into the state and what comes out of it, as values.

``memory`` fills ``Changes`` and takes a ``Snapshot``; the modules with the tables write the one and read the other. No
rows and no statements here.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from watchdog.model.clock import Anchor
from watchdog.model.findings import Diagnosis
from watchdog.model.history import History, JournalLine, Remembered, Sent, ZoneMemory
from watchdog.model.leases import WATCHDOG, Fence
from watchdog.model.pack_ids import PackKey
from watchdog.model.silences import Silence

if TYPE_CHECKING:
    from watchdog.state.unread import Unread

JOURNAL_UNWRITTEN = 10_000
"""At most this many lines wait while the disk takes no writes."""


class Snapshot(msgspec.Struct, frozen=True):
    """Everything that is remembered. A pack without a history is ``UNTROUBLED``.

    ``unread`` are the packs of zones that are not among ``packs``, by zone id.

    The times of histories and intents are by the clock of ``anchor``; ``None`` before anything was written.
    """

    anchor: Anchor | None
    zones: dict[tuple[str, str], ZoneMemory]
    packs: dict[PackKey, Remembered]
    histories: dict[PackKey, History]
    silences: tuple[Silence, ...] = ()
    unread: "Mapping[str, Unread]" = msgspec.field(default_factory=dict)


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """How much is remembered, when any zone was last looked at, and what of it is not well."""

    packs: int
    zones: int
    last_look: datetime | None
    unwell: Snapshot


Plain = tuple[str, str, str, int, int]
"""A pack that is well, as its row has it, for of such there are many: what nearly all of a zone have in common (zone
id, account, zone, type and status, as JSON), its id, hosts, since when it is so, and the end of its certificate."""


class Settled(msgspec.Struct, frozen=True):
    """What became of an intent."""

    intent_id: int
    outcome: Sent
    error: str
    at: datetime


class Changes(msgspec.Struct, kw_only=True):
    """What one pass has to write. Histories that are ``UNTROUBLED`` are deleted, ``forgotten`` packs with theirs.

    ``of_leases`` are lines of the journal that are written whoever holds the account by then: its lease came or went.
    """

    zones: list[ZoneMemory] = msgspec.field(default_factory=list)
    packs: list[Remembered] = msgspec.field(default_factory=list)
    histories: dict[PackKey, History] = msgspec.field(default_factory=dict)
    diagnoses: dict[PackKey, Diagnosis | None] = msgspec.field(default_factory=dict)
    forgotten: list[PackKey] = msgspec.field(default_factory=list)
    journal: list[JournalLine] = msgspec.field(default_factory=list)
    settled: list[Settled] = msgspec.field(default_factory=list)
    of_leases: list[JournalLine] = msgspec.field(default_factory=list)

    def empty(self) -> bool:
        """Whether there is nothing to write."""
        return not any(getattr(self, name) for name in self.__struct_fields__)

    def fence(self, held: Fence) -> Fence:
        """The part of what is ``held`` that must hold for this to be written.

        All of it where a history comes without its pack: whose it is cannot be told. Nothing for what happened, and for
        what became of an intent: nobody else knows it, and it stands in nobody's way.
        """
        owners = {zone.account for zone in self.zones} | {each.account for each in self.packs}
        keys = {(each.pack.zone_id, each.pack.id) for each in self.packs}
        if not keys.issuperset((*self.histories, *self.diagnoses, *self.forgotten)):
            owners |= held.epochs.keys() - {WATCHDOG}
        return held.of(owners)

    def drop(self, accounts: Collection[str], zones: Collection[str], keys: Collection[PackKey]) -> None:
        """Forget what is of some accounts, who alone have the ``zones``, and these ``keys`` elsewhere: others write it.

        Whole zones, as a pack that lives on under another id is known here only by what is to be forgotten of it.
        """
        self.zones = [zone for zone in self.zones if zone.account not in accounts]
        self.packs = [each for each in self.packs if each.account not in accounts]
        self.journal = [line for line in self.journal if line.account not in accounts]
        self.forgotten = [key for key in self.forgotten if key[0] not in zones and key not in keys]
        for noted in (self.histories, self.diagnoses):
            for key in [key for key in noted if key[0] in zones or key in keys]:
                del noted[key]

    def merge(self, newer: "Changes") -> None:
        """Add what changed later. Of what changed twice the later stands: a full disk must not fill the memory."""
        self.zones = list({zone.key: zone for zone in (*self.zones, *newer.zones)}.values())
        self.packs = list({(each.pack.zone_id, each.pack.id): each for each in (*self.packs, *newer.packs)}.values())
        self.histories.update(newer.histories)
        self.diagnoses.update(newer.diagnoses)
        seen_again = {(each.pack.zone_id, each.pack.id) for each in newer.packs}
        self.forgotten = [key for key in self.forgotten if key not in seen_again] + newer.forgotten
        self.settled += newer.settled
        self.journal = [*self.journal, *newer.journal][-JOURNAL_UNWRITTEN:]
        self.of_leases = [*self.of_leases, *newer.of_leases][-JOURNAL_UNWRITTEN:]
