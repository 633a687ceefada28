"""One function per reason, each answering one question about one pack; ``policy`` says in which order they are asked.

A check returns its decision, or ``None`` when it has nothing to say. The first ones go by the pack and the time alone.
"""

from datetime import datetime, timedelta

import msgspec

from watchdog.decide import retry_delay
from watchdog.decide.backoff import Backoff
from watchdog.model import packs
from watchdog.model.decisions import Decision, Do
from watchdog.model.findings import Finding, Limit, darkness, obstacle
from watchdog.model.history import History, cautious_until
from watchdog.model.packs import Pack
from watchdog.model.reasons import Reason
from watchdog.model.renewal import RenewalWindow, renewal

LAST_CHANCE = timedelta(hours=3)
"""How long before a restart comes too late one is tried all the same, though the domain's DNS fails or the wait after
the last restart is not over: time for a few restarts. Rechecks are more frequent then, too."""


class RestartRules(msgspec.Struct, frozen=True, kw_only=True):
    """What the configuration says of one zone's restarts; ``max_per_hour`` is its account's."""

    enabled: bool = True
    max_attempts: int = 8
    max_per_hour: int = 60
    recheck: bool = True
    backoff: Backoff = msgspec.field(default_factory=Backoff)


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """All that a decision about one pack may depend on.

    ``budget_free_at`` is when the account may send its next restart, ``None`` when it may now. ``failed_for`` is why
    the last validation failed, where Cloudflare said so, and ``limit`` what it said of the authority's limit, if it was
    that. ``findings`` are empty where nothing was diagnosed; ``lost_at`` is when the state was lost, if it ever was.
    ``decided_for`` is the reason of the decision before this one.
    """

    pack: Pack
    history: History
    rules: RestartRules
    now: datetime
    budget_free_at: datetime | None = None
    failed_for: Reason | None = None
    findings: tuple[Finding, ...] = ()
    lost_at: datetime | None = None
    limit: Limit | None = None
    decided_for: Reason | None = None


def _leave(reason: Reason) -> Decision:
    return Decision(Do.LEAVE, reason)


LEAVE = {reason: _leave(reason) for reason in Reason}
"""One object per reason: a fleet of healthy packs shares it."""

WELL = LEAVE[Reason.HEALTHY]


def is_going_away(pack: Pack, _now: datetime) -> Decision | None:
    """Deleted, or on the way there."""
    return LEAVE[Reason.GOING_AWAY] if pack.status in packs.GOING_AWAY else None


def is_expired(pack: Pack, now: datetime) -> Decision | None:
    """A certificate that has run out needs a person, whatever else is true, unless nobody is served it."""
    if pack.status == packs.EXPIRED:
        return LEAVE[Reason.EXPIRED]
    if pack.status in packs.DEPLOYED and pack.expires_at is not None and pack.expires_at <= now:
        return LEAVE[Reason.EXPIRED]
    return LEAVE[Reason.EXPIRING] if pack.status == packs.PENDING_EXPIRATION else None


def is_healthy(pack: Pack, _now: datetime) -> Decision | None:
    """Nothing to do."""
    return WELL if pack.status in packs.HEALTHY else None


def is_in_progress(pack: Pack, _now: datetime) -> Decision | None:
    """Cloudflare is at work on it."""
    return LEAVE[Reason.IN_PROGRESS] if pack.status in packs.IN_PROGRESS else None


def is_stuck_elsewhere(pack: Pack, _now: datetime) -> Decision | None:
    """Timed out in a stage that no restart of the validation can mend."""
    return LEAVE[Reason.OTHER_STAGE_TIMED_OUT] if pack.status in packs.OTHER_STAGE_TIMED_OUT else None


def is_of_unknown_status(pack: Pack, _now: datetime) -> Decision | None:
    """A status nobody here knows never leads to a restart."""
    return LEAVE[Reason.UNKNOWN_STATUS] if pack.status != packs.VALIDATION_TIMED_OUT else None


def is_not_restartable(case: Case) -> Decision | None:
    """Cloudflare restarts the validation of advanced packs only."""
    return LEAVE[Reason.NOT_RESTARTABLE] if case.pack.type != packs.ADVANCED else None


def is_disabled(case: Case) -> Decision | None:
    """The configuration says hands off."""
    return LEAVE[Reason.DISABLED] if not case.rules.enabled else None


