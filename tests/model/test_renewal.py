from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchdog.model.renewal import renewal

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.mark.parametrize(("validity", "window"), [(365, 30), (90, 30), (30, 7), (14, 3), (0, 30), (1, 3)])
def test_the_window_opens_as_long_before_expiry_as_the_validity_asks_for(validity, window):
    stands = renewal(NOW + 100 * DAY, validity, NOW)
    assert stands is not None
    assert stands.opens_at == NOW + (100 - window) * DAY
    assert stands.closes_at == NOW + 99 * DAY
    assert stands.last_restart_at == stands.closes_at - timedelta(minutes=5)


@pytest.mark.parametrize(("left", "used"), [(31, 0.0), (30, 0.0), (15.5, 0.5), (1, 1.0), (0.5, 1.0), (-3, 1.0)])
def test_the_part_that_is_used_grows_from_the_opening_to_the_close(left, used):
    stands = renewal(NOW + left * DAY, 90, NOW)
    assert stands is not None
    assert stands.used == pytest.approx(used)


def test_three_days_left_is_the_beginning_for_one_and_nearly_the_end_for_another():
    short, long = renewal(NOW + 3 * DAY, 14, NOW), renewal(NOW + 3 * DAY, 90, NOW)
    assert short is not None
    assert long is not None
    assert short.used == 0.0
    assert long.used > 0.9


def test_without_a_certificate_there_is_no_window():
    assert renewal(None, 90, NOW) is None


@given(st.integers(-400, 400), st.integers(-5, 500))
def test_the_part_that_is_used_is_a_part(days, validity):
    stands = renewal(NOW + days * DAY, validity, NOW)
    assert stands is not None
    assert 0.0 <= stands.used <= 1.0
    assert stands.opens_at < stands.last_restart_at < stands.closes_at
