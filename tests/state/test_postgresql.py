"""What only a state on PostgreSQL has: its schema, one migration at a time, and what is said when it cannot be used."""

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta

import psycopg
import pytest
import sqlalchemy as sa

from tests.harness.postgresql import pgbouncer
from tests.harness.postgresql import postgresql as a_server
from watchdog.model.history import UNTROUBLED, ZoneMemory
from watchdog.state import libpq, patient, postgresql, schema
from watchdog.state.changes import Changes
from watchdog.state.database import StateError, StateTooNew
from watchdog.state.store import Store

pytestmark = pytest.mark.real


def refusal(url, *, exclusive=True):
    with pytest.raises(StateError) as refused:
        Store.open(url, exclusive=exclusive)
    return str(refused.value)


def test_two_deployments_share_a_database(server, kit):
    with kit.opened(server.url("one")) as one, kit.opened(server.url("two")) as two:
        one.intend(kit.intent(), UNTROUBLED, kit.after(kit.intent()), kit.now)
        assert len(one.open_intents()) == 1
        assert two.open_intents() == []


def test_however_many_begin_at_once_the_tables_are_made_once(server, kit):
    url, together = server.url("at_once"), threading.Barrier(5)

    def begin():
        together.wait(10)
        Store.open(url, exclusive=True).close()

    with ThreadPoolExecutor(5) as threads:
        for done in [threads.submit(begin) for _ in range(5)]:
            done.result(20)
    with kit.opened(url) as store:
        assert store.load().packs == {}


def test_what_is_not_there_yet_is_not_made_by_who_only_reads(server):
    assert "is not there yet: nothing has run with this configuration" in refusal(server.url("never"), exclusive=False)


def test_tables_of_something_else_are_left_alone(server):
    server.execute("CREATE SCHEMA other")
    server.execute("CREATE TABLE other.shop (id int)")
    assert "is a database of something else: name another schema in state.url" in refusal(server.url("other"))


def test_a_newer_state_is_refused(server, kit):
    with kit.opened(server.url("newer")) as store, store.writing() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StateTooNew, match="was written by a newer version of this program"):
        Store.open(server.url("newer"), exclusive=True)


def test_a_server_that_is_not_there_is_said_in_a_sentence():
    said = refusal("postgresql://u:s3cret@127.0.0.1:1/certs")
    assert said.startswith("the state certs at 127.0.0.1 (schema certpack_watchdog) cannot be reached: ")
    assert "s3cret" not in said


def test_a_database_that_is_not_there_is_said_in_a_sentence(server):
    url = f"postgresql://postgres:s3cret@127.0.0.1:{server.port}/nowhere"
    assert "nowhere at 127.0.0.1 (schema certpack_watchdog) " in refusal(url)
    assert "s3cret" not in refusal(url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:s3cret@h/d?nonsense=1",
        "postgresql://u:s3cret%word@h/d",
        "postgresql://u:s3cret%00@h/d",
        "postgresql://u@h/d?password=s3cret%zz",
        "postgresql://u@h/d?s3cret",
        "postgresql://u:s3cret@[::1/d?schema=x",
        "postgresql://u:s3cret@[::1]x/d?schema=x",
    ],
)
def test_a_url_that_libpq_does_not_take_is_refused_without_its_password(url):
    said = refusal(url)
    assert said.startswith("state.url is not understood: ")
    assert "s3cret" not in said


def test_without_the_driver_it_says_what_to_install(monkeypatch):
    def missing(name, *_):
        raise ImportError(name)

    monkeypatch.setattr(libpq, "import_module", missing)
    assert refusal("postgresql://h/d") == (
        "a state on PostgreSQL needs the extra `postgresql`: pip install certpack-watchdog[postgresql]"
    )


def test_a_process_that_is_stopped_in_a_transaction_keeps_nobody_waiting_for_long(server, kit, monkeypatch):
    monkeypatch.setattr(postgresql, "_STOPPED", "100ms")
    with kit.opened(server.url("stopped")) as one, kit.opened(server.url("stopped")) as two, ExitStack() as held:
        held.enter_context(one.writing()).execute(sa.select(schema.meta).with_for_update())
        assert two.writable()  # it waits for the lock, until the server ends the other's transaction
        with pytest.raises(StateError):
            held.close()


WRITING = """
import sys
import sqlalchemy as sa
from watchdog.state import postgresql, schema
from watchdog.state.database import execute_each
from watchdog.state.store import Store
postgresql._STOPPED = "100ms"
with Store.open(sys.argv[1], exclusive=False).writing() as connection:
    touch = sa.update(schema.meta).values(outside_writes=sa.bindparam("writes"))
    execute_each(connection, touch, [{"writes": 0}] * 2)
    print(flush=True)
    while True:
        execute_each(connection, touch, [{"writes": 0}] * 1000)
"""


def test_nor_does_one_that_is_stopped_while_it_writes_many_rows(server, kit):
    with kit.opened(server.url("writing")) as other:
        command = [sys.executable, "-c", WRITING, server.url("writing")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": "."}) as process:
            try:
                assert process.stdout.readline() == b"\n"
                process.send_signal(signal.SIGSTOP)
                assert other.writable()
            finally:
                process.kill()


def test_after_the_server_was_restarted_the_next_transaction_works(server, kit):
    with kit.opened(server.url("restarted")) as store:
        server.restart()
        assert store.writable()


def test_zones_that_are_looked_at_for_days_take_no_more_room(server, kit):
    def round_of_looks(store, number):
        at = kit.t0 + number * timedelta(minutes=15)
        for first in range(0, 1000, 50):
            seen = [
                ZoneMemory(account="main", label=f"{each}.example", id="0" * 32, seen_at=at, tried_at=at)
                for each in range(first, first + 50)
            ]
            store.save(Changes(zones=seen), kit.now)

    def size():
        [(found,)] = server.execute("SELECT pg_total_relation_size('looks.zones')")
        return found

    with kit.opened(server.url("looks")) as store:
        round_of_looks(store, 0)
        server.execute("ALTER TABLE looks.zones SET (autovacuum_enabled = off)")
        before = size()
        for number in range(1, 9):
            round_of_looks(store, number)
    assert size() < 1.5 * before


def test_an_answer_that_a_pooler_keeps_back_while_its_server_is_away_is_not_waited_for(kit, monkeypatch):
    with a_server() as server, pgbouncer(server) as port, kit.opened(server.url("away", port)) as store:
        connection = patient.PatientConnection.connect(host="127.0.0.1", port=port, user="postgres", autocommit=True)
        server.stop("immediate")
        monkeypatch.setattr(patient, "ANSWERS_WITHIN", 0.3)
        with pytest.raises(psycopg.OperationalError, match=r"it has not answered within 0\.3 s"):
            connection.execute("SELECT 1")
        assert connection.closed
        with pytest.raises(StateError, match="cannot be reached"):
            store.roster.roll()
