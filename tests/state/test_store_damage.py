"""A damaged state: it is set aside for a new one, never deleted, and nothing else is ever taken for damage."""

import sqlite3
from datetime import timedelta
from random import Random

import pytest

from tests.harness.time import in_simulated_time
from tests.state.conftest import confuse
from watchdog.model.decisions import Decision, Do
from watchdog.model.findings import Diagnosis
from watchdog.model.history import UNTROUBLED, History, JournalLine, JournalQuery, Remembered, ZoneMemory
from watchdog.model.packs import Pack
from watchdog.model.reasons import Reason
from watchdog.state import outbox, quarantine
from watchdog.state.changes import Changes
from watchdog.state.database import StateDamaged, StateError
from watchdog.state.migrations.upgrade import HEAD
from watchdog.state.store import Store

NAME = "state.db.damaged-20260301T120000Z"
HISTORIES = {("z1", f"p{n}"): History(attempts=1) for n in range(400)}
JUNK = b"certificates: none\n" * 500


@pytest.fixture
def mended(url, kit):
    """A state as ``run`` opens it."""
    return lambda at=kit.t0: Store.open(url, exclusive=True, mend_at=at)


@pytest.fixture
def used(url, path, kit):
    """The bytes of a state that was in use."""
    with kit.opened(url) as store:
        store.save(Changes(histories=HISTORIES), kit.now)
    return path.read_bytes()


def lies_there(path):
    return sorted(file.name for file in path.parent.glob("*damaged*"))


def lay_a_senseless_value(path):
    with sqlite3.connect(path) as other:
        other.execute("UPDATE histories SET last_error = CAST(x'ff' AS TEXT)")
    other.close()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: JUNK,
        lambda whole: bytes(len(whole)),
        lambda whole: bytes(100) + whole[100:],
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:20480] + b"\xff" * 4096 + whole[24576:],
        lambda whole: whole.replace(b"CREATE TABLE histories", b"CREATE T\xffBLE histories"),
    ],
    ids=["no database", "only zeros", "no header", "cut in half", "a page of nonsense", "no table's name"],
)
def test_a_damaged_state_is_set_aside_as_it_was_and_a_new_one_begun(path, used, mended, spoil):
    spoilt = spoil(used)
    assert spoilt != used
    path.write_bytes(spoilt)
    store = mended()
    assert store.load().histories == {}
    assert store.writable()
    assert lies_there(path)[0] == NAME
    assert path.with_name(NAME).read_bytes() == spoilt
    assert path.stat().st_mode & 0o777 == 0o600
    store.close()


def test_what_makes_no_sense_is_found_when_it_is_loaded_and_set_aside_for_the_next_start(path, used, mended, kit):
    assert used
    lay_a_senseless_value(path)
    store = mended()
    with pytest.raises(StateDamaged, match="is damaged: Could not decode"):
        store.load()
    assert store.set_aside(kit.t0) == path.with_name(NAME)
    again = mended()
    assert again.load().histories == {}
    again.close()


def test_damage_that_comes_while_it_is_open_is_kept_in_mind_and_can_be_set_aside_then(path, used, mended, kit):
    assert used
    store = mended()
    assert store.load().histories == HISTORIES
    assert store.damage is None
    confuse(path)
    with pytest.raises(StateDamaged):
        store.save(Changes(histories={("z1", "p1"): History(attempts=2)}), kit.now)
    assert "is damaged" in str(store.damage)
    store.set_aside(kit.t0)
    again = mended()
    assert again.writable()
    again.close()


def test_its_log_of_writes_goes_with_it(path, used, mended):
    path.write_bytes(JUNK)
    for part in ("-wal", "-shm"):
        path.with_name(f"state.db{part}").write_bytes(part.encode() * 100)
    mended().close()
    assert lies_there(path) == [NAME, f"{NAME}-shm", f"{NAME}-wal"]
    assert path.with_name(f"{NAME}-wal").read_bytes() == b"-wal" * 100
    assert used


