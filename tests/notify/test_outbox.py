"""The alert log and the outbox on a real disk: what was written is read back, whole or not at all, whatever dies."""

import os
import signal
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.alerting import Receiver
from tests.harness.builders import T0, alert, firing, message, notice
from tests.harness.fleet import pragma
from tests.harness.postgresql import needs_postgresql, postgresql
from watchdog.model.alerts import (
    Alert,
    AlertLog,
    AlertState,
    GroupHistory,
    Kind,
    Message,
    MessageStatus,
    Notice,
    Phase,
)
from watchdog.model.meanings import ALERTS
from watchdog.model.packs import ManualRecord
from watchdog.model.reasons import Severity
from watchdog.state import outbox
from watchdog.state.database import StateError
from watchdog.state.outbox import Unwritten
from watchdog.state.store import Store

ROOT = Path(__file__).parents[2]


@contextmanager
def opened(folder):
    store = Store.open(f"sqlite:///{folder / 'state.db'}", exclusive=True)
    try:
        yield store
    finally:
        store.close()


@pytest.fixture
def store(tmp_path):
    with opened(tmp_path) as found:
        yield found


@pytest.fixture(scope="module")
def shared():
    """On a real PostgreSQL; for all tests here, each of which leaves it empty."""
    needs_postgresql()
    with postgresql() as server:
        found = Store.open(server.url("outbox"), exclusive=True)
        yield found
        found.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real)])
def either(request):
    """On SQLite, and on PostgreSQL."""
    return request.getfixturevalue("store" if request.param == "sqlite" else "shared")


def full(store, pages=1):
    """The disk takes nothing more."""
    pragma(store, f"max_page_count = {pragma(store, 'page_count') + pages}")


# PostgreSQL's texts have no NUL, and no name of ours has one.
texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=20)
times = st.timedeltas(timedelta(0), timedelta(days=36500)).map(lambda since: datetime(2000, 1, 1, tzinfo=UTC) + since)
alerts = st.builds(
    Alert,
    reason=st.sampled_from(sorted(ALERTS)),
    severity=st.sampled_from(list(Severity)),
    subject=texts,
    summary=texts,
    since=times,
    body=texts,
    hosts=st.lists(texts, max_size=3).map(tuple),
    records=st.lists(st.builds(ManualRecord, texts, texts, texts), max_size=2).map(tuple),
    patience=st.timedeltas(timedelta(0), timedelta(days=30)),
)
states = st.builds(
    AlertState,
    alert=alerts,
    phase=st.sampled_from(list(Phase)),
    first_at=times,
    notified_at=st.none() | times,
    notified=st.tuples(st.integers(-1, 2), st.integers(-1, 100)),
    ceased_at=st.none() | times,
    ended_at=st.none() | times,
    flaps=st.integers(0, 100),
)
letters = st.builds(
    Message,
    id=st.integers(1, 2**40),
    destination=texts,
    status=st.sampled_from(list(MessageStatus)),
    reason=texts,
    severity=st.sampled_from(list(Severity)),
    title=texts,
    body=texts,
    at=times,
    total=st.integers(1, 10**6),
    notices=st.lists(st.builds(Notice, st.sampled_from(list(Kind)), alerts, st.none() | times), max_size=3).map(tuple),
)


@given(
    st.dictionaries(texts, states, max_size=3),
    st.dictionaries(texts, st.builds(GroupHistory, times, st.integers(1, 1000), st.none() | times), max_size=3),
    st.lists(letters, max_size=3, unique_by=lambda each: each.id),
)
@settings(max_examples=60)
def test_what_was_written_is_read_back(tmp_path_factory, log, groups, sent):
    with opened(tmp_path_factory.mktemp("state")) as store:
        written_and_read(store, log, groups, sent)


@pytest.mark.real
@given(
    st.dictionaries(texts, states, max_size=3),
    st.dictionaries(texts, st.builds(GroupHistory, times, st.integers(1, 1000), st.none() | times), max_size=3),
    st.lists(letters, max_size=3, unique_by=lambda each: each.id),
)
@settings(max_examples=20)
def test_what_was_written_is_read_back_from_postgresql_too(shared, log, groups, sent):
    written_and_read(shared, log, groups, sent)


def written_and_read(store, log, groups, sent):
    outbox.save(store, Unwritten(dict(log), dict(groups), {each.id: each for each in sent}))
    kept = outbox.load(store)
    assert kept.log == AlertLog(log, groups)
    assert kept.messages == sorted(sent, key=lambda each: each.id)
    gone = outbox.difference(kept.log, AlertLog())
    gone.messages |= dict.fromkeys(each.id for each in sent)
    outbox.save(store, gone)
    assert (outbox.load(store).log, outbox.load(store).messages) == (AlertLog(), [])


