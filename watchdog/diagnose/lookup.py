"""Questions to DNS resolvers: with ``answers`` and ``exchange``, the door for dnspython.

``Lookups`` holds one pass's questions: each is asked once per resolver, whoever wants to know, with a deadline of its
own and no more than ``AT_ONCE`` under way. A question never raises.

Before anything else each resolver is asked for the root's name servers, which every working one knows: one that brings
no answer is not asked again in this pass, so that a resolver that cannot be reached costs one deadline and not
thousands. A packet that may have been lost is sent once more within the deadline.

A SERVFAIL whose cause the resolver does not name is asked about a second time with DNSSEC checking disabled: if that
brings an answer, the signatures are what is broken.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.resolver

from watchdog.diagnose.responses import TOLD, UNTOLD, Answer, ResponseStatus, explained, read
from watchdog.diagnose.transport import PAYLOAD, exchange
from watchdog.model.text import clean

AT_ONCE = 64
"""Questions under way at the same time, over all packs of a pass."""


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
        self._greeted: asyncio.Task[tuple[Answer, ...]] | None = None

    async def ask(self, name: str, kind: str) -> tuple[Answer, ...]:
        """What each resolver says of ``name``, in the order of the resolvers.

        A caller that is cancelled leaves the question to the others who wait for it.
        """
        if self._greeted is None:
            self._greeted = self._asked["", "NS"] = asyncio.create_task(self._all(".", "NS", self.resolvers))
        greetings = await asyncio.shield(self._greeted)
        key = (name.rstrip(".").lower(), kind)
        task = self._asked.get(key)
        if task is None:
            awake = [one for one, hello in zip(self.resolvers, greetings, strict=True) if hello.status not in UNTOLD]
            task = self._asked[key] = asyncio.create_task(self._all(*key, awake))
        return await asyncio.shield(task)

    def silent(self) -> tuple[str, ...]:
        """The resolvers that do not answer anything."""
        greeted = self._greeted
        greetings = greeted.result() if greeted and greeted.done() and not greeted.cancelled() else ()
        return tuple(hello.resolver for hello in greetings if hello.status in UNTOLD)

    def busy(self) -> bool:
        """Whether something is still being asked."""
        return any(not task.done() for task in self._asked.values())

    async def close(self) -> None:
        """Drop what is still being asked."""
        tasks = list(self._asked.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _all(self, name: str, kind: str, awake: Sequence[tuple[str, int]]) -> tuple[Answer, ...]:
        told = [self._one(one, name, kind) if one in awake else _sleeps(one) for one in self.resolvers]
        return tuple(await asyncio.gather(*told))

    async def _one(self, resolver: tuple[str, int], name: str, kind: str) -> Answer:
        async with self._slots:
            try:
                answer, is_explained = await self._in_time(resolver, name, kind)
            except TimeoutError:
                return Answer(shown(resolver), ResponseStatus.TIMEOUT)
            except OSError as fault:
                return Answer(shown(resolver), ResponseStatus.SILENT, note=clean(fault.strerror or fault))
            except Exception as fault:  # noqa: BLE001  a stranger's bytes may break any parser; that is an answer too
                return Answer(shown(resolver), ResponseStatus.MALFORMED, note=clean(f"{type(fault).__name__}: {fault}"))
            if answer.status is ResponseStatus.SERVFAIL and not is_explained:
                with suppress(TimeoutError, dns.exception.DNSException, OSError):
                    unchecked, _ = await self._in_time(resolver, name, kind, checking=False)
                    if unchecked.status in TOLD:
                        note = "it answers only with DNSSEC checking disabled"
                        return replace(answer, status=ResponseStatus.BOGUS, note=note)
            return answer

    async def _in_time(
        self, resolver: tuple[str, int], name: str, kind: str, *, checking: bool = True
    ) -> tuple[Answer, bool]:
        """The answer, and whether the resolver explains its failure. Within the deadline, or a time-out is raised."""
        try:
            asked = dns.name.from_text(name)
        except (dns.exception.DNSException, ValueError) as fault:
            note = f"no name that DNS could hold: {clean(fault)}"
            return Answer(shown(resolver), ResponseStatus.MALFORMED, note=note), True
        query = dns.message.make_query(asked, kind, use_edns=0, payload=PAYLOAD)
        if not checking:
            query.flags |= dns.flags.CD
        async with asyncio.timeout(self._timeout):
            try:
                async with asyncio.timeout(self._timeout / 2):
                    message = await exchange(*resolver, query)
            except TimeoutError:
                message = await exchange(*resolver, query)
        return read(message, asked, kind, shown(resolver)), explained(message)


async def _sleeps(resolver: tuple[str, int]) -> Answer:
    return Answer(shown(resolver), ResponseStatus.SILENT)


def shown(resolver: tuple[str, int]) -> str:
    """A resolver as operators write it."""
    address, port = resolver
    if port == 53:  # noqa: PLR2004  DNS
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
