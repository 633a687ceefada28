"""Which packs visitors get their certificate from. Arithmetic.

Cloudflare keeps an undeployed backup pack (``backup_issued``) with the same hosts beside every universal certificate of
a full zone, and ``staging_*`` and ``holding_deployment`` packs are not deployed either: only a deployed pack replaces
another [Cloudflare's documentation of SSL/TLS, backup certificates and staging, 2026]. A certificate that runs out is
taken down, and each of its hosts falls back to any other that is for it, by name or by wildcard [the same, renewal and
expiration of custom certificates, 2026]. So the end of a certificate is nobody's worry where nobody is served it, and
somebody's where only an undeployed pack would stand in.
"""

from collections.abc import Callable, Iterable
from datetime import datetime

from watchdog.model.packs import DEPLOYED, EXPIRED, GOING_AWAY, UNDEPLOYED, Pack, is_branding

_NOT_SERVED = UNDEPLOYED | GOING_AWAY
_Ends = dict[str, datetime]
"""By host, or wildcard: when the last of the deployed certificates with this name ends."""


class Serving:
    """The deployed packs, as far as they matter for certificates that end at ``until`` or before; looked at by zone."""

    def __init__(self, packs_of: Callable[[str], Iterable[Pack]], until: datetime) -> None:
        """``packs_of`` gives all packs of a zone by its id."""
        self._until = until
        self._packs_of = packs_of
        self._deployed: dict[str, _Ends] = {}

    def uses(self, pack: Pack) -> bool:
        """Whether visitors may be served this pack: it is deployed, and later ones do not serve all of its hosts."""
        return pack.status not in _NOT_SERVED and not self._replaced(pack)

    def _replaced(self, pack: Pack) -> bool:
        ends, deployed = pack.expires_at, self._in(pack.zone_id)
        if not deployed:
            return False

        def later(name: str) -> bool:
            return name in deployed and (ends is None or deployed[name] > ends)

        hosts = [host for host in pack.hosts if not is_branding(host)]
        return bool(hosts) and all(later(host) or later(wildcard(host)) for host in hosts)

    def _in(self, zone_id: str) -> _Ends:
        found = self._deployed.get(zone_id)
        if found is None:
            found = self._deployed[zone_id] = {}
            packs = list(self._packs_of(zone_id))
            if any(_ends(pack, self._until) for pack in packs):
                for pack in packs:
                    if pack.status in DEPLOYED and pack.expires_at is not None:
                        for host in pack.hosts:
                            found[host] = max(found.get(host, pack.expires_at), pack.expires_at)
        return found


def wildcard(host: str) -> str:
    """The wildcard that is for this host.

    >>> wildcard("www.shop.example"), wildcard("*.shop.example")
    ('*.shop.example', '*.shop.example')
    """
    return f"*.{host.partition('.')[2]}"


def _ends(pack: Pack, until: datetime) -> bool:
    return pack.status == EXPIRED or (pack.expires_at is not None and pack.expires_at <= until)
