"""What the memory promises of the disk: written whole or kept for later, restarts counted once by all processes."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from tests.harness.time import in_simulated_time
from tests.harness.values import replace
from watchdog.decide.budget import Budget
from watchdog.model.clock import Anchor
from watchdog.model.decisions import Decision, Do
from watchdog.model.event_names import EventName
from watchdog.model.events import Event
from watchdog.model.history import UNTROUBLED, History, Intent, NotIntended, Sent
from watchdog.model.observation import Seen
from watchdog.model.packs import Pack, ZoneRef
from watchdog.model.reasons import Reason
from watchdog.observe.compare import compare, renamed
from watchdog.state import changes
from watchdog.state.database import StateError

T0 = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ZONE = ZoneRef("main", "example.com", "z1")
WAIT = timedelta(minutes=15)
HOUR = timedelta(hours=1)
STUCK = Pack(
    id="p1",
    zone_id="z1",
    type="advanced",
    status="validation_timed_out",
    hosts=("example.com",),
    certificate_authority="google",
)
WAITING = Decision(Do.WAIT, Reason.BACKING_OFF)


def look(memory, *packs, now=T0):
    memory.apply(compare(memory.of(ZONE), Seen(ZONE, packs), now))
    for pack in packs:
        memory.conclude(ZONE, pack, WAITING, now)


def next_restart(memory, now=T0, pack=STUCK):
    before = memory.history(pack)
    after = before.intended(now, WAIT)
    return (
        Intent(
            account="main",
            zone="example.com",
            zone_id="z1",
            pack_id=pack.id,
            attempt=after.attempts,
            at=now,
            next_restart_at=now + WAIT,
        ),
        before,
        after,
    )


async def restarted(memory, now=T0, pack=STUCK):
    return await memory.intents.intend(*next_restart(memory, now, pack))


def line(number=0):
    return Event(
        name=EventName.PACK_CHANGED,
        at=T0 + timedelta(seconds=number),
        zone=ZONE,
        pack=STUCK,
        facts=(("number", number),),
    )


# ── restarts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@in_simulated_time
async def test_an_intent_counts_at_once_in_the_process_on_disk_and_in_the_budget(mind):
    async with mind() as memory:
        await restarted(memory)
        after = History(attempts=1, trouble_since=T0, last_restart_at=T0, next_restart_at=T0 + WAIT)
        assert memory.history(STUCK) == after
        async with mind(exclusive=False) as other:
            assert other.history(STUCK) == after
            assert [intent.pack_id for _, intent in other.left_open] == ["p1"]
            assert other.recalled.restarts == [("main", T0)]


@in_simulated_time
async def test_an_outcome_is_written_with_the_next_flush_and_closes_the_intent(mind):
    async with mind() as memory:
        memory.intents.settle((await restarted(memory)).id, Sent.ACCEPTED, "", T0)
        await memory.writer.flush()
    async with mind() as memory:
        assert memory.left_open == []
        assert memory.history(STUCK).attempts == 1


@in_simulated_time
async def test_a_restart_whose_outcome_was_not_written_is_left_open_and_counted(mind):
    async with mind() as memory:
        memory.intents.settle((await restarted(memory)).id, Sent.ACCEPTED, "", T0)
    async with mind() as memory:
        assert [intent.attempt for _, intent in memory.left_open] == [1]
        assert memory.history(STUCK).attempts == 1


@pytest.mark.parametrize(
    "before",
    [
        UNTROUBLED,
        History(attempts=2, trouble_since=T0 - HOUR, last_restart_at=T0 - HOUR, next_restart_at=T0 - HOUR + WAIT),
    ],
)
@in_simulated_time
async def test_a_withdrawn_restart_leaves_everything_as_it_was(mind, before):
    async with mind() as memory:
        memory._set_history(STUCK.key, before)  # noqa: SLF001 - as if it had been tried before
        await memory.writer.flush()
        intent, _, after = next_restart(memory)
        assert await memory.intents.withdraw(await memory.intents.intend(intent, before, after))
        assert memory.history(STUCK) == before
    async with mind() as memory:
        assert (memory.history(STUCK), memory.left_open, memory.recalled.restarts) == (before, [], [])


@in_simulated_time
async def test_a_restart_that_cannot_be_withdrawn_counts(mind, kit):
    async with mind() as memory:
        intent, before, after = next_restart(memory)
        stored = await memory.intents.intend(intent, before, after)
        with kit.no_room():
            assert not await memory.intents.withdraw(stored)
        assert "cannot be read or written" in memory.writer.error
        assert memory.history(STUCK) == after
    async with mind() as memory:
        assert memory.recalled.restarts == [("main", T0)]


@in_simulated_time
async def test_without_room_for_the_intent_nothing_is_counted_and_nothing_lost(mind, kit):
    async with mind() as memory:
        look(memory, STUCK)
        with kit.no_room(), pytest.raises(NotIntended, match="the intent could not be stored") as held:
            await restarted(memory)
        assert held.value.reason is Reason.STATE_UNWRITABLE
        assert memory.writer.error != ""
        assert memory.history(STUCK) == History(trouble_since=T0)
        await memory.writer.flush()
        assert memory.writer.error == ""
    async with mind() as memory:
        assert memory.history(STUCK) == History(trouble_since=T0)


@in_simulated_time
async def test_two_processes_do_not_restart_one_pack_at_the_same_time(mind):
    async with mind() as memory, mind(exclusive=False) as command:
        await restarted(command)
        with pytest.raises(NotIntended, match="another process has just restarted this pack") as held:
            await restarted(memory)
        assert held.value.reason is Reason.BACKING_OFF
        assert memory.history(STUCK) == command.history(STUCK)
        await restarted(memory, T0 + HOUR)
        assert memory.history(STUCK).attempts == 2


@in_simulated_time
async def test_a_pack_that_recovered_in_memory_alone_can_be_restarted_afresh(mind):
    async with mind() as memory:
        await restarted(memory)
        look(
            memory,
            Pack(
                id="p1",
                zone_id="z1",
                type="advanced",
                status="active",
                hosts=("example.com",),
                certificate_authority="google",
            ),
            now=T0 + HOUR,
        )
        await restarted(memory, T0 + 2 * HOUR)
        assert memory.history(STUCK).attempts == 1
    async with mind() as memory:
        assert memory.history(STUCK).attempts == 1


@in_simulated_time
async def test_without_room_for_its_new_id_a_pack_that_was_restarted_keeps_its_attempts(mind, kit):
    again = replace(STUCK, id="p2")
    async with mind() as memory:
        look(memory, STUCK)
        await restarted(memory)
        memory.apply(renamed(memory.of(ZONE), ZONE, STUCK, again, T0))
        tried = memory.history(again)
        with kit.no_room(), pytest.raises(NotIntended, match="what precedes the intent could not be stored") as held:
            await restarted(memory, T0 + HOUR, again)
        assert (held.value.reason, memory.history(again)) == (Reason.STATE_UNWRITABLE, tried)
        await restarted(memory, T0 + HOUR, again)
        assert (tried.attempts, memory.history(again).attempts) == (1, 2)


@in_simulated_time
async def test_an_intent_that_came_while_its_new_id_was_about_to_fail_loses_no_attempts_either(mind, kit):
    again = replace(STUCK, id="p2")
    async with mind() as memory:
        look(memory, STUCK)
        await restarted(memory)
        memory.apply(renamed(memory.of(ZONE), ZONE, STUCK, again, T0))
        tried, turn, fails = memory.history(again), asyncio.Lock(), [True]

        async def first_fails(work):
            async with turn:
                if fails.pop() if fails else False:
                    await asyncio.sleep(1)
                    with kit.no_room():
                        return await work()
                return await work()

        asyncio.get_running_loop().gate = first_fails
        writing = asyncio.create_task(memory.writer.flush())
        await asyncio.sleep(0)
        with pytest.raises(NotIntended, match="what precedes the intent could not be stored") as held:
            await restarted(memory, T0 + HOUR, again)
        assert (await writing, held.value.reason) == (False, Reason.STATE_UNWRITABLE)
        assert memory.history(again) == tried
        await restarted(memory, T0 + HOUR, again)
        assert (tried.attempts, memory.history(again).attempts) == (1, 2)


# ── other processes ──────────────────────────────────────────────────────────────────────────────────────────────────


@in_simulated_time
async def test_what_another_process_restarted_is_taken_over_with_the_next_refresh(mind):
    async with mind() as memory, mind(exclusive=False) as command:
        look(memory, STUCK)
        await memory.writer.flush()
        await command.refresh()
        await restarted(command)
        assert memory.history(STUCK).attempts == 0
        assert await memory.refresh() == [("main", T0)]
        assert memory.history(STUCK) == History(
            attempts=1, trouble_since=T0, last_restart_at=T0, next_restart_at=T0 + WAIT
        )


@in_simulated_time
async def test_a_refresh_with_nothing_new_keeps_everything(mind):
    async with mind() as memory:
        await restarted(memory)
        assert await memory.refresh() == []
        assert memory.history(STUCK).attempts == 1


@in_simulated_time
async def test_a_refresh_gives_the_restarts_of_the_hour_each_once_whoever_made_them(mind):
    async with mind() as memory, mind(exclusive=False) as command:
        await restarted(memory)
        await command.refresh()
        await restarted(
            command, T0, Pack(id="p2", zone_id="z1", type="advanced", status="validation_timed_out", hosts=())
        )
        assert await memory.refresh() == [("main", T0)] * 2


@in_simulated_time
async def test_a_refresh_keeps_what_could_not_be_written_yet(mind, kit):
    async with mind() as memory, mind(exclusive=False) as command:
        await restarted(memory)
        await command.refresh()
        await restarted(
            command, T0, Pack(id="p2", zone_id="z1", type="advanced", status="validation_timed_out", hosts=())
        )
        memory.give_up(STUCK, T0 + HOUR)
        with kit.no_room():
            await memory.refresh()
        assert memory.history(STUCK).gave_up_at == T0 + HOUR
        await memory.writer.flush()
    async with mind() as memory:
        assert memory.history(STUCK).gave_up_at == T0 + HOUR


@in_simulated_time
async def test_a_refresh_prefers_a_restart_made_elsewhere_to_older_words_of_its_own(mind, kit):
    async with mind() as memory, mind(exclusive=False) as command:
        look(memory, STUCK)
        await restarted(command)
        with kit.no_room():
            await memory.refresh()
        assert memory.history(STUCK).attempts == 1
        await memory.writer.flush()
        assert memory.history(STUCK).attempts == 1
    async with mind() as memory:
        assert memory.history(STUCK).attempts == 1


@in_simulated_time
async def test_a_refresh_that_overlaps_a_restart_loses_neither_its_attempt_nor_its_place_in_the_budget(mind):
    async with mind() as memory, mind(exclusive=False) as command:
        await restarted(
            command, T0, Pack(id="p2", zone_id="z1", type="advanced", status="validation_timed_out", hosts=())
        )
        budget = Budget()
        budget.take("main", T0)  # as the cycle does before it stores the intent
        restarts, _ = await asyncio.gather(memory.refresh(), restarted(memory))
        budget.merge(restarts)
        assert memory.history(STUCK).attempts == 1
        free_at = [budget.free_at("main", STUCK.key, due=T0, per_hour=each, now=T0, fresh=HOUR) for each in (2, 3)]
        assert free_at == [T0 + HOUR, None]


@in_simulated_time
async def test_a_state_that_cannot_be_read_is_no_reason_to_forget_anything(mind):
    async with mind() as memory:
        await restarted(memory)
        memory._store.close()  # noqa: SLF001 - nothing can be read from now on
        await memory.refresh()
        assert "closed" in memory.writer.error
        assert memory.history(STUCK).attempts == 1


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@in_simulated_time
async def test_what_was_seen_and_what_happened_is_there_after_a_flush(mind):
    async with mind() as memory:
        look(memory, STUCK)
        memory.journal([line()])
        await memory.writer.flush()
        await memory.writer.flush()
    async with mind() as memory:
        (known,) = memory.packs_of(ZONE)
        assert (known.pack, known.decision, known.since) == (STUCK, WAITING, T0)
        assert memory.zone(ZONE).seen_at == T0
        (kept,) = await memory.journal_of(STUCK, 10)
        assert (kept.event, kept.detail, kept.account, kept.zone) == ("pack_changed", "number=0", *ZONE.key)


@in_simulated_time
async def test_what_is_only_for_debugging_is_not_kept(mind):
    async with mind() as memory:
        memory.journal([Event.zone_unseen(ZONE, T0, Reason.UNSEEN, "", again=True)])
        assert memory.writer.changes.empty()


@in_simulated_time
async def test_what_cannot_be_written_is_kept_with_its_reason_and_written_later(mind, kit):
    async with mind() as memory:
        look(memory, STUCK)
        memory.journal([line()])
        with kit.no_room():
            await memory.writer.flush()
            assert "cannot be read or written" in memory.writer.error
            assert not await memory.writer.writable()
            look(memory, STUCK, Pack(id="p2", zone_id="z1", type="advanced", status="active", hosts=()), now=T0 + HOUR)
            memory.journal([line(1)])
            await memory.writer.flush()
        assert await memory.writer.writable()
        await memory.writer.flush()
        assert memory.writer.error == ""
    async with mind() as memory:
        assert {known.pack.id for known in memory.packs_of(ZONE)} == {"p1", "p2"}
        assert memory.zone(ZONE).seen_at == T0 + HOUR
        assert memory.history(STUCK).trouble_since == T0
        assert len(await memory.journal_of(STUCK, 10)) == 2


@in_simulated_time
async def test_a_long_time_without_a_disk_does_not_fill_the_memory(mind, kit, monkeypatch):
    monkeypatch.setattr(changes, "JOURNAL_UNWRITTEN", 20)
    async with mind() as memory:
        with kit.no_room():
            for number in range(30):
                look(memory, STUCK, now=T0 + number * HOUR)
                memory.journal([line(number)])
                await memory.writer.flush()
        unwritten = memory.writer.changes
        assert (len(unwritten.zones), len(unwritten.packs), len(unwritten.journal)) == (1, 1, 20)
        await memory.writer.flush()
        (newest,) = await memory.journal_of(STUCK, 1)
        assert newest.detail == "number=29"


@in_simulated_time
async def test_a_pack_forgotten_while_the_disk_took_nothing_and_seen_again_is_kept(mind, kit):
    week = timedelta(days=8)
    gone = Pack(
        id="p1", zone_id="z1", type="advanced", status="deleted", hosts=("example.com",), certificate_authority="google"
    )
    async with mind() as memory:
        look(memory, gone)
        await memory.writer.flush()
        with kit.no_room():
            await memory.tidy([ZONE], T0 + week)
            assert list(memory.packs_of(ZONE)) == []
        look(memory, STUCK, now=T0 + week)
        await memory.writer.flush()
    async with mind() as memory:
        assert [known.pack.status for known in memory.packs_of(ZONE)] == ["validation_timed_out"]


@in_simulated_time
async def test_old_journal_lines_go_and_young_ones_stay(mind):
    async with mind() as memory:
        memory.journal([line(), line(3600)])
        await memory.tidy([], T0 + timedelta(days=90, seconds=1))
        assert len(await memory.journal_of(STUCK, 10)) == 1


@in_simulated_time
async def test_much_is_written_without_waiting_for_the_clock(mind):
    async with mind() as memory:
        await memory.writer.save(T0)
        look(
            memory, *(Pack(id=f"p{n}", zone_id="z1", type="advanced", status="active", hosts=()) for n in range(2_000))
        )
        await memory.writer.save(T0)
        async with mind(exclusive=False) as other:
            assert len(list(other.packs_of(ZONE))) == 2_000


@in_simulated_time
async def test_a_state_that_cannot_be_read_at_the_start_is_a_sentence(mind, kit):
    async with mind() as memory:
        memory._store.close()  # noqa: SLF001 - nothing can be read from now on
        with pytest.raises(StateError, match="closed"):
            await memory.recall(kit.now)


class Held:
    """Holds back what the store has to say, once, until it is let go."""

    def __init__(self):
        self.holds, self.free = False, asyncio.Event()

    async def __call__(self, work):
        result = await work()
        if self.holds:
            self.holds = False
            await self.free.wait()
        return result


@in_simulated_time
async def test_what_is_written_while_the_state_is_read_anew_is_not_forgotten(mind):
    async with mind() as memory, mind(exclusive=False) as other:
        look(other, STUCK)
        await other.writer.flush()
        asyncio.get_running_loop().gate = held = Held()
        store = memory._store  # noqa: SLF001 - to know when it is read
        held.tried, store.tried = store.tried, lambda *_: (setattr(held, "holds", True), held.tried())[1]
        reading = asyncio.create_task(memory.refresh())
        await asyncio.sleep(1)
        assert not reading.done()
        memory.give_up(STUCK, T0)
        writing = asyncio.create_task(memory.writer.flush())
        await asyncio.sleep(1)
        held.free.set()
        await asyncio.gather(reading, writing)
        assert memory.history(STUCK).gave_up_at == T0
        assert memory._store.history_of("z1", "p1").gave_up_at == T0  # noqa: SLF001 - as it lies there


@in_simulated_time
async def test_a_write_that_fails_once_its_account_went_leaves_nothing_to_forget_of_what_another_works(mind, kit):
    async with mind() as memory:
        look(memory, STUCK)
        await restarted(memory)
        await memory.writer.flush()
        look(memory, replace(STUCK, id="p2"))  # what the restart made of it
        free = asyncio.Event()

        async def held(work):
            await free.wait()
            return await work()

        asyncio.get_running_loop().gate = held
        writing = asyncio.create_task(memory.writer.flush())
        await asyncio.sleep(1)
        memory.release(["main"])
        with kit.no_room():
            free.set()
            await writing
        assert memory.writer.error
        await memory.writer.flush()
    async with mind() as memory:
        assert memory.history(STUCK).attempts == 1


@in_simulated_time
async def test_a_clock_that_is_set_between_the_plan_of_a_restart_and_its_intent_moves_both(mind, kit):
    async with mind() as memory:
        await restarted(memory)
        memory.apply(
            compare(memory.of(ZONE), Seen(ZONE, (replace(STUCK, status="active"),)), T0)
        )  # it starts afresh, which is not written yet
        intent = next_restart(memory, T0)
        asyncio.get_running_loop().gate = held = Held()
        held.holds = True
        intending = asyncio.create_task(memory.intents.intend(*intent))
        await asyncio.sleep(1)
        memory.observe_clock(Anchor(T0 - HOUR, 1.0, kit.now.boot))
        held.free.set()
        await intending
        assert memory.history(STUCK).last_restart_at == T0 - HOUR - timedelta(seconds=1)
    async with mind() as memory:
        memory.observe_clock(Anchor(T0, 0.0, kit.now.boot))
        assert memory.history(STUCK).last_restart_at == T0


def many(count):
    return [replace(STUCK, id=f"p{number}") for number in range(1, count + 1)]


@in_simulated_time
async def test_intents_that_come_while_the_disk_syncs_are_stored_together_and_each_counts(mind):
    async with mind() as memory:
        asyncio.get_running_loop().gate = held = Held()
        held.holds, asked = True, []
        ask, memory.writer.ask = memory.writer.ask, lambda question: (asked.append(question), ask(question))[1]
        packs = many(9)
        first = asyncio.create_task(restarted(memory, pack=packs[0]))
        await asyncio.sleep(1)
        others = [asyncio.create_task(restarted(memory, pack=pack)) for pack in packs[1:]]
        await asyncio.sleep(1)
        held.free.set()
        stored = await asyncio.gather(first, *others)
        assert (len(asked), len({each.id for each in stored})) == (2, 9)
        assert all(memory.history(pack).attempts == 1 for pack in packs)
    async with mind() as memory:
        assert len(memory.recalled.restarts) == 9
        assert all(memory.history(pack).attempts == 1 for pack in packs)


@in_simulated_time
async def test_an_intent_that_another_process_came_before_holds_up_none_that_is_stored_with_it(mind):
    async with mind() as memory, mind(exclusive=False) as command:
        one, two, three = many(3)
        planned = [next_restart(memory, pack=pack) for pack in (one, two, three)]
        await restarted(command, pack=two)
        found = await asyncio.gather(*(memory.intents.intend(*each) for each in planned), return_exceptions=True)
        assert [getattr(each, "reason", None) for each in found] == [None, Reason.BACKING_OFF, None]
        assert memory.history(two) == command.history(two)


@in_simulated_time
async def test_where_the_disk_takes_no_write_none_of_those_that_act_at_once_may_send(mind, kit):
    async with mind() as memory:
        with kit.no_room():
            found = await asyncio.gather(*(restarted(memory, pack=pack) for pack in many(3)), return_exceptions=True)
        assert [each.reason for each in found] == [Reason.STATE_UNWRITABLE] * 3
        assert all(memory.history(pack) == UNTROUBLED for pack in many(3))


@in_simulated_time
async def test_an_intent_of_which_nobody_waits_any_more_is_not_stored(mind):
    async with mind() as memory:
        asyncio.get_running_loop().gate = held = Held()
        held.holds = True
        first, second = many(2)
        storing = asyncio.create_task(restarted(memory, pack=first))
        await asyncio.sleep(1)
        given_up = asyncio.create_task(restarted(memory, pack=second))
        await asyncio.sleep(1)
        given_up.cancel()
        held.free.set()
        await storing
        await asyncio.sleep(1)
    async with mind() as memory:
        assert len(memory.recalled.restarts) == 1
