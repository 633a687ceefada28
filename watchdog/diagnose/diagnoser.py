"""★ The entrance of this room: ``PackDiagnoser.diagnose`` looks at one pack from every side and never raises.

Every side is looked at at the same time, each pack has a deadline, and what was found by then is what is told. Packs of
one pass share what was asked: ``begin_pass`` forgets it. Whatever goes wrong in here becomes a hint that the diagnosis
is incomplete, so that a restart goes on as it would without one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial

from msgspec.structs import replace

from watchdog.diagnose import caa, challenge, hosts, http_tokens, tokens, validation_errors, zone
from watchdog.diagnose.http_tokens import EVERYWHERE, Reach
from watchdog.diagnose.lookup import FailedBefore, Lookups
from watchdog.diagnose.resolvers import system_resolvers
from watchdog.model.findings import Certainty, Finding, FindingName
from watchdog.model.packs import FULL, NOTHING_KNOWN, PENDING_VALIDATION, Pack, ZoneFacts
from watchdog.model.text import defect

PATIENCE = 4
"""A pack's diagnosis may take this many times what one question may: CAA first, then the others, and two detours."""

MOST_FINDINGS = 200
"""Findings told of one pack; more say nothing new."""

_ORDER = {certainty: place for place, certainty in enumerate(Certainty)}
_Part = Coroutine[None, None, list[Finding]]


