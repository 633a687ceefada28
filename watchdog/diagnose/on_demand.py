"""A diagnoser that is made when it is first asked: importing dnspython costs 100 ms of CPU.

A fleet that is well never needs it, and ``once`` over such a fleet is what cron runs.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from watchdog.model.findings import Finding
from watchdog.model.packs import Pack, ZoneFacts

if TYPE_CHECKING:
    from watchdog.diagnose.diagnoser import PackDiagnoser


class OnDemand:
    """As ``PackDiagnoser``, which it makes with these arguments."""

    def __init__(self, resolvers: tuple[tuple[str, int], ...], timeout: timedelta, now: Callable[[], datetime]) -> None:
        self._resolvers, self._timeout, self._now = resolvers, timeout, now
        self._made: PackDiagnoser | None = None

    def begin_pass(self) -> None:
        """Ask everything anew from now on."""
        if self._made is not None:
            self._made.begin_pass()

    async def diagnose(
        self, pack: Pack, facts: ZoneFacts, delegation: Callable[[], Awaitable[str]]
    ) -> tuple[Finding, ...]:
        """What may keep this pack's validation from succeeding."""
        if self._made is None:
            from watchdog.diagnose.diagnoser import PackDiagnoser  # noqa: PLC0415  what this module is for

            self._made = PackDiagnoser(self._resolvers, self._timeout, now=self._now)
        return await self._made.diagnose(pack, facts, delegation)

    async def close(self) -> None:
        """Drop what is still being asked."""
        if self._made is not None:
            await self._made.close()
