"""A state of its own for every test, closed at its end."""

import inspect
import os
import resource
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from tests.harness.postgresql import pgbouncer, postgresql
from watchdog.model.clock import Anchor
from watchdog.model.history import History, Intent
from watchdog.model.packs import Pack
from watchdog.state.intents import Intents
from watchdog.state.memory import Memory
from watchdog.state.store import Store

OF_EACH_DATABASE = {
    "test_booked_beside",
    "test_journal",
    "test_store_copies",
    "test_store_intents",
    "test_store_keeps",
    "test_store_looks",
    "test_store_moves",
    "test_store_silences",
    "test_unread",
}
"""The modules whose claims hold for every kind of database."""

_schemas = count(1)

T0 = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


NOW = Anchor(T0, 0.0, "boot")


def make_intent(pack_id="p1", *, attempt=1, at=T0, account="main"):
    return Intent(
        account=account,
        zone="example.com",
        zone_id="z1",
        pack_id=pack_id,
        attempt=attempt,
        at=at,
        next_restart_at=at + timedelta(minutes=15),
    )


def make_pack(pack_id="p1"):
    return Pack(id=pack_id, zone_id="z1", type="advanced", status="validation_timed_out", hosts=("example.com",))


def after(intent):
    return History(
        attempts=intent.attempt, trouble_since=T0, last_restart_at=intent.at, next_restart_at=intent.next_restart_at
    )


@contextmanager
def opened(url, *, exclusive=True):
    store = Store.open(url, exclusive=exclusive)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def no_room(*, beyond=1):
    """The kernel refuses every write past ``beyond`` bytes of a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (beyond, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def confuse(path):
    """As a bad page would, under an open connection: its table lies nowhere now."""
    with sqlite3.connect(path) as other:
        [version] = other.execute("PRAGMA schema_version").fetchone()
        other.execute("PRAGMA writable_schema = ON")
        other.execute("UPDATE sqlite_master SET rootpage = 99999 WHERE name = 'histories'")
        other.execute(f"PRAGMA schema_version = {version + 1}")
    other.close()


class Mind:
    """One process's memory of the state at ``url``, from its start to its end."""

    def __init__(self, url, *, exclusive=True, whole=True):
        self.url, self.exclusive, self.whole = url, exclusive, whole

    async def __aenter__(self):
        self.worker = ThreadPoolExecutor(1)
        self.store = Store.open(self.url, exclusive=self.exclusive)
        memory = Memory(self.store, self.worker)
        memory.intents = Intents(self.store, memory)
        memory.recalled = await memory.recall(NOW, whole=self.whole)
        memory.left_open = memory.recalled.open_intents
        return memory

    async def __aexit__(self, *_):
        self.worker.shutdown()
        self.store.close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.db"


@pytest.fixture
def url(request, path):
    """Where a state is to be: on SQLite, on PostgreSQL, or on that behind PgBouncer."""
    kind = getattr(request, "param", "sqlite")
    if kind == "sqlite":
        return f"sqlite:///{path}"
    server, port = request.getfixturevalue("server"), None
    if kind == "pgbouncer":
        port = request.getfixturevalue("bouncer_port")
    return server.url(f"test_{os.getpid()}_{next(_schemas)}", port)


@pytest.fixture(scope="session")
def server():
    """A real PostgreSQL, for all tests of one process."""
    with postgresql() as server:
        yield server


@pytest.fixture(scope="session")
def bouncer_port(server):
    """A real PgBouncer before it, in transaction mode."""
    with pgbouncer(server) as port:
        yield port


def pytest_generate_tests(metafunc):
    """What is claimed of a state is claimed of each kind of database; but what is about a file, of SQLite alone."""
    if "url" not in metafunc.fixturenames or metafunc.module.__name__.rpartition(".")[2] not in OF_EACH_DATABASE:
        return
    if "path" in inspect.signature(metafunc.function).parameters:
        return
    real = [pytest.param(kind, marks=pytest.mark.real) for kind in ("postgresql", "pgbouncer")]
    metafunc.parametrize("url", ["sqlite", *real], indirect=True)


@pytest.fixture
def mind(url):
    """``async with mind() as memory``"""
    return lambda **options: Mind(url, **options)


@pytest.fixture
def store(url):
    with opened(url) as store:
        yield store


class Kit:
    """What the tests here share, without importing one another."""

    t0 = T0
    now = NOW
    intent = staticmethod(make_intent)
    pack = staticmethod(make_pack)
    after = staticmethod(after)
    opened = staticmethod(opened)
    no_room = staticmethod(no_room)
    mind = Mind


@pytest.fixture(scope="session")
def kit():
    return Kit
