from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchdog.decide.retry_delay import next_restart_at
from watchdog.model.history import UNTROUBLED, History
from watchdog.model.reasons import VALIDATION_REASONS, Reason

LAST = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def due(reason: Reason | None, wait: timedelta = 4 * HOUR, authority: str = "google") -> timedelta:
    history = History(attempts=3, last_restart_at=LAST, next_restart_at=LAST + wait)
    at = next_restart_at(history, reason, authority, 15 * MINUTE, DAY)
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
        (Reason.CA_INTERNAL, 4 * HOUR, 2 * HOUR),
        (Reason.CA_INTERNAL, 20 * MINUTE, 15 * MINUTE),
        (Reason.CA_INTERNAL, 10 * MINUTE, 10 * MINUTE),
        (Reason.CA_RATE_LIMITED, 4 * HOUR, DAY),
    ],
)
def test_a_reason_moves_the_next_restart_as_the_table_says(reason, wait, moved):
    assert due(reason, wait) == moved


def test_lets_encrypts_limit_is_waited_out_for_seven_days():
    assert due(Reason.CA_RATE_LIMITED, authority="lets_encrypt") == 7 * DAY


def test_before_the_first_restart_only_a_limit_is_waited_for_from_when_the_trouble_was_seen():
    first = History(trouble_since=LAST)
    assert next_restart_at(first, Reason.CA_RATE_LIMITED, "google", 15 * MINUTE, DAY) == LAST + DAY
    for reason in (None, Reason.CA_INTERNAL, Reason.CAA_FORBIDS):
        assert next_restart_at(first, reason, "google", 15 * MINUTE, DAY) is None
    assert next_restart_at(UNTROUBLED, Reason.CA_RATE_LIMITED, "google", 15 * MINUTE, DAY) is None


reasons = st.none() | st.sampled_from(VALIDATION_REASONS)
waits = st.integers(1, 100 * 3600).map(lambda seconds: timedelta(seconds=seconds))


@given(reasons, waits, waits, st.sampled_from(["google", "lets_encrypt"]))
def test_a_wait_is_never_cut_below_the_first_of_the_backoff_nor_stretched_past_its_longest(
    reason, wait, initial, authority
):
    longest = max(initial, DAY)
    history = History(attempts=1, last_restart_at=LAST, next_restart_at=LAST + wait)
    at = next_restart_at(history, reason, authority, initial, longest)
    assert at is not None
    assert at - LAST >= min(wait, initial)
    if reason is not Reason.CA_RATE_LIMITED:
        assert at - LAST <= max(wait, longest)
