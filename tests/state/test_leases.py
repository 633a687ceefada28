"""Leases on a real PostgreSQL: one holder at a time, and nothing is written by who holds no more."""

from contextlib import ExitStack
from datetime import timedelta
from itertools import count
from time import monotonic

import pytest
import sqlalchemy as sa

from watchdog.model.decisions import Decision, Do
from watchdog.model.findings import Diagnosis
from watchdog.model.history import UNTROUBLED, Remembered, ZoneMemory
from watchdog.model.leases import Fence, Replica
from watchdog.model.reasons import Reason
from watchdog.state import schema
from watchdog.state.changes import Changes
from watchdog.state.leases import LeaseLost
from watchdog.state.postgresql import NOW
from watchdog.state.store import Store

pytestmark = pytest.mark.real
TTL = timedelta(seconds=30)

_schemas = count(1)


def replica(kit, name):
    return Replica(instance=f"{name}-1", name=name, expires=kit.t0, since=kit.t0, accounts=("main",), version="1")


def take(store, kit, name, account="main"):
    """The fence of whoever has just taken over."""
    taken = store.roster.claim(replica(kit, name), TTL, [account])
    return Fence(f"{name}-1", taken)


def run_out(store, account="main"):
    with store.writing() as connection:
        connection.execute(sa.update(schema.leases).where(schema.leases.c.account == account).values(expires=1))


@pytest.fixture(params=["postgresql", "pgbouncer"])
def two(request, server, kit):
    """Two replicas' stores on one state."""
    port = request.getfixturevalue("bouncer_port") if request.param == "pgbouncer" else None
    url = server.url(f"leases_{next(_schemas)}", port)
    with kit.opened(url) as one, kit.opened(url) as other:
        yield one, other


def test_an_account_has_one_holder(two, kit):
    one, other = two
    assert take(one, kit, "a").epochs == {"main": 1}
    assert take(other, kit, "b").epochs == {}


def test_a_takeover_counts_the_epoch_up(two, kit):
    one, other = two
    take(one, kit, "a")
    run_out(one)
    assert take(other, kit, "b").epochs == {"main": 2}


def test_what_was_given_back_is_free_at_once_and_its_epoch_goes_on(two, kit):
    one, other = two
    one.roster.release(take(one, kit, "a"))
    assert take(other, kit, "b").epochs == {"main": 2}


def test_a_lease_that_ran_out_is_kept_by_who_comes_back_before_anybody_took_it(two, kit):
    one, other = two
    fence = take(one, kit, "a")
    run_out(one)
    assert one.roster.beat(replica(kit, "a"), TTL, fence, [], monotonic)[1] == {"main"}
    assert take(other, kit, "b").epochs == {}


def test_who_was_taken_over_from_keeps_nothing(two, kit):
    one, other = two
    fence = take(one, kit, "a")
    run_out(one)
    take(other, kit, "b")
    found, renewed = one.roster.beat(replica(kit, "a"), TTL, fence, [], monotonic)
    assert renewed == frozenset()
    assert found.leases["main"].holder == "b"


def test_the_roll_names_the_living_and_when_zones_were_seen(two, kit):
    one, other = two
    fence = take(one, kit, "a")
    one.roster.beat(replica(kit, "a"), TTL, fence, ["main"], monotonic)
    found, _ = other.roster.beat(replica(kit, "b"), TTL, Fence("b-1", {}), [], monotonic)
    assert {each.name for each in found.replicas.values()} == {"a", "b"}
    assert found.replicas["a-1"].accounts == ("main",)
    assert found.leases["main"].seen_at is not None
    other.roster.release(Fence("b-1", {}), leaving=True)
    assert [each.name for each in one.roster.roll().replicas.values()] == ["a"]


def test_an_intent_under_an_old_epoch_is_never_written(two, kit):
    one, other = two
    old = take(one, kit, "a")
    run_out(one)
    new = take(other, kit, "b")
    with pytest.raises(LeaseLost):
        one.intend(kit.intent(), UNTROUBLED, kit.after(kit.intent()), kit.now, old)
    assert one.open_intents() == []
    other.intend(kit.intent(), UNTROUBLED, kit.after(kit.intent()), kit.now, new)
    assert len(one.open_intents()) == 1


def test_no_intent_is_written_once_the_lease_ran_out_even_if_nobody_took_it(two, kit):
    one, _ = two
    fence = take(one, kit, "a")
    run_out(one)
    with pytest.raises(LeaseLost):
        one.intend(kit.intent(), UNTROUBLED, kit.after(kit.intent()), kit.now, fence)


@pytest.mark.parametrize("write", ["save", "book", "withdraw"])
def test_nothing_else_is_written_under_an_old_epoch_either(two, kit, write):
    one, other = two
    old = take(one, kit, "a")
    run_out(one)
    take(other, kit, "b")
    writes = {
        "save": lambda: one.save(Changes(zones=[ZoneMemory(account="main", label="x")]), kit.now, old),
        "book": lambda: one.book("main", "shared", 1.0, 1, 0.0, old),
        "withdraw": lambda: one.withdraw(1, UNTROUBLED, kit.now, old),
    }
    with pytest.raises(LeaseLost):
        writes[write]()
    assert one.load().zones == {}
    assert one.booked("shared") == []


