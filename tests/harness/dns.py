"""A DNS server that knows what a test tells it, and the diagnosis asked through it."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from tests.harness.time import SimulatedLoop, simulated
from watchdog.diagnose.diagnoser import PackDiagnoser
from watchdog.diagnose.http_tokens import EVERYWHERE, Reach
from watchdog.model.findings import Finding
from watchdog.model.packs import NOTHING_KNOWN, Pack, Validation, ZoneFacts

MOST_LINKS = 40


class Responder:
    """``records`` maps a name to its records, each as ``"TYPE value"``; ``odd`` maps a name to how it misbehaves.

    The name ``.`` stands for all. ``validated`` says that all signatures are good.
    """

    def __init__(
        self, records: dict[str, list[str]] | None = None, odd: dict[str, str] | None = None, *, validated: bool = False
    ) -> None:
        self.validated = validated
        self.records = records or {}
        self.odd = odd or {}
        self.asked: Counter[tuple[str, str, str]] = Counter()
        self.address = ("127.0.0.1", 0)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator["Responder"]:
        server, transport = await self._listening()
        try:
            yield self
        finally:
            transport.close()
            server.close()
            await server.wait_closed()

    async def _listening(self) -> tuple[asyncio.Server, asyncio.DatagramTransport]:
        """One port for both: what is free for TCP may be taken for UDP."""
        loop = asyncio.get_running_loop()
        while True:
            server = await asyncio.start_server(self._tcp, "127.0.0.1", 0)
            self.address = ("127.0.0.1", server.sockets[0].getsockname()[1])
            try:
                transport, _ = await loop.create_datagram_endpoint(lambda: _Udp(self), local_addr=self.address)
            except OSError:
                server.close()
                await server.wait_closed()
            else:
                return server, transport

    async def _tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = int.from_bytes(await reader.readexactly(2), "big")
        wire = self.answer(await reader.readexactly(length), "tcp")
        if wire is not None:
            writer.write(len(wire).to_bytes(2, "big") + wire)
            await writer.drain()
        writer.close()

    def answer(self, wire: bytes, transport: str) -> bytes | None:
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        unchecked = bool(query.flags & dns.flags.CD and query.ednsflags & dns.flags.DO)  # as systemd-resolved has it
        self.asked[name, kind, "unchecked" if unchecked else transport] += 1
        odd = self._odd(name, kind)
        if odd == "drop":
            return None
        if odd == "garbage":
            return b"\x00" * 40
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.RA
        if odd in ("servfail", "refused", "lame", "bogus-lame") or (odd in ("bogus", "bogus-ede") and not unchecked):
            reply.set_rcode(dns.rcode.REFUSED if odd == "refused" else dns.rcode.SERVFAIL)
            options: list[dns.edns.Option] = []
            if odd in ("bogus-ede", "bogus-lame"):
                options = [dns.edns.EDEOption(dns.edns.EDECode.SIGNATURE_EXPIRED, "sig\x1b[31m <b>old</b>\n")]
            if odd == "lame":
                options = [dns.edns.EDEOption(dns.edns.EDECode.NO_REACHABLE_AUTHORITY)]
            if options:
                reply.use_edns(0, options=options)
            return reply.to_wire()
        self._fill(reply, name, kind)
        if self.validated:
            reply.flags |= dns.flags.AD
        if odd == "no-soa":
            reply.authority.clear()
        if transport == "udp" and (odd == "truncate" or len(reply.to_wire(max_size=65535)) > 1232):
            reply.answer.clear()
            reply.authority.clear()
            reply.flags |= dns.flags.TC
        return reply.to_wire(max_size=65535)

    def _odd(self, name: str, kind: str) -> str:
        labels = name.split(".")
        for level in range(len(labels)):
            above = ".".join(labels[level:])
            for key in (f"{above} {kind}", above):
                if key in self.odd:
                    return self.odd[key]
        return self.odd.get(".", "")

    def _fill(self, reply: dns.message.Message, name: str, kind: str) -> None:
        for _ in range(MOST_LINKS):
            renamed = self._renamed(reply, name)
            if renamed:
                name = renamed
                continue
            found = self._at(name)
            texts = [text.partition(" ")[2] for text in found or [] if text.startswith(f"{kind} ")]
            if texts:
                reply.answer.append(_rrset(name, kind, *texts))
                return
            aliases = [text.partition(" ")[2] for text in found or [] if text.startswith("CNAME ")]
            if not aliases or kind == "CNAME":
                break
            reply.answer.append(_rrset(name, "CNAME", aliases[0]))
            name = aliases[0].rstrip(".").lower()
        if self._at(name) is None:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        zone = next(
            (above for above in _parents(name) if any(t.startswith("SOA") for t in self.records.get(above, []))), ""
        )
        soa = ". . 1 2 3 4 5"
        reply.authority.append(_rrset(zone or ".", "SOA", soa))

    def _renamed(self, reply: dns.message.Message, name: str) -> str:
        """What a DNAME above the name makes of it; empty where there is none."""
        for above in _parents(name)[1:]:
            for text in self.records.get(above, []):
                if text.startswith("DNAME "):
                    target = text.partition(" ")[2]
                    renamed = f"{name.removesuffix(above)}{target}"
                    reply.answer += [_rrset(above, "DNAME", target), _rrset(name, "CNAME", renamed)]
                    return renamed.rstrip(".").lower()
        return ""

    def _at(self, name: str) -> list[str] | None:
        """The records of a name, perhaps a wildcard's; ``None`` when there is no such name."""
        if name in self.records:
            return self.records[name]
        if any(known.endswith("." + name) for known in self.records):
            return []
        for above in _parents(name)[1:]:
            if f"*.{above}" in self.records:
                return self.records[f"*.{above}"]
            if above in self.records:
                return None
        return None


