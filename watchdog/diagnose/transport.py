"""One question to one resolver: a packet by UDP, and by TCP where the answer does not fit in one.

The packets of questions and the sockets are ours; ``message`` and ``responses`` read what comes. dnspython writes the
names that are no plain ones. The caller sets the deadline.
"""

import asyncio
import secrets
import socket
import struct
from functools import cache
from typing import NamedTuple

import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype

from watchdog.diagnose.message import HEADER, LONGEST_NAME, PLAIN, parse
from watchdog.diagnose.responses import Answer, read

PAYLOAD = 1232
"""Bytes that pass everywhere in one UDP packet; a longer answer is fetched by TCP, and parsed in another thread."""

_LARGEST = 65_535

_ASKED = struct.Struct("!HH")
_OPTIONS = struct.Struct("!BHHIH")  # EDNS: the root, type, payload, flags, no options (RFC 6891)
_IS_ANSWER, _OPCODE, _TRUNCATED, _RECURSE, _AD, _CD, _RCODE = 0x8000, 0x7800, 0x0200, 0x0100, 0x0020, 0x0010, 0x000F
_DNSSEC = 0x8000

_UNREAD = frozenset({dns.rcode.FORMERR, dns.rcode.SERVFAIL, dns.rcode.NOTIMP, dns.rcode.REFUSED})
"""Codes of a server that may not have read the question, and need not repeat it."""


class Question(NamedTuple):
    """What is asked, and the bytes of it: a header, the question, EDNS."""

    kind: dns.rdatatype.RdataType
    packet: bytes

    @property
    def asked(self) -> bytes:
        """What an answer repeats."""
        return self.packet[HEADER.size : -_OPTIONS.size]


def question(name: str, kind: str, *, checking: bool = True) -> Question:
    """A question with a number that nobody can guess. Without ``checking``, answers come whatever their signatures.

    Raises ``DNSException`` or ``ValueError`` for what is no name that DNS could hold.
    """
    rdtype = _rdtype(kind)
    flags, edns = _RECURSE | _AD, 0  # do say whether the signatures are good (RFC 6840, 5.7); some only look if asked
    if not checking:
        flags |= _CD
        edns |= _DNSSEC  # systemd-resolved (252) passes CD on to its servers only beside DO
    header = HEADER.pack(secrets.randbits(16), flags, 1, 0, 0, 1)
    asked = _wire(name) + _ASKED.pack(rdtype, dns.rdataclass.IN)
    return Question(rdtype, header + asked + _OPTIONS.pack(0, dns.rdatatype.OPT, PAYLOAD, edns, 0))


_rdtype = cache(dns.rdatatype.from_text)


def _wire(name: str) -> bytes:
    plain = name.encode()
    if len(plain) > LONGEST_NAME or not PLAIN.fullmatch(plain):
        return dns.name.from_text(name).to_wire()  # type: ignore[return-value]  # without a file: bytes
    return b"".join(bytes((len(label),)) + label for label in plain.split(b".")) + b"\x00"


async def exchange(resolver: tuple[str, int], asked: Question, by: str) -> Answer:
    """The answer to what is ``asked``. Raises ``OSError``, or whatever a stranger's bytes do to a parser.

    ``by`` is the resolver as it is shown.
    """
    return await _by_udp(resolver, asked, by) or await _by_tcp(resolver, asked, by)


async def _by_udp(resolver: tuple[str, int], asked: Question, by: str) -> Answer | None:
    """The answer; ``None`` if it does not fit into a packet.

    The kernel lets only the resolver's own packets through. What does not belong to the question, or is broken, is
    passed over: whoever forges packets must not end the wait.
    """
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET6 if ":" in resolver[0] else socket.AF_INET, socket.SOCK_DGRAM) as ours:
        ours.setblocking(False)  # noqa: FBT003  its signature
        ours.connect(resolver)  # no packet leaves, so there is nothing to wait for: the loop would take a tenth longer
        await loop.sock_sendall(ours, asked.packet)
        while True:
            heard = await loop.sock_recv(ours, _LARGEST)
            if _answers(asked, heard):
                if HEADER.unpack_from(heard)[1] & _TRUNCATED:
                    return None
                try:
                    return await _read(heard, asked, by)
                except Exception:  # noqa: BLE001, S110  a stranger's bytes may break any parser; the true may come
                    pass
            await asyncio.sleep(0)  # noqa: TID251  no wait: whoever floods us must not keep the deadline from coming


async def _by_tcp(resolver: tuple[str, int], asked: Question, by: str) -> Answer:
    reader, writer = await asyncio.open_connection(*resolver)
    try:
        writer.write(len(asked.packet).to_bytes(2, "big") + asked.packet)
        size = int.from_bytes(await reader.readexactly(2), "big")
        heard = await reader.readexactly(size)
        answer = await _read(heard, asked, by)
    finally:
        writer.transport.abort()
    if not _answers(asked, heard):
        raise ValueError("the answer is to another question")
    return answer


def _answers(asked: Question, heard: bytes) -> bool:
    """Whether these bytes are an answer to this question: they bear its number, and repeat what it asks."""
    if len(heard) < HEADER.size or heard[:2] != asked.packet[:2]:
        return False
    _, flags, questions, *_ = HEADER.unpack_from(heard)
    if not flags & _IS_ANSWER or flags & _OPCODE:
        return False
    if questions == 0:
        return flags & _RCODE in _UNREAD
    # Letters in names are of either case. What is made small besides them, lengths and types, are none of those bytes.
    repeated = heard[HEADER.size : HEADER.size + len(asked.asked)]
    return questions == 1 and repeated.lower() == asked.asked.lower()


async def _read(wire: bytes, asked: Question, by: str) -> Answer:
    if len(wire) <= PAYLOAD:
        return read(parse(wire), asked.kind, by)
    return await asyncio.to_thread(lambda: read(parse(wire), asked.kind, by))
