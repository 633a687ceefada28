"""Opening: one instance, the right tables, and one clear sentence for everything that is wrong with the file."""

import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from tests.harness.fleet import by_core, pragma
from watchdog.model.history import UNTROUBLED, History, JournalLine
from watchdog.state import migrations, schema
from watchdog.state.changes import Changes
from watchdog.state.database import StateError, StateHeld
from watchdog.state.deferred import real
from watchdog.state.glance import Glance, Unusual
from watchdog.state.migrations.upgrade import HEAD
from watchdog.state.store import Store

HOLDS = """
import sys
from watchdog.state.store import Store
store = Store.open(sys.argv[1], exclusive=True)
print("held", flush=True)
sys.stdin.read()
"""


def refusal(url, *, exclusive=True):
    with pytest.raises(StateError) as refused:
        Store.open(url, exclusive=exclusive)
    said = str(refused.value)
    assert "\n" not in said
    assert "Traceback" not in said
    return said


def start_holder(url):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    holder = subprocess.Popen([sys.executable, "-c", HOLDS, url], **pipes)
    assert holder.stdout.readline() == b"held\n"
    return holder


@pytest.mark.process
def test_a_second_instance_is_refused_and_told_by_whom_until_the_first_is_killed(url, path, kit):
    with start_holder(url) as holder:
        with pytest.raises(StateHeld, match=rf"{re.escape(str(path))} is held by process {holder.pid}:") as held:
            Store.open(url, exclusive=True)
        assert held.value.pid == str(holder.pid)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with kit.opened(url) as store:
            assert store.writable()


@pytest.mark.usefixtures("store")
def test_another_spelling_of_the_path_is_the_same_state(path, tmp_path):
    link = tmp_path / "link.db"
    link.symlink_to(path)
    with pytest.raises(StateHeld, match=f"process {os.getpid()}"):
        Store.open(f"sqlite:///{link}", exclusive=True)


def test_closing_lets_the_next_one_in_and_a_second_close_does_nothing(url, path, kit):
    store = Store.open(url, exclusive=True)
    store.close()
    store.close()
    assert path.with_name("state.db.lock").read_text() == ""
    with kit.opened(url):
        pass


def test_a_refused_opening_lets_the_lock_go(url, path, kit):
    path.write_bytes(b"not a database at all" * 100)
    refusal(url)
    path.unlink()
    with kit.opened(url):
        pass


def test_a_look_at_the_state_works_beside_a_daemon(url, store, kit):
    store.save(Changes(histories={("z1", "p1"): History(attempts=1)}), kit.now)
    with kit.opened(url, exclusive=False) as looking:
        store.save(Changes(histories={("z1", "p1"): History(attempts=2)}), kit.now)
        assert looking.load().histories == {("z1", "p1"): History(attempts=2)}


def test_what_is_created_is_for_its_owner_alone(store, path, kit):
    store.save(Changes(histories={("z1", "p1"): History(attempts=1)}), kit.now)
    names = {"state.db", "state.db-wal", "state.db-shm", "state.db.lock"}
    assert {entry.name for entry in path.parent.iterdir()} == names
    for name in names:
        assert stat.S_IMODE(path.with_name(name).stat().st_mode) == 0o600


def test_the_connection_is_as_durable_as_promised(store):
    names = ("synchronous", "foreign_keys", "busy_timeout", "journal_mode")
    settings = {name: pragma(store, name) for name in names}
    assert settings == {"synchronous": 2, "foreign_keys": 1, "busy_timeout": 5000, "journal_mode": "wal"}


def test_the_revision_kept_beside_alembic_is_alembics_own():
    assert ScriptDirectory(migrations.__path__[0]).get_heads() == [HEAD]


def test_the_migrations_lead_to_the_tables_that_are_used(store):
    with by_core(store) as connection:
        assert compare_metadata(MigrationContext.configure(connection), real(schema.metadata)) == []


def test_columns_lie_in_the_order_the_rows_are_written(store):
    with by_core(store) as connection:
        for table in real(schema.metadata).tables.values():
            found = [column["name"] for column in sa.inspect(connection).get_columns(table.name)]
            assert found == [column.name for column in table.columns]


