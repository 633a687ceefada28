"""What ``check-config --online`` asks Cloudflare: of each credential, and whether each zone and pack can be read.

It changes nothing, needs no state, and prints nothing: ``cli`` does. ``first_run`` has a token checked here too.
"""

import asyncio
from contextlib import closing

import msgspec

from watchdog.cloudflare.client import Client
from watchdog.cloudflare.errors import CloudflareError
from watchdog.config.schema import Config
from watchdog.diagnose.zone import inactive
from watchdog.model.meanings import REASONS
from watchdog.model.observation import Seen
from watchdog.model.packs import ZoneRef
from watchdog.model.reasons import Reason
from watchdog.model.text import counted
from watchdog.observe.poll import poll_zone
from watchdog.runtime import Runtime, open_runtime
from watchdog.state.store import Store


class OnlineCheck(msgspec.Struct, frozen=True):
    """One thing that ``check-config --online`` looked at; ``error`` and ``caution`` are empty when it is fine."""

    what: str
    error: str = ""
    caution: str = ""
    unreachable: bool = False


async def check_online(config: Config) -> list[OnlineCheck]:
    """Verify each credential, and that each zone and pack can be read. Changes nothing, and needs no state."""
    with closing(Store.in_memory()) as store:
        return await _check_all(config, store)


async def _check_all(config: Config, store: Store) -> list[OnlineCheck]:
    async with open_runtime(config, store, dry_run=True) as runtime:
        findings = await asyncio.gather(
            *(_check_account(runtime, client) for client in runtime.components.clients.values())
        )
        return [finding for account in findings for finding in account]


async def _check_account(runtime: Runtime, client: Client) -> list[OnlineCheck]:
    components = runtime.components
    findings: list[OnlineCheck] = []
    await components.watched.refresh(client.account, client, components.clock.now())
    what = f"account {client.account}: discovery"
    if client.account in components.watched.failures:
        reason, error = components.watched.failures[client.account]
        findings.append(OnlineCheck(what, error, unreachable=reason is not Reason.NOT_FOUND))
    elif client.account in components.watched.found:
        findings.append(OnlineCheck(f"{what} finds {counted(len(components.watched.found[client.account]), 'zone')}"))
    for zone in components.watched.zones():
        if zone.account == client.account:
            seen = await poll_zone(zone, client, troubled=False)
            what = f"account {zone.account}: zone {zone.label}"
            if isinstance(seen, Seen):
                gone = f"no such pack: {', '.join(seen.missing)}" if seen.missing else ""
                caution = inactive(components.watched.inactive(seen.zone) or await _status(client, zone, seen.zone.id))
                findings.append(OnlineCheck(f"{what}: {counted(len(seen.packs), 'pack')}", gone, caution))
            else:
                findings.append(OnlineCheck(what, seen.error, unreachable=REASONS[seen.reason].unreachable))
    if runtime.config.accounts[client.account].api_token is not None:
        works = any(not finding.error for finding in findings)
        findings.insert(0, await check_token(client, works=works))
    return findings


async def _status(client: Client, zone: ZoneRef, zone_id: str) -> str:
    """What Cloudflare says of a configured zone, where the credential may ask."""
    try:
        return (await client.zone_facts(zone_id, zone.label)).status
    except CloudflareError:
        return ""


async def check_token(client: Client, *, works: bool) -> OnlineCheck:
    """What Cloudflare says of an account's API token, of which it may be known already that it ``works``."""
    what = f"account {client.account}: token"
    try:
        status = await client.verify_token()
    except CloudflareError as error:
        if works:  # a token that an account owns, not a user, cannot be verified at this address
            return OnlineCheck(f"{what} works, but cannot be verified as a user's token")
        return OnlineCheck(what, str(error), unreachable=True)
    return OnlineCheck(f"{what} is {status}", "" if status == "active" else f"the token is {status}")
