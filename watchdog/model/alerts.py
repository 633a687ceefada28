"""What people are alerted to, as values: an alert that holds, its life so far, and the message that tells of it.

``notify.rules`` makes alerts, ``notify.dedup`` turns them into notices, ``notify.messages`` gathers notices into
messages; the channels deliver those and ``state`` keeps them. Texts are whole sentences and already clean.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache

import msgspec

from watchdog.model.meanings import ALERTS
from watchdog.model.names import matcher
from watchdog.model.packs import ManualRecord
from watchdog.model.reasons import Reason, Severity

RUNBOOKS = "docs/runbooks/"
"""Where those pages are, from the top of this program's source."""


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that holds now.

    ``subject`` names what it is about, the same for as long as that exists: two alerts about one subject are two sides
    of one trouble. ``since`` is since when it is so, as far as anybody knows. ``restarts`` were made in that time. A
    higher ``stage`` of the same alert is worse than a lower one. It must hold for ``patience`` before it fires.
    ``worse_at`` is when something graver will hold of its subject, unless what is the matter ends before.
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
    worse_at: datetime | None = None
    runbooks: str = RUNBOOKS

    @property
    def fingerprint(self) -> str:
        """What this alert is known by, in all channels and over restarts of the daemon."""
        return _known_by(self.reason, self.subject)

    @property
    def group(self) -> str:
        """The alerts it is told together with: those of one reason and one account."""
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
    """What is new of an alert."""

    STARTED = "started"
    WORSE = "worse"
    LASTING = "lasting"
    OVER = "over"
    GONE = "gone"  # over because its zone or pack is no longer watched

    @property
    def ends(self) -> bool:
        """Whether it tells an end."""
        return self in (Kind.OVER, Kind.GONE)


class Phase(StrEnum):
    """Where an alert is in its life; ``notify.lifecycle`` says how it gets there."""

    INACTIVE = "inactive"  # not in the log
    PENDING = "pending"  # it holds, and not yet for as long as it must
    FIRING = "firing"
    PAUSED = "paused"  # it does not hold, and may come back
    WAITING = "waiting"  # it does not hold, and its pack is not well yet
    OVER = "over"  # people are still to be told so
    GONE = "gone"  # over because its zone or pack is no longer watched; people are still to be told so
    CLOSED = "closed"

    @property
    def fires(self) -> bool:
        """Whether it counts as firing for all who ask: what only pauses while it flaps does."""
        return self in (Phase.FIRING, Phase.PAUSED)

    @property
    def ended(self) -> bool:
        """Whether its end is believed."""
        return self in (Phase.OVER, Phase.GONE, Phase.CLOSED)


class AlertState(msgspec.Struct, frozen=True, kw_only=True):
    """One alert's place in the log: its phase, and what people were told of it.

    ``alert`` is as it last held, ``first_at`` when this story of it began. ``notified_at`` is when people were last
    told anything of it (``None``: never), ``notified`` the gravest they were told. ``ceased_at`` is when it last ceased
    to hold, or its pack was last unwell (``None`` while it holds); ``ended_at`` when that was taken for its end
    (``None`` until then). ``flaps`` counts how often it came back soon after.
    """

    alert: Alert
    phase: Phase
    first_at: datetime
    notified_at: datetime | None = None
    notified: tuple[int, int] = (-1, -1)
    ceased_at: datetime | None = None
    ended_at: datetime | None = None
    flaps: int = 0


class GroupHistory(msgspec.Struct, frozen=True):
    """When people were last told of a group of alerts, and how often in a row, with no long silence between.

    By ``early_until`` all its early messages, which a new critical may bring about, are there to be spent again.
    """

    notified_at: datetime
    in_a_row: int = 1
    early_until: datetime | None = None


