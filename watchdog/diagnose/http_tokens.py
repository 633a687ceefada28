"""HTTP validation: the authority reads a token at a URL of the host; so do we, once, and say what came instead.

The URL comes from Cloudflare and the addresses from whoever runs the host's DNS, so neither is trusted: only pages
below ``/.well-known/`` of the pack's own hosts are read, on port 80, from public addresses; no redirect is followed.
"""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from watchdog.diagnose import failures
from watchdog.diagnose.hosts import base_of
from watchdog.diagnose.lookup import Lookups
from watchdog.diagnose.resolvers import operator
from watchdog.diagnose.responses import BROKEN, UNTOLD, Answer
from watchdog.model.findings import Certainty, Finding, FindingName
from watchdog.model.packs import HttpToken, Pack

if TYPE_CHECKING:
    from watchdog.diagnose.fetch import Page

_KINDS = ("AAAA", "A")
"""Authorities try IPv6 first."""

MOST_PAGES = 10
"""Token pages read of one pack: what is wrong with ten hosts is wrong with the others too."""

_TRANSLATED = IPv6Network("64:ff9b::/96")
"""NAT64: an IPv4 address in disguise. A resolver with DNS64 makes AAAA records of it that nobody else sees."""


def is_public(address: str) -> bool:
    """Whether an address is one that an authority could reach, and that is none of our own networks'."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address) and (
        parsed.ipv4_mapped or parsed.sixtofour or parsed.teredo or parsed in _TRANSLATED
    ):
        return False
    return parsed.is_global and not parsed.is_multicast


class Reach(msgspec.Struct, frozen=True):
    """How pages are reached. Other values than these are for tests, which have no public addresses."""

    port: int = 80
    allowed: Callable[[str], bool] = is_public


EVERYWHERE = Reach()


async def check_pages(lookups: Lookups, pack: Pack, patience: timedelta, reach: Reach) -> list[Finding]:
    """What is found at the pack's token URLs."""
    shown = pack.validation.http_tokens
    tokens = [token for token in shown if _is_ours(token, pack)][:MOST_PAGES]
    seen = await asyncio.gather(*(_token(lookups, token, patience, reach) for token in tokens))
    found = [finding for findings, _ in seen for finding in findings]
    if seen and len(seen) == len(shown) and not found and all(right for _, right in seen):
        found.append(_all_served(len(seen)))
    return found


def _all_served(pages: int) -> Finding:
    says = (
        f"The token is on each of the {pages} pages that the authority reads."
        if pages > 1
        else "Its page has the token."
    )
    name, remedy = FindingName.TOKENS_PLACED, "Nothing is left to be placed."
    return Finding(name=name, certainty=Certainty.LIKELY, host="", says=says, remedy=remedy)


_VISIBLE = re.compile(r"[!-~]+")  # it goes out as it is: no space, no control character
_LEADS_AWAY = re.compile(r"/\.\.|%2e|\\", re.IGNORECASE)  # an escaped dot is a dot to whoever takes paths apart


def _is_ours(token: HttpToken, pack: Pack) -> bool:
    try:
        url = urlsplit(token.url)
        host, port = (url.hostname or "").rstrip("."), url.port
    except ValueError:
        return False
    return (
        _VISIBLE.fullmatch(token.url) is not None
        and url.scheme == "http"
        and port in (None, 80)
        and "@" not in url.netloc
        and not _LEADS_AWAY.search(url.path)
        and url.path.startswith("/.well-known/")
        and host in {base_of(name) for name in pack.hosts}
    )


async def _token(lookups: Lookups, token: HttpToken, patience: timedelta, reach: Reach) -> tuple[list[Finding], bool]:
    """What is found of one token, and whether its page was read and has it."""
    from watchdog.diagnose.fetch import Page, fetch  # noqa: PLC0415  it imports httpx, and few packs have pages

    url = urlsplit(token.url)
    host = (url.hostname or "").rstrip(".")
    target = url.path + (f"?{url.query}" if url.query else "")
    found: list[Finding] = []
    addresses: list[str] = []
    read = 0
    said = {kind: await lookups.ask(host, kind) for kind in _KINDS}
    dark = await _is_dark(lookups, host, said)
    for kind, answers in said.items():
        addresses += sorted(_told(kind, said))[:1]
        found += _dns_failure(host, kind, answers, dark=dark)
    for address in addresses:
        if not reach.allowed(address):
            found.append(_private(host, address))
            continue
        try:
            async with asyncio.timeout(patience.total_seconds()):
                page = await fetch(address, reach.port, host, target)
        except TimeoutError:
            page = Page(status=0, error=f"no answer within {patience.total_seconds():g} s")
        if page.no_way:
            continue
        read += 1
        found += _judge_page(host, address, token, page)
    return found, bool(read) and not found


def _told(kind: str, said: Mapping[str, Sequence[Answer]]) -> set[str]:
    """The host's addresses of one kind, without those that a resolver made up of its IPv4 address."""
    values = {value for answer in said[kind] for value in answer.values}
    if kind == "AAAA" and any(answer.values for answer in said["A"]):
        return {value for value in values if not _is_translated(value)}
    return values


