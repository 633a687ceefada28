"""Everything that one configuration builds, and what lasts as long as the process.

``daemon`` lives in a ``Runtime``; each command borrows one. ``open_runtime`` opens and closes what it builds.
``Runtime.apply`` takes another configuration, all of it or nothing: ``Building`` makes every part anew and touches
nothing that runs, then everything is swapped at once. This is the only place that knows the order.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from random import Random, SystemRandom
from typing import TYPE_CHECKING

from watchdog.clock import RealClock
from watchdog.cloudflare.client import Client
from watchdog.cloudflare.credential import Credential
from watchdog.cloudflare.rate_limit import PER_ADDRESS, Allowance, Quota, SlidingWindow
from watchdog.cloudflare.transport import Transport, connect
from watchdog.config.changes import Change, changes, needs_restart
from watchdog.config.schema import AccountConfig, Config, RestartPolicy
from watchdog.cycle import Components, Configured, Diagnoser
from watchdog.decide.backoff import Backoff
from watchdog.decide.budget import Budget, due_since
from watchdog.decide.checks import RestartRules
from watchdog.model.clock import Clock, anchor
from watchdog.model.events import Event, EventName, rfc3339
from watchdog.model.history import Sent, cautious_until
from watchdog.model.packs import ZoneRef
from watchdog.model.reasons import Reason
from watchdog.model.report import Inventory
from watchdog.observe.zones import Search, WatchedZones
from watchdog.passes import AT_ONCE, Passes
from watchdog.schedule.agenda import Agenda
from watchdog.state.intents import Intents
from watchdog.state.memory import Memory
from watchdog.state.quarantine import Quarantined
from watchdog.state.store import Store
from watchdog.telemetry import LogsAndMetrics
from watchdog.tell import logs
from watchdog.tell.logs import Logs

if TYPE_CHECKING:
    from watchdog.notify.pipeline import Pipeline
    from watchdog.tell.metrics import Metrics


def own_version() -> str:
    """The installed version, or ``unknown`` when run from a bare tree."""
    try:
        return version("certpack-watchdog")
    except PackageNotFoundError:
        return "unknown"


class CannotReload(Exception):
    """The new configuration is valid, but needs a restart of the daemon; ``str()`` names the settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lasting:
    """What is there once, whatever the configuration. ``http`` is the way to Cloudflare that all clients share."""

    store: Store
    memory: Memory
    intents: Intents
    budget: Budget
    http: Transport
    address: SlidingWindow
    telemetry: LogsAndMetrics
    clock: Clock
    dice: Random


class Runtime:
    """The components of one configuration, the cycle over them, and the way to people where a daemon has opened it."""

    def __init__(self, config: Config, lasting: Lasting, *, dry_run: bool, agenda: Agenda | None) -> None:
        """``agenda`` is another than the configuration asks for."""
        self.config = config
        self.store, self.telemetry, self.lasting = lasting.store, lasting.telemetry, lasting
        self.pipeline: Pipeline | None = None
        first = Building(config, lasting).configured()
        self.components = Components(
            configured=replace(first, agenda=agenda) if agenda is not None else first,
            memory=lasting.memory,
            intents=lasting.intents,
            budget=lasting.budget,
            telemetry=lasting.telemetry,
            clock=lasting.clock,
            dice=lasting.dice,
            dry_run=dry_run,
        )
        self.passes = Passes(self.components)

    def apply(self, config: Config) -> list[Change]:
        """Take another configuration, all of it or nothing. Gives what differs.

        Memory, turns, learned quotas, the standings of credentials and the zones that discovery found stay. An account
        that is gone is kept while looks with it are under way. Raises ``CannotReload``, and whatever a part raises
        while it is built; then the configuration that was there goes on in full.
        """
        differing = changes(self.config, config)
        if fixed := needs_restart(self.config, config):
            raise CannotReload(f"{', '.join(fixed)} cannot change while running: restart the daemon")
        building = Building(config, self.lasting, self)
        configured, allowances = building.configured(), building.allowances()
        set_logging_up, switch_destinations = building.logging(), building.destinations()

        # From here on there are only assignments.
        self.config, self.components.configured = config, configured
        for quota, allowance in allowances:
            quota.allow(allowance)
        set_logging_up()
        switch_destinations()
        return differing


