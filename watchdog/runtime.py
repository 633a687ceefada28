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
from watchdog.cloudflare.client import ApiCall, Client, connect
from watchdog.cloudflare.credential import Credential
from watchdog.cloudflare.rate_limit import PER_ADDRESS, Allowance, Quota, SlidingWindow
from watchdog.config.permissions import Exposed
from watchdog.config.schema import AccountConfig, Config, RestartPolicy
from watchdog.cycle import AT_ONCE, Components, Diagnoser, Policy
from watchdog.decide.checks import Rules
from watchdog.model.clock import Clock, anchor
from watchdog.model.events import Event, EventName, rfc3339
from watchdog.model.history import Sent, cautious_until
from watchdog.model.packs import ZoneRef
from watchdog.model.report import Inventory, PassReport
from watchdog.observe.zones import Search, WatchedZones
from watchdog.schedule.agenda import Agenda
from watchdog.state.database import Store
from watchdog.state.memory import Memory
from watchdog.state.quarantine import Quarantined
from watchdog.tell.logs import Logs, configure

if TYPE_CHECKING:
    from watchdog.tell.metrics import Metrics


def own_version() -> str:
    """The installed version, or ``unknown`` when run from a bare tree."""
    try:
        return version("certpack-watchdog")
    except PackageNotFoundError:
        return "unknown"


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
        components.policy = policies(config)
        if config.diagnosis != old.diagnosis:
            components.diagnoser = diagnoser(config)
        components.agenda.reschedule(config.schedule.interval, config.schedule.attention_interval)


def make_watched(config: Config) -> WatchedZones:
    """The zones of the configuration, and what each account is to discover, asked anew every interval."""
    searches = {
        name: Search(tuple(account.discover.include), tuple(account.discover.exclude))
        for name, account in config.accounts.items()
        if account.discover is not None
    }
    return WatchedZones(tuple(config.zone_refs()), searches, config.schedule.interval)


def policies(config: Config) -> Callable[[ZoneRef], Policy]:
    """What holds for a zone: its own ``restart`` overrides, else the global ones (for discovered zones too)."""
    usual = _policy(config.restart)
    special = {
        ref.key: _policy(zone.restart)
        for ref, zone in zip(config.zone_refs(), config.zones, strict=True)
        if zone.restart != config.restart
    }
    return lambda zone: special.get(zone.key, usual)


def diagnoser(config: Config) -> Diagnoser | None:
    """Who finds out why validations fail; nobody where that is turned off."""
    if not config.diagnosis.enabled:
        return None
    from watchdog.diagnose.diagnoser import PackDiagnoser  # noqa: PLC0415  dnspython costs 70 ms, and may be turned off

    return PackDiagnoser(config.diagnosis.addresses, config.diagnosis.timeout)


def _policy(restart: RestartPolicy) -> Policy:
    backoff = restart.backoff
    rules = Rules(restart.enabled, restart.max_attempts, backoff.initial, backoff.max)
    return Policy(
        rules, backoff.initial, backoff.factor, backoff.max, backoff.jitter, restart.max_per_hour, restart.recheck
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
            on_call=telemetry.called,
            rate_limited=telemetry.rate_limited,
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
        agenda, make_watched(config), {}, memory, policies(config), telemetry, clock, dice, dry_run, diagnoser(config)
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
    unsettled = await memory.recall(anchor(components.clock))
    initial = config.restart.backoff.initial
    if alone and memory.lost is not None and now < (until := cautious_until(memory.lost.at, initial)):
        telemetry.logs.write(EventName.STATE_LOST, kept=str(memory.lost.kept), restarts_from=until)
    for intent_id, intent in unsettled if alone else ():
        error = "the process ended before the answer came"
        components.memory.settle(intent_id, Sent.UNKNOWN, error, now)
        event = Event.restart_cut_off(intent, now, error)
        components.memory.journal([event])
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
