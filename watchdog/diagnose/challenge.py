"""The challenged name, ``_acme-challenge.<host>``: what is there, what is wanted there, and what stands in the way.

Either the current tokens are there as TXT records, or a CNAME slots the name over to Cloudflare (delegated DCV) and the
tokens never need a person. The target of a delegation is empty in calm times, so it is the CNAME that is judged.
Tokens are judged only while the pack waits for them: those of a validation that timed out are spent.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from watchdog.diagnose.hosts import PLACED_BY_HAND, below, disagree
from watchdog.diagnose.lookup import Lookups
from watchdog.diagnose.responses import BROKEN, TOLD, UNTOLD, Answer, ResponseStatus
from watchdog.model.findings import Certainty, Finding, FindingName
from watchdog.model.packs import ManualRecord, Pack, ZoneFacts

WAITS = "pending_validation"
_PREFIX = "_acme-challenge."
_DELEGATED = ".dcv.cloudflare.com"


@dataclass(frozen=True, slots=True)
class _Name:
    """One challenged name: what is wanted there. ``target`` is empty where no delegation is known."""

    name: str
    base: str
    target: str
    tokens: tuple[ManualRecord, ...]

    @property
    def delegation(self) -> ManualRecord | None:
        return ManualRecord("CNAME", self.name, self.target) if self.target else None


def challenged(pack: Pack, zone: ZoneFacts, base: str) -> _Name:
    """The name that is challenged for a host, with the tokens and the delegation that would serve it."""
    name = _PREFIX + base
    offered = (record.value for record in pack.validation.delegations if record.name == name)
    made = f"{base}.{zone.delegation}{_DELEGATED}" if zone.delegation else ""
    tokens = pack.validation.tokens if pack.status == WAITS else ()
    return _Name(name, base, next(offered, made).lower(), tuple(token for token in tokens if token.name == name))


async def judge(lookups: Lookups, pack: Pack, zone: ZoneFacts, base: str) -> list[Finding]:
    """What is found at the challenged name of a host."""
    wanted = challenged(pack, zone, base)
    answers = await lookups.ask(wanted.name, "TXT")
    told = [answer for answer in answers if answer.status in TOLD]
    found = _failures(base, wanted.name, [answer for answer in answers if answer.status not in TOLD], len(answers))
    if not told:
        told = await _alias_alone(lookups, wanted)
    if len({(answer.chain[:1], frozenset(answer.values)) for answer in told}) > 1:
        found.append(disagree(base, f"what is at {wanted.name}"))
    if any(_delegated(wanted, answer) for answer in told):
        return found
    told = await _explicit(lookups, wanted, told)
    alias = next((answer.chain[0] for answer in told if answer.chain), "")
    if alias:
        return found + _aliased(wanted, alias, told)
    if zone.type != "partial" and not all(answer.status in UNTOLD for answer in answers):
        found += await _cut(lookups, zone, wanted)
    if not told or not any(answer.status in TOLD for answer in answers):
        return found
    if wanted.tokens:
        return found + _tokens(wanted, zone, told)
    return found + _nothing_pending(wanted, zone, told)


async def all_placed(lookups: Lookups, pack: Pack) -> list[Finding]:
    """The good news, when every token of a waiting pack is seen from every resolver that can be asked at all."""
    wanted: dict[str, set[str]] = {}
    for token in pack.validation.tokens if pack.status == WAITS else ():
        wanted.setdefault(token.name, set()).add(token.value)
    for name, values in wanted.items():
        heard = [answer for answer in await lookups.ask(name, "TXT") if answer.status is not ResponseStatus.SILENT]
        if not heard or not all(values <= set(answer.values) for answer in heard):
            return []
    if not wanted:
        return []
    says = f"All {len(pack.validation.tokens)} tokens are in DNS, seen from every resolver."
    return [Finding(FindingName.TOKENS_PLACED, Certainty.CERTAIN, "", says, "Nothing is left to be placed.")]


def _failures(base: str, name: str, answers: Sequence[Answer], asked: int) -> list[Finding]:
    for answer in answers:
        note = f" ({answer.note})" if answer.note else ""
        if answer.status is ResponseStatus.BOGUS:
            says = f"DNSSEC of {name} is broken, says {answer.resolver}{note}."
            remedy = "Mend the signatures, or take the DS record off the parent zone until they are."
            return [Finding(FindingName.DNSSEC_BOGUS, Certainty.LIKELY, base, says, remedy)]
        if answer.status is ResponseStatus.LOOP:
            says = f"The CNAME records of {name} go round in a circle or never end."
            remedy = f"Remove the CNAME record at {name}."
            return [Finding(FindingName.CNAME_LOOP, Certainty.LIKELY, base, says, remedy)]
        if answer.status in BROKEN:
            says = f"DNS fails for {name}: {answer.resolver} says {answer.status}{note}."
            remedy = "Mend the name servers that are responsible for this name."
            return [Finding(FindingName.DNS_FAILURE, Certainty.LIKELY, base, says, remedy)]
    if any(answer.status is ResponseStatus.TIMEOUT for answer in answers) and len(answers) == asked:
        says = f"No resolver brought an answer in time when asked for {name}."
        remedy = "See that the name servers that are responsible for this name answer, and quickly."
        return [Finding(FindingName.DNS_TIMEOUT, Certainty.HINT, base, says, remedy)]
    return []


async def _alias_alone(lookups: Lookups, wanted: _Name) -> list[Answer]:
    """The CNAME record by itself, where what it points to cannot be had: a delegation may be well all the same."""
    answers = await lookups.ask(wanted.name, "CNAME")
    return [
        replace(answer, chain=answer.values, values=()) for answer in answers if answer.status is ResponseStatus.FOUND
    ]


def _delegated(wanted: _Name, answer: Answer) -> bool:
    if wanted.target:
        return wanted.target in answer.chain
    return bool(answer.chain) and answer.chain[0].endswith(_DELEGATED)


async def _explicit(lookups: Lookups, wanted: _Name, told: list[Answer]) -> list[Answer]:
    """The answers without what a wildcard record puts there: anything placed at the very name wins over that."""
    tokens = {token.value for token in wanted.tokens}
    if all(set(answer.values) <= tokens and not answer.chain for answer in told):
        return told
    usual = await lookups.ask(f"*.{wanted.base}", "TXT")
    aliases, texts = {answer.chain[:1] for answer in usual}, {value for answer in usual for value in answer.values}
    return [
        replace(answer, chain=(), values=())
        if answer.chain and answer.chain[:1] in aliases
        else replace(answer, values=tuple(value for value in answer.values if answer.chain or value not in texts))
        for answer in told
    ]


def _aliased(wanted: _Name, alias: str, told: list[Answer]) -> list[Finding]:
    tokens = {token.value for token in wanted.tokens}
    if tokens and all(tokens <= set(answer.values) for answer in told):
        return []
    if alias.endswith(_DELEGATED):
        says = f"{wanted.name} is delegated to {alias}, and not to {wanted.target}."
        remedy = "Change the CNAME record: its target is that of another zone or another host."
        return [Finding(FindingName.DELEGATION_WRONG, Certainty.LIKELY, wanted.base, says, remedy, wanted.delegation)]
    says = f"{wanted.name} is an alias of {alias}, where Cloudflare cannot place its tokens."
    remedy = "Remove the CNAME record, or point it at Cloudflare's delegation."
    return [Finding(FindingName.DELEGATED_ELSEWHERE, Certainty.LIKELY, wanted.base, says, remedy, wanted.delegation)]


async def _cut(lookups: Lookups, zone: ZoneFacts, wanted: _Name) -> list[Finding]:
    """An NS record between the zone and the name: what Cloudflare places in the zone is not seen there."""
    for answer in await lookups.ask(wanted.name, "NS"):
        apex = zone.name.rstrip(".").lower()
        cut = wanted.name if answer.status is ResponseStatus.FOUND and not answer.chain else answer.enclosing
        if cut == wanted.name or (not answer.chain and cut != apex and below(cut, apex)):
            where = f": {', '.join(answer.values[:4])}" if answer.values else ""
            says = f"{cut} is delegated to other name servers{where}. What is placed in the zone above is not seen."
            remedy = f"Take the NS records off {cut}, or place a delegation CNAME for {wanted.name} on those servers."
            return [Finding(FindingName.NS_CUT, Certainty.LIKELY, wanted.base, says, remedy, wanted.delegation)]
    return []


def _tokens(wanted: _Name, zone: ZoneFacts, told: list[Answer]) -> list[Finding]:
    """The tokens of a waiting pack that are not there, or not everywhere."""
    found = []
    by_hand = zone.type in PLACED_BY_HAND
    others = sorted({value for answer in told for value in answer.values} - {token.value for token in wanted.tokens})
    for token in wanted.tokens:
        seen = sum(token.value in answer.values for answer in told)
        if seen == len(told):
            continue
        name, sure = FindingName.TOKEN_MISSING, Certainty.LIKELY if by_hand else Certainty.HINT
        says, remedy = f"The token is not at {token.name}.", "Add this TXT record."
        if seen:
            sure = Certainty.HINT
            says = f"The token is at {token.name}, but only {seen} of {len(told)} resolvers see it."
            remedy = "Wait until caches have forgotten what was there before, or compare the name servers."
        elif any(value.strip("\"' ") == token.value for value in others):
            says = f"The token is at {token.name} with quotation marks or spaces around it."
            name, remedy = FindingName.TOKEN_STALE, "Take the quotation marks off the value."
        elif others:
            says = f"Other TXT records are at {token.name}, perhaps of an earlier validation, and the token is not."
            name, remedy = FindingName.TOKEN_STALE, "Add this TXT record; the old ones may go."
        if not by_hand and not seen:
            remedy = "Cloudflare places it by itself where it runs the zone's DNS; else add this TXT record."
        show = by_hand or not zone.type  # where nobody knows who places it, the person is told what it would be
        found.append(Finding(name, sure, wanted.base, says, remedy, token if show and not seen else None))
    return found


def _nothing_pending(wanted: _Name, zone: ZoneFacts, told: list[Answer]) -> list[Finding]:
    """No token is wanted now. Where a person places them, a delegation would end that; old TXT records prevent it."""
    if zone.type not in PLACED_BY_HAND:
        return []
    if any(answer.values for answer in told):
        name, says = FindingName.TXT_SHADOWS_DELEGATION, f"A TXT record of an earlier validation is at {wanted.name}."
        remedy = "Remove it: it does not count any more, and no delegation CNAME can stand beside it."
    else:
        name, says = FindingName.DELEGATION_MISSING, f"Neither a token nor a delegation is at {wanted.name}."
        remedy = "Each restart brings new tokens to be placed by hand."
    if wanted.delegation:
        remedy += " Add this CNAME record once, and validations need no hand any more."
    return [Finding(name, Certainty.LIKELY, wanted.base, says, remedy, wanted.delegation)]
