"""Times as people read them: how long ago or in how long and, of one moment, what the clock on their wall shows.

The time zone is the machine's (``TZ``). Machines are given RFC 3339 in UTC instead (``model.clock.rfc3339``).
"""

import re
from datetime import datetime, timedelta

from watchdog.model.clock import span

_RFC3339 = re.compile(r"[12](?<=\b[12])\d{3}-\d\d-\d\dT\d\d:\d\d:\d\dZ")  # begins with what is searched for quickly


def ago(at: datetime, now: datetime) -> str:
    """How far a moment is from now.

    >>> from datetime import UTC
    >>> now = datetime(2026, 11, 24, 12, tzinfo=UTC)
    >>> ago(now - timedelta(hours=3), now), ago(now + timedelta(minutes=12), now), ago(now, now)
    ('3 h ago', 'in 12 min', 'just now')
    """
    away = timedelta(seconds=round((at - now).total_seconds()))
    if not away:
        return "just now"
    return f"in {span(away)}" if away > timedelta(0) else f"{span(-away)} ago"


def clock(at: datetime, now: datetime) -> str:
    """A moment by the local clock: with its day where that is not today, with its year where that is not this one."""
    local, today = at.astimezone(), now.astimezone()
    if local.date() == today.date():
        return f"{local.hour:02}:{local.minute:02}"
    day = f"{local:%a} {local.day} {local:%b}"
    return f"{day} {local.hour:02}:{local.minute:02}" if local.year == today.year else f"{day} {local:%Y}"


def moment(at: datetime, now: datetime) -> str:
    """Both: when by the clock, and how far that is."""
    return f"{clock(at, now)} ({ago(at, now)})"


def localised(text: str, now: datetime) -> str:
    """A sentence with the moments in it as ``moment`` has them."""

    def told(found: re.Match[str]) -> str:
        try:
            return moment(parsed(found[0]), now)
        except (ValueError, OverflowError):  # a stranger's text, of the 99th of some month
            return found[0]

    return _RFC3339.sub(told, text) if "T" in text else text


def parsed(text: str) -> datetime:
    """The time that ``rfc3339`` has written."""
    return datetime.fromisoformat(text)