class AlertLog(msgspec.Struct, frozen=True):
    """Every alert that is not inactive, by fingerprint, and the groups people were told of lately, by name."""

    states: Mapping[str, AlertState] = msgspec.field(default_factory=dict)
    groups: Mapping[str, GroupHistory] = msgspec.field(default_factory=dict)

    def split(self, accounts: Collection[str]) -> "tuple[AlertLog, AlertLog]":
        """The part about some accounts, and the rest."""

        def part(*, theirs: bool) -> AlertLog:
            return AlertLog(
                {name: each for name, each in self.states.items() if (each.alert.account in accounts) is theirs},
                {name: each for name, each in self.groups.items() if (account_of_group(name) in accounts) is theirs},
            )

        return part(theirs=True), part(theirs=False)

    def joined(self, other: "AlertLog") -> "AlertLog":
        """Both: they have nothing in common."""
        return AlertLog({**self.states, **other.states}, {**self.groups, **other.groups})

    def firing(self) -> frozenset[tuple[str, Severity]]:
        """The fingerprints of what fires, each with its severity."""
        return frozenset((name, each.alert.severity) for name, each in self.states.items() if each.phase.fires)

    def firing_counts(self) -> Mapping[tuple[str, str], int]:
        """How many alerts fire, by reason and severity; those that could fire and do not are 0."""
        counts = Counter({(str(reason), str(each)): 0 for reason, severities in ALERTS.items() for each in severities})
        firing = (each.alert for each in self.states.values() if each.phase.fires)
        counts.update((str(alert.reason), str(alert.severity)) for alert in firing)
        return counts


def account_of_group(name: str) -> str:
    """Whose alerts are told together under this name (``Alert.group``)."""
    return name.partition(" ")[2]


class Notice(msgspec.Struct, frozen=True):
    """Something new of one alert that people are to be told; ``until`` is when it ended.

    ``retired`` where it ended as its account is configured no more. ``instead`` are others about the same pack: whoever
    is told of one of those is told enough. ``formerly`` are those that gave way to one that is over, as grave as they
    were told: their end is this one.
    """

    kind: Kind
    alert: Alert
    until: datetime | None = None
    instead: tuple[Alert, ...] = ()
    formerly: tuple[Alert, ...] = ()
    retired: bool = False


class MessageStatus(StrEnum):
    """What a message is about."""

    FIRING = "firing"
    RESOLVED = "resolved"
    TEST = "test"


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What one destination is sent at once: notices of one reason and one account.

    ``notices`` are the gravest of ``total``; ``body`` lists fewer still, since a person reads it. ``id`` is unique in
    the state, and messages go in its order; it is 0 until the message is on its way. ``told_under`` is whose lease it
    is told under, where that is not its account's.
    """

    id: int = 0
    destination: str = ""
    status: MessageStatus
    reason: str
    severity: Severity
    title: str
    body: str
    at: datetime
    total: int = 1
    notices: tuple[Notice, ...] = ()
    told_under: str | None = None

    def __repr__(self) -> str:
        """Without what it tells: that may be long."""
        return (
            f"Message(id={self.id!r}, destination={self.destination!r}, status={self.status!r}, title={self.title!r})"
        )

    @property
    def owner(self) -> str:
        """Whoever holds the lease of this delivers it: an account's, or that of the watchdog itself."""
        return self.account if self.told_under is None else self.told_under

    @property
    def account(self) -> str:
        """Whose alerts it tells of; empty for those about the watchdog itself."""
        return self.notices[0].alert.account if self.notices else ""


class Route(msgspec.Struct, frozen=True):
    """What one destination wants. ``reasons`` and ``zones`` (globs of labels) are empty for all.

    What concerns no zone, such as a refused configuration, goes to every destination of the right severity.
    ``incidents`` where each alert opens something that its end has to close: such a destination hears of all alerts,
    however many there are, and also of ends that are no news to people.
    """

    min_severity: Severity = Severity.INFO
    reasons: frozenset[str] = frozenset()
    zones: tuple[str, ...] = ()
    incidents: bool = False

    def wants(self, alert: Alert) -> bool:
        """Whether this alert goes there."""
        return (
            alert.severity.rank >= self.min_severity.rank
            and (not self.reasons or alert.reason in self.reasons)
            and (not self.zones or not alert.zone or any(matcher(glob)(alert.zone) for glob in self.zones))
        )


@lru_cache(maxsize=10_000)
def _known_by(reason: Reason, subject: str) -> str:
    """Asked for with every pass, of every alert that holds."""
    return hashlib.sha256(f"{reason}\n{subject}".encode()).hexdigest()[:16]
