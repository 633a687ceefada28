"""What pages and API show: everything they may ask, and nothing of where it comes from. The daemon gives it."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from watchdog.model.history import JournalLine, JournalQuery
from watchdog.model.reasons import Reason
from watchdog.model.report import PassReport
from watchdog.tell.fleet import Fleet


class AccountSituation(msgspec.Struct, frozen=True, kw_only=True):
    """One account's quota. ``remaining`` requests are left of ``allowed`` in each ``per``; ``None``: not known.

    ``blocked_until`` is when the wait that a 429 asked for is over; ``None`` where there is none.
    """

    name: str
    remaining: int | None
    allowed: int
    per: timedelta
    blocked_until: datetime | None = None


class HolderSituation(msgspec.Struct, frozen=True, kw_only=True):
    """Of several replicas: who works an account and since when; ``holder`` is empty where nobody does."""

    account: str
    holder: str
    since: datetime
    here: bool


class DestinationSituation(msgspec.Struct, frozen=True, kw_only=True):
    """One destination of alerts: how many messages wait for it, and why the last was not taken (empty: it was)."""

    name: str
    waiting: int
    failing: str


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """How the watchdog itself stands. Texts are clean and empty where all is well."""

    version: str
    loaded_at: datetime
    last_pass: PassReport | None
    dry_run: bool = False
    refusal: str = ""
    state_error: str = ""
    state_lost: str = ""
    overdue_since: datetime | None = None
    discovery: Mapping[str, tuple[Reason, str]] = msgspec.field(default_factory=dict)
    accounts: tuple[AccountSituation, ...] = ()
    destinations: tuple[DestinationSituation, ...] = ()
    holders: tuple[HolderSituation, ...] = ()
    runbooks: str = ""

    @property
    def last_pass_at(self) -> datetime | None:
        """When the last pass was over."""
        if self.last_pass is None:
            return None
        return self.last_pass.started_at + timedelta(seconds=self.last_pass.seconds)


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """What the pages show. ``healthy`` and ``ready`` give whether all is well, and a sentence.

    ``metrics`` gives the body in pieces and its content type for an ``Accept`` header, and ``alerts`` what
    ``/api/v1/alerts`` answers; both are slow, and called in another thread. ``events`` raises ``Refused`` where the
    journal cannot be read. ``duration`` reads one as operators write it, or raises ``ValueError``.
    """

    healthy: Callable[[], tuple[bool, str]]
    ready: Callable[[], Awaitable[tuple[bool, str]]]
    metrics: Callable[[str], tuple[list[bytes], str]]
    fleet: Callable[[], Awaitable[Fleet]]
    alerts: Callable[[], dict[str, Any]]
    events: Callable[[JournalQuery], Awaitable[list[tuple[int, JournalLine]]]]
    situation: Callable[[], Situation]
    now: Callable[[], datetime]
    duration: Callable[[str], timedelta]
