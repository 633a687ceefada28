"""Asking Cloudflare to check a pending validation now. It spends nothing, so nothing is to be settled afterwards."""

from typing import NamedTuple

from watchdog.cloudflare.client import Client
from watchdog.cloudflare.errors import CloudflareError, RateLimited
from watchdog.cloudflare.rate_limit import Reservation
from watchdog.model.packs import Pack


class Rechecked(NamedTuple):
    """What became of it: ``error`` is empty where it was taken, ``asked`` is False where certainly nothing was done."""

    error: str = ""
    asked: bool = True


async def recheck(pack: Pack, client: Client, reservation: Reservation | None = None) -> Rechecked:
    """Ask, once, with the method the pack already has (another would change the order)."""
    try:
        await client.recheck_validation(pack.zone_id, pack.id, pack.validation.method, reservation)
    except CloudflareError as error:
        return Rechecked(str(error), asked=error.sent and not isinstance(error, RateLimited))
    return Rechecked()
