"""A state whose file is removed or replaced while it is open: nothing is written there, and nothing is forgotten."""

import shutil

import pytest

from watchdog.model.history import History
from watchdog.state.changes import Changes
from watchdog.state.database import StateDamaged, StateError, StatePutBack
from watchdog.state.place import Place
from watchdog.state.store import Store

HISTORIES = {("z1", f"p{n}"): History(attempts=n) for n in range(1, 400)}
LATER = Changes(histories={("z1", "p1"): History(attempts=2)})


@pytest.fixture
def store(url, kit):
    """A state as ``run`` opens it, with something in it and in its log of writes."""
    store = Store.open(url, exclusive=True, mend_at=kit.t0)
    store.save(Changes(histories=HISTORIES), kit.now)
    yield store
    store.close()


def removed(path, *parts):
    for part in parts:
        path.with_name(f"{path.name}{part}").unlink()


@pytest.mark.parametrize(
    "parts", [["", "-wal", "-shm"], [""], ["-wal"], ["-wal", "-shm"]], ids=["all", "the file", "the log", "both logs"]
)
def test_what_is_removed_while_it_is_open_is_put_back_whole_and_the_process_is_to_end(store, url, path, kit, parts):
    removed(path, *parts)
    with pytest.raises(StatePutBack, match="was removed while it was in use"):
        store.save(LATER, kit.now)
    assert isinstance(store.damage, StatePutBack)
    store.close()
    with kit.opened(url) as again:
        assert again.load().histories == HISTORIES
        assert again.lost is None
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_was_removed_while_it_was_opened_is_lost_as_well(path):
    assert Place(path).lost


def test_an_intent_is_not_stored_where_nobody_would_find_it(store, path, kit):
    removed(path, "", "-wal", "-shm")
    intent = kit.intent()
    with pytest.raises(StatePutBack):
        store.intend(intent, History(), kit.after(intent), kit.now)


def test_after_it_was_put_back_nothing_more_is_written(store, url, path, kit):
    removed(path, "")
    for _ in range(2):
        with pytest.raises(StatePutBack):
            store.save(LATER, kit.now)
    assert not store.writable()
    store.close()
    with kit.opened(url) as again:
        assert again.load().histories == HISTORIES


def test_while_it_cannot_be_put_back_it_is_kept_and_tried_again(store, url, path, kit):
    aside = path.parent.with_name("aside")
    path.parent.rename(aside)
    with pytest.raises(StateError, match=r"removed while it was in use, and cannot be put back: .*No such file"):
        store.save(LATER, kit.now)
    assert store.damage is None
    shutil.rmtree(aside)
    path.parent.mkdir()
    with pytest.raises(StatePutBack):
        store.save(LATER, kit.now)
    store.close()
    with kit.opened(url) as again:
        assert again.load().histories == HISTORIES


def test_what_is_replaced_is_kept_beside_the_other_file_which_is_left_alone(store, url, path, kit):
    other = path.with_name("copy")
    with kit.opened(f"sqlite:///{other}") as copy:
        copy.save(LATER, kit.now)
    other.replace(path)
    with pytest.raises(StateDamaged, match="was replaced by another file while it was in use"):
        store.save(LATER, kit.now)
    kept = store.set_aside(kit.t0)
    assert kept.stat().st_mode & 0o777 == 0o600
    with kit.opened(url) as again:
        assert again.load().histories == LATER.histories
        assert again.lost is not None
        assert (again.lost.at, again.lost.kept) == (kit.t0, kept)
    with kit.opened(f"sqlite:///{kept}") as before:
        assert before.load().histories == HISTORIES


def test_a_folder_that_moves_with_the_state_in_it_and_comes_back_changes_nothing(store, path, kit):
    aside = path.parent.with_name("aside")
    path.parent.rename(aside)
    aside.rename(path.parent)
    store.save(LATER, kit.now)
    assert store.load().histories["z1", "p1"].attempts == 2


@pytest.mark.usefixtures("store")
def test_who_looks_at_a_state_beside_a_daemon_puts_nothing_back(url, path, kit):
    with kit.opened(url, exclusive=False) as beside:
        removed(path, "", "-wal", "-shm")
        beside.save(LATER, kit.now)
        assert beside.damage is None
    assert not path.exists()
