"""The ordered chain: the first check that answers decides; a pack that passes them all is restarted.

Its first part goes by the pack and the time alone, and nearly every pack of every look ends there: so whoever looks at
a whole zone asks it ``at_sight`` first, before anything else of a pack is gathered.
"""

from collections.abc import Callable
from datetime import datetime

from watchdog.decide import checks
from watchdog.decide.checks import Case
from watchdog.model.decisions import Decision, Do
from watchdog.model.packs import Pack
from watchdog.model.reasons import Reason

AT_SIGHT: tuple[Callable[[Pack, datetime], Decision | None], ...] = (
    checks.is_going_away,
    checks.is_expired,
    checks.is_healthy,
    checks.is_in_progress,
    checks.is_stuck_elsewhere,
    checks.is_of_unknown_status,
)
CHAIN: tuple[Callable[[Case], Decision | None], ...] = (  # from here on the pack is in validation_timed_out
    checks.is_not_restartable,
    checks.is_disabled,
    checks.was_ordered_by_cloudflare,
    checks.gave_up_before,
    checks.is_refused_by_its_ca,
    checks.is_held_by_diagnosis,
    checks.has_no_attempts_left,
    checks.knows_too_little,
    checks.is_backing_off,
    checks.is_over_budget,
)

RESTART = Decision(Do.RESTART, Reason.VALIDATION_TIMED_OUT)


def at_sight(pack: Pack, now: datetime) -> Decision | None:
    """What to do with one pack, where that can be said without knowing more of it."""
    for check in AT_SIGHT:
        decision = check(pack, now)
        if decision is not None:
            return decision
    return None


def decide(case: Case) -> Decision:
    """What to do with one pack."""
    if (decision := at_sight(case.pack, case.now)) is not None:
        return decision
    for check in CHAIN:
        decision = check(case)
        if decision is not None:
            return decision
    return RESTART
