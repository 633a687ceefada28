"""What happened, as a value: told as a log line, kept as a line of the journal."""

from dataclasses import dataclass
from datetime import datetime

from watchdog.model.packs import Pack, ZoneRef
from watchdog.model.reasons import Reason


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. ``name`` is a fixed log event, ``level`` that of the log line.

    ``facts`` are further fields in the order they are shown; texts in them are already clean.
    """

    name: str
    at: datetime
    zone: ZoneRef
    pack: Pack | None = None
    reason: Reason | None = None
    level: str = "info"
    facts: tuple[tuple[str, object], ...] = ()

    @property
    def detail(self) -> str:
        """The facts on one line."""
        return " ".join(f"{name}={shown(value)}" for name, value in self.facts if value not in (None, ""))


def shown(value: object) -> str:
    """A fact as text; times as RFC 3339 in UTC."""
    return rfc3339(value) if isinstance(value, datetime) else str(value)


def rfc3339(at: datetime) -> str:
    """A UTC time as operators read it, to the second."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
