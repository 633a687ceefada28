"""What a diagnosis finds: named, with a certainty, a sentence for a person, and what that person can do about it.

The names are a closed set and public, as the reasons are. Where a finding says the same as a reason Cloudflare gives
(``caa_forbids``), it has the same name. Values only: ``diagnose`` makes them, ``decide`` asks about a few, and
everybody who tells shows them.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from watchdog.model.packs import ManualRecord


class Certainty(StrEnum):
    """How sure a finding is. Only a certain one may hold a restart; the others are told."""

    CERTAIN = "certain"
    LIKELY = "likely"
    HINT = "hint"


class FindingName(StrEnum):
    """What can be found."""

    # What Cloudflare said of the last validation.
    CA_RATE_LIMITED = "ca_rate_limited"
    CA_REFUSES = "ca_refuses"
    CA_INTERNAL = "ca_internal"
    OTHER = "other"
    # The zone.
    ZONE_NOT_ACTIVE = "zone_not_active"
    ZONE_PAUSED = "zone_paused"
    # The host.
    HOST_MISSING = "host_missing"
    CNAME_LOOP = "cname_loop"
    # CAA: which authority may issue.
    CAA_FORBIDS = "caa_forbids"
    CAA_RESTRICTS = "caa_restricts"  # allows the CA, but only for some account or method
    CAA_UNREACHABLE = "caa_unreachable"
    # DNS itself.
    DNS_FAILURE = "dns_failure"
    DNSSEC_BOGUS = "dnssec_bogus"
    DNS_TIMEOUT = "dns_timeout"
    RESOLVER_SILENT = "resolver_silent"
    RESOLVERS_DISAGREE = "resolvers_disagree"
    # The name that is challenged.
    TOKEN_MISSING = "token_missing"  # noqa: S105  a name, no secret
    TOKEN_STALE = "token_stale"  # noqa: S105  the same
    TOKENS_PLACED = "tokens_placed"  # the good news: nothing is left for a person to place
    DELEGATION_MISSING = "delegation_missing"
    DELEGATION_WRONG = "delegation_wrong"
    DELEGATED_ELSEWHERE = "delegated_elsewhere"
    TXT_SHADOWS_DELEGATION = "txt_shadows_delegation"
    NS_CUT = "ns_cut"
    # HTTP and email validation.
    HTTP_ON_WILDCARD = "http_on_wildcard"
    HTTP_ADDRESS_PRIVATE = "http_address_private"
    HTTP_UNREACHABLE = "http_unreachable"
    HTTP_REDIRECTED = "http_redirected"
    HTTP_CHALLENGED = "http_challenged"
    HTTP_WRONG_ANSWER = "http_wrong_answer"
    EMAIL_WAITS = "email_waits"
    # The diagnosis itself.
    INCOMPLETE = "incomplete"


class Limit(msgspec.Struct, frozen=True):
    """A limit of the certificate authority that a validation ran into, as far as its words say.

    ``retry_at`` is when it may be tried again, where the authority says so; ``refill`` how long the limit takes to let
    one more through, where the words say which limit it is. ``paused``: no wait ends it, only whose account it is.
    """

    retry_at: datetime | None = None
    refill: timedelta | None = None
    paused: bool = False


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing found. ``host`` is empty where it holds for the whole pack.

    ``says`` and ``remedy`` are whole sentences, cleaned of what foreign text may bring; ``record`` is the DNS record
    that would mend it, where one would.
    """

    name: FindingName
    certainty: Certainty
    host: str
    says: str
    remedy: str
    record: ManualRecord | None = None


class Diagnosis(msgspec.Struct, frozen=True):
    """What was found of one pack at one look.

    ``tokens`` names the set of tokens Cloudflare was last asked to check at once, ``rechecked_at`` when; both are empty
    while it never was. ``tokens`` is empty too where an obstacle has gone since.
    """

    at: datetime
    findings: tuple[Finding, ...]
    tokens: str = ""
    rechecked_at: datetime | None = None

    @property
    def records(self) -> tuple[ManualRecord, ...]:
        """What a person is to place."""
        return to_place(self.findings)


def to_place(findings: Iterable[Finding]) -> tuple[ManualRecord, ...]:
    """The records that a person is to add, each once, in the order found."""
    return tuple(dict.fromkeys(finding.record for finding in findings if finding.record is not None))


def fingerprint(tokens: Iterable[ManualRecord]) -> str:
    """A short name for a set of tokens, the same in whatever order they come."""
    import hashlib  # noqa: PLC0415  which loads OpenSSL: who only looks needs none

    lines = sorted(f"{token.type} {token.name} {token.value}" for token in tokens)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]


def placed(findings: Iterable[Finding]) -> bool:
    """Whether every token was seen from every resolver, so that asking Cloudflare for a recheck makes sense."""
    return any(finding.name is FindingName.TOKENS_PLACED for finding in findings)


OBSTACLES = frozenset(
    {
        FindingName.ZONE_NOT_ACTIVE,
        FindingName.HOST_MISSING,
        FindingName.CAA_FORBIDS,
        FindingName.CA_REFUSES,
        FindingName.DNSSEC_BOGUS,
        FindingName.HTTP_ON_WILDCARD,
    }
)
"""What no restart can pass, where it is certain. Everything else is told and holds nothing: a check from one place is
no proof of what the certificate authority sees from several."""


def obstacle(findings: Iterable[Finding]) -> Finding | None:
    """The first finding that holds a restart, if there is one."""
    for finding in findings:
        if finding.certainty is Certainty.CERTAIN and finding.name in OBSTACLES:
            return finding
    return None


def darkness(findings: Iterable[Finding]) -> Finding | None:
    """The first finding that the domain's DNS fails for everybody, if there is one: it comes back by itself, or not."""
    for finding in findings:
        if finding.certainty is Certainty.CERTAIN and finding.name is FindingName.DNS_FAILURE:
            return finding
    return None
