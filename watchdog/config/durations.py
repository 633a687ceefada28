"""Durations as operators write them: one number and one unit. Arithmetic only, exact to the microsecond."""

import re
from datetime import timedelta

LONGEST = timedelta(days=365)
"""Nothing here is worth waiting for longer; a bigger number is a slip of the unit."""

PATTERN = r"[0-9]{1,9}(\.[0-9]{1,6})?[smhd]"
"""The shape of a duration, for editors."""

_SHAPE = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,6}))?([smhd])")
_MICROSECONDS = {"d": 86_400_000_000, "h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000}
_FROM = {"d": 2}  # 24h is what people write


def parse_duration(text: str) -> timedelta:
    """Read ``90s``, ``15m``, ``6h``, ``7d`` or ``0.5s``; the ``ValueError`` is a sentence for operators.

    >>> parse_duration("15m")
    datetime.timedelta(seconds=900)
    """
    found = _SHAPE.fullmatch(text)
    if found is None:
        if re.fullmatch(r"[0-9]{1,9}", text):
            raise ValueError(f"{text} has no unit: write {text}m or {text}s")
        if text.startswith("-"):
            raise ValueError("a duration cannot be negative")
        raise ValueError("a duration is a number with a unit, one of 90s, 15m, 6h, 7d")
    whole, fraction, unit = found.groups()
    # Every unit is a multiple of the 10^6 that six decimals can ask for, so this loses nothing.
    millionths = int(whole) * 1_000_000 + int((fraction or "").ljust(6, "0"))
    return in_range(timedelta(microseconds=millionths * (_MICROSECONDS[unit] // 1_000_000)))


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
    microseconds = duration // timedelta(microseconds=1)
    for unit, size in _MICROSECONDS.items():
        if microseconds % size == 0 and microseconds >= _FROM.get(unit, 1) * size:
            return f"{microseconds // size}{unit}"
    sign, (seconds, rest) = "-" * (microseconds < 0), divmod(abs(microseconds), 1_000_000)
    return f"{sign}{seconds}.{rest:06d}".rstrip("0").rstrip(".") + "s"
