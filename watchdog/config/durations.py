"""Durations as operators write them: numbers with units, the largest unit first. Exact to the microsecond."""

import re
from datetime import timedelta

LONGEST = timedelta(days=365)
"""Nothing here is worth waiting for longer; a bigger number is a slip of the unit."""

_MICROSECONDS = {"d": 86_400_000_000, "h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000}
_MICROSECOND = timedelta(microseconds=1)
_NUMBER = r"[0-9]{1,9}(\.[0-9]{1,6})?"

PATTERN = "(?=[0-9])" + "".join(f"({_NUMBER}{unit})?" for unit in _MICROSECONDS)
"""The shape of a duration, for editors."""

_SHAPE = re.compile(PATTERN)
_PART = re.compile(r"([0-9]+)(?:\.([0-9]+))?([dhms])")
_FROM = {"d": 2}  # 24h is what people write


def parse_duration(text: str) -> timedelta:
    """Read ``90s``, ``15m``, ``1h30m``, ``7d`` or ``0.5s``; the ``ValueError`` is a sentence for operators.

    >>> parse_duration("1h30m")
    datetime.timedelta(seconds=5400)
    """
    if not _SHAPE.fullmatch(text):
        if re.fullmatch(r"[0-9]{1,9}", text):
            raise ValueError(f"{text} has no unit: write {text}m or {text}s")
        if text.startswith("-"):
            raise ValueError("a duration cannot be negative")
        raise ValueError("a duration is numbers with units, as in 90s, 15m, 6h, 7d or 1h30m")
    # Every unit is a multiple of the 10^6 that six decimals can ask for, so this loses nothing.
    parts = (
        (int(whole) * 1_000_000 + int(fraction.ljust(6, "0"))) * (_MICROSECONDS[unit] // 1_000_000)
        for whole, fraction, unit in _PART.findall(text)
    )
    return in_range(timedelta(microseconds=min(sum(parts), 2 * LONGEST // _MICROSECOND)))  # more may fit no timedelta


def in_range(duration: timedelta) -> timedelta:
    """The duration itself, or a ``ValueError`` where it is impossible."""
    if duration <= timedelta(0):
        raise ValueError("a duration must be longer than zero")
    if duration > LONGEST:
        raise ValueError(f"a duration cannot be longer than {format_duration(LONGEST)}")
    return duration


def format_duration(duration: timedelta) -> str:
    """As ``parse_duration`` would read it back: in the largest unit that gives a whole number, a single day in hours.

    >>> format_duration(timedelta(minutes=90))
    '90m'
    """
    microseconds = duration // _MICROSECOND
    for unit, size in _MICROSECONDS.items():
        if microseconds % size == 0 and microseconds >= _FROM.get(unit, 1) * size:
            return f"{microseconds // size}{unit}"
    sign, (seconds, rest) = "-" * (microseconds < 0), divmod(abs(microseconds), 1_000_000)
    return f"{sign}{seconds}.{rest:06d}".rstrip("0").rstrip(".") + "s"
