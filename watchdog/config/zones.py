"""The blocks under ``zones`` and ``restart``: what is watched, and when a validation is restarted."""

from datetime import timedelta

from pydantic import Field, model_validator

from watchdog.config.block import Block
from watchdog.config.durations import format_duration
from watchdog.config.types import Boolean, Duration, Float, Integer, Label, PackHosts, Packs, ZoneId, is_domain
from watchdog.model.packs import ZoneRef

PER_ACCOUNT = frozenset({"max_per_hour"})
"""Keys of `restart` that hold for all packs of an account, so that no zone can have its own."""


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
