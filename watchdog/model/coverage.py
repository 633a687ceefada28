"""Which packs serve which hosts, to tell a certificate in use that ends from one that another has replaced. Pure.

Only a deployed pack serves anything: Cloudflare keeps an undeployed backup pack with the same hosts beside every
universal certificate of a full zone, and packs in staging serve nobody either.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

from watchdog.model.packs import ACTIVE, EXPIRED, Pack

NEAR = timedelta(days=30)
"""How long before its expiry it begins to matter whether a certificate is replaced: no renewal opens earlier."""


class Coverage:
    """Who serves what among some packs, made when first asked: few packs are ever near their end."""

    def __init__(self, packs: Iterable[Pack]) -> None:
        self._packs = packs
        self._serving: dict[tuple[str, str], list[tuple[datetime, frozenset[str]]]] | None = None

    def replaced(self, pack: Pack) -> bool:
        """Whether a deployed pack of later expiry serves all the hosts of this one."""
        if not pack.hosts or pack.expires_at is None:
            return False
        if self._serving is None:
            self._serving = _serving(self._packs)
        others = self._serving.get((pack.zone_id, pack.hosts[0]), ())
        return any(expires_at > pack.expires_at and hosts.issuperset(pack.hosts) for expires_at, hosts in others)

    def in_use(self, pack: Pack, now: datetime) -> bool:
        """Whether people may be served a certificate of this pack. Of those that are far from their end: surely."""
        if not pack.deployed:
            return False
        near = pack.status == EXPIRED or (pack.expires_at is not None and pack.expires_at - now <= NEAR)
        return not (near and self.replaced(pack))


def _serving(packs: Iterable[Pack]) -> dict[tuple[str, str], list[tuple[datetime, frozenset[str]]]]:
    """By zone and host: the packs that serve it, with their expiry."""
    found: dict[tuple[str, str], list[tuple[datetime, frozenset[str]]]] = defaultdict(list)
    for pack in packs:
        if pack.status == ACTIVE and pack.expires_at is not None:
            for host in pack.hosts:
                found[pack.zone_id, host].append((pack.expires_at, frozenset(pack.hosts)))
    return found