@pytest.mark.process
def test_a_current_state_is_opened_without_alembic_and_without_the_orm(url, store):
    store.close()
    code = (
        "import sys; from watchdog.state.store import Store; Store.open(sys.argv[1], exclusive=True).close();"
        "sys.exit(any(name in sys.modules for name in ('alembic', 'sqlalchemy.orm')))"
    )
    assert subprocess.run([sys.executable, "-c", code, url], check=False).returncode == 0


def test_a_first_start_without_room_leaves_half_of_nothing_and_the_next_one_works(url, kit):
    with kit.no_room(beyond=8192):
        assert "cannot be read or written" in refusal(url)
    with kit.opened(url) as store:
        assert store.writable()


@pytest.mark.parametrize("exclusive", [True, False])
def test_a_newer_state_is_refused(url, path, store, exclusive):
    store.close()
    with sqlite3.connect(path) as other:
        other.execute("UPDATE alembic_version SET version_num = '9999'")
    other.close()
    assert f"newer version of this program (revision 9999; this one knows {HEAD})" in refusal(url, exclusive=exclusive)


def test_an_older_state_that_no_revision_leads_from_is_refused(url, path, store):
    store.close()
    with sqlite3.connect(path) as other:
        other.execute("UPDATE alembic_version SET version_num = '0000'")
    other.close()
    assert "not up to date yet" in refusal(url, exclusive=False)
    assert "cannot be brought up to date" in refusal(url)


def test_someone_elses_database_is_left_alone(url, path):
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE recipes (name)")
    other.close()
    assert "is a database of something else" in refusal(url)
    with sqlite3.connect(path) as other:
        assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("recipes",)]
    other.close()


def test_what_is_wrong_with_the_place_is_said(tmp_path, path, url):
    assert refusal(url, exclusive=False) == f"there is no state at {path} yet: nothing has run with this configuration"
    assert not path.exists()
    missing = f"the directory {tmp_path / 'no'} does not exist: create it for the user that runs the watchdog"
    assert refusal(f"sqlite:///{tmp_path}/no/state.db") == missing
    assert "is a directory" in refusal(f"sqlite:///{tmp_path}")
    os.mkfifo(tmp_path / "pipe")
    assert refusal(f"sqlite:///{tmp_path}/pipe").endswith("is a pipe or a device; state.url must name a file")
    path.with_name("state.db.lock").mkdir()
    assert "lock file" in refusal(url)


