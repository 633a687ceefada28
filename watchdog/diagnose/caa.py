"""CAA (RFC 8659): whether the domain's records let the pack's certificate authority issue, and who could change that.

The records that count are those at the host, or else at its nearest parent that has any; aliases are followed at every
step, by the resolver. What they mean is said by ``caa_records``. A domain that cannot be asked may not be issued for,
so a failing lookup on the way is an obstacle too, if a less certain one.

The parameters of RFC 8657 (``accounturi``, ``validationmethods``) bind Let's Encrypt, and every authority from
2027-03-15 (CA/Browser Forum, SC-098v2). The account is Cloudflare's, so an ``accounturi`` never admits a pack.
"""

from datetime import UTC, datetime

import msgspec

from watchdog.diagnose import failures
from watchdog.diagnose.caa_records import ISSUERS, Verdict, judge_records
from watchdog.diagnose.challenged import PROXIED
from watchdog.diagnose.hosts import base_of, below, disagreement, via
from watchdog.diagnose.lookup import Lookups
from watchdog.diagnose.responses import TOLD, UNTOLD, Answer, CaaRecord, ResponseStatus
from watchdog.model.findings import Certainty, Finding, FindingName
from watchdog.model.packs import ManualRecord, Pack, ZoneFacts

PARAMETERS_BIND_ALL = datetime(2027, 3, 15, tzinfo=UTC)
"""From then on every authority heeds the parameters of RFC 8657; before, of Cloudflare's, Let's Encrypt does."""


class _Found(msgspec.Struct, frozen=True):
    """Where one resolver's climb ended: at records, past the top (no records), or at a failing lookup."""

    at: str
    answer: Answer | None

    @property
    def records(self) -> tuple[CaaRecord, ...]:
        return self.answer.caa if self.answer else ()

    @property
    def owner(self) -> str:
        """The name whose records they are: no record stands beside a CNAME, so an alias brings those of its end."""
        return self.answer.chain[-1] if self.answer and self.answer.chain else self.at


async def climb(lookups: Lookups, base: str) -> tuple[list[_Found], list[_Found]]:
    """For each resolver the CAA records that count for a host; and the empty answers on the way that prove nothing."""
    ended: dict[int, _Found] = {}
    lame: list[_Found] = []
    labels = base.split(".")
    for level in range(len(labels)):
        name = ".".join(labels[level:])
        answers = await lookups.ask(name, "CAA")
        for number, answer in enumerate(answers):
            if answer.status is ResponseStatus.FOUND or answer.status not in TOLD:
                ended.setdefault(number, _Found(name, answer))
        told = [answer for number, answer in enumerate(answers) if number not in ended]
        proven = await lookups.proven(told)
        lame += [_Found(name, answer) for answer in told if answer not in proven]
        if len(ended) == len(lookups.resolvers):
            break
    return [ended.get(number, _Found("", None)) for number in range(len(lookups.resolvers))], lame


async def check_caa(lookups: Lookups, pack: Pack, zone: ZoneFacts, base: str, now: datetime) -> list[Finding]:
    """Whether CAA lets the pack's authority issue for this name, and for the wildcard under it if the pack has that."""
    ends, lame = await climb(lookups, base)
    told = [end for end in ends if end.answer is None or end.answer.status is ResponseStatus.FOUND]
    failed = [end for end in ends if end not in told and end.answer and end.answer.status not in UNTOLD]
    findings = [await _lame(lookups, base, lame[0])] if lame else []
    if failed:
        findings.append(await _failure(lookups, pack, zone, base, failed))
    elif not told and any(end.answer and end.answer.status is ResponseStatus.TIMEOUT for end in ends):
        findings.append(_late(pack, base, ends))
    issuer = ISSUERS.get(pack.certificate_authority)
    for host in pack.hosts if issuer else ():
        if base_of(host) == base:
            judged = _judged(pack, zone, host, issuer or "", told, now)
            findings += await _verdicts(lookups, zone, host, issuer or "", judged, certain=not failed)
    return findings


