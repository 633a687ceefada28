"""One look at one zone: all its packs, or why it could not be seen. Never raises for what Cloudflare does."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from watchdog.cloudflare.client import Client
from watchdog.cloudflare.errors import CloudflareError
from watchdog.cloudflare.rate_limit import Urgency
from watchdog.model.observation import Observation, Seen, Unseen
from watchdog.model.packs import GOING_AWAY, UNDEPLOYED, Identity, ZoneRef, host_set, pack_key

NOBODY: Mapping[str, Identity] = MappingProxyType({})


async def poll_zone(
    zone: ZoneRef, client: Client, *, troubled: bool, pinned: Mapping[str, Identity] = NOBODY
) -> Observation:
    """See the zone whole, looking its id up by name first where it is not known.

    ``pinned`` is what is known of the packs that the configuration names, by ``pack_key``: where such a pack is gone,
    the one of the same identity is meant, for ids do not last.
    ``troubled`` zones go before calm ones when the quota is short.
    """
    try:
        if not zone.id:
            found = await client.find_zone(zone.label)
            zone = replace(zone, id=found.id)
        packs = await client.list_packs(zone.id, Urgency.TROUBLED if troubled else Urgency.CALM)
    except CloudflareError as error:
        return Unseen(zone, error.reason, str(error))
    if zone.whole:
        return Seen(zone, tuple(packs))
    wanted = {pack_key(pack.id): pack for pack in packs if zone.names(pack)}
    living = {key for key, pack in wanted.items() if pack.status not in GOING_AWAY}
    orphans = {pinned[key] for key in zone.packs - living if key in pinned}
    followed = [pack for pack in packs if pack.identity in orphans and pack.status not in GOING_AWAY | UNDEPLOYED]
    identities = {pack.identity for pack in followed}
    missing = [key for key in zone.packs - wanted.keys() if pinned.get(key) not in identities]
    missing += [" ".join(hosts) for hosts in zone.hosts - {host_set(pack) for pack in wanted.values()}]
    others = (pack for pack in followed if pack_key(pack.id) not in wanted)
    return Seen(zone, (*wanted.values(), *others), tuple(sorted(missing)))
