"""A state of its own for every test, closed at its end."""

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from watchdog.model.history import History, Intent
from watchdog.record.store import Store

T0 = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def make_intent(pack_id="p1", *, attempt=1, at=T0, account="main"):
    return Intent(account, "example.com", "z1", pack_id, attempt, at, at + timedelta(minutes=15))


def after(intent):
    return History(intent.attempt, T0, intent.at, intent.next_restart_at)


@contextmanager
def opened(url, *, exclusive=True):
    store = Store.open(url, exclusive=exclusive)
    try:
        yield store
    finally:
        store.close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.db"


@pytest.fixture
def url(path):
    return f"sqlite:///{path}"


@pytest.fixture
def store(url):
    with opened(url) as store:
        yield store


@pytest.fixture
def db(store):
    """The store's own connection: SQLite's knobs are turned, and its schema read, where the store itself would."""
    return store._db  # noqa: SLF001 - the only way to make a real SQLITE_FULL without filling a disk


class Kit:
    """What the tests here share, without importing one another."""

    t0 = T0
    intent = staticmethod(make_intent)
    after = staticmethod(after)
    opened = staticmethod(opened)


@pytest.fixture(scope="session")
def kit():
    return Kit
