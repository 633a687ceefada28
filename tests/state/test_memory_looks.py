"""What a look leaves in the memory: what is new is told once, what is gone is not forgotten at once, ids may change."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.harness.time import in_simulated_time, simulated
from tests.harness.values import replace
from watchdog.model.clock import Anchor
from watchdog.model.decisions import Decision, Do
from watchdog.model.findings import Diagnosis
from watchdog.model.history import UNTROUBLED, History, Remembered, ZoneMemory
from watchdog.model.observation import Seen, Unseen
from watchdog.model.packs import Pack, ZoneRef
from watchdog.model.reasons import Reason
from watchdog.model.zone_packs import ZonePacks
from watchdog.observe.compare import compare
from watchdog.state.changes import Changes
from watchdog.state.memory import Memory
from watchdog.state.store import Store

T0 = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ZONE = ZoneRef("main", "example.com", "z1")
HEALTHY = Decision(Do.LEAVE, Reason.HEALTHY)
WAIT = Decision(Do.WAIT, Reason.BACKING_OFF, T0 + timedelta(hours=1))
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
UUID = "3822ff90-ea29-44df-9e55-21300bb9419b"


def pack(name="p1", status="active", hosts=("*.example.com", "example.com"), ca="google"):
    return Pack(id=name, zone_id="z1", type="advanced", status=status, hosts=hosts, certificate_authority=ca)


def look(memory, *packs, zone=ZONE, now=T0, missing=(), decision=HEALTHY, partial=False):
    """One look as the cycle takes it: seen, and decided for each. Gives what was told: name, pack, before, status."""
    events = seen(memory, Seen(zone, packs, tuple(missing)), now, partial=partial)
    for each in packs:
        memory.conclude(zone, each, decision, now)
    return told(events)


def seen(memory, observation, now=T0, *, partial=False):
    difference = compare(memory.of(observation.zone), observation, now, partial=partial)
    memory.apply(difference)
    return difference.events


def told(events):
    facts = [(event, dict(event.facts)) for event in events]
    return [(e.name, e.pack.id if e.pack else "", of.get("before"), of.get("status")) for e, of in facts]


def tried(memory, one, attempts=3, at=T0):
    """The pack was restarted before."""
    history = History(attempts=attempts, trouble_since=at, last_restart_at=at, next_restart_at=at + HOUR)
    memory._set_history(one.key, history)  # noqa: SLF001 - what ``intend`` does, without a disk
    return history


def remembered(memory, zone=ZONE):
    return {known.pack.id: known for known in memory.packs_of(zone)}


@in_simulated_time
async def test_a_zone_that_was_never_looked_at_is_empty(mind):
    async with mind() as memory:
        assert remembered(memory) == {}
        assert memory.zone_id(ZONE) == ""
        assert (memory.zone(ZONE).id, memory.zone(ZONE).seen_at) == ("z1", None)
        assert not memory.troubled(ZONE)
        assert memory.history(pack()) is UNTROUBLED


@in_simulated_time
async def test_a_status_that_changes_is_told_once_and_counts_from_then(mind):
    async with mind() as memory:
        look(memory, pack(status="pending_validation"))
        assert look(memory, pack(), now=T0 + HOUR) == [("pack_changed", "p1", "pending_validation", "active")]
        assert look(memory, pack(), now=T0 + 2 * HOUR) == []
        assert remembered(memory)["p1"].since == T0 + HOUR


@in_simulated_time
async def test_trouble_counts_from_the_look_that_saw_it_and_recovery_is_told_with_its_cost(mind):
    async with mind() as memory:
        look(memory, pack(status="validation_timed_out"), decision=WAIT)
        look(memory, pack(status="validation_timed_out"), now=T0 + HOUR, decision=WAIT)
        assert memory.history(pack()).trouble_since == T0
        assert memory.troubled(ZONE)
        tried(memory, pack(), 2)
        look(memory, pack(status="initializing"), now=T0 + 2 * HOUR, decision=Decision(Do.LEAVE, Reason.IN_PROGRESS))
        assert memory.troubled(ZONE)
        events = seen(memory, Seen(ZONE, (pack(),)), T0 + 3 * HOUR)
        assert [event.name for event in events] == ["pack_changed", "recovered"]
        assert dict(events[1].facts) == {"after_seconds": 3 * 3600, "restarts": 2}
        assert memory.history(pack()) is UNTROUBLED
        memory.conclude(ZONE, pack(), HEALTHY, T0 + 3 * HOUR)
        assert look(memory, pack(), now=T0 + 4 * HOUR) == []


@in_simulated_time
async def test_a_pack_that_was_given_up_starts_afresh_once_its_status_changes(mind):
    async with mind() as memory:
        stuck = pack(status="validation_timed_out")
        tried(memory, stuck, 8)
        memory.give_up(stuck, T0)
        look(memory, stuck, now=T0 + DAY)
        assert memory.history(stuck).gave_up_at == T0
        look(memory, pack(status="pending_validation"), now=T0 + 2 * DAY)
        assert (memory.history(stuck).attempts, memory.history(stuck).gave_up_at) == (0, None)


@in_simulated_time
async def test_a_person_takes_up_what_was_given_up_and_nothing_else(mind):
    async with mind() as memory:
        stuck = pack(status="validation_timed_out")
        before = tried(memory, stuck, 3)
        memory.reset(stuck)
        assert memory.history(stuck) == before
        memory.give_up(stuck, T0)
        memory.reset(stuck)
        assert (memory.history(stuck).attempts, memory.history(stuck).gave_up_at) == (0, None)


@in_simulated_time
async def test_a_decision_is_news_when_its_kind_or_reason_is_another_and_not_when_its_time_is(mind):
    async with mind() as memory:
        assert memory.conclude(ZONE, pack(), WAIT, T0)
        assert not memory.conclude(ZONE, pack(), WAIT, T0)
        assert not memory.conclude(ZONE, pack(), replace(WAIT, until=T0 + DAY), T0)
        assert remembered_decision(memory) == replace(WAIT, until=T0 + DAY)
        assert memory.conclude(ZONE, pack(), Decision(Do.WAIT, Reason.OVER_BUDGET), T0)


def remembered_decision(memory):
    (known,) = memory._packs["z1"].values()  # noqa: SLF001 - the zone itself was not looked at here
    return known.decision


@in_simulated_time
async def test_one_zone_under_two_names_shows_its_packs_under_the_one_that_looked_last(mind):
    async with mind() as memory:
        other = ZoneRef("other", "example.com", "z1")
        look(memory, pack())
        look(memory, pack(), zone=other)
        assert (len(remembered(memory)), len(remembered(memory, other))) == (0, 1)
        look(memory, pack())
        assert (len(remembered(memory)), len(remembered(memory, other))) == (1, 0)


# ── zones that could not be seen ─────────────────────────────────────────────────────────────────────────────────────


@in_simulated_time
async def test_a_zone_that_cannot_be_seen_keeps_the_id_that_was_found_for_its_name(mind):
    async with mind() as memory:
        look(memory, pack())
        seen(memory, Unseen(replace(ZONE, id=""), Reason.UNSEEN, "a surprise"), T0 + HOUR)
        assert memory.zone_id(ZONE) == "z1"
        assert set(remembered(memory)) == {"p1"}


# ── packs that go, come back, or change their id ─────────────────────────────────────────────────────────────────────


@in_simulated_time
async def test_a_pack_that_vanishes_is_shown_as_deleted_since_it_was_missed(mind):
    async with mind() as memory:
        look(memory, pack(), pack("p2", hosts=("b.example",)))
        gone = look(memory, pack(), now=T0 + HOUR)
        assert gone == [("pack_changed", "p2", "active", "deleted")]
        known = remembered(memory)["p2"]
        assert (known.pack.status, known.since, known.seen_at) == ("deleted", T0 + HOUR, T0)
        assert known.decision == Decision(Do.LEAVE, Reason.GOING_AWAY)
        assert look(memory, pack(), now=T0 + 2 * HOUR) == []
        back = look(memory, pack(), pack("p2", hosts=("b.example",)), now=T0 + 3 * HOUR)
        assert back == [("pack_changed", "p2", "deleted", "active")]


@in_simulated_time
async def test_a_partial_look_says_nothing_of_the_packs_it_did_not_look_at(mind):
    async with mind() as memory:
        look(memory, pack(), pack("p2", hosts=("b.example",)))
        assert look(memory, pack(), now=T0 + HOUR, partial=True) == []
        assert remembered(memory)["p2"].pack.status == "active"
        assert memory.zone(ZONE).seen_at == T0


@in_simulated_time
async def test_what_was_tried_goes_on_under_another_id_with_the_same_hosts_ca_and_type(mind):
    async with mind() as memory:
        stuck = pack(status="validation_timed_out")
        look(memory, stuck)
        history = tried(memory, stuck)
        reborn = pack("p9", "validation_timed_out")
        events = seen(memory, Seen(ZONE, (reborn,)), T0 + HOUR)
        assert memory.history(reborn) == history
        assert dict(events[0].facts)["old_pack_id"] == "p1"
        assert told(events) == [("pack_replaced", "p9", "validation_timed_out", "validation_timed_out")]
        memory.conclude(ZONE, reborn, HEALTHY, T0 + HOUR)
        assert set(remembered(memory)) == {"p9"}
        assert memory.history(stuck) is UNTROUBLED


@in_simulated_time
async def test_the_last_error_is_kept_beside_the_attempts(mind):
    async with mind() as memory:
        history = tried(memory, pack())
        memory.note_error(pack(), "get_pack: HTTP 502")
        assert memory.history(pack()) == replace(history, last_error="get_pack: HTTP 502")


# ── forgetting ───────────────────────────────────────────────────────────────────────────────────────────────────────


@in_simulated_time
async def test_a_pack_that_is_gone_is_forgotten_after_a_week_and_not_a_minute_before(mind):
    async with mind() as memory:
        look(memory, pack(), pack("p2", hosts=("b.example",)))
        look(memory, pack(), now=T0 + HOUR)
        look(memory, pack(), now=T0 + 7 * DAY)
        await memory.tidy([ZONE], T0 + HOUR + 7 * DAY)
        assert set(remembered(memory)) == {"p1", "p2"}
        await memory.tidy([ZONE], T0 + HOUR + 7 * DAY + MINUTE)
        assert set(remembered(memory)) == {"p1"}
    async with mind() as memory:
        assert set(remembered(memory)) == {"p1"}


@in_simulated_time
async def test_a_zone_that_is_no_longer_watched_is_forgotten_a_week_after_its_last_look(mind):
    async with mind() as memory:
        look(memory, pack(status="validation_timed_out"))
        tried(memory, pack())
        look(memory, pack(status="validation_timed_out"), now=T0 + DAY)
        await memory.tidy([], T0 + 8 * DAY)
        assert memory.history(pack()).attempts == 3
        await memory.tidy([], T0 + 8 * DAY + MINUTE)
        assert memory.history(pack()) is UNTROUBLED
        assert ZONE.key not in memory.zones
    async with mind() as memory:
        assert (memory.zones, remembered(memory), memory.history(pack())) == ({}, {}, UNTROUBLED)


@pytest.mark.parametrize("status", ["active", "validation_timed_out"])
@in_simulated_time
async def test_packs_that_a_zone_had_under_another_id_are_forgotten_a_week_after_they_were_seen(mind, status):
    async with mind() as memory:
        look(memory, pack(status=status))
        await memory.writer.flush()
    moved, there = replace(ZONE, id="z9"), replace(pack("p9"), zone_id="z9")
    async with mind() as memory:
        for days, left in ((7 * DAY, {"p1", "p9"}), (7 * DAY + MINUTE, {"p9"})):
            look(memory, there, zone=moved, now=T0 + days)
            await memory.tidy([moved], T0 + days)
            assert {pack_id for _, pack_id in memory._store.load().packs} == left  # noqa: SLF001  what is stored


@in_simulated_time
async def test_what_was_tried_in_a_zone_that_gets_another_id_is_kept_for_a_week_however_long_nothing_had_changed(mind):
    stuck, moved = pack(status="validation_timed_out"), replace(ZONE, id="z9")
    async with mind() as memory:
        look(memory, stuck)
        tried(memory, stuck)
        last = T0 + 20 * DAY
        look(memory, stuck, now=last)
        look(memory, zone=moved, now=last + HOUR)
        for after, attempts in ((HOUR, 3), (7 * DAY, 3), (7 * DAY + MINUTE, 0)):
            await memory.tidy([moved], last + after)
            assert memory.history(stuck).attempts == attempts


@in_simulated_time
async def test_a_watched_zone_keeps_its_packs_however_long_nothing_changes(mind):
    async with mind() as memory:
        look(memory, pack())
        seen(memory, Seen(ZONE, (pack(),)), T0 + 400 * DAY)
        await memory.tidy([ZONE], T0 + 400 * DAY)
        assert set(remembered(memory)) == {"p1"}


# ── diagnoses ────────────────────────────────────────────────────────────────────────────────────────────────────────


@in_simulated_time
async def test_a_diagnosis_stays_with_its_pack_until_another_comes_or_the_pack_is_well(mind):
    async with mind() as memory:
        stuck, first, second = pack(status="validation_timed_out"), Diagnosis(T0, ()), Diagnosis(T0 + HOUR, ())
        look(memory, stuck)
        assert memory.known(stuck).diagnosis is None
        for brought, kept in ((first, first), (None, first), (second, second)):
            memory.conclude(ZONE, stuck, WAIT, T0, brought)
            await memory.writer.flush()
            assert memory.known(stuck).diagnosis == kept
            async with mind(exclusive=False) as other:
                assert other.known(stuck).diagnosis == kept
        look(memory, pack(), now=T0 + 2 * HOUR)
        await memory.writer.flush()
        assert memory.known(pack()).diagnosis is None
    async with mind() as memory:
        assert memory.known(pack()).diagnosis is None


@in_simulated_time
async def test_a_pack_that_is_forgotten_takes_its_diagnosis_along_though_it_comes_back_at_once(mind):
    async with mind() as memory:
        seen(memory, Seen(ZONE, (pack(),)), T0)
        memory.conclude(ZONE, pack(status="expired"), WAIT, T0, Diagnosis(T0, ()))
        await memory.writer.flush()
        look(memory, pack("p2"), now=T0 + HOUR)  # the same pack under another id
        look(memory, pack(status="expired"), now=T0 + 2 * HOUR)
        assert memory.known(pack()).diagnosis is None
        await memory.writer.flush()
    async with mind() as memory:
        assert memory.known(pack()).diagnosis is None
        assert memory.known(pack()).pack.status == "expired"


# ── any life ─────────────────────────────────────────────────────────────────────────────────────────────────────────

statuses = st.sampled_from(["active", "validation_timed_out", "initializing", "deleted", "", "pending_moonrise"])
anys = st.builds(
    pack, st.sampled_from("abc"), statuses, st.sampled_from([(), ("x.example",), ("y.example",)]), st.just("google")
)
sights = st.lists(anys, max_size=3, unique_by=lambda each: each.id)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(sights, st.booleans(), st.integers(0, 3)), max_size=8))
def test_whatever_is_seen_another_process_recalls_exactly_what_this_one_knows(tmp_path_factory, kit, looks):
    url = f"sqlite:///{tmp_path_factory.mktemp('state')}/state.db"

    async def live():
        async with kit.mind(url) as memory:
            for number, (packs, written, attempts) in enumerate(looks):
                now = T0 + number * HOUR
                look(memory, *packs, now=now)
                for each in packs:
                    if each.status == "validation_timed_out" and attempts:
                        tried(memory, each, attempts, now)
                if written or memory.writer.afresh:
                    await memory.writer.flush()
            await memory.tidy([ZONE], T0 + len(looks) * HOUR)
            return everything(memory)

    async def recall():
        async with kit.mind(url) as memory:
            return everything(memory)

    assert simulated(live) == simulated(recall)


def everything(memory):
    return remembered(memory), dict(memory._histories), memory.zones  # noqa: SLF001 - all that is known


@in_simulated_time
async def test_whatever_is_learnt_or_tried_makes_another_revision(mind):
    async with mind() as memory:
        steps = [
            lambda: look(memory, pack()),
            lambda: look(memory, pack(status="validation_timed_out"), decision=WAIT),
            lambda: tried(memory, pack()),
            lambda: memory.note_error(pack(), "HTTP 500"),
            lambda: memory.give_up(pack(), T0),
            lambda: memory.reset(pack()),
            lambda: seen(memory, Unseen(ZONE, Reason.UNSEEN, "HTTP 500")),
        ]
        for step in steps:
            before = memory.revision
            step()
            assert memory.revision > before


STEPS = {
    "seen well": lambda memory, now: look(memory, pack(), now=now),
    "seen timed out": lambda memory, now: look(memory, pack(status="validation_timed_out"), decision=WAIT, now=now),
    "another beside it": lambda memory, now: look(memory, pack(), pack("p2", hosts=("b.example",)), now=now),
    "not there": lambda memory, now: look(memory, now=now),
    "not seen": lambda memory, now: seen(memory, Unseen(ZONE, Reason.UNSEEN, "HTTP 500"), now),
    "the zone under another id": lambda memory, now: look(memory, zone=replace(ZONE, id="z2"), now=now),
    "tried": lambda memory, now: tried(memory, pack(), at=now),
    "given up": lambda memory, now: memory.give_up(pack(), now),
    "an error": lambda memory, now: memory.note_error(pack(), f"HTTP 500 at {now}"),
    "recalled": lambda memory, now: memory.recall_history(pack().key, History(attempts=2), Anchor(now, 0.0, "boot")),
    "the clock was set": lambda memory, now: memory.observe_clock(Anchor(now + HOUR, 0.0, "boot")),
    "let go": lambda memory, _: memory.release(["main"]),
}


@pytest.mark.parametrize("kept", [(), (pack(),)], ids=["empty", "unread"])
@given(steps=st.lists(st.sampled_from(sorted(STEPS)), max_size=12))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_said_of_a_zone_is_never_older_than_what_is_known_of_its_packs(kit, kept, steps):
    async def live():
        with closing(Store.in_memory()) as store, ThreadPoolExecutor(1) as worker:
            packs = [
                Remembered(account="main", zone="example.com", pack=each, since=T0, seen_at=T0, decision=HEALTHY)
                for each in kept
            ]
            zone = ZoneMemory(account="main", label="example.com", id="z1", seen_at=T0, tried_at=T0)
            store.save(Changes(zones=[zone], packs=packs), kit.now)
            memory = Memory(store, worker)
            await memory.recall(kit.now)
            for number, step in enumerate(steps):
                said = memory.packs_in(memory.zone(ZONE))
                assert memory.packs_in(memory.zone(ZONE)) is said
                STEPS[step](memory, T0 + number * MINUTE)
                said, packs = (
                    memory.packs_in(memory.zone(ZONE)),
                    [(known, memory.history(known.pack)) for known in memory.packs_of(ZONE)],
                )
                fresh = ZonePacks.of(ZONE.key, memory.zone(ZONE).id, packs)
                assert list(said.packs) == packs
                assert (said.zone_id, said.statuses) == (fresh.zone_id, fresh.statuses)
                assert (list(said.unwell), said.ends) == (fresh.unwell, fresh.ends)

    simulated(live)


@in_simulated_time
async def test_a_question_makes_no_other_revision(mind):
    async with mind() as memory:
        look(memory, pack())
        before = memory.revision
        remembered(memory)
        memory.history(pack())
        assert memory.revision == before