def test_a_name_that_is_taken_is_never_overwritten(path, used, mended, kit):
    assert used
    for number in (1, 2, 3):
        path.write_bytes(JUNK + bytes([number]))
        mended().close()
    assert lies_there(path) == [NAME, f"{NAME}.2", f"{NAME}.3"]
    assert [path.with_name(name).read_bytes()[-1] for name in lies_there(path)] == [1, 2, 3]
    path.write_bytes(JUNK)
    mended(kit.t0 + timedelta(microseconds=1)).close()
    assert lies_there(path)[-1] == "state.db.damaged-20260301T120001Z"  # never before what happened


@pytest.mark.parametrize("exclusive", [True, False])
def test_commands_that_may_not_mend_say_it_in_a_sentence_and_leave_everything_where_it_is(url, path, used, exclusive):
    assert used
    path.write_bytes(JUNK)
    with pytest.raises(StateDamaged, match="is damaged: it is not a SQLite database any more"):
        Store.open(url, exclusive=exclusive)
    assert path.read_bytes() == JUNK
    assert lies_there(path) == []


def test_a_file_that_never_was_a_state_is_left_alone_however_often_it_is_tried(path, mended):
    path.write_bytes(JUNK)
    for _ in range(2):
        with pytest.raises(StateError, match="nor ever was a state: choose another path"):
            mended()
    assert path.read_bytes() == JUNK
    assert list(path.parent.iterdir()) == [path]


def test_a_newer_state_and_somebody_elses_database_are_no_damage(path, used, mended):
    assert used
    with sqlite3.connect(path) as other:
        other.execute("UPDATE alembic_version SET version_num = '9999'")
    other.close()
    with pytest.raises(StateError, match=f"newer version .*this one knows {HEAD}"):
        mended()
    path.unlink()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE recipes (name)")
    other.close()
    with pytest.raises(StateError, match="is a database of something else"):
        mended()
    assert lies_there(path) == []


def test_a_disk_that_takes_nothing_and_a_writer_that_does_not_end_are_no_damage(path, used, mended, kit):
    with kit.no_room(), pytest.raises(StateError, match="cannot be read or written") as refused:
        mended()
    assert not isinstance(refused.value, StateDamaged)
    assert path.read_bytes() == used
    assert lies_there(path) == []
    store = mended()
    store.close()
    with pytest.raises(StateError, match="closed") as closed:
        store.load()
    assert not isinstance(closed.value, StateDamaged)
    assert store.damage is None


@pytest.mark.parametrize("query", [JournalQuery(before=2**63), JournalQuery(zone="\udcff")], ids=["number", "text"])
@pytest.mark.usefixtures("used")
def test_a_question_that_no_database_could_be_asked_is_no_damage(mended, query):
    store = mended()
    with pytest.raises(StateError) as refused:
        store.journal(query)
    assert not isinstance(refused.value, StateDamaged)
    assert store.damage is None
    store.close()


def test_the_last_loss_is_remembered_over_every_start_and_a_first_start_knows_of_none(path, used, mended, kit):
    first = mended()
    assert (first.lost, used[:6]) == (None, b"SQLite")
    first.close()
    for days in (0, 2, 1):
        path.write_bytes(JUNK)
        mended(kit.t0 + timedelta(days=days)).close()
    store = mended(kit.t0 + timedelta(days=9))
    assert store.lost == quarantine.Quarantined(
        kit.t0 + timedelta(days=2), path.with_name("state.db.damaged-20260303T120000Z")
    )
    store.close()


@pytest.mark.parametrize("moved", [["-wal"], ["-wal", "-shm"], ["-wal", "-shm", ""]])
def test_a_kill_between_the_moves_leaves_a_loss_that_the_next_start_knows_of(path, used, mended, kit, moved):
    assert used
    for part in ("", "-wal", "-shm"):
        path.with_name(f"state.db{part}").write_bytes(JUNK)
    for part in moved:
        path.with_name(f"state.db{part}").rename(path.with_name(f"{NAME}{part}"))
    store = mended(kit.t0 + timedelta(minutes=1))
    assert store.lost.at >= kit.t0
    assert store.writable()
    kept = [path.with_name(name).read_bytes() for name in lies_there(path) if not name.endswith("-shm")]
    assert kept == [JUNK] * 2
    store.close()


