"""Which zones there are to watch: those of the configuration, and those that discovery finds through the API.

A configured zone stands for itself whatever discovery says. A discovery that fails leaves the zones it found last.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from watchdog.cloudflare.client import Client
from watchdog.cloudflare.errors import CloudflareError
from watchdog.model.packs import ZoneRef
from watchdog.model.reasons import Reason
from watchdog.model.text import clean


@dataclass(frozen=True, slots=True)
class Search:
    """What to discover in one account: zone names that match one of ``include`` and none of ``exclude`` (globs)."""

    include: tuple[str, ...]
    exclude: tuple[str, ...]

    def wants(self, name: str) -> bool:
        """Whether a zone of this name is to be watched."""
        return any(fnmatchcase(name, glob) for glob in self.include) and not any(
            fnmatchcase(name, glob) for glob in self.exclude
        )


class WatchedZones:
    """The zones to watch. ``every`` is how often discovery asks again."""

    def __init__(self, configured: tuple[ZoneRef, ...], searches: Mapping[str, Search], every: timedelta) -> None:
        self.configured = configured
        self._searches = searches
        self._every = every
        self.found: dict[str, tuple[ZoneRef, ...]] = {}
        self._due: dict[str, datetime] = {}
        self.failures: dict[str, tuple[Reason, str]] = {}

    def zones(self) -> tuple[ZoneRef, ...]:
        """Every zone to watch, each once: the configured in their order, then the discovered."""
        zones = {zone.key: zone for zone in self.configured}
        ids = {zone.id for zone in self.configured if zone.id}
        for found in self.found.values():
            for zone in found:
                if zone.key not in zones and zone.id not in ids:
                    zones[zone.key] = zone
                    ids.add(zone.id)
        return tuple(zones.values())

    def inherit(self, other: "WatchedZones") -> None:
        """Keep what another watched has discovered for the accounts that still search, until it is asked anew."""
        self.found = {
            account: tuple(zone for zone in zones if self._searches[account].wants(zone.label))
            for account, zones in other.found.items()
            if account in self._searches
        }

    async def refresh(self, account: str, client: Client, now: datetime) -> bool:
        """Discover the zones of one account if that is due; True when it was done.

        A failure is kept, with its reason, in ``failures``; it is tried again when the next discovery is due.
        """
        search = self._searches.get(account)
        if search is None or now < self._due.get(account, now):
            return False
        self._due[account] = now + self._every
        try:
            seen = await client.list_zones()
        except CloudflareError as error:
            self.failures[account] = (error.reason, str(error))
            return False
        self.failures.pop(account, None)
        self.found[account] = tuple(
            ZoneRef(account, clean(zone.name, 255), zone.id) for zone in seen if search.wants(zone.name)
        )
        return True