class PackDiagnoser:
    """Finds out why validations fail. ``resolvers`` are addresses and ports; none: those of the system.

    ``now`` is the time: what binds an authority depends on the date.
    """

    def __init__(
        self,
        resolvers: Sequence[tuple[str, int]],
        timeout: timedelta,
        reach: Reach = EVERYWHERE,
        *,
        now: Callable[[], datetime],
    ) -> None:
        self._resolvers = tuple(resolvers) or system_resolvers()
        self._timeout = timeout
        self._reach = reach
        self._now = now
        self._before = FailedBefore(now)
        self._lookups: Lookups | None = None
        self._past: set[Lookups] = set()

    @property
    def deadline(self) -> timedelta:
        """How long one diagnosis may take."""
        return PATIENCE * self._timeout

    def begin_pass(self) -> None:
        """Ask everything anew from now on. Diagnoses under way go on with what they have."""
        self._past = {lookups for lookups in self._past if lookups.busy()}
        if self._lookups is not None and self._lookups.busy():
            self._past.add(self._lookups)
        self._lookups = None

    async def close(self) -> None:
        """Drop what is still being asked."""
        self.begin_pass()
        for lookups in self._past:
            await lookups.close()

    async def diagnose(
        self, pack: Pack, facts: ZoneFacts = NOTHING_KNOWN, delegation: Callable[[], Awaitable[str]] | None = None
    ) -> tuple[Finding, ...]:
        """What may keep this pack's validation from succeeding, the certain first.

        ``delegation`` gives the delegation id of a full zone, whose facts come without: hardly any pack of one needs
        it, since Cloudflare places the tokens there itself.
        """
        try:
            return await self._diagnose(pack, facts, delegation)
        except Exception as fault:  # noqa: BLE001  a fault in here must never keep a restart from going on
            return (_incomplete(defect(fault)),)

    async def _diagnose(
        self, pack: Pack, facts: ZoneFacts, delegation: Callable[[], Awaitable[str]] | None
    ) -> tuple[Finding, ...]:
        found = [*validation_errors.said(pack.validation_errors), *zone.check_zone(pack, facts)]
        if not self._resolvers:
            return (*found, _incomplete("this machine has no DNS resolver, and none is configured"))
        if self._lookups is None:
            self._lookups = Lookups(self._resolvers, self._timeout, self._before)
        lookups = self._lookups
        sides = await self._in_time(self._parts(lookups, pack, facts))
        ask = delegation if facts.type == FULL and not facts.delegation else None
        if ask is not None and await challenge.may_be_delegated(lookups, pack, sides):
            # Asked for at no expense of the deadline, as it may have to wait; what DNS says is known by now.
            whole = replace(facts, delegation=await ask())
            sides = await self._in_time(self._parts(lookups, pack, whole))
        found += sides
        silent = lookups.silent()
        if len(silent) == len(self._resolvers):  # then no time-out says anything about the domain
            found = [one for one in found if one.name is not FindingName.DNS_TIMEOUT]
        found += [_silent(resolver) for resolver in silent]
        first: dict[tuple[object, ...], Finding] = {}
        for one in found:
            first.setdefault((one.name, one.host, one.record), one)
        return tuple(sorted(first.values(), key=lambda one: _ORDER[one.certainty]))[:MOST_FINDINGS]

    def _parts(self, lookups: Lookups, pack: Pack, facts: ZoneFacts) -> list[asyncio.Task[list[Finding]]]:
        """All sides. CAA is asked for first: what is learnt of other types may hide that it fails (``lookup``)."""
        bases, method, now = hosts.bases(pack.hosts), pack.validation.method, self._now()
        climbs = {base: asyncio.create_task(caa.check_caa(lookups, pack, facts, base, now)) for base in bases}
        parts = [*climbs.values(), *(_task(hosts.check_existence(lookups, pack, facts, base)) for base in bases)]
        asked = {base: self._asked(climb) for base, climb in climbs.items()}
        renewed = facts.type == "partial" and pack.expires_at is not None  # then HTTP comes first (``challenge``)

        def pages() -> _Part:
            return http_tokens.check_pages(lookups, pack, self._timeout, self._reach)

        look: asyncio.Future[list[Finding]]
        if method == "http" or renewed:
            parts.append(look := _task(self._after(asked.values(), pages)))
        else:
            look = asyncio.get_running_loop().create_future()
            look.set_result([])
        for base in bases if method == "http" else ():
            side = partial(http_tokens.check_addresses, lookups, base)
            parts.append(_task(self._after([asked[base]], side)))
        for base in bases if method in challenge.BY_NAME else ():
            side = partial(challenge.check_challenge, lookups, pack, facts, base, look)
            parts.append(_task(self._after([asked[base]], side)))
        if pack.status == PENDING_VALIDATION:
            parts.append(_task(self._after(asked.values(), lambda: tokens.all_placed(lookups, pack))))
        return parts

    def _asked(self, climb: asyncio.Task[list[Finding]]) -> asyncio.Future[None]:
        """Done once CAA was asked for, or has had the time of one question."""
        loop = asyncio.get_running_loop()
        over: asyncio.Future[None] = loop.create_future()

        def end(*_: object) -> None:
            timer.cancel()
            if not over.done():
                over.set_result(None)

        timer = loop.call_later(self._timeout.total_seconds(), end)
        climb.add_done_callback(end)
        return over

    async def _after(self, first: Iterable[asyncio.Future[None]], side: Callable[[], _Part]) -> list[Finding]:
        """One side, once others are as far."""
        for each in first:
            await each
        return await side()

    async def _in_time(self, tasks: list[asyncio.Task[list[Finding]]]) -> list[Finding]:
        """What all parts found, in their order, or those that were done in time."""
        if not tasks:  # it has no hosts
            return []
        try:
            await asyncio.wait(tasks, timeout=self.deadline.total_seconds())
        finally:
            if late := [task for task in tasks if not task.done()]:
                for task in late:
                    task.cancel()
                await asyncio.gather(*late, return_exceptions=True)
        done = [task for task in tasks if not task.cancelled()]
        found = [one for task in done if task.exception() is None for one in task.result()]
        found += [_incomplete(defect(fault)) for task in done if isinstance(fault := task.exception(), Exception)][:1]
        if late:
            found.append(_incomplete(f"it was not done within {self.deadline.total_seconds():g} s"))
        return found


def _task(part: _Part) -> asyncio.Task[list[Finding]]:
    return asyncio.create_task(part)


def _incomplete(why: str) -> Finding:
    says = f"The diagnosis is incomplete: {why}."
    return Finding(
        name=FindingName.INCOMPLETE,
        certainty=Certainty.HINT,
        host="",
        says=says,
        remedy="Look again later; restarts go on without it.",
    )


def _silent(resolver: str) -> Finding:
    says = f"The resolver {resolver} does not answer."
    remedy = "See that it can be reached from here (UDP and TCP, port 53), or configure another under diagnosis."
    return Finding(name=FindingName.RESOLVER_SILENT, certainty=Certainty.HINT, host="", says=says, remedy=remedy)
