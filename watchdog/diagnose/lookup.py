"""Questions to DNS resolvers: with ``answers``, the door for dnspython.

``Lookups`` holds one pass's questions: each is asked once per resolver, whoever wants to know, with a deadline of its
own and no more than ``AT_ONCE`` under way. A question never raises.

A SERVFAIL whose cause the resolver does not name is asked about a second time with DNSSEC checking disabled: if that
brings an answer, the signatures are what is broken.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.resolver

from watchdog.diagnose.answers import Answer, Status, explained, read
from watchdog.model.text import clean

AT_ONCE = 64
"""Questions under way at the same time, over all packs of a pass."""

SILENT_AFTER = 4
"""A resolver that has never answered in a pass and left this many questions open is not asked again in it."""

_PAYLOAD = 1232  # bytes that pass everywhere in one UDP packet; a longer answer is fetched by TCP


def system_resolvers() -> tuple[tuple[str, int], ...]:
    """Those this machine is set up with; none when it has none."""
    try:
        found = dns.resolver.Resolver(configure=True)
    except (dns.exception.DNSException, OSError):
        return ()
    return tuple((str(address), found.port) for address in found.nameservers)


class Lookups:
    """One pass's questions to a fixed set of resolvers."""

    def __init__(self, resolvers: Sequence[tuple[str, int]], timeout: timedelta) -> None:
        self.resolvers = tuple(resolvers)
        self._timeout = timeout.total_seconds()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._asked: dict[tuple[str, str], asyncio.Task[tuple[Answer, ...]]] = {}
        self._spoke: set[tuple[str, int]] = set()
        self._unanswered = dict.fromkeys(self.resolvers, 0)

    async def ask(self, name: str, kind: str) -> tuple[Answer, ...]:
        """What each resolver says of ``name``, in the order of the resolvers.

        A caller that is cancelled leaves the question to the others who wait for it.
        """
        key = (name.rstrip(".").lower(), kind)
        task = self._asked.get(key)
        if task is None:
            task = self._asked[key] = asyncio.create_task(self._all(*key))
        return await asyncio.shield(task)

    def silent(self) -> tuple[str, ...]:
        """The resolvers that have not answered anything."""
        return tuple(shown(one) for one in self.resolvers if self._is_silent(one))

    def busy(self) -> bool:
        """Whether something is still being asked."""
        return any(not task.done() for task in self._asked.values())

    async def close(self) -> None:
        """Drop what is still being asked."""
        tasks = list(self._asked.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _all(self, name: str, kind: str) -> tuple[Answer, ...]:
        return tuple(await asyncio.gather(*(self._one(one, name, kind) for one in self.resolvers)))

    async def _one(self, resolver: tuple[str, int], name: str, kind: str) -> Answer:
        async with self._slots:
            if self._is_silent(resolver):
                return Answer(shown(resolver), Status.SILENT, note="it has not answered any question of this pass")
            try:
                async with asyncio.timeout(self._timeout):
                    answer = await _question(resolver, name, kind)
            except (TimeoutError, dns.exception.Timeout):
                self._unanswered[resolver] += 1
                return Answer(shown(resolver), Status.TIMEOUT)
            except OSError as fault:
                self._unanswered[resolver] += 1
                return Answer(shown(resolver), Status.SILENT, note=clean(fault.strerror or fault))
            except Exception as fault:  # noqa: BLE001  a stranger's bytes may break any parser; that is an answer too
                return Answer(shown(resolver), Status.MALFORMED, note=clean(f"{type(fault).__name__}: {fault}"))
            self._spoke.add(resolver)
            return answer

    def _is_silent(self, resolver: tuple[str, int]) -> bool:
        return resolver not in self._spoke and self._unanswered[resolver] >= SILENT_AFTER


def shown(resolver: tuple[str, int]) -> str:
    """A resolver as operators write it."""
    address, port = resolver
    if port == 53:  # noqa: PLR2004  DNS
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


async def _question(resolver: tuple[str, int], name: str, kind: str) -> Answer:
    try:
        asked = dns.name.from_text(name)
    except (dns.exception.DNSException, UnicodeError, ValueError) as fault:
        return Answer(shown(resolver), Status.MALFORMED, note=f"no name that DNS could hold: {clean(fault)}")
    message = await _exchange(resolver, asked, kind, checking=True)
    answer = read(message, asked, kind, shown(resolver))
    if answer.status is Status.SERVFAIL and not explained(message):
        unchecked = await _exchange(resolver, asked, kind, checking=False)
        if unchecked.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            note = "it answers only with DNSSEC checking disabled"
            return replace(answer, status=Status.BOGUS, note=note)
    return answer


async def _exchange(
    resolver: tuple[str, int], name: dns.name.Name, kind: str, *, checking: bool
) -> dns.message.Message:
    query = dns.message.make_query(name, kind, use_edns=0, payload=_PAYLOAD)
    if not checking:
        query.flags |= dns.flags.CD
    address, port = resolver
    # Packets that do not belong to the question are passed over: whoever forges them must not end the wait.
    message, _ = await dns.asyncquery.udp_with_fallback(
        query, address, port=port, ignore_unexpected=True, ignore_errors=True, ignore_trailing=True
    )
    return message
