from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchdog.decide.backoff import wait_after, with_jitter

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
durations = st.floats(0.1, 1e6).map(lambda s: timedelta(seconds=s))


def test_the_defaults_give_the_table_of_the_docstring():
    waits = [wait_after(n, 15 * MINUTE, 2.0, 24 * HOUR) for n in range(1, 9)]
    assert waits == [15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR, 16 * HOUR, 24 * HOUR]


@given(st.integers(1, 10_000), durations, st.floats(1, 100), durations)
def test_a_wait_never_passes_the_cap_and_never_shrinks(attempt, initial, factor, longest):
    wait = wait_after(attempt, initial, factor, longest)
    assert timedelta(0) < wait <= longest
    assert wait <= wait_after(attempt + 1, initial, factor, longest)


@given(st.integers(1, 30), st.floats(1, 5))
def test_below_the_cap_each_wait_is_factor_times_the_one_before(attempt, factor):
    longest = timedelta(days=365)
    one, two = (wait_after(n, timedelta(seconds=1), factor, longest) for n in (attempt, attempt + 1))
    if two < longest:
        assert two.total_seconds() == pytest.approx(one.total_seconds() * factor, rel=1e-4)


@given(durations, st.floats(0, 1), st.floats(0, 1))
def test_jitter_only_lengthens_and_by_no_more_than_its_share(wait, jitter, dice):
    drawn = with_jitter(wait, jitter, dice)
    assert wait <= drawn <= wait * (1 + jitter) + timedelta(microseconds=1)


def test_attempts_are_counted_from_one():
    with pytest.raises(ValueError, match="counted from 1"):
        wait_after(0, MINUTE, 2.0, HOUR)
