"""What the trouble of one pack asks of a person, by what was decided of it. Arithmetic only.

``needs`` asks it of every pack. The other thing that a pack may ask is about the end of its certificate (``ending``).
"""

from datetime import datetime, timedelta

import msgspec

from watchdog.model.clock import rfc3339
from watchdog.model.findings import Certainty, Finding, FindingName, darkness, obstacle
from watchdog.model.history import History, Remembered
from watchdog.model.meanings import REASONS
from watchdog.model.packs import HELD_BY_PEOPLE, IN_PROGRESS, PENDING_VALIDATION, VALIDATION_TIMED_OUT
from watchdog.model.reasons import Reason, Severity
from watchdog.model.text import clean, counted

TROUBLE = "trouble"
"""The family of these needs."""

WORKS_WITHIN = timedelta(minutes=15)
"""How long a validation is left alone before what is found in its way is worth a word. One that works takes five
minutes, and who places records by a program has done so by then."""

_WAITING = IN_PROGRESS - HELD_BY_PEOPLE

_FOR_A_PERSON = frozenset(
    {
        FindingName.CA_REFUSES,
        FindingName.CNAME_LOOP,
        FindingName.DELEGATION_WRONG,
        FindingName.DELEGATED_ELSEWHERE,
        FindingName.TXT_SHADOWS_DELEGATION,
        FindingName.NS_CUT,
        FindingName.HTTP_ADDRESS_PRIVATE,
        FindingName.HTTP_UNREACHABLE,
        FindingName.HTTP_REDIRECTED,
        FindingName.HTTP_CHALLENGED,
        FindingName.HTTP_WRONG_ANSWER,
    }
)
"""What is never certain, and goes away only when a person mends it. Name servers that fail are none of these."""


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """What a pack asks of a person, from which alerts, rows and pages are made.

    ``family`` is what it is about: two needs of one family are two sides of one trouble. ``what`` is said of the pack
    ("gave up after 3 restarts"), ``remedy`` is what a person does; it begins small and ends with a full stop. A higher
    ``stage`` of the same need is worse than a lower one. ``worse_at`` is when it becomes graver unless it ends before.
    """

    reason: Reason
    severity: Severity
    family: str
    what: str
    remedy: str
    stage: int = 0
    worse_at: datetime | None = None

    @property
    def gravity(self) -> tuple[int, int]:
        """Compares: what is higher is worse."""
        return (self.severity.rank, self.stage)

    @property
    def of_a_person(self) -> bool:
        """Whether somebody has to look at it, today or now."""
        return self.severity.rank >= Severity.WARNING.rank


def trouble(known: Remembered, history: History, pending_for: timedelta, now: datetime) -> Need | None:
    """What the pack's trouble asks, if it has any."""
    reason = known.decision.reason
    if reason is Reason.HEALTHY:
        return None
    if text := REASONS[reason].pack:
        return _need(known, history, reason, text.format_map(_facts(known, history)))
    validating = known.pack.status == PENDING_VALIDATION and now - known.since >= WORKS_WITHIN
    if validating and (in_vain := _waits_in_vain(known, history)) is not None:
        return in_vain
    stage = _waits_for_records(known, history)
    if stage:
        text = f"needs records placed after {counted(stage, 'restart')}"
        return _need(known, history, Reason.RECORDS_NEEDED, text, stage=stage)
    if validating and _placeable(known):
        return _need(known, history, Reason.RECORDS_NEEDED, "needs records placed for its validation")
    likely = _likely(known) if validating else None
    if likely is None and (known.pack.status not in _WAITING or now - known.since < pending_for):
        return None
    text = f"{known.pack.status} since {rfc3339(known.since)}"
    if likely is not None:
        text += f". {likely.says.rstrip('.')}"
    return _need(known, history, Reason.PENDING_TOO_LONG, text)


def _placeable(known: Remembered) -> bool:
    """Whether records for this very validation were found missing."""
    found = known.diagnosis
    return found is not None and bool(found.records) and found.at >= known.since


def _waits_in_vain(known: Remembered, history: History) -> Need | None:
    """What a validation can never pass: people hear of it while it goes on, and not only once it has timed out."""
    found = known.diagnosis.findings if known.diagnosis is not None else ()
    if (certain := obstacle(found)) is not None:
        text = f"its validation is certain to fail: {certain.says.rstrip('.')}"
        return _need(known, history, Reason.HELD_BY_DIAGNOSIS, text)
    if any(finding.name is FindingName.CA_REFUSES and not finding.host for finding in found):  # the authority's words
        text = REASONS[Reason.CA_REFUSES].pack.format_map(_facts(known, history))
        return _need(known, history, Reason.CA_REFUSES, text)
    return None


def _likely(known: Remembered) -> Finding | None:
    """What is likely in the way of a validation, and stays there until a person mends it."""
    found = known.diagnosis.findings if known.diagnosis is not None else ()
    return next((each for each in found if each.certainty is Certainty.LIKELY and each.name in _FOR_A_PERSON), None)


def _facts(known: Remembered, history: History) -> dict[str, str]:
    """What the texts of ``REASONS`` about packs may name."""
    pack, found = known.pack, known.diagnosis.findings if known.diagnosis is not None else ()
    certain = obstacle(found) or darkness(found)
    status, mend = clean(pack.status, 60) or "none", certain.remedy if certain is not None else "see `explain`."
    return {
        "restarts": counted(history.attempts, "restart"),
        "mend": mend[:1].lower() + mend[1:],
        "obstacle": certain.says.rstrip(".") if certain is not None else status,
        "authority": pack.certificate_authority or "the certificate authority",
        "status": status,
        "type": pack.type or "none",
        "zone": known.zone,
        "pack": pack.id,
    }


def _waits_for_records(known: Remembered, history: History) -> int:
    """After how many restarts a person is to place records; 0 while there is nothing to place.

    Records found before the last restart, or at that moment, are of tokens that it has spent. Until its own are known
    there are none to place. What people were told of earlier ones waits with the trouble of the pack.
    """
    found, last = known.diagnosis, history.last_restart_at
    if found is None or last is None or not found.records or found.at <= last:
        return 0
    if known.pack.status != VALIDATION_TIMED_OUT and known.pack.status not in IN_PROGRESS:
        return 0
    return history.attempts


def _need(known: Remembered, history: History, reason: Reason, what: str, *, stage: int = 0) -> Need:
    found = REASONS[reason]
    remedy = found.pack_remedy.format_map(_facts(known, history))
    return Need(reason=reason, severity=found.severities[0], family=TROUBLE, what=what, remedy=remedy, stage=stage)
