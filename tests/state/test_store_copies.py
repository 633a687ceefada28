"""A copy of a state in memory: it knows what that knows, and whatever becomes of it leaves that as it is."""

import os

import pytest

from watchdog.model.history import UNTROUBLED
from watchdog.state.database import StateDamaged, StateTooNew
from watchdog.state.store import Store


@pytest.fixture
def copied():
    """``copied(url)``: an open copy."""
    opened = []

    def copying(url):
        opened.append(Store.open_copy(url))
        return opened[-1]

    yield copying
    for store in opened:
        store.close()


def test_a_copy_knows_what_the_state_knows_also_beside_a_daemon(url, store, kit, copied):
    store.intend(kit.intent(), UNTROUBLED, kit.after(kit.intent()), kit.now)
    copy = copied(url)
    assert (copy.load(), copy.open_intents()) == (store.load(), store.open_intents())


def test_what_is_written_to_a_copy_is_not_in_the_state(url, store, kit, copied):
    copied(url).intend(kit.intent(), UNTROUBLED, kit.after(kit.intent()), kit.now)
    assert store.open_intents() == []


def test_a_copy_of_nothing_is_empty_and_makes_nothing(url, copied, tmp_path):
    assert copied(url).load().packs == {}
    assert list(tmp_path.iterdir()) == []


def test_a_copy_of_what_was_left_by_a_kill_has_all_of_it_and_touches_nothing(url, path, kit, copied):
    if os.fork() == 0:
        with kit.opened(url) as store:
            store.intend(kit.intent(), UNTROUBLED, kit.after(kit.intent()), kit.now)
            os._exit(0)
    os.wait()

    def there():
        return {file.name: file.read_bytes() for file in path.parent.iterdir()}

    before = there()
    assert f"{path.name}-wal" in before
    assert len(copied(url).open_intents()) == 1
    assert {name: content for name, content in there().items() if not name.endswith("-shm")} == {
        name: content for name, content in before.items() if not name.endswith("-shm")
    }


def test_a_copy_of_a_damaged_state_is_refused(url, path, kit):
    with kit.opened(url):
        pass
    path.write_bytes(path.read_bytes()[:100] + b"\xff" * 20_000)
    with pytest.raises(StateDamaged):
        Store.open_copy(url)
    assert path.exists()


def test_a_copy_of_a_newer_state_is_refused(url, store):
    with store.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StateTooNew, match="newer version"):
        Store.open_copy(url)
