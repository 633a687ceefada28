"""One look at one zone: all its packs, or why it could not be seen. Never raises for what Cloudflare does."""

from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType

from msgspec.structs import replace

from watchdog.cloudflare.client import Client
from watchdog.cloudflare.errors import AccessDenied, CloudflareError, NotFound
from watchdog.cloudflare.rate_limit import Urgency
from watchdog.model.observation import Observation, Seen, Unseen
from watchdog.model.pack_ids import canonical_id
from watchdog.model.packs import GOING_AWAY, UNDEPLOYED, Identity, Pack, ZoneRef, host_set

NOBODY: Mapping[str, Identity] = MappingProxyType({})


async def poll_zone(
    zone: ZoneRef, client: Client, *, troubled: bool, last_id: str = "", pinned: Mapping[str, Identity] = NOBODY
) -> Observation:
    """See the zone whole.

    A zone without an id is looked up by its name, or looked at where it was last: ``last_id``. ``pinned`` is what is
    known of the packs that the configuration names, by ``canonical_id``: where such a pack is gone, the one of the same
    identity is meant, for ids do not last. ``troubled`` zones go before calm ones when the quota is short.
    """
    urgency = Urgency.TROUBLED if troubled else Urgency.CALM
    try:
        if zone.id:
            packs = await client.list_packs(zone.id, urgency)
        else:
            zone, packs = await _by_name(zone, last_id, client, urgency)
    except CloudflareError as error:
        return Unseen(zone, error.reason, str(error))
    if zone.whole:
        return Seen(zone, tuple(packs))
    wanted = {canonical_id(pack.id): pack for pack in packs if zone.names(pack)}
    living = {key for key, pack in wanted.items() if pack.status not in GOING_AWAY}
    orphans = {pinned[key] for key in zone.packs - living if key in pinned}
    followed = [pack for pack in packs if pack.identity in orphans and pack.status not in GOING_AWAY | UNDEPLOYED]
    identities = {pack.identity for pack in followed}
    missing = [key for key in zone.packs - wanted.keys() if pinned.get(key) not in identities]
    missing += [" ".join(hosts) for hosts in zone.hosts - {host_set(pack) for pack in wanted.values()}]
    others = (pack for pack in followed if canonical_id(pack.id) not in wanted)
    return Seen(zone, (*wanted.values(), *others), tuple(sorted(missing)))


async def _by_name(zone: ZoneRef, last_id: str, client: Client, urgency: Urgency) -> tuple[ZoneRef, list[Pack]]:
    """The zone with its id, and its packs.

    A zone that moved to another account leaves one of its name behind that is refused, gone, or empty: then the name is
    looked up again, because of emptiness once a day.
    """
    if not last_id:
        zone = replace(zone, id=await client.find_zone(zone.label))
        return zone, await client.list_packs(zone.id, urgency)
    zone = replace(zone, id=last_id)
    try:
        packs = await client.list_packs(last_id, urgency)
    except (NotFound, AccessDenied):
        found = await client.find_zone(zone.label)
        if found == last_id:
            raise
        return replace(zone, id=found), await client.list_packs(found, urgency)
    if not packs and not client.found_lately(zone.label):
        with suppress(CloudflareError):
            zone = replace(zone, id=await client.find_zone(zone.label))
        packs = packs if zone.id == last_id else await client.list_packs(zone.id, urgency)
    return zone, packs
