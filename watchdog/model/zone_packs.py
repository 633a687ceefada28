"""The packs of one zone at one moment, and what can be said of them without looking at each. Arithmetic only.

A fleet is mostly zones in which all is well, and will be for weeks. Whoever looks at everything (alerts, pages,
metrics) looks at each of those as one thing, and at the single packs of the others.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property

from watchdog.model.history import UNTROUBLED, History, Remembered
from watchdog.model.packs import HEALTHY
from watchdog.model.reasons import Reason

Entry = tuple[Remembered, History]
"""One pack, and what was tried for it."""


class ZonePacks:
    """Never changed: of a zone in which something changes, another is made.

    ``statuses`` counts the packs by status; ``ends`` is the first end of a certificate; ``well`` says that each pack is
    so, and that none was ever tried.
    """

    def __init__(
        self,
        key: tuple[str, str],
        zone_id: str,
        statuses: Mapping[str, int],
        ends: datetime | None,
        *,
        well: bool,
        take: Callable[[], Sequence[Entry]],
    ) -> None:
        """``key`` is account and label; ``take`` gives the packs, when somebody asks for them."""
        self.key = key
        self.zone_id = zone_id
        self.statuses = statuses
        self.ends = ends
        self.well = well
        self._take = take

    @classmethod
    def of(cls, key: tuple[str, str], zone_id: str, entries: Sequence[Entry]) -> "ZonePacks":
        """What there is to say of these packs."""
        statuses: dict[str, int] = {}
        ends: datetime | None = None
        well = True
        for known, history in entries:
            pack = known.pack
            status, expires_at = pack.status, pack.expires_at
            statuses[status] = statuses.get(status, 0) + 1
            if expires_at is not None and (ends is None or expires_at < ends):
                ends = expires_at
            well = well and status in HEALTHY and known.decision.reason is Reason.HEALTHY and history == UNTROUBLED
        return cls(key, zone_id, statuses, ends, well=well, take=lambda: entries)

    @cached_property
    def entries(self) -> Sequence[Entry]:
        """The packs, in no order; in any thread."""
        return self._take()

    @property
    def count(self) -> int:
        """How many they are."""
        return sum(self.statuses.values())

    def quiet(self, until: datetime) -> bool:
        """Whether all are well, and no certificate ends by then: then there is nothing to do or to tell."""
        return self.well and (self.ends is None or self.ends > until)


def by_zone(packs: Iterable[Entry]) -> list[ZonePacks]:
    """The packs of many zones."""
    found: dict[tuple[str, str], list[Entry]] = {}
    for entry in packs:
        found.setdefault((entry[0].account, entry[0].zone), []).append(entry)
    return [ZonePacks.of(key, entries[0][0].pack.zone_id, entries) for key, entries in found.items()]


def restless(zones: Sequence[ZonePacks], until: datetime) -> list[Entry]:
    """The packs of all zones that are not quiet: every pack of which there may be something to tell is among them."""
    ids = {each.zone_id for each in zones if not each.quiet(until)}
    return [entry for each in zones if each.zone_id in ids for entry in each.entries]
