"""A DNS resolver on loopback: what ``Resolver`` is told to know, by UDP and TCP. The simulator's door to dnspython.

``ZoneResolver`` answers for the zones of a world: their own records, those of the scenario, and the tokens of pending
validations once somebody has placed them. It keeps nothing, so an answer is true at the moment it is given. It checks
no signatures: a scenario says where they are broken. Nothing outside the zones exists for it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Self

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from watchdog.simulator.scenario import DnsFault, ZoneStart
from watchdog.simulator.world import World

MOST_LINKS = 40
"""Aliases followed before it is a circle."""

MOST_BYTES = 1232
"""Of an answer by UDP; a longer one is fetched by TCP."""

BY_UDP, BY_TCP, UNCHECKED = "udp", "tcp", "unchecked"
"""How a question came; ``UNCHECKED`` where it wants the answer whatever the signatures are."""

_DELEGATED = "dcv.cloudflare.com"
_TTL = 60


class Resolver:
    """Answers for the names it knows. What it knows, and where it fails, is for a subclass to say."""

    def __init__(self) -> None:
        self.address = ("127.0.0.1", 0)

    def at(self, name: str) -> Sequence[str] | None:
        """The records at a name, each ``"TYPE value"``; ``None`` where there is no such name."""
        raise NotImplementedError

    def enclosing(self, name: str) -> str:
        """The zone in which a name lies, or would; ``.`` where it is in none."""
        raise NotImplementedError

    def failure(self, name: str, kind: str, way: str) -> dns.rcode.Rcode | None:
        """What is answered in place of the truth; ``None`` where that is."""
        raise NotImplementedError

    def reply(self, query: dns.message.Message, way: str) -> dns.message.Message | None:
        """The answer to a question; ``None`` where there comes none."""
        question = query.question[0]
        name, kind = _plain(question.name), dns.rdatatype.to_text(question.rdtype)
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.RA
        failure = self.failure(name, kind, way)
        if failure is None:
            self.fill(reply, name, kind)
        else:
            reply.set_rcode(failure)
        return reply

    def fill(self, reply: dns.message.Message, name: str, kind: str) -> None:
        """Put what is there into an answer, following aliases."""
        for _ in range(MOST_LINKS):
            if renamed := self._renamed(reply, name):
                name = renamed
                continue
            found = self.at(name)
            texts = [text.partition(" ")[2] for text in found or () if text.startswith(f"{kind} ")]
            if texts:
                reply.answer.append(_rrset(name, kind, *texts))
                return
            alias = next((text.partition(" ")[2] for text in found or () if text.startswith("CNAME ")), "")
            if not alias or kind == "CNAME":
                break
            reply.answer.append(_rrset(name, "CNAME", alias))
            name = alias.rstrip(".").lower()
        if self.at(name) is None:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        reply.authority.append(_rrset(self.enclosing(name), "SOA", ". . 1 2 3 4 5"))

    def _renamed(self, reply: dns.message.Message, name: str) -> str:
        """What a DNAME above the name makes of it; empty where there is none."""
        for above in parents(name)[1:]:
            for text in self.at(above) or ():
                if text.startswith("DNAME "):
                    target = text.partition(" ")[2]
                    renamed = f"{name.removesuffix(above)}{target}"
                    reply.answer += [_rrset(above, "DNAME", target), _rrset(name, "CNAME", renamed)]
                    return renamed.rstrip(".").lower()
        return ""

    def answer(self, wire: bytes, way: str) -> bytes | None:
        """The bytes that answer a packet; ``None`` where nothing does."""
        query = dns.message.from_wire(wire)
        unchecked = bool(query.flags & dns.flags.CD and query.ednsflags & dns.flags.DO)  # as systemd-resolved has it
        reply = self.reply(query, UNCHECKED if unchecked else way)
        if reply is None:
            return None
        if way == BY_UDP and len(reply.to_wire(max_size=65535)) > MOST_BYTES:
            truncate(reply)
        return reply.to_wire(max_size=65535)

    @contextlib.asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator[Self]:
        """Serve it at ``address``, in the running loop; port 0 takes a free one. ``OSError`` if it cannot be had."""
        server, transport = await self._listening(port)
        try:
            yield self
        finally:
            transport.close()
            server.close()
            await server.wait_closed()

    async def _listening(self, port: int) -> tuple[asyncio.Server, asyncio.DatagramTransport]:
        """One port for both: what is free for TCP may be taken for UDP."""
        loop = asyncio.get_running_loop()
        while True:
            server = await asyncio.start_server(self._tcp, "127.0.0.1", port)
            self.address = ("127.0.0.1", server.sockets[0].getsockname()[1])
            try:
                transport, _ = await loop.create_datagram_endpoint(lambda: _Udp(self), local_addr=self.address)
            except OSError:
                server.close()
                await server.wait_closed()
                if port:
                    raise
            else:
                return server, transport

    async def _tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            length = int.from_bytes(await reader.readexactly(2), "big")
            wire = self.answer(await reader.readexactly(length), BY_TCP)
            if wire is not None:
                writer.write(len(wire).to_bytes(2, "big") + wire)
                await writer.drain()
        writer.close()


class ZoneResolver(Resolver):
    """Answers for the zones of a world."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def at(self, name: str) -> Sequence[str] | None:
        """What the zone itself has there, what its scenario says, and tokens."""
        if name == _DELEGATED or name.endswith(f".{_DELEGATED}"):
            return ()
        zone = self._zone(name)
        if zone is None:
            return () if name == "" else None
        named = self._named(zone)
        below = any(each.endswith(f".{name}") for each in named)  # a name between two others exists, and is empty
        return named.get(name, () if below else None)

    def enclosing(self, name: str) -> str:
        """The apex of the zone, or the root."""
        zone = self._zone(name)
        return zone.name if zone is not None else "."

    def failure(self, name: str, kind: str, way: str) -> dns.rcode.Rcode | None:  # noqa: ARG002  others go by the kind
        """As the faults of the zone have it; whoever wants no signatures checked is not told that they are broken."""
        fault = self._fault(name)
        if fault is None or (fault.kind == "bogus" and way == UNCHECKED):
            return None
        return dns.rcode.REFUSED if fault.kind == "refused" else dns.rcode.SERVFAIL

    def reply(self, query: dns.message.Message, way: str) -> dns.message.Message | None:
        """As ever, with the reason of a broken signature, and nothing at all where the name servers are silent."""
        fault = self._fault(_plain(query.question[0].name))
        if fault is not None and fault.kind == "silent":
            return None
        reply = super().reply(query, way)
        if reply is not None and fault is not None and fault.kind == "bogus" and reply.rcode() == dns.rcode.SERVFAIL:
            reply.use_edns(0, options=[dns.edns.EDEOption(dns.edns.EDECode.DNSSEC_BOGUS)])
        return reply

    def _zone(self, name: str) -> ZoneStart | None:
        """The zone in which a name lies: of two that enclose it, the longer one."""
        fitting = (zone for zone in self._world.zones.values() if f".{name}".endswith(f".{zone.name}"))
        return max(fitting, key=lambda zone: len(zone.name), default=None)

    def _fault(self, name: str) -> DnsFault | None:
        zone = self._zone(name)
        faults = zone.dns.faults if zone is not None else ()
        return next((each for each in faults if self._world.holds(each) and _covers(each.name, name)), None)

    def _named(self, zone: ZoneStart) -> dict[str, list[str]]:
        """All that there is in a zone now, by name."""
        names = {zone.name: ["NS bob.ns.cloudflare.com.", "NS lola.ns.cloudflare.com.", "A 203.0.113.10"]}
        for life in self._world.packs(zone.id):
            for host in life.hosts:
                names.setdefault(host.removeprefix("*."), ["A 203.0.113.10"])
        for record in zone.dns.records:
            if self._world.holds(record):
                names.setdefault(record.name or zone.name, []).append(f"{record.type} {record.value}")
        for name, token in self._world.placed(zone):
            names.setdefault(name, []).append(f'TXT "{token}"')
        return names


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]  # what it is
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        wire = self._resolver.answer(data, BY_UDP)
        if wire is not None and self._transport is not None:
            self._transport.sendto(wire, addr)


def parents(name: str) -> list[str]:
    """A name and all that it lies below, but for the root."""
    labels = name.split(".")
    return [".".join(labels[level:]) for level in range(len(labels))]


def truncate(reply: dns.message.Message) -> None:
    """Say only that the whole is to be had by TCP."""
    reply.answer.clear()
    reply.authority.clear()
    reply.flags |= dns.flags.TC


def _rrset(name: str, kind: str, *texts: str) -> dns.rrset.RRset:
    """Some records of one name and type."""
    return dns.rrset.from_text_list(dns.name.from_text(name), _TTL, dns.rdataclass.IN, kind, list(texts))


def _covers(above: str, name: str) -> bool:
    return not above or f".{name}".endswith(f".{above}")


def _plain(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower().removesuffix(".")
