"""What a diagnosis wants to know of a zone besides its packs. Asked only for zones in trouble, and kept for a while.

It is a help and never a condition: a credential that may not read zones leaves the facts unknown, and no error leaves
this module.
"""

from datetime import datetime, timedelta

from watchdog.cloudflare.client import Client
from watchdog.cloudflare.errors import CloudflareError
from watchdog.model.packs import NOTHING_KNOWN, ZoneFacts, ZoneRef

KEPT_FOR = timedelta(minutes=10)
"""How long facts count as fresh: a person who has just activated a zone does not wait longer than that."""


class Facts:
    """The facts of all zones that were asked for."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[datetime, ZoneFacts]] = {}

    async def of(self, zone: ZoneRef, client: Client, now: datetime) -> ZoneFacts:
        """What is known of this zone; ``NOTHING_KNOWN`` where its label is not its name, or nothing may be read."""
        at, facts = self._known.get(zone.id, (None, NOTHING_KNOWN))
        if at is None or not at <= now < at + KEPT_FOR:
            try:
                facts = await client.zone_facts(zone.id, zone.label)
            except CloudflareError:
                facts = NOTHING_KNOWN
            self._known.pop(zone.id, None)
            self._known[zone.id] = (now, facts)
            self._forget(now)
        return facts

    def _forget(self, now: datetime) -> None:
        """The oldest come first: let go of those that count no more, or a year of zones that came and went stays."""
        for zone_id, (at, _) in list(self._known.items()):
            if at <= now < at + KEPT_FOR:
                break
            del self._known[zone_id]
