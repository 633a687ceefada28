from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchdog.decide.backoff import Backoff
from watchdog.decide.retry_delay import next_restart_at
from watchdog.model.findings import Limit
from watchdog.model.history import UNTROUBLED, History
from watchdog.model.reasons import VALIDATION_REASONS, Reason

LAST = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
BACKOFF = Backoff(15 * MINUTE, 2.0, DAY)


def due(
    reason: Reason | None, wait: timedelta = 4 * HOUR, authority: str = "google", limit: Limit | None = None
) -> timedelta:
    history = History(attempts=3, last_restart_at=LAST, next_restart_at=LAST + wait)
    at = next_restart_at(history, reason, authority, BACKOFF, limit)
    assert at is not None
    return at - LAST


@pytest.mark.parametrize(
    ("reason", "wait", "moved"),
    [
        (None, 4 * HOUR, 4 * HOUR),
        (Reason.OTHER, 4 * HOUR, 4 * HOUR),
        (Reason.DNS_FAILURE, 4 * HOUR, 4 * HOUR),
        (Reason.CAA_FORBIDS, 4 * HOUR, 8 * HOUR),
        (Reason.CAA_FORBIDS, 13 * HOUR, DAY),
        (Reason.CA_RATE_LIMITED, 4 * HOUR, DAY),
    ],
)
def test_a_reason_moves_the_next_restart_as_the_table_says(reason, wait, moved):
    assert due(reason, wait) == moved


@pytest.mark.parametrize(
    ("attempts", "waited"),
    [(1, 2 * HOUR), (2, 3 * HOUR), (3, 4.5 * HOUR), (4, 6.75 * HOUR), (8, DAY)],
)
def test_while_an_authority_fails_the_waits_begin_with_two_hours_and_grow_by_half(attempts, waited):
    assert after(attempts, BACKOFF) == waited


def test_longer_waits_of_the_configuration_hold_while_an_authority_fails():
    slow = Backoff(5 * HOUR, 2.0, DAY)
    assert [after(attempts, slow) for attempts in (1, 2)] == [5 * HOUR, 10 * HOUR]


def test_jitter_spreads_the_waits_while_an_authority_fails():
    assert after(1, BACKOFF, jitter=1.1) == 2.2 * HOUR


def after(attempts: int, backoff: Backoff, jitter: float = 1.0) -> timedelta:
    """The wait after so many restarts, the last of which met the authority's own error."""
    drawn = LAST + jitter * backoff.wait_after(attempts)
    history = History(attempts=attempts, last_restart_at=LAST, next_restart_at=drawn)
    at = next_restart_at(history, Reason.CA_INTERNAL, "google", backoff)
    assert at is not None
    return at - LAST


@pytest.mark.parametrize(
    ("limit", "wait", "waited"),
    [
        (None, 4 * HOUR, 33 * HOUR + 36 * MINUTE),  # 5 in 7 days, one back every 34 h
        (Limit(), 40 * HOUR, 40 * HOUR),
        (Limit(refill=12 * MINUTE), 4 * HOUR, 4 * HOUR),
        (Limit(refill=12 * MINUTE), 11 * MINUTE, 12 * MINUTE),
        (Limit(retry_at=LAST + 50 * HOUR), 4 * HOUR, 50 * HOUR),
        (Limit(retry_at=LAST + 5 * HOUR, refill=34 * HOUR), 4 * HOUR, 5 * HOUR),
        (Limit(retry_at=LAST - HOUR), 4 * HOUR, 4 * HOUR),
        (Limit(retry_at=LAST + 31 * DAY), 4 * HOUR, 31 * DAY),
        (Limit(retry_at=LAST + 32 * DAY), 4 * HOUR, 33 * HOUR + 36 * MINUTE),  # not believed
    ],
)
def test_lets_encrypts_limits_are_waited_for_until_one_more_fits_in_or_until_the_time_it_names(limit, wait, waited):
    assert due(Reason.CA_RATE_LIMITED, wait, "lets_encrypt", limit) == waited


def test_what_is_said_of_a_limit_moves_nothing_where_the_reason_is_another():
    assert due(Reason.DNS_FAILURE, limit=Limit(retry_at=LAST + 9 * DAY)) == 4 * HOUR


def test_before_the_first_restart_only_a_limit_is_waited_for_from_when_the_trouble_was_seen():
    first = History(trouble_since=LAST)
    assert next_restart_at(first, Reason.CA_RATE_LIMITED, "google", BACKOFF) == LAST + DAY
    for reason in (None, Reason.CA_INTERNAL, Reason.CAA_FORBIDS):
        assert next_restart_at(first, reason, "google", BACKOFF) is None
    assert next_restart_at(UNTROUBLED, Reason.CA_RATE_LIMITED, "google", BACKOFF) is None


reasons = st.none() | st.sampled_from(VALIDATION_REASONS)
waits = st.integers(1, 100 * 3600).map(lambda seconds: timedelta(seconds=seconds))


@given(reasons, waits, waits, st.integers(0, 20), st.sampled_from(["google", "lets_encrypt"]))
def test_a_wait_is_never_cut_nor_stretched_past_the_longest_of_the_backoff(reason, wait, initial, attempts, authority):
    longest = max(initial, DAY)
    history = History(attempts=attempts, last_restart_at=LAST, next_restart_at=LAST + wait)
    at = next_restart_at(history, reason, authority, Backoff(initial=initial, longest=longest))
    assert at is not None
    assert at - LAST >= wait
    if reason is not Reason.CA_RATE_LIMITED:
        assert at - LAST <= max(wait, longest)