def _judged(
    pack: Pack, zone: ZoneFacts, host: str, issuer: str, told: list[_Found], now: datetime
) -> list[tuple[_Found, Verdict]]:
    wildcard = host.startswith("*.")
    methods = {pack.validation.method}
    if zone.type == "partial" and not wildcard and pack.expires_at is not None:
        methods.add("http")  # a renewal of a proxied host is tried by HTTP first, whatever the method
    binds = pack.certificate_authority == "lets_encrypt" or now >= PARAMETERS_BIND_ALL
    return [
        (end, judge_records(end.records, issuer, wildcard=wildcard, methods=methods - {""}, binds=binds))
        for end in told
    ]


async def _verdicts(
    lookups: Lookups, zone: ZoneFacts, host: str, issuer: str, judged: list[tuple[_Found, Verdict]], *, certain: bool
) -> list[Finding]:
    against = [(end, verdict) for end, verdict in judged if not verdict.allowed]
    if not against:
        return [_restricts(host, issuer, end, verdict) for end, verdict in judged if verdict.restricts][:1]
    end, verdict = against[0]
    alias = via(end.at, end.answer) if end.answer else ""
    says = f"The CAA records at {end.owner}{alias} do not let {issuer} issue for {host}: {verdict.because}."
    if verdict.critical:
        record, remedy = None, f"Have the critical record taken off {end.owner}."
    else:
        record, remedy = await _remedy(lookups, zone, host, issuer, end)
        others = sorted(name for name in ISSUERS.values() if name != issuer and _admits(end, name, host))
        remedy += f" Or order the pack from another authority: these records let {' and '.join(others)} issue." * bool(
            others
        )
    unanimous = len(against) == len(judged)
    sure = Certainty.CERTAIN if unanimous and certain and not verdict.by_letter else Certainty.LIKELY
    forbids = Finding(name=FindingName.CAA_FORBIDS, certainty=sure, host=host, says=says, remedy=remedy, record=record)
    return [forbids] if unanimous else [forbids, await disagreement(lookups, zone, host, "which CAA records it has")]


def _admits(end: _Found, issuer: str, host: str) -> bool:
    return judge_records(end.records, issuer, wildcard=host.startswith("*.")).allowed


def _restricts(host: str, issuer: str, end: _Found, verdict: Verdict) -> Finding:
    says = f"The CAA records at {end.owner} let {issuer} issue for {host} {verdict.restricts}."
    remedy = f"From {PARAMETERS_BIND_ALL:%Y-%m-%d} every authority heeds that; take the parameter off before."
    return Finding(name=FindingName.CAA_RESTRICTS, certainty=Certainty.HINT, host=host, says=says, remedy=remedy)


async def _remedy(
    lookups: Lookups, zone: ZoneFacts, host: str, issuer: str, end: _Found
) -> tuple[ManualRecord | None, str]:
    """What a person can do about records that forbid, and the record to add, where one may stand and would help."""
    wild = host.startswith("*.") and any(record.tag == "issuewild" for record in end.records)
    value = f'0 {"issuewild" if wild else "issue"} "{issuer}"'
    record, apex = ManualRecord("CAA", end.owner, value), zone.name.rstrip(".").lower()
    if end.owner != end.at:
        if end.owner.endswith(PROXIED):
            return None, "They are Cloudflare's: turn Universal SSL on, so that Cloudflare allows its own authorities."
        instead = f"no CAA record can stand beside the alias at {end.at}"
        if below(end.owner, apex):
            return record, f"Add the CAA record for {issuer} at {end.owner}: {instead}."
        return None, (
            f"Have whoever runs {end.owner} add the CAA record {value} there, or point {end.at} at an address instead:"
            f" {instead}."
        )
    cut = await _zone_of(lookups, end.at)
    if below(cut, apex) and cut != apex:
        return record, (
            f"Add the CAA record for {issuer} on the name servers of {cut}. It is a zone of its own, delegated by"
            f" {apex}: what is placed in {apex} does not count there."
        )
    if apex and not below(end.at, apex):
        own = ManualRecord("CAA", apex, value)
        return (
            own,
            f"Add the CAA record for {issuer} at {apex}: it then counts in place of those of its parent {end.at}.",
        )
    if zone.type == "full":
        return None, (
            "Turn Universal SSL on: Cloudflare runs this zone and then answers with CAA records of its own, which allow"
            " all its authorities. That these are seen shows that it is off. A record more in the dashboard is no cure."
        )
    return record, f"Add the CAA record for {issuer}."


