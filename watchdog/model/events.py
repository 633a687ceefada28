"""What happened, as a value: written as a log line, kept as a line of the journal.

An event about a zone or a pack is made by a constructor of ``Event`` and nowhere else; what the daemon says of itself
is written by ``tell.logs``. Both have their names from the vocabulary of ``event_names``.
"""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Self

import msgspec

from watchdog.model.clock import rfc3339
from watchdog.model.decisions import Decision
from watchdog.model.event_names import DEBUG, ERROR, EVENTS, INFO, WARNING, EventName
from watchdog.model.findings import Certainty, Diagnosis
from watchdog.model.history import History, Intent, JournalLine, Sent
from watchdog.model.leases import Lease
from watchdog.model.meanings import REASONS
from watchdog.model.outcomes import RestartOutcome
from watchdog.model.packs import Pack, ZoneRef
from watchdog.model.reasons import Reason
from watchdog.model.silences import Silence

if TYPE_CHECKING:  # who tells nobody has no use for it, and it costs every start
    from watchdog.model.alerts import Message, Notice

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
        pack = _named(silence.zone_id, silence.pack_id) if silence.pack_id else None
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
        """A lease came or went: that of an account, or that of the watchdog itself, whose ``account`` is empty."""
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
            pack = _named(alert.zone_id, alert.pack_id) if single else None
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


def _named(zone_id: str, pack_id: str) -> Pack:
    """A pack of which no more than its ids are known here."""
    return Pack(id=pack_id, zone_id=zone_id, type="", status="", hosts=())


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
