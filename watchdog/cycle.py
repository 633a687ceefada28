"""★ The spine: how one zone is watched, and how a pass goes over the zones that are due.

``Cycle.watch`` is the sentence: see the zone, remember it, diagnose, decide for each pack, act, record, tell.
Everything else here is the grammar: who is next, what counts, and that one zone's fault, slowness or surprise never
stops another.

A pass begins when the ticker rings and ends when every zone that is due has been seen, or when its time is up; no pass
depends on finishing. What was not reached is still due, and what is still being looked at then goes on and is counted
in the next pass.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random
from typing import Protocol

from watchdog.act import recheck, restart
from watchdog.cloudflare.client import Client
from watchdog.decide.backoff import wait_after, with_jitter
from watchdog.decide.checks import Case, Rules
from watchdog.decide.policy import decide
from watchdog.diagnose import validation_errors
from watchdog.model.clock import Clock, anchor
from watchdog.model.decisions import Decision, Do
from watchdog.model.events import Event
from watchdog.model.findings import Diagnosis, Finding, fingerprint, placed
from watchdog.model.history import History, Intent, NotIntended, Sent
from watchdog.model.observation import Observation, Seen, Unseen
from watchdog.model.outcomes import RestartOutcome
from watchdog.model.packs import ADVANCED, PENDING_VALIDATION, VALIDATION_TIMED_OUT, Pack, ZoneFacts, ZoneRef
from watchdog.model.reasons import REASONS, Reason
from watchdog.model.renewal import renewal
from watchdog.model.report import PassReport, packs_seen
from watchdog.model.text import defect
from watchdog.observe import poll
from watchdog.observe.facts import Facts
from watchdog.observe.zones import WatchedZones
from watchdog.schedule.agenda import Agenda
from watchdog.state.memory import Memory

_log = logging.getLogger(__name__)

AT_ONCE = 16
"""Zones of one account that are looked at at the same time. At 50 ms an answer this is 320 requests/s: enough."""

RECHECK_EVERY = timedelta(hours=1)
"""How often Cloudflare is asked to check the same tokens at once."""

PRESSING = 0.5
"""The part of its renewal window after which a pack that waits for a person is looked at as often as one in trouble."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds for one zone: the rules for deciding, the backoff and the hourly budget of its account."""

    rules: Rules
    initial: timedelta
    factor: float
    longest: timedelta
    jitter: float
    per_hour: int
    recheck: bool = True


class Diagnoser(Protocol):
    """Who finds out why a validation fails; ``diagnose`` is one. It never raises and always ends."""

    def begin_pass(self) -> None:
        """Ask everything anew from now on."""

    async def diagnose(self, pack: Pack, facts: ZoneFacts) -> tuple[Finding, ...]:
        """What may keep this pack's validation from succeeding."""

    async def close(self) -> None:
        """Drop what is still being asked."""


