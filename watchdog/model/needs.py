"""Who needs a person: the one rule that alerts, exit codes, reports, the page, the API and the metrics go by.

A pack needs a person while an alert of at least ``warning`` holds about it, and the other way round: both are made of
the same needs. An alert only lives longer: it pauses a while before its end is believed (``notify.lifecycle``).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cached_property

from watchdog.model.ending import ending
from watchdog.model.history import History, Remembered
from watchdog.model.packs import GOING_AWAY, Pack
from watchdog.model.reasons import Reason
from watchdog.model.renewal import LONGEST_WINDOW
from watchdog.model.serving import Serving
from watchdog.model.trouble import Need, trouble
from watchdog.model.zone_packs import ZonePacks, side_by_side

PENDING_FOR = timedelta(hours=24)
"""How long a pack may wait for its validation before that is worth a word, where the configuration says nothing."""


class Needs:
    """What packs ask of a person at one moment."""

    def __init__(self, zones: Sequence[ZonePacks], now: datetime, pending_for: timedelta = PENDING_FOR) -> None:
        """``zones`` have all packs that may stand in for each other."""
        self._zones = zones
        self.now = now
        self._pending_for = pending_for

    @cached_property
    def _serving(self) -> Serving:
        return Serving(side_by_side(self._zones), self.now + LONGEST_WINDOW)

    def serves(self, pack: Pack) -> bool:
        """Whether visitors may be served this pack."""
        return self._serving.uses(pack)

    def all_of(self, known: Remembered, history: History) -> list[Need]:
        """Everything that one pack asks: at most one thing about its trouble, and one about its end."""
        if not worth_a_look(known):
            return []
        ends = ending(known, history, self.now)
        if ends is not None and not self.serves(known.pack):
            ends = None
        found = (trouble(known, history, self._pending_for, self.now), ends)
        return [need for need in found if need is not None]

    def of(self, known: Remembered, history: History) -> Need | None:
        """The gravest of those; the trouble where both are as grave, since its remedy comes first."""
        found = self.all_of(known, history)
        return max(found, key=lambda need: need.severity.rank) if found else None


def worth_a_look(known: Remembered) -> bool:
    """Whether anybody is to be told of a pack; nobody is of one that goes away, unless the configuration names it."""
    return known.pack.status not in GOING_AWAY or known.decision.reason is Reason.NOT_FOUND