def test_an_id_is_never_given_twice_even_when_its_letter_is_gone(either):
    last = outbox.load(either).last_id + 7
    outbox.save(either, Unwritten(messages={last: message(last)}))
    outbox.save(either, Unwritten(messages={last: None}))
    assert outbox.load(either).last_id == last


def test_what_is_said_and_the_letters_that_say_it_are_written_together_or_not_at_all(store):
    full(store)
    many = {number: message(number, "ops", notice(Kind.STARTED, body="x" * 10_000)) for number in range(1, 50)}
    with pytest.raises(StateError, match="disk is full"):
        outbox.save(store, Unwritten({alert().fingerprint: firing(alert(), notified_at=T0)}, {}, many))
    assert outbox.load(store) == outbox.Kept(AlertLog(), [], 0)


def test_of_what_changed_twice_the_later_stands():
    first = Unwritten({"a": firing(alert()), "b": None}, {}, {1: message(1)})
    first.merge(Unwritten({"a": None}, {"g": GroupHistory(T0)}, {1: None}))
    assert first == Unwritten({"a": None, "b": None}, {"g": GroupHistory(T0)}, {1: None})


def test_of_what_is_dropped_no_account_is_named_any_more():
    kept = Unwritten(messages={1: None, 2: None}, accounts={1: "main", 2: "other"})
    kept.drop("main")
    assert kept == Unwritten(messages={2: None}, accounts={2: "other"})


def test_rows_of_a_newer_program_are_left_out_and_the_others_read(either):
    outbox.save(
        either,
        Unwritten({"a": firing(alert()), "b": firing(alert())}, {}, {1: message(1), 2: message(2)}),
    )
    with either.writing() as database:
        database.exec_driver_sql(
            "UPDATE alert_log SET entry = replace(entry, 'gave_up', 'novel') WHERE fingerprint = 'a'"
        )
        database.exec_driver_sql("UPDATE outbox SET message = 'no json' WHERE id = 1")
    kept = outbox.load(either)
    outbox.save(either, Unwritten({"a": None, "b": None}, {}, {1: None, 2: None}))
    assert (list(kept.log.states), [each.id for each in kept.messages]) == (["b"], [2])


LIFE = textwrap.dedent(
    """
    import asyncio, sys
    from pathlib import Path
    from tests.harness.alerting import gave_up, living
    from tests.harness.builders import inventory, pack, zone
    from watchdog.model.report import PassReport
    from watchdog.notify.http import HttpSender
    import tests.harness.alerting as household
    from watchdog.clock import RealClock

    household.LoopClock = RealClock
    folder, port, ailing = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "ailing"

    async def life():
        hook = f"  destinations: [{{name: hook, webhook: 'http://127.0.0.1:{port}/'}}]\\n"
        async with living(folder, None, hook) as runtime:
            packs = [gave_up()] if ailing else [pack("p1")]
            await runtime.pipeline.after_pass(inventory(*packs))
            print("considered", flush=True)
            await asyncio.sleep(60)

    asyncio.run(life())
    """
)


def lived_and_killed(folder, port, how):
    """A process that considers a pass, until it says so; then it is killed."""
    command = [sys.executable, "-c", LIFE, str(folder), str(port), how]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT) as process:
        assert process.stdout.readline() == "considered\n"
        process.send_signal(signal.SIGKILL)
        process.wait(10)


@pytest.mark.process
def test_a_daemon_that_is_killed_again_and_again_while_its_receiver_is_down_tells_everything_in_the_end(tmp_path):
    with Receiver() as hook:
        port = hook.port
    lived_and_killed(tmp_path, port, "ailing")
    with opened(tmp_path) as store:
        assert [each.status for each in outbox.load(store).messages] == ["firing"]
    lived_and_killed(tmp_path, port, "ailing")
    with opened(tmp_path) as store:  # nothing new was said of what was said
        assert len(outbox.load(store).messages) == 1
    with Receiver(port) as hook:
        lived_and_told(tmp_path, hook)
        assert [got.json["status"] for got in hook.got] == ["firing"]
    with opened(tmp_path) as store:
        assert outbox.load(store).messages == []


def lived_and_told(folder, hook):
    """A process that lives until the receiver has got what waited, and has taken note of that."""
    command = [sys.executable, "-c", LIFE, str(folder), str(hook.port), "ailing"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT) as process:
        assert process.stdout.readline() == "considered\n"
        assert hook.wait_for(1)
        process.send_signal(signal.SIGINT)  # a goodbye: what became of the letter is noted
        process.wait(10)
