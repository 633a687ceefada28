"""A silence: until when a person wants to hear nothing of a zone or of one pack. Arithmetic only.

It silences telling and nothing else: looks, restarts, screens and metrics go on. ``notify`` asks which alerts it
covers, ``report`` which rows; ``state`` keeps it; the command adds it or makes it expire.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from watchdog.model.packs import Pack

if TYPE_CHECKING:
    from watchdog.model.alerts import Alert


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """One silence, from ``at`` until ``until``.

    ``pack_id`` is empty where it is about a whole zone; else ``pack`` is the pack's lasting name, by which it is
    followed when its id changes. ``id`` is unique in the state, and 0 until it is kept.
    """

    id: int = 0
    account: str
    zone: str
    zone_id: str
    pack_id: str = ""
    pack: str = ""
    at: datetime
    until: datetime
    comment: str

    def holds(self, now: datetime) -> bool:
        """Whether it is not over."""
        return now < self.until

    def covers(self, account: str, zone: str, pack: str) -> bool:
        """Whether it is about this zone, or about this pack of it, given by its lasting name."""
        return (self.account, self.zone) == (account, zone) and self.pack in ("", pack)


class Silences:
    """The silences that hold at one moment."""

    def __init__(self, silences: Iterable[Silence], now: datetime) -> None:
        self.all: Sequence[Silence] = [each for each in silences if each.holds(now)]

    def until(self, account: str, zone: str, pack: Pack) -> datetime | None:
        """Until when nobody is told of a pack; ``None`` where it is not silenced."""
        return self._until(account, zone, pack.lasting_name) if self.all else None

    def of(self, alerts: "Mapping[str, Alert]") -> dict[str, datetime]:
        """Which of the alerts, by fingerprint, are silenced, and until when."""
        if not self.all:
            return {}
        found = (
            (name, self._until(each.account, each.zone, each.subject.partition("/")[2]))
            for name, each in alerts.items()
        )
        return {name: until for name, until in found if until is not None}

    def _until(self, account: str, zone: str, pack: str) -> datetime | None:
        return max((each.until for each in self.all if each.covers(account, zone, pack)), default=None)