class Telemetry(Protocol):
    """Who is told. One that raises is a fault of ours, and fails nothing but the telling."""

    def happened(self, events: list[Event]) -> None:
        """These things happened."""

    def restarted(self, zone: ZoneRef, sent: Sent) -> None:
        """A restart request was sent."""

    def looked(self, zone: ZoneRef) -> None:
        """A zone was looked at."""

    def passed(self, report: PassReport) -> None:
        """A pass is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configured:
    """What one configuration makes of the flow. A reload replaces it whole, in one assignment."""

    agenda: Agenda
    watched: WatchedZones
    clients: Mapping[str, Client]
    policy: Callable[[ZoneRef], Policy]
    diagnoser: Diagnoser | None


@dataclass(slots=True, kw_only=True)
class Components:
    """The components of the flow. All but ``configured`` stay as long as the process.

    Whoever may wait asks again afterwards: ``configured`` may be another one by then.
    """

    configured: Configured
    memory: Memory
    telemetry: Telemetry
    clock: Clock
    dice: Random
    dry_run: bool = False
    facts: Facts = field(default_factory=Facts)

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
    def policy(self) -> Callable[[ZoneRef], Policy]:
        """What holds for a zone."""
        return self.configured.policy

    @property
    def diagnoser(self) -> Diagnoser | None:
        """Who finds out why validations fail; ``None`` where nobody is to."""
        return self.configured.diagnoser


class Cycle:
    """Passes, one after the other, over the zones that are due."""

    def __init__(self, components: Components) -> None:
        self.components = components
        self._report = PassReport(components.clock.now())
        self._tasks: set[asyncio.Task[None]] = set()
        self._look_slots: dict[str, asyncio.Semaphore] = {}  # per account: turns to look
        self._act_slots: dict[str, asyncio.Semaphore] = {}  # per account: turns to act, which no look may hold up
        self.busy: Counter[str] = Counter()  # per account: zones that are being looked at
        self._stopping = False
        self._epoch, self._ticks = components.clock.now(), components.clock.monotonic()

    async def run_pass(self, length: timedelta) -> PassReport:
        """Look at every zone that is due within ``length``, for at most that long."""
        components = self.components
        began, start, horizon = self._now(), components.clock.monotonic(), self._steady() + length
        self._report.started_at, self._report.dry_run = began, components.dry_run
        for slots in (self._look_slots, self._act_slots):
            for account in slots.keys() - components.clients.keys():
                del slots[account]
        await components.memory.refresh()
        if components.diagnoser is not None:
            components.diagnoser.begin_pass()
        accounts = [self._start(self._account(account, horizon)) for account in components.clients]
        if accounts:
            await asyncio.wait(accounts, timeout=length.total_seconds())
        await components.memory.flush()
        report, self._report = self._report, PassReport(self._now())
        report.waiting = components.agenda.waiting(horizon)
        report.seconds = components.clock.monotonic() - start
        self._tell(components.telemetry.passed, report)
        return report

    async def stop(self, patience: timedelta) -> None:
        """Begin nothing new, let what is under way finish for at most ``patience``, then cancel it."""
        self._stopping = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=patience.total_seconds())
        left = list(self._tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self.components.memory.flush()

    def enrol(self) -> None:
        """Put the watched zones on the agenda."""
        self.enrol_on(self.components.agenda, self.components.watched)

    def enrol_on(self, agenda: Agenda, watched: WatchedZones) -> None:
        """Put these zones on an agenda: those with a pack in trouble at once, else the one seen longest ago."""
        components = self.components
        zones, seen = watched.zones(), components.memory.zones
        troubled = {zone.key for zone in zones if components.memory.troubled(zone)}

        def last_tried(zone: ZoneRef) -> tuple[bool, float]:
            known = seen.get(zone.key)
            at = known.tried_at if known else None
            return (zone.key not in troubled, at.timestamp() if at else 0.0)

        agenda.enrol(sorted(zones, key=last_tried), troubled, self._steady())

    def _now(self) -> datetime:
        """The time. Every wait is heeded as long as it is meant to be, even if somebody sets the clock."""
        return self.components.memory.observe_clock(anchor(self.components.clock))

    def _steady(self) -> datetime:
        """The time of the turns: as the clock was at the start, and never set since. Zones must not wait for DST."""
        return self._epoch + timedelta(seconds=self.components.clock.monotonic() - self._ticks)

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _account(self, account: str, horizon: datetime) -> None:
        """One account's part of a pass: watch its zones, and meanwhile look whether there are more of them."""
        await asyncio.wait([self._start(self._turns(account, horizon)), self._start(self._discover(account, horizon))])

    async def _discover(self, account: str, horizon: datetime) -> None:
        components = self.components
        if await components.watched.refresh(account, components.clients[account], self._steady()):
            self.enrol()
            await self._turns(account, horizon)

    async def _turns(self, account: str, horizon: datetime) -> None:
        """Give each of the account's zones that is due its turn, ``AT_ONCE`` at a time."""
        components = self.components
        lane = self._look_slots.setdefault(account, asyncio.Semaphore(AT_ONCE))
        turns: set[asyncio.Task[None]] = set()
        while True:
            await lane.acquire()
            zone = None if self._over(horizon) else components.agenda.take(account, self._steady(), horizon)
            if zone is None:
                lane.release()
                break
            turn = self._start(self._turn(zone, lane))
            turns.add(turn)
            turn.add_done_callback(turns.discard)
        if turns:
            await asyncio.wait(turns)

    def _over(self, horizon: datetime) -> bool:
        return self._stopping or self._steady() >= horizon

    async def _turn(self, zone: ZoneRef, lane: asyncio.Semaphore) -> None:
        """One zone's turn. Whatever goes wrong in it is told, and stays in it."""
        components, seen = self.components, False
        self.busy[zone.account] += 1
        try:
            seen = await self.watch(zone, lane)
        except Exception as surprise:  # noqa: BLE001  a fault of ours in one zone must not stop the others
            unseen = Unseen(zone, Reason.UNSEEN, defect(surprise))
            self._record(components.memory.apply(unseen, self._now()))
        finally:
            self.busy[zone.account] -= 1
            self.busy += Counter()  # strikes out those with nothing under way
            components.agenda.done(zone, self._steady(), troubled=self._troubled(zone), failed=not seen)

    def _troubled(self, zone: ZoneRef) -> bool:
        """Whether a zone wants attention: a pack is in trouble, or waits for a person and has not much time left."""
        components = self.components
        return components.memory.troubled(zone) or any(
            REASONS[known.decision.reason].needs_a_person and _pressing(known.pack, self._now())
            for known in components.memory.packs_of(zone)
        )

    # ── the sentence ─────────────────────────────────────────────────────────────────────────────────────────────

    async def watch(self, zone: ZoneRef, lane: asyncio.Semaphore) -> bool:
        """See one zone and do for each of its packs what is to be done. False when it could not be seen.

        ``lane`` is held when this begins. It is given to others as soon as the zone is seen, so that a slow diagnosis
        keeps nobody waiting.
        """
        try:
            observation = await self.see(zone)
        finally:
            lane.release()
        if not isinstance(observation, Seen):
            return False
        zone, acting = observation.zone, asyncio.Lock()
        doubtful = [pack for pack in observation.packs if not self._decided(zone, pack)]
        await asyncio.gather(*(self._treat(zone, pack, acting) for pack in doubtful))
        await self.components.memory.save(self._now())
        return True

    async def see(self, zone: ZoneRef) -> Observation:
        """One look at the zone, remembered and told."""
        components, memory = self.components, self.components.memory
        zone = replace(zone, id=zone.id or memory.zone_id(zone))
        observation = await poll.poll_zone(zone, components.clients[zone.account], troubled=memory.troubled(zone))
        self._record(memory.apply(observation, self._now()))
        self._report.zones += 1
        if isinstance(observation, Seen):
            self._report.packs.update(packs_seen(observation))
        else:
            self._report.unseen += 1
        self._tell(components.telemetry.looked, zone)
        return observation

    def _decided(self, zone: ZoneRef, pack: Pack) -> bool:
        """Decide for a pack that needs neither a diagnosis nor a restart, which is nearly every pack."""
        try:
            decision = self.decision(zone, pack)
            if decision.do is Do.RESTART or self._wants_diagnosis(pack, decision):
                return False
            self._conclude(zone, pack, decision)
        except Exception as surprise:  # noqa: BLE001  a fault of ours with one pack must not stop the next
            self._surprised(zone, pack, surprise)
        return True

    async def _treat(self, zone: ZoneRef, pack: Pack, acting: asyncio.Lock) -> None:
        """Find out why a pack is not validated, and do what is to be done with that known: one pack after the other."""
        slots = self._act_slots.setdefault(zone.account, asyncio.Semaphore(AT_ONCE))
        try:
            diagnosis = await self.diagnose(zone, pack)
            async with acting, slots:
                decision = self.decision(zone, pack, diagnosis)
                if decision.do is not Do.RESTART:
                    self._conclude(zone, pack, decision, diagnosis)
                    await self._recheck(zone, pack, diagnosis)
                elif not self._stopping:
                    await self.act(zone, pack, diagnosis)
        except Exception as surprise:  # noqa: BLE001  as above
            self._surprised(zone, pack, surprise)

    async def diagnose(self, zone: ZoneRef, pack: Pack) -> Diagnosis | None:
        """Why the pack's validation may fail; ``None`` where nobody is to find out."""
        components = self.components
        if components.diagnoser is None:
            return None
        facts = await components.facts.of(zone, components.clients[zone.account], self._now())
        findings = await components.diagnoser.diagnose(pack, facts)
        known = components.memory.known(pack)
        last = known.diagnosis if known else None
        return Diagnosis(self._now(), findings, last.tokens if last else "", last.rechecked_at if last else None)

    def _wants_diagnosis(self, pack: Pack, decision: Decision) -> bool:
        """Whether to look into a pack that is not restarted: once when it times out, and while that may change much."""
        if self.components.diagnoser is None:
            return False
        if pack.status == PENDING_VALIDATION:
            return bool(pack.validation.tokens)
        known = self.components.memory.known(pack)
        if not restartable(pack) or decision.reason is Reason.DISABLED:
            return False
        held = known is not None and known.decision.reason is Reason.HELD_BY_DIAGNOSIS
        return held or known is None or known.pack.status != pack.status or known.diagnosis is None

    def decision(self, zone: ZoneRef, pack: Pack, diagnosis: Diagnosis | None = None) -> Decision:
        """What is to be done with one pack."""
        components, memory = self.components, self.components.memory
        now, policy = self._now(), components.policy(zone)
        ahead = memory.ahead(zone.account, pack, policy.per_hour, now, 2 * components.agenda.attention)
        free_at = memory.budget_free_at(zone.account, policy.per_hour, now, ahead)
        findings = diagnosis.findings if diagnosis else ()
        said = pack.validation_errors if components.diagnoser is not None else ()
        failed_for = validation_errors.main_reason(said) if said else None
        limit = validation_errors.limit_of(said) if failed_for is Reason.CA_RATE_LIMITED else None
        return decide(
            Case(pack, memory.history(pack), policy.rules, now, free_at, failed_for, findings, memory.lost_at, limit)
        )

    def _conclude(self, zone: ZoneRef, pack: Pack, decision: Decision, diagnosis: Diagnosis | None = None) -> None:
        """Note and tell what was decided, where it is no restart: that is told by its outcome."""
        memory, now = self.components.memory, self._now()
        history, known = memory.history(pack), memory.known(pack)
        self._report.decisions[decision.do, decision.reason] += 1
        if decision.do is Do.GIVE_UP and history.gave_up_at is None:
            memory.give_up(pack, now)
            self._record([Event.gave_up(zone, pack, now, history, diagnosis)])
        changed = memory.conclude(zone, pack, decision, now, diagnosis)
        if changed and pack.status == VALIDATION_TIMED_OUT and decision.do is not Do.GIVE_UP:
            held = Event.restart_held(zone, pack, now, decision, attempts=history.attempts, diagnosis=diagnosis)
            self._record([held])
        elif (
            diagnosis
            and diagnosis.records
            and not (known and known.diagnosis and known.diagnosis.records == diagnosis.records)
        ):
            self._record([Event.records_to_place(zone, pack, now, decision.reason, diagnosis)])

    async def _recheck(self, zone: ZoneRef, pack: Pack, diagnosis: Diagnosis | None) -> None:
        """Ask Cloudflare to look now, once a person has placed the tokens: its own next look may be hours away."""
        components, now = self.components, self._now()
        if (
            diagnosis is None
            or not placed(diagnosis.findings)
            or components.dry_run
            or not components.policy(zone).recheck
        ):
            return
        tokens = fingerprint(pack.validation.tokens)
        last = diagnosis.rechecked_at
        if diagnosis.tokens == tokens and last is not None and now < last + RECHECK_EVERY:
            return
        asked = replace(diagnosis, tokens=tokens, rechecked_at=now)
        components.memory.conclude(zone, pack, Decision(Do.LEAVE, Reason.IN_PROGRESS), now, asked)
        await components.memory.flush()  # as with a restart: what was asked is known before it is
        error = await recheck.recheck(pack, components.clients[zone.account])
        self._record([Event.rechecked(zone, pack, now, error)])

    async def act(self, zone: ZoneRef, pack: Pack, diagnosis: Diagnosis | None = None) -> RestartOutcome:
        """Restart one pack (or, in a dry run, say that it would be), and record and tell what became of it."""
        components, memory = self.components, self.components.memory
        attempts, enabled = memory.history(pack).attempts, components.policy(zone).rules.enabled

        def prepare() -> tuple[Intent, History, History]:
            if memory.history(pack).attempts != attempts:  # it may be watched through two accounts
                raise NotIntended(Reason.BACKING_OFF, "this pack was restarted a moment ago")
            if enabled and not components.policy(zone).rules.enabled:  # by a reload, while a block was waited out
                raise NotIntended(Reason.DISABLED, "restarts were turned off a moment ago")
            return self._intent(zone, pack)

        def sending(intent: Intent) -> None:
            self._record([Event.restart_intended(zone, pack, intent)])

        if components.dry_run:
            outcome = RestartOutcome(pack, Reason.DRY_RUN)
        else:
            client = components.clients[zone.account]
            outcome = await restart.restart(pack, client, memory, prepare, components.clock.now, sending)
        now = self._now()
        self._report.decisions[Do.RESTART, Reason.VALIDATION_TIMED_OUT] += 1
        if outcome.sent is not None:
            self._report.restarts[outcome.sent] += 1
            self._tell(components.telemetry.restarted, zone, outcome.sent)
        if outcome.reason is Reason.MOVED_ON:
            self._record(memory.apply(Seen(zone, (outcome.pack,)), now, partial=True))
            self._conclude(zone, outcome.pack, self.decision(zone, outcome.pack))
            return outcome
        memory.renamed(pack, outcome.pack)
        if outcome.error:
            memory.note_error(outcome.pack, outcome.error)
        history = memory.history(outcome.pack)
        free_at = memory.budget_free_at(zone.account, components.policy(zone).per_hour, now)
        decision = _after(outcome, history, free_at)
        changed = memory.conclude(zone, outcome.pack, decision, now, diagnosis)
        if outcome.sent is not None or changed:
            self._record([_became_of(zone, outcome, history, decision, now)])
        return outcome

    def _intent(self, zone: ZoneRef, pack: Pack) -> tuple[Intent, History, History]:
        """The next restart of a pack as it is stored, with the histories before and after. Raises ``NotIntended``."""
        components, memory = self.components, self.components.memory
        now, policy = self._now(), components.policy(zone)
        free_at = memory.budget_free_at(zone.account, policy.per_hour, now)
        if free_at is not None:
            raise NotIntended(Reason.OVER_BUDGET, f"{policy.per_hour} restarts were sent in the last hour")
        before = memory.history(pack)
        wait = wait_after(before.attempts + 1, policy.initial, policy.factor, policy.longest)
        after = before.intended(now, with_jitter(wait, policy.jitter, components.dice.random()))
        next_at = after.next_restart_at or now
        intent = Intent(zone.account, zone.label, zone.id, pack.id, after.attempts, now, next_at)
        return intent, before, after

    def _surprised(self, zone: ZoneRef, pack: Pack, surprise: Exception) -> None:
        """Something in this program failed with one pack: tell it once, and look again soon."""
        memory, now, error = self.components.memory, self._now(), defect(surprise)
        memory.note_error(pack, error)
        if memory.conclude(zone, pack, Decision(Do.WAIT, Reason.UNSEEN), now):
            self._record([Event.zone_unseen(zone, now, Reason.UNSEEN, error, pack=pack)])

    def _record(self, events: list[Event]) -> None:
        """Keep events in the journal and write them to the log."""
        if events:
            self.components.memory.journal(events)
            self._tell(self.components.telemetry.happened, events)

    def _tell(self, tell: Callable[..., None], *what: object) -> None:
        """Tell, whatever comes of it: no pass fails, and no restart is held, because a telling failed."""
        try:
            tell(*what)
        except Exception:  # noqa: BLE001  the trace says whose fault it is
            _log.exception("a telemetry failed")


