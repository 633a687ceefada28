"""Which zones there are to watch: those of the configuration, and those that discovery finds through the API.

A configured zone stands for itself whatever discovery says. A discovery that fails leaves the zones it found last.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

import msgspec

from watchdog.cloudflare.client import Client
from watchdog.cloudflare.errors import Ambiguous, CloudflareError, Unheld
from watchdog.cloudflare.wire import ZoneSeen
from watchdog.cloudflare.zones import public
from watchdog.model.names import canonical, forms
from watchdog.model.packs import Pack, ZoneRef
from watchdog.model.reasons import Reason
from watchdog.model.text import clean, counted


class Search(msgspec.Struct, frozen=True):
    """What to discover in one account: zone names that match one of ``include`` and none of ``exclude`` (globs).

    Names and globs are compared in both forms of a name, so a glob may be written in either.
    """

    include: tuple[str, ...]
    exclude: tuple[str, ...]

    def wants(self, name: str) -> bool:
        """Whether a zone of this name is to be watched."""
        names = forms(name)
        return _matches(names, self.include) and not _matches(names, self.exclude)


def _matches(names: Sequence[str], globs: Iterable[str]) -> bool:
    written = [glob.rstrip(".").lower() for glob in globs]
    return any(fnmatchcase(name, glob) for name in names for glob in written)


class WatchedZones:
    """The zones to watch. ``every`` is how often discovery asks again."""

    def __init__(self, configured: tuple[ZoneRef, ...], searches: Mapping[str, Search], every: timedelta) -> None:
        self.configured = configured
        self._searches = searches
        self._every = every
        self.found: dict[str, tuple[ZoneRef, ...]] = {}
        self._inactive: dict[str, dict[str, str]] = {}  # by account: statuses of zones that Cloudflare does not serve
        self._due: dict[str, datetime] = {}
        self.failures: dict[str, tuple[Reason, str]] = {}
        self._findings = 0
        self._known: tuple[int, Mapping[tuple[str, str], ZoneRef], tuple[ZoneRef, ...]] | None = None

    @property
    def unsearched(self) -> tuple[str, ...]:
        """The accounts whose zones are still to be found for the first time."""
        return tuple(account for account in self._searches if account not in self.found)

    def zones(self) -> tuple[ZoneRef, ...]:
        """Every zone to watch, each once: the configured in their order, then the discovered.

        May be asked in another thread.

        A discovered zone that is not active stands back where one of its name is active in another account. It is the
        very same tuple until something else is found.
        """
        _, zones = self._all()
        return zones

    def watches(self, zone: ZoneRef, pack: Pack) -> bool:
        """Whether this pack of the zone is to be watched, by what is configured and found now."""
        by_key, _ = self._all()
        now = by_key.get(zone.key)
        if now is None:
            return False
        return now.whole or (now.packs, now.hosts) == (zone.packs, zone.hosts) or now.names(pack)

    def _all(self) -> tuple[Mapping[tuple[str, str], ZoneRef], tuple[ZoneRef, ...]]:
        known, findings = self._known, self._findings
        if known is None or known[0] != findings:
            zones = self._gathered()
            known = self._known = (findings, zones, tuple(zones.values()))
        return known[1:]

    def _gathered(self) -> dict[tuple[str, str], ZoneRef]:
        zones = {zone.key: zone for zone in self.configured}
        names = {(zone.account, canonical(zone.label)) for zone in self.configured}
        ids = {zone.id for zone in self.configured if zone.id}
        inactive = set[str]().union(*self._inactive.values())
        active = {
            canonical(zone.label) for found in list(self.found.values()) for zone in found if zone.id not in inactive
        }
        for found in list(self.found.values()):
            for zone in found:
                name = canonical(zone.label)
                if (zone.account, name) in names or (zone.id and zone.id in ids):
                    continue
                if zone.id in inactive and name in active:
                    continue
                zones[zone.key] = zone
                names.add((zone.account, name))
                ids.add(zone.id)
        return zones

    def inactive(self, zone: ZoneRef) -> str:
        """The status that discovery saw, of a zone that is not active."""
        return self._inactive.get(zone.account, {}).get(zone.id, "")

    def inherit(self, other: "WatchedZones") -> None:
        """Keep what another watched has discovered for the accounts that still search, until it is asked anew."""
        self.found = {
            account: tuple(zone for zone in zones if self._searches[account].wants(zone.label))
            for account, zones in other.found.items()
            if account in self._searches
        }
        others = other._inactive  # noqa: SLF001  of this class
        self._inactive = {account: ids for account, ids in others.items() if account in self.found}
        self._findings += 1

    def is_due(self, account: str, now: datetime) -> bool:
        """Whether the zones of this account are to be discovered now."""
        return account in self._searches and now >= self._due.get(account, now)

    async def refresh(self, account: str, client: Client, now: datetime) -> frozenset[str]:
        """Discover the zones of one account if that is due; gives whose zones may be others since, none if it was not.

        Another account's may be others too: where both find zones of one name, one stands back (``zones``). A failure
        is kept, with its reason, in ``failures``, as it is that an account has no zone at all to watch: who thinks that
        all is watched has to know. It is tried again when the next discovery is due; where none has succeeded yet, and
        Cloudflare could not be asked, at the next pass. Of zones of one name the one that is meant is found; where that
        cannot be told, the name without an id, which a look then tells as ambiguous.
        """
        if not self.is_due(account, now):
            return frozenset()
        search = self._searches[account]
        self._due[account] = now + self._every
        try:
            seen = await client.list_zones()
        except Unheld:  # nobody asked, and who holds the account by now does
            self._due.pop(account)
            return frozenset()
        except CloudflareError as error:
            self.failures[account] = (error.reason, str(error))
            if account not in self.found and error.reason is Reason.UNSEEN:  # till then nothing of it is watched
                self._due.pop(account)
            return frozenset()
        self.failures.pop(account, None)
        by_name: dict[str, list[ZoneSeen]] = {}
        for zone in public(seen):
            if search.wants(zone.name):
                by_name.setdefault(canonical(zone.name), []).append(zone)
        found = [_meant(account, client, zones) for zones in by_name.values()]
        before = {*self.zones()}
        self.found[account] = tuple(found)
        self._inactive[account] = {zone.id: zone.status for zone in seen if zone.status not in ("active", "")}
        self._findings += 1
        if not found and all(zone.account != account for zone in self.configured):
            self.failures[account] = (Reason.NOT_FOUND, _nothing(len(public(seen))))
        return frozenset({account, *(zone.account for zone in before ^ {*self.zones()})})


def _nothing(seen: int) -> str:
    if not seen:
        return "the credential sees no zone: give it Zone / Zone / Read for the zones that are to be watched"
    return f"the credential sees {counted(seen, 'zone')}, of which `discover` takes none"


def _meant(account: str, client: Client, zones: Sequence[ZoneSeen]) -> ZoneRef:
    try:
        zone = client.choose(zones)
    except Ambiguous:
        return ZoneRef(account, clean(zones[0].name, 255))
    return ZoneRef(account, clean(zone.name, 255), zone.id)
