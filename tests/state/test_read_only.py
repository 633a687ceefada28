"""Claims about a state that another user may only read, as somebody at a shell who is not the daemon."""

import os
import shutil
import tempfile
import traceback
from pathlib import Path

import pytest

from tests.state.conftest import NOW, T0, opened
from watchdog.model.history import JournalLine
from watchdog.state.changes import Changes

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
NOBODY = 65534


@pytest.fixture
def folder():
    """Where others may look and nobody else may write."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def url(folder):
    return f"sqlite:///{folder}/state.db"


def write(store):
    line = JournalLine(at=T0, event="gave_up", account="main", zone="example.com", zone_id="z1", pack_id="p1")
    store.save(Changes(journal=[line]), NOW)


def as_nobody(url):
    """How many lines of the journal another user reads."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            with opened(url, exclusive=False) as store:
                os.write(writing, str(len(store.journal_of("z1", "p1", 10))).encode())
        except BaseException:  # noqa: BLE001 - the other process has no other way to say so
            os.write(writing, traceback.format_exc().encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as said:
        return said.read()


def test_it_is_read_beside_the_daemon_that_writes_it(url, folder):
    with opened(url):
        (folder / "state.db").chmod(0o644)
    with opened(url) as store:
        write(store)
        assert as_nobody(url) == "1"


def test_it_is_read_after_the_daemon_has_ended(url, folder):
    with opened(url) as store:
        write(store)
    (folder / "state.db").chmod(0o644)
    assert as_nobody(url) == "1"


def test_reading_it_leaves_nothing_behind(url, folder):
    with opened(url) as store:
        write(store)
    (folder / "state.db").chmod(0o644)
    before = sorted(path.name for path in folder.iterdir())
    as_nobody(url)
    assert sorted(path.name for path in folder.iterdir()) == before


def test_one_that_may_not_be_read_at_all_is_a_sentence(url):
    with opened(url) as store:
        write(store)
    assert "this user must be able to read" in as_nobody(url)
