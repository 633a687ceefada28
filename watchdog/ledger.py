"""What is known, decided and told while zones are watched: the steps of ``cycle`` and ``restarting`` note it here.

What a look or a restart brought goes to the memory, what happened to the journal and the log, what was decided to the
memory and the report of the pass. Nothing here asks Cloudflare, and nothing is decided. Of an account that another
replica has by now, or had since the turn began, nothing is noted but what happened.
"""

import logging
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from datetime import datetime

from watchdog.components import Components
from watchdog.decide.budget import due_since
from watchdog.decide.checks import WELL
from watchdog.model.clock import anchor
from watchdog.model.decisions import Decision, Do
from watchdog.model.events import Event
from watchdog.model.findings import Diagnosis
from watchdog.model.observation import Difference, Observation
from watchdog.model.packs import VALIDATION_TIMED_OUT, Pack, ZoneRef
from watchdog.model.reasons import Reason
from watchdog.model.report import PassReport
from watchdog.model.text import defect
from watchdog.observe.compare import compare

_log = logging.getLogger(__name__)

_term: ContextVar[int | None] = ContextVar("term", default=None)
"""The term of its account in which a zone's turn began. Each turn is a task, or some: what they see is their own."""


class Ledger:
    """Where every step notes what it has found and done. ``report`` gathers the pass that is running."""

    def __init__(self, components: Components) -> None:
        self.components = components
        self.report = PassReport(components.clock.now())

    def begin_turn(self, zone: ZoneRef) -> None:
        """What is found in the turn that begins here is of this term alone: before the next, another replica worked."""
        _term.set(self.components.tenure.term(zone.account))

    def is_ours(self, zone: ZoneRef) -> bool:
        """Whether what is found of a zone is noted."""
        tenure, began = self.components.tenure, _term.get()
        return tenure.keeps(zone.account) and began in (None, tenure.term(zone.account))

    def now(self) -> datetime:
        """The time. Every wait is kept as long as it is meant to be, even if somebody sets the clock."""
        moment = anchor(self.components.clock)
        if step := self.components.memory.observe_clock(moment):
            self.components.budget.shift(step)
        return moment.at

    def remember(self, observation: Observation, *, partial: bool = False) -> None:
        """Remember and record what is new in an observation; a ``partial`` one says nothing of other packs."""
        known = self.components.memory.of(observation.zone)
        self.keep(observation.zone, compare(known, observation, self.now(), partial=partial))

    def keep(self, zone: ZoneRef, difference: Difference) -> None:
        """Remember what is new in a zone, and record it."""
        if not self.is_ours(zone):
            return
        self.components.memory.apply(difference)
        for key in difference.forgotten:
            self.components.budget.forget(key)
        self.record(difference.events)

    def conclude(
        self, zone: ZoneRef, pack: Pack, decision: Decision, diagnosis: Diagnosis | None, now: datetime
    ) -> None:
        """Remember and record what was decided, where it is no restart: that is recorded by its outcome."""
        if not self.is_ours(zone):
            return
        memory = self.components.memory
        self.report.decisions[decision.do, decision.reason] += 1
        if decision.do is Do.GIVE_UP and (history := memory.history(pack)).gave_up_at is None:
            memory.give_up(pack, now)
            self.record([Event.gave_up(zone, pack, now, history, diagnosis)])
        before = memory.known(pack) if diagnosis is not None else None
        changed = self.note(zone, pack, decision, diagnosis, now)
        if changed and pack.status == VALIDATION_TIMED_OUT and decision.do is not Do.GIVE_UP:
            attempts = memory.history(pack).attempts
            self.record([Event.restart_held(zone, pack, now, decision, attempts=attempts, diagnosis=diagnosis)])
        elif diagnosis and diagnosis.records:
            known = before.diagnosis if before else None
            if known is None or known.records != diagnosis.records:
                self.record([Event.records_to_place(zone, pack, now, decision.reason, diagnosis)])

    def conclude_well(self, zone: ZoneRef, packs: Sequence[Pack], now: datetime) -> None:
        """As ``conclude`` for packs of one zone that are well: of them nothing is told."""
        if not self.is_ours(zone):
            return
        self.report.decisions[WELL.do, WELL.reason] += len(packs)
        self.components.budget.leave_all(zone.account, (pack.key for pack in packs))
        self.components.memory.conclude_well(zone, packs, WELL, now)

    def note(self, zone: ZoneRef, pack: Pack, decision: Decision, diagnosis: Diagnosis | None, now: datetime) -> bool:
        """Keep a decision, and the pack's place in the queue for the budget. True when it is another than before."""
        if not self.is_ours(zone):
            return False
        memory, budget = self.components.memory, self.components.budget
        if decision.reason in (Reason.OVER_BUDGET, Reason.STATE_UNWRITABLE):
            budget.wait(zone.account, pack.key, due_since(memory.history(pack), now), now)
        else:
            budget.leave(zone.account, pack.key)
        return memory.conclude(zone, pack, decision, now, diagnosis)

    def note_error(self, zone: ZoneRef, pack: Pack, error: str) -> None:
        """Keep the last thing that went wrong with a pack."""
        if self.is_ours(zone):
            self.components.memory.note_error(pack, error)

    def surprised(self, zone: ZoneRef, pack: Pack, surprise: Exception) -> None:
        """Something in this program failed with one pack: record it once, and look again soon."""
        now, error = self.now(), defect(surprise)
        self.note_error(zone, pack, error)
        if self.note(zone, pack, Decision(Do.WAIT, Reason.UNSEEN), None, now):
            self.record([Event.zone_unseen(zone, now, Reason.UNSEEN, error, pack=pack)])

    def record(self, events: list[Event]) -> None:
        """Keep events in the journal and write them to the log."""
        if events:
            self.components.memory.journal(events)
            self.publish(self.components.telemetry.happened, events)

    def publish(self, tell: Callable[..., None], *what: object) -> None:
        """Log or count something, whatever comes of it: no pass fails, and no restart is held, because that failed."""
        try:
            tell(*what)
        except Exception:  # noqa: BLE001  the trace says whose fault it is
            _log.exception("a telemetry failed")
