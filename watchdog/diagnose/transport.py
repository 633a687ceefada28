"""One question to one resolver: a packet by UDP, and by TCP where the answer does not fit in one.

With ``lookup`` and ``responses``, the door for dnspython. The packets of questions and the sockets are ours: a message
is weighed here before it is parsed, since a stranger's answer of 64 KB may hold thousands of names of a hundred labels,
and dnspython takes milliseconds for each. The caller sets the deadline.
"""

import asyncio
import secrets
import socket
import struct
from typing import NamedTuple

import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype

MOST_RECORDS = 400
"""Records of all sections of one answer. What has more is refused unread; no answer that matters comes near."""

PAYLOAD = 1232
"""Bytes that pass everywhere in one UDP packet; a longer answer is fetched by TCP, and parsed in another thread."""

_LARGEST = 65_535

_HEADER = struct.Struct("!HHHHHH")
_ASKED = struct.Struct("!HH")
_OPTIONS = struct.Struct("!BHHIH")  # EDNS: the root, type, payload, flags, no options (RFC 6891)
_IS_ANSWER, _OPCODE, _TRUNCATED, _RECURSE, _AD, _CD, _RCODE = 0x8000, 0x7800, 0x0200, 0x0100, 0x0020, 0x0010, 0x000F
_DNSSEC = 0x8000

_UNREAD = frozenset({dns.rcode.FORMERR, dns.rcode.SERVFAIL, dns.rcode.NOTIMP, dns.rcode.REFUSED})
"""Codes of a server that may not have read the question, and need not repeat it."""


class TooLargeError(Exception):
    """An answer with more records than anybody needs."""


class Question(NamedTuple):
    """What is asked, and the bytes of it: a header, the question, EDNS."""

    name: dns.name.Name
    kind: dns.rdatatype.RdataType
    packet: bytes

    @property
    def asked(self) -> bytes:
        """What an answer repeats."""
        return self.packet[_HEADER.size : -_OPTIONS.size]


def question(name: dns.name.Name, kind: str, *, checking: bool = True) -> Question:
    """A question with a number that nobody can guess. Without ``checking``, answers come whatever their signatures."""
    rdtype = dns.rdatatype.from_text(kind)
    flags, edns = _RECURSE | _AD, 0  # do say whether the signatures are good (RFC 6840, 5.7); some only look if asked
    if not checking:
        flags |= _CD
        edns |= _DNSSEC  # systemd-resolved (252) passes CD on to its servers only beside DO
    header = _HEADER.pack(secrets.randbits(16), flags, 1, 0, 0, 1)
    asked = name.to_wire() + _ASKED.pack(rdtype, dns.rdataclass.IN)  # type: ignore[operator]  # without a file: bytes
    return Question(name, rdtype, header + asked + _OPTIONS.pack(0, dns.rdatatype.OPT, PAYLOAD, edns, 0))


async def exchange(address: str, port: int, asked: Question) -> dns.message.Message:
    """The answer to what is ``asked``. Raises ``OSError``, or whatever a stranger's bytes do to a parser."""
    return await _by_udp(address, port, asked) or await _by_tcp(address, port, asked)


async def _by_udp(address: str, port: int, asked: Question) -> dns.message.Message | None:
    """The answer; ``None`` if it does not fit into a packet.

    The kernel lets only the resolver's own packets through. What does not belong to the question, or is broken, is
    passed over: whoever forges packets must not end the wait.
    """
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as ours:
        ours.setblocking(False)  # noqa: FBT003  its signature
        await loop.sock_connect(ours, (address, port))
        await loop.sock_sendall(ours, asked.packet)
        while True:
            heard = await loop.sock_recv(ours, _LARGEST)
            if _answers(asked, heard):
                if _HEADER.unpack_from(heard)[1] & _TRUNCATED:
                    return None
                try:
                    return await _parsed(heard)
                except Exception:  # noqa: BLE001, S110  a stranger's bytes may break any parser; the true may come
                    pass
            await asyncio.sleep(0)  # noqa: TID251  no wait: whoever floods us must not keep the deadline from coming


async def _by_tcp(address: str, port: int, asked: Question) -> dns.message.Message:
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(len(asked.packet).to_bytes(2, "big") + asked.packet)
        size = int.from_bytes(await reader.readexactly(2), "big")
        heard = await reader.readexactly(size)
        message = await _parsed(heard)
    finally:
        writer.transport.abort()
    if not _answers(asked, heard):
        raise ValueError("the answer is to another question")
    return message


def _answers(asked: Question, heard: bytes) -> bool:
    """Whether these bytes are an answer to this question: they bear its number, and repeat what it asks."""
    if len(heard) < _HEADER.size or heard[:2] != asked.packet[:2]:
        return False
    _, flags, questions, *_ = _HEADER.unpack_from(heard)
    if not flags & _IS_ANSWER or flags & _OPCODE:
        return False
    if questions == 0:
        return flags & _RCODE in _UNREAD
    # Letters in names are of either case. What is made small besides them, lengths and types, are none of those bytes.
    repeated = heard[_HEADER.size : _HEADER.size + len(asked.asked)]
    return questions == 1 and repeated.lower() == asked.asked.lower()


async def _parsed(wire: bytes) -> dns.message.Message:
    if len(wire) <= PAYLOAD:
        return parse(wire)
    return await asyncio.to_thread(parse, wire)


def parse(wire: bytes) -> dns.message.Message:
    """The message of these bytes. Raises ``TooLargeError``, or anything a parser may."""
    if len(wire) >= _HEADER.size and sum(_HEADER.unpack_from(wire)[2:]) > MOST_RECORDS:
        raise TooLargeError(f"it has more than {MOST_RECORDS} records")
    return dns.message.from_wire(wire, ignore_trailing=True)
