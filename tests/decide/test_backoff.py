from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchdog.decide.backoff import Backoff

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
durations = st.floats(0.1, 1e6).map(lambda s: timedelta(seconds=s))


def test_the_defaults_give_the_table_of_the_docstring():
    waits = [Backoff(15 * MINUTE, 2.0, 24 * HOUR).wait_after(n) for n in range(1, 9)]
    assert waits == [15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR, 16 * HOUR, 24 * HOUR]


@given(st.integers(1, 10_000), durations, st.floats(1, 100), durations)
def test_a_wait_never_passes_the_cap_and_never_shrinks(attempt, initial, factor, longest):
    backoff = Backoff(initial, factor, longest)
    wait = backoff.wait_after(attempt)
    assert timedelta(0) < wait <= longest
    assert wait <= backoff.wait_after(attempt + 1)


@given(st.integers(1, 30), st.floats(1, 5))
def test_below_the_cap_each_wait_is_factor_times_the_one_before(attempt, factor):
    longest = timedelta(days=365)
    one, two = (Backoff(timedelta(seconds=1), factor, longest).wait_after(n) for n in (attempt, attempt + 1))
    if two < longest:
        assert two.total_seconds() == pytest.approx(one.total_seconds() * factor, rel=1e-4)


@given(durations, st.floats(0, 1), st.floats(0, 1))
def test_jitter_only_lengthens_and_by_no_more_than_its_share(wait, jitter, dice):
    drawn = Backoff(wait, 1.0, wait, jitter).drawn(1, dice)
    assert wait <= drawn <= wait * (1 + jitter) + timedelta(microseconds=1)


def test_attempts_are_counted_from_one():
    with pytest.raises(ValueError, match="counted from 1"):
        Backoff(MINUTE, 2.0, HOUR).wait_after(0)
