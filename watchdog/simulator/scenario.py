"""What a simulated Cloudflare holds and how it will go: values only, parsed whole, the unknown refused.

``Scenario.model_validate`` takes a plain mapping (the caller reads the file); ``Scenario.fleet`` builds a large one.
Everything has a default, so a scenario is a few lines. Durations are ``90s``, ``15m``, ``6h``, ``7d`` or seconds.
"""

import hashlib
import re
import uuid
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

_UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _duration(value: object) -> object:
    match = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)(ms|[smhd])", value.strip()) if isinstance(value, str) else None
    return timedelta(**{_UNITS[match[2]]: float(match[1])}) if match else value


def zone_id(name: str) -> str:
    """The id a zone has when the scenario gives none: 32 hex characters, always the same for a name."""
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def pack_id(zone: str, number: int) -> str:
    """The id of a zone's pack (``number`` counts from 0) when the scenario gives none: a UUID, always the same."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{number}.{zone}"))


Duration = Annotated[timedelta, BeforeValidator(_duration), Field(ge=timedelta(0), le=timedelta(days=36500))]
ValidationOutcome = Literal["succeeds", "times_out"]
Permission = Literal["read", "write", "zone_read", "zone_write"]


class Part(BaseModel):
    """What every part of a scenario has in common: nothing unknown gets in, and nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Token(Part):
    """A credential: an API token (``value``) or the older pair (``email`` and ``key``).

    ``name`` stands for it in the ledger. ``zones`` are names or ids, ``None`` is all. ``read`` and ``write`` are *SSL
    and Certificates*, ``zone_read`` is *Zone Read*, ``zone_write`` (to create, edit and delete zones) goes with no
    token by default. ``refused_from`` is an address the token's IP filter turns away. An account-owned token is unknown
    to ``/user/tokens/verify``. A token that is ``new_for`` some seconds is answered with 10000 until then.
    """

    name: str = "main"
    value: str = ""
    email: str = ""
    key: str = ""
    zones: tuple[str, ...] | None = None
    permissions: frozenset[Permission] = frozenset({"read", "write", "zone_read"})
    revoked: bool = False
    refused_from: str = ""
    account_owned: bool = False
    new_for: Duration = timedelta(0)

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if bool(self.value) == bool(self.email and self.key):
            raise ValueError("give either value, or email and key")
        return self


class RateLimit(Part):
    """The allowance of each credential in a fixed window, and what going over it brings.

    ``others`` is what other tools of the same user consume in every window. ``per_second`` is the limit of one client
    address; 0 turns it off. ``list_zones`` is an allowance of its own for listing zones; 0: they share the other.
    """

    requests: int = 1200
    per: Annotated[Duration, Field(gt=timedelta(0))] = timedelta(minutes=5)
    block: Duration = timedelta(minutes=5)
    retry_after: bool = True
    others: int = 0
    per_second: int = 200
    list_zones: int = 0


class Stages(Part):
    """How long each status lasts before the next; ``timing_out`` is a failing ``pending_validation``."""

    initializing: Duration = timedelta(seconds=10)
    pending_validation: Duration = timedelta(seconds=120)
    timing_out: Duration = timedelta(hours=1)
    pending_issuance: Duration = timedelta(seconds=40)
    pending_deployment: Duration = timedelta(seconds=30)


class Story(Part):
    """What becomes of a pack. ``outcomes`` are those of the validations that begin in the simulation, the last repeats.

    ``errors`` are shown while a validation fails. ``stuck_in`` is a status it enters and never leaves. ``renews_after``
    is how long it is active before its renewal begins; ``deleted_after`` counts from the start of the world.
    """

    outcomes: Annotated[tuple[ValidationOutcome, ...], Field(min_length=1)] = ("succeeds",)
    errors: tuple[str, ...] = ("SERVFAIL looking up CAA",)
    stages: Stages = Stages()
    stuck_in: str = ""
    renews_after: Annotated[Duration, Field(gt=timedelta(0))] | None = None
    deleted_after: Duration | None = None


class PackStart(Part):
    """A pack as it is at the start. No ``hosts``: the zone and its wildcard.

    ``expires_in`` is what its certificate has left (default: two thirds of the validity when active). Given for a pack
    that is not active, the pack holds an old certificate: a renewal that is under way, or failed.
    """

    id: str = ""
    type: str = "advanced"
    hosts: tuple[str, ...] = ()
    certificate_authority: str = "google"
    validation_method: str = "txt"
    validity_days: int = 90
    status: str = "active"
    expires_in: Duration | None = None
    story: Story = Story()


class DnsRecord(Part):
    """One record in DNS. No ``name``: the zone's own. ``after`` and ``until`` as in a story, from its start."""

    type: str
    value: str
    name: str = ""
    after: Duration = timedelta(0)
    until: Duration | None = None


class DnsFault(Part):
    """How DNS fails for ``name`` and all below it. No ``name``: for the whole zone. Times as those of a record."""

    kind: Literal["bogus", "servfail", "refused", "silent"]
    name: str = ""
    after: Duration = timedelta(0)
    until: Duration | None = None


