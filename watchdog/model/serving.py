"""Which packs visitors get their certificate from. Arithmetic.

Cloudflare keeps an undeployed backup pack (``backup_issued``) with the same hosts beside every universal certificate of
a full zone, and ``staging_*`` and ``holding_deployment`` packs are not deployed either: only a deployed pack replaces
another [Cloudflare's documentation of SSL/TLS, backup certificates and staging, 2026]. So the end of a certificate is
nobody's worry where nobody is served it, and somebody's where only an undeployed pack would stand in.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from watchdog.model.packs import DEPLOYED, EXPIRED, GOING_AWAY, UNDEPLOYED, Pack


class Serving:
    """The deployed packs, as far as they matter for certificates that end at ``until`` or before."""

    def __init__(self, packs: Iterable[Pack], until: datetime) -> None:
        packs = list(packs)
        zones = {pack.zone_id for pack in packs if _ends(pack, until)}
        self._deployed: defaultdict[tuple[str, str], list[tuple[datetime, frozenset[str]]]] = defaultdict(list)
        for pack in packs:
            if pack.zone_id in zones and pack.status in DEPLOYED and pack.expires_at is not None:
                for host in pack.hosts:
                    self._deployed[pack.zone_id, host].append((pack.expires_at, frozenset(pack.hosts)))

    def uses(self, pack: Pack) -> bool:
        """Whether visitors may be served this pack: it is deployed, and no later one serves all of its hosts."""
        return pack.status not in UNDEPLOYED | GOING_AWAY and not self._replaced(pack)

    def _replaced(self, pack: Pack) -> bool:
        if not pack.hosts:
            return False
        others = self._deployed.get((pack.zone_id, pack.hosts[0]), ())
        ends = pack.expires_at
        return any((ends is None or expires_at > ends) and hosts >= set(pack.hosts) for expires_at, hosts in others)


def _ends(pack: Pack, until: datetime) -> bool:
    return pack.status == EXPIRED or (pack.expires_at is not None and pack.expires_at <= until)
