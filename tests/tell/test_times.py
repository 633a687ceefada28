"""Times as people read them, by the clock on their wall."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from watchdog.model.clock import span
from watchdog.tell.times import ago, clock, localised

NOW = datetime(2026, 11, 24, 23, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def berlin(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "just now"), (-9, "9 s ago"), (119, "in 119 s"), (-720, "12 min ago"), (7199, "in 119 min"),
     (-10800, "3 h ago"), (86400 * 2 - 1, "in 47 h"), (86400 * 60, "in 60 d")],
)  # fmt: skip
def test_how_far_a_moment_is_takes_one_number(seconds, said):
    assert ago(NOW + timedelta(seconds=seconds), NOW) == said


def test_a_moment_of_today_is_a_time_by_the_local_clock():
    assert clock(datetime(2026, 11, 25, 6, 5, tzinfo=UTC), NOW) == "07:05"


def test_what_is_another_day_here_is_said_with_its_day():
    assert clock(datetime(2026, 11, 24, 22, 59, tzinfo=UTC), NOW) == "Tue 24 Nov 23:59"


def test_another_year_is_said():
    assert clock(datetime(2027, 2, 1, 12, tzinfo=UTC), NOW) == "Mon 1 Feb 2027"


@pytest.mark.parametrize("text", ["2026-99-99T99:99:99Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_what_only_looks_like_a_moment_or_is_beyond_the_calendar_harms_nobody(text):
    assert localised(f"before {text} after", NOW).startswith("before ")


def test_a_sentence_says_its_moments_by_the_local_clock_and_how_far_they_are():
    text = "It expires at 2026-11-25T02:30:00Z, and is not renewed yet."
    assert localised(text, NOW) == "It expires at 03:30 (in 3 h), and is not renewed yet."


@pytest.mark.parametrize(
    ("duration", "said"),
    [
        (timedelta(hours=-1), "0 s"),
        (timedelta(seconds=119), "119 s"),
        (timedelta(minutes=2), "2 min"),
        (timedelta(minutes=119), "119 min"),
        (timedelta(hours=47), "47 h"),
        (timedelta(days=90), "90 d"),
    ],
)
def test_a_duration_is_said_in_one_unit_everywhere(duration, said):
    assert span(duration) == said
