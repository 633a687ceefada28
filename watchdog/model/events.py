"""What happened, as a value: written as a log line, kept as a line of the journal.

``EVENTS`` is the closed vocabulary of log events: each name with the levels and the fields it may have. Operators alert
on the names, so none is ever renamed; ``docs/logs.md`` explains each, and a test keeps the two in step. An event about
a zone or a pack is made by a constructor of ``Event`` and nowhere else; what the daemon says of itself is written by
``tell.logs`` under a name of this vocabulary.
"""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Self

import msgspec

from watchdog.model.clock import rfc3339
from watchdog.model.decisions import Decision
from watchdog.model.findings import Certainty, Diagnosis
from watchdog.model.history import History, Intent, JournalLine, Sent
from watchdog.model.leases import Lease
from watchdog.model.outcomes import RestartOutcome
from watchdog.model.packs import Pack, ZoneRef
from watchdog.model.reasons import REASONS, Reason
from watchdog.model.silences import Silence

if TYPE_CHECKING:  # who tells nobody has no use for it, and it costs every start
    from watchdog.model.alerts import Message, Notice

INFO, WARNING, ERROR, DEBUG = "info", "warning", "error", "debug"


class EventName(StrEnum):
    """The names of log events."""

    # Packs and zones.
    PACK_CHANGED = "pack_changed"
    PACK_REPLACED = "pack_replaced"
    RESTART_INTENDED = "restart_intended"
    RESTART_SENT = "restart_sent"
    RESTART_FAILED = "restart_failed"
    RESTART_HELD = "restart_held"
    GAVE_UP = "gave_up"
    RECOVERED = "recovered"
    RECORDS_TO_PLACE = "records_to_place"
    RECHECK_SENT = "recheck_sent"
    RECHECK_FAILED = "recheck_failed"
    ZONE_UNSEEN = "zone_unseen"
    ZONE_CHOSEN = "zone_chosen"
    DISCOVERED = "discovered"
    # Cloudflare.
    API_ERROR = "api_error"
    RATE_LIMITED = "rate_limited"
    CREDENTIAL_DOUBTED = "credential_doubted"
    CREDENTIAL_STOPPED = "credential_stopped"
    CREDENTIAL_RESUMED = "credential_resumed"
    # Alerts.
    ALERT_SENT = "alert_sent"
    ALERT_FAILED = "alert_failed"
    HEARTBEAT_FAILED = "heartbeat_failed"
    SILENCE_ADDED = "silence_added"
    SILENCE_ENDED = "silence_ended"
    # The daemon.
    STARTED = "started"
    PASS_COMPLETED = "pass_completed"  # noqa: S105  a name, no secret
    CONFIG_RELOADED = "config_reloaded"
    CONFIG_REFUSED = "config_refused"
    CREDENTIAL_EXPOSED = "credential_exposed"
    NO_PROXY_IGNORED = "no_proxy_ignored"
    LEASE_ACQUIRED = "lease_acquired"
    LEASE_LOST = "lease_lost"
    LEASE_HANDED_OVER = "lease_handed_over"
    STATE_UNWRITABLE = "state_unwritable"
    STATE_WRITABLE = "state_writable"
    STATE_LOST = "state_lost"
    STOPPING = "stopping"
    STOPPED = "stopped"
    LIBRARY = "library"  # what a library says through Python's own logging: its text is no name of ours


class EventKind(msgspec.Struct, frozen=True):
    """What a log line of one name looks like: its usual level, the ``others`` it may have, and its fields in order."""

    level: str
    fields: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def levels(self) -> tuple[str, ...]:
        """Every level it may have, the usual one first."""
        return (self.level, *self.others)


_ZONE = ("account", "zone", "zone_id")
_PACK = (*_ZONE, "pack_id")
_WHY = (*_PACK, "reason")
_NEXT = (*_WHY, "attempt", "next_restart_at")
_OUTCOME = (*_NEXT, "status", "outcome", "error")
_FOUND = ("found", "records")
_MESSAGE = ("message_id", "reason", "severity", "kind", "zones", "fingerprints", "destinations", "title")

