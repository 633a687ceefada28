"""Zones and certificate packs as Cloudflare shows them.

Statuses and types are plain strings on purpose: Cloudflare adds new ones, and an unknown one is carried and shown,
never a crash. The sets below are the known statuses by what they mean here (Cloudflare's API specification,
``certificate_pack.status``).
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from watchdog.model.names import canonical
from watchdog.model.pack_ids import PackKey, canonical_id

Identity = tuple[str, tuple[str, ...], str, str]
"""Zone id, sorted hosts, certificate authority (none of a universal pack) and type: what lasts of a pack, as its id
does not."""

DASHBOARD = "https://dash.cloudflare.com/?to=/:account/:zone/ssl-tls/edge-certificates"
"""Cloudflare's own deep link: it asks for account and zone, then shows the edge certificates."""

ADVANCED = "advanced"
UNIVERSAL = "universal"
UPLOADED = frozenset({"sni_custom", "mh_custom", "legacy_custom", "keyless"})
"""Types of packs whose certificates their owner brought, and renews: Cloudflare does not."""
VALIDATION_TIMED_OUT = "validation_timed_out"
PENDING_VALIDATION = "pending_validation"

DEPLOYED = frozenset({"active"})
"""What visitors are served. Only a pack of these replaces another."""

UNDEPLOYED = frozenset({"backup_issued", "staging_active", "staging_deployment", "holding_deployment"})
"""What visitors are not served, though it may have a certificate: backups, staging, and what a person holds back."""

HEALTHY = DEPLOYED | {"staging_active", "backup_issued"}
IN_PROGRESS = frozenset(
    {
        "initializing",
        "pending_validation",
        "pending_issuance",
        "pending_deployment",
        "staging_deployment",
        "holding_deployment",
    }
)
HELD_BY_PEOPLE = frozenset({"holding_deployment", "staging_deployment"})
"""In progress, and as long as a person wants: nobody need look at these often, or hear of them."""

OTHER_STAGE_TIMED_OUT = frozenset(
    {"initializing_timed_out", "issuance_timed_out", "deployment_timed_out", "deletion_timed_out"}
)
GOING_AWAY = frozenset({"pending_deletion", "deleted", "pending_cleanup", "deactivating", "inactive"})
PENDING_EXPIRATION = "pending_expiration"
EXPIRED = "expired"

KNOWN_STATUSES = (
    HEALTHY | IN_PROGRESS | OTHER_STAGE_TIMED_OUT | GOING_AWAY | {VALIDATION_TIMED_OUT, PENDING_EXPIRATION, EXPIRED}
)


class ZoneRef(msgspec.Struct, frozen=True):
    """A zone to watch: where the configuration or the discovery says it is.

    ``account`` is the name of a credential, ``label`` what operators call the zone. ``id`` is empty until the name has
    been looked up. ``packs`` are the ids to watch, as ``canonical_id`` gives them, and ``hosts`` the packs to watch by
    all their hosts, sorted and ``canonical``; both are empty for all packs.
    """

    account: str
    label: str
    id: str = ""
    packs: frozenset[str] = frozenset()
    hosts: frozenset[tuple[str, ...]] = frozenset()

    @property
    def key(self) -> tuple[str, str]:
        """What the zone is remembered under; it does not change when its id becomes known."""
        return (self.account, self.label)

    @property
    def whole(self) -> bool:
        """Whether all of its packs are watched."""
        return not self.packs and not self.hosts

    def names(self, pack: "Pack") -> bool:
        """Whether the configuration names this pack, by its id or by its hosts."""
        return canonical_id(pack.id) in self.packs or (bool(self.hosts) and host_set(pack) in self.hosts)


FULL = "full"
"""The type of a zone whose DNS is Cloudflare's."""


class ZoneFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What Cloudflare says of a zone, as far as validations depend on it; empty where it did not say.

    ``name`` is the domain. ``type`` is ``full`` (Cloudflare is its DNS and places tokens itself), ``partial`` or
    ``secondary`` (a person places them). ``delegation`` is the zone's own label in the targets of delegated DCV; of a
    full zone it is asked for only where there is a use for it.
    """

    name: str = ""
    type: str = ""
    status: str = ""
    paused: bool = False
    delegation: str = ""


NOTHING_KNOWN = ZoneFacts()


class ManualRecord(msgspec.Struct, frozen=True):
    """A DNS record as a person places it: the whole name without a final dot, the value without quotes."""

    type: str
    name: str
    value: str


class HttpToken(msgspec.Struct, frozen=True):
    """What the certificate authority expects to read at a URL."""

    url: str
    body: str


class Validation(msgspec.Struct, frozen=True):
    """How a pack's hosts are validated. Tokens are those shown now: a restart or a failure makes new ones.

    ``delegations`` are the CNAMEs Cloudflare offers in place of tokens.
    """

    method: str = ""
    tokens: tuple[ManualRecord, ...] = ()
    http_tokens: tuple[HttpToken, ...] = ()
    delegations: tuple[ManualRecord, ...] = ()

    @property
    def every_token(self) -> tuple[ManualRecord, ...]:
        """All tokens, those of pages as if they were records."""
        return (*self.tokens, *(ManualRecord("HTTP", token.url, token.body) for token in self.http_tokens))


NO_VALIDATION = Validation()


class Pack(msgspec.Struct, frozen=True, kw_only=True, eq=False, gc=False):
    """One certificate pack at one look.

    ``hosts`` are sorted. ``expires_at`` is the earliest expiry among its certificates (of those that were deleted or
    replaced only where there is no other), ``None`` before the first is issued; ``uploaded_at`` is when that one came
    to Cloudflare, ``None`` where it does not say.
    ``validation_errors`` are Cloudflare's own words, cleaned of control characters and cut. ``validity_days`` is what
    was ordered, 0 where it is not known: a certificate's life may be shorter (``renewal``). ``validation`` is what a
    look brings and nothing that is remembered, so two packs that differ in nothing else are equal.
    """

    id: str
    zone_id: str
    type: str
    status: str
    hosts: tuple[str, ...]
    certificate_authority: str = ""
    expires_at: datetime | None = None
    validation_errors: tuple[str, ...] = ()
    validity_days: int = 0
    validation: Validation = NO_VALIDATION
    uploaded_at: datetime | None = None

    def __eq__(self, other: object) -> bool:
        """Whether it is remembered as the same."""
        return self is other or (isinstance(other, Pack) and _remembered(self) == _remembered(other))

    def __hash__(self) -> int:
        """By what never changes."""
        return hash((self.zone_id, self.id))

    @property
    def key(self) -> PackKey:
        """What the pack is remembered under."""
        return (self.zone_id, self.id)

    @property
    def restartable(self) -> bool:
        """Whether Cloudflare would restart this pack's validation at all."""
        return self.status == VALIDATION_TIMED_OUT and self.type == ADVANCED

    @property
    def identity(self) -> Identity:
        """What stays the same if Cloudflare gives the pack another id; a universal one's authority may change."""
        return (self.zone_id, self.hosts, "" if self.type == UNIVERSAL else self.certificate_authority, self.type)

    @property
    def lasting_name(self) -> str:
        """The pack's name for as long as it lives, even if a restart changes its id."""
        zone_id, hosts, authority, kind = self.identity
        return " ".join(filter(None, (zone_id, *hosts, authority, kind))) if hosts else f"{zone_id} {self.id}"


def _remembered(pack: Pack) -> tuple[object, ...]:
    """All of it but the validation, the likeliest to change first."""
    return (
        pack.status,
        pack.expires_at,
        pack.validation_errors,
        pack.id,
        pack.zone_id,
        pack.hosts,
        pack.type,
        pack.certificate_authority,
        pack.validity_days,
        pack.uploaded_at,
    )


def host_set(pack: Pack) -> tuple[str, ...]:
    """The pack's hosts, sorted, in the form that names are compared in; without what branding adds."""
    return tuple(sorted(canonical(host) for host in pack.hosts if not is_branding(host)))


def hosts_beside(zone: str, hosts: Sequence[str]) -> str:
    """The hosts of a pack in a few words, where they say more than its zone does; else nothing.

    >>> hosts_beside("shop.example", ["a.shop.example", "b.shop.example"])
    'a.shop.example and 1 more'
    """
    if set(hosts) <= {zone, f"*.{zone}"}:
        return ""
    return hosts[0] + (f" and {len(hosts) - 1} more" if len(hosts) > 1 else "")


def is_branding(host: str) -> bool:
    """Whether it is a host of Cloudflare's own that branding adds to an order: nobody else validates or serves it.

    >>> is_branding("sni.cloudflaressl.com")
    True
    """
    return host.endswith(".cloudflaressl.com")
