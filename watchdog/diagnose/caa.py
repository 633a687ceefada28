"""CAA (RFC 8659): whether the domain's records let the pack's certificate authority issue.

The records that count are those at the host, or else at its nearest parent that has any; aliases are followed at every
step, by the resolver. For a wildcard ``issuewild`` takes the place of ``issue`` where there is one. A domain that
cannot be asked must not be issued for, so a failing lookup on the way is an obstacle too, if a less certain one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from watchdog.diagnose.hosts import base_of, disagree
from watchdog.diagnose.lookup import Lookups
from watchdog.diagnose.responses import TOLD, UNTOLD, Answer, CaaRecord, ResponseStatus
from watchdog.model.findings import Certainty, Finding, FindingName
from watchdog.model.packs import ManualRecord, Pack

ISSUERS = {"google": "pki.goog", "lets_encrypt": "letsencrypt.org", "ssl_com": "ssl.com"}
"""The domain by which CAA records mean an authority. Of one that is not listed here nothing is said."""

REGISTERED_TAGS = frozenset(
    {"issue", "issuewild", "issuemail", "issuevmc", "iodef", "contactemail", "contactphone", "auth", "path", "policy"}
)
"""IANA's list. A critical record with any other tag forbids everybody to issue."""

_METHODS = {"txt": "dns-01", "http": "http-01"}  # RFC 8657, as far as Cloudflare uses them


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a set of CAA records means for one authority. ``because`` ends a sentence; ``restricts`` is a condition."""

    allowed: bool
    because: str = ""
    restricts: str = ""


ALLOWED = Verdict(allowed=True)


def judge_records(records: Sequence[CaaRecord], issuer: str, *, wildcard: bool, method: str = "") -> Verdict:
    """Whether the records that count for a host let ``issuer`` issue for it. No records at all let everybody."""
    for record in records:
        if record.critical and record.tag not in REGISTERED_TAGS:
            return Verdict(allowed=False, because=f"a critical record has the unknown tag {record.tag!r}")
    tag = "issuewild" if wildcard and any(record.tag == "issuewild" for record in records) else "issue"
    governing = [record for record in records if record.tag == tag]
    if not governing:
        return ALLOWED
    restricted = ""
    for record in governing:
        domain, _, parameters = record.value.partition(";")
        if domain.strip().rstrip(".").lower() != issuer:
            continue
        restricted = _restriction(parameters, method)
        if not restricted:
            return ALLOWED
    if restricted:
        return Verdict(allowed=True, restricts=restricted)
    named = sorted({_shown(record) for record in governing})
    return Verdict(allowed=False, because=f"{tag} names {', '.join(named[:5])}{', …' if len(named) > 5 else ''}")  # noqa: PLR2004  a line's worth


def _shown(record: CaaRecord) -> str:
    return record.value.partition(";")[0].strip() or "nobody"


def _restriction(parameters: str, method: str) -> str:
    for parameter in parameters.replace(";", " ").split():
        key, _, value = parameter.partition("=")
        if key.lower() == "accounturi":
            return f"only for the account {value}"
        wanted = _METHODS.get(method)
        if key.lower() == "validationmethods" and wanted and wanted not in value.lower().split(","):
            return f"only by {value}"
    return ""


@dataclass(frozen=True, slots=True)
class _Found:
    """Where one resolver's climb ended: at records, past the top (no records), or at a failing lookup."""

    at: str
    answer: Answer | None

    @property
    def records(self) -> tuple[CaaRecord, ...]:
        return self.answer.caa if self.answer else ()


async def climb(lookups: Lookups, base: str) -> list[_Found]:
    """For each resolver, the CAA records that count for a host."""
    ended: dict[int, _Found] = {}
    labels = base.split(".")
    for level in range(len(labels)):
        name = ".".join(labels[level:])
        for number, answer in enumerate(await lookups.ask(name, "CAA")):
            if answer.status is ResponseStatus.FOUND or answer.status not in TOLD:
                ended.setdefault(number, _Found(name, answer))
        if len(ended) == len(lookups.resolvers):
            break
    return [ended.get(number, _Found("", None)) for number in range(len(lookups.resolvers))]


async def judge(lookups: Lookups, pack: Pack, base: str) -> list[Finding]:
    """Whether CAA lets the pack's authority issue for this name, and for the wildcard under it if the pack has that."""
    ends = await climb(lookups, base)
    told = [end for end in ends if end.answer is None or end.answer.status is ResponseStatus.FOUND]
    failed = [end for end in ends if end not in told and end.answer and end.answer.status not in UNTOLD]
    issuer = ISSUERS.get(pack.certificate_authority)
    findings = [_failure(base, failed[0])] if failed else []
    for host in pack.hosts if issuer else ():
        if base_of(host) == base:
            findings += _verdicts(host, issuer or "", told, pack.validation.method, certain=not failed)
    return findings


def _verdicts(host: str, issuer: str, told: list[_Found], method: str, *, certain: bool) -> list[Finding]:
    wildcard = host.startswith("*.")
    judged = [(end, judge_records(end.records, issuer, wildcard=wildcard, method=method)) for end in told]
    against = [(end, verdict) for end, verdict in judged if not verdict.allowed]
    limits = [(end, verdict) for end, verdict in judged if verdict.restricts]
    for end, verdict in against[:1] or limits[:1]:
        tag = "issuewild" if wildcard and any(record.tag == "issuewild" for record in end.records) else "issue"
        critical = "critical" in verdict.because
        record = None if critical else ManualRecord("CAA", end.at, f'0 {tag} "{issuer}"')
        remedy = f"Take the critical record off {end.at}." if critical else f"Add the CAA record for {issuer}."
        if not against:
            says = f"The CAA records at {end.at} let {issuer} issue for {host} {verdict.restricts}."
            return [Finding(FindingName.CAA_RESTRICTS, Certainty.LIKELY, host, says, remedy, record)]
        unanimous = len(against) == len(judged)
        says = f"The CAA records at {end.at} do not let {issuer} issue for {host}: {verdict.because}."
        sure = Certainty.CERTAIN if unanimous and certain else Certainty.LIKELY
        forbids = Finding(FindingName.CAA_FORBIDS, sure, host, says, remedy, record)
        return [forbids] if unanimous else [forbids, disagree(host, "which CAA records it has")]
    return []


def _failure(base: str, end: _Found) -> Finding:
    answer = end.answer
    status, by, note = (answer.status, answer.resolver, answer.note) if answer else (ResponseStatus.SERVFAIL, "", "")
    why = f"{status}{f' ({note})' if note else ''}"
    if status is ResponseStatus.BOGUS:
        says = f"DNSSEC of {end.at} is broken: {by} says {why} when asked for CAA."
        remedy = "Mend the signatures, or take the DS record off the parent zone until they are."
        return Finding(FindingName.DNSSEC_BOGUS, Certainty.LIKELY, base, says, remedy)
    if status is ResponseStatus.LOOP:
        says = f"The CNAME records of {end.at} go round in a circle or never end."
        remedy = "Point the alias at a name that has an address."
        return Finding(FindingName.CNAME_LOOP, Certainty.LIKELY, base, says, remedy)
    says = (
        f"CAA records of {end.at} cannot be read: {by} says {why}. An authority that cannot read them must not issue."
    )
    remedy = "Make the name servers answer CAA questions, from everywhere; an empty answer is enough."
    return Finding(FindingName.CAA_UNREACHABLE, Certainty.LIKELY, base, says, remedy)
