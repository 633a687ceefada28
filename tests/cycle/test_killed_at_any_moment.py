"""The process ends without a word at each moment at which the world could see a difference, and starts again.

What a process leaves behind are requests that arrived and transactions that were written. So it is killed before and
after each of these around a restart: whatever it had reached, no second PATCH goes within the backoff, no attempt is
lost, and the pack is restarted in the end.
"""

import asyncio
import shutil
from itertools import count, pairwise

import pytest

from tests.harness.fleet import timed_out
from tests.harness.time import Death, in_simulated_time
from watchdog.simulator.scenario import Fault

ZONE = "a.example"
CONFIG = {
    "restart": {"backoff": {"initial": "15m", "jitter": 0.0}},
    "schedule": {"attention_interval": "5m"},
}
UNDER_ANOTHER_ID = "accepted, and there under another id"
ANSWERS = {
    "accepted": None,
    UNDER_ANOTHER_ID: None,
    "answer lost": {"kind": "reset", "method": "PATCH", "nth": 1, "takes_effect": True},
    "request lost": {"kind": "reset", "method": "PATCH", "nth": 1},
    "broken page": {"kind": "html_error", "status": 502, "method": "PATCH", "nth": 1, "takes_effect": True},
    "refused": {"kind": "json_error", "status": 400, "code": 1499, "method": "PATCH", "nth": 1},
    "not even looked at": {"kind": "rate_limited", "method": "PATCH", "nth": 1, "retry_after": 60},
}


async def live_until(fleet, death):
    """Watch until death comes; False when it came too late to notice."""
    loop = asyncio.get_running_loop()
    fleet.wire.gate = loop.gate = death
    watching = asyncio.create_task(fleet.watch(minutes=4))
    dying = asyncio.create_task(death.came.wait())
    await asyncio.wait([watching, dying], return_when=asyncio.FIRST_COMPLETED)
    fleet.wire.gate = loop.gate = None
    return death.came.is_set()


async def bury():
    """Nothing of the process may do anything any more: not even write what it still held."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def copy_of_the_disk(start, number):
    """The files as they lie there. Those of the living process stay with it."""
    for suffix in ("", "-wal"):
        file = start.folder / f"state.db{suffix}"
        if file.exists():
            shutil.copy(file, start.folder / f"copy{number}.db{suffix}")
    return f"copy{number}.db"


@pytest.mark.repeats
@pytest.mark.parametrize("answer", ANSWERS)
@in_simulated_time
async def test_killed_at_any_moment_it_never_sends_a_second_patch_within_the_backoff(start, answer):
    scenario = {"unknowns": {"restart_changes_id": answer == UNDER_ANOTHER_ID}}
    for moment in count():
        for file in start.folder.glob("*.db*"):
            file.unlink()
        pack = timed_out() if answer == UNDER_ANOTHER_ID else timed_out(after="1m")  # it was never seen before
        async with start({ZONE: [pack]}, scenario=scenario, config=CONFIG) as fleet:
            if ANSWERS[answer]:
                fleet.world.add_fault(Fault.model_validate(ANSWERS[answer]))
            died = await live_until(fleet, Death(moment))
            state = copy_of_the_disk(start, moment)
            await bury()
            before = len(fleet.patches())
        async with start({ZONE: []}, config=CONFIG, world=fleet.world, state=state) as again:
            await again.watch(minutes=70)
            patches = [again.minute(request.at) for request in again.asked("PATCH") if request.status != 429]
            waits = [round(later - earlier, 3) for earlier, later in pairwise(patches)]
            assert all(wait >= 15 for wait in waits), f"killed at crossing {moment}: PATCHes at {patches}"
            assert len(patches) >= 2, f"killed at crossing {moment}: PATCHes at {patches}"
            [row] = [row for row in again.rows(ZONE) if row["status"] != "deleted"]
            assert row["attempts"] >= len(patches), f"killed at crossing {moment}"
            assert again.store.open_intents() == [], f"killed at crossing {moment}"
        if not died:
            break
    assert moment >= 12
    assert before == 1
