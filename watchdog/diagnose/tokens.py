"""The TXT records at a challenged name: which tokens are missing, which old ones are left, and what is to be placed.

``challenge`` calls it where no alias and no other name servers stand in the way.
"""

from watchdog.diagnose.challenged import ChallengedName
from watchdog.diagnose.hosts import PLACED_BY_HAND, absent
from watchdog.diagnose.lookup import Lookups
from watchdog.diagnose.responses import Answer, ResponseStatus
from watchdog.model.findings import Certainty, Finding, FindingName
from watchdog.model.packs import PENDING_VALIDATION, Pack, ZoneFacts, is_branding

_SIGNED_AWAY = (  # findings/powerdns-signs-a-token-and-denies-it.sh
    " That nothing is there is signed: if the name servers show the record themselves, their proofs are older than it."
    " Have the zone put in order (PowerDNS: pdnsutil rectify-zone)."
)


async def all_placed(lookups: Lookups, pack: Pack) -> list[Finding]:
    """The good news, when every token of a waiting pack is seen from every resolver that can be asked at all."""
    wanted: dict[str, set[str]] = {}
    for token in pack.validation.tokens if pack.status == PENDING_VALIDATION else ():
        if not is_branding(token.name):
            wanted.setdefault(token.name, set()).add(token.value)
    for name, values in wanted.items():
        heard = [answer for answer in await lookups.ask(name, "TXT") if answer.status is not ResponseStatus.SILENT]
        if not heard or not all(values <= set(answer.values) for answer in heard):
            return []
    if not wanted:
        return []
    says = f"All {sum(map(len, wanted.values()))} tokens are in DNS, seen from every resolver."
    return [
        Finding(
            name=FindingName.TOKENS_PLACED,
            certainty=Certainty.CERTAIN,
            host="",
            says=says,
            remedy="Nothing is left to be placed.",
        )
    ]


def judged(wanted: ChallengedName, zone: ZoneFacts, told: list[Answer], *, spared: bool) -> list[Finding]:
    """A waiting pack's tokens that are not there, or not everywhere. ``spared``: HTTP is tried first."""
    found = []
    by_hand = zone.type in PLACED_BY_HAND
    others = sorted({value for answer in told for value in answer.values} - {token.value for token in wanted.tokens})
    for token in wanted.tokens:
        seen = sum(token.value in answer.values for answer in told)
        if seen == len(told):
            continue
        name, sure = FindingName.TOKEN_MISSING, Certainty.LIKELY if by_hand else Certainty.HINT
        says, remedy = f"The token is not at {token.name}.{wanted.astray}", f"Add this TXT record.{wanted.shorter}"
        if seen:
            sure = Certainty.HINT
            says = f"The token is at {token.name}, but only {seen} of {len(told)} resolvers see it."
            remedy = "Wait until caches have forgotten what was there before, or compare the name servers."
        elif any(value.strip("\"' ") == token.value for value in others):
            says = f"The token is at {token.name} with quotation marks or spaces around it."
            name, remedy = FindingName.TOKEN_STALE, "Take the quotation marks off the value."
        elif others:
            says = f"Other TXT records are at {token.name}, perhaps of an earlier validation, and the token is not."
            says += wanted.astray
            name, remedy = FindingName.TOKEN_STALE, f"Add this TXT record; the old ones may go.{wanted.shorter}"
        if not by_hand and not seen:
            remedy = "Cloudflare places it by itself where it runs the zone's DNS; else add this TXT record."
        show = by_hand or not zone.type  # where nobody knows who places it, the person is told what it would be
        if spared:
            sure, show = Certainty.HINT, False
            remedy = "Nothing for now: the host is proxied, so Cloudflare tries its renewal by HTTP first."
        elif show and not seen:
            remedy += (_SIGNED_AWAY if any(one.validated and absent(one) for one in told) else "") + wanted.first
            remedy += wanted.for_good
        found.append(
            Finding(
                name=name,
                certainty=sure,
                host=wanted.base,
                says=wanted.lies + says,
                remedy=remedy,
                record=token if show and not seen else None,
            )
        )
    return found


def nothing_pending(wanted: ChallengedName, zone: ZoneFacts, told: list[Answer]) -> list[Finding]:
    """No token is wanted now. Where a person places them, a delegation would end that; old TXT records prevent it."""
    if zone.type not in PLACED_BY_HAND:
        return []
    if any(answer.values for answer in told):
        name, says = FindingName.TXT_SHADOWS_DELEGATION, f"A TXT record of an earlier validation is at {wanted.name}."
        remedy = "Remove it: it does not count any more, and no delegation CNAME can stand beside it."
    else:
        name = FindingName.DELEGATION_MISSING
        says = f"Neither a token nor a delegation is at {wanted.name}.{wanted.astray}"
        remedy = f"Each new validation brings new tokens to be placed by hand.{wanted.shorter}"
    if wanted.delegation:
        remedy += f" Add this CNAME record once, and validations need no hand any more.{wanted.first}"
    return [wanted.wants_delegation(name, wanted.lies + says, remedy)]
