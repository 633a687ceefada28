"""★ The spine: how one zone is watched.

``Cycle.watch`` is the sentence: poll the zone, compare it with what was known, remember that, decide for each pack,
diagnose the doubtful together, and for those to be restarted reread, intend, send, settle. What follows it are the
steps in the order in which they are called; each asks one room and hands on a value. One pack's fault never stops the
next. Which zone is next, and how many at once, is the matter of ``passes``.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from random import Random
from typing import Protocol

import msgspec
from msgspec.structs import replace

from watchdog.act import recheck, restart
from watchdog.cloudflare.client import Client
from watchdog.decide import rechecks
from watchdog.decide.budget import Budget, Place, due_since
from watchdog.decide.checks import Case, RestartRules
from watchdog.decide.policy import decide
from watchdog.diagnose import validation_errors
from watchdog.model.clock import Clock, anchor
from watchdog.model.decisions import Decision, Do
from watchdog.model.events import Event
from watchdog.model.findings import Diagnosis, Finding, fingerprint, obstacle
from watchdog.model.history import History, Intent, NotIntended, Sent
from watchdog.model.leases import ALONE, Tenure
from watchdog.model.observation import Difference, Observation, Seen, Unseen
from watchdog.model.outcomes import RestartOutcome
from watchdog.model.packs import PENDING_VALIDATION, VALIDATION_TIMED_OUT, Pack, ZoneFacts, ZoneRef
from watchdog.model.reasons import REASONS, Reason
from watchdog.model.renewal import PRESSING, renewal
from watchdog.model.report import PassReport, packs_seen
from watchdog.model.text import defect
from watchdog.observe import poll
from watchdog.observe.compare import compare, renamed
from watchdog.observe.facts import Facts
from watchdog.observe.zones import WatchedZones
from watchdog.schedule.agenda import Agenda
from watchdog.state.intents import Intents, Stored
from watchdog.state.memory import Memory

_log = logging.getLogger(__name__)


class Diagnoser(Protocol):
    """Who finds out why a validation fails; ``diagnose`` is one. It never raises and always ends."""

    def begin_pass(self) -> None:
        """Ask everything anew from now on."""

    async def diagnose(self, pack: Pack, facts: ZoneFacts) -> tuple[Finding, ...]:
        """What may keep this pack's validation from succeeding."""

    async def close(self) -> None:
        """Drop what is still being asked."""


class Telemetry(Protocol):
    """Where logs and metrics go. One that raises is a fault of ours, and fails nothing but itself."""

    def happened(self, events: list[Event]) -> None:
        """These things happened."""

    def restarted(self, zone: ZoneRef, sent: Sent) -> None:
        """A restart request was sent."""

    def looked(self, zone: ZoneRef) -> None:
        """A zone was looked at."""

    def passed(self, report: PassReport) -> None:
        """A pass is over."""


class Configured(msgspec.Struct, frozen=True, kw_only=True):
    """What one configuration makes of the flow. A reload replaces it whole, in one assignment."""

    agenda: Agenda
    watched: WatchedZones
    clients: Mapping[str, Client]
    rules: Callable[[ZoneRef], RestartRules]
    diagnoser: Diagnoser | None


class Components(msgspec.Struct, kw_only=True):
    """The components of the flow. All but ``configured`` stay as long as the process.

    Whoever may wait asks again afterwards: ``configured`` may be another one by then.
    """

    configured: Configured
    memory: Memory
    intents: Intents
    telemetry: Telemetry
    clock: Clock
    dice: Random
    dry_run: bool = False
    tenure: Tenure = ALONE
    facts: Facts = msgspec.field(default_factory=Facts)
    budget: Budget = msgspec.field(default_factory=Budget)

    def zones(self) -> tuple[ZoneRef, ...]:
        """The zones to watch that are this process's to watch."""
        return kept(self.watched.zones(), self.tenure)

    @property
    def agenda(self) -> Agenda:
        """Which zone is due when."""
        return self.configured.agenda

    @property
    def watched(self) -> WatchedZones:
        """The zones to watch."""
        return self.configured.watched

    @property
    def clients(self) -> Mapping[str, Client]:
        """The way to Cloudflare of each account."""
        return self.configured.clients

    @property
    def rules(self) -> Callable[[ZoneRef], RestartRules]:
        """What holds for a zone."""
        return self.configured.rules

    @property
    def diagnoser(self) -> Diagnoser | None:
        """Who finds out why validations fail; ``None`` where nobody is to."""
        return self.configured.diagnoser


