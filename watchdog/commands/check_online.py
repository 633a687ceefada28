"""What ``check-config --online`` asks Cloudflare: of each credential, and whether each zone and pack can be read.

It changes nothing, needs no state, and prints nothing: ``cli`` does. ``first_run`` has a token checked here too.
"""

import asyncio
from contextlib import closing
from datetime import datetime, timedelta

import msgspec

from watchdog.cloudflare.client import Client
from watchdog.cloudflare.errors import CloudflareError
from watchdog.cloudflare.verification import ACTIVE
from watchdog.config.schema import Config
from watchdog.config.types import is_domain
from watchdog.diagnose.zone import inactive
from watchdog.model.clock import rfc3339
from watchdog.model.meanings import REASONS
from watchdog.model.names import canonical
from watchdog.model.observation import Seen
from watchdog.model.packs import ADVANCED, UNIVERSAL, ZoneRef, is_branding
from watchdog.model.reasons import Reason
from watchdog.model.text import counted
from watchdog.observe.poll import poll_zone
from watchdog.runtime import Runtime, open_runtime
from watchdog.state.store import Store

SOON = timedelta(days=30)
"""Before a token's end, so that whoever looks in once a month hears of it."""


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
                caution = caution or _another(seen, zone)
                findings.append(OnlineCheck(f"{what}: {counted(len(seen.packs), 'pack')}", gone, caution))
            else:
                findings.append(OnlineCheck(what, seen.error, unreachable=REASONS[seen.reason].unreachable))
    if runtime.config.accounts[client.account].api_token is not None:
        works = any(not finding.error for finding in findings)
        findings.insert(0, await check_token(client, components.clock.now(), works=works))
    return findings


async def _status(client: Client, zone: ZoneRef, zone_id: str) -> str:
    """What Cloudflare says of a configured zone, where the credential may ask."""
    try:
        return (await client.zone_facts(zone_id, zone.label)).status
    except CloudflareError:
        return ""


def _another(seen: Seen, zone: ZoneRef) -> str:
    """That the zone of a given id looks like another one than its name says; empty where it does not."""
    name = canonical(zone.label)
    ordered = [pack for pack in seen.packs if pack.type in {ADVANCED, UNIVERSAL}]  # those of others serve any host
    hosts = [host for pack in ordered for host in pack.hosts if not is_branding(host)]
    if not (zone.id and hosts and is_domain(name)) or any(f".{host}".endswith(f".{name}") for host in hosts):
        return ""
    return f"none of its packs is for {name}, the first is for {hosts[0]}: is this the id of another zone?"


async def check_token(client: Client, now: datetime, *, works: bool) -> OnlineCheck:
    """What Cloudflare says of an account's API token, of which it may be known already that it ``works``."""
    what = f"account {client.account}: token"
    try:
        seen = await client.verify_token()
    except CloudflareError as error:
        if works:  # a token that an account owns, not a user, cannot be verified at this address
            return OnlineCheck(f"{what} works, but cannot be verified as a user's token")
        return OnlineCheck(what, str(error), unreachable=True)
    if seen.status != ACTIVE:
        return OnlineCheck(f"{what} is {seen.status}", "make a new one", unreachable=seen.refused is True)
    if seen.expires_at is None:
        return OnlineCheck(f"{what} is active")
    soon = "make a new one before that" if seen.expires_at - now < SOON else ""
    return OnlineCheck(f"{what} is active until {rfc3339(seen.expires_at)}", caution=soon)