def test_nobody_takes_over_in_the_middle_of_a_write_but_the_holder_may_renew(two, kit):
    one, other = two
    fence = take(one, kit, "a")
    with ExitStack() as writing:
        writing.enter_context(one.writing(fence))
        assert other.roster.beat(replica(kit, "a"), TTL, fence, [], monotonic)[1] == {"main"}
        with other.writing() as connection:  # as if its time were over: the write holds it all the same
            connection.execute(sa.update(schema.leases).values(expires=1))
        assert take(other, kit, "b").epochs == {}
    assert take(other, kit, "b").epochs == {"main": 2}


def test_a_restart_by_hand_waits_for_the_holder_and_finds_what_it_did(two, kit):
    one, _ = two
    fence = take(one, kit, "a")
    one.intend(kit.intent(), UNTROUBLED, kit.after(kit.intent()), kit.now, fence)
    by_hand = Store(one._database)  # noqa: SLF001 - as one without a lease
    with pytest.raises(Exception, match="another process has acted on this pack"):
        by_hand.intend(kit.intent(), UNTROUBLED, kit.after(kit.intent()), kit.now)


def test_only_an_account_s_own_is_loaded(two, kit):
    one, _ = two
    zones = [ZoneMemory(account=name, label=f"{name}.example", id=name) for name in ("main", "other")]
    one.save(Changes(zones=zones, histories={(each.id, "p"): kit.after(kit.intent()) for each in zones}), kit.now)
    found = one.recall(["main"])
    assert [zone.account for zone in found.zones.values()] == ["main"]
    assert list(found.histories) == [("main", "p")]


def test_who_leaves_gives_up_also_what_it_took_in_the_last_moment(two, kit):
    one, other = two
    take(one, kit, "a")
    one.roster.release(Fence("a-1", {}), leaving=True)
    assert take(other, kit, "b").epochs == {"main": 2}


def test_what_is_stored_follows_a_clock_of_the_server_that_is_set(two, kit):
    one, other = two
    fence = take(one, kit, "a")
    zone = ZoneMemory(account="main", label="example.com", id=kit.intent().zone_id)
    one.save(Changes(zones=[zone]), kit.now, fence)
    one.intend(kit.intent(), UNTROUBLED, kit.after(kit.intent()), kit.now, fence)
    one.book("main", "shared", 5.5, 1, 0.0, fence)
    for each in (one, other):
        each.roster.beat(replica(kit, "a"), TTL, Fence("a-1", {}), [], monotonic)
        each._database.now = NOW + 3 * 3_600_000_000  # noqa: SLF001 - a server's own clock can be set by nobody here
    other.roster.beat(replica(kit, "b"), TTL, Fence("b-1", {}), [], monotonic)
    found, renewed = one.roster.beat(replica(kit, "a"), TTL, fence, [], monotonic)
    later = timedelta(hours=3)
    step = one.restarts_since(kit.t0 - later)[0][1] - kit.t0
    assert abs(step - later) < timedelta(seconds=5)
    assert one.history_of("z1", "p1").last_restart_at == kit.t0 + step
    assert one.booked("shared") == [("main", pytest.approx(5.5 + step.total_seconds()), 1)]
    assert renewed == {"main"}
    assert found.leases["main"].expires - found.at <= TTL


def remembered(kit, account, pack_id):
    return Remembered(
        account=account,
        zone=f"{account}.example",
        pack=kit.pack(pack_id),
        since=kit.t0,
        seen_at=kit.t0,
        decision=Decision(Do.LEAVE, Reason.HEALTHY),
    )


def test_of_an_account_that_nobody_worked_for_long_nothing_is_kept(two, kit):
    one, _ = two
    for account in ("gone", "main"):
        fence = take(one, kit, account, account)
        known = remembered(kit, account, f"p-{account}")
        found = {(known.pack.zone_id, known.pack.id): Diagnosis(kit.t0, ())}
        zone = ZoneMemory(account=account, label=known.zone, id=known.pack.zone_id, tried_at=kit.t0)
        one.save(Changes(zones=[zone], packs=[known], diagnoses=found), kit.now, fence)
    long_ago = {"expires": 0, "instance": "", "since": 1, "seen_at": 1}
    with one.writing() as connection:
        connection.execute(sa.update(schema.leases).where(schema.leases.c.account == "gone").values(long_ago))
    one.prune(kit.t0, one.roster.time() - timedelta(minutes=1))
    assert [*one.roster.roll().leases] == ["main"]
    assert [(known.account, known.diagnosis is None) for known in one.load().packs.values()] == [("main", False)]


@pytest.mark.parametrize("leaving", [False, True])
def test_an_account_is_not_forgotten_as_it_is_handed_back_though_none_of_its_zones_was_seen_for_long(two, kit, leaving):
    one, _ = two
    fence = take(one, kit, "a")
    known = remembered(kit, "main", "p")
    one.save(Changes(packs=[known]), kit.now, fence)
    with one.writing() as connection:
        connection.execute(sa.update(schema.leases).values(since=1, seen_at=1))
    one.roster.release(fence, leaving=leaving)
    one.prune(kit.t0, one.roster.time() - timedelta(minutes=1))
    assert [*one.roster.roll().leases] == ["main"]
    assert [*one.load().packs] == [known.pack.key]


def test_packs_of_an_account_that_no_replica_has_worked_yet_are_kept_though_a_command_made_its_lease(two, kit):
    one, _ = two
    known = remembered(kit, "main", "p")
    one.save(Changes(packs=[known]), kit.now)  # as ``state copy`` does
    Store(one._database).intend(kit.intent(), UNTROUBLED, kit.after(kit.intent()), kit.now)  # noqa: SLF001 - another over the same database
    one.prune(kit.t0, one.roster.time() - timedelta(minutes=1))
    assert [*one.load().packs] == [known.pack.key]
