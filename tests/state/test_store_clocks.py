"""Times on the disk when somebody sets the clock, and turns of the quota that a kill must not hide."""

from datetime import timedelta

import pytest

from tests.harness.time import in_simulated_time
from watchdog.model.clock import Anchor
from watchdog.model.history import UNTROUBLED, History

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def tried(kit, at=None):
    at = at or kit.t0
    return History(attempts=1, trouble_since=at, last_restart_at=at, next_restart_at=at + 15 * MINUTE)


def later(kit, seconds, step=timedelta(0), boot="boot"):
    """A moment so many seconds after ``kit.now``, by a clock that was set by ``step`` meanwhile."""
    return Anchor(kit.t0 + timedelta(seconds=seconds) + step, seconds, boot)


@pytest.mark.parametrize("step", [-5 * HOUR, -2 * timedelta(seconds=1), 2 * timedelta(seconds=1), 5 * HOUR])
def test_a_clock_that_is_set_while_nobody_runs_moves_what_is_waited_for_with_it(store, kit, step):
    store.intend(kit.intent(), UNTROUBLED, tried(kit), kit.now)
    store.align(later(kit, 60, step))
    assert store.history_of("z1", "p1") == tried(kit, kit.t0 + step)
    assert store.restarts_since(kit.t0 + step - MINUTE) == [("main", kit.t0 + step)]


def test_a_clock_that_only_goes_on_moves_nothing(store, kit):
    store.intend(kit.intent(), UNTROUBLED, tried(kit), kit.now)
    for seconds in (0.5, 60, 86_400):
        store.align(later(kit, seconds, timedelta(seconds=0.4)))
    assert store.history_of("z1", "p1") == tried(kit)


def test_several_steps_add_up_and_one_that_is_taken_back_leaves_no_trace(store, kit):
    store.intend(kit.intent(), UNTROUBLED, tried(kit), kit.now)
    store.align(later(kit, 10, HOUR))
    store.align(later(kit, 20, 3 * HOUR))
    assert store.history_of("z1", "p1").last_restart_at == kit.t0 + 3 * HOUR
    store.align(later(kit, 30))
    assert store.history_of("z1", "p1") == tried(kit)


def test_after_another_boot_a_restart_that_lies_ahead_counts_as_made_now_and_waits_as_long(store, kit):
    ahead = kit.t0 + timedelta(days=900)
    store.intend(kit.intent(at=ahead), UNTROUBLED, tried(kit, ahead), kit.now)
    store.align(later(kit, 60, boot="another"))
    now = kit.t0 + timedelta(seconds=60)
    found = store.history_of("z1", "p1")
    assert (found.last_restart_at, found.next_restart_at) == (now, now + 15 * MINUTE)
    assert store.restarts_since(kit.t0) == [("main", now)]


def test_after_another_boot_times_that_lie_behind_stay_as_they_are(store, kit):
    store.intend(kit.intent(), UNTROUBLED, tried(kit), kit.now)
    store.align(later(kit, 5, 7 * HOUR, boot="another"))
    assert store.history_of("z1", "p1") == tried(kit)


@in_simulated_time
async def test_a_step_while_it_runs_moves_the_backoff_and_the_disk_follows(mind, kit):
    async with mind() as memory:
        pack = kit.pack()
        intent = kit.intent()
        await memory.intents.intend(intent, UNTROUBLED, tried(kit))
        assert memory.observe_clock(later(kit, 60, 5 * HOUR)) == 5 * HOUR
        assert memory.history(pack) == tried(kit, kit.t0 + 5 * HOUR)
        memory.note_error(pack, "something to write")
        await memory.writer.flush()
        assert memory._store.history_of("z1", "p1").last_restart_at == kit.t0 + 5 * HOUR  # noqa: SLF001 - the disk


@in_simulated_time
async def test_a_restart_under_way_while_the_clock_is_set_is_withdrawn_whole(mind, kit):
    async with mind() as memory:
        before = tried(kit, kit.t0 - 3 * HOUR)
        await memory.intents.withdraw(await memory.intents.intend(kit.intent(), UNTROUBLED, before))
        stored = await memory.intents.intend(kit.intent(), UNTROUBLED, tried(kit))
        memory.observe_clock(later(kit, 5, -2 * HOUR))
        assert await memory.intents.withdraw(stored)
        assert memory.history(kit.pack()) == UNTROUBLED


def test_booked_turns_are_known_to_the_next_process_of_the_same_boot_until_they_are_old(url, kit):
    with kit.opened(url) as store:
        store.book("main", "boot", 100.0, 37, forget_before=0.0)
        store.book("other", "boot", 110.0, 5, forget_before=0.0)
        store.book("main", "boot", 120.0, 37, forget_before=0.0)
    with kit.opened(url) as store:
        assert store.booked("boot") == [("main", 100.0, 37), ("other", 110.0, 5), ("main", 120.0, 37)]
        assert store.booked("another") == []
        store.book("main", "boot", 500.0, 1, forget_before=110.0)
        assert store.booked("boot") == [("other", 110.0, 5), ("main", 120.0, 37), ("main", 500.0, 1)]
