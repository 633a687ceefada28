"""What a start leaves unread: zones in which every pack is well, and which are the same once somebody asks for them."""

import sqlite3
from collections import Counter
from datetime import timedelta
from functools import partial

import pytest

from tests.harness.builders import NOW, pack, troubled, zone
from tests.harness.time import in_simulated_time
from tests.harness.values import replace
from watchdog.model.findings import Diagnosis
from watchdog.model.history import UNTROUBLED, History
from watchdog.model.packs import ZoneRef
from watchdog.state.changes import Changes
from watchdog.state.database import StateDamaged

LATER = NOW + timedelta(days=90)
WELL, QUOTED = pack("p1"), pack("p2", "backup_issued")
QUOTED = (replace(QUOTED[0], pack=replace(QUOTED[0].pack, hosts=('ä"b.example', "c.example"), expires_at=LATER)), None)


def of(name, *packs):
    """The packs as those of another zone."""
    ref = zone(name)
    return [replace(known, zone=name, pack=replace(known.pack, zone_id=ref.id)) for known, _ in packs]


@pytest.fixture(params=[True, False], ids=["text", "disk"])
def whole(request):
    """Whether packs that are well wait as text, or on the disk."""
    return request.param


@pytest.fixture
def recall(store, whole):
    return partial(store.recall, whole=whole)


@pytest.fixture
def remember(mind, whole):
    return partial(mind, whole=whole)


@pytest.fixture
def keep(store, kit):
    """Keeps zones with their packs; those in trouble with their histories."""

    def kept(zones, **more):
        known = [each for packs in zones.values() for each in packs]
        store.save(Changes(zones=[zone(name) for name in zones], packs=known, **more), kit.now)
        return {(each.pack.zone_id, each.pack.id): each for each in known}

    return kept


def test_a_zone_in_which_all_are_well_is_left_unread_with_its_counts_and_its_first_end(recall, keep):
    keep({"well.example": of("well.example", WELL, QUOTED)})
    found = recall()
    (unread,) = found.unread.values()
    assert (found.packs, unread.account, unread.zone) == ({}, "main", "well.example")
    assert unread.statuses == {"active": 1, "backup_issued": 1}
    assert unread.ends == min(WELL[0].pack.expires_at, LATER)


def test_what_was_left_unread_is_what_was_kept(recall, keep):
    kept = keep({"well.example": of("well.example", WELL, QUOTED), "other.example": of("other.example", WELL)})
    found = recall()
    assert {each.pack.key: each for unread in found.unread.values() for each in unread.known.values()} == kept


@pytest.mark.parametrize(
    "change",
    [
        lambda each: replace(each, pack=replace(each.pack, status="pending_validation")),
        lambda each: replace(each, decision=troubled()[0].decision),
    ],
    ids=["status", "decision"],
)
def test_one_pack_that_is_not_well_is_read_and_the_others_of_its_zone_are_not(recall, keep, change):
    one, other = of("well.example", WELL, QUOTED)
    other = change(other)
    kept = keep({"well.example": [one, other]}, diagnoses={other.pack.key: Diagnosis(NOW, ())})
    (unread,) = recall().unread.values()
    assert unread.unwell == {"p2": replace(other, diagnosis=Diagnosis(NOW, ()))}
    assert unread.statuses == Counter([one.pack.status, other.pack.status])
    assert unread.ends == one.pack.expires_at
    assert unread.known == {each.pack.id: each for each in kept.values()} | unread.unwell


@pytest.mark.parametrize("name", ["account", "zone"])
def test_a_zone_that_was_seen_under_several_names_is_read(recall, keep, name):
    one, other = of("well.example", WELL, QUOTED)
    kept = keep({"well.example": [one, replace(other, **{name: "another"})]})
    found = recall()
    assert (found.unread, found.packs) == ({}, kept)


@pytest.mark.parametrize("what", ["histories", "diagnoses"])
def test_a_zone_with_a_pack_that_is_well_and_was_tried_or_looked_into_is_read(recall, keep, what):
    packs = of("well.example", WELL, QUOTED)
    value = History(attempts=1) if what == "histories" else Diagnosis(NOW, ())
    keep({"well.example": packs}, **{what: {packs[0].pack.key: value}})
    found = recall()
    assert (found.unread, len(found.packs)) == ({}, 2)
    assert found.packs[packs[0].pack.key].diagnosis == (value if what == "diagnoses" else None)


def test_of_an_account_only_its_own_is_recalled(recall, keep):
    mine, other = of("mine.example", WELL), [replace(each, account="other") for each in of("other.example", WELL)]
    keep({"mine.example": mine, "other.example": other})
    assert [unread.zone for unread in recall(["other"]).unread.values()] == ["other.example"]
    assert recall(["nobody"]).unread == {}


@in_simulated_time
async def test_a_zone_is_known_as_it_was_before_and_after_somebody_asks(remember, url, kit):
    (known,) = of("well.example", WELL)
    with kit.opened(url) as store:
        store.save(Changes(zones=[zone("well.example")], packs=[known]), kit.now)
    ref = ZoneRef("main", "well.example", known.pack.zone_id)
    async with remember() as memory:
        assert not memory.troubled(ref)
        assert memory.packs_of(ref) == [known]
        assert memory.of(ref).packs == {known.pack.id: known}
        assert memory.known(known.pack) == known
        assert memory.packs_of(ref) == [known]
        assert memory.history(known.pack) is UNTROUBLED