class Building:
    """Makes the parts of one configuration: one method each, which changes nothing that runs.

    ``before`` is the runtime that is to take them, whose standings, counts and turns they go on with.
    """

    def __init__(self, config: Config, lasting: Lasting, before: Runtime | None = None) -> None:
        self._config = config
        self._lasting = lasting
        self._before = before

    def configured(self) -> Configured:
        """The parts of the flow."""
        watched = self.watched()
        return Configured(
            agenda=self.agenda(watched),
            watched=watched,
            clients=self.clients(),
            rules=self.rules(),
            diagnoser=self.diagnoser(),
        )

    def watched(self) -> WatchedZones:
        """The zones of the configuration, and what each account is to discover, asked anew every interval."""
        searches = {
            name: Search(tuple(account.discover.include), tuple(account.discover.exclude))
            for name, account in self._config.accounts.items()
            if account.discover is not None
        }
        watched = WatchedZones(tuple(self._config.zone_refs()), searches, self._config.schedule.interval)
        if self._before is not None:
            watched.inherit(self._before.components.watched)
        return watched

    def agenda(self, watched: WatchedZones) -> Agenda:
        """The turns of the zones; empty where nothing is watched yet."""
        schedule = self._config.schedule
        if self._before is None:
            return Agenda(schedule.interval, schedule.attention_interval)
        agenda = self._before.components.agenda.rescheduled(schedule.interval, schedule.attention_interval)
        self._before.passes.enrol_on(agenda, watched)
        return agenda

    def clients(self) -> Mapping[str, Client]:
        """One client per account; all of them under the one limit of our address."""
        leaving: dict[str, Client] = {}
        if self._before is not None:
            busy = self._before.passes.busy
            leaving = {name: client for name, client in self._before.components.clients.items() if busy.get(name)}
        return leaving | {name: self._client(name, account) for name, account in self._config.accounts.items()}

    def rules(self) -> Callable[[ZoneRef], RestartRules]:
        """What holds for a zone: its own ``restart`` overrides, else the global ones (for discovered zones too)."""
        config = self._config
        usual = _rules(config.restart)
        special = {
            ref.key: _rules(zone.restart)
            for ref, zone in zip(config.zone_refs(), config.zones, strict=True)
            if zone.restart != config.restart
        }
        return lambda zone: special.get(zone.key, usual)

    def diagnoser(self) -> Diagnoser | None:
        """Who finds out why validations fail; nobody where that is turned off."""
        wanted = self._config.diagnosis
        if self._before is not None and wanted == self._before.config.diagnosis:
            return self._before.components.diagnoser
        if not wanted.enabled:
            return None
        from watchdog.diagnose.diagnoser import PackDiagnoser  # noqa: PLC0415  dnspython costs 70 ms and may be off

        return PackDiagnoser(wanted.addresses, wanted.timeout, now=self._lasting.clock.now)

    def allowances(self) -> list[tuple[Quota, Allowance]]:
        """What the quotas that go on are allowed from now on."""
        if self._before is None:
            return []
        clients = self._before.components.clients
        return [
            (clients[name].quota, _allowance(account))
            for name, account in self._config.accounts.items()
            if name in self._before.config.accounts
        ]

    def logging(self) -> Callable[[], None]:
        """What sets the log up."""
        return logs.prepare(self._config.log.level, self._config.log.format, self._lasting.clock)

    def destinations(self) -> Callable[[], None]:
        """What switches to the destinations of alerts."""
        if self._before is None or self._before.pipeline is None:
            return lambda: None
        return self._before.pipeline.prepare(self._config)

    def _client(self, name: str, account: AccountConfig) -> Client:
        lasting = self._lasting
        return Client(
            lasting.http,
            base_url=self._config.api.base_url,
            timeout=self._config.api.timeout,
            credential=self._credential(name, account),
            quota=self._quota(name, account),
            clock=lasting.clock,
            dice=lasting.dice,
            user_agent=f"certpack-watchdog/{own_version()}",
            observer=lasting.telemetry,
        )

    def _credential(self, name: str, account: AccountConfig) -> Credential:
        """The credential; the one there is, with its standing, where the account's secrets are the same."""
        before = self._before.config.accounts.get(name) if self._before is not None else None
        if self._before is not None and before is not None and _secrets(before) == _secrets(account):
            return self._before.components.clients[name].credential
        secret = account.api_token or account.api_key
        if secret is None:
            raise ValueError(f"account {name} has no credential")  # the schema sees to it that it has
        value, clock = secret.get_secret_value(), self._lasting.clock
        if account.api_email is None:
            return Credential.from_token(name, value, clock, secret.reread)
        return Credential.from_key(name, account.api_email, value, clock, secret.reread)

    def _quota(self, name: str, account: AccountConfig) -> Quota:
        """The account's quota: the one there is, with what it has counted and learned, or a new one."""
        if self._before is not None and name in self._before.config.accounts:
            return self._before.components.clients[name].quota
        memory = self._lasting.memory
        return Quota(
            _allowance(account),
            self._lasting.address,
            self._lasting.clock,
            book=partial(memory.book, name),
            booked=memory.booked.get(name, ()),
        )


