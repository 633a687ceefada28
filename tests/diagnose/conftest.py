"""How a diagnosis is asked for in these tests: against responders on loopback, in real time, which is short."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from responder import Responder

from watchdog.diagnose.examiner import Examiner
from watchdog.diagnose.pages import EVERYWHERE, Reach
from watchdog.model.findings import Finding
from watchdog.model.packs import NOTHING_KNOWN, Pack, ZoneFacts

SHORT = timedelta(seconds=0.3)


def diagnose(
    pack: Pack,
    *responders: Responder,
    facts: ZoneFacts = NOTHING_KNOWN,
    timeout: timedelta = SHORT,
    reach: Reach = EVERYWHERE,
) -> tuple[Finding, ...]:
    """What an examiner that asks these resolvers finds; nothing may be left running."""

    async def story() -> tuple[Finding, ...]:
        async with asyncio.TaskGroup() as group:
            stop = asyncio.Event()
            ready = [asyncio.Event() for _ in responders]
            for responder, up in zip(responders, ready, strict=True):
                group.create_task(serve(responder, up, stop))
            for up in ready:
                await up.wait()
            examiner = Examiner([responder.address for responder in responders], timeout, reach)
            found = await examiner.diagnose(pack, facts)
            await examiner.close()
            stop.set()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"left over: {left}"
        return found

    return asyncio.run(story())


async def serve(responder: Responder, up: asyncio.Event, stop: asyncio.Event) -> None:
    async with responder.serving():
        up.set()
        await stop.wait()


@pytest.fixture
def examine() -> Any:
    return diagnose