def _is_translated(address: str) -> bool:
    try:
        return ip_address(address) in _TRANSLATED
    except ValueError:
        return False


async def check_addresses(lookups: Lookups, base: str) -> list[Finding]:
    """Whether a host that is validated by HTTP has an address to be reached at. Tokens need not be shown for that."""
    said = {kind: await lookups.ask(base, kind) for kind in _KINDS}
    every = [answer for answers in said.values() for answer in answers]
    if any(answer.values for answer in every):
        return []
    if any(answer.status in BROKEN for answer in every):
        dark = await _is_dark(lookups, base, said)
        return next(filter(None, (_dns_failure(base, kind, said[kind], dark=dark) for kind in _KINDS)), [])
    proven = await lookups.proven(every)
    if len(proven) < sum(answer.status not in UNTOLD for answer in every):
        return []
    told = [{operator(one.resolver) for one in said[kind] if one in proven} for kind in _KINDS]
    if not all(told):
        return []
    sure = Certainty.CERTAIN if all(len(each) >= failures.WITNESSES for each in told) else Certainty.LIKELY
    says = f"{base} has no address in DNS, neither A nor AAAA: it can serve no page."
    remedy = f"Add an A, AAAA or CNAME record for {base}, or validate by TXT."
    return [Finding(name=FindingName.HOST_MISSING, certainty=sure, host=base, says=says, remedy=remedy)]


async def _is_dark(lookups: Lookups, host: str, said: Mapping[str, Sequence[Answer]]) -> bool:
    """Whether nobody gets an address of either kind, of which one were enough, though DNS works above the host."""
    return all(map(failures.everywhere, said.values())) and await lookups.work(host)


def _dns_failure(host: str, kind: str, answers: Sequence[Answer], *, dark: bool) -> list[Finding]:
    found = failures.bogus(host, host, answers) or failures.circle(host, host, answers)
    broken = failures.broken(answers)
    if found is None and broken is not None and broken is answers[0]:
        says = (
            f"DNS fails when asked for the {kind} records of {failures.failing(host, broken)}: {broken.resolver} says"
        )
        remedy = "Mend the name servers that are responsible for this name."
        says += f" {failures.noted(broken)}."
        sure = Certainty.CERTAIN if dark else Certainty.LIKELY
        found = Finding(name=FindingName.DNS_FAILURE, certainty=sure, host=host, says=says, remedy=remedy)
    return [found] if found is not None else []


def _private(host: str, address: str) -> Finding:
    says = f"{host} has the address {address}, which is not public: no authority can read a page there."
    remedy = "Point the host at a public address, or validate by TXT."
    return Finding(
        name=FindingName.HTTP_ADDRESS_PRIVATE, certainty=Certainty.LIKELY, host=host, says=says, remedy=remedy
    )


def _judge_page(host: str, address: str, token: HttpToken, page: "Page") -> list[Finding]:
    name, remedy = FindingName.HTTP_WRONG_ANSWER, f"Serve the token at {token.url}, as plain text."
    if page.status == 0:
        name, says = FindingName.HTTP_UNREACHABLE, f"{host} cannot be reached by HTTP at {address}: {page.error}."
        remedy = "Let port 80 of this address answer, or take the address out of DNS."
    elif 300 <= page.status < 400:  # noqa: PLR2004  a status of HTTP says more than a name
        name, says = FindingName.HTTP_REDIRECTED, f"The token page of {host} redirects to {page.location or 'nowhere'}."
        remedy = "Leave /.well-known/ out of the redirect. Cloudflare's own Always Use HTTPS is none that matters."
    elif page.challenged or page.status in (401, 403, 503):
        name, says = (
            FindingName.HTTP_CHALLENGED,
            f"The token page of {host} is guarded: HTTP {page.status} at {address}.",
        )
        remedy = "Leave /.well-known/ out of firewall rules, challenges and passwords."
    elif page.status != 200:  # noqa: PLR2004  a status of HTTP says more than a name
        says = f"The token page of {host} is not there: HTTP {page.status} at {address}."
        if page.status == 404 and "/acme-challenge/" in token.url:  # noqa: PLR2004  the same; findings/apache-keeps-the-challenge-folder.sh
            remedy += (
                " A web server may keep that folder for certificates that it orders itself, whatever files are there."
                " Apache's mod_md does, unless MDCAChallenges leaves out http-01."
            )
    elif page.body.strip() != token.body.strip():
        says = f"The token page of {host} holds something else at {address}: {page.body[:80] or 'nothing'}"
    elif page.indented:  # only behind a token white space is let pass (RFC 8555, 8.3)
        says = f"The token page of {host} has something invisible before the token at {address}: space, or a mark."
        remedy = f"Serve the token alone at {token.url}, with no white space and no mark before it."
    else:
        return []
    return [Finding(name=name, certainty=Certainty.LIKELY, host=host, says=says, remedy=remedy)]
