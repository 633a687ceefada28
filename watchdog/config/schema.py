"""What can be configured: one class per block, each field with its unit, its default and why.

These are the values that everything else is handed. The models check one block at a time; what refers from one block to
another (accounts of zones, zones given twice, restart keys laid over the global ones) is resolved in ``references``.
A setting of the type ``Secret`` may also be given as ``x_file``; no more is to be done for it than to declare it here.
"""

import hashlib
from datetime import timedelta
from functools import cached_property
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from watchdog.config.durations import format_duration
from watchdog.config.secrets import Address, Secret
from watchdog.config.types import (
    AccountName,
    AlertReason,
    BaseUrl,
    Boolean,
    Credential,
    DestinationName,
    Duration,
    Email,
    Float,
    Integer,
    Label,
    Listen,
    PackHosts,
    Packs,
    Pattern,
    ReplicaName,
    Resolver,
    ServiceAddress,
    StateUrl,
    WebAddress,
    ZoneId,
    is_domain,
    listen_address,
    resolver_address,
)
from watchdog.model.leases import LONGEST_LEASE
from watchdog.model.packs import ZoneRef

__all__ = [
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


PER_ACCOUNT = frozenset({"max_per_hour"})
"""Keys of `restart` that hold for all packs of an account, so that no zone can have its own."""

_USUAL_STATE = "sqlite:////var/lib/certpack-watchdog/state.db"
_SHORTEST_REPEAT = timedelta(hours=1)
_LONGEST_QUESTION = timedelta(seconds=30)
_SHORTEST_LEASE = timedelta(seconds=2)


class Block(BaseModel):
    """A block of keys: the unknown is refused, and nothing changes once it is read."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        defer_build=True,  # else each is made twice: on its own, and as a part of ``Config``
    )


class RateLimit(Block):
    """How much of Cloudflare's allowance for this credential the watchdog may use."""

    requests: Integer = Field(
        default=1200,
        ge=1,
        le=1_000_000,
        description="Requests that Cloudflare allows within `per`. Its own limit is 1200 in 5m for every user.",
    )
    per: Duration = Field(
        default=timedelta(minutes=5),
        description="The window of `requests`, a duration.",
    )
    share: Float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="The part of it for the watchdog, above 0, at most 1. The limit is counted together with the"
        " dashboard and every other tool of that user, and going over it blocks all of them: half is left to them.",
    )

    @model_validator(mode="after")
    def _leaves_something(self) -> "RateLimit":
        if self.requests * self.share < 1:
            raise ValueError("requests times share must be at least 1, or nothing could ever be asked")
        return self


class Discover(Block):
    """Which of the zones that the credential can see are watched as well. Patterns: `*` stands for any text."""

    include: tuple[Pattern, ...] = Field(
        default=("*",),
        min_length=1,
        description="Patterns of zone names to watch; all zones by default.",
    )
    exclude: tuple[Pattern, ...] = Field(
        default=(),
        description="Patterns of zone names to leave alone, stronger than `include`; none by default.",
    )


def _begins(secret: Secret | None, *beginnings: str) -> bool:
    return secret is not None and not secret.unread and secret.get_secret_value().startswith(beginnings)


class AccountConfig(Block):
    """One credential: an API token, or the older pair of email and Global API Key."""

    api_token: Credential | None = Field(
        default=None,
        description="An API token with the permissions SSL and Certificates Write, and Zone Read.",
    )
    api_email: Email | None = Field(
        default=None,
        description="The user's email address, together with `api_key`. A token is safer: it can do less.",
    )
    api_key: Credential | None = Field(
        default=None,
        description="The user's Global API Key, together with `api_email`.",
    )
    rate_limit: RateLimit = Field(
        default=RateLimit(),
        description="How much of Cloudflare's allowance for this credential the watchdog may use.",
    )
    discover: Discover | None = Field(
        default=None,
        description="Also watch zones found through the API. Left out: only the zones listed under `zones`.",
    )

    @model_validator(mode="after")
    def _one_credential(self) -> "AccountConfig":
        if self.api_token is not None and (self.api_email is not None or self.api_key is not None):
            raise ValueError("has both an api_token and an api_email or api_key; keep one")
        if self.api_email is not None and self.api_key is None:
            raise ValueError("has an api_email without its api_key or api_key_file")
        if self.api_key is not None and self.api_email is None:
            raise ValueError("has an api_key without its api_email")
        if self.api_token is None and self.api_key is None:
            raise ValueError("has no credentials: give it an api_token_file (or api_token, or api_email with api_key)")
        # Since 2026 a credential says what it is (Cloudflare's documentation, "Token formats").
        if _begins(self.api_token, "cfk_"):
            raise ValueError(
                "has a global API key as its api_token (it begins with cfk_): give it as api_key with api_email, or"
                " better make an API token"
            )
        if _begins(self.api_key, "cfut_", "cfat_"):
            raise ValueError("has an API token as its api_key (it begins with cfut_ or cfat_): give it as api_token")
        return self


