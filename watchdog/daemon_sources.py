"""What the page, the API and the metrics show of the daemon: gathered here from the runtime, its health and its alerts.

``tell`` shows it and knows nothing of where it comes from. All of it may be asked at any time; what is slow is called
in another thread, and reads what the loop changes in single steps.
"""

import asyncio
from collections.abc import Mapping
from datetime import timedelta

from msgspec.structs import replace

from watchdog.config.durations import parse_duration
from watchdog.health import Health
from watchdog.model.history import JournalLine, JournalQuery
from watchdog.model.packs import ZoneRef
from watchdog.model.report import Inventory
from watchdog.notify.pipeline import Pipeline
from watchdog.runtime import Runtime
from watchdog.state.database import StateError
from watchdog.tell.fleet import Fleets
from watchdog.tell.gauges import Account, ReplicaSnapshot, Snapshot
from watchdog.tell.metrics import Metrics
from watchdog.tell.query import Refused
from watchdog.tell.sources import AccountSituation, DestinationSituation, HolderSituation, Situation, Sources
from watchdog.version import VERSION

PATIENCE_WITH_DISK = timedelta(seconds=3)
"""How long a page waits for the journal: a disk that hangs must not hide the rest."""


class DaemonSources:
    """The sources of the API, the page and the metrics, taken from what runs."""

    def __init__(
        self,
        runtime: Runtime,
        health: Health,
        pipeline: Pipeline,
        metrics: Metrics,
        transitions: Mapping[str, int] | None = None,
    ) -> None:
        """``transitions`` counts how often the lease of an account came or went."""
        self._transitions = {} if transitions is None else transitions
        self._runtime = runtime
        self._health = health
        self._pipeline = pipeline
        self._metrics = metrics
        self._known: tuple[int, tuple[ZoneRef, ...], Inventory] | None = None
        self._fleets = Fleets(self.inventory, runtime.components.clock.monotonic)

    def sources(self) -> Sources:
        """What the pages show."""
        return Sources(
            healthy=self._health.healthy,
            ready=self._health.ready,
            metrics=self.metrics,
            fleet=self._fleets.latest,
            alerts=self._pipeline.rows,
            events=self.events,
            situation=self.situation,
            now=self._runtime.components.clock.now,
            duration=parse_duration,
        )

    def inventory(self) -> Inventory:
        """All watched zones and their packs, in the same lists until something else is known of them."""
        components, pending_for = self._runtime.components, self._runtime.config.alerts.pending_for
        memory = components.memory
        revision, zones, kept = memory.revision, components.zones(), self._known
        if kept is None or kept[:2] != (revision, zones):
            kept = self._known = (revision, zones, self._runtime.inventory())
        return replace(kept[2], at=components.clock.now(), pending_for=pending_for, silences=memory.silences)

    def metrics(self, accept: str) -> tuple[list[bytes], str]:
        """The exposition for an ``Accept`` header in pieces, and its content type. Slow for large fleets."""
        config, components = self._runtime.config, self._runtime.components
        accounts = tuple(
            Account(name, client.quota.remaining, client.quota.waited, client.quota.blocked_until)
            for name, client in components.clients.items()
            if name in config.accounts
        )
        snapshot = Snapshot(
            inventory=self.inventory(),
            accounts=accounts,
            firing=self._pipeline.firing(),
            destinations=self._pipeline.destinations.names,
            per_pack=config.metrics.per_pack,
            state_up=not self._health.state_error(),
            replica=self._replica(),
        )
        return self._metrics.expose(snapshot, accept)

    def _replica(self) -> ReplicaSnapshot | None:
        keeper, config = self._runtime.keeper, self._runtime.config
        if keeper is None:
            return None
        held = {account: keeper.held.holds(account) for account in config.accounts}
        return ReplicaSnapshot(held=held, transitions=dict(self._transitions), config=config.digest)

    def _holders(self) -> tuple[HolderSituation, ...]:
        keeper = self._runtime.keeper
        if keeper is None or keeper.roll is None:
            return ()
        at = keeper.roll.at
        return tuple(
            HolderSituation(
                account=lease.account,
                holder=lease.holder if lease.held(at) else "",
                since=lease.since,
                here=keeper.held.keeps(lease.account),
            )
            for lease in sorted(keeper.roll.leases.values(), key=lambda lease: lease.account)
        )

    async def events(self, query: JournalQuery) -> list[tuple[int, JournalLine]]:
        """Lines of the journal, newest first. Raises ``Refused`` where the disk does not give them."""
        try:
            async with asyncio.timeout(PATIENCE_WITH_DISK.total_seconds()):
                return await self._runtime.components.memory.events(query)
        except (StateError, TimeoutError) as error:
            why = str(error) or "the disk does not answer"
            raise Refused("journal_unreadable", f"the journal cannot be read now: {why}", 503) from error

    def situation(self) -> Situation:
        """How the watchdog itself stands."""
        config, components, health = self._runtime.config, self._runtime.components, self._health.report()
        accounts = tuple(
            AccountSituation(
                name=name,
                remaining=client.quota.remaining,
                allowed=client.quota.allowance.requests,
                per=timedelta(seconds=client.quota.allowance.per),
                blocked_until=client.quota.blocked_until,
            )
            for name, client in components.clients.items()
            if name in config.accounts
        )
        return Situation(
            version=VERSION,
            loaded_at=self._health.loaded_at,
            last_pass=self._health.last,
            dry_run=components.dry_run,
            refusal=health.config_error,
            state_error=health.state_error,
            state_lost=health.state_lost,
            overdue_since=health.overdue_since,
            discovery=health.discovery,
            accounts=accounts,
            destinations=tuple(
                DestinationSituation(name=name, waiting=waiting, failing=failing)
                for name, (waiting, failing) in self._pipeline.destinations.backlog().items()
            ),
            holders=self._holders(),
            runbooks=config.alerts.runbooks,
        )
