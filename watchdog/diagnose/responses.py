"""What a DNS message says: ``read`` turns a resolver's answer into a value the rest of the room can ask. Pure.

A time-out, a refusal and a broken signature are answers too, and none of them is ever taken for "there is no such
record". Texts in an answer come from strangers; they are cleaned and bounded here.
"""

from enum import StrEnum
from typing import Any

import dns.name
import dns.rcode
import dns.rdatatype
import msgspec

from watchdog.diagnose.message import Message, text_of
from watchdog.model.text import clean, plain

MOST_LINKS = 16
"""CNAMEs followed in one answer. Resolvers and certificate authorities give up sooner."""

MOST_VALUES = 100
"""Records read of one answer, however many a stranger sends."""

MOST_ERRORS = 5
"""Extended errors read of one answer."""

_BOGUS_CODES = frozenset({1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 25, 27})  # RFC 8914: what says that DNSSEC is to blame
_VAGUE_CODES = frozenset({0, 13})  # "other" and "cached error" explain nothing
_CAA, _CNAME, _DNAME = dns.rdatatype.CAA, dns.rdatatype.CNAME, dns.rdatatype.DNAME
_SERVFAIL, _NXDOMAIN, _NOERROR = dns.rcode.SERVFAIL.value, dns.rcode.NXDOMAIN.value, dns.rcode.NOERROR.value
_AD = 0x0020  # a flag: the signatures are good


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
    """One CAA record. ``nearly_critical`` has the bit of value 1, which many take for the critical one (128)."""

    critical: bool
    tag: str
    value: str
    nearly_critical: bool = False

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


def read(message: Message, kind: dns.rdatatype.RdataType, resolver: str) -> Answer:
    """What a message says of ``kind`` at the name that was asked for."""
    rcode, errors = message.rcode, message.errors[:MOST_ERRORS]
    chain, end, looped = _follow(message, kind)
    note = clean("; ".join(map(_words, errors)), 200) if errors else ""
    enclosing, values, caa = "", tuple[str, ...](), tuple[CaaRecord, ...]()
    if looped:
        status = ResponseStatus.LOOP
    elif rcode == _SERVFAIL:
        bogus = any(code in _BOGUS_CODES for code, _ in errors)
        status = ResponseStatus.BOGUS if bogus else ResponseStatus.SERVFAIL
    elif end is not None and (found := message.data(end, kind, MOST_VALUES)):
        status = ResponseStatus.FOUND
        if kind is _CAA:
            caa = tuple(map(_caa, found))
        else:
            values = tuple(_value(each, kind) for each in found)
    elif rcode in (_NOERROR, _NXDOMAIN):
        status = ResponseStatus.EMPTY if rcode == _NOERROR else ResponseStatus.MISSING
        enclosing = message.zone
    else:
        status, note = ResponseStatus.REFUSED, note or dns.rcode.to_text(dns.rcode.Rcode.make(rcode))
    return Answer(
        resolver=resolver,
        status=status,
        values=values,
        caa=caa,
        chain=chain,
        dnames=tuple(map(text_of, message.owners(_DNAME)[:MOST_LINKS])) if chain else (),
        enclosing=enclosing,
        note=note,
        validated=bool(message.flags & _AD),
        explained=any(code not in _VAGUE_CODES for code, _ in errors),
    )


def _follow(message: Message, kind: dns.rdatatype.RdataType) -> tuple[tuple[str, ...], dns.name.Name | None, bool]:
    """The targets of the CNAMEs from the name asked for, where they end, and whether they never do.

    A message that holds nothing ends nowhere, and neither does one that repeats no question.
    """
    if not message.records or not message.questions:
        return (), None, False
    chain: list[str] = []
    at = message.asked
    seen = [at]
    while kind is not _CNAME and (alias := message.data(at, _CNAME, MOST_VALUES)):
        at = alias[0].target
        chain.append(text_of(at))
        if at in seen or len(chain) >= MOST_LINKS:
            return tuple(chain), at, True
        seen.append(at)
    return tuple(chain), at, False


def _value(rdata: Any, kind: dns.rdatatype.RdataType) -> str:
    if kind is dns.rdatatype.TXT:
        return clean(b"".join(rdata.strings[:20]).decode("utf-8", "replace"), 1000)
    if kind in (_CNAME, dns.rdatatype.NS):
        return text_of(rdata.target)
    return plain(rdata.to_text(), 255)


def _caa(rdata: Any) -> CaaRecord:
    tag, value = (clean(part.decode("utf-8", "replace"), 300) for part in (rdata.tag, rdata.value))
    return CaaRecord(bool(rdata.flags & 128), tag.lower(), value, bool(rdata.flags & 1))


def _words(error: tuple[int, str]) -> str:
    """An extended error (RFC 8914) as people look it up."""
    import dns.edns  # noqa: PLC0415  for the few answers that explain themselves

    code, text = error
    try:
        said = f"EDE {code}, {dns.edns.EDECode(code).name.lower().replace('_', ' ')}"
    except ValueError:
        said = f"EDE {code}"
    return f"{said}: {text}" if text else said
