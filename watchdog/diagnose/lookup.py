"""Questions to DNS resolvers: with ``message``, ``resolvers``, ``responses`` and ``transport``, the door for dnspython.

``Lookups`` holds one pass's questions: each is asked once per resolver, whoever wants to know, with a deadline of its
own and no more than ``AT_ONCE`` under way. A question never raises. A packet that may have been lost is sent once more
within the deadline.

A failure is looked into, for at most as long again. With DNSSEC checking disabled an answer may come: then the
signatures are what is broken, unless the resolver answers from what it had cached. And an alias may lead in a circle or
to a name that fails: its links are asked for one by one, which every resolver answers.

A resolver that waited in vain for a name server may fail whatever else would go there, for a moment: a question that
fails quickly just after that is asked again.

In a zone signed with NSEC a resolver may answer a question from the proof that came with the answer to another: after a
question for TXT below a host, "the host has no CAA records", though its name servers would refuse to say. So whoever
uses this asks for CAA first, and a CAA question that once failed goes on failing while only such proofs say otherwise.
"""

import asyncio
import math
from collections import defaultdict
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import dns.exception
import msgspec
from msgspec.structs import replace

from watchdog.diagnose.resolvers import Hearing
from watchdog.diagnose.responses import BROKEN, MOST_LINKS, TOLD, UNTOLD, Answer, ResponseStatus
from watchdog.diagnose.transport import Way, question
from watchdog.model.text import clean

AT_ONCE = 64
"""Questions under way at the same time, over all packs of a pass."""

STANDS_FOR = timedelta(hours=1)
"""How long a failed CAA question is believed more than a cached proof: resolvers keep those about as long."""


SLOW, RESTS, RESTED = 1.0, 2.0, 2.2
"""Seconds: where a question took so long in vain, a quick failure of another within so many may be of the resolver's
own making; and how long to wait before that is asked again. Knot fails all for one second, and remembers each failure
for one more (findings/knot-fails-what-follows-a-dropped-question.sh)."""


class _Failure(msgspec.Struct, frozen=True):
    answer: Answer
    at: datetime