class Backoff(Block):
    """The waits before the 2nd, 3rd, … restart of one pack; the first goes at once."""

    initial: Duration = Field(
        default=timedelta(minutes=15),
        description="The wait before the second restart, a duration. Validations that work usually finish within 5m.",
    )
    factor: Float = Field(
        default=2.0,
        ge=1,
        le=100,
        description="Each wait is this many times the one before; 1 to 100. 2 reaches a day after seven restarts.",
    )
    max: Duration = Field(
        default=timedelta(hours=24),
        description="No wait is longer than this, a duration. Certificate authorities forget failures within a day.",
    )
    jitter: Float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Up to this part of a wait is added to it at random; 0 to 1. It keeps packs that failed together"
        " from being restarted together.",
    )

    @model_validator(mode="after")
    def _grows(self) -> "Backoff":
        if self.initial > self.max:
            initial, longest = format_duration(self.initial), format_duration(self.max)
            raise ValueError(f"initial ({initial}) is longer than max ({longest})")
        return self


class RestartPolicy(Block):
    """When a timed-out validation is restarted, and when the watchdog stops trying."""

    enabled: Boolean = Field(
        default=True,
        description="Whether anything is restarted. With false all is watched and reported, and nothing changed.",
    )
    backoff: Backoff = Field(
        default=Backoff(),
        description="The waits between restarts of one pack.",
    )
    max_attempts: Integer = Field(
        default=8,
        ge=1,
        le=100,
        description="Restarts of one pack before the watchdog gives up and calls a person; 1 to 100. An active pack"
        " starts afresh. What eight restarts over days did not mend, a ninth will not.",
    )
    max_per_hour: Integer = Field(
        default=60,
        ge=1,
        description="Restarts over all packs of one account within an hour, at least 1: the blast radius when many"
        " packs fail at once. For all zones: none can have its own.",
    )
    recheck: Boolean = Field(
        default=True,
        description="Whether Cloudflare is asked to check at once when a person has placed the new records, instead of"
        " when it looks next by itself, up to 4h later. At most once an hour for the same records.",
    )


class ZoneConfig(Block):
    """One zone to watch. `restart` holds the whole policy of this zone: its own keys laid over the global ones."""

    name: Label | None = Field(
        default=None,
        description="What the zone is called in logs, metrics and alerts. With no `id`, it is also looked up by"
        " this name.",
    )
    id: ZoneId | None = Field(
        default=None,
        description="Cloudflare's id of the zone, 32 characters of 0-9 and a-f. Quote it: YAML takes digits for a"
        " number.",
    )
    account: str = Field(
        default="",
        description="The name of the account under `accounts`. May be left out when there is only one.",
    )
    packs: Packs = Field(
        default="all",
        description='`all`, or a list of the packs to watch: each by its hosts, {hosts: [example.com, "*.example.com"]}'
        ", or by its id, a UUID with or without dashes. Ids do not last: each renewal brings a new one.",
    )
    restart: RestartPolicy = Field(
        default=RestartPolicy(),
        description="Any key of the global `restart` but max_per_hour, for this zone alone.",
    )

    def named_packs(self) -> tuple[str | PackHosts, ...]:
        """The packs that are named; none where all are meant."""
        return () if self.packs == "all" else self.packs

    @model_validator(mode="after")
    def _can_be_found(self) -> "ZoneConfig":
        if self.id is None and self.name is not None and not is_domain(self.name):
            raise ValueError("has no id, and its name is no domain name that could be looked up")
        return self

    @property
    def label(self) -> str:
        """What operators call the zone."""
        return self.name or self.id or ""

    def ref(self) -> ZoneRef:
        """The zone as the rest of the program knows it."""
        if self.packs == "all":
            return ZoneRef(self.account, self.label, self.id or "")
        ids = frozenset(pack for pack in self.packs if isinstance(pack, str))
        hosts = frozenset(pack.hosts for pack in self.packs if isinstance(pack, PackHosts))
        return ZoneRef(self.account, self.label, self.id or "", ids, hosts)


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
        description="Whether anything is looked up. With false nothing is, and restarts go on without.",
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