def test_a_relative_place_in_a_folder_that_is_gone_is_a_sentence(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert "starts at a working directory that does not exist" in refusal("sqlite:///state.db", exclusive=False)
    with pytest.raises(Unusual):
        Glance.open("sqlite:///state.db")


@pytest.mark.parametrize(
    "url", ["", "nonsense", "sqlite://", "sqlite:///:memory:", "mysql://h/d", "sqlite:////x?mode=ro"]
)
def test_a_state_that_is_no_database_server_is_a_sqlite_file(url):
    assert refusal(url) == "state.url must be sqlite:///PATH, with four slashes for an absolute path"


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(url, path):
    path.write_bytes(b"certificates: none\n" * 500)
    strange = f"{path} is not a SQLite database, nor ever was a state: choose another path in state.url"
    assert refusal(url) == strange
    assert refusal(url, exclusive=False) == strange
    assert path.read_bytes() == b"certificates: none\n" * 500


def test_a_damaged_database_is_a_sentence_when_its_pages_are_read(url, path, kit):
    with kit.opened(url) as store:
        store.save(Changes(histories={("z1", f"p{n}"): History(attempts=n) for n in range(1, 2000)}), kit.now)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(b"\xff" * (size - 4096 * 3))
    with pytest.raises(StateError, match="is damaged"), kit.opened(url) as store:
        store.load()


@contextmanager
def unprivileged():
    """As a user to whom modes mean something, also where the tests run as root."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def public():
    """A directory that such a user can reach, which pytest's own is not."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(os.path.realpath(name))
        directory.chmod(0o777)
        yield directory
        directory.chmod(0o700)


@pytest.mark.parametrize(("mode", "said"), [(0o000, "cannot be opened"), (0o444, "cannot be written by this user")])
def test_a_file_this_user_may_not_read_or_write_is_a_sentence(public, mode, said):
    (public / "state.db").touch()
    (public / "state.db").chmod(mode)
    with unprivileged():
        assert said in refusal(f"sqlite:///{public}/state.db")


@pytest.mark.parametrize("exclusive", [True, False])
def test_a_directory_this_user_may_not_enter_is_not_called_missing(public, exclusive):
    (public / "inner").mkdir()
    (public / "inner").chmod(0o000)
    with unprivileged():
        said = refusal(f"sqlite:///{public}/inner/state.db", exclusive=exclusive)
    assert said == f"the state {public}/inner/state.db cannot be reached: Permission denied"


def test_a_directory_this_user_may_not_write_is_a_sentence_and_keeps_no_lock(public):
    (public / "state.db.lock").touch()
    (public / "state.db.lock").chmod(0o666)
    public.chmod(0o555)
    with unprivileged():
        for _ in range(2):
            assert "cannot be created: Permission denied" in refusal(f"sqlite:///{public}/state.db")


def test_a_writer_that_does_not_end_is_a_sentence(store, path, kit):
    pragma(store, "busy_timeout = 10")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StateError, match="is locked by another process"):
        store.save(Changes(), kit.now)
    assert not store.writable()
    other.execute("ROLLBACK")
    other.close()
    assert store.writable()


def test_a_database_that_may_not_grow_refuses_whole_and_works_again_with_more_room(store, kit):
    pragma(store, f"max_page_count = {pragma(store, 'page_count')}")
    lines = [
        JournalLine(
            at=kit.t0, event="pack_changed", account="main", zone="z", zone_id="z1", pack_id="p", detail="x" * 500
        )
        for _ in range(100)
    ]
    with pytest.raises(StateError, match="cannot be written: the disk is full"):
        store.save(Changes(histories={("z1", "p1"): History(attempts=1)}, journal=lines), kit.now)
    assert store.load().histories == {}
    assert store.journal_of("z1", "p", 10) == []
    pragma(store, "max_page_count = 100000")
    store.save(Changes(histories={("z1", "p1"): History(attempts=1)}, journal=lines), kit.now)
    assert store.load().histories == {("z1", "p1"): History(attempts=1)}


def test_a_disk_that_takes_no_byte_is_not_ready_and_is_again_when_it_does(store, kit):
    assert store.writable()
    intent = kit.intent()
    with kit.no_room(beyond=1):
        ready = store.writable()
        with pytest.raises(StateError, match="cannot be read or written"):
            store.intend(intent, UNTROUBLED, kit.after(intent), kit.now)
    assert not ready
    assert store.writable()
    assert store.open_intents() == []
    store.intend(intent, UNTROUBLED, kit.after(intent), kit.now)
    assert store.restarts_since(kit.t0 - timedelta(hours=1)) == [("main", kit.t0)]


def test_a_closed_store_says_so(store):
    store.close()
    with pytest.raises(StateError, match="closed"):
        store.load()
    assert not store.writable()


def test_a_damaged_state_in_a_directory_this_user_may_not_write_is_a_sentence_that_says_both(public):
    (public / "state.db").write_bytes(b"x" * 5000)
    for name in ("state.db", "state.db.lock"):
        (public / name).touch()
        (public / name).chmod(0o666)
    public.chmod(0o555)
    with unprivileged(), pytest.raises(StateError) as refused:
        Store.open(f"sqlite:///{public}/state.db", exclusive=True, mend_at=datetime(2026, 3, 1, tzinfo=UTC))
    assert "is damaged: it is not a SQLite database any more; and it cannot be set aside: Perm" in str(refused.value)
    assert {file.name for file in public.iterdir()} == {"state.db", "state.db.lock"}
