"""One look at one zone: all its packs, or why it could not be seen. Never raises for what Cloudflare does."""

from dataclasses import replace

from watchdog.cloudflare.client import Client
from watchdog.cloudflare.errors import CloudflareError
from watchdog.cloudflare.rate_limit import Urgency
from watchdog.model.observation import Observation, Seen, Unseen
from watchdog.model.packs import ZoneRef, pack_key


async def poll_zone(zone: ZoneRef, client: Client, *, troubled: bool) -> Observation:
    """See the zone whole, looking its id up by name first where it is not known.

    ``troubled`` zones go before calm ones when the quota is short.
    """
    try:
        if not zone.id:
            found = await client.find_zone(zone.label)
            zone = replace(zone, id=found.id)
        packs = await client.list_packs(zone.id, Urgency.TROUBLED if troubled else Urgency.CALM)
    except CloudflareError as error:
        return Unseen(zone, error.reason, str(error))
    if not zone.packs:
        return Seen(zone, tuple(packs))
    wanted = {pack_key(pack.id): pack for pack in packs if pack_key(pack.id) in zone.packs}
    return Seen(zone, tuple(wanted.values()), tuple(sorted(zone.packs - wanted.keys())))