class FailedBefore:
    """The CAA questions that failed, over the passes. ``now`` is the time."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._failures: dict[tuple[str, str], _Failure] = {}

    def weighed(self, name: str, answer: Answer) -> Answer:
        """An answer to a CAA question, or the failure that it does not outweigh."""
        key, now = (answer.resolver, name), self._now()
        self._forget(now)
        proof = answer.validated and answer.status in (ResponseStatus.EMPTY, ResponseStatus.MISSING)
        if answer.status in UNTOLD:
            return answer
        if proof and key in self._failures:
            return self._failures[key].answer
        self._failures.pop(key, None)
        if answer.status in BROKEN:
            self._failures[key] = _Failure(answer, now)
        return answer

    def _forget(self, now: datetime) -> None:
        """The oldest come first."""
        while self._failures:
            key = next(iter(self._failures))
            if self._failures[key].at <= now < self._failures[key].at + STANDS_FOR:
                break
            del self._failures[key]


class _Asked:
    """A question under way, or its answers. Each who waits has a future of its own, so that one may stop waiting.

    That is what ``asyncio.shield`` is for, at three times the turns of the loop: six for each pack in trouble.
    """

    def __init__(self, said: Coroutine[Any, Any, tuple[Answer, ...]]) -> None:
        self.task = asyncio.create_task(said)
        self.task.add_done_callback(self._tell)
        self._waiting: list[asyncio.Future[None]] = []

    async def answers(self) -> tuple[Answer, ...]:
        """What is said; raises what the question raised, a cancellation too."""
        if not self.task.done():
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            await waiting
        return self.task.result()

    def _tell(self, _: asyncio.Task[tuple[Answer, ...]]) -> None:
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)
        self._waiting.clear()


class Lookups:
    """One pass's questions to a fixed set of resolvers."""

    def __init__(self, resolvers: Sequence[tuple[str, int]], timeout: timedelta, before: FailedBefore) -> None:
        self.resolvers = tuple(resolvers)
        self._timeout = timeout.total_seconds()
        self._before = before
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._asked: dict[tuple[str, str], _Asked] = {}
        self._ways = [(Way(one), Hearing()) for one in self.resolvers]
        self._greetings: asyncio.Future[list[None]] | None = None
        self._closed = False
        self._names_zones: set[str] = set()
        self._gave_up: defaultdict[str, float] = defaultdict(lambda: -math.inf)
        self._under_way: defaultdict[str, list[float]] = defaultdict(list)  # since when each question is

    async def ask(self, name: str, kind: str) -> tuple[Answer, ...]:
        """What each resolver says of ``name``, in the order of the resolvers.

        A caller that is cancelled leaves the question to the others who wait for it. Once closed, nobody says anything.
        """
        if self._closed:
            return tuple(Answer(resolver=way.by, status=ResponseStatus.SILENT) for way, _ in self._ways)
        if self._greetings is None:
            greetings = (self._greet(way, known) for way, known in self._ways)
            self._greetings = asyncio.ensure_future(asyncio.gather(*greetings))
        key = (name.rstrip(".").lower(), kind)
        asked = self._asked.get(key)
        if asked is None:
            asked = self._asked[key] = _Asked(self._said(*key))
        return await asked.answers()

    async def proven(self, answers: Sequence[Answer]) -> list[Answer]:
        """Those answers that say what is in DNS, and prove it where they say that nothing is there.

        An empty answer that names no zone comes from a server that does not know the zone (a lame delegation). Only a
        resolver that never names one (a forwarder that leaves it out) is believed without.
        """
        bare = [one for one in answers if one.status is ResponseStatus.EMPTY and not one.enclosing]
        if bare and any(one.resolver not in self._names_zones for one in bare):
            await self.ask(".", "TXT")  # there is none, and whoever says so as one should, names the root
        lame = {id(one) for one in bare if one.resolver in self._names_zones}
        return [one for one in answers if one.status in TOLD and id(one) not in lame]

    async def work(self, name: str) -> bool:
        """Whether every resolver gets an answer for what is at the top of a name, so that it does not fail for all."""
        return all(one.status in TOLD for one in await self.ask(name.rstrip(".").rpartition(".")[2], "SOA"))

    def silent(self) -> tuple[str, ...]:
        """The resolvers that do not answer anything."""
        return tuple(way.by for way, known in self._ways if known.silent)

    def busy(self) -> bool:
        """Whether something is still being asked."""
        return any(not task.done() for task in self._tasks())

    async def close(self) -> None:
        """Drop what is still being asked, and ask nothing more."""
        self._closed, tasks = True, self._tasks()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _tasks(self) -> list[asyncio.Future[Any]]:
        greetings = [] if self._greetings is None else [self._greetings]
        return [*greetings, *(asked.task for asked in self._asked.values())]

    async def _greet(self, way: Way, known: Hearing) -> None:
        hello = await self._one(way, ".", "NS")
        known.greeted(answered=hello.status not in UNTOLD)

    async def _said(self, name: str, kind: str) -> tuple[Answer, ...]:
        said = [self._heard(way, known, name, kind) for way, known in self._ways]
        return (await said[0],) if len(said) == 1 else tuple(await asyncio.gather(*said))

    async def _heard(self, way: Way, known: Hearing, name: str, kind: str) -> Answer:
        if not await known.may_ask(name):
            return Answer(resolver=way.by, status=ResponseStatus.SILENT)
        answer = await self._asked_of(way, name, kind)
        known.asked(name, answered=answer.status not in UNTOLD)
        if answer.status in (ResponseStatus.SERVFAIL, ResponseStatus.BOGUS):
            with suppress(TimeoutError, dns.exception.DNSException, OSError):
                async with self._slots, asyncio.timeout(self._timeout):
                    answer = await self._looked_into(way, name, kind, answer)
        if answer.enclosing:
            self._names_zones.add(answer.resolver)
        return self._before.weighed(name, answer) if kind == "CAA" else answer

    async def _asked_of(self, way: Way, name: str, kind: str) -> Answer:
        """The answer of a resolver, asked again where its failure says nothing of the question.

        Knot waits four seconds for a name server that drops one question, and then fails all others to it for a second.
        """
        now, by = asyncio.get_running_loop().time, way.by
        began, under_way = now(), self._under_way[by]
        under_way.append(began)
        try:
            answer = await self._one(way, name, kind)
        finally:
            under_way.remove(began)
        if answer.status in (ResponseStatus.SERVFAIL, ResponseStatus.TIMEOUT) and now() - began >= SLOW:
            self._gave_up[by] = now()
        elif answer.status is ResponseStatus.SERVFAIL and (
            began - self._gave_up[by] < RESTS or any(began - other >= SLOW for other in under_way)
        ):
            await asyncio.sleep(RESTED)  # noqa: TID251  the loop's time, as the deadlines here are
            answer = await self._one(way, name, kind)
        return answer

    async def _one(self, way: Way, name: str, kind: str) -> Answer:
        async with self._slots:
            try:
                return await self._in_time(way, name, kind)
            except TimeoutError:
                return Answer(resolver=way.by, status=ResponseStatus.TIMEOUT)
            except OSError as fault:
                return Answer(resolver=way.by, status=ResponseStatus.SILENT, note=clean(fault.strerror or fault))
            except Exception as fault:  # noqa: BLE001  a stranger's bytes may break any parser; that is an answer too
                note = clean(f"{type(fault).__name__}: {fault}")
                return Answer(resolver=way.by, status=ResponseStatus.MALFORMED, note=note)

    async def _looked_into(self, way: Way, name: str, kind: str, answer: Answer) -> Answer:
        """A failure, with what else can be found out of it."""
        vague = answer.status is ResponseStatus.SERVFAIL and not answer.explained
        if vague or answer.status is ResponseStatus.BOGUS:
            unchecked = await self._in_time(way, name, kind, checking=False)
            found = unchecked.status is ResponseStatus.FOUND
            if unchecked.status in TOLD:
                # Nothing there? That may be a cached proof: then other questions about the name go well.
                again = await self._in_time(way, name, kind if found else "SOA") if vague else answer
                if again.status not in TOLD:
                    note = answer.note or "no cause is given, but with DNSSEC checking disabled it answers"
                    chain = answer.chain or unchecked.chain
                    return replace(answer, status=ResponseStatus.BOGUS, note=note, chain=chain, confirmed=True)
                if found:
                    return again
        return answer if answer.status is ResponseStatus.BOGUS else await self._walked(way, name, answer)

    async def _walked(self, way: Way, name: str, answer: Answer) -> Answer:
        """A failure with the aliases that lead to what fails, each asked for by itself."""
        chain: list[str] = []
        while len(chain) < MOST_LINKS:
            link = await self._in_time(way, chain[-1] if chain else name, "CNAME")
            if link.status is not ResponseStatus.FOUND:
                return replace(answer, chain=tuple(chain)) if chain else answer
            chain.append(link.values[0])
            if chain[-1] in (name, *chain[:-1]):
                break
        return replace(answer, status=ResponseStatus.LOOP, chain=tuple(chain))

    async def _in_time(self, way: Way, name: str, kind: str, *, checking: bool = True) -> Answer:
        """The answer, within the deadline, or a time-out is raised."""
        try:
            asked = question(name, kind, checking=checking)
        except (dns.exception.DNSException, ValueError) as fault:
            note = f"no name that DNS could hold: {clean(fault)}"
            return Answer(resolver=way.by, status=ResponseStatus.MALFORMED, note=note)
        try:
            return await way.ask(asked, self._timeout / 2)
        except TimeoutError:
            return await way.ask(asked, self._timeout / 2, alone=True)
