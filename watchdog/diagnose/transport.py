"""One question to one resolver: a packet by UDP, and by TCP where the answer does not fit in one.

With ``lookup``, ``resolvers`` and ``responses``, the door for dnspython. The sockets are ours because a message is
weighed here before it is parsed: a stranger's answer of 64 KB may hold thousands of names of a hundred labels, and
dnspython takes milliseconds for each. The caller sets the deadline.
"""

import asyncio
import struct

import dns.message

MOST_RECORDS = 400
"""Records of all sections of one answer. What has more is refused unread; no answer that matters comes near."""

PAYLOAD = 1232
"""Bytes that pass everywhere in one UDP packet; a longer answer is fetched by TCP, and parsed in another thread."""

_MOST_PACKETS = 16
"""Packets that may be forgeries of the one waited for; more of them are not kept."""

_HEADER = struct.Struct("!HHHHHH")
_IS_ANSWER, _TRUNCATED = 0x8000, 0x0200


class TooLargeError(Exception):
    """An answer with more records than anybody needs."""


async def exchange(address: str, port: int, query: dns.message.Message) -> dns.message.Message:
    """The answer to ``query``. Raises ``OSError``, or whatever a stranger's bytes do to a parser."""
    return await _by_udp(address, port, query) or await _by_tcp(address, port, query)


class _Ear(asyncio.DatagramProtocol):
    """Keeps what may be the answer, by its number; the kernel lets only the resolver's own packets through."""

    def __init__(self, number: int) -> None:
        self._number = number
        self.heard: asyncio.Queue[bytes | OSError] = asyncio.Queue(_MOST_PACKETS)

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002  its signature
        if len(data) >= _HEADER.size and not self.heard.full():
            number, flags, *_ = _HEADER.unpack_from(data)
            if number == self._number and flags & _IS_ANSWER:
                self.heard.put_nowait(data)

    def error_received(self, exc: Exception) -> None:
        if isinstance(exc, OSError) and not self.heard.full():
            self.heard.put_nowait(exc)


async def _by_udp(address: str, port: int, query: dns.message.Message) -> dns.message.Message | None:
    """The answer; ``None`` if it does not fit into a packet.

    What does not belong to the question, or is broken, is passed over: whoever forges packets must not end the wait.
    """
    loop = asyncio.get_running_loop()
    out, ear = await loop.create_datagram_endpoint(lambda: _Ear(query.id), remote_addr=(address, port))
    try:
        out.sendto(query.to_wire())
        while True:
            heard = await ear.heard.get()
            if isinstance(heard, OSError):
                raise heard
            if _HEADER.unpack_from(heard)[1] & _TRUNCATED:
                return None
            try:
                message = await _parsed(heard)
            except Exception:  # noqa: BLE001, S112  any parser may break on a stranger's bytes; the true answer may come
                continue
            if query.is_response(message):
                return message
    finally:
        out.abort()


async def _by_tcp(address: str, port: int, query: dns.message.Message) -> dns.message.Message:
    reader, writer = await asyncio.open_connection(address, port)
    try:
        wire = query.to_wire()
        writer.write(len(wire).to_bytes(2, "big") + wire)
        size = int.from_bytes(await reader.readexactly(2), "big")
        message = await _parsed(await reader.readexactly(size))
    finally:
        writer.transport.abort()
    if not query.is_response(message):
        raise ValueError("the answer is to another question")
    return message


async def _parsed(wire: bytes) -> dns.message.Message:
    if len(wire) <= PAYLOAD:
        return parse(wire)
    return await asyncio.to_thread(parse, wire)


def parse(wire: bytes) -> dns.message.Message:
    """The message of these bytes. Raises ``TooLargeError``, or anything a parser may."""
    if len(wire) >= _HEADER.size and sum(_HEADER.unpack_from(wire)[2:]) > MOST_RECORDS:
        raise TooLargeError(f"it has more than {MOST_RECORDS} records")
    return dns.message.from_wire(wire, ignore_trailing=True)