EVENTS: dict[EventName, EventKind] = {
    EventName.PACK_CHANGED: EventKind(INFO, (*_PACK, "before", "status"), (WARNING,)),
    EventName.PACK_REPLACED: EventKind(INFO, (*_PACK, "old_pack_id", "before", "status")),
    EventName.RESTART_INTENDED: EventKind(INFO, _NEXT),
    EventName.RESTART_SENT: EventKind(INFO, _OUTCOME),
    EventName.RESTART_FAILED: EventKind(WARNING, _OUTCOME),
    EventName.RESTART_HELD: EventKind(INFO, (*_NEXT, "error", *_FOUND), (WARNING,)),
    EventName.GAVE_UP: EventKind(ERROR, (*_WHY, "attempts", "last_error", *_FOUND)),
    EventName.RECOVERED: EventKind(INFO, (*_WHY, "after_seconds", "restarts")),
    EventName.RECORDS_TO_PLACE: EventKind(WARNING, (*_WHY, *_FOUND)),
    EventName.RECHECK_SENT: EventKind(INFO, (*_WHY, "method")),
    EventName.RECHECK_FAILED: EventKind(WARNING, (*_WHY, "method", "error")),
    EventName.ZONE_UNSEEN: EventKind(ERROR, (*_WHY, "error"), (DEBUG,)),
    EventName.ZONE_CHOSEN: EventKind(INFO, (*_ZONE, "choice")),
    EventName.DISCOVERED: EventKind(INFO, ("account", "zones", "new", "gone", "new_zones", "gone_zones")),
    EventName.API_ERROR: EventKind(WARNING, ("account", "operation", "error_code", "error", "repeated")),
    EventName.RATE_LIMITED: EventKind(WARNING, ("account", "wait_seconds")),
    EventName.CREDENTIAL_DOUBTED: EventKind(INFO, ("account", "error")),
    EventName.CREDENTIAL_STOPPED: EventKind(ERROR, ("account", "error")),
    EventName.CREDENTIAL_RESUMED: EventKind(INFO, ("account", "error")),
    EventName.ALERT_SENT: EventKind(INFO, _MESSAGE),
    EventName.ALERT_FAILED: EventKind(WARNING, (*_MESSAGE, "error", "next_at", "dropped"), (ERROR,)),
    EventName.SILENCE_ADDED: EventKind(INFO, (*_WHY, "silence", "until", "comment")),
    EventName.SILENCE_ENDED: EventKind(INFO, (*_WHY, "silence", "until", "comment")),
    EventName.HEARTBEAT_FAILED: EventKind(WARNING, ("error",)),
    EventName.STARTED: EventKind(INFO, ("version", "zones", "discovering", "listen", "state", "dry_run")),
    EventName.PASS_COMPLETED: EventKind(
        INFO, ("zones", "unseen", "waiting", "packs", "timed_out", "restarts", "seconds", "dry_run")
    ),
    EventName.CONFIG_RELOADED: EventKind(INFO, ("changes",)),
    EventName.CONFIG_REFUSED: EventKind(ERROR, ("error", "kept")),
    EventName.CREDENTIAL_EXPOSED: EventKind(WARNING, ("file", "mode", "remedy")),
    EventName.NO_PROXY_IGNORED: EventKind(WARNING, ("entry",)),
    EventName.LEASE_ACQUIRED: EventKind(INFO, ("account", "epoch", "holder")),
    EventName.LEASE_LOST: EventKind(WARNING, ("account", "epoch", "holder")),
    EventName.LEASE_HANDED_OVER: EventKind(INFO, ("account", "epoch", "holder")),
    EventName.STATE_UNWRITABLE: EventKind(ERROR, ("error",)),
    EventName.STATE_WRITABLE: EventKind(INFO),
    EventName.STATE_LOST: EventKind(ERROR, ("kept", "restarts_from")),
    EventName.STOPPING: EventKind(INFO),
    EventName.STOPPED: EventKind(INFO),
    EventName.LIBRARY: EventKind(WARNING, ("logger", "message", "error", "frames"), (ERROR,)),
}