def restartable(pack: Pack) -> bool:
    """Whether Cloudflare would restart this pack's validation at all."""
    return pack.status == VALIDATION_TIMED_OUT and pack.type == ADVANCED


def _after(outcome: RestartOutcome, history: History, free_at: datetime | None) -> Decision:
    """The decision that the pack's row shows after a restart was made or held."""
    if outcome.reason in (Reason.RESTARTED, Reason.DRY_RUN):
        return Decision(Do.RESTART, outcome.reason)
    if outcome.reason is Reason.OVER_BUDGET:
        return Decision(Do.WAIT, outcome.reason, free_at)
    counted = outcome.sent is not None or outcome.reason is Reason.BACKING_OFF
    return Decision(Do.WAIT, outcome.reason, history.next_restart_at if counted else None)


def _pressing(pack: Pack, now: datetime) -> bool:
    window = renewal(pack.expires_at, pack.uploaded_at, now)
    return window is not None and window.used >= PRESSING


def _became_of(zone: ZoneRef, outcome: RestartOutcome, history: History, decision: Decision, now: datetime) -> Event:
    """The event of a restart that was sent or held."""
    if outcome.sent is not None:
        return Event.restart_settled(zone, outcome, history, now)
    return Event.restart_held(zone, outcome.pack, now, decision, attempts=history.attempts, error=outcome.error)