@in_simulated_time
async def test_a_zone_of_which_a_part_is_unread_is_known_whole(remember, url, kit):
    one, other = of("well.example", WELL, QUOTED)
    other = replace(other, decision=troubled()[0].decision)
    with kit.opened(url) as store:
        history = History(attempts=1, trouble_since=kit.t0)
        store.save(
            Changes(zones=[zone("well.example")], packs=[one, other], histories={other.pack.key: history}), kit.now
        )
    ref = ZoneRef("main", "well.example", one.pack.zone_id)
    async with remember() as memory:
        assert list(memory.read()) == [other]
        assert memory.troubled(ref)
        said = memory.packs_in(memory.zone(ref))
        assert list(said.unwell) == [(other, history)]
        assert said.count == 2
        memory.note_error(one.pack, "HTTP 500")
        again = memory.packs_in(memory.zone(ref))
        assert dict(again.unwell) == {one: memory.history(one.pack), other: history}
        assert list(said.packs) == [(other, history), (one, UNTROUBLED)]
        assert list(memory.read()) == memory.packs_of(ref)


@in_simulated_time
async def test_what_was_said_of_an_account_before_it_went_is_not_said_once_it_is_back(remember, url, kit):
    (known,) = of("well.example", WELL)
    with kit.opened(url) as store:
        store.save(Changes(zones=[zone("well.example")], packs=[known]), kit.now)
    ref = ZoneRef("main", "well.example", known.pack.zone_id)
    async with remember() as memory:
        memory.release("main")
        assert memory.packs_in(memory.zone(ref)).count == 0
        await memory.adopt(["main"])
        assert memory.packs_in(memory.zone(ref)).count == 1


@in_simulated_time
async def test_a_zone_that_nobody_watches_any_more_is_forgotten_though_it_was_never_read(remember, url, kit):
    (known,) = of("well.example", WELL)
    with kit.opened(url) as store:
        store.save(Changes(zones=[zone("well.example")], packs=[known]), kit.now)
    async with remember() as memory:
        await memory.tidy([], known.seen_at + timedelta(days=8))
    with kit.opened(url) as store:
        assert store.load().packs == {}


@in_simulated_time
async def test_an_account_that_comes_back_is_known_anew_though_somebody_looked_while_it_went(remember, url, kit):
    (known,) = of("well.example", WELL)
    with kit.opened(url) as store:
        store.save(Changes(zones=[zone("well.example")], packs=[known]), kit.now)
    async with remember() as memory:
        before = memory.zone(ZoneRef("main", "well.example", known.pack.zone_id))
        memory.release("main")
        assert memory.packs_in(before).count == 0
        await memory.adopt(["main"])
        assert memory.packs_in(before).count == 1


@in_simulated_time
async def test_what_makes_no_sense_when_it_is_read_at_last_is_damage(remember, path, url, kit):
    (known,) = of("well.example", WELL)
    with kit.opened(url) as store:
        store.save(Changes(zones=[zone("well.example")], packs=[known]), kit.now)
    with sqlite3.connect(path) as other:
        other.execute("UPDATE packs SET hosts = '{'")
    other.close()
    async with remember() as memory:
        assert memory.of(ZoneRef("main", "well.example", known.pack.zone_id)).packs == {}
        assert "is damaged" in memory.writer.error
        assert isinstance(memory._store.damage, StateDamaged)  # noqa: SLF001 - for which the daemon ends


@in_simulated_time
async def test_a_pack_that_was_restarted_beside_the_daemon_before_it_was_read_is_as_it_is_since(mind, path, kit):
    one, other = of("well.example", WELL, QUOTED)
    url = f"sqlite:///{path}"
    with kit.opened(url) as store:
        store.save(Changes(zones=[zone("well.example")], packs=[one, other]), kit.now)
    since = replace(other, decision=troubled()[0].decision)
    async with mind(whole=False) as memory:
        with kit.opened(url, exclusive=False) as beside:
            beside.save(Changes(packs=[since]), kit.now)
        ref = ZoneRef("main", "well.example", one.pack.zone_id)
        assert memory.of(ref).packs == {"p1": one, "p2": since}


@in_simulated_time
async def test_packs_that_cannot_be_read_any_more_are_not_taken_for_unknown(mind, path, url, kit):
    (known,) = of("well.example", WELL)
    with kit.opened(url) as store:
        store.save(Changes(zones=[zone("well.example")], packs=[known]), kit.now)
    async with mind(whole=False) as memory:
        with sqlite3.connect(path) as other:
            other.execute("DROP TABLE packs")
        other.close()
        with pytest.raises(StateDamaged):
            memory.of(ZoneRef("main", "well.example", known.pack.zone_id))
        assert isinstance(memory._store.damage, StateDamaged)  # noqa: SLF001 - for which the daemon ends


@in_simulated_time
async def test_what_was_read_ahead_needs_no_disk_any_more(mind, path, url, kit):
    (known,) = of("well.example", WELL)
    with kit.opened(url) as store:
        store.save(Changes(zones=[zone("well.example")], packs=[known]), kit.now)
    async with mind(whole=False) as memory:
        memory.read_ahead()
        with sqlite3.connect(path) as other:
            other.execute("DROP TABLE packs")
        other.close()
        assert memory.of(ZoneRef("main", "well.example", known.pack.zone_id)).packs == {known.pack.id: known}
