"""The ordered chain: the first check that answers decides; a pack that passes them all is restarted."""

from collections.abc import Callable

from watchdog.decide import checks
from watchdog.decide.checks import Case
from watchdog.model.decisions import Decision, Do
from watchdog.model.reasons import Reason

CHAIN: tuple[Callable[[Case], Decision | None], ...] = (
    checks.is_going_away,
    checks.is_expired,
    checks.is_healthy,
    checks.is_in_progress,
    checks.is_stuck_elsewhere,
    checks.is_of_unknown_status,
    # From here on the pack is in validation_timed_out.
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


def decide(case: Case) -> Decision:
    """What to do with one pack."""
    for check in CHAIN:
        decision = check(case)
        if decision is not None:
            return decision
    return RESTART
