"""What people are alerted to, as values: an alert that holds, its life so far, and the message that tells of it.

``notify.rules`` makes alerts, ``notify.dedup`` turns them into notices, ``notify.messages`` gathers notices into
messages; the channels deliver those and ``state`` keeps them. Texts are whole sentences and already clean.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase

from watchdog.model.packs import ManualRecord
from watchdog.model.reasons import ALERTS, Reason, Severity

RUNBOOKS = "docs/runbooks/"
"""Where those pages are, from the top of this program's source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One thing that holds now.

    ``subject`` names what it is about, the same for as long as that exists: two alerts about one subject are two sides
    of one trouble. ``since`` is since when it is so, as far as anybody knows. ``restarts`` were made in that time. A
    higher ``stage`` of the same alert is worse than a lower one. It must hold for ``patience`` before it is said.
    ``runbooks`` is where people find the pages that say what to do.
    """

    reason: Reason
    severity: Severity
    subject: str
    summary: str
    since: datetime
    body: str = ""
    account: str = ""
    zone: str = ""
    zone_id: str = ""
    pack_id: str = ""
    hosts: tuple[str, ...] = ()
    records: tuple[ManualRecord, ...] = ()
    restarts: int = 0
    stage: int = 0
    patience: timedelta = timedelta(0)
    runbooks: str = RUNBOOKS

    @property
    def fingerprint(self) -> str:
        """What this alert is known by, in all channels and over restarts of the daemon."""
        return hashlib.sha256(f"{self.reason}\n{self.subject}".encode()).hexdigest()[:16]

    @property
    def group(self) -> str:
        """The alerts it is said together with: those of one reason and one account."""
        return f"{self.reason} {self.account}"

    @property
    def runbook(self) -> str:
        """The page that says what to do."""
        return f"{self.runbooks.rstrip('/')}/{self.reason}.md"

    @property
    def gravity(self) -> tuple[int, int]:
        """Compares: what is higher is worse."""
        return (self.severity.rank, self.stage)


class Kind(StrEnum):
    """What a notice says of its alert."""

    STARTED = "started"
    WORSE = "worse"
    LASTING = "lasting"
    OVER = "over"
    GONE = "gone"  # over because its zone or pack is no longer watched


@dataclass(frozen=True, slots=True)
class AlertState:
    """One alert's place in the log: what it is, or was, and what has been said of it.

    ``alert`` is as it last held. ``said_at`` is when anything was last said of it, ``None`` while nothing was; ``said``
    the worst that was said. ``missing_since`` is when it last ceased to hold, ``over_at`` when that was taken for its
    end; ``owed`` is what is still to be said of the end. ``flaps`` counts how often it came back soon after. It is
    ``waiting`` while it does not hold, and its pack is not well yet.
    """

    alert: Alert
    first_at: datetime
    said_at: datetime | None = None
    said: tuple[int, int] = (-1, -1)
    missing_since: datetime | None = None
    over_at: datetime | None = None
    owed: Kind | None = None
    flaps: int = 0
    waiting: bool = False

    def ripe(self, now: datetime) -> bool:
        """Whether it has held for as long as it must before it is said."""
        return self.said_at is not None or now - self.first_at >= self.alert.patience

    def firing(self, now: datetime) -> bool:
        """Whether it holds, for all who ask: what only pauses while it flaps counts as holding."""
        return self.over_at is None and not self.waiting and self.ripe(now)


@dataclass(frozen=True, slots=True)
class GroupHistory:
    """When a group of alerts was last heard, and how often in a row, with no long silence between."""

    said_at: datetime
    in_a_row: int = 1


@dataclass(frozen=True, slots=True)
class AlertLog:
    """Everything that holds or lately held, by fingerprint, and the groups that were heard lately, by name."""

    entries: Mapping[str, AlertState] = field(default_factory=dict)
    voices: Mapping[str, GroupHistory] = field(default_factory=dict)

    def firing(self, now: datetime) -> frozenset[tuple[str, Severity]]:
        """The names of what fires now, each with its severity."""
        return frozenset((name, entry.alert.severity) for name, entry in self.entries.items() if entry.firing(now))

    def firing_counts(self, now: datetime) -> Mapping[tuple[str, str], int]:
        """How many alerts fire, by reason and severity; those that could fire and do not are 0."""
        counts = Counter({(str(reason), str(each)): 0 for reason, severities in ALERTS.items() for each in severities})
        firing = (entry.alert for entry in self.entries.values() if entry.firing(now))
        counts.update((str(alert.reason), str(alert.severity)) for alert in firing)
        return counts


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to say about one alert; ``until`` is when it ended."""

    kind: Kind
    alert: Alert
    until: datetime | None = None


class MessageStatus(StrEnum):
    """What a message is about."""

    FIRING = "firing"
    RESOLVED = "resolved"
    TEST = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What one destination is sent at once: notices of one reason and one account.

    ``notices`` are the gravest of ``total``; ``body`` lists fewer still, since a person reads it. ``id`` is unique in
    the state, and messages go in its order; it is 0 until the message is on its way.
    """

    id: int = 0
    destination: str = ""
    status: MessageStatus
    reason: str
    severity: Severity
    title: str
    body: str = field(repr=False)
    at: datetime
    total: int = 1
    notices: tuple[Notice, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Route:
    """What one destination wants to hear of. ``reasons`` and ``zones`` (globs of labels) are empty for all.

    What concerns no zone, such as a refused configuration, goes to every destination of the right severity.
    """

    min_severity: Severity = Severity.INFO
    reasons: frozenset[str] = frozenset()
    zones: tuple[str, ...] = ()

    def wants(self, alert: Alert) -> bool:
        """Whether this alert goes there."""
        return (
            alert.severity.rank >= self.min_severity.rank
            and (not self.reasons or alert.reason in self.reasons)
            and (not self.zones or not alert.zone or any(fnmatchcase(alert.zone.lower(), glob) for glob in self.zones))
        )
