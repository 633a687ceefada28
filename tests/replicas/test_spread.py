"""Who is to work which account: evenly, by whoever can, and nothing moves that need not."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tests.harness.values import replace
from watchdog.model.leases import WATCHDOG, Lease, Replica, Roll
from watchdog.replicas.spread import Share, plan, share

T0 = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ACCOUNTS = [f"account-{number:02}" for number in range(12)]
REPLICAS = ["a", "b", "c", "d"]
alike = st.tuples(st.sets(st.sampled_from(REPLICAS), min_size=1), st.sets(st.sampled_from(ACCOUNTS)).map(sorted)).map(
    lambda drawn: dict.fromkeys(*drawn)
)
unlike = st.dictionaries(st.sampled_from(REPLICAS), st.sets(st.sampled_from(ACCOUNTS)), min_size=1)
holders = st.dictionaries(st.sampled_from(ACCOUNTS), st.sampled_from([*REPLICAS, "gone"]))


def counts(able, wanted):
    return {replica: sum(1 for each in wanted.values() if each == replica) for replica in able}


@given(unlike, holders)
def test_every_account_is_for_somebody_who_can_work_it(able, holders):
    for account, replica in plan(able, holders).items():
        assert account in able.get(replica, ()) or (replica not in able and holders[account] == replica)


@given(unlike, holders)
def test_no_account_is_left_out(able, holders):
    assert plan(able, holders).keys() == {account for each in able.values() for account in each}


@given(alike, st.dictionaries(st.sampled_from(ACCOUNTS), st.sampled_from(REPLICAS)))
def test_replicas_that_are_configured_alike_work_equally_many_or_one_more(able, holders):
    holders = {account: holder for account, holder in holders.items() if holder in able}
    found = counts(able, plan(able, holders)).values()
    assert max(found) - min(found) <= 1


@given(alike, st.dictionaries(st.sampled_from(ACCOUNTS), st.sampled_from(REPLICAS)))
def test_of_a_replica_s_accounts_none_moves_that_it_may_keep(able, holders):
    accounts = next(iter(able.values()))
    holders = {account: holder for account, holder in holders.items() if holder in able and account in accounts}
    wanted = plan(able, holders)
    most = -(-len(accounts) // len(able))
    for replica, held in counts(able, holders).items():
        kept = sum(1 for account, holder in holders.items() if holder == replica == wanted[account])
        assert kept >= min(held, most - 1)


@given(unlike, holders)
def test_a_plan_that_was_carried_out_changes_nothing_more(able, holders):
    wanted = plan(able, holders)
    assert plan(able, wanted) == wanted


def lease(account, instance, **other):
    usual = {"holder": instance, "epoch": 1, "expires": T0 + timedelta(seconds=30), "since": T0}
    return Lease(account=account, instance=instance, **usual | other)


def replica(instance, *accounts):
    return Replica(
        instance=instance, name=instance, expires=T0 + timedelta(seconds=30), since=T0, accounts=accounts or ("x", "y")
    )


def roll(leases=(), replicas=()):
    return Roll(T0, {each.account: each for each in leases}, {each.instance: each for each in replicas})


def test_the_first_takes_everything_and_the_watchdog():
    assert share(roll(replicas=[replica("a")]), "a") == Share(frozenset({WATCHDOG, "x", "y"}), frozenset())


def test_one_that_joins_is_given_its_share():
    leases = [lease("x", "a"), lease("y", "a"), lease(WATCHDOG, "a")]
    found = roll(leases, [replica("a"), replica("b")])
    assert share(found, "a").give == {"x"}
    assert share(found, "b").take == frozenset()


def test_what_is_given_back_is_taken_at_once():
    leases = [lease("x", "", expires=T0), lease("y", "a"), lease(WATCHDOG, "a")]
    assert share(roll(leases, [replica("a"), replica("b")]), "b").take == {"x"}


def test_what_a_silent_replica_held_is_nobody_s_before_its_lease_is_over():
    still = roll([lease("x", "gone"), lease("y", "a"), lease(WATCHDOG, "a")], [replica("a")])
    assert share(still, "a").take == frozenset()
    over = roll([lease("x", "gone", expires=T0), lease("y", "a"), lease(WATCHDOG, "a")], [replica("a")])
    assert share(over, "a").take == {"x"}


def test_a_replica_that_was_not_heard_of_for_some_beats_is_given_nothing():
    silent = replace(replica("b"), expires=T0 + timedelta(seconds=20))
    leases = [lease("x", "a"), lease("y", "", expires=T0), lease(WATCHDOG, "a")]
    assert share(roll(leases, [replica("a"), silent]), "a", timedelta(seconds=24)).take == {"y"}


def test_what_such_a_replica_holds_is_not_taken_from_it():
    silent = replace(replica("b"), expires=T0 + timedelta(seconds=20))
    leases = [lease("x", "a"), lease("y", "b"), lease(WATCHDOG, "a")]
    assert share(roll(leases, [replica("a"), silent]), "a", timedelta(seconds=24)) == Share(frozenset(), frozenset())


def test_an_account_that_left_the_configuration_is_given_up():
    leases = [lease("x", "a"), lease("old", "a"), lease(WATCHDOG, "a")]
    assert share(roll(leases, [replica("a", "x")]), "a").give == {"old"}


def test_one_that_only_one_is_configured_for_stays_with_that_one():
    leases = [lease("x", "a"), lease("y", "a"), lease("z", "a"), lease(WATCHDOG, "a")]
    found = roll(leases, [replica("a", "x", "y", "z"), replica("b", "z")])
    assert share(found, "a").give == {"z"}
