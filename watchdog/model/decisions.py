"""What to do with one pack: a value with a reason, never a bool."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from watchdog.model.reasons import Reason


class Do(StrEnum):
    """The kinds of decision; the ``decision`` label of ``decisions_total``."""

    RESTART = "restart"
    WAIT = "wait"
    GIVE_UP = "give_up"
    LEAVE = "leave"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, why, and (for ``WAIT``) until when."""

    do: Do
    reason: Reason
    until: datetime | None = None