def _rules(restart: RestartPolicy) -> RestartRules:
    backoff = restart.backoff
    return RestartRules(
        enabled=restart.enabled,
        max_attempts=restart.max_attempts,
        max_per_hour=restart.max_per_hour,
        recheck=restart.recheck,
        backoff=Backoff(backoff.initial, backoff.factor, backoff.max, backoff.jitter),
    )


def _secrets(account: AccountConfig) -> tuple[object, ...]:
    return (account.api_token, account.api_email, account.api_key)


def _allowance(account: AccountConfig) -> Allowance:
    limit = account.rate_limit
    return Allowance(limit.requests, limit.per.total_seconds(), limit.share)


@asynccontextmanager
async def open_runtime(
    config: Config,
    store: Store,
    *,
    dry_run: bool = False,
    clock: Clock | None = None,
    agenda: Agenda | None = None,
    metrics: "Metrics | None" = None,
    http: Transport | None = None,
    dice: Random | None = None,
) -> AsyncIterator[Runtime]:
    """The components for a configuration and an open store, with everything recalled. Closes all it opened.

    ``http`` is another way to Cloudflare than ``connect`` gives, ``dice`` others than the system's. Who shares the
    store with a daemon leaves it to that one, which may be in the middle of a restart, to say what became of those
    without an outcome.
    """
    clock, dice = clock or RealClock(), dice or SystemRandom()
    logs.configure(config.log.level, config.log.format, clock)
    telemetry = LogsAndMetrics(Logs(clock), metrics, clock)
    worker = ThreadPoolExecutor(1, thread_name_prefix="state")
    memory = Memory(store, worker)
    lasting = Lasting(
        store=store,
        memory=memory,
        intents=Intents(store, memory),
        budget=Budget(),
        http=http or connect(config.api.base_url, 2 * AT_ONCE * max(1, len(config.accounts))),
        address=SlidingWindow(PER_ADDRESS, 1.0),
        telemetry=telemetry,
        clock=clock,
        dice=dice,
    )
    runtime: Runtime | None = None
    try:
        await _recall(config, lasting, alone=store.exclusive)
        runtime = Runtime(config, lasting, dry_run=dry_run, agenda=agenda)
        yield runtime
    finally:
        if runtime is not None and runtime.components.diagnoser is not None:
            await runtime.components.diagnoser.close()
        await lasting.http.aclose()
        worker.shutdown()


async def _recall(config: Config, lasting: Lasting, *, alone: bool) -> None:
    """Load the memory. A restart whose outcome nobody noted was cut off by the end of the process: say so, once.

    Not ``alone``, it may as well be under way in the daemon, who will note it.
    """
    now, memory, telemetry = lasting.clock.now(), lasting.memory, lasting.telemetry
    recalled = await memory.recall(anchor(lasting.clock))
    lasting.budget.merge(recalled.restarts)
    for known in memory.packs():
        if known.decision.reason is Reason.OVER_BUDGET:
            due = due_since(memory.history(known.pack), now)
            lasting.budget.wait(known.account, known.pack.key, due, now)
    initial = config.restart.backoff.initial
    if alone and memory.lost is not None and now < (until := cautious_until(memory.lost.at, initial)):
        telemetry.logs.write(EventName.STATE_LOST, kept=str(memory.lost.kept), restarts_from=until)
    for intent_id, intent in recalled.open_intents if alone else ():
        error = "the process ended before the answer came"
        lasting.intents.settle(intent_id, Sent.UNKNOWN, error, now)
        event = Event.restart_cut_off(intent, now, error)
        memory.journal([event])
        telemetry.logs.happened(event, pack_id=intent.pack_id)


def caution(loss: Quarantined | None, initial: timedelta, now: datetime) -> str:
    """What a loss of the state means ``now``, in two sentences; nothing once the caution is over.

    ``initial`` is the first backoff.
    """
    if loss is None or now >= (until := cautious_until(loss.at, initial)):
        return ""
    kept = f"The damaged one is kept as {loss.kept}."
    return f"{kept} No pack is restarted before {rfc3339(until)}; then all goes on by itself."


def inventory(components: Components) -> Inventory:
    """All watched zones and their packs, as they are remembered now."""
    memory = components.memory
    zones = [memory.zone(zone) for zone in components.watched.zones()]
    packs = [(known, memory.history(known.pack)) for zone in zones for known in memory.packs_of(zone)]
    return Inventory(packs, zones)
