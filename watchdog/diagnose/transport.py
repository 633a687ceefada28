"""One question to one resolver: a packet by UDP, and by TCP where the answer does not fit in one.

The packets of questions and the sockets are ours; ``message`` and ``responses`` read what comes. dnspython writes the
names that are no plain ones. How often a question is asked, and for how long, is the caller's matter.
"""

import asyncio
import secrets
import socket
import struct
from contextlib import suppress
from functools import cache
from typing import NamedTuple

import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype

from watchdog.diagnose.message import HEADER, LONGEST_NAME, PLAIN, parse
from watchdog.diagnose.resolvers import shown
from watchdog.diagnose.responses import Answer, read

PAYLOAD = 1232
"""Bytes that pass everywhere in one UDP packet; a longer answer is fetched by TCP, and parsed in another thread."""

TOGETHER = 0.01
"""Seconds within which questions to a resolver share a socket."""

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
    def number(self) -> bytes:
        """What tells it from others."""
        return self.packet[:2]

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


class Way:
    """The way to one resolver: by UDP, and by TCP where the answer does not fit into a packet.

    Questions that are asked within ``TOGETHER`` share a socket: one for each is a twentieth of a pass over a large
    fleet. Its port is as hard to guess, and is gone with their deadline.
    """

    def __init__(self, resolver: tuple[str, int]) -> None:
        self.resolver = resolver
        self.by = shown(resolver)
        self._last: _Socket | None = None

    async def ask(self, asked: Question, seconds: float, *, alone: bool = False) -> Answer:
        """The answer, or a ``TimeoutError`` after so many ``seconds``.

        Raises ``OSError``, or whatever a stranger's bytes do to a parser. One that goes ``alone`` shares no socket:
        there are routers that let only one answer through to a port.
        """
        until = asyncio.get_running_loop().time() + seconds
        ours = self._last
        if alone or ours is None or not ours.takes(asked):
            ours = _Socket(self.resolver, until)
            if not alone:
                self._last = ours
        if (answer := await ours.ask(asked, self.by)) is not None:
            return answer
        async with asyncio.timeout_at(until):
            return await _by_tcp(self.resolver, asked, self.by)


class _Socket:
    """A socket, for some questions that are asked at the same time: they are late together, ``until`` then.

    The kernel lets only the resolver's own packets through. What belongs to no question, or is broken, is passed over:
    whoever forges packets must not end the wait.
    """

    def __init__(self, resolver: tuple[str, int], until: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[bytes, tuple[Question, asyncio.Future[bytes]]] = {}  # by their numbers
        self._ours = socket.socket(socket.AF_INET6 if ":" in resolver[0] else socket.AF_INET, socket.SOCK_DGRAM)
        self._ours.setblocking(False)  # noqa: FBT003  its signature
        try:
            self._ours.connect(resolver)  # no packet leaves, so there is nothing to wait for
        except OSError:
            self._ours.close()
            raise
        self._until = self._loop.time() + TOGETHER
        self._over: Exception | None = None
        self._timer = self._loop.call_at(until, self._end, TimeoutError())
        self._loop.add_reader(self._ours.fileno(), self._look)

    def takes(self, asked: Question) -> bool:
        """Whether this question may share it."""
        return self._over is None and asked.number not in self._waiting and self._loop.time() < self._until

    async def ask(self, asked: Question, by: str) -> Answer | None:
        """The answer; ``None`` if it does not fit into a packet."""
        try:
            heard = self._expected(asked)
            try:
                await self._loop.sock_sendall(self._ours, asked.packet)
            except OSError as fault:  # which may be what came of an earlier packet, and told only once
                self._end(fault)
            while True:
                said = await heard
                if HEADER.unpack_from(said)[1] & _TRUNCATED:
                    return None
                with suppress(Exception):  # a stranger's bytes may break any parser; the true may come
                    return await _read(said, asked, by)
                heard = self._expected(asked)
        finally:
            del self._waiting[asked.number]
            if not self._waiting:
                self._close()

    def _expected(self, asked: Question) -> "asyncio.Future[bytes]":
        """What comes for a question."""
        heard: asyncio.Future[bytes] = self._loop.create_future()
        self._waiting[asked.number] = asked, heard
        if self._over is not None:
            raise self._over
        return heard

    def _look(self) -> None:
        """Take what has come: no more than is waited for, or whoever floods us would keep the deadline from coming."""
        for _ in range(len(self._waiting)):
            try:
                said = self._ours.recv(_LARGEST)
            except BlockingIOError:
                return
            except OSError as fault:
                self._end(fault)
                return
            if (waited := self._waiting.get(said[:2])) is None:
                continue
            asked, heard = waited
            if not heard.done() and _answers(asked, said):
                heard.set_result(said)

    def _end(self, why: Exception) -> None:
        """Nothing more is waited for."""
        self._over = why
        for _, heard in self._waiting.values():
            if not heard.done():
                heard.set_exception(why)

    def _close(self) -> None:
        self._over = self._over or ConnectionAbortedError()
        self._timer.cancel()
        self._loop.remove_reader(self._ours.fileno())
        self._ours.close()


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
