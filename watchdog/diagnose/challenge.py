"""The challenged name, ``_acme-challenge.<host>``: what is there, what is wanted there, and what stands in the way.

Either the current tokens are there as TXT records, or a CNAME slots the name over to Cloudflare (delegated DCV) and the
tokens never need a person. The target of a delegation is empty in calm times, so it is the CNAME that is judged.
Tokens are judged only while the pack waits for them: those of a validation that timed out are spent. Below a DNAME no
record can stand: then all of that is judged at the name that the DNAME makes of it.

In a partial zone the renewal of a proxied host without a wildcard, and without a delegation, is tried by HTTP first,
whatever the pack's method (cloudflare-docs, dcv-certificate-renewal). So nobody has to place a record for one, unless
its token page is seen to be wrong. What is said of tokens is in ``tokens``.
"""

from asyncio import shield
from collections.abc import Awaitable, Sequence

import msgspec
from msgspec.structs import replace

from watchdog.diagnose import failures
from watchdog.diagnose.challenged import DELEGATED, PREFIX, PROXIED, ChallengedName, challenged
from watchdog.diagnose.doubled import with_doubled, within_zone
from watchdog.diagnose.hosts import PLACED_BY_HAND, absent, base_of, bases, below, disagreement, lives_by_wildcard
from watchdog.diagnose.lookup import Lookups
from watchdog.diagnose.responses import TOLD, UNTOLD, Answer, ResponseStatus
from watchdog.diagnose.tokens import judged, nothing_pending
from watchdog.model.findings import Certainty, Finding, FindingName
from watchdog.model.packs import (
    VALIDATION_TIMED_OUT,
    Pack,
    ZoneFacts,
)

BY_NAME = ("txt", "")
"""Methods of validation that look at the challenged names."""

_MAY_BE_TOO_LONG = frozenset({ResponseStatus.SERVFAIL, ResponseStatus.TIMEOUT})


async def check_challenge(
    lookups: Lookups, pack: Pack, zone: ZoneFacts, base: str, pages: Awaitable[list[Finding]] | None
) -> list[Finding]:
    """What is found at the challenged name of a host. ``pages`` is what is found at token pages, if anybody looks."""
    wanted = challenged(pack, zone, base)
    answers = await lookups.ask(wanted.name, "TXT")
    told = await lookups.proven(answers)
    dark = failures.everywhere(answers) and not _tries_http(pack, zone, base) and await lookups.work(base)
    found = await _text_alone(lookups, wanted.name, answers, _failures(base, wanted.name, answers, dark=dark))
    if not told:
        told = await _alias_alone(lookups, wanted)
    if len({(answer.chain[:1], frozenset(answer.values)) for answer in told}) > 1:
        found.append(await disagreement(lookups, zone, base, f"what is at {wanted.name}"))
    wanted, told = _below_dname(wanted, told)
    if any(_delegated(wanted, answer) for answer in told):
        return found + _delegated_in_vain(wanted, pack, found)
    told = await _explicit(lookups, wanted, told)
    alias = next((answer.chain[0] for answer in told if answer.chain), "")
    if alias:
        return found + _aliased(wanted, alias, told)
    if zone.type != "partial" and not all(answer.status in UNTOLD for answer in answers):
        found += await _cut(lookups, zone, wanted, answers)
    if not told or not any(answer.status in TOLD for answer in answers):
        return found
    if zone.type in PLACED_BY_HAND and not any(map(absent, answers)):
        wanted = await _with_wildcard(lookups, zone, wanted)
    if zone.type in PLACED_BY_HAND and _something_missing(wanted, told):
        wanted = await with_doubled(lookups, zone, wanted, told)
    if wanted.tokens:
        spared = await _by_http_first(lookups, pack, zone, base, pages)
        return found + judged(wanted, zone, told, spared=spared)
    return found + nothing_pending(wanted, zone, told)


async def may_be_delegated(lookups: Lookups, pack: Pack, found: Sequence[Finding]) -> bool:
    """Whether more can be said of a challenged name by who knows the zone's delegation id.

    That is so where something else than plain answers is there, or it is delegated to other name servers. Everything
    was asked before.
    """
    if pack.validation.method not in BY_NAME:
        return False
    if any(one.name is FindingName.NS_CUT for one in found):
        return True
    said = [answer for base in bases(pack.hosts) for answer in await lookups.ask(PREFIX + base, "TXT")]
    return any(answer.chain or answer.status not in TOLD for answer in said)


