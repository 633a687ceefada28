"""One decision: what is known of a pack and of its account, gathered for ``decide``, which knows neither."""

from datetime import datetime

from watchdog.components import Components
from watchdog.decide.budget import due_since
from watchdog.decide.checks import Case
from watchdog.decide.policy import decide
from watchdog.diagnose import validation_errors
from watchdog.model.decisions import Decision
from watchdog.model.findings import Diagnosis
from watchdog.model.history import History
from watchdog.model.packs import Pack, ZoneRef
from watchdog.model.reasons import Reason


def decided(components: Components, zone: ZoneRef, pack: Pack, diagnosis: Diagnosis | None, now: datetime) -> Decision:
    """What is to be done with one pack."""
    memory = components.memory
    rules, history, then = components.rules(zone), memory.history(pack), memory.known(pack)
    said = pack.validation_errors
    failed_for = validation_errors.main_reason(said) if said else None
    return decide(
        Case(
            pack=pack,
            history=history,
            rules=rules,
            now=now,
            budget_free_at=_budget_free_at(components, zone, pack, history, now) if pack.restartable else None,
            failed_for=failed_for,
            findings=diagnosis.findings if diagnosis else (),
            lost_at=memory.lost_at,
            decided_for=then.decision.reason if then is not None else None,
            limit=validation_errors.limit_of(said) if failed_for is Reason.CA_RATE_LIMITED else None,
        )
    )


def _budget_free_at(
    components: Components, zone: ZoneRef, pack: Pack, history: History, now: datetime
) -> datetime | None:
    per_hour, fresh = components.rules(zone).max_per_hour, 2 * components.agenda.attention
    due = due_since(history, now)
    return components.budget.free_at(zone.account, pack.key, due=due, per_hour=per_hour, now=now, fresh=fresh)
