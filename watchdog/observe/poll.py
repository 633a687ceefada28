"""One look at one zone: all its packs, or why it could not be seen. Never raises for what Cloudflare does."""

from dataclasses import replace

from watchdog.cloudflare.client import Client
from watchdog.cloudflare.errors import CloudflareError, CredentialRefused, NotFound
from watchdog.cloudflare.rate_limit import Urgency
from watchdog.model.observation import Observation, Seen, Unseen
from watchdog.model.packs import ZoneRef, pack_key
from watchdog.model.reasons import Reason


async def poll_zone(zone: ZoneRef, client: Client, *, troubled: bool) -> Observation:
    """See the zone whole, looking its id up by name first where it is not known.

    ``troubled`` zones go before calm ones when the quota is short.
    """
    try:
        if not zone.id:
            zone = replace(zone, id=await client.find_zone(zone.label))
        packs = await client.list_packs(zone.id, Urgency.TROUBLED if troubled else Urgency.CALM)
    except NotFound as error:
        return Unseen(zone, Reason.NOT_FOUND, str(error))
    except CredentialRefused as error:
        return Unseen(zone, Reason.CREDENTIAL_REFUSED, str(error))
    except CloudflareError as error:
        return Unseen(zone, Reason.UNSEEN, str(error))
    if not zone.packs:
        return Seen(zone, tuple(packs))
    wanted = {pack_key(pack.id): pack for pack in packs if pack_key(pack.id) in zone.packs}
    return Seen(zone, tuple(wanted.values()), tuple(sorted(zone.packs - wanted.keys())))
