from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchdog.config.durations import format_duration, parse_duration

POSSIBLE = st.timedeltas(min_value=timedelta(microseconds=1), max_value=timedelta(days=365))


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("6h", timedelta(hours=6)),
        ("7d", timedelta(days=7)),
        ("0.5s", timedelta(milliseconds=500)),
        ("1.5h", timedelta(minutes=90)),
        ("0.000001s", timedelta(microseconds=1)),
        ("365d", timedelta(days=365)),
        ("1h30m", timedelta(minutes=90)),
        ("1d2h3m4.5s", timedelta(days=1, hours=2, minutes=3, seconds=4.5)),
    ],
)
def test_numbers_with_units_are_a_duration(text: str, duration: timedelta) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("15", "15 has no unit: write 15m or 15s"),
        ("-5m", "a duration cannot be negative"),
        ("0s", "a duration must be longer than zero"),
        ("0.0s", "a duration must be longer than zero"),
        ("366d", "a duration cannot be longer than 365d"),
        ("365.000001d", "a duration cannot be longer than 365d"),
        ("999999999d999999999h", "a duration cannot be longer than 365d"),
        ("1m1m", "a duration is numbers with units, as in 90s, 15m, 6h, 7d or 1h30m"),
        ("999999999d", "a duration cannot be longer than 365d"),
        ("", "a duration is numbers with units, as in 90s, 15m, 6h, 7d or 1h30m"),
        ("30m1h", "a duration is numbers with units, as in 90s, 15m, 6h, 7d or 1h30m"),
        ("15 m", "a duration is numbers with units, as in 90s, 15m, 6h, 7d or 1h30m"),
        ("15min", "a duration is numbers with units, as in 90s, 15m, 6h, 7d or 1h30m"),
        ("1e3s", "a duration is numbers with units, as in 90s, 15m, 6h, 7d or 1h30m"),
        ("١٥m", "a duration is numbers with units, as in 90s, 15m, 6h, 7d or 1h30m"),
        ("15m\n", "a duration is numbers with units, as in 90s, 15m, 6h, 7d or 1h30m"),
    ],
)
def test_anything_else_is_refused_in_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the whole message is compared below
        parse_duration(text)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(minutes=15), "15m"),
        (timedelta(minutes=90), "90m"),
        (timedelta(seconds=90), "90s"),
        (timedelta(hours=24), "24h"),
        (timedelta(days=2), "2d"),
        (timedelta(milliseconds=500), "0.5s"),
        (timedelta(0), "0s"),
        (timedelta(seconds=-90), "-90s"),
    ],
)
def test_a_duration_is_written_in_its_largest_whole_unit(duration: timedelta, text: str) -> None:
    assert format_duration(duration) == text


@given(POSSIBLE)
def test_every_possible_duration_is_read_back_as_it_was_written(duration: timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration


@given(st.text())
def test_no_text_does_worse_than_a_value_error(text: str) -> None:
    try:
        duration = parse_duration(text)
    except ValueError:
        return
    assert timedelta(0) < duration <= timedelta(days=365)
