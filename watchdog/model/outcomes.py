"""What became of a decision to restart."""

from dataclasses import dataclass
from datetime import datetime

from watchdog.model.history import Sent
from watchdog.model.packs import Pack
from watchdog.model.reasons import Reason


@dataclass(frozen=True, slots=True)
class RestartOutcome:
    """One restart, made or held.

    ``pack`` is the pack as it was found last: after an accepted restart, as the answer showed it. ``sent`` is ``None``
    when no PATCH left. ``attempt`` and ``next_restart_at`` are known once an intent was stored.
    """

    pack: Pack
    reason: Reason
    sent: Sent | None = None
    error: str = ""
    attempt: int = 0
    next_restart_at: datetime | None = None