def was_ordered_by_cloudflare(case: Case) -> Decision | None:
    """Cloudflare refused its restart as that of a pack nobody here ordered, and it has been timed out ever since."""
    ordered = case.decided_for is Reason.ORDERED_BY_CLOUDFLARE
    return LEAVE[Reason.ORDERED_BY_CLOUDFLARE] if ordered else None


def gave_up_before(case: Case) -> Decision | None:
    """Given up, and nothing has changed since."""
    return Decision(Do.GIVE_UP, Reason.GAVE_UP) if case.history.gave_up_at is not None else None


def is_refused_by_its_ca(case: Case) -> Decision | None:
    """The certificate authority will not issue for these names, however often it is asked."""
    return LEAVE[Reason.CA_REFUSES] if case.failed_for is Reason.CA_REFUSES else None


def is_held_by_diagnosis(case: Case) -> Decision | None:
    """A restart is certain to fail. The hold ends by itself at the first look that does not find it any more.

    That the domain's DNS fails for every resolver asked is not all that certain to be so for the authority: shortly
    before a restart comes too late for the renewal, it holds nothing.
    """
    if obstacle(case.findings) is not None:
        return LEAVE[Reason.HELD_BY_DIAGNOSIS]
    if darkness(case.findings) is None:
        return None
    window = renewal(case.pack.expires_at, case.pack.uploaded_at, case.now)
    return None if window is not None and case.now >= last_chance(window) else LEAVE[Reason.HELD_BY_DIAGNOSIS]


def last_chance(window: RenewalWindow) -> datetime:
    """When the last hours begin in which a restart is not too late for the renewal."""
    return window.last_restart_at - LAST_CHANCE


def has_no_attempts_left(case: Case) -> Decision | None:
    """Every attempt was made, and the last one has had its time to show."""
    if case.history.attempts < case.rules.max_attempts:
        return None
    last = case.history.last_restart_at
    settled_at = last + case.rules.backoff.initial if last is not None else case.now
    if case.now < settled_at:
        return Decision(Do.WAIT, Reason.BACKING_OFF, settled_at)
    return Decision(Do.GIVE_UP, Reason.GAVE_UP)


def knows_too_little(case: Case) -> Decision | None:
    """The state was lost a short while ago: any pack may just have been restarted, and the hour's budget spent."""
    if case.lost_at is None:
        return None
    until = cautious_until(case.lost_at, case.rules.backoff.initial)
    return Decision(Do.WAIT, Reason.STATE_LOST, until) if case.now < until else None


def is_backing_off(case: Case) -> Decision | None:
    """The wait that was drawn after the last restart, moved by what made it fail, is not over.

    Where a limit of the authority keeps it waiting until a restart comes too late for the renewal, or no wait ends it,
    a person is needed now: another authority has no such limit.
    """
    pack, failed_for, limit = case.pack, case.failed_for, case.limit
    limited, backoff = failed_for is Reason.CA_RATE_LIMITED, case.rules.backoff
    due = retry_delay.next_restart_at(case.history, failed_for, pack.certificate_authority, backoff, limit)
    if due is None:
        return None
    window = renewal(pack.expires_at, pack.uploaded_at, case.now)
    too_late = window is not None and due > window.last_restart_at
    known = limited and retry_delay.knows_the_limit(pack.certificate_authority, limit)
    if window is not None and not known:
        due = _before_it_is_too_late(due, window, case)
    if case.now >= due:
        return None
    for_a_person = limited and (too_late or (limit is not None and limit.paused))
    return Decision(Do.WAIT, Reason.CA_RATE_LIMITED if for_a_person else Reason.BACKING_OFF, due)


def _before_it_is_too_late(due: datetime, window: RenewalWindow, case: Case) -> datetime:
    """No wait of ours goes past the last chance of a renewal, but for the shortest between two restarts."""
    if case.now >= window.last_restart_at:
        return due
    last, chance = case.history.last_restart_at, last_chance(window)
    return min(due, chance if last is None else max(chance, last + case.rules.backoff.initial))


def is_over_budget(case: Case) -> Decision | None:
    """The account has sent its restarts of this hour."""
    free = case.budget_free_at
    return Decision(Do.WAIT, Reason.OVER_BUDGET, free) if free is not None and case.now < free else None
