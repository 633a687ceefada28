"""The parts that one configuration asks for, each made by one method, which changes nothing that runs.

``runtime`` is the only one who builds: at the start, and at each reload to swap all parts at once.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from random import Random
from typing import TYPE_CHECKING

import msgspec

from watchdog.cloudflare.address import Address
from watchdog.cloudflare.client import Client
from watchdog.cloudflare.credential import Credential
from watchdog.cloudflare.http import Transport
from watchdog.cloudflare.rate_limit import Quota
from watchdog.cloudflare.sliding_window import Allowance
from watchdog.components import Components, Configured, Diagnoser, kept
from watchdog.config.schema import AccountConfig, Config, RestartPolicy
from watchdog.decide.backoff import Backoff
from watchdog.decide.budget import Budget
from watchdog.decide.checks import RestartRules
from watchdog.diagnose.on_demand import OnDemand
from watchdog.model.clock import Clock
from watchdog.model.leases import ALONE, Tenure
from watchdog.model.packs import ZoneRef
from watchdog.observe.zones import Search, WatchedZones
from watchdog.passes import Passes
from watchdog.schedule.agenda import Agenda
from watchdog.state.intents import Intents
from watchdog.state.memory import Memory
from watchdog.state.store import Store
from watchdog.telemetry import LogsAndMetrics
from watchdog.tell import logs
from watchdog.version import VERSION

if TYPE_CHECKING:
    from watchdog.notify.pipeline import Pipeline


BOOKED_AGAIN = timedelta(seconds=1)
"""How long to wait before what could not be booked is booked again."""


class Lasting(msgspec.Struct, frozen=True, kw_only=True):
    """What is there once, whatever the configuration. ``http`` is the way to Cloudflare that all clients share."""

    store: Store
    memory: Memory
    intents: Intents
    budget: Budget
    http: Transport
    address: Address
    telemetry: LogsAndMetrics
    clock: Clock
    dice: Random
    tenure: Tenure = ALONE


class Present(msgspec.Struct, frozen=True, kw_only=True):
    """What runs now, of the configuration before."""

    config: Config
    components: Components
    passes: Passes
    pipeline: "Pipeline | None"


class Building:
    """Makes the parts of one configuration: one method each, which changes nothing that runs.

    ``before`` is what runs and is to take them: they go on with its standings, counts and turns.
    """

    def __init__(self, config: Config, lasting: Lasting, before: Present | None = None) -> None:
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
        self._before.passes.enrol_on(agenda, kept(watched.zones(), self._lasting.tenure))
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
        policies = {id(zone.restart): zone.restart for zone in config.zones}  # those without their own share one
        special = {number: _rules(policy) for number, policy in policies.items() if policy != config.restart}
        of_zones = {zone.ref().key: special[id(zone.restart)] for zone in config.zones if id(zone.restart) in special}
        return lambda zone: of_zones.get(zone.key, usual)

    def diagnoser(self) -> Diagnoser | None:
        """Who finds out why validations fail; nobody where that is turned off."""
        wanted = self._config.diagnosis
        if self._before is not None and wanted == self._before.config.diagnosis:
            return self._before.components.diagnoser
        return OnDemand(wanted.addresses, wanted.timeout, self._lasting.clock.now) if wanted.enabled else None

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
            user_agent=f"certpack-watchdog/{VERSION}",
            observer=lasting.telemetry,
            may_send=None if lasting.tenure is ALONE else lasting.tenure.may_send,
        )

    def _credential(self, name: str, account: AccountConfig) -> Credential:
        """The credential; the one there is, with its standing, where the account's secrets and their files are."""
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
            book=partial(memory.booked.book if self._lasting.tenure is ALONE else self._booked_surely, name),
            booked=memory.booked.of(name),
        )

    async def _booked_surely(self, account: str, requests: int, until: float, forget_before: float) -> None:
        """Book, and come back only when that is durable or nothing may be sent: the next holder must know all of it."""
        memory, lasting = self._lasting.memory, self._lasting
        while not await memory.booked.book(account, requests, until, forget_before) and lasting.tenure.may_send(
            account
        ):
            await lasting.clock.sleep(BOOKED_AGAIN)


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
    given = (account.api_token, account.api_key)
    return (*given, account.api_email, *(secret and secret.file for secret in given))


def _allowance(account: AccountConfig) -> Allowance:
    limit = account.rate_limit
    return Allowance(limit.requests, limit.per.total_seconds(), limit.share)
