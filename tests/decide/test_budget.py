"""How many restarts an account may send within an hour, and whose turn it is where that is short."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchdog.decide.budget import Budget, due_since
from watchdog.model.history import UNTROUBLED, History

T0 = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
ME, OTHER = ("z", "me"), ("z", "other")


def free_at(budget, per_hour, now=T0, *, account="main", key=ME, due=T0, fresh=2 * MINUTE):
    return budget.free_at(account, key, due=due, per_hour=per_hour, now=now, fresh=fresh)


@pytest.fixture
def budget():
    return Budget()


def test_the_budget_is_free_an_hour_after_the_restart_that_fills_it_and_not_a_second_before(budget):
    for number in range(3):
        budget.take("main", T0 + number * MINUTE)
    now = T0 + 2 * MINUTE
    assert [free_at(budget, each, now) for each in (4, 3, 2)] == [None, T0 + HOUR, T0 + MINUTE + HOUR]
    assert free_at(budget, 3, T0 + HOUR - SECOND) == T0 + HOUR
    assert free_at(budget, 3, T0 + HOUR) is None


def test_every_account_has_a_budget_of_its_own(budget):
    budget.take("main", T0)
    assert free_at(budget, 1, account="other") is None


def test_a_place_that_is_given_back_is_free(budget):
    budget.take("main", T0)
    place = budget.take("main", T0)
    budget.give_back(place)
    assert [free_at(budget, each) for each in (1, 2)] == [T0 + HOUR, None]


def test_a_place_that_was_given_back_once_gives_no_second_one_back(budget):
    place = budget.take("main", T0)
    budget.give_back(place)
    budget.take("main", T0)
    budget.give_back(place)
    assert free_at(budget, 1) == T0 + HOUR


def test_a_place_can_be_given_back_although_the_clock_was_set_meanwhile(budget):
    place = budget.take("main", T0)
    budget.shift(-5 * HOUR)
    budget.give_back(place)
    assert free_at(budget, 1, T0 - 5 * HOUR) is None


def test_restarts_of_other_processes_take_places_and_our_own_are_not_counted_twice(budget):
    budget.take("main", T0)
    for _ in range(2):
        budget.merge([("main", T0), ("main", T0 - MINUTE), ("other", T0)])
    assert [free_at(budget, each) for each in (2, 3)] == [T0 - MINUTE + HOUR, None]


def test_two_restarts_of_one_moment_are_two(budget):
    budget.merge([("main", T0), ("main", T0)])
    assert [free_at(budget, each) for each in (2, 3)] == [T0 + HOUR, None]


def test_a_clock_that_is_set_moves_the_hour_along(budget):
    budget.take("main", T0)
    budget.shift(5 * HOUR)
    assert free_at(budget, 1, T0 + 5 * HOUR + MINUTE) == T0 + 6 * HOUR


def test_a_pack_that_has_been_due_for_longer_goes_first(budget):
    budget.wait("main", OTHER, T0 - MINUTE, T0)
    assert [free_at(budget, each) for each in (1, 2)] == [T0 + HOUR, None]


def test_a_pack_that_has_been_due_for_shorter_holds_nobody_up(budget):
    budget.wait("main", OTHER, T0 + SECOND, T0)
    assert free_at(budget, 1) is None


def test_a_pack_does_not_wait_behind_itself(budget):
    budget.wait("main", ME, T0 - MINUTE, T0)
    assert free_at(budget, 1, due=T0 - MINUTE) is None


@pytest.mark.parametrize(("unseen", "free"), [(2 * MINUTE, False), (2 * MINUTE + SECOND, True)])
def test_a_pack_that_nobody_has_looked_at_lately_has_lost_its_place(budget, unseen, free):
    budget.wait("main", OTHER, T0 - MINUTE, T0 - unseen)
    assert (free_at(budget, 1) is None) is free


@pytest.mark.parametrize("leave", [lambda budget: budget.leave("main", OTHER), lambda budget: budget.forget(OTHER)])
def test_a_pack_that_waits_no_more_or_is_gone_holds_nobody_up(budget, leave):
    budget.wait("main", OTHER, T0 - MINUTE, T0)
    leave(budget)
    assert free_at(budget, 1) is None


def test_since_when_a_pack_is_due_is_the_end_of_its_wait_or_else_the_beginning_of_its_trouble():
    assert due_since(UNTROUBLED, T0) == T0
    assert due_since(History(trouble_since=T0 - HOUR), T0) == T0 - HOUR
    assert due_since(History(trouble_since=T0 - HOUR, next_restart_at=T0 - MINUTE), T0) == T0 - MINUTE


minutes = st.integers(0, 300).map(lambda each: T0 + each * MINUTE)


@given(st.lists(minutes, max_size=30).map(sorted), st.integers(1, 5))
def test_no_hour_ever_holds_more_restarts_than_the_budget(looks, per_hour):
    budget, sent = Budget(), []
    for at in looks:
        if free_at(budget, per_hour, at) is None:
            budget.take("main", at)
            sent.append(at)
    assert all(sum(start <= at < start + HOUR for at in sent) <= per_hour for start in sent)


@given(st.lists(minutes, min_size=1, max_size=30).map(sorted), st.integers(1, 5))
def test_a_moment_that_is_promised_is_kept_if_nobody_else_is_restarted_before(looks, per_hour):
    budget = Budget()
    for at in looks:
        free = free_at(budget, per_hour, at)
        if free is None:
            budget.take("main", at)
        else:
            assert free > at
            assert free_at(budget, per_hour, free) is None
