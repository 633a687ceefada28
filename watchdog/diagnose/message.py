"""A DNS message as it comes from a resolver: what it says at all, and its records, read once somebody asks for them.

With ``lookup``, ``responses`` and ``transport``, the door for dnspython, which reads names and the data of records. The
walk over a message is ours: nearly all of them say only that there is no such record, and dnspython would make values
of all that is in them, its own question first. A message is weighed before it is read, since a stranger's 64 KB may
hold thousands of names of a hundred labels, and each takes milliseconds. Whatever a stranger's bytes do to a parser is
raised as it is.
"""

import re
import struct
from typing import Any, NamedTuple

import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype

from watchdog.model.text import plain

MOST_RECORDS = 400
"""Records of all sections of one answer. What has more is refused unread; no answer that matters comes near."""

LONGEST_NAME = 253
PLAIN = re.compile(rb"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*")
"""Names that are written and read without a thought: nearly all."""

HEADER = struct.Struct("!HHHHHH")
_RECORD = struct.Struct("!HHIH")
_OPTION = struct.Struct("!HH")
_ASKED = 4  # bytes behind the name of a question
_POINTER, _LONGEST_LABEL = 0xC0, 63
_IN, _SOA, _OPT = dns.rdataclass.IN, dns.rdatatype.SOA.value, dns.rdatatype.OPT.value
_CNAME = dns.rdatatype.CNAME
_EXTENDED_ERROR = 15  # an option (RFC 8914)


class TooLargeError(Exception):
    """An answer with more records than anybody needs."""


class _Record(NamedTuple):
    """Where in a message a record's owner is, of which kind it is, and where its data are."""

    owner: int
    kind: int
    data: int
    size: int


class Message(NamedTuple):
    """An answer to one question. ``records`` are those of its answer section, ``soa`` is where a SOA's owner is.

    ``errors`` are extended errors (RFC 8914): code and text, as they came.
    """

    wire: bytes
    flags: int
    rcode: int
    questions: int
    records: tuple[_Record, ...]
    soa: int
    errors: tuple[tuple[int, str], ...]

    @property
    def asked(self) -> dns.name.Name:
        """The name that the question repeats."""
        return self._name(HEADER.size)

    @property
    def zone(self) -> str:
        """The zone that a negative answer came from, if it names one, as ``text_of`` has names; else nothing."""
        return (_plainly(self.wire, self.soa) or text_of(self._name(self.soa))) if self.soa else ""

    def owners(self, kind: int) -> list[dns.name.Name]:
        """Whose the records of one kind are, in their order, each once."""
        return list(dict.fromkeys(self._name(record.owner) for record in self.records if record.kind == kind))

    def data(self, name: dns.name.Name, kind: dns.rdatatype.RdataType, most: int) -> list[Any]:
        """The data of a name's records of one kind, each once, of so many records at the most. There is one CNAME."""
        found = [each for each in self.records if each.kind == kind and self._name(each.owner) == name][:most]
        found = found[-1:] if kind is _CNAME else found
        return list(dict.fromkeys(dns.rdata.from_wire(_IN, kind, self.wire, each.data, each.size) for each in found))

    def _name(self, at: int) -> dns.name.Name:
        return dns.name.from_wire(self.wire, at)[0]


def parse(wire: bytes) -> Message:
    """The message of these bytes. Raises ``TooLargeError``, or anything a parser may."""
    _, flags, questions, *counts = HEADER.unpack_from(wire)
    if questions + sum(counts) > MOST_RECORDS:
        raise TooLargeError(f"it has more than {MOST_RECORDS} records")
    at, rcode, soa = HEADER.size, flags & 0x000F, 0
    for _ in range(questions):
        at = _behind_name(wire, at) + _ASKED
    records: list[_Record] = []
    errors: tuple[tuple[int, str], ...] = ()
    for section, count in enumerate(counts):
        for _ in range(count):
            owner, at = at, _behind_name(wire, at)
            kind, rdclass, ttl, size = _RECORD.unpack_from(wire, at)
            data = at + _RECORD.size
            at = data + size
            if at > len(wire):
                raise ValueError("a record ends behind the message")
            if section == _ADDITIONAL and kind == _OPT:
                rcode |= ttl >> 24 << 4
                errors = _extended_errors(wire[data:at])
            elif section == _ANSWER and rdclass == _IN:
                records.append(_Record(owner, kind, data, size))
            elif section == _AUTHORITY and kind == _SOA:
                soa = soa or owner
    return Message(wire, flags, rcode, questions, tuple(records), soa, errors)


_ANSWER, _AUTHORITY, _ADDITIONAL = range(3)


def _behind_name(wire: bytes, at: int) -> int:
    while size := wire[at]:
        if size >= _POINTER:
            return at + 2
        if size > _LONGEST_LABEL:
            raise ValueError("a label of no kind that is known")
        at += size + 1
    return at + 1


def _plainly(wire: bytes, at: int) -> str:
    """A name, where it has none but plain letters; else nothing."""
    labels, before = list[bytes](), len(wire)
    while size := wire[at]:
        if size < _POINTER:
            labels.append(wire[at + 1 : at + 1 + size])
            at += 1 + size
            continue
        at = int.from_bytes(wire[at : at + 2], "big") - (_POINTER << 8)
        if at >= before:  # or it might never end
            return ""
        before = at
    name = b".".join(labels)
    is_plain = PLAIN.fullmatch(name) and name.count(b".") < len(labels) and len(name) <= LONGEST_NAME
    return name.decode().lower() if is_plain else ""


def text_of(name: dns.name.Name) -> str:
    """A name in small letters, cleaned and without its last dot."""
    return plain(name.to_text(omit_final_dot=True), 255).lower()


def _extended_errors(options: bytes) -> tuple[tuple[int, str], ...]:
    found, at = list[tuple[int, str]](), 0
    while at < len(options):
        code, size = _OPTION.unpack_from(options, at)
        at += _OPTION.size
        if code == _EXTENDED_ERROR:
            said = options[at : at + size]
            found.append((int.from_bytes(said[:2], "big"), said[2:].rstrip(b"\x00").decode("utf-8", "replace")))
        at += size
    return tuple(found)