_ZONES_SHOWN = 10
"""Names of zones that came or went in one log line."""

_FOUND_SHOWN, _RECORDS_SHOWN = 3, 10
"""Findings and records that one log line names: ``explain`` shows them all."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened to a zone or to a pack of it. ``level`` is that of the log line.

    ``facts`` are further fields in the order they are shown; texts in them are already clean.
    """

    name: EventName
    at: datetime
    zone: ZoneRef
    pack: Pack | None = None
    reason: Reason | None = None
    level: str = INFO
    facts: tuple[tuple[str, object], ...] = ()

    @property
    def detail(self) -> str:
        """The facts on one line."""
        return " ".join(f"{name}={shown(value)}" for name, value in self.facts if value not in (None, ""))

    @property
    def journal_line(self) -> JournalLine:
        """As it is kept for looking back."""
        return JournalLine(
            at=self.at,
            event=self.name,
            account=self.zone.account,
            zone=self.zone.label,
            zone_id=self.zone.id,
            pack_id=self.pack.id if self.pack else "",
            reason=self.reason or "",
            detail=self.detail,
        )

    @classmethod
    def silence_added(cls, silence: Silence, at: datetime) -> Self:
        """From now on nobody is told of a zone or of a pack."""
        return cls._of_silence(EventName.SILENCE_ADDED, silence, at)

    @classmethod
    def silence_ended(cls, silence: Silence, at: datetime) -> Self:
        """A silence is over, or somebody has made it expire before ``until``."""
        return cls._of_silence(EventName.SILENCE_ENDED, silence, at)

    @classmethod
    def _of_silence(cls, name: EventName, silence: Silence, at: datetime) -> Self:
        zone = ZoneRef(silence.account, silence.zone, silence.zone_id)
        pack = (
            Pack(id=silence.pack_id, zone_id=silence.zone_id, type="", status="", hosts=()) if silence.pack_id else None
        )
        facts = (("silence", silence.id), ("until", silence.until), ("comment", silence.comment))
        return cls(name=name, at=at, zone=zone, pack=pack, reason=Reason.SILENCED, facts=facts)

    @classmethod
    def pack_changed(cls, zone: ZoneRef, pack: Pack, at: datetime, *, before: str) -> Self:
        """A pack's status is another than ``before``, which is empty at the first sight of it."""
        facts = (("before", before or None), ("status", pack.status))
        level = WARNING if pack.status.endswith("timed_out") or pack.status == "expired" else INFO
        return cls(name=EventName.PACK_CHANGED, at=at, zone=zone, pack=pack, level=level, facts=facts)

    @classmethod
    def pack_replaced(cls, zone: ZoneRef, pack: Pack, at: datetime, old: Pack) -> Self:
        """Cloudflare gave the pack another id: ``pack`` stands in the place of ``old``, of the same identity."""
        facts = (("old_pack_id", old.id), ("before", old.status), ("status", pack.status))
        return cls(name=EventName.PACK_REPLACED, at=at, zone=zone, pack=pack, facts=facts)

    @classmethod
    def recovered(cls, zone: ZoneRef, pack: Pack, at: datetime, *, after: timedelta, restarts: int) -> Self:
        """A pack that was in trouble is well again."""
        facts = (("after_seconds", int(after.total_seconds())), ("restarts", restarts))
        return cls(name=EventName.RECOVERED, at=at, zone=zone, pack=pack, reason=Reason.HEALTHY, facts=facts)

    @classmethod
    def zone_unseen(
        cls, zone: ZoneRef, at: datetime, reason: Reason, error: str, *, pack: Pack | None = None, again: bool = False
    ) -> Self:
        """A zone could not be seen, or one ``pack`` of it; ``again`` for the same reason as at the last look."""
        facts, level = (("error", error),), DEBUG if again else ERROR
        return cls(name=EventName.ZONE_UNSEEN, at=at, zone=zone, pack=pack, reason=reason, level=level, facts=facts)

    @classmethod
    def restart_intended(cls, zone: ZoneRef, pack: Pack, intent: Intent) -> Self:
        """A restart is about to be sent, and is counted on disk already."""
        facts = (("attempt", intent.attempt), ("next_restart_at", intent.next_restart_at))
        reason = Reason.VALIDATION_TIMED_OUT
        return cls(name=EventName.RESTART_INTENDED, at=intent.at, zone=zone, pack=pack, reason=reason, facts=facts)

    @classmethod
    def restart_settled(cls, zone: ZoneRef, outcome: RestartOutcome, history: History, at: datetime) -> Self:
        """What became of a restart that was sent; ``history`` is the pack's since."""
        facts = (
            ("attempt", outcome.attempt),
            ("next_restart_at", history.next_restart_at),
            ("status", outcome.pack.status),
            ("outcome", outcome.sent),
            ("error", outcome.error),
        )
        name = EventName.RESTART_SENT if outcome.sent is Sent.ACCEPTED else EventName.RESTART_FAILED
        level, reason = EVENTS[name].level, outcome.reason
        return cls(name=name, at=at, zone=zone, pack=outcome.pack, reason=reason, level=level, facts=facts)

    @classmethod
    def restart_cut_off(cls, intent: Intent, at: datetime, error: str) -> Self:
        """A restart that the end of the last process cut off: nobody knows what became of it."""
        zone = ZoneRef(intent.account, intent.zone, intent.zone_id)
        facts = (("attempt", intent.attempt), ("next_restart_at", intent.next_restart_at), ("error", error))
        name, reason = EventName.RESTART_FAILED, Reason.OUTCOME_UNKNOWN
        return cls(name=name, at=at, zone=zone, reason=reason, level=WARNING, facts=facts)

    @classmethod
    def restart_held(
        cls,
        zone: ZoneRef,
        pack: Pack,
        at: datetime,
        decision: Decision,
        *,
        attempts: int,
        diagnosis: Diagnosis | None = None,
        error: str = "",
    ) -> Self:
        """A timed-out pack is not restarted now, for the reason of ``decision``."""
        due = decision.until
        facts = (("attempt", attempts), ("next_restart_at", due), ("error", error), *_found(diagnosis))
        level = WARNING if REASONS[decision.reason].needs_a_person else INFO
        name, reason = EventName.RESTART_HELD, decision.reason
        return cls(name=name, at=at, zone=zone, pack=pack, reason=reason, level=level, facts=facts)

    @classmethod
    def gave_up(cls, zone: ZoneRef, pack: Pack, at: datetime, history: History, diagnosis: Diagnosis | None) -> Self:
        """No more restarts: a person is needed."""
        facts = (("attempts", history.attempts), ("last_error", history.last_error), *_found(diagnosis))
        name, reason = EventName.GAVE_UP, Reason.GAVE_UP
        return cls(name=name, at=at, zone=zone, pack=pack, reason=reason, level=ERROR, facts=facts)

    @classmethod
    def records_to_place(cls, zone: ZoneRef, pack: Pack, at: datetime, reason: Reason, diagnosis: Diagnosis) -> Self:
        """Cloudflare waits for DNS records that a person has to place."""
        name, facts = EventName.RECORDS_TO_PLACE, _found(diagnosis)
        return cls(name=name, at=at, zone=zone, pack=pack, reason=reason, level=WARNING, facts=facts)

    @classmethod
    def rechecked(cls, zone: ZoneRef, pack: Pack, at: datetime, reason: Reason, error: str) -> Self:
        """Cloudflare was asked to check a validation now; ``error`` is empty when it took that."""
        name = EventName.RECHECK_FAILED if error else EventName.RECHECK_SENT
        facts = (("method", pack.validation.method), ("error", error))
        return cls(name=name, at=at, zone=zone, pack=pack, reason=reason, level=EVENTS[name].level, facts=facts)

    @classmethod
    def discovered(
        cls, account: str, before: Collection[ZoneRef] | None, zones: Collection[ZoneRef], at: datetime
    ) -> Self | None:
        """What zones of an account are new and what are gone, if any; of the first time only how many there are."""
        names, known = {zone.label for zone in zones}, {zone.label for zone in before or ()}
        new, gone = sorted(names - known), sorted(known - names)
        if before is not None and not new and not gone:
            return None
        facts = (
            ("zones", len(names)),
            ("new", len(new)),
            ("gone", len(gone)),
            ("new_zones", None if before is None else new[:_ZONES_SHOWN] or None),
            ("gone_zones", gone[:_ZONES_SHOWN] or None),
        )
        return cls(name=EventName.DISCOVERED, at=at, zone=ZoneRef(account, ""), facts=facts)

    @classmethod
    def of_lease(cls, name: EventName, lease: Lease, at: datetime) -> Self:
        """A replica works an account from now on, or does no more; or it tells of the watchdog itself."""
        facts = (("epoch", lease.epoch), ("holder", lease.holder))
        return cls(name=name, at=at, zone=ZoneRef(lease.account, ""), level=EVENTS[name].level, facts=facts)

    @classmethod
    def alerted(cls, message: "Message", at: datetime, error: str = "", *, dropped: bool = False) -> list[Self]:
        """People were told of each of these zones, or could not be told: once a zone, however many packs it has."""
        name = EventName.ALERT_FAILED if error else EventName.ALERT_SENT
        level = EVENTS[name].level if not dropped else ERROR
        events = []
        for notices in _by_zone(message.notices).values():
            alert, packs = notices[0].alert, {notice.alert.pack_id for notice in notices}
            zone = ZoneRef(alert.account, alert.zone, alert.zone_id)
            single = alert.pack_id and len(packs) == 1
            pack = Pack(id=alert.pack_id, zone_id=alert.zone_id, type="", status="", hosts=()) if single else None
            facts = (
                ("severity", alert.severity),
                ("kind", notices[0].kind),
                ("destinations", message.destination),
                ("message_id", message.id or None),
                ("dropped", dropped or None),
                ("error", error),
            )
            events.append(cls(name=name, at=at, zone=zone, pack=pack, reason=alert.reason, level=level, facts=facts))
        return events


def _by_zone(notices: "Iterable[Notice]") -> "dict[tuple[str, str], list[Notice]]":
    zones: dict[tuple[str, str], list[Notice]] = {}
    for notice in notices:
        zones.setdefault((notice.alert.account, notice.alert.zone), []).append(notice)
    return zones


def _found(diagnosis: Diagnosis | None) -> tuple[tuple[str, object], ...]:
    """What a log line says of a diagnosis: what is at least likely, and what is to be placed."""
    if diagnosis is None:
        return ()
    found = [finding for finding in diagnosis.findings if finding.certainty is not Certainty.HINT][:_FOUND_SHOWN]
    says = " ".join(f"{finding.host}: {finding.says}" if finding.host else finding.says for finding in found)
    records = diagnosis.records[:_RECORDS_SHOWN]
    return (("found", says), ("records", "; ".join(f"{each.name} {each.type} {each.value}" for each in records)))


def shown(value: object) -> str:
    """A fact as text; times as RFC 3339 in UTC."""
    if isinstance(value, list):
        return ", ".join(map(shown, value))
    return rfc3339(value) if isinstance(value, datetime) else str(value)