def kept(zones: tuple[ZoneRef, ...], tenure: Tenure) -> tuple[ZoneRef, ...]:
    """Those of the zones whose accounts are this process's."""
    return zones if tenure is ALONE else tuple(zone for zone in zones if tenure.keeps(zone.account))


class Slots(msgspec.Struct, frozen=True):
    """How many zones of one account are polled, and acted on, at once: a look is never held up by an act."""

    polling: asyncio.Semaphore
    acting: asyncio.Semaphore


class _Intended(msgspec.Struct, frozen=True):
    """A restart that is about to be sent: its intent as it is stored, and its place in the hourly budget."""

    stored: Stored
    place: Place


class Cycle:
    """Watches one zone at a time. ``report`` gathers the pass that is running; ``stopping`` begins no restart."""

    def __init__(self, components: Components) -> None:
        self.components = components
        self.report = PassReport(components.clock.now())
        self.stopping = False

    # ── the sentence ─────────────────────────────────────────────────────────────────────────────────────────────

    async def watch(self, zone: ZoneRef, slots: Slots) -> bool:
        """Look at one zone and do for each of its packs what is to be done. False when it could not be seen.

        A slot for polling is held when this begins. It is given to others as soon as the zone is seen, so that a slow
        diagnosis keeps nobody waiting.
        """
        try:
            observation = await self.look(zone)
        finally:
            slots.polling.release()
        if not isinstance(observation, Seen) or not self.components.tenure.keeps(zone.account):
            return False
        zone, now = observation.zone, self.now()
        if doubtful := [pack for pack in observation.packs if not self._settled(zone, pack, now)]:
            turn = asyncio.Lock()
            treated = [self._treated(zone, pack, slots, turn) for pack in doubtful]
            if len(treated) == 1:  # as nearly always: a group of tasks would cost more than what it does
                await treated[0]
            else:
                async with asyncio.TaskGroup() as together:
                    for each in treated:
                        together.create_task(each)
        await self.components.memory.writer.save(self.now())
        return True

    # ── poll, compare, remember ──────────────────────────────────────────────────────────────────────────────────

    async def look(self, zone: ZoneRef) -> Observation:
        """Poll the zone, compare it with what is known, and remember and record what is new."""
        components, memory = self.components, self.components.memory
        client, last_id = components.clients[zone.account], memory.zone_id(zone)
        pinned = memory.pinned(replace(zone, id=zone.id or last_id)) if zone.packs else {}
        observation = await poll.poll_zone(zone, client, troubled=memory.troubled(zone), last_id=last_id, pinned=pinned)
        if not isinstance(observation, Seen) and (
            observation.reason is Reason.ACCOUNT_UNHELD or not components.tenure.may_send(zone.account)
        ):
            return observation  # it was not asked: the account is, or may have been, another replica's
        self._remember(observation)
        self.report.zones += 1
        if isinstance(observation, Seen):
            self.report.packs.update(packs_seen(observation))
        else:
            self.report.unseen += 1
        self.publish(components.telemetry.looked, zone)
        return observation

    def lose(self, zone: ZoneRef, surprise: Exception) -> None:
        """Something in this program failed with a zone: record that as why it could not be seen."""
        self._remember(Unseen(zone, Reason.UNSEEN, defect(surprise)))

    def _remember(self, observation: Observation, *, partial: bool = False) -> None:
        components = self.components
        known = components.memory.of(observation.zone)
        self._keep(compare(known, observation, self.now(), partial=partial))

    def _keep(self, difference: Difference) -> None:
        self.components.memory.apply(difference)
        for key in difference.forgotten:
            self.components.budget.forget(key)
        self.record(difference.events)

    # ── decide ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _settled(self, zone: ZoneRef, pack: Pack, now: datetime) -> bool:
        """Decide for a pack that needs neither a diagnosis nor a restart, which is nearly every pack."""
        try:
            decision = self.decide(zone, pack, None, now)
            if decision.do is Do.RESTART or self._wants_diagnosis(pack, decision) or self._wants_recheck(zone, pack):
                return False
            self._conclude(zone, pack, decision, None, now)
        except Exception as surprise:  # noqa: BLE001  a fault of ours with one pack must not stop the next
            self._surprised(zone, pack, surprise)
        return True

    def decide(self, zone: ZoneRef, pack: Pack, diagnosis: Diagnosis | None, now: datetime) -> Decision:
        """What is to be done with one pack."""
        components, memory = self.components, self.components.memory
        rules, history, then = components.rules(zone), memory.history(pack), memory.known(pack)
        said = pack.validation_errors if components.diagnoser is not None else ()
        failed_for = validation_errors.main_reason(said) if said else None
        return decide(
            Case(
                pack=pack,
                history=history,
                rules=rules,
                now=now,
                budget_free_at=self._budget_free_at(zone, pack, history, now) if pack.restartable else None,
                failed_for=failed_for,
                findings=diagnosis.findings if diagnosis else (),
                lost_at=memory.lost_at,
                decided_for=then.decision.reason if then is not None else None,
                limit=validation_errors.limit_of(said) if failed_for is Reason.CA_RATE_LIMITED else None,
            )
        )

    def _budget_free_at(self, zone: ZoneRef, pack: Pack, history: History, now: datetime) -> datetime | None:
        components = self.components
        per_hour, fresh = components.rules(zone).max_per_hour, 2 * components.agenda.attention
        due = due_since(history, now)
        return components.budget.free_at(zone.account, pack.key, due=due, per_hour=per_hour, now=now, fresh=fresh)

    def _conclude(
        self, zone: ZoneRef, pack: Pack, decision: Decision, diagnosis: Diagnosis | None, now: datetime
    ) -> None:
        """Remember and record what was decided, where it is no restart: that is recorded by its outcome."""
        memory = self.components.memory
        self.report.decisions[decision.do, decision.reason] += 1
        if decision.do is Do.GIVE_UP and (history := memory.history(pack)).gave_up_at is None:
            memory.give_up(pack, now)
            self.record([Event.gave_up(zone, pack, now, history, diagnosis)])
        before = memory.known(pack) if diagnosis is not None else None
        changed = self._note(zone, pack, decision, diagnosis, now)
        if changed and pack.status == VALIDATION_TIMED_OUT and decision.do is not Do.GIVE_UP:
            attempts = memory.history(pack).attempts
            self.record([Event.restart_held(zone, pack, now, decision, attempts=attempts, diagnosis=diagnosis)])
        elif diagnosis and diagnosis.records:
            known = before.diagnosis if before else None
            if known is None or known.records != diagnosis.records:
                self.record([Event.records_to_place(zone, pack, now, decision.reason, diagnosis)])

    def _note(self, zone: ZoneRef, pack: Pack, decision: Decision, diagnosis: Diagnosis | None, now: datetime) -> bool:
        """Keep a decision, and the pack's place in the queue for the budget. True when it is another than before."""
        memory, budget = self.components.memory, self.components.budget
        if decision.reason in (Reason.OVER_BUDGET, Reason.STATE_UNWRITABLE):
            budget.wait(zone.account, pack.key, due_since(memory.history(pack), now), now)
        else:
            budget.leave(zone.account, pack.key)
        return memory.conclude(zone, pack, decision, now, diagnosis)

    # ── diagnose ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _wants_diagnosis(self, pack: Pack, decision: Decision) -> bool:
        """Whether to look into a pack that is not restarted: once when it times out, and while that may change much."""
        if self.components.diagnoser is None:
            return False
        if pack.status == PENDING_VALIDATION:
            return bool(pack.validation.tokens or pack.validation.http_tokens)
        if not pack.restartable or decision.reason is Reason.DISABLED:
            return False
        known = self.components.memory.known(pack)
        held = known is not None and known.decision.reason is Reason.HELD_BY_DIAGNOSIS
        return held or known is None or known.pack.status != pack.status or known.diagnosis is None

    async def _treated(self, zone: ZoneRef, pack: Pack, slots: Slots, turn: asyncio.Lock) -> None:
        """Diagnose a pack beside the others of its zone and do, in its turn, what is to be done with it."""
        try:
            diagnosis = await self.diagnose(zone, pack)
            async with turn, slots.acting:
                await self._treat(zone, pack, diagnosis)
        except Exception as surprise:  # noqa: BLE001  as above
            self._surprised(zone, pack, surprise)

    async def diagnose(self, zone: ZoneRef, pack: Pack) -> Diagnosis | None:
        """Why the pack's validation may fail; ``None`` where nobody is to find out."""
        components = self.components
        if components.diagnoser is None:
            return None
        facts = await components.facts.of(zone, components.clients[zone.account], self.now())
        findings = await components.diagnoser.diagnose(pack, facts)
        known = components.memory.known(pack)
        last = known.diagnosis if known else None
        if last is None:
            return Diagnosis(self.now(), findings)
        mended = obstacle(last.findings) is not None and obstacle(findings) is None
        return Diagnosis(self.now(), findings, "" if mended else last.tokens, last.rechecked_at)

    # ── reread, intend, send, settle ─────────────────────────────────────────────────────────────────────────────

    async def _treat(self, zone: ZoneRef, pack: Pack, diagnosis: Diagnosis | None) -> None:
        """Do what is to be done with a pack now that its diagnosis is there and its turn to act has come."""
        now = self.now()
        decision = self.decide(zone, pack, diagnosis, now)
        if decision.do is not Do.RESTART:
            self._conclude(zone, pack, decision, diagnosis, now)
            await self._recheck(zone, pack, decision, diagnosis)
        elif not self.stopping:
            await self.restart(zone, pack, diagnosis)

    async def restart(
        self, zone: ZoneRef, pack: Pack, diagnosis: Diagnosis | None = None, *, force: bool = False
    ) -> RestartOutcome:
        """Restart one pack, or say what held that in the last moment, and remember and record it.

        ``force`` restarts whatever is decided, but nothing that Cloudflare would not restart.
        """
        components = self.components
        client = components.clients[zone.account]
        if components.dry_run:
            return self._restarted(zone, pack, RestartOutcome(pack=pack, reason=Reason.DRY_RUN), diagnosis)
        if (held := restart.refused(pack, client)) is not None:
            return self._restarted(zone, pack, held, diagnosis)
        # The reservation for both, before either: between the read and the PATCH nothing is waited for but the disk.
        async with client.reserve(2) as reservation:
            fresh = await restart.reread(pack, client, reservation)
            if isinstance(fresh, RestartOutcome):
                return self._restarted(zone, pack, fresh, diagnosis)
            if fresh.status != pack.status:  # else the look has told all of it
                self._remember(Seen(zone, (fresh,)), partial=True)
            now = self.now()
            decision = self.decide(zone, fresh, diagnosis, now)
            if decision.do is not Do.RESTART and not (force and fresh.restartable):
                self._conclude(zone, fresh, decision, diagnosis if fresh.restartable else None, now)
                return RestartOutcome(pack=fresh, reason=decision.reason if fresh.restartable else Reason.MOVED_ON)
            if (held := self._unwanted(zone, fresh, force=force)) is not None:
                return self._restarted(zone, pack, held, diagnosis)
            intended = await self._intend(zone, fresh)
            if isinstance(intended, RestartOutcome):
                return self._restarted(zone, pack, intended, diagnosis)
            # The disk may have taken its time, and a reload come meanwhile.
            outcome = self._unwanted(zone, fresh, force=force) or await restart.send(
                fresh, intended.stored.intent, client, reservation
            )
        outcome = await restart.settle(outcome, client)
        await self._settle(intended, outcome)
        return self._restarted(zone, pack, outcome, diagnosis)

    def _unwanted(self, zone: ZoneRef, pack: Pack, *, force: bool) -> RestartOutcome | None:
        """What holds a restart by the configuration of this moment: a reload may have come since it was decided."""
        components = self.components
        if not components.watched.watches(zone, pack):
            return RestartOutcome(pack=pack, reason=Reason.DISABLED, error="it is not watched any more")
        if not components.rules(zone).enabled and not force:
            return RestartOutcome(pack=pack, reason=Reason.DISABLED)
        return None

    async def _intend(self, zone: ZoneRef, pack: Pack) -> _Intended | RestartOutcome:
        """Store the next restart of a pack, so that it counts from now on; or say why nothing may be sent."""
        components, now = self.components, self.now()
        if components.memory.known(pack) is None:
            components.memory.conclude(zone, pack, Decision(Do.RESTART, Reason.VALIDATION_TIMED_OUT), now)
        before = components.memory.history(pack)
        wait = components.rules(zone).backoff.drawn(before.attempts + 1, components.dice.random())
        after = before.intended(now, wait)
        intent = Intent(
            account=zone.account,
            zone=zone.label,
            zone_id=zone.id,
            pack_id=pack.id,
            attempt=after.attempts,
            at=now,
            next_restart_at=now + wait,
        )
        # Before the first await: two restarts must not share the last place in the budget.
        place = components.budget.take(zone.account, now)
        components.budget.leave(zone.account, pack.key)
        try:
            stored = await components.intents.intend(intent, before, after, components.memory.known(pack))
        except NotIntended as held:
            components.budget.give_back(place)
            return RestartOutcome(pack=pack, reason=held.reason, error=str(held))
        self.record([Event.restart_intended(zone, pack, intent)])
        return _Intended(stored, place)

    async def _settle(self, intended: _Intended, outcome: RestartOutcome) -> None:
        """Store what became of a restart. Where no attempt was spent, neither the intent nor its place counts."""
        components = self.components
        if outcome.counts and outcome.sent is not None:
            components.intents.settle(intended.stored.id, outcome.sent, outcome.error, self.now())
        elif await components.intents.withdraw(intended.stored):
            components.budget.give_back(intended.place)

    def _restarted(
        self, zone: ZoneRef, pack: Pack, outcome: RestartOutcome, diagnosis: Diagnosis | None
    ) -> RestartOutcome:
        """Remember and record what became of a restart that was sent, or held in the last moment."""
        components, memory, now = self.components, self.components.memory, self.now()
        self.report.decisions[Do.RESTART, Reason.VALIDATION_TIMED_OUT] += 1
        if outcome.sent is not None:
            self.report.restarts[outcome.sent] += 1
            self.publish(components.telemetry.restarted, zone, outcome.sent)
        if outcome.pack.id != pack.id:
            self._keep(renamed(memory.of(zone), zone, pack, outcome.pack, now))
        if outcome.error:
            memory.note_error(outcome.pack, outcome.error)
        history = memory.history(outcome.pack)
        decision = _after(outcome, history)
        changed = self._note(zone, outcome.pack, decision, diagnosis, now)
        if outcome.sent is not None:
            self.record([Event.restart_settled(zone, outcome, history, now)])
        elif changed:
            attempts, error = history.attempts, outcome.error
            self.record([Event.restart_held(zone, outcome.pack, now, decision, attempts=attempts, error=error)])
        return outcome

    def _wants_recheck(self, zone: ZoneRef, pack: Pack) -> bool:
        """Whether Cloudflare is to be asked to check a pack that gets no diagnosis otherwise."""
        if not rechecks.is_stuck_universal(pack) or not self._may_recheck(zone, pack):
            return False
        known = self.components.memory.known(pack)
        return rechecks.is_due(pack, known.diagnosis if known else None, self.now())

    def _may_recheck(self, zone: ZoneRef, pack: Pack) -> bool:
        components, rules = self.components, self.components.rules(zone)
        if not rules.enabled or not rules.recheck or components.dry_run:
            return False
        return components.watched.watches(zone, pack) and not components.clients[zone.account].recheck_held(zone.id)

    async def _recheck(self, zone: ZoneRef, pack: Pack, decision: Decision, diagnosis: Diagnosis | None) -> None:
        """Ask Cloudflare to look now, where that may help: its own next look may be hours away, or never come.

        The pack is read again first: a method that somebody has changed meanwhile would be changed back.
        """
        components, memory, now = self.components, self.components.memory, self.now()
        if not rechecks.is_due(pack, diagnosis, now) or not self._may_recheck(zone, pack):
            return
        client, before = components.clients[zone.account], diagnosis or Diagnosis(now, ())
        asked = replace(before, tokens=fingerprint(pack.validation.every_token), rechecked_at=now)
        async with client.reserve(2) as reservation:
            fresh = await restart.reread(pack, client, reservation)
            if isinstance(fresh, RestartOutcome) or not rechecks.is_as_it_was(fresh, pack):
                return  # the next look tells
            memory.conclude(zone, pack, decision, now, asked)
            await memory.writer.flush()  # as with a restart: what was asked is known before it is
            if not self._may_recheck(zone, pack):  # the disk may have taken its time, and a reload come meanwhile
                return
            done = await recheck.recheck(pack, client, reservation)
        if not done.asked:
            memory.conclude(zone, pack, decision, now, before)
        if done.error or rechecks.is_stuck_universal(pack):  # of which nothing else is ever asked
            memory.note_error(pack, done.error)
        self.record([Event.rechecked(zone, pack, now, decision.reason, done.error)])

    # ── what every step uses ─────────────────────────────────────────────────────────────────────────────────────

    def now(self) -> datetime:
        """The time. Every wait is kept as long as it is meant to be, even if somebody sets the clock."""
        moment = anchor(self.components.clock)
        if step := self.components.memory.observe_clock(moment):
            self.components.budget.shift(step)
        return moment.at

    def troubled(self, zone: ZoneRef) -> bool:
        """Whether a zone wants attention: a pack is in trouble, or waits for a person and has not much time left."""
        memory = self.components.memory
        return memory.troubled(zone) or any(
            REASONS[known.decision.reason].needs_a_person and _pressing(known.pack, self.now())
            for known in memory.packs_of(zone)
        )

    def _surprised(self, zone: ZoneRef, pack: Pack, surprise: Exception) -> None:
        """Something in this program failed with one pack: record it once, and look again soon."""
        memory, now, error = self.components.memory, self.now(), defect(surprise)
        memory.note_error(pack, error)
        if self._note(zone, pack, Decision(Do.WAIT, Reason.UNSEEN), None, now):
            self.record([Event.zone_unseen(zone, now, Reason.UNSEEN, error, pack=pack)])

    def record(self, events: list[Event]) -> None:
        """Keep events in the journal and write them to the log."""
        if events:
            self.components.memory.journal(events)
            self.publish(self.components.telemetry.happened, events)

    def publish(self, report: Callable[..., None], *what: object) -> None:
        """Log or count something, whatever comes of it: no pass fails, and no restart is held, because that failed."""
        try:
            report(*what)
        except Exception:  # noqa: BLE001  the trace says whose fault it is
            _log.exception("a telemetry failed")


def _after(outcome: RestartOutcome, history: History) -> Decision:
    """The decision that the pack's row shows after a restart was made or held."""
    if outcome.reason in (Reason.RESTARTED, Reason.DRY_RUN):
        return Decision(Do.RESTART, outcome.reason)
    if REASONS[outcome.reason].decided == "leave":
        return Decision(Do.LEAVE, outcome.reason)
    waits = outcome.sent is not None or outcome.reason is Reason.BACKING_OFF
    return Decision(Do.WAIT, outcome.reason, history.next_restart_at if waits else None)


def _pressing(pack: Pack, now: datetime) -> bool:
    window = renewal(pack.expires_at, pack.uploaded_at, now)
    return window is not None and window.used >= PRESSING
