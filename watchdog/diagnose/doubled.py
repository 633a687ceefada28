"""Records that stand under a doubled name: whoever placed them put the zone's name behind one that had it already.

Cloudflare shows whole names without a final dot. Many tools and forms take such a name for one within the zone, and say
nothing: the record stands at ``_acme-challenge.www.shop.example.shop.example``, and a target leads into the zone
(findings/a-whole-name-is-made-longer-by-tools.sh). ``challenge`` asks where something is missing.
"""

from msgspec.structs import replace

from watchdog.diagnose.challenged import DELEGATED, ChallengedName
from watchdog.diagnose.hosts import below
from watchdog.diagnose.lookup import Lookups
from watchdog.diagnose.responses import Answer
from watchdog.model.packs import ZoneFacts


def within_zone(alias: str) -> bool:
    """Whether this is a target of Cloudflare's with something behind it: that of a CNAME that lacks its final dot."""
    return f"{DELEGATED}." in alias


async def with_doubled(lookups: Lookups, zone: ZoneFacts, wanted: ChallengedName, told: list[Answer]) -> ChallengedName:
    """The name, and that its record stands under the doubled one, where it does. ``told`` is what is at the name."""
    apex = zone.name.rstrip(".").lower()
    within = next((answer.enclosing for answer in told if below(answer.enclosing, apex)), apex)
    if not below(wanted.name, within) or wanted.name == within:
        return wanted
    doubled = f"{wanted.name}.{within}"
    there = [answer for answer in await lookups.ask(doubled, "TXT") if answer.values or answer.chain]
    if there:  # a wildcard may have made it
        usual = {(answer.chain, answer.values) for answer in await lookups.ask(f"*.{within}", "TXT")}
        there = [answer for answer in there if (answer.chain, answer.values) not in usual]
    if not there:
        return wanted
    kind, own = "CNAME" if there[0].chain else "TXT", wanted.name.removesuffix(f".{within}")
    astray = f" A {kind} record is at {doubled} instead: the zone's name was put behind a name that has it already."
    return replace(wanted, astray=astray, shorter=f" Give it the name {own} alone, where a tool or form does that.")
