"""Asking Cloudflare to check a pending validation now. It spends nothing, so nothing is to be settled afterwards."""

from watchdog.cloudflare.client import Client
from watchdog.cloudflare.errors import CloudflareError
from watchdog.model.packs import Pack


async def recheck(pack: Pack, client: Client) -> str:
    """Ask, once, with the method the pack already has (another would change the order). Gives what went wrong."""
    try:
        await client.recheck_validation(pack.zone_id, pack.id, pack.validation.method)
    except CloudflareError as error:
        return str(error)
    return ""
