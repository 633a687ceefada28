"""The pack's hosts: their names, and whether DNS has them at all.

A host without any record is an obstacle only where nobody but its owner could mend that: validation by HTTP has to
connect to it, and a zone whose own name is gone cannot hold a token. With TXT validation it is none: a token placed
below the host brings it into being, and Cloudflare places one at every restart where it runs the zone's DNS.
"""

from watchdog.diagnose.lookup import Lookups
from watchdog.diagnose.responses import BROKEN, TOLD, Answer, ResponseStatus
from watchdog.model.findings import Certainty, Finding, FindingName
from watchdog.model.packs import Pack, ZoneFacts, is_branding

PLACED_BY_HAND = frozenset({"partial", "secondary"})
"""Types of zones whose DNS is not run by Cloudflare: a person places the tokens, or a delegation once."""


def bases(hosts: tuple[str, ...]) -> tuple[str, ...]:
    """The names that are validated: a wildcard shares that of the name it stands under."""
    return tuple(dict.fromkeys(base_of(host) for host in hosts if host and not is_branding(host)))


def base_of(host: str) -> str:
    """A host without its wildcard.

    >>> base_of("*.Example.com")
    'example.com'
    """
    return host.removeprefix("*.").rstrip(".").lower()


def below(name: str, zone: str) -> bool:
    """Whether a name is the zone's own or under it; no name is under a zone whose name is not known."""
    return bool(zone) and (name == zone or name.endswith("." + zone))


def via(name: str, answer: Answer) -> str:
    """How an answer came from another name, in brackets: by a CNAME, or by a parent's DNAME. Empty if it did not."""
    if not answer.chain:
        return ""
    owner = next((owner for owner in answer.dnames if below(name, owner) and name != owner), "")
    return f" (by the DNAME record of {owner}, for {name})" if owner else f" (where the CNAME record of {name} leads)"


async def check_existence(lookups: Lookups, pack: Pack, zone: ZoneFacts, base: str) -> list[Finding]:
    """Whether the host exists. Asks for CAA, which is asked for anyway: a missing name is missing for every type."""
    answers = await lookups.ask(base, "CAA")
    statuses = {answer.status for answer in answers}
    if ResponseStatus.MISSING in statuses and statuses & {ResponseStatus.FOUND, ResponseStatus.EMPTY}:
        return [await disagreement(lookups, zone, base, "whether it exists")]
    if not nowhere(answers):
        return []
    alias = next((answer.chain[-1] for answer in answers if answer.chain), "")
    apex = zone.name.rstrip(".").lower()
    if not alias and below(base, apex) and (base == apex or nowhere(await lookups.ask(apex, "CAA"))):
        says = f"The domain {apex} does not exist in DNS: every resolver says NXDOMAIN."
        remedy = f"See that {apex} is registered and delegated to its name servers."
        return [
            Finding(name=FindingName.HOST_MISSING, certainty=Certainty.CERTAIN, host=base, says=says, remedy=remedy)
        ]
    return [_missing(pack, zone, base, alias)]


def _missing(pack: Pack, zone: ZoneFacts, base: str, alias: str) -> Finding:
    says = f"{base} is an alias of {alias}, which does not exist" if alias else f"{base} does not exist in DNS"
    if pack.validation.method == "http":
        remedy = f"Add an A, AAAA or CNAME record for {base}, or validate by TXT."
        return Finding(
            name=FindingName.HOST_MISSING,
            certainty=Certainty.CERTAIN,
            host=base,
            says=f"{says}: it can serve no page.",
            remedy=remedy,
        )
    if zone.type in PLACED_BY_HAND:
        remedy = f"Add the records of {base} at the domain's DNS provider, or take it off the pack if nobody wants it."
        return Finding(
            name=FindingName.HOST_MISSING, certainty=Certainty.LIKELY, host=base, says=f"{says}.", remedy=remedy
        )
    remedy = "Nothing, if it is meant to be so: a token can be placed below a name without records."
    return Finding(name=FindingName.HOST_MISSING, certainty=Certainty.HINT, host=base, says=f"{says}.", remedy=remedy)


async def disagreement(lookups: Lookups, zone: ZoneFacts, host: str, about: str) -> Finding:
    """The resolvers contradict each other: perhaps since some still ask the name servers a domain had before."""
    says = f"The resolvers disagree about {host}: {about}."
    remedy = (
        "Wait, if a record was just changed, until caches have forgotten the old one. That there was none is remembered"
        " for an hour by some, for a day by others. Compare the name servers if none was."
    )
    apex = zone.name.rstrip(".").lower() or host
    asked = {
        answer.resolver: ", ".join(sorted(answer.values)[:4])
        for answer in await lookups.ask(apex, "NS")
        if answer.status is ResponseStatus.FOUND
    }
    if len(set(asked.values())) > 1:
        each = "; ".join(f"{resolver} asks {servers}" for resolver, servers in list(asked.items())[:4])
        says += f" They ask different name servers of {apex}: {each}."
        remedy = (
            "Wait, if the domain was moved to other name servers. Some resolvers stay with the old ones until the NS"
            " records' time is over, often a day or two. Keep the old ones answering meanwhile, with the same records."
        )
    return Finding(name=FindingName.RESOLVERS_DISAGREE, certainty=Certainty.HINT, host=host, says=says, remedy=remedy)


async def lives_by_wildcard(lookups: Lookups, zone: ZoneFacts, base: str) -> bool:
    """Whether a host seems to have no records of its own: a wildcard above it answers for what is below it, too.

    Any record below such a host makes the host exist, with nothing at it (RFC 4592), so that the wildcard covers it no
    longer (findings/a-token-takes-a-wildcard-host-off-the-air.sh).
    """
    apex, above = zone.name.rstrip(".").lower(), base.partition(".")[2]
    if not apex or base == apex or not below(base, apex):
        return False
    for name in (base, above):
        told = [answer for answer in await lookups.ask(f"*.{name}", "TXT") if answer.status in TOLD]
        if not told or any(absent(answer) for answer in told):
            return False
    return True


def absent(answer: Answer) -> bool:
    """Whether the very name that was asked for does not exist; the end of an alias is another name."""
    return answer.status is ResponseStatus.MISSING and not answer.chain


def nowhere(answers: tuple[Answer, ...]) -> bool:
    """Whether every resolver that says anything says that there is no such name."""
    statuses = {answer.status for answer in answers}
    return ResponseStatus.MISSING in statuses and not statuses & (
        (TOLD - {ResponseStatus.MISSING}) | BROKEN | {ResponseStatus.BOGUS, ResponseStatus.LOOP}
    )