def _parents(name: str) -> list[str]:
    labels = name.split(".")
    return [".".join(labels[level:]) for level in range(len(labels))]


def _rrset(name: str, kind: str, *texts: str) -> dns.rrset.RRset:
    return dns.rrset.from_text_list(dns.name.from_text(name), 60, dns.rdataclass.IN, kind, list(texts))


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, responder: Responder) -> None:
        self.responder = responder
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        wire = self.responder.answer(data, "udp")
        if wire is not None:
            self.transport.sendto(wire, addr)


class DnsLoop(SimulatedLoop):
    """A loop in simulated time whose packets reach resolvers that need no socket, each ``responders`` by its address.

    There is no TCP here.
    """

    def __init__(self) -> None:
        self.responders: dict[Any, Responder] = {}
        super().__init__()

    def ask(self, address: Any, question: bytes) -> bytes | None:
        """What the resolver at ``address`` answers, if it does."""
        return self.responders[address].answer(question, "udp")

    async def create_datagram_endpoint(self, protocol_factory: Any, *_: Any, **more: Any) -> Any:
        """A packet to a resolver is answered in no time of this machine's."""
        protocol = protocol_factory()
        transport = _Packets(self, protocol, more["remote_addr"])
        protocol.connection_made(transport)
        return transport, protocol

    async def create_connection(self, *_: Any, **__: Any) -> Any:
        raise ConnectionRefusedError("there is no TCP here")


class _Packets(asyncio.DatagramTransport):
    def __init__(self, loop: DnsLoop, protocol: Any, remote: Any) -> None:
        super().__init__({"peername": remote, "sockname": ("127.0.0.1", 5)})
        self._loop, self._protocol, self._remote = loop, protocol, remote
        self._open = True

    def sendto(self, data: Any, addr: Any = None) -> None:
        address = addr or self._remote
        reply = self._loop.ask(address, data)
        if reply is not None:
            self._loop.call_later(0.02, self._arrive, reply, address)

    def _arrive(self, reply: bytes, addr: Any) -> None:
        if self._open:
            self._protocol.datagram_received(reply, addr)

    def close(self) -> None:
        self._open = False

    def is_closing(self) -> bool:
        return not self._open

    def abort(self) -> None:
        self.close()


T = TypeVar("T")
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
SHORT = timedelta(seconds=0.3)
"""For a resolver that is to be waited for in vain."""
PATIENT = timedelta(seconds=10)
"""For one that answers, however busy this machine is."""
TXT = Validation("txt")
FULL = ZoneFacts(name="example.com", type="full", status="active")
PARTIAL = ZoneFacts(name="example.com", type="partial", status="active", delegation="0123456789abcdef")


def pack(*hosts: str, ca: str = "lets_encrypt", status: str = "validation_timed_out", **more: object) -> Pack:
    whole = Pack(
        id="p",
        zone_id="z",
        type="advanced",
        status=status,
        hosts=tuple(sorted(hosts)),
        certificate_authority=ca,
        validation=TXT,
    )
    return replace(whole, **more)


def story(
    tell: Callable[[PackDiagnoser], Awaitable[T]],
    *responders: Responder,
    timeout: timedelta | None = None,
    reach: Reach = EVERYWHERE,
    now: datetime | Callable[[], datetime] = NOW,
    sockets: bool = False,
) -> T:
    """Let a diagnoser that asks these resolvers do something; nothing may be left running.

    In simulated time, where a silent resolver costs nobody's; with ``sockets``, in real time and by UDP and TCP.
    """
    mute = any(odd in ("drop", "garbage") for responder in responders for odd in responder.odd.values())
    timeout = timeout or (SHORT if mute else PATIENT)
    clock = now if callable(now) else lambda: now

    async def whole() -> T:
        async with AsyncExitStack() as stack:
            for number, responder in enumerate(responders, 1):
                if sockets:
                    await stack.enter_async_context(responder.serving())
                else:
                    responder.address = ("192.0.2.53", number)
                    loop.responders[responder.address] = responder
            diagnoser = PackDiagnoser([responder.address for responder in responders], timeout, reach, now=clock)
            told = await tell(diagnoser)
            await diagnoser.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"left over: {left}"
        return told

    if sockets:
        return asyncio.run(whole())
    loop = DnsLoop()
    return simulated(whole, loop)


def diagnose(
    which: Pack, *responders: Responder, facts: ZoneFacts = NOTHING_KNOWN, **more: object
) -> tuple[Finding, ...]:
    """What is found of one pack."""
    return story(lambda diagnoser: diagnoser.diagnose(which, facts), *responders, **more)


def names(findings: tuple[Finding, ...]) -> set[tuple[str, str, str]]:
    return {(finding.name.value, finding.certainty.value, finding.host) for finding in findings}
