"""★ The entrance of this room: ``PackDiagnoser.diagnose`` looks at one pack from every side and never raises.

Every side is looked at at the same time, each pack has a deadline, and what was found by then is what is told. Packs of
one pass share what was asked: ``begin_pass`` forgets it. Whatever goes wrong in here becomes a hint that the diagnosis
is incomplete, so that a restart goes on as it would without one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from datetime import datetime, timedelta

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
        sides = await self._sides(lookups, pack, facts)
        ask = delegation if facts.type == FULL and not facts.delegation else None
        if ask is not None and await challenge.may_be_delegated(lookups, pack, sides):
            # Asked for at no expense of the deadline, as it may have to wait; what DNS says is known by now.
            whole = replace(facts, delegation=await ask())
            sides = await self._sides(lookups, pack, whole)
        found += sides
        silent = lookups.silent()
        if len(silent) == len(self._resolvers):  # then no time-out says anything about the domain
            found = [one for one in found if one.name is not FindingName.DNS_TIMEOUT]
        found += [_silent(resolver) for resolver in silent]
        first: dict[tuple[object, ...], Finding] = {}
        for one in found:
            first.setdefault((one.name, one.host, one.record), one)
        return tuple(sorted(first.values(), key=lambda one: _ORDER[one.certainty]))[:MOST_FINDINGS]

    async def _sides(self, lookups: Lookups, pack: Pack, facts: ZoneFacts) -> list[Finding]:
        """What all sides found, in their order, or those that were done in time.

        CAA is asked for first: what is learnt of other types may hide that it fails (``lookup``). The others wait for
        that, but for no longer than one question may take.
        """
        now, until = asyncio.get_running_loop().time, asyncio.get_running_loop().time() + self.deadline.total_seconds()
        bases = hosts.bases(pack.hosts)
        tasks = [_task(self._existence(lookups, pack, facts, base)) for base in bases]
        if not tasks:  # it has no hosts
            return []
        try:
            await _wait(tasks, self._timeout.total_seconds())
            tasks += self._others(lookups, pack, facts, bases)
            await _wait(tasks, until - now())
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

    async def _existence(self, lookups: Lookups, pack: Pack, facts: ZoneFacts, base: str) -> list[Finding]:
        """What CAA says of a name, and whether there is one: for both, the same is asked first."""
        missing = await hosts.check_existence(lookups, pack, facts, base)
        return await caa.check_caa(lookups, pack, facts, base, self._now()) + missing

    def _others(
        self, lookups: Lookups, pack: Pack, facts: ZoneFacts, bases: Iterable[str]
    ) -> list[asyncio.Task[list[Finding]]]:
        method = pack.validation.method
        renewed = facts.type == "partial" and pack.expires_at is not None  # then HTTP comes first (``challenge``)
        parts, look = list[asyncio.Task[list[Finding]]](), None
        if method == "http" or renewed:
            parts.append(look := _task(http_tokens.check_pages(lookups, pack, self._timeout, self._reach)))
        if method == "http":
            parts += [_task(http_tokens.check_addresses(lookups, base)) for base in bases]
        if method in challenge.BY_NAME:
            parts += [_task(challenge.check_challenge(lookups, pack, facts, base, look)) for base in bases]
        if pack.status == PENDING_VALIDATION:
            parts.append(_task(tokens.all_placed(lookups, pack)))
        return parts


async def _wait(tasks: list[asyncio.Task[list[Finding]]], seconds: float) -> None:
    if waited := [task for task in tasks if not task.done()]:
        await asyncio.wait(waited, timeout=max(0.0, seconds))


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
