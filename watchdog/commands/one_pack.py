"""``restart`` and ``explain``: what a person wants done to one pack, or to know of it, now.

Both use the components, the cycle and the state of the daemon, give a value and print nothing. ``explain --offline`` is
in ``explanation``.
"""

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec.structs import replace

from watchdog.commands.explanation import MOST_LINES, NotThere, chosen, explanation, listed
from watchdog.config.schema import Config
from watchdog.cycle import Cycle
from watchdog.deciding import decided
from watchdog.model.decisions import Do
from watchdog.model.findings import Diagnosis, darkness, obstacle
from watchdog.model.meanings import REASONS
from watchdog.model.names import canonical
from watchdog.model.observation import Seen
from watchdog.model.pack_ids import meant
from watchdog.model.packs import GOING_AWAY, HEALTHY, Pack, ZoneRef
from watchdog.model.reasons import Reason
from watchdog.model.report import Inventory
from watchdog.runtime import Runtime, open_runtime
from watchdog.state.store import Store
from watchdog.telemetry import Waits


class CannotBeDone(Exception):
    """What was asked for cannot be done; ``str()`` says why. ``unreachable`` when Cloudflare was not."""

    def __init__(self, text: str, *, unreachable: bool = False) -> None:
        super().__init__(text)
        self.unreachable = unreachable


class Restarted(msgspec.Struct, frozen=True):
    """A restart that Cloudflare took: the pack as it is since, and how many restarts it has had in this trouble."""

    zone: str
    pack_id: str
    status: str
    attempt: int


async def restart(config: Config, store: Store, zone_name: str, pack_id: str, *, force: bool) -> Restarted:
    """Restart one pack now, through the same checks. ``force`` overrides backoff, budget, giving up and ``enabled``.

    Never anything but an advanced pack in ``validation_timed_out``. Raises ``CannotBeDone``.
    """
    async with open_runtime(config, store) as runtime:
        zone = await _find(runtime, zone_name, pack_id)
        cycle = runtime.passes.cycle
        seen = await cycle.look(zone)
        if not isinstance(seen, Seen):
            raise CannotBeDone(seen.error, unreachable=REASONS[seen.reason].unreachable)
        pack = _the_one(seen.packs, zone_name, pack_id)
        diagnosis = await cycle.diagnose(seen.zone, pack) if pack.restartable else None
        _check(cycle, seen.zone, pack, diagnosis, force=force)
        if force:
            runtime.components.memory.reset(pack)
        outcome = await cycle.restarting.restart(seen.zone, pack, diagnosis, force=force)
        await runtime.components.memory.writer.flush()
        if outcome.reason is not Reason.RESTARTED:
            text = f"not restarted, {outcome.reason}: {outcome.error or f'it is now {outcome.pack.status}'}"
            raise CannotBeDone(text, unreachable=REASONS[outcome.reason].unreachable)
        attempt = runtime.components.memory.history(outcome.pack).attempts
        return Restarted(seen.zone.label, outcome.pack.id, outcome.pack.status, attempt)


async def explain(config: Config, store: Store, zone_name: str, pack_id: str, waits: Waits) -> list[dict[str, Any]]:
    """Why each pack of a zone (or one of them) is as it is, from a fresh look; changes nothing, here or at Cloudflare.

    Each is a row as everywhere, with ``next``, ``renewal`` and ``journal`` besides. Raises ``CannotBeDone``.
    """
    quiet = config.model_copy(update={"log": config.log.model_copy(update={"level": "error"})})
    async with open_runtime(quiet, store, dry_run=True) as runtime:
        runtime.telemetry.waits = waits
        cycle = runtime.passes.cycle
        zone = await _find(runtime, zone_name, pack_id)
        seen = await cycle.look(zone)
        if not isinstance(seen, Seen):
            raise CannotBeDone(seen.error, unreachable=REASONS[seen.reason].unreachable)
        wanted = _chosen(seen.packs, zone_name, pack_id)
        if not wanted and seen.missing:
            named = "; ".join(seen.missing)
            raise CannotBeDone(f"zone {zone_name} has no pack that the configuration names: {named}")
        return [await _explained(runtime, seen.zone, pack) for pack in wanted]


