"""What is done once and not by the daemon: one pass, one restart, a check of the credentials, a look at the memory.

Each errand returns values; ``cli`` prints them and turns them into exit codes. They use the same rooms, the same cycle
and the same state as the daemon.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from watchdog.app import House, house, inventory
from watchdog.cloudflare.client import Client
from watchdog.cloudflare.errors import CloudflareError
from watchdog.config.schema import Config
from watchdog.cycle import Cycle, restartable
from watchdog.decide.checks import Case
from watchdog.decide.policy import decide
from watchdog.model.decisions import Do
from watchdog.model.history import UNTROUBLED, ZoneMemory
from watchdog.model.observation import Seen
from watchdog.model.packs import Pack, ZoneRef, pack_key
from watchdog.model.reasons import Reason
from watchdog.model.report import Inventory, PassReport, pack_row
from watchdog.observe.census import look
from watchdog.record.store import Store
from watchdog.schedule.agenda import Agenda

WHOLE_PASS = timedelta(days=365)
"""The length of a pass that is to see everything, however long the quota makes it wait."""

UNREACHABLE = frozenset({Reason.UNSEEN, Reason.CREDENTIAL_REFUSED})


@dataclass(frozen=True, slots=True)
class Result:
    """One pass over everything: its sum, what it found, and what that means for whoever started it."""

    report: PassReport
    inventory: Inventory
    nothing_seen: bool


async def once(config: Config, store: Store, *, dry_run: bool, watch: Callable[[], None]) -> Result:
    """One pass over everything. ``watch`` is called after each zone."""
    agenda = Agenda(2 * WHOLE_PASS, 2 * WHOLE_PASS)  # so that no zone is due twice
    async with house(config, store, dry_run=dry_run, agenda=agenda) as home:
        cycle = Cycle(home.rooms)
        home.tellers.progress = watch
        cycle.enrol()
        try:
            report = await cycle.run_pass(WHOLE_PASS)
        finally:
            await cycle.stop(timedelta(0))
        found = inventory(home.rooms)
        failures = sorted(home.rooms.roster.failures.items())
        blind = [ZoneMemory(name, "(discovery)", reason=Reason.UNSEEN, error=error) for name, error in failures]
        found = Inventory(found.packs, [*found.zones, *blind])
        nothing_seen = bool(found.zones) and all(zone.error and zone.reason in UNREACHABLE for zone in found.zones)
        return Result(report, found, nothing_seen)


def remembered(store: Store) -> Inventory:
    """All that is stored; needs no network and no lock."""
    snapshot = store.load()
    packs = [(known, snapshot.histories.get(key, UNTROUBLED)) for key, known in snapshot.packs.items()]
    return Inventory(packs, list(snapshot.zones.values()))


class NotRestarted(Exception):
    """The restart that was asked for was not sent; ``str()`` says why. ``unreachable`` when Cloudflare was not."""

    def __init__(self, text: str, *, unreachable: bool = False) -> None:
        super().__init__(text)
        self.unreachable = unreachable


async def restart(config: Config, store: Store, zone_name: str, pack_id: str, *, force: bool) -> dict[str, Any]:
    """Restart one pack now, through the same checks. ``force`` overrides backoff, budget, giving up and ``enabled``.

    Never anything but an advanced pack in ``validation_timed_out``. Raises ``NotRestarted``.
    """
    async with house(config, store, alone=False) as home:
        zone = _zone(home, zone_name)
        if zone is None:
            for name, client in home.rooms.clients.items():
                await home.rooms.roster.refresh(name, client, home.rooms.clock.now())
            zone = _zone(home, zone_name)
        if zone is None:
            raise NotRestarted(f"no zone {zone_name} is watched; zones are named as in `status`")
        cycle = Cycle(home.rooms)
        seen = await cycle.see(zone)
        if not isinstance(seen, Seen):
            raise NotRestarted(seen.error, unreachable=seen.reason in UNREACHABLE)
        pack = next((pack for pack in seen.packs if pack_key(pack.id) == pack_key(pack_id)), None)
        if pack is None:
            raise NotRestarted(f"zone {zone_name} has no watched pack {pack_id}")
        _check(home, seen.zone, pack, force=force)
        if force:
            home.rooms.memory.take_up(pack)
            home.rooms.policy = _unbounded(home)
        outcome = await cycle.act(seen.zone, pack)
        await home.rooms.memory.flush()
        if outcome.reason is not Reason.RESTARTED:
            text = f"not restarted, {outcome.reason}: {outcome.error or f'it is now {outcome.pack.status}'}"
            raise NotRestarted(text, unreachable=outcome.reason in UNREACHABLE)
        known = next(k for k in home.rooms.memory.packs_of(seen.zone) if k.pack.id == outcome.pack.id)
        return pack_row(known, home.rooms.memory.history(outcome.pack))


def _zone(home: House, name: str) -> ZoneRef | None:
    wanted = name.lower()
    return next((zone for zone in home.rooms.roster.zones() if wanted in (zone.label.lower(), zone.id)), None)


def _check(home: House, zone: ZoneRef, pack: Pack, *, force: bool) -> None:
    rooms, now = home.rooms, home.rooms.clock.now()
    if not restartable(pack):
        raise NotRestarted(
            f"pack {pack.id} is {pack.type or 'of no type'} and {pack.status or 'of no status'}; "
            "only an advanced pack in validation_timed_out can be restarted"
        )
    policy = rooms.policy(zone)
    free_at = rooms.memory.budget_free_at(zone.account, policy.per_hour, now)
    decision = decide(Case(pack, rooms.memory.history(pack), policy.rules, now, free_at))
    if decision.do is not Do.RESTART and not force:
        until = f" until {decision.until:%Y-%m-%dT%H:%M:%SZ}" if decision.until else ""
        raise NotRestarted(f"held: {decision.reason}{until}; --force overrides this")


def _unbounded(home: House) -> Callable[[ZoneRef], Any]:
    usual = home.rooms.policy
    return lambda zone: replace(usual(zone), per_hour=1_000_000)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that ``check-config --online`` looked at; ``error`` is empty when it is fine."""

    what: str
    error: str = ""
    unreachable: bool = False