class Destination(Block):
    """Where alerts go: exactly one of `url`, `alertmanager`, `webhook` and `pagerduty`, and what is wanted there."""

    name: DestinationName | None = Field(
        default=None,
        description="What logs, metrics and `test-alert` call it; letters, digits and - _ . (at most 63). Messages that"
        " wait are kept under it. No default.",
    )
    url: ServiceAddress | None = Field(
        default=None,
        description="An Apprise URL with one target: Slack, Teams, mail, ntfy and a hundred more. A secret. Not for"
        " services that keep incidents: Apprise cannot close them.",
    )
    alertmanager: WebAddress | None = Field(
        default=None,
        description="The URL of an Alertmanager (API v2), without /api/v2. It is told what holds every minute, and"
        " resolves it when the daemon dies.",
    )
    webhook: WebAddress | None = Field(
        default=None,
        description="A URL that messages are POSTed to as JSON. A secret.",
    )
    pagerduty: Credential | None = Field(
        default=None,
        description="The integration key of a PagerDuty service (Events API v2). Each alert is an incident of its own,"
        " which closes by itself when the alert is over. A secret.",
    )
    pagerduty_url: BaseUrl | None = Field(
        default=None,
        description="Where the `pagerduty` events go, instead of https://events.pagerduty.com, such as"
        " https://events.eu.pagerduty.com.",
    )
    secret: Credential | None = Field(
        default=None,
        description="Signs what goes to the `webhook`, with HMAC-SHA256. Left out: unsigned.",
    )
    heartbeat: Boolean = Field(
        default=False,
        description="Whether the `alertmanager` is also told an alert that always fires, for a rule that wants to know"
        " when it ceases.",
    )
    min_severity: Literal["info", "warning", "critical"] = Field(
        default="info",
        description="The least severe that is wanted there.",
    )
    reasons: tuple[AlertReason, ...] = Field(
        default=(),
        description="The reasons that are wanted there; all of them by default.",
    )
    zones: tuple[Pattern, ...] = Field(
        default=(),
        description="Patterns of zone names, `*` stands for any text; all zones by default. What concerns no zone goes"
        " to every destination.",
    )

    @model_validator(mode="after")
    def _one_kind(self) -> "Destination":
        if self.name is None:
            raise ValueError("has no name")
        kinds = ("url", "alertmanager", "webhook", "pagerduty")
        given = [kind for kind in kinds if getattr(self, kind) is not None]
        if not given:
            raise ValueError("goes nowhere: give it a url, an alertmanager, a webhook or a pagerduty key")
        if len(given) > 1:
            raise ValueError(f"has {' and '.join(given)}: keep one, or make them destinations of their own")
        if self.secret is not None and self.webhook is None:
            raise ValueError("has a secret, which only a webhook needs")
        if self.pagerduty_url is not None and self.pagerduty is None:
            raise ValueError("has a pagerduty_url without its pagerduty or pagerduty_file")
        if self.heartbeat and self.alertmanager is None:
            raise ValueError(
                "has a heartbeat, which only an alertmanager can take; see alerts.heartbeat_url for others"
            )
        return self


class Alerts(Block):
    """Whom to tell when a person is needed, and how often."""

    pending_for: Duration = Field(
        default=timedelta(hours=24),
        description="A pack that is pending for longer than this is worth a word, a duration. Validations that work"
        " take minutes; Cloudflare itself looks again for days.",
    )
    repeat_every: Duration = Field(
        default=timedelta(hours=24),
        description="How often what lasts is said again, a duration. Alertmanager repeats by its own rules.",
    )
    critical_within: Duration = Field(
        default=timedelta(minutes=1),
        description="A critical that is new waits no longer than this for others of its group, a duration, whatever the"
        " group said before. The group may speak early three times, and once more for each hour: a storm of criticals"
        " is a handful of messages.",
    )
    runbooks: str = Field(
        default="docs/runbooks/",
        min_length=1,
        max_length=500,
        description="Where the people who are told find the pages of docs/runbooks/, such as the URL of your copy of"
        " them; each message names the page of its reason there. By default their place in this program's source.",
    )
    heartbeat_url: WebAddress | None = Field(
        default=None,
        description="Asked for by GET after every completed pass, with /fail added after one that failed: a dead man's"
        " switch, as healthchecks.io and others offer. A secret. Left out: none.",
    )
    destinations: tuple[Destination, ...] = Field(
        default=(),
        description="Where alerts go. Without any, they are shown by the page and the metrics alone.",
    )

    @model_validator(mode="after")
    def _names_are_distinct(self) -> "Alerts":
        names = [destination.name for destination in self.destinations]
        if len(set(names)) < len(names):
            raise ValueError("has two destinations of one name")
        if self.repeat_every < _SHORTEST_REPEAT:
            raise ValueError(f"repeat_every must be at least {format_duration(_SHORTEST_REPEAT)}")
        return self


class Web(Block):
    """The listener for /metrics, /healthz, /readyz and the status page. Read-only, and without a password."""

    listen: Listen = Field(
        default="127.0.0.1:9909",
        description='host:port, an IPv6 host in brackets; port 0 takes a free one; "" turns it off. Loopback by'
        " default, since whoever can reach it can read it. Cannot change while running.",
    )

    @property
    def address(self) -> tuple[str, int] | None:
        """Host (without brackets) and port; ``None`` when turned off."""
        return listen_address(self.listen)


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
        said = self.model_dump_json(exclude={"state", "replica", "web", "log", "metrics"})
        return hashlib.sha256(said.encode()).hexdigest()[:12]

    def zone_refs(self) -> list[ZoneRef]:
        """The configured zones as the rest of the program knows them."""
        return [zone.ref() for zone in self.zones]
