"""What is reported: one row per pack and per zone, the same wherever JSON is given; and the sum of a pass."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import msgspec

from watchdog.model.clock import maybe_rfc3339, rfc3339
from watchdog.model.decisions import Decision, Do
from watchdog.model.findings import Finding, FindingName
from watchdog.model.history import History, JournalLine, Remembered, ZoneMemory, next_restart_at
from watchdog.model.meanings import REASONS
from watchdog.model.needs import PENDING_FOR, Needs
from watchdog.model.packs import HELD_BY_PEOPLE, UNDEPLOYED, UPLOADED, VALIDATION_TIMED_OUT, ManualRecord, Pack
from watchdog.model.reasons import Reason
from watchdog.model.renewal import LONGEST_WINDOW, renewal
from watchdog.model.silences import Silence, Silences
from watchdog.model.text import sentence
from watchdog.model.trouble import Need
from watchdog.model.zone_packs import Tracked, ZonePacks, grouped


class PassReport(msgspec.Struct):
    """The sum of one pass. ``waiting`` zones were due and not reached: the quota or the time ran out."""

    started_at: datetime
    dry_run: bool = False
    zones: int = 0
    unseen: int = 0
    waiting: int = 0
    packs: Counter[str] = msgspec.field(default_factory=Counter)
    decisions: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    restarts: Counter[str] = msgspec.field(default_factory=Counter)
    seconds: float = 0.0

    def counts(self) -> dict[str, object]:
        """The fields of the ``pass_completed`` line."""
        return {
            "zones": self.zones,
            "unseen": self.unseen,
            "waiting": self.waiting,
            "packs": self.packs.total(),
            "timed_out": self.packs[VALIDATION_TIMED_OUT],
            "restarts": self.restarts.total(),
            "seconds": round(self.seconds, 3),
        }


def pack_row(
    known: Remembered, history: History, need: Need | None, now: datetime, silenced_until: datetime | None = None
) -> dict[str, Any]:
    """One pack as JSON, with the gravest ``need`` it has. Times are RFC 3339 in UTC, or null."""
    pack, decision = known.pack, known.decision
    return {
        "account": known.account,
        "zone": known.zone,
        "zone_id": pack.zone_id,
        "pack_id": pack.id,
        "type": pack.type,
        "hosts": list(pack.hosts),
        "status": pack.status,
        "since": rfc3339(known.since),
        "decision": decision.do,
        "reason": decision.reason,
        "attempts": history.attempts,
        "last_restart_at": maybe_rfc3339(history.last_restart_at),
        "next_restart_at": maybe_rfc3339(next_restart_at(known, history) or _stored(decision, history)),
        "expires_at": maybe_rfc3339(pack.expires_at),
        "last_error": history.last_error or "; ".join(pack.validation_errors) or None,
        "needs_person": need is not None and need.of_a_person,
        "severity": need.severity if need is not None else None,
        "why": need.what if need is not None else None,
        "next_step": sentence(need.remedy) if need is not None else next_step(known, history, now),
        "silenced_until": maybe_rfc3339(silenced_until),
        "findings": [finding_row(finding) for finding in known.diagnosis.findings] if known.diagnosis else [],
        "records": [record_row(record) for record in known.diagnosis.records] if known.diagnosis else [],
    }


def _stored(decision: Decision, history: History) -> datetime | None:
    """When a pack that is not timed out now may be restarted again, should it be."""
    return None if REASONS[decision.reason].final else history.next_restart_at


def finding_row(finding: Finding) -> dict[str, Any]:
    """One finding as JSON."""
    return {
        "name": finding.name,
        "certainty": finding.certainty,
        "host": finding.host or None,
        "says": finding.says,
        "remedy": finding.remedy,
        "record": record_row(finding.record) if finding.record is not None else None,
    }


def record_row(record: ManualRecord) -> dict[str, str]:
    """One record to place as JSON."""
    return {"type": record.type, "name": record.name, "value": record.value}


def next_step(known: Remembered, history: History, now: datetime) -> str:
    """What the watchdog, or Cloudflare, will do with a pack next, and when, as a sentence."""
    at = next_restart_at(known, history)
    if known.decision.do is Do.WAIT and at is not None:
        step = f"It is restarted at the first look after {rfc3339(at)}, if it is still timed out then."
        if known.decision.reason is Reason.CA_RATE_LIMITED:
            return f"{step} No wait ends the limit of its authority in time: order it from another one now."
        found = known.diagnosis.findings if known.diagnosis is not None else ()
        limited = any(finding.name is FindingName.CA_RATE_LIMITED for finding in found)
        if limited and known.decision.reason is Reason.BACKING_OFF:
            return f"{step} It waits for a limit of its authority; another one would issue at once."
        return step
    if known.decision.reason is Reason.VALIDATION_TIMED_OUT and at is not None and at > now:
        return f"A restart of it has begun; the next one follows after {rfc3339(at)} at the earliest."
    if known.pack.status in HELD_BY_PEOPLE:
        return "Nothing: it is not deployed until somebody deploys it."
    if known.decision.reason is Reason.IN_PROGRESS and known.diagnosis and known.diagnosis.records:
        return "It waits for the records below. Cloudflare is asked to check as soon as every resolver sees them."
    if known.decision.reason is Reason.HEALTHY:
        return _renewed_by(known.pack, now) or REASONS[Reason.HEALTHY].next_step
    return REASONS[known.decision.reason].next_step


def _renewed_by(pack: Pack, now: datetime) -> str:
    """Who renews a certificate that is well and near its end; empty while there is time, and where nobody serves it."""
    if pack.status in UNDEPLOYED or pack.expires_at is None or pack.expires_at - now > LONGEST_WINDOW:
        return ""
    if pack.type in UPLOADED:
        return "Nothing: an uploaded certificate is renewed by its owner, not by Cloudflare."
    window = renewal(pack.expires_at, pack.uploaded_at, now)
    if window is None or not window.used:
        return ""
    if now >= window.last_restart_at:
        return "Nothing: Cloudflare renews no certificate in its last 24 hours."
    return f"Nothing: Cloudflare renews it by itself, until {rfc3339(window.closes_at)}."


def zone_row(zone: ZoneMemory, packs: int) -> dict[str, Any]:
    """One zone as JSON."""
    return {
        "account": zone.account,
        "zone": zone.label,
        "zone_id": zone.id or None,
        "packs": packs,
        "last_success_at": maybe_rfc3339(zone.seen_at),
        "last_look_at": maybe_rfc3339(zone.tried_at),
        "reason": zone.reason or None,
        "last_error": zone.error or None,
    }


def event_row(line: JournalLine) -> dict[str, Any]:
    """One line of the journal as JSON; what it does not concern is null."""
    return {
        "at": rfc3339(line.at),
        "event": line.event,
        "account": line.account or None,
        "zone": line.zone or None,
        "zone_id": line.zone_id or None,
        "pack_id": line.pack_id or None,
        "reason": line.reason or None,
        "detail": line.detail or None,
    }


class Inventory(msgspec.Struct, frozen=True, dict=True):  # ``dict`` for what is worked out once
    """All packs with their histories, and all zones, at one moment. Rows are only made when somebody reads them.

    ``pending_for`` is how long a pack may wait for its validation before that is worth a word.
    """

    by_zone: Sequence[ZonePacks]
    zones: Sequence[ZoneMemory]
    at: datetime
    pending_for: timedelta = PENDING_FOR
    silences: Sequence[Silence] = ()

    def __repr__(self) -> str:
        """Without the packs: asyncio prints a task's result, even unasked."""
        return f"Inventory(at={self.at!r})"

    @classmethod
    def of(cls, packs: Iterable[Tracked], zones: Sequence[ZoneMemory], at: datetime, **more: Any) -> "Inventory":
        """One that is made of single packs."""
        return cls(grouped(packs), zones, at, **more)

    @cached_property
    def packs(self) -> list[Tracked]:
        """Every pack. Slow for large fleets."""
        return [tracked for each in self.by_zone for tracked in each.packs]

    @property
    def count(self) -> int:
        """How many packs there are."""
        return sum(each.count for each in self.by_zone)

    @cached_property
    def restless(self) -> list[Tracked]:
        """The packs that are not well, or whose certificate ends before long: of the others nothing is told."""
        soon = self.at + LONGEST_WINDOW
        return [tracked for each in self.by_zone for tracked in each.restless(soon)]

    @cached_property
    def silenced(self) -> Silences:
        """Of what nobody is told now."""
        return Silences(self.silences, self.at)

    @cached_property
    def needs(self) -> Needs:
        """What these packs ask of a person."""
        return Needs(self.by_zone, self.at, self.pending_for)

    def asking(self) -> Iterator[tuple[Remembered, History, Need]]:
        """The packs that ask something of a person, with the gravest of it."""
        for known, history in self.restless:
            if (need := self.needs.of(known, history)) is not None:
                yield known, history, need

    def zone_rows(self) -> Iterator[dict[str, Any]]:
        """Every zone as JSON."""
        counts = Counter[tuple[str, str]]()
        for each in self.by_zone:
            counts[each.key] += each.count
        return (zone_row(zone, counts[zone.key]) for zone in self.zones)

    @cached_property
    def asked(self) -> list[tuple[Remembered, History, Need | None]]:
        """Every pack with the gravest that it asks of a person. Slow for large fleets."""
        return [(known, history, self.needs.of(known, history)) for known, history in self.packs]

    def row(self, known: Remembered, history: History) -> dict[str, Any]:
        """One pack as JSON."""
        return self.row_with(known, history, self.needs.of(known, history))

    def row_with(self, known: Remembered, history: History, need: Need | None) -> dict[str, Any]:
        """One pack, of which is known what it asks."""
        silenced_until = self.silenced.until(known.account, known.zone, known.pack)
        return pack_row(known, history, need, self.at, silenced_until)

    def unseen(self) -> list[ZoneMemory]:
        """The zones whose last look failed."""
        return [zone for zone in self.zones if zone.error]

    def needs_a_person(self) -> bool:
        """Whether there is a pack or a zone that nothing the watchdog may do will mend."""
        return bool(self.unseen()) or any(need.of_a_person for _, _, need in self.asking())


def silence_row(silence: Silence) -> dict[str, Any]:
    """A silence as JSON. Times are RFC 3339 in UTC."""
    return {
        "id": silence.id,
        "account": silence.account,
        "zone": silence.zone,
        "zone_id": silence.zone_id or None,
        "pack_id": silence.pack_id or None,
        "created_at": rfc3339(silence.at),
        "until": rfc3339(silence.until),
        "comment": silence.comment,
    }