async def _zone_of(lookups: Lookups, name: str) -> str:
    """The zone a name lies in, as far as a resolver names it."""
    for answer in await lookups.ask(name, "NS"):
        if answer.status is ResponseStatus.FOUND and not answer.chain:
            return name
        if answer.enclosing:
            return answer.enclosing
    return ""


async def _failure(lookups: Lookups, pack: Pack, zone: ZoneFacts, base: str, failed: list[_Found]) -> Finding:
    answers = [end.answer for end in failed if end.answer is not None]
    at, answer = failed[0].at, answers[0]
    others = [other for other in await lookups.ask(at, "CAA") if other.status in TOLD]
    found = failures.bogus(base, at, [*answers, *others]) or failures.circle(base, at, answers)
    if found is not None:
        return found
    says = f"CAA records of {failures.failing(at, answer)} cannot be read: {answer.resolver} says"
    says += f" {failures.noted(answer)}. {await _consequence(lookups, pack, zone, at)}"
    remedy = "Make the name servers answer CAA questions, from everywhere; an empty answer is enough."
    return Finding(name=FindingName.CAA_UNREACHABLE, certainty=Certainty.LIKELY, host=base, says=says, remedy=remedy)


def _late(pack: Pack, base: str, ends: list[_Found]) -> Finding:
    at = next(end.at for end in ends if end.answer and end.answer.status is ResponseStatus.TIMEOUT)
    says = f"No resolver brought an answer in time when asked for the CAA records of {at}."
    says += f" {_refusal(pack)}"
    remedy = "See that the domain's name servers answer, quickly and also for types they do not have."
    return Finding(name=FindingName.DNS_TIMEOUT, certainty=Certainty.HINT, host=base, says=says, remedy=remedy)


async def _consequence(lookups: Lookups, pack: Pack, zone: ZoneFacts, at: str) -> str:
    """What authorities make of CAA records that cannot be read (Baseline Requirements 3.2.2.8)."""
    apex = zone.name.rstrip(".").lower() or at
    if any(answer.status is ResponseStatus.FOUND for answer in await lookups.ask(apex, "DS")):
        return f"{apex} is signed, so every authority must refuse."
    return _refusal(pack)


def _refusal(pack: Pack) -> str:
    own = " (this pack's)" if pack.certificate_authority == "lets_encrypt" else ""
    return f"Let's Encrypt{own} refuses then; others may issue all the same."


async def _lame(lookups: Lookups, base: str, end: _Found) -> Finding:
    by = end.answer.resolver if end.answer else ""
    says = f"{by} has an empty answer for {end.at} that names no zone"
    below_it = await lookups.ask(f"_acme-challenge.{end.at}", "TXT")
    if any(one.resolver == by and (one.enclosing or one.values) for one in below_it):
        # unbound, BIND, Knot and PowerDNS answer so for a name whose address alone is overridden
        # (findings/an-address-at-home-hides-caa.sh).
        says += (
            ", and a good one for what is below. So it seems to have data of its own for that name, such as another"
            " address inside the house. That hides the CAA records that authorities see."
        )
        remedy = "Put a resolver that sees what the world sees under diagnosis.resolvers; restarts go on without it."
        return Finding(name=FindingName.INCOMPLETE, certainty=Certainty.HINT, host=base, says=says, remedy=remedy)
    says += ": a name server asked by it does not know the zone."
    remedy = (
        f"See that every name server that {end.at} is delegated to serves it; no record counts as absent meanwhile."
    )
    return Finding(name=FindingName.DNS_FAILURE, certainty=Certainty.LIKELY, host=base, says=says, remedy=remedy)
