"""``once``: one pass over everything, with the cycle, the components and the state of the daemon.

It gives a value and prints nothing: ``cli`` prints it and turns it into an exit code. Whom to alert is the matter of
``once_alert``.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta

import msgspec
from msgspec.structs import replace

from watchdog.config.permissions import Exposed
from watchdog.config.schema import Config
from watchdog.model.history import DISCOVERY, ZoneMemory
from watchdog.model.meanings import meaning
from watchdog.model.report import Inventory, PassReport
from watchdog.runtime import Runtime, open_runtime
from watchdog.schedule.agenda import Agenda
from watchdog.state.database import StateInUse
from watchdog.state.store import Store
from watchdog.telemetry import Waits

WHOLE_PASS = timedelta(days=365)
"""The length of a pass that is to see everything, however long the quota makes it wait."""


class OncePassed(msgspec.Struct, frozen=True, kw_only=True):
    """One pass over everything: its sum, what it found, and what that means for whoever started it."""

    report: PassReport
    inventory: Inventory
    nothing_seen: bool
    needs_a_person: bool


async def one_pass(
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
            ZoneMemory(account=name, label=DISCOVERY, reason=reason, error=error) for name, (reason, error) in failures
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
