"""What is remembered: of each pack what was last seen and decided, of each troubled pack what was tried.

Values only; ``state`` keeps them. Every time is aware UTC; ``None`` means never, or not known.
"""

from datetime import datetime, timedelta
from enum import StrEnum

import msgspec
from msgspec.structs import replace

from watchdog.model.decisions import Decision
from watchdog.model.findings import Diagnosis
from watchdog.model.meanings import REASONS
from watchdog.model.packs import HEALTHY, KNOWN_STATUSES, OTHER_STAGE_TIMED_OUT, VALIDATION_TIMED_OUT, Pack
from watchdog.model.reasons import Reason

CAUTIOUS_FOR = timedelta(hours=1)
"""After the state was lost, nothing is restarted for at least so long: the budget of an hour may just have been spent,
and certificate authorities count failed validations by the hour."""


def cautious_until(lost_at: datetime, initial: timedelta) -> datetime:
    """When restarts begin again after the state was lost: no two may be closer than the ``initial`` backoff either."""
    return lost_at + max(CAUTIOUS_FOR, initial)


class NotIntended(Exception):
    """An intent could not be stored, so nothing may be sent. ``reason`` says why in a word, ``str()`` in a line."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Sent(StrEnum):
    """What became of a restart request; the ``outcome`` label of ``restarts_total``."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class History(msgspec.Struct, frozen=True, kw_only=True):
    """What was tried for one pack since it was last well.

    ``attempts`` counts restarts for which an intent was stored, whatever became of them. ``next_restart_at`` was drawn
    with its jitter when the wait was set and is only compared afterwards. ``gave_up_at`` is set while no more restarts
    will be sent. ``last_error`` is the last thing that went wrong, in one cleaned line.
    """

    attempts: int = 0
    trouble_since: datetime | None = None
    last_restart_at: datetime | None = None
    next_restart_at: datetime | None = None
    gave_up_at: datetime | None = None
    last_error: str = ""

    def after_look(self, pack: Pack, now: datetime) -> "History":
        """The history once the pack was seen as it is.

        A pack that is well again starts afresh. One that was given up and has changed its status by itself, or by a
        person's hand, starts afresh too should it time out again; while it stays given up, nothing is forgotten. A
        status that nobody knows, or none, is no such change: it may be a broken answer.
        """
        if pack.status in HEALTHY:
            return UNTROUBLED
        if self.gave_up_at is not None and pack.status in KNOWN_STATUSES - {VALIDATION_TIMED_OUT}:
            return replace(self, attempts=0, next_restart_at=None, gave_up_at=None)
        if self.trouble_since is None and (pack.status == VALIDATION_TIMED_OUT or pack.status in OTHER_STAGE_TIMED_OUT):
            return replace(self, trouble_since=now)
        return self

    def intended(self, now: datetime, wait: timedelta) -> "History":
        """The history once one more restart is about to be sent; the next may follow after ``wait``."""
        return replace(
            self,
            attempts=self.attempts + 1,
            trouble_since=self.trouble_since or now,
            last_restart_at=now,
            next_restart_at=now + wait,
        )

    def shifted(self, step: timedelta) -> "History":
        """The history by a wall clock that was set by ``step`` since: what was to be waited stays as long."""
        if not step or self == UNTROUBLED:
            return self

        def moved(at: datetime | None) -> datetime | None:
            return None if at is None else at + step

        return replace(
            self,
            trouble_since=moved(self.trouble_since),
            last_restart_at=moved(self.last_restart_at),
            next_restart_at=moved(self.next_restart_at),
            gave_up_at=moved(self.gave_up_at),
        )

    def gave_up(self, now: datetime) -> "History":
        """The history once no more restarts will be sent."""
        return replace(self, gave_up_at=now, next_restart_at=None)

    def reset(self) -> "History":
        """The history when a person asks for a restart: a pack that was given up starts afresh."""
        return replace(self, attempts=0, gave_up_at=None) if self.gave_up_at is not None else self


UNTROUBLED = History()
"""The history of every pack that has none: one object for all of them."""


class Remembered(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One pack as it was last seen: the status, since when it has it, what was found and what was decided."""

    account: str
    zone: str
    pack: Pack
    since: datetime
    seen_at: datetime
    decision: Decision
    diagnosis: Diagnosis | None = None


def as_it_is_since(known: Remembered, history: History) -> datetime:
    """Since when a pack is as it is: in trouble, or in its status."""
    return history.trouble_since or known.since


def next_restart_at(known: Remembered, history: History) -> datetime | None:
    """The earliest moment of the next restart: ``None`` unless the pack is timed out and one is to come."""
    if known.pack.status != VALIDATION_TIMED_OUT or REASONS[known.decision.reason].final:
        return None
    if history.gave_up_at is not None:
        return None
    return known.decision.until or history.next_restart_at


DISCOVERY = "(discovery)"
"""The label of what stands, in the report of a single pass, for the zones that discovery did not find."""


class ZoneMemory(msgspec.Struct, frozen=True, kw_only=True):
    """One zone: the id its name stands for, when it was last seen whole, and why not since.

    ``seen_at`` is the last look that listed every pack; ``tried_at`` the last look of any kind; ``error`` is empty
    after a good look.
    """

    account: str
    label: str
    id: str = ""
    seen_at: datetime | None = None
    tried_at: datetime | None = None
    reason: str = ""
    error: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """As ``ZoneRef.key``."""
        return (self.account, self.label)


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """A restart that is about to be sent, as it is stored before the PATCH leaves.

    ``attempt`` is its number, from 1; ``next_restart_at`` the earliest moment of the one after it.
    """

    account: str
    zone: str
    zone_id: str
    pack_id: str
    attempt: int
    at: datetime
    next_restart_at: datetime


class JournalLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the journal: what happened to a pack or a zone. ``event`` is a log event's name."""

    at: datetime
    event: str
    account: str
    zone: str
    zone_id: str = ""
    pack_id: str = ""
    reason: str = ""
    detail: str = ""


class JournalQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which lines of the journal somebody wants, at ``most`` so many; what is left empty chooses nothing.

    ``zone`` is the label in any form, in which ``*`` and ``?`` stand for any text and any character. ``pack`` is how a
    pack's id begins, with or without dashes. ``before`` is the number of the last line that was given, to go on from.
    """

    since: datetime | None = None
    account: str = ""
    zone: str = ""
    zone_id: str = ""
    pack: str = ""
    before: int | None = None
    most: int = 50