async def check_online(config: Config, store: Store) -> list[Finding]:
    """Verify each credential, and that each zone and pack can be read. Changes nothing."""
    async with house(config, store, dry_run=True) as home:
        findings = await asyncio.gather(*(_check_account(home, client) for client in home.rooms.clients.values()))
        return [finding for account in findings for finding in account]


async def _check_account(home: House, client: Client) -> list[Finding]:
    rooms = home.rooms
    findings: list[Finding] = []
    await rooms.roster.refresh(client.account, client, rooms.clock.now())
    if client.account in rooms.roster.failures:
        error = rooms.roster.failures[client.account]
        findings.append(Finding(f"account {client.account}: discovery", error, unreachable=True))
    for zone in rooms.roster.zones():
        if zone.account == client.account:
            seen = await look(zone, client, troubled=False)
            what = f"account {zone.account}: zone {zone.label}"
            if isinstance(seen, Seen):
                gone = f"no such pack: {', '.join(seen.missing)}" if seen.missing else ""
                findings.append(Finding(f"{what}: {len(seen.packs)} packs", gone))
            else:
                findings.append(Finding(what, seen.error, seen.reason in UNREACHABLE))
    if home.config.accounts[client.account].api_token is not None:
        works = any(not finding.error for finding in findings)
        findings.insert(0, await _check_token(client, works=works))
    return findings


async def _check_token(client: Client, *, works: bool) -> Finding:
    what = f"account {client.account}: token"
    try:
        status = await client.verify_token()
    except CloudflareError as error:
        if works:  # a token that an account owns, not a user, cannot be verified at this address
            return Finding(f"{what} works, but cannot be verified as a user's token")
        return Finding(what, str(error), unreachable=True)
    return Finding(f"{what} is {status}", "" if status == "active" else f"the token is {status}")