async def _explained(runtime: Runtime, zone: ZoneRef, pack: Pack) -> dict[str, Any]:
    cycle = runtime.passes.cycle
    memory, now = cycle.components.memory, cycle.components.clock.now()
    diagnosis = await cycle.diagnose(zone, pack) if pack.status not in HEALTHY | GOING_AWAY else None
    memory.conclude(zone, pack, decided(cycle.components, zone, pack, diagnosis, now), now, diagnosis)
    packs = {known.pack.id: (known, memory.history(known.pack)) for known in memory.packs_of(zone)}
    known, history = packs[pack.id]
    known = replace(known, pack=pack)  # what is remembered has no validation
    packs[pack.id] = known, history
    pending_for = runtime.config.alerts.pending_for
    inventory = Inventory.of(packs.values(), (), now, pending_for=pending_for, silences=memory.silences)
    return explanation(inventory, known, await memory.journal_of(pack, MOST_LINES))


def _chosen(packs: Iterable[Pack], zone: str, pack_id: str) -> list[Pack]:
    try:
        return chosen(list(packs), zone, pack_id)
    except NotThere as why:
        raise CannotBeDone(str(why)) from None


def _the_one(packs: Iterable[Pack], zone: str, pack_id: str) -> Pack:
    """The pack to restart: the one that is named, or the only one there is."""
    found = _chosen((pack for pack in packs if pack_id or pack.status not in GOING_AWAY), zone, pack_id)
    if not found:
        raise CannotBeDone(f"zone {zone} has no watched packs")
    if len(found) > 1:
        raise CannotBeDone(f"zone {zone} has {len(found)} packs, so say which: {listed(found)}")
    return found[0]


async def _find(runtime: Runtime, name: str, pack_id: str) -> ZoneRef:
    """The zone that is meant. Of several of one name, through several accounts, the one that has the pack."""
    zones = _zones(runtime, name)
    if not zones:
        for account, client in runtime.components.clients.items():
            await runtime.components.watched.refresh(account, client, runtime.components.clock.now())
        zones = _zones(runtime, name)
    if not zones:
        failures = runtime.components.watched.failures.items()
        unasked = "; ".join(
            f"account {account}: {error}" for account, (reason, error) in failures if reason is not Reason.NOT_FOUND
        )
        if unasked:  # it may well be watched: nobody could ask
            raise CannotBeDone(f"zone {name} is not under `zones`, and discovery failed: {unasked}", unreachable=True)
        raise CannotBeDone(f"no zone {name} is watched; zones are named as in `status`")
    if pack_id and len(zones) > 1:
        memory = runtime.components.memory
        having = {
            zone_id: zone
            for zone_id, zone in zones.items()
            if meant([known.pack.id for known in memory.packs_of(zone)], pack_id)
        }
        zones = having or zones
    if len(zones) > 1:
        named = ", ".join(
            f"{'not known yet' if zone_id == zone.account else zone_id} (account {zone.account})"
            for zone_id, zone in zones.items()
        )
        raise CannotBeDone(f"several zones are called {name}, so give the id of one in its place: {named}")
    return next(iter(zones.values()))


def _zones(runtime: Runtime, name: str) -> dict[str, ZoneRef]:
    """The zones of this name or id; a zone that is watched through several accounts once.

    By their ids, or by the account while the id is not known.
    """
    wanted, components = canonical(name), runtime.components
    found: dict[str, ZoneRef] = {}
    for zone in components.watched.zones():
        zone_id = zone.id or components.memory.zone_id(zone)
        if wanted in (canonical(zone.label), zone_id):
            found.setdefault(zone_id or zone.account, zone)
    return found


def _check(cycle: Cycle, zone: ZoneRef, pack: Pack, diagnosis: Diagnosis | None, *, force: bool) -> None:
    if not pack.restartable:
        raise CannotBeDone(
            f"pack {pack.id} is {pack.type or 'of no type'} and {pack.status or 'of no status'}; "
            f"only an advanced pack in validation_timed_out can be restarted: `explain {zone.label}` says what helps"
        )
    decision = decided(cycle.components, zone, pack, diagnosis, cycle.ledger.now())
    if decision.do is not Do.RESTART and not force:
        until = f" until {decision.until:%Y-%m-%dT%H:%M:%SZ}" if decision.until else ""
        found = diagnosis.findings if diagnosis and REASONS[decision.reason].needs_a_person else ()
        why = obstacle(found) or darkness(found)
        says = f": {why.says.removesuffix('.')}" if why else ""
        raise CannotBeDone(f"held: {decision.reason}{until}{says}; --force overrides this")