def _failures(base: str, name: str, answers: Sequence[Answer], *, dark: bool) -> list[Finding]:
    found = failures.bogus(base, name, answers) or failures.circle(base, name, answers)
    if found is not None:
        return [found]
    broken = failures.broken(answers)
    if broken is not None:
        says = f"DNS fails for {failures.failing(name, broken)}: {broken.resolver} says {failures.noted(broken)}."
        remedy = "Mend the name servers that are responsible for this name."
        sure = Certainty.CERTAIN if dark else Certainty.LIKELY
        return [Finding(name=FindingName.DNS_FAILURE, certainty=sure, host=base, says=says, remedy=remedy)]
    statuses = {answer.status for answer in answers}
    if ResponseStatus.TIMEOUT in statuses and statuses <= UNTOLD:
        says = f"No resolver brought an answer in time when asked for {name}."
        remedy = "See that the name servers that are responsible for this name answer, and quickly."
        return [Finding(name=FindingName.DNS_TIMEOUT, certainty=Certainty.HINT, host=base, says=says, remedy=remedy)]
    return []


async def _text_alone(lookups: Lookups, name: str, answers: Sequence[Answer], found: list[Finding]) -> list[Finding]:
    """What is found, with what is likely where nothing but TXT fails at a name: more tokens than one packet holds.

    Resolvers then need TCP, and where that is blocked they fail, or wait in vain
    (findings/one-token-too-many-needs-tcp.sh).
    """
    failed = {one.resolver for one in answers if one.status in _MAY_BE_TOO_LONG and not one.chain}
    known = any(one.name not in (FindingName.DNS_FAILURE, FindingName.DNS_TIMEOUT) for one in found)
    if not failed or known or any(one.status in TOLD for one in answers):
        return found
    others = [one for one in await lookups.ask(name, "CNAME") if one.resolver in failed]
    if not all(one.status is ResponseStatus.EMPTY for one in others):
        return found
    why = (
        " They answer other questions for this name. So there may be more TXT records than fit into a UDP packet, about"
        " twenty tokens, and port 53 may be closed for TCP: take old records off, or open it."
    )
    return [msgspec.structs.replace(one, remedy=one.remedy + why) for one in found]


def _below_dname(wanted: ChallengedName, told: list[Answer]) -> tuple[ChallengedName, list[Answer]]:
    """The name at which a record can stand, and what is said of that, where a DNAME covers the challenged one."""
    at, owners, links = wanted.name, list[str](), 0
    witness = next((answer for answer in told if answer.dnames), None)
    for target in witness.chain if witness else ():
        owner = next((one for one in witness.dnames if below(at, one) and at != one), "") if witness else ""
        if not owner:
            break
        at, links = target, links + 1
        owners.append(owner)
    if not links:
        return wanted, told
    lies = f"{wanted.name} lies below the DNAME record of {owners[0]}, where no record can stand, and is {at} thereby. "
    tokens = tuple(replace(token, name=at) for token in wanted.tokens)
    return replace(wanted, name=at, tokens=tokens, lies=lies), [
        msgspec.structs.replace(answer, chain=answer.chain[links:]) if answer.dnames else answer for answer in told
    ]


async def _alias_alone(lookups: Lookups, wanted: ChallengedName) -> list[Answer]:
    """The CNAME record by itself, where what it points to cannot be had: a delegation may be well all the same."""
    answers = await lookups.ask(wanted.name, "CNAME")
    return [
        msgspec.structs.replace(answer, chain=answer.values, values=())
        for answer in answers
        if answer.status is ResponseStatus.FOUND
    ]


def _delegated(wanted: ChallengedName, answer: Answer) -> bool:
    if wanted.target:
        return wanted.target in answer.chain
    return bool(answer.chain) and answer.chain[0].endswith(DELEGATED)


def _delegated_in_vain(wanted: ChallengedName, pack: Pack, found: list[Finding]) -> list[Finding]:
    """The one cause of a time-out that cannot be seen from here, where the delegation is right and all else is well."""
    if pack.status != VALIDATION_TIMED_OUT or found:
        return []
    says = f"{wanted.lies}The delegation at {wanted.name} is right, and yet the validation timed out."
    remedy = (
        f"Look for a TXT record at {wanted.name} in a zone of the same domain in another Cloudflare account (or in this"
        " one). It wins over the delegation, and shows nowhere else. Remove it there."
    )
    return [
        Finding(
            name=FindingName.TXT_SHADOWS_DELEGATION,
            certainty=Certainty.HINT,
            host=wanted.base,
            says=says,
            remedy=remedy,
        )
    ]


def _tries_http(pack: Pack, zone: ZoneFacts, base: str) -> bool:
    """Whether Cloudflare may validate this host by HTTP first."""
    names = {host for host in pack.hosts if base_of(host) == base}
    return zone.type == "partial" and pack.expires_at is not None and not any(name.startswith("*.") for name in names)


