"""The packs of one zone at one moment, and what can be said of them without looking at each. Arithmetic only.

A fleet is mostly zones in which all is well, and will be for weeks. Whoever looks at everything (alerts, pages,
metrics) looks at each of those as one thing, and at the single packs of the others.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property

from watchdog.model.history import UNTROUBLED, History, Remembered
from watchdog.model.packs import HEALTHY, Pack
from watchdog.model.reasons import Reason

Tracked = tuple[Remembered, History]
"""One pack as it is remembered, and what was tried for it."""


class ZonePacks:
    """Never changed: of a zone in which something changes, another is made.

    ``statuses`` counts the packs by status. ``unwell`` are those that are not well or were tried; ``ends`` is the first
    end of a certificate among the others.
    """

    def __init__(
        self,
        key: tuple[str, str],
        zone_id: str,
        statuses: Mapping[str, int],
        unwell: Sequence[Tracked],
        ends: datetime | None,
        take: Callable[[], Sequence[Tracked]],
    ) -> None:
        """``key`` is account and label; ``take`` gives all packs, when somebody asks for them."""
        self.key = key
        self.zone_id = zone_id
        self.statuses = statuses
        self.unwell = unwell
        self.ends = ends
        self._take = take

    @classmethod
    def of(cls, key: tuple[str, str], zone_id: str, packs: Sequence[Tracked]) -> "ZonePacks":
        """What there is to say of these packs."""
        statuses: dict[str, int] = {}
        unwell: list[Tracked] = []
        ends: datetime | None = None
        for tracked in packs:
            known, history = tracked
            status, expires_at = known.pack.status, known.pack.expires_at
            statuses[status] = statuses.get(status, 0) + 1
            if status not in HEALTHY or known.decision.reason is not Reason.HEALTHY or history != UNTROUBLED:
                unwell.append(tracked)
            elif expires_at is not None and (ends is None or expires_at < ends):
                ends = expires_at
        return cls(key, zone_id, statuses, unwell, ends, lambda: packs)

    @cached_property
    def packs(self) -> Sequence[Tracked]:
        """The packs, in no order; in any thread."""
        return self._take()

    @property
    def count(self) -> int:
        """How many they are."""
        return sum(self.statuses.values())

    def restless(self, until: datetime) -> Sequence[Tracked]:
        """The packs that are not well, or whose certificate ends by then: of others there is nothing to tell."""
        if self.ends is None or self.ends > until:
            return self.unwell
        unwell = {known.pack.id for known, _ in self.unwell}
        ending = (
            tracked
            for tracked in self.packs
            if (ends := tracked[0].pack.expires_at) is not None and ends <= until and tracked[0].pack.id not in unwell
        )
        return [*self.unwell, *ending]


def grouped(packs: Iterable[Tracked]) -> list[ZonePacks]:
    """Packs by their zones."""
    found: dict[tuple[str, str], list[Tracked]] = {}
    for tracked in packs:
        found.setdefault((tracked[0].account, tracked[0].zone), []).append(tracked)
    return [ZonePacks.of(key, packs[0][0].pack.zone_id, packs) for key, packs in found.items()]


def side_by_side(zones: Iterable[ZonePacks]) -> Callable[[str], Iterable[Pack]]:
    """What gives all packs of a zone by its id, which may be watched under several names."""
    found: dict[str, list[ZonePacks]] = {}
    for each in zones:
        found.setdefault(each.zone_id, []).append(each)
    return lambda zone_id: (known.pack for each in found.get(zone_id, ()) for known, _ in each.packs)