class Dns(Part):
    """What the simulator's resolver has of a zone, besides its name servers and an address for each host.

    ``tokens_after`` is how long after a validation began its TXT tokens are there; by default at once where Cloudflare
    runs the DNS (a full zone), and never where a person would have to place them.
    """

    records: tuple[DnsRecord, ...] = ()
    faults: tuple[DnsFault, ...] = ()
    tokens_after: Duration | None = None


class ZoneStart(Part):
    """A zone. No ``id``: derived from the name. ``acm`` is whether Advanced Certificate Manager is enabled."""

    name: str
    id: str = ""
    type: str = "full"
    status: str = "active"
    paused: bool = False
    account_id: str = "01a7362d577a6c3019a474fd6f485823"
    acm: bool = True
    packs: tuple[PackStart, ...] = (PackStart(),)
    dns: Dns = Dns()

    @model_validator(mode="before")
    @classmethod
    def _with_id(cls, data: Any) -> Any:
        return {**data, "id": data.get("id") or zone_id(str(data.get("name")))} if isinstance(data, dict) else data


FaultKind = Literal[
    "json_error",  # the envelope with `code` and `message`
    "html_error",  # an HTML page instead of JSON; with `status: 200` too
    "text_error",  # as the edge says it: "error code: 522"
    "rate_limited",  # 429, whatever the allowance; Retry-After only if `retry_after` says
    "null_body",  # `status` with the body `null`
    "empty_body",  # `status` with no body at all
    "edge_error",  # JSON problem details, as the edge sends them: `code`, `message`, and `retry_after` in the body only
    "reset",  # the connection is reset before an answer
    "truncated",  # the connection ends in the middle of the body
    "slow",  # the right answer, after `delay`
    "missing_fields",  # of every object in result: `fields`, or all but the id, are left out
    "nulls",  # ... are null
    "unknown_words",  # statuses and types nobody has heard of
    "odd_primary",  # primary_certificate is a number
    "huge",  # a body of some 16 MB
]


class Fault(Part):
    """Something that goes wrong with the requests it matches; the first fault of the list that strikes is the one.

    ``path`` is a glob over the path after ``/client/v4``; ``zone`` a name or id. Of the matching requests, ``nth``
    picks one (from 1), ``every`` each k-th, ``probability`` some; ``times`` ends it. ``after`` and ``until`` count from
    the start of the world. A failing PATCH has no effect unless ``takes_effect``; ``delay`` comes before the answer.
    """

    kind: FaultKind
    method: str = "*"
    path: str = "*"
    zone: str = ""
    nth: Annotated[int, Field(ge=1)] | None = None
    every: Annotated[int, Field(ge=1)] = 1
    probability: Annotated[float, Field(ge=0, le=1)] = 1.0
    times: int | None = None
    after: Duration = timedelta(0)
    until: Duration | None = None
    takes_effect: bool = False
    delay: Duration = timedelta(0)
    status: Annotated[int, Field(ge=200, le=599)] = 503
    code: int = 0
    message: str = "Internal error"
    retry_after: int | None = None
    fields: tuple[str, ...] = ()


class Unknowns(Part):
    """What nobody knows of the real answers, or what differs there: each can be had both ways."""

    restart_when_not_timed_out: Literal["unchanged", "refused"] = "unchanged"
    status_after_restart: Literal["initializing", "pending_validation"] = "initializing"
    restart_changes_id: bool = False
    errors_outlive_timeout: bool = True
    failed_renewal: Literal["same_pack", "second_pack"] = "same_pack"
    default_page_size: Annotated[int, Field(ge=1)] = 20
    page_ignored: bool = False
    result_info: bool = True
    acm_missing_status: int = 403
    internal_zones_listed: bool = False
    ratelimit_resets_in: Literal["second", "window"] = "window"
    authentication_error_status: Literal[400, 401, 403] = 403


class Scenario(Part):
    """The whole of it. ``speed`` divides the durations of every story; a deleted pack answers for ``deleted_shows``."""

    tokens: tuple[Token, ...] = (Token(value="simulated-token"),)
    rate_limit: RateLimit = RateLimit()
    zones: tuple[ZoneStart, ...] = ()
    faults: tuple[Fault, ...] = ()
    unknowns: Unknowns = Unknowns()
    speed: Annotated[float, Field(gt=0)] = 1.0
    deleted_shows: Duration = timedelta(hours=1)

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        names, zones = [token.name for token in self.tokens], [zone.id for zone in self.zones]
        packs = [pack.id for zone in self.zones for pack in zone.packs if pack.id]
        if any(len(set(each)) < len(each) for each in (names, zones, packs)):
            raise ValueError("two tokens have one name, or two zones or two packs one id")
        return self

    @classmethod
    def fleet(cls, zones: int, packs: int, *, timed_out: float = 0.0, story: Story | None = None, **rest: Any) -> Self:
        """``zones`` zones of ``packs`` packs, the fraction ``timed_out`` of them (evenly spread) timed out."""
        story = story or Story()
        healthy, troubled = PackStart(story=story), PackStart(status="validation_timed_out", story=story)
        total = 0

        def next_pack() -> PackStart:
            nonlocal total
            total += 1
            return troubled if int(total * timed_out) > int((total - 1) * timed_out) else healthy

        return cls(
            zones=tuple(
                ZoneStart(name=f"zone{number:05}.example", packs=tuple(next_pack() for _ in range(packs)))
                for number in range(1, zones + 1)
            ),
            **rest,
        )
