from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchdog.model.renewal import RenewalWindow, renewal

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def stands(left: float, life: float | None, now: datetime = NOW) -> RenewalWindow:
    """Where a certificate stands that has so many days left of a life of so many days."""
    expires_at = now + left * DAY
    window = renewal(expires_at, None if life is None else expires_at - life * DAY, now)
    assert window is not None
    return window


@pytest.mark.parametrize(
    ("life", "window"),
    [
        *((365, 30), (90, 30), (30, 7), (14, 3)),
        *((89.9, 30), (93.6, 30), (86.4, 30), (28.9, 7), (31.1, 7), (13, 3), (15, 3), (351, 30), (379, 30)),
        *((0, None), (12.9, None), (15.1, None), (28.7, None), (31.3, None), (45, None), (64, None), (86.3, None)),
        *((93.7, None), (47, None), (100, None), (200, None), (350, None), (398, None), (None, None)),
    ],
)
def test_the_window_opens_as_documented_for_the_certificates_own_life_and_is_unknown_for_any_other(life, window):
    found = stands(100, life)
    assert found.opens_at == (None if window is None else NOW + (100 - window) * DAY)
    assert found.closes_at == NOW + 99 * DAY
    assert found.last_restart_at == found.closes_at - timedelta(minutes=5)


@pytest.mark.parametrize(
    ("life", "left", "used"),
    [
        *((45, 9, 0.0), (45, 5, 0.5), (45, 1, 1.0)),
        *((64, 12.8, 0.0), (200, 30, 0.0), (200, 15.5, 0.5), (47, 9.4, 0.0)),
        *((10, 3, 0.0), (None, 3, 0.0), (None, 2, 0.5)),
    ],
)
def test_where_nobody_says_when_renewal_opens_a_fifth_of_the_life_is_reckoned_with(life, left, used):
    assert stands(left, life).used == pytest.approx(used)


@pytest.mark.parametrize(("left", "used"), [(31, 0.0), (30, 0.0), (15.5, 0.5), (1, 1.0), (0.5, 1.0), (-3, 1.0)])
def test_the_part_that_is_used_grows_from_the_opening_to_the_close(left, used):
    assert stands(left, 90).used == pytest.approx(used)


def test_three_days_left_is_the_beginning_for_one_and_nearly_the_end_for_another():
    assert stands(3, 14).used == 0.0
    assert stands(3, 90).used > 0.9


def test_what_was_ordered_says_nothing_of_a_certificate_that_came_shorter():
    assert stands(20, 64).used == 0.0  # ordered for 90 days: two thirds of that window would be gone


def test_an_upload_after_the_expiry_is_not_believed():
    assert renewal(NOW + DAY, NOW + 2 * DAY, NOW) == renewal(NOW + DAY, None, NOW)


def test_without_a_certificate_there_is_no_window():
    assert renewal(None, NOW, NOW) is None


@given(st.integers(-400, 400), st.none() | st.floats(-5, 500))
def test_the_part_that_is_used_is_a_part_and_closing_is_firm(days, life):
    found = stands(days, life)
    assert 0.0 <= found.used <= 1.0
    assert found.last_restart_at < found.closes_at == NOW + (days - 1) * DAY
    assert found.opens_at is None or found.opens_at < found.last_restart_at
