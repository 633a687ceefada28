"""What is done once and not by the daemon: one pass, one restart, an explanation.

What needs the state alone is in ``offline``, what needs none in ``checking``. Each gives a value and prints nothing:
``cli`` prints it and turns it into an exit code. They use the same components, the same cycle and the same state as
the daemon.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import msgspec
from msgspec.structs import replace

from watchdog.config.permissions import Exposed
from watchdog.config.schema import Config
from watchdog.cycle import Cycle
from watchdog.deciding import decided
from watchdog.model.decisions import Do
from watchdog.model.findings import Diagnosis, darkness, obstacle
from watchdog.model.history import ZoneMemory
from watchdog.model.meanings import REASONS, meaning
from watchdog.model.names import canonical
from watchdog.model.observation import Seen
from watchdog.model.pack_ids import meant, short_length, shortened
from watchdog.model.packs import GOING_AWAY, HEALTHY, Pack, ZoneRef
from watchdog.model.reasons import Reason
from watchdog.model.report import Inventory, PassReport
from watchdog.offline import MOST_ENTRIES, NotThere, chosen, explanation
from watchdog.runtime import Runtime, open_runtime
from watchdog.schedule.agenda import Agenda
from watchdog.state.database import StateInUse
from watchdog.state.store import Store

WHOLE_PASS = timedelta(days=365)
"""The length of a pass that is to see everything, however long the quota makes it wait."""


Waits = Callable[[str, float], None]
"""Told an account, and the seconds that Cloudflare has told it to wait: until then nothing happens."""


class OncePassed(msgspec.Struct, frozen=True, kw_only=True):
    """One pass over everything: its sum, what it found, and what that means for whoever started it."""

    report: PassReport
    inventory: Inventory
    nothing_seen: bool
    needs_a_person: bool


async def once(
    config: Config,
    store: Store,
    exposed: Iterable[Exposed] = (),
    *,
    dry_run: bool,
    watch: Callable[[], None],
    waits: Waits | None = None,
    then: Callable[[Runtime], Awaitable[None]] | None = None,
) -> OncePassed:
    """One pass over everything, ``watch`` called after each zone; ``exposed`` is what the configuration warned of.

    ``waits`` is told of the waits that Cloudflare asks for, where the log is not to say so. ``then`` is done with what
    the pass has found, before all is closed.
    """
    agenda = Agenda(2 * WHOLE_PASS, 2 * WHOLE_PASS)  # so that no zone is due twice
    async with open_runtime(config, store, dry_run=dry_run, agenda=agenda, replica=True) as runtime:
        runtime.telemetry.exposed(exposed)
        passes = runtime.passes
        runtime.telemetry.progress = watch
        runtime.telemetry.waits = waits or runtime.telemetry.waits
        async with _holding(runtime):
            passes.enrol()
            try:
                report = await passes.run_pass(WHOLE_PASS)
            finally:
                await passes.stop(timedelta(0))
            if then is not None:
                await then(runtime)
            found = runtime.inventory()
        failures = sorted(runtime.components.watched.failures.items())
        blind = [
            ZoneMemory(account=name, label="(discovery)", reason=reason, error=error)
            for name, (reason, error) in failures
        ]
        found = replace(found, zones=[*found.zones, *blind])
        nothing_seen = bool(found.zones) and all(
            zone.error and meaning(zone.reason).unreachable for zone in found.zones
        )
        needs_a_person = found.needs_a_person()
        return OncePassed(report=report, inventory=found, nothing_seen=nothing_seen, needs_a_person=needs_a_person)


@asynccontextmanager
async def _holding(runtime: Runtime) -> AsyncIterator[None]:
    """All accounts, where daemons might work them. Raises ``StateInUse`` where one does."""
    keeper, accounts = runtime.keeper, runtime.config.accounts
    if keeper is None:
        yield
        return
    from watchdog.handover import Handover  # noqa: PLC0415  only where several share a state
    from watchdog.health import Health  # noqa: PLC0415  as above

    keeper.held.attendant, keeper.describe = Handover(runtime), Health(runtime).described
    await keeper.beat()
    await keeper.settled()
    try:
        if missing := [account for account in accounts if not keeper.held.holds(account)]:
            found = keeper.roll.leases.get(missing[0]) if keeper.roll is not None else None
            by = f"by replica {found.holder}" if found is not None and found.holder else "by another replica"
            said = f"account {missing[0]} is worked {by}: a single pass needs all of them"
            raise StateInUse(keeper.error or said)
        beating = asyncio.create_task(keeper.run())
        try:
            yield
        finally:
            beating.cancel()
    finally:
        await keeper.leave()
        if not keeper.error:
            await runtime.components.memory.writer.flush()  # what was handed over


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
    return explanation(inventory, known, await memory.journal_of(pack, MOST_ENTRIES))


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
        length = short_length(pack.id for pack in found)
        named = ", ".join(f"{shortened(pack.id, length)} ({pack.status or 'no status'})" for pack in found)
        raise CannotBeDone(f"zone {zone} has {len(found)} packs, so say which: {named}")
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
            "only an advanced pack in validation_timed_out can be restarted"
        )
    decision = decided(cycle.components, zone, pack, diagnosis, cycle.ledger.now())
    if decision.do is not Do.RESTART and not force:
        until = f" until {decision.until:%Y-%m-%dT%H:%M:%SZ}" if decision.until else ""
        found = diagnosis.findings if diagnosis and REASONS[decision.reason].needs_a_person else ()
        why = obstacle(found) or darkness(found)
        raise CannotBeDone(f"held: {decision.reason}{until}{f': {why.says}' if why else ''}; --force overrides this")