def test_other_names_beside_the_state_are_no_losses(path, used):
    assert used
    for name in ("state.db.damaged", "state.db.damaged-20269999T000000Z", "other.db.damaged-20260301T120000Z"):
        path.with_name(name).touch()
    assert quarantine.last_loss(path) is None
    assert quarantine.last_loss(path.with_name("nowhere") / "state.db") is None


@in_simulated_time
async def test_a_loss_in_the_future_by_a_clock_that_was_set_back_is_taken_for_one_of_this_start(path, used, mind, kit):
    assert used
    path.with_name("state.db.damaged-20991231T000000Z").touch()
    async with mind() as memory:
        assert memory.lost_at == kit.t0


def spoil(whole, dice):
    """A state with something wrong in it: a bit, some bytes, a stretch of zeros, the end missing."""
    spoilt, at = bytearray(whole), dice.randrange(len(whole))
    match dice.randrange(4):
        case 0:
            spoilt[at] ^= 1 << dice.randrange(8)
        case 1:
            for _ in range(20):
                spoilt[dice.randrange(len(whole))] = dice.randrange(256)
        case 2:
            length = min(dice.choice([16, 512, 4096]), len(whole) - at)
            spoilt[at : at + length] = bytes(length)
        case _:
            del spoilt[max(at, 1) :]
    return spoilt


@pytest.mark.process  # no process, but seconds
def test_whatever_is_wrong_with_the_file_a_start_or_the_one_after_it_works(path, mended, kit):
    store = mended()
    packs = [
        Pack(
            id=f"p{n}",
            zone_id="z1",
            type="advanced",
            status="active",
            hosts=(f"h{n}.example",),
            certificate_authority="google",
            expires_at=kit.t0,
        )
        for n in range(40)
    ]
    known = [
        Remembered(
            account="main",
            zone="z",
            pack=pack,
            since=kit.t0,
            seen_at=kit.t0,
            decision=Decision(Do.LEAVE, Reason.HEALTHY),
        )
        for pack in packs
    ]
    found = {("z1", f"p{n}"): Diagnosis(kit.t0, (), "tokens") for n in range(9)}
    lines = [
        JournalLine(
            at=kit.t0, event="pack_changed", account="main", zone="z", zone_id="z1", pack_id="p1", detail="x" * 90
        )
        for _ in range(40)
    ]
    store.save(
        Changes(
            zones=[ZoneMemory(account="main", label="z", id="z1", seen_at=kit.t0, tried_at=kit.t0)],
            packs=known,
            histories=HISTORIES,
            diagnoses=found,
            journal=lines,
        ),
        kit.now,
    )
    store.intend(kit.intent("p500"), UNTROUBLED, kit.after(kit.intent("p500")), kit.now)
    store.close()
    whole = path.read_bytes()
    for seed in range(200):
        for file in path.parent.glob("state.db*"):
            file.unlink()
        path.with_name("state.db.lock").touch()
        path.write_bytes(spoil(whole, Random(seed)))  # noqa: S311 - a seed gives the same again
        for last in (False, True):
            store = mended()
            try:
                store.load()
                store.open_intents()
                store.restarts_since(kit.t0)
                outbox.load(store)
                store.save(Changes(packs=known, journal=lines), kit.now)
                store.prune(kit.t0, kit.t0)
                break
            except StateDamaged:
                assert not last, f"seed {seed}"
                store.set_aside(kit.t0)
            finally:
                store.close()


@pytest.mark.parametrize("column", ["until", "requests"])
def test_a_booking_that_makes_no_sense_is_damage(url, path, kit, column):
    with kit.opened(url) as store:
        store.book("main", "boot", 100.0, 37, 0.0)
        with sqlite3.connect(path) as other:
            other.execute(f"UPDATE bookings SET {column} = 'soon'")  # noqa: S608 - of the two above
        other.close()
        with pytest.raises(StateDamaged):
            store.booked("boot")
