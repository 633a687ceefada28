"""What became of a decision to restart, and of a try to deliver a message."""

from datetime import datetime
from enum import StrEnum

import msgspec

from watchdog.model.history import Sent
from watchdog.model.packs import Pack
from watchdog.model.reasons import Reason


class RestartOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """One restart, made or held.

    ``pack`` is the pack as it was found last: after an accepted restart, as the answer showed it. ``sent`` is ``None``
    when no PATCH left. ``attempt``, from 1, and ``next_restart_at`` are known where the restart counts as an attempt.
    ``said_undone`` where Cloudflare answered that it stumbled before it did anything.
    """

    pack: Pack
    reason: Reason
    sent: Sent | None = None
    error: str = ""
    attempt: int = 0
    next_restart_at: datetime | None = None
    said_undone: bool = False

    @property
    def counts(self) -> bool:
        """Whether an attempt was spent; else the intent, if one was stored, is withdrawn."""
        return self.attempt > 0


class DeliveryOutcome(StrEnum):
    """What became of a try at one destination; the ``outcome`` label of ``notifications_total``."""

    ACCEPTED = "accepted"
    FAILED = "failed"
    DROPPED = "dropped"
