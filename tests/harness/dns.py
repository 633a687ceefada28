"""A DNS server that knows what a test tells it, and the diagnosis asked through it."""

import asyncio
import os
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype

from tests.harness.time import SimulatedLoop, simulated
from tests.harness.values import replace
from watchdog.diagnose.diagnoser import PackDiagnoser
from watchdog.diagnose.http_tokens import EVERYWHERE, Reach
from watchdog.model.findings import Finding
from watchdog.model.packs import NOTHING_KNOWN, Pack, Validation, ZoneFacts
from watchdog.simulator.resolver import BY_TCP, BY_UDP, UNCHECKED, Resolver, parents, truncate


class Responder(Resolver):
    """``records`` maps a name to its records, each as ``"TYPE value"``; ``odd`` maps a name to how it misbehaves.

    The name ``.`` stands for all. ``validated`` says that all signatures are good.
    """

    def __init__(
        self, records: dict[str, list[str]] | None = None, odd: dict[str, str] | None = None, *, validated: bool = False
    ) -> None:
        super().__init__()
        self.validated = validated
        self.records = records or {}
        self.odd = odd or {}
        self.asked: Counter[tuple[str, str, str]] = Counter()
        self.takes = 0.02  # seconds; for the last question, in simulated time

    def answer(self, wire: bytes, way: str) -> bytes | None:
        question = dns.message.from_wire(wire).question[0]
        odd = self._odd(question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype))
        return b"\x00" * 40 if odd == "garbage" else super().answer(wire, way)

    def reply(self, query: dns.message.Message, way: str) -> dns.message.Message | None:
        name = query.question[0].name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(query.question[0].rdtype)
        odd = self._odd(name, kind)
        self.asked[name, kind, way] += 1
        if odd == "drop":
            return None
        reply = super().reply(query, way)
        assert reply is not None
        if reply.rcode() == dns.rcode.SERVFAIL and odd in ("bogus-ede", "bogus-lame"):
            option = dns.edns.EDEOption(dns.edns.EDECode.SIGNATURE_EXPIRED, "sig\x1b[31m <b>old</b>\n")
            reply.use_edns(0, options=[option])
        elif reply.rcode() == dns.rcode.SERVFAIL and odd == "lame":
            reply.use_edns(0, options=[dns.edns.EDEOption(dns.edns.EDECode.NO_REACHABLE_AUTHORITY)])
        elif self.validated and reply.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            reply.flags |= dns.flags.AD
        if odd == "no-soa":
            reply.authority.clear()
        if odd == "truncate" and way != BY_TCP:
            truncate(reply)
        return reply

    def failure(self, name: str, kind: str, way: str) -> dns.rcode.Rcode | None:
        odd = self._odd(name, kind)
        if odd in ("servfail", "lame", "bogus-lame") or (odd in ("bogus", "bogus-ede") and way != UNCHECKED):
            return dns.rcode.SERVFAIL
        return dns.rcode.REFUSED if odd == "refused" else None

    def at(self, name: str) -> list[str] | None:
        """The records of a name, perhaps a wildcard's; ``None`` when there is no such name."""
        if name in self.records:
            return self.records[name]
        if any(known.endswith("." + name) for known in self.records):
            return []
        for above in parents(name)[1:]:
            if f"*.{above}" in self.records:
                return self.records[f"*.{above}"]
            if above in self.records:
                return None
        return None

    def enclosing(self, name: str) -> str:
        tops = ("SOA", "NS ")  # a zone begins there: whoever asks below is referred to its own servers
        zones = (above for above in parents(name) if any(t.startswith(tops) for t in self.records.get(above, [])))
        return next(zones, ".")

    def _odd(self, name: str, kind: str) -> str:
        for above in parents(name):
            for key in (f"{above} {kind}", above):
                if key in self.odd:
                    return self.odd[key]
        return self.odd.get(".", "")


class DnsLoop(SimulatedLoop):
    """A loop in simulated time whose packets reach resolvers that need no socket, each ``responders`` by its address.

    There is no TCP here.
    """

    def __init__(self) -> None:
        self.responders: dict[Any, Responder] = {}
        self._theirs: dict[int, tuple[Any, socket.socket]] = {}  # by our end: whose address it is, and the other end
        self._told: dict[int, Callable[[], object]] = {}
        super().__init__()

    def ask(self, address: Any, question: bytes) -> bytes | None:
        """What the resolver at ``address`` answers, if it does."""
        return self.responders[address].answer(question, BY_UDP)

    def takes(self, address: Any) -> float:
        """After how many seconds it answers."""
        return self.responders[address].takes

    async def sock_sendall(self, sock: Any, data: Any) -> None:
        """A packet to a resolver is answered in no time of this machine's, and never leaves it."""
        number = sock.fileno()
        if number not in self._theirs:  # from now on it leads here
            address = sock.getpeername()
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
            os.dup2(ours.fileno(), number, inheritable=False)
            ours.close()
            os.set_blocking(number, False)
            self._theirs[number] = address, theirs
        address, theirs = self._theirs[number]
        reply = self.ask(address, data)
        if reply is not None:
            self.call_later(self.takes(address), self._reply, number, theirs, reply)

    def _reply(self, number: int, theirs: socket.socket, reply: bytes) -> None:
        if self._theirs.get(number, (None, None))[1] is theirs:  # else nobody listens any more
            theirs.send(reply)
            self._told[number]()

    def add_reader(self, fd: Any, callback: Callable[..., object], *args: Any) -> None:
        """Nobody here has other sockets than those to resolvers."""
        self._told[fd] = lambda: callback(*args)

    def remove_reader(self, fd: Any) -> bool:
        """What a resolver still says is heard by nobody."""
        _, theirs = self._theirs.pop(fd, (None, None))
        if theirs is not None:
            theirs.close()
        return self._told.pop(fd, None) is not None

    async def create_connection(self, *_: Any, **__: Any) -> Any:
        raise ConnectionRefusedError("there is no TCP here")


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
                    responder.address = ("127.0.0.53", number)
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
    which: Pack,
    *responders: Responder,
    facts: ZoneFacts = NOTHING_KNOWN,
    delegation: Callable[[], Awaitable[str]] | None = None,
    **more: object,
) -> tuple[Finding, ...]:
    """What is found of one pack."""
    return story(lambda diagnoser: diagnoser.diagnose(which, facts, delegation), *responders, **more)


def names(findings: tuple[Finding, ...]) -> set[tuple[str, str, str]]:
    return {(finding.name.value, finding.certainty.value, finding.host) for finding in findings}
