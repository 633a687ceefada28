"""What can be configured: one class per block, each field with its unit, its default and why.

The larger blocks have files of their own: ``accounts``, ``zones``, ``alerts``.

These are the values that everything else is handed. The models check one block at a time; what refers from one block to
another (accounts of zones, zones given twice, restart keys laid over the global ones) is resolved in ``references``.
A setting of the type ``Secret`` may also be given as ``x_file``; no more is to be done for it than to declare it here.
"""

from datetime import timedelta
from functools import cached_property
from typing import Literal

from pydantic import Field, model_validator

from watchdog.config.accounts import AccountConfig, Discover, RateLimit
from watchdog.config.addresses import resolver_address
from watchdog.config.alerts import Alerts, Destination
from watchdog.config.block import Block
from watchdog.config.durations import format_duration
from watchdog.config.secrets import Address
from watchdog.config.types import (
    AccountName,
    BaseUrl,
    Boolean,
    Duration,
    Listen,
    ReplicaName,
    Resolver,
    StateUrl,
)
from watchdog.config.zones import PER_ACCOUNT, Backoff, RestartPolicy, ZoneConfig
from watchdog.model.leases import LONGEST_LEASE
from watchdog.model.packs import ZoneRef

__all__ = [
    "PER_ACCOUNT",
    "AccountConfig",
    "Alerts",
    "Api",
    "Backoff",
    "Config",
    "ConfigFile",
    "Destination",
    "Diagnosis",
    "Discover",
    "Log",
    "Metrics",
    "RateLimit",
    "Replica",
    "RestartPolicy",
    "Schedule",
    "State",
    "Web",
    "ZoneConfig",
]

_USUAL_STATE = "sqlite:////var/lib/certpack-watchdog/state.db"
_LONGEST_QUESTION = timedelta(seconds=30)
_SHORTEST_LEASE = timedelta(seconds=2)


class Schedule(Block):
    """How often zones are looked at."""

    interval: Duration = Field(
        default=timedelta(minutes=15),
        description="Every zone is looked at at least this often, a duration.",
    )
    attention_interval: Duration = Field(
        default=timedelta(minutes=1),
        description="And this often while a pack of it is in trouble or was just restarted, a duration; at most"
        " `interval`.",
    )

    @model_validator(mode="after")
    def _attention_is_closer(self) -> "Schedule":
        if self.attention_interval > self.interval:
            attention, interval = format_duration(self.attention_interval), format_duration(self.interval)
            raise ValueError(f"attention_interval ({attention}) is longer than interval ({interval})")
        return self


class Diagnosis(Block):
    """Finding out why validations fail: DNS, CAA and token pages are asked before a restart is sent."""

    enabled: Boolean = Field(
        default=True,
        description="Whether anything is looked up. With false restarts go by Cloudflare's words alone.",
    )
    resolvers: tuple[Resolver, ...] = Field(
        default=("1.1.1.1", "8.8.8.8"),
        max_length=8,
        description="DNS resolvers to ask, each an IP address or address:port, at most 8; an empty list takes the"
        " system's. Public ones see what the certificate authority sees; two of them show whether it depends on where"
        " one asks.",
    )
    timeout: Duration = Field(
        default=timedelta(seconds=5),
        description="How long one question may take, a duration. A pack's whole diagnosis may take four times that.",
    )

    @model_validator(mode="after")
    def _asks_each_once(self) -> "Diagnosis":
        if len(set(self.addresses)) < len(self.addresses):
            raise ValueError("lists the same resolver twice")
        if not timedelta(0) < self.timeout <= _LONGEST_QUESTION:
            raise ValueError(f"timeout must be above 0 and at most {format_duration(_LONGEST_QUESTION)}")
        return self

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Address and port of each resolver; empty for the system's."""
        return tuple(resolver_address(text) for text in self.resolvers)


class Web(Block):
    """The listener for /metrics, /healthz, /readyz and the status page. Read-only, and without a password."""

    listen: Listen = Field(
        default="127.0.0.1:9909",
        description='host:port, an IPv6 host in brackets; port 0 takes a free one; "" turns it off. Loopback by'
        " default, since whoever can reach it can read it. Cannot change while running.",
    )


