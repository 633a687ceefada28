"""Everything that is remembered, as far as somebody may want to see it on a terminal: what ``status`` makes lines of.

``commands.offline`` makes one of the state, ``of`` one of what a pass has found. No words here.
"""

from collections.abc import Callable, Collection, Iterable
from datetime import datetime

import msgspec

from watchdog.model.history import DISCOVERY, Remembered
from watchdog.model.pack_ids import PackKey
from watchdog.model.report import Inventory


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A pack of which nothing but this is to be told."""

    account: str
    zone: str
    zone_id: str
    pack_id: str
    status: str
    expires_at: datetime | None


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """Everything, as far as somebody may want to see it.

    ``inventory`` has every pack that is not simply healthy, those it stands in for, the zones whose last look failed,
    and the accounts whose zones could not be listed. ``packs`` and ``zones`` count all. ``listed`` gives all packs, and
    ``alike`` of the packs in the zones of some at least the others whose ids begin as one of theirs, for so many
    characters, when somebody asks.
    """

    inventory: Inventory
    packs: int
    zones: int
    last_look: datetime | None
    listed: Callable[[], Iterable[Listed]]
    alike: Callable[[Collection[PackKey], int], Iterable[PackKey]]

    @classmethod
    def of(cls, inventory: Inventory) -> "Overview":
        """One that is made from everything."""
        looks = [zone.tried_at for zone in inventory.zones if zone.tried_at is not None]
        return cls(
            inventory=inventory,
            packs=inventory.count,
            zones=sum(zone.label != DISCOVERY for zone in inventory.zones),
            last_look=max(looks, default=None),
            listed=lambda: sorted((_listed(known) for known, _ in inventory.packs), key=lambda each: each.zone),
            alike=lambda _keys, _length: [known.pack.key for known, _ in inventory.packs],
        )


def _listed(known: Remembered) -> Listed:
    pack = known.pack
    return Listed(
        account=known.account,
        zone=known.zone,
        zone_id=pack.zone_id,
        pack_id=pack.id,
        status=pack.status,
        expires_at=pack.expires_at,
    )
