"""What goes in comes out: every value, exactly, also for another process."""

import sqlite3
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.harness.values import replace
from watchdog.model.decisions import Decision, Do
from watchdog.model.history import UNTROUBLED, History, JournalLine, Remembered, ZoneMemory
from watchdog.model.packs import Pack
from watchdog.model.reasons import Reason
from watchdog.state import journal, rows, schema
from watchdog.state.changes import Changes
from watchdog.state.database import StateError

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
times = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45))]))
# Near the ends of the calendar a time of another zone has no UTC form at all.
times = times.filter(lambda at: 1 < at.year < 9999)
maybe = st.none() | times
decisions = st.builds(Decision, st.sampled_from(Do), st.sampled_from(Reason), maybe)
packs = st.builds(
    Pack,
    id=texts,
    zone_id=texts,
    type=texts,
    status=texts,
    hosts=st.lists(texts).map(tuple),
    certificate_authority=texts,
    expires_at=maybe,
    validation_errors=st.lists(texts).map(tuple),
    validity_days=st.integers(0, 36500),
)
remembered = st.builds(
    Remembered, account=texts, zone=texts, pack=packs, since=times, seen_at=times, decision=decisions
)
zones = st.builds(
    ZoneMemory, account=texts, label=texts, id=texts, seen_at=maybe, tried_at=maybe, reason=texts, error=texts
)
histories = st.builds(
    History,
    attempts=st.integers(0, 2**40),
    trouble_since=maybe,
    last_restart_at=maybe,
    next_restart_at=maybe,
    gave_up_at=maybe,
    last_error=texts,
)
lines = st.builds(
    JournalLine,
    at=times,
    event=texts,
    account=texts,
    zone=texts,
    zone_id=texts,
    pack_id=texts,
    reason=texts,
    detail=texts,
)


@pytest.fixture
def other(store, url, kit):  # noqa: ARG001 - which made it
    """The same state, as another process has it open."""
    with kit.opened(url, exclusive=False) as other:
        yield other


def key_of(memory):
    return (memory.pack.zone_id, memory.pack.id)


@given(times)
def test_a_time_comes_back_to_the_microsecond_and_in_utc(at):
    back = rows.from_micros(rows.to_micros(at))
    assert back == at
    assert back.tzinfo is UTC


@given(times, times)
def test_stored_times_sort_as_the_times_do(one, other):
    assert (rows.to_micros(one) < rows.to_micros(other)) == (one < other)


def holds_nul(values):
    """What PostgreSQL has no place for in a text; ``model.text.clean`` takes it out of all that comes from outside."""
    return "\\x00" in repr(values)


def test_a_naive_time_is_refused():
    with pytest.raises(TypeError):
        rows.to_micros(datetime(2026, 1, 1))  # noqa: DTZ001 - the point


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(zones, unique_by=lambda zone: zone.key),
    st.lists(remembered, unique_by=key_of),
    st.dictionaries(st.tuples(texts, texts), histories),
)
def test_what_is_saved_is_what_another_process_loads(store, other, kit, zones, packs, histories):
    assume(not (store.shared and holds_nul([*zones, *packs, *histories.items()])))
    with store.writing() as connection:
        for table in (schema.zones, schema.packs, schema.histories):
            connection.execute(table.delete())
    store.save(Changes(zones=zones, packs=packs, histories=histories), kit.now)
    snapshot = other.load()
    assert snapshot.zones == {zone.key: zone for zone in zones}
    assert snapshot.packs == {key_of(pack): pack for pack in packs}
    assert snapshot.histories == {key: history for key, history in histories.items() if history != UNTROUBLED}


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(lines, max_size=5))
def test_the_journal_gives_back_its_lines_newest_first(store, kit, lines):
    assume(not (store.shared and holds_nul(lines)))
    store.save(Changes(journal=lines), kit.now)
    for line in lines:
        found = store.journal_of(line.zone_id, line.pack_id, 1000)
        assert line in found
        assert found == sorted(found, key=lambda line: line.at, reverse=True)
        assert store.journal_of(line.zone_id, line.pack_id, 1) == found[:1]


def pack(kit, pack_id="p1", *, seen_at=None, status="active"):
    shown = Pack(
        id=pack_id,
        zone_id="z1",
        type="advanced",
        status=status,
        hosts=("*.example.com", "example.com"),
        certificate_authority="google",
    )
    seen_at = seen_at or kit.t0
    return Remembered(
        account="main",
        zone="example.com",
        pack=shown,
        since=seen_at,
        seen_at=seen_at,
        decision=Decision(Do.LEAVE, Reason.HEALTHY),
    )