class State(Block):
    """Where the memory is kept: attempts, waits and what was sent."""

    url: StateUrl = Field(
        default=Address(_USUAL_STATE),
        json_schema_extra={"default": _USUAL_STATE},
        description="sqlite:///PATH, with four slashes for an absolute path; a relative one starts at the working"
        " directory. For several replicas postgresql://USER@HOST:PORT/DATABASE?schema=NAME, which takes all that libpq"
        " does, TLS too. Cannot change while running.",
    )

    @property
    def shared(self) -> bool:
        """Whether several replicas may share it."""
        return self.url.get_secret_value().startswith("postgres")


class Replica(Block):
    """One of several daemons that share a state on PostgreSQL: each account is worked by exactly one of them."""

    name: ReplicaName = Field(
        default="",
        description="What logs, pages and the other replicas call it; letters, digits and - _ . (at most 63). The name"
        " of the host by default. Cannot change while running.",
    )
    lease: Duration = Field(
        default=timedelta(seconds=30),
        description="For how long an account stays with a replica that is not heard of any more, a duration of 2s to"
        " 10m; then another takes it over. Cannot change while running.",
    )

    @model_validator(mode="after")
    def _neither_short_nor_long(self) -> "Replica":
        if not _SHORTEST_LEASE <= self.lease <= LONGEST_LEASE:
            shortest, longest = format_duration(_SHORTEST_LEASE), format_duration(LONGEST_LEASE)
            raise ValueError(f"lease must be at least {shortest} and at most {longest}")
        return self


class Metrics(Block):
    """How many series are exposed."""

    per_pack: Literal["all", "troubled", "none"] = Field(
        default="all",
        description="Which packs have series of their own: all, only the troubled, or none (for very large fleets).",
    )


class Log(Block):
    """The log on stderr."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info",
        description="The least severe level that is written.",
    )
    format: Literal["auto", "json", "console"] = Field(
        default="auto",
        description="json: one object a line; console: coloured; auto: console on a terminal, json otherwise.",
    )


class ConfigFile(Block):
    """How this file itself is followed."""

    auto_reload: Boolean = Field(
        default=True,
        description="Whether the file and the files of its secrets are looked at every 30s, and taken anew once they"
        " have changed. With false only at SIGHUP.",
    )


class Api(Block):
    """How Cloudflare is reached."""

    base_url: BaseUrl = Field(
        default="https://api.cloudflare.com/client/v4",
        description="Where the API is, https (http only on loopback, for the simulator).",
    )
    timeout: Duration = Field(
        default=timedelta(seconds=30),
        description="How long one request may take, a duration.",
    )


class Config(Block):
    """The whole file."""

    accounts: dict[AccountName, AccountConfig] = Field(
        min_length=1,
        description="Credentials, by a name of your choice.",
    )
    zones: tuple[ZoneConfig, ...] = Field(
        default=(),
        description="The zones and packs to watch.",
    )
    schedule: Schedule = Field(default=Schedule(), description="How often zones are looked at.")
    restart: RestartPolicy = Field(default=RestartPolicy(), description="When and how often validations are restarted.")
    diagnosis: Diagnosis = Field(default=Diagnosis(), description="Finding out why validations fail.")
    alerts: Alerts = Field(default=Alerts(), description="Whom to tell when a person is needed.")
    web: Web = Field(default=Web(), description="Metrics, health and the status page.")
    state: State = Field(default=State(), description="Where the memory is kept.")
    replica: Replica = Field(
        default=Replica(), description="This daemon as one of several that share a state; only with PostgreSQL."
    )
    metrics: Metrics = Field(default=Metrics(), description="How many series are exposed.")
    config: ConfigFile = Field(default=ConfigFile(), description="How this file itself is followed.")
    log: Log = Field(default=Log(), description="The log on stderr.")
    api: Api = Field(default=Api(), description="How Cloudflare is reached.")

    @model_validator(mode="after")
    def _shares_its_state(self) -> "Config":
        if self.replica != Replica() and not self.state.shared:
            raise ValueError("has a replica, which needs a state.url of PostgreSQL: no SQLite is shared")
        return self

    @cached_property
    def digest(self) -> str:
        """A short name for what matters to all replicas alike: equal where they are configured alike. No secret."""
        import hashlib  # noqa: PLC0415  which loads OpenSSL: only replicas ask

        said = self.model_dump_json(exclude={"state", "replica", "web", "log", "metrics"})
        return hashlib.sha256(said.encode()).hexdigest()[:12]

    def zone_refs(self) -> list[ZoneRef]:
        """The configured zones as the rest of the program knows them."""
        return [zone.ref() for zone in self.zones]