async def _by_http_first(
    lookups: Lookups, pack: Pack, zone: ZoneFacts, base: str, pages: Awaitable[list[Finding]] | None
) -> bool:
    """Whether Cloudflare validates this host by HTTP first, and nothing is seen to be wrong with that."""
    if not _tries_http(pack, zone, base):
        return False
    answers = await lookups.ask(base, "CAA")
    if not any(target.endswith(PROXIED) for answer in answers for target in answer.chain):
        return False
    return pages is None or not any(finding.host == base for finding in await shield(pages))


async def _explicit(lookups: Lookups, wanted: ChallengedName, told: list[Answer]) -> list[Answer]:
    """The answers without what a wildcard record puts there: anything placed at the very name wins over that."""
    tokens = {token.value for token in wanted.tokens}
    if all(set(answer.values) <= tokens and not answer.chain for answer in told):
        return told
    usual = await lookups.ask(f"*.{wanted.base}", "TXT")
    aliases, texts = {answer.chain[:1] for answer in usual}, {value for answer in usual for value in answer.values}
    return [
        msgspec.structs.replace(answer, chain=(), values=())
        if answer.chain and answer.chain[:1] in aliases
        else msgspec.structs.replace(
            answer, values=tuple(value for value in answer.values if answer.chain or value not in texts)
        )
        for answer in told
    ]


async def _with_wildcard(lookups: Lookups, zone: ZoneFacts, wanted: ChallengedName) -> ChallengedName:
    """The name with a warning, where the host would lose its address by what is placed there."""
    if wanted.lies or not await lives_by_wildcard(lookups, zone, wanted.base):
        return wanted
    first = (
        f" First give {wanted.base} an A, AAAA or CNAME record of its own. It seems to live by a wildcard record, which"
        " does not cover it any more once anything is placed below it."
    )
    return replace(wanted, first=first)


def _something_missing(wanted: ChallengedName, told: list[Answer]) -> bool:
    """Whether a token that is waited for is nowhere; or, where none is, whether nothing at all is there."""
    seen = {value for answer in told for value in answer.values}
    return any(token.value not in seen for token in wanted.tokens) if wanted.tokens else not seen


def _aliased(wanted: ChallengedName, alias: str, told: list[Answer]) -> list[Finding]:
    tokens = {token.value for token in wanted.tokens}
    if tokens and all(tokens <= set(answer.values) for answer in told):
        return []
    if alias.endswith(DELEGATED):
        says = f"{wanted.lies}{wanted.name} is delegated to {alias}, and not to {wanted.target}."
        remedy = "Change the CNAME record: its target is that of another host or zone, or of another account's zone."
        return [wanted.wants_delegation(FindingName.DELEGATION_WRONG, says, remedy)]
    if within_zone(alias):
        says = f"{wanted.lies}{wanted.name} is an alias of {alias}: the zone's name was put behind the target."
        remedy = "Write the target of the CNAME record with a final dot."
        return [wanted.wants_delegation(FindingName.DELEGATION_WRONG, says, remedy)]
    says = f"{wanted.lies}{wanted.name} is an alias of {alias}, where Cloudflare cannot place its tokens."
    remedy = "Remove the CNAME record, or point it at Cloudflare's delegation."
    return [wanted.wants_delegation(FindingName.DELEGATED_ELSEWHERE, says, remedy)]


async def _cut(lookups: Lookups, zone: ZoneFacts, wanted: ChallengedName, answers: Sequence[Answer]) -> list[Finding]:
    """An NS record between the zone and the name: what Cloudflare places in the zone is not seen there.

    ``answers`` are those to the question for TXT: one that says that nothing is there names the zone it comes from.
    """
    apex = zone.name.rstrip(".").lower()
    if all(answer.enclosing and not answer.chain and not _cuts(answer.enclosing, wanted, apex) for answer in answers):
        return []
    for answer in await lookups.ask(wanted.name, "NS"):
        cut = wanted.name if answer.status is ResponseStatus.FOUND and not answer.chain else answer.enclosing
        if _cuts(cut, wanted, apex) and (cut == wanted.name or not answer.chain):
            servers = answer.values or next((one.values for one in await lookups.ask(cut, "NS") if one.values), ())
            where = f": {', '.join(servers[:4])}" if servers else ""
            says = f"{cut} is delegated to other name servers{where}. What is placed in the zone above is not seen."
            remedy = f"Take the NS records off {cut}, or place a delegation CNAME for {wanted.name} on those servers."
            return [wanted.wants_delegation(FindingName.NS_CUT, says, remedy)]
    return []


def _cuts(zone: str, wanted: ChallengedName, apex: str) -> bool:
    """Whether this is a zone of its own that the name lies in, below the one at Cloudflare."""
    return zone == wanted.name or (zone != apex and below(zone, apex))
