"""What a set of CAA records (RFC 8659, and RFC 8657 for parameters) lets one authority do. Pure; ``caa`` finds them.

Let's Encrypt reads them to the letter, as its own code shows (boulder, va/caa.go, of 2026-08-07): what looks right to a
person may name nobody. How the others read is not known, so of them only that is called forbidden which no reading lets
pass.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import NamedTuple

import msgspec

from watchdog.diagnose.responses import CaaRecord

LETS_ENCRYPT = "letsencrypt.org"

ISSUERS = {"google": "pki.goog", "lets_encrypt": LETS_ENCRYPT, "ssl_com": "ssl.com"}
"""The domain by which CAA records mean an authority. Of one that is not listed here nothing is said."""

REGISTERED_TAGS = frozenset(
    {"issue", "issuewild", "issuemail", "issuevmc", "iodef", "contactemail", "contactphone", "auth", "path", "policy"}
)
"""IANA's list. A critical record with any other tag forbids everybody to issue."""

_LETS_ENCRYPT_KNOWS = frozenset({"issue", "issuewild", "issuemail", "issuevmc", "iodef"})
"""A critical record with any other tag forbids Let's Encrypt to issue."""

_METHODS = {"txt": "dns-01", "http": "http-01"}  # RFC 8657, as far as Cloudflare uses them
_SPACE = " \t"
_KEY, _VALUE, _LABEL = (re.compile(pattern) for pattern in (r"[0-9A-Za-z]*", r"[!-:<-~]*", r"[0-9A-Za-z-]+"))
_SHOWN = 60


class Verdict(msgspec.Struct, frozen=True):
    """What a set of CAA records means for one authority. ``because`` ends a sentence; ``restricts`` is a condition.

    ``critical`` where a record that nobody understands forbids it; ``by_letter`` where a more generous reading of the
    records would allow it.
    """

    allowed: bool
    because: str = ""
    restricts: str = ""
    critical: bool = False
    by_letter: bool = False


ALLOWED = Verdict(allowed=True)


class _Named(NamedTuple):
    """The authority that a record names, and the parameters it does so with."""

    domain: str
    parameters: list[tuple[str, str]]


def judge_records(
    records: Sequence[CaaRecord], issuer: str, *, wildcard: bool, methods: Iterable[str] = (), binds: bool = True
) -> Verdict:
    """Whether the records that count for a host let ``issuer`` issue for it. No records at all let everybody.

    ``methods`` are Cloudflare's names of those by which it may be validated; ``binds`` says whether the authority heeds
    the parameters of RFC 8657.
    """
    ways = {_METHODS[method] for method in methods if method in _METHODS}
    generous = _judge(records, issuer, ways, wildcard=wildcard, binds=binds, exact=False)
    if issuer != LETS_ENCRYPT or not generous.allowed:
        return generous
    verdict = _judge(records, issuer, ways, wildcard=wildcard, binds=binds, exact=True)
    return verdict if verdict.allowed else msgspec.structs.replace(verdict, by_letter=True)


def _judge(
    records: Sequence[CaaRecord], issuer: str, ways: set[str], *, wildcard: bool, binds: bool, exact: bool
) -> Verdict:
    known = _LETS_ENCRYPT_KNOWS if exact else REGISTERED_TAGS
    for record in records:
        if (record.critical or (exact and record.nearly_critical)) and record.tag not in known:
            because = f"a critical record has the unknown tag {record.tag!r}"
            return Verdict(allowed=False, because=because, critical=True)
    tag = "issuewild" if wildcard and any(record.tag == "issuewild" for record in records) else "issue"
    governing = [record for record in records if record.tag == tag]
    if not governing:
        return ALLOWED
    restricted = ""
    for record in governing:
        named = _to_the_letter(record.value) if exact else _generously(record.value)
        if named is None or named.domain != issuer:
            continue
        restricted = _restriction(named.parameters, ways, exact=exact)
        if not restricted:
            return ALLOWED
    if restricted and not binds:
        return Verdict(allowed=True, restricts=restricted)
    if restricted:
        return Verdict(allowed=False, because=f"{tag} names it {restricted}")
    because = _names_others(tag, governing, issuer)
    misspelt = next((one.tag for one in records if _in_vain(one, issuer)), "")
    if misspelt:
        because += f", and the record with the tag {misspelt[:_SHOWN]!r}, which no authority knows, is in vain"
    return Verdict(allowed=False, because=because)


def _in_vain(record: CaaRecord, issuer: str) -> bool:
    """Whether a record names the authority under a tag that does not exist: zone checkers let that pass."""
    return record.tag not in REGISTERED_TAGS and _generously(record.value).domain == issuer


def _names_others(tag: str, governing: Sequence[CaaRecord], issuer: str) -> str:
    meant = next((record.value for record in governing if _generously(record.value).domain == issuer), "")
    if meant:
        return (
            f"{tag} names it as {meant[:_SHOWN]!r}, which it does not read: it wants small letters, no final dot, and"
            " parameters of the form name=value"
        )
    named = sorted({record.value.partition(";")[0].strip() or "nobody" for record in governing})
    return f"{tag} names {', '.join(named[:5])}{', …' if len(named) > 5 else ''}"  # noqa: PLR2004  a line's worth


def _to_the_letter(value: str) -> _Named | None:
    """A record as Let's Encrypt reads it; ``None`` where one parameter is malformed, and it names nobody by that."""
    domain, *parts = (part.strip(_SPACE) for part in value.split(";"))
    if parts == [""]:
        parts = []
    parameters = []
    for part in parts:
        key, sign, text = (each.strip(_SPACE) for each in part.partition("="))
        if not sign or not _KEY.fullmatch(key) or not _VALUE.fullmatch(text):
            return None
        parameters.append((key, text))
    return _Named(domain, parameters)


def _generously(value: str) -> _Named:
    domain, *parts = value.split(";")
    parameters = [(key.strip(), text.strip()) for key, _, text in (part.partition("=") for part in parts)]
    return _Named(domain.strip().rstrip(".").lower(), parameters)


def _restriction(parameters: Sequence[tuple[str, str]], ways: set[str], *, exact: bool) -> str:
    accounts = [value for key, value in parameters if key == "accounturi"]
    if accounts:
        return f"only for the account {accounts[0]}, which is not Cloudflare's"
    lists = [value for key, value in parameters if key == "validationmethods"]
    if exact and len(lists) > 1:
        return f"only by {lists[0]} and only by {lists[1]}"
    offered = _well_formed(lists) if exact else {one.strip().lower() for each in lists for one in each.split(",")}
    return f"only by {lists[0]}" if lists and ways and not ways & offered else ""


def _well_formed(lists: Sequence[str]) -> set[str]:
    """The methods up to the first that could be none."""
    return set(takewhile(_LABEL.fullmatch, ",".join(lists).split(",")))
