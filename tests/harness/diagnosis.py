"""How a diagnosis is asked for in these tests: of responders on loopback, in real time, which is short."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from tests.harness.dns_server import Responder
from watchdog.diagnose.diagnoser import PackDiagnoser
from watchdog.diagnose.http_tokens import EVERYWHERE, Reach
from watchdog.model.findings import Finding
from watchdog.model.packs import NOTHING_KNOWN, Pack, Validation, ZoneFacts

T = TypeVar("T")
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
SHORT = timedelta(seconds=0.3)
"""For a resolver that is to be waited for in vain."""
PATIENT = timedelta(seconds=10)
"""For one that answers, however busy this machine is."""
TXT = Validation("txt")
FULL = ZoneFacts("example.com", "full", "active")
PARTIAL = ZoneFacts("example.com", "partial", "active", delegation="0123456789abcdef")


def pack(*hosts: str, ca: str = "lets_encrypt", status: str = "validation_timed_out", **more: object) -> Pack:
    whole = Pack("p", "z", "advanced", status, tuple(sorted(hosts)), ca, validation=TXT)
    return replace(whole, **more)


def story(
    tell: Callable[[PackDiagnoser], Awaitable[T]],
    *responders: Responder,
    timeout: timedelta | None = None,
    reach: Reach = EVERYWHERE,
    now: datetime | Callable[[], datetime] = NOW,
) -> T:
    """Let an diagnoser that asks these resolvers do something; nothing may be left running."""
    mute = any(odd in ("drop", "garbage") for responder in responders for odd in responder.odd.values())
    timeout = timeout or (SHORT if mute else PATIENT)

    async def whole() -> T:
        async with AsyncExitStack() as stack:
            for responder in responders:
                await stack.enter_async_context(responder.serving())
            diagnoser = PackDiagnoser(
                [responder.address for responder in responders],
                timeout,
                reach,
                now=now if callable(now) else lambda: now,
            )
            told = await tell(diagnoser)
            await diagnoser.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"left over: {left}"
        return told

    return asyncio.run(whole())


def diagnose(
    which: Pack, *responders: Responder, facts: ZoneFacts = NOTHING_KNOWN, **more: object
) -> tuple[Finding, ...]:
    """What is found of one pack."""
    return story(lambda diagnoser: diagnoser.diagnose(which, facts), *responders, **more)


def names(findings: tuple[Finding, ...]) -> set[tuple[str, str, str]]:
    return {(finding.name.value, finding.certainty.value, finding.host) for finding in findings}
