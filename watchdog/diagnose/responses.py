"""What a DNS message says: ``read`` turns a resolver's answer into a value the rest of the room can ask. Pure.

A time-out, a refusal and a broken signature are answers too, and none of them is ever taken for "there is no such
record". Texts in an answer come from strangers; they are cleaned and bounded here.
"""

from enum import StrEnum
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import msgspec
from msgspec.structs import replace

from watchdog.model.text import clean, plain

MOST_LINKS = 16
"""CNAMEs followed in one answer. Resolvers and certificate authorities give up sooner."""

MOST_VALUES = 100
"""Records read of one answer, however many a stranger sends."""

_BOGUS_CODES = frozenset({1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 25, 27})  # RFC 8914: what says that DNSSEC is to blame
_VAGUE_CODES = frozenset({0, 13})  # "other" and "cached error" explain nothing
_CAA, _CNAME = dns.rdatatype.CAA, dns.rdatatype.CNAME


class ResponseStatus(StrEnum):
    """How a question ended."""

    FOUND = "found"
    EMPTY = "empty"  # the name exists and has no such record
    MISSING = "missing"  # the name does not exist (NXDOMAIN)
    LOOP = "loop"  # CNAMEs that lead back, or on for ever
    SERVFAIL = "servfail"
    BOGUS = "bogus"  # the DNSSEC signatures are broken
    REFUSED = "refused"  # or any other code
    MALFORMED = "malformed"
    TIMEOUT = "timeout"
    SILENT = "silent"  # the resolver cannot be reached


TOLD = frozenset({ResponseStatus.FOUND, ResponseStatus.EMPTY, ResponseStatus.MISSING})
"""Endings that say what is in DNS."""

BROKEN = frozenset({ResponseStatus.SERVFAIL, ResponseStatus.REFUSED, ResponseStatus.MALFORMED})
"""Endings in which the resolver answers and the domain's DNS does not."""

UNTOLD = frozenset({ResponseStatus.TIMEOUT, ResponseStatus.SILENT})
"""Endings that say nothing of the domain."""


class CaaRecord(msgspec.Struct, frozen=True):
    """One CAA record."""

    critical: bool
    tag: str
    value: str

    def __str__(self) -> str:
        return f'{128 if self.critical else 0} {self.tag} "{self.value}"'


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What one resolver said to one question.

    ``values`` are the texts, names or addresses of the records; those of CAA are in ``caa``. ``chain`` holds the
    targets of the CNAMEs that were followed, ``dnames`` the owners of DNAMEs that made some of them. ``enclosing`` is
    the zone that a negative answer came from; a resolver that names none has not proven that anything is absent.
    ``validated`` is whether the resolver vouches for the signatures, ``confirmed`` whether one that calls them broken
    answers once checking is disabled, ``explained`` whether it gives the cause of a failure (``note`` has the words).
    """

    resolver: str
    status: ResponseStatus
    values: tuple[str, ...] = ()
    caa: tuple[CaaRecord, ...] = ()
    chain: tuple[str, ...] = ()
    dnames: tuple[str, ...] = ()
    enclosing: str = ""
    note: str = ""
    validated: bool = False
    confirmed: bool = False
    explained: bool = False


def read(message: dns.message.Message, asked: dns.name.Name, kind: dns.rdatatype.RdataType, resolver: str) -> Answer:
    """What a message says of ``kind`` at the name that was asked for."""
    chain, end, looped = _follow(message, asked, kind)
    extended = _extended(message)
    answer = Answer(
        resolver=resolver,
        status=ResponseStatus.EMPTY,
        chain=chain,
        dnames=_dnames(message) if chain else (),
        note=clean("; ".join(text for _, text in extended), 200) if extended else "",
        validated=bool(int(message.flags) & dns.flags.AD.value),
        explained=any(code not in _VAGUE_CODES for code, _ in extended),
    )
    rcode = message.rcode()
    if looped:
        return replace(answer, status=ResponseStatus.LOOP)
    if rcode == dns.rcode.SERVFAIL:
        bogus = any(code in _BOGUS_CODES for code, _ in extended)
        return replace(answer, status=ResponseStatus.BOGUS if bogus else ResponseStatus.SERVFAIL)
    records = _records(message, end, kind)
    if records is not None:
        rdatas = list(records)[:MOST_VALUES]
        if kind is _CAA:
            return replace(answer, status=ResponseStatus.FOUND, caa=tuple(_caa(rdata) for rdata in rdatas))
        return replace(answer, status=ResponseStatus.FOUND, values=tuple(_value(rdata, kind) for rdata in rdatas))
    if rcode == dns.rcode.NXDOMAIN:
        return replace(answer, status=ResponseStatus.MISSING, enclosing=_enclosing(message))
    if rcode != dns.rcode.NOERROR:
        note = answer.note or dns.rcode.to_text(rcode)
        return replace(answer, status=ResponseStatus.REFUSED, note=note)
    return replace(answer, enclosing=_enclosing(message))


def _follow(
    message: dns.message.Message, asked: dns.name.Name, kind: dns.rdatatype.RdataType
) -> tuple[tuple[str, ...], dns.name.Name, bool]:
    """The targets of the CNAMEs from the name asked for, where they end, and whether they never do."""
    chain: list[str] = []
    at, seen = asked, [asked]
    while kind is not _CNAME and (alias := _records(message, at, _CNAME)):
        at = alias[0].target
        chain.append(_name(at))
        if at in seen or len(chain) >= MOST_LINKS:
            return tuple(chain), at, True
        seen.append(at)
    return tuple(chain), at, False


def _records(message: dns.message.Message, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> Any:
    found = (one for one in message.answer if one.rdtype == kind and one.name == name)
    return next((one for one in found if one.rdclass == dns.rdataclass.IN), None)


def _dnames(message: dns.message.Message) -> tuple[str, ...]:
    owners = [_name(rrset.name) for rrset in message.answer if rrset.rdtype == dns.rdatatype.DNAME]
    return tuple(owners[:MOST_LINKS])


def _enclosing(message: dns.message.Message) -> str:
    owners = (rrset.name for rrset in message.authority if rrset.rdtype == dns.rdatatype.SOA)
    owner = next(owners, None)
    return "" if owner is None else _name(owner)


def _value(rdata: Any, kind: dns.rdatatype.RdataType) -> str:
    if kind is dns.rdatatype.TXT:
        return clean(b"".join(rdata.strings[:20]).decode("utf-8", "replace"), 1000)
    if kind in (_CNAME, dns.rdatatype.NS):
        return _name(rdata.target)
    return plain(rdata.to_text(), 255)


def _caa(rdata: Any) -> CaaRecord:
    tag, value = (clean(part.decode("utf-8", "replace"), 300) for part in (rdata.tag, rdata.value))
    return CaaRecord(bool(rdata.flags & 128), tag.lower(), value)


def _name(name: dns.name.Name) -> str:
    return plain(name.to_text(omit_final_dot=True), 255).lower()


def _extended(message: dns.message.Message) -> list[tuple[int, str]]:
    """The extended errors (RFC 8914) of an answer: each code, and the words for it as people look them up."""
    found = [option for option in message.options if isinstance(option, dns.edns.EDEOption)]
    return [(int(one.code), f"{_words(one.code)}{': ' + one.text if one.text else ''}") for one in found[:5]]


def _words(code: int) -> str:
    try:
        return f"EDE {int(code)}, {dns.edns.EDECode(code).name.lower().replace('_', ' ')}"
    except ValueError:
        return f"EDE {int(code)}"
