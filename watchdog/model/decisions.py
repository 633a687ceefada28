"""What to do with one pack: a value with a reason, never a bool."""

from datetime import datetime
from enum import StrEnum

import msgspec

from watchdog.model.reasons import Reason


class Do(StrEnum):
    """The kinds of decision; the ``decision`` label of ``decisions_total``."""

    RESTART = "restart"
    WAIT = "wait"
    GIVE_UP = "give_up"
    LEAVE = "leave"


class Decision(msgspec.Struct, frozen=True):
    """What to do, why, and (for ``WAIT``) until when."""

    do: Do
    reason: Reason
    until: datetime | None = None