def test_a_second_look_replaces_the_first(store, kit):
    store.save(Changes(packs=[pack(kit)], zones=[ZoneMemory(account="main", label="example.com")]), kit.now)
    store.save(
        Changes(packs=[pack(kit, status="expired")], zones=[ZoneMemory(account="main", label="example.com", id="z1")]),
        kit.now,
    )
    snapshot = store.load()
    assert [memory.pack.status for memory in snapshot.packs.values()] == ["expired"]
    assert [zone.id for zone in snapshot.zones.values()] == ["z1"]


def test_a_forgotten_pack_takes_its_history_along(store, kit):
    store.save(Changes(packs=[pack(kit), pack(kit, "p2")], histories={("z1", "p1"): History(attempts=3)}), kit.now)
    store.save(Changes(forgotten=[("z1", "p1")]), kit.now)
    assert set(store.load().packs) == {("z1", "p2")}
    assert store.history_of("z1", "p1") == UNTROUBLED


def test_a_recovered_pack_has_no_history_left(store, kit):
    store.save(Changes(histories={("z1", "p1"): History(attempts=3), ("z1", "p2"): History(attempts=1)}), kit.now)
    store.save(Changes(histories={("z1", "p1"): UNTROUBLED}), kit.now)
    assert store.load().histories == {("z1", "p2"): History(attempts=1)}


def test_what_repeats_is_kept_in_memory_once(store, kit):
    store.save(Changes(packs=[pack(kit), pack(kit, "p2")]), kit.now)
    one, other = store.load().packs.values()
    assert one.pack.status is other.pack.status
    assert one.pack.hosts is other.pack.hosts
    assert one.decision is other.decision


def test_a_reason_this_program_does_not_know_is_no_obstacle(store, path, kit):
    store.save(Changes(packs=[pack(kit)]), kit.now)
    with sqlite3.connect(path) as other:
        other.execute("UPDATE packs SET reason = 'from_the_future'")
    other.close()
    assert store.load().packs["z1", "p1"].decision == Decision(Do.LEAVE, Reason.UNSEEN)


def test_a_text_that_has_no_utf8_form_is_a_sentence_and_the_rest_goes_on(store, kit):
    with pytest.raises(StateError, match="cannot be used"):
        store.save(Changes(packs=[pack(kit, status="\ud800")]), kit.now)
    store.save(Changes(packs=[pack(kit)]), kit.now)
    assert len(store.load().packs) == 1


def test_prune_forgets_what_is_older_than_the_given_moments_and_nothing_younger(store, kit):
    young, old = kit.t0, kit.t0 - timedelta(microseconds=1)
    store.save(
        Changes(
            zones=[
                ZoneMemory(account="main", label="y", tried_at=young),
                ZoneMemory(account="main", label="o", tried_at=old),
                ZoneMemory(account="a", label="n"),
            ],
            histories={
                ("z1", "never-listed"): History(attempts=1, last_restart_at=young),
                ("z1", "just-troubled"): History(attempts=0, trouble_since=young),
                ("z1", "long-gone"): History(attempts=1, trouble_since=old, last_restart_at=old),
                ("z1", "timeless"): History(attempts=1),
            },
            journal=[
                JournalLine(at=at, event="pack_changed", account="main", zone="z", zone_id="z1", pack_id="p")
                for at in (young, old)
            ],
        ),
        kit.now,
    )
    assert store.prune(young, young) == 4
    snapshot = store.load()
    assert set(snapshot.histories) == {("z1", "never-listed"), ("z1", "just-troubled")}
    assert {zone.label for zone in snapshot.zones.values()} == {"y", "n"}
    assert [line.at for line in store.journal_of("z1", "p", 10)] == [young]
    assert store.prune(young, young) == 0


def test_prune_keeps_every_pack_and_its_history_however_old(store, kit):
    long_ago = kit.t0 - timedelta(days=365)
    tried = History(attempts=8, trouble_since=long_ago, last_restart_at=long_ago, gave_up_at=long_ago)
    store.save(Changes(packs=[pack(kit, seen_at=long_ago)], histories={("z1", "p1"): tried}), kit.now)
    assert store.prune(kit.t0, kit.t0) == 0
    assert set(store.load().packs) == {("z1", "p1")}
    assert store.history_of("z1", "p1") == tried


def test_prune_bounds_the_journal_by_number_too(store, kit, monkeypatch):
    monkeypatch.setattr(journal, "ROWS", 3)
    line = JournalLine(at=kit.t0, event="pack_changed", account="main", zone="z", zone_id="z1", pack_id="p")
    store.save(Changes(journal=[replace(line, detail=str(n)) for n in range(10)]), kit.now)
    assert store.prune(kit.t0, kit.t0) == 7
    assert [line.detail for line in store.journal_of("z1", "p", 10)] == ["9", "8", "7"]


def test_a_batch_of_many_packs_is_written_whole(store, kit):
    store.save(Changes(packs=[pack(kit, f"p{n}") for n in range(2_000)]), kit.now)
    assert len(store.load().packs) == 2_000
