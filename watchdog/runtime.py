"""The components, built from a ``Config``: what ``daemon`` lives in, and what each command borrows.

``open_runtime`` opens and closes what it builds; ``Runtime.apply`` rebuilds what another configuration changes.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Any

from watchdog.clock import RealClock
from watchdog.cloudflare.client import ApiCall, Client
from watchdog.cloudflare.credential import Change, Credential
from watchdog.cloudflare.rate_limit import PER_ADDRESS, Allowance, Quota, SlidingWindow
from watchdog.cloudflare.transport import connect
from watchdog.config.permissions import Exposed
from watchdog.config.schema import AccountConfig, Config, RestartPolicy
from watchdog.cycle import Components, Diagnoser
from watchdog.decide.backoff import Backoff
from watchdog.decide.budget import due_since
from watchdog.decide.checks import RestartRules
from watchdog.model.clock import Clock, anchor
from watchdog.model.events import Event, EventName, rfc3339
from watchdog.model.history import Sent, cautious_until
from watchdog.model.packs import ZoneRef
from watchdog.model.reasons import Reason
from watchdog.model.report import Inventory, PassReport
from watchdog.observe.zones import Search, WatchedZones
from watchdog.passes import AT_ONCE
from watchdog.schedule.agenda import Agenda
from watchdog.state.intents import Intents
from watchdog.state.memory import Memory
from watchdog.state.quarantine import Quarantined
from watchdog.state.store import Store
from watchdog.tell.logs import Logs, configure

if TYPE_CHECKING:
    from watchdog.tell.metrics import Metrics


def own_version() -> str:
    """The installed version, or ``unknown`` when run from a bare tree."""
    try:
        return version("certpack-watchdog")
    except PackageNotFoundError:
        return "unknown"


class LogsAndMetrics:
    """Logs and, for the daemon, metrics as the one telemetry of the cycle, and the ears of the clients."""

    def __init__(self, logs: Logs, metrics: "Metrics | None", clock: Clock) -> None:
        self.logs = logs
        self.metrics = metrics
        self._clock = clock
        self.progress: Callable[[], None] = lambda: None

    def happened(self, events: list[Event]) -> None:
        """Log them, and count how long recoveries took."""
        for event in events:
            self.logs.happened(event)
            took = dict(event.facts).get("after_seconds") if event.name == "recovered" else None
            if isinstance(took, int) and self.metrics is not None:
                self.metrics.recovered(took)

    def restarted(self, zone: ZoneRef, sent: Sent) -> None:
        """Count it."""
        if self.metrics is not None:
            self.metrics.restarted(zone.account, zone.label, sent)

    def looked(self, zone: ZoneRef) -> None:  # noqa: ARG002  a telemetry may want to know which
        """Move the progress bar, where there is one."""
        self.progress()

    def passed(self, report: PassReport) -> None:
        """Log and count it."""
        if self.metrics is not None:
            self.metrics.passed(report, self._clock.now())
        self.logs.passed(report)

    def called(self, call: ApiCall) -> None:
        """Count a call, and log it if it failed."""
        if self.metrics is not None:
            code = call.error.code if call.error else None
            self.metrics.called(call.account, call.operation, call.status, call.seconds, code)
        if call.error is not None:
            self.logs.failed(call.account, call.operation, call.error.code, str(call.error))

    def rate_limited(self, account: str, seconds: float) -> None:
        """Cloudflare told a credential to wait."""
        self.logs.write(EventName.RATE_LIMITED, account=account, wait_seconds=seconds)

    def credential_changed(self, account: str, change: Change) -> None:
        """A credential is doubted, stopped, or taken again."""
        if change.event is not None:
            self.logs.write(change.event, account=account, error=change.why or None)

    def zone_chosen(self, zone: ZoneRef, says: str) -> None:
        """Of several zones of one name this one is watched."""
        fields = {"account": zone.account, "zone": zone.label, "zone_id": zone.id, "choice": says}
        self.logs.write(EventName.ZONE_CHOSEN, **fields)

    def exposed(self, files: Iterable[Exposed]) -> None:
        """Others can read these files, which hold credentials."""
        for each in files:
            fields = {"file": each.file, "mode": f"{each.mode:04o}", "remedy": each.remedy}
            self.logs.write(EventName.CREDENTIAL_EXPOSED, **fields)


@dataclass(slots=True)
class Runtime:
    """The components, built, with what is only needed to rebuild or close them."""

    config: Config
    components: Components
    telemetry: LogsAndMetrics
    address: SlidingWindow
    http: Any
    store: Store

    def apply(self, config: Config, busy: Mapping[str, int]) -> None:
        """Rebuild what another configuration changes; memory, learned quotas and turns stay.

        A credential that did not change keeps its standing, and a limit that did not change keeps what it has counted,
        whatever else is new. An account that is gone is kept while looks with it are under way.
        """
        old, self.config = self.config, config
        components = self.components
        leaving = {name: client for name, client in components.clients.items() if busy.get(name)}
        components.clients = {**leaving, **clients(config, self.http, self.address, components, self.telemetry, old)}
        watched = make_watched(config)
        watched.inherit(components.watched)
        components.watched = watched
        components.rules = restart_rules(config)
        if config.diagnosis != old.diagnosis:
            components.diagnoser = diagnoser(config, components.clock)
        components.agenda.reschedule(config.schedule.interval, config.schedule.attention_interval)


def make_watched(config: Config) -> WatchedZones:
    """The zones of the configuration, and what each account is to discover, asked anew every interval."""
    searches = {
        name: Search(tuple(account.discover.include), tuple(account.discover.exclude))
        for name, account in config.accounts.items()
        if account.discover is not None
    }
    return WatchedZones(tuple(config.zone_refs()), searches, config.schedule.interval)


def restart_rules(config: Config) -> Callable[[ZoneRef], RestartRules]:
    """What holds for a zone: its own ``restart`` overrides, else the global ones (for discovered zones too)."""
    usual = _rules(config.restart)
    special = {
        ref.key: _rules(zone.restart)
        for ref, zone in zip(config.zone_refs(), config.zones, strict=True)
        if zone.restart != config.restart
    }
    return lambda zone: special.get(zone.key, usual)


def diagnoser(config: Config, clock: Clock) -> Diagnoser | None:
    """Who finds out why validations fail; nobody where that is turned off."""
    if not config.diagnosis.enabled:
        return None
    from watchdog.diagnose.diagnoser import PackDiagnoser  # noqa: PLC0415  dnspython costs 70 ms, and may be turned off

    return PackDiagnoser(config.diagnosis.addresses, config.diagnosis.timeout, now=clock.now)


def _rules(restart: RestartPolicy) -> RestartRules:
    backoff = restart.backoff
    return RestartRules(
        enabled=restart.enabled,
        max_attempts=restart.max_attempts,
        max_per_hour=restart.max_per_hour,
        recheck=restart.recheck,
        backoff=Backoff(backoff.initial, backoff.factor, backoff.max, backoff.jitter),
    )


def clients(
    config: Config,
    http: Any,
    address: SlidingWindow,
    components: Components,
    telemetry: LogsAndMetrics,
    old: Config | None = None,
) -> dict[str, Client]:
    """One client per account; all of them under the one limit of our address.

    The credentials and quotas that the ``old`` configuration had as well are those of the present clients.
    """

    def credential(name: str, account: AccountConfig) -> Credential:
        before = old.accounts.get(name) if old else None
        if before is not None and _secrets(before) == _secrets(account):
            return components.clients[name].credential
        return _credential(name, account, components.clock)

    def quota(name: str, account: AccountConfig) -> Quota:
        if old and name in old.accounts:
            quota = components.clients[name].quota
            quota.allow(_allowance(account))
            return quota

        book = partial(components.memory.book, name)
        return Quota(_allowance(account), address, components.clock, book, components.memory.booked.get(name, ()))

    return {
        name: Client(
            http,
            base_url=config.api.base_url,
            timeout=config.api.timeout,
            credential=credential(name, account),
            quota=quota(name, account),
            clock=components.clock,
            dice=components.dice,
            user_agent=f"certpack-watchdog/{own_version()}",
            observer=telemetry,
        )
        for name, account in config.accounts.items()
    }


def _credential(name: str, account: AccountConfig, clock: Clock) -> Credential:
    secret = account.api_token or account.api_key
    if secret is None:
        raise ValueError(f"account {name} has no credential")  # the schema sees to it that it has
    value = secret.get_secret_value()
    if account.api_email is None:
        return Credential.from_token(name, value, clock, secret.reread)
    return Credential.from_key(name, account.api_email, value, clock, secret.reread)


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
    http: Any = None,
    dice: Random | None = None,
) -> AsyncIterator[Runtime]:
    """The components for a configuration and an open store, with everything recalled. Closes all it opened.

    ``http`` is another way to Cloudflare than ``connect`` gives, ``dice`` others than the system's. Who shares the
    store with a daemon leaves it to that one, which may be in the middle of a restart, to say what became of those
    without an outcome.
    """
    clock, dice = clock or RealClock(), dice or SystemRandom()
    configure(config.log.level, config.log.format, clock)
    telemetry = LogsAndMetrics(Logs(clock), metrics, clock)
    worker = ThreadPoolExecutor(1, thread_name_prefix="state")
    http = http or connect(config.api.base_url, 2 * AT_ONCE * max(1, len(config.accounts)))
    memory = Memory(store, worker)
    agenda = agenda or Agenda(config.schedule.interval, config.schedule.attention_interval)
    components = Components(
        agenda=agenda,
        watched=make_watched(config),
        clients={},
        memory=memory,
        intents=Intents(store, memory),
        rules=restart_rules(config),
        telemetry=telemetry,
        clock=clock,
        dice=dice,
        dry_run=dry_run,
        diagnoser=diagnoser(config, clock),
    )
    address = SlidingWindow(PER_ADDRESS, 1.0)
    try:
        await _recall(config, components, telemetry, alone=store.exclusive)
        components.clients = clients(config, http, address, components, telemetry)
        yield Runtime(config, components, telemetry, address, http, store)
    finally:
        if components.diagnoser is not None:
            await components.diagnoser.close()
        await http.aclose()
        worker.shutdown()


async def _recall(config: Config, components: Components, telemetry: LogsAndMetrics, *, alone: bool) -> None:
    """Load the memory. A restart whose outcome nobody noted was cut off by the end of the process: say so, once.

    Not ``alone``, it may as well be under way in the daemon, who will note it.
    """
    now, memory = components.clock.now(), components.memory
    recalled = await memory.recall(anchor(components.clock))
    components.budget.merge(recalled.restarts)
    for known in memory.packs():
        if known.decision.reason is Reason.OVER_BUDGET:
            due = due_since(memory.history(known.pack), now)
            components.budget.wait(known.account, known.pack.key, due, now)
    initial = config.restart.backoff.initial
    if alone and memory.lost is not None and now < (until := cautious_until(memory.lost.at, initial)):
        telemetry.logs.write(EventName.STATE_LOST, kept=str(memory.lost.kept), restarts_from=until)
    for intent_id, intent in recalled.open_intents if alone else ():
        error = "the process ended before the answer came"
        components.intents.settle(intent_id, Sent.UNKNOWN, error, now)
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
