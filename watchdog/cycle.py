"""★ The spine: how one zone is watched, and how a pass goes over the zones that are due.

``Cycle.watch`` is the sentence: see the zone, remember it, decide for each pack, act, record, tell. Everything else
here is the grammar: who is next, what counts, and that one zone's fault, slowness or surprise never stops another.

A pass begins when the bell rings and ends when every zone that is due has been seen, or when its time is up; no pass
depends on finishing. What was not reached is still due, and what is still being looked at then goes on and is counted
in the next pass.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from typing import Protocol

from watchdog.act import restart
from watchdog.cloudflare.client import Client
from watchdog.decide.backoff import wait_after, with_jitter
from watchdog.decide.checks import Case, Rules
from watchdog.decide.policy import decide
from watchdog.model.clock import Clock
from watchdog.model.decisions import Decision, Do
from watchdog.model.events import Event
from watchdog.model.history import History, Intent, NotIntended, Sent
from watchdog.model.observation import Observation, Seen, Unseen
from watchdog.model.outcomes import Outcome
from watchdog.model.packs import ADVANCED, VALIDATION_TIMED_OUT, Pack, ZoneRef
from watchdog.model.reasons import Reason
from watchdog.model.report import PassReport, packs_seen
from watchdog.model.text import clean
from watchdog.observe import census
from watchdog.observe.roster import Roster
from watchdog.record.lock import StateError
from watchdog.record.memory import Memory
from watchdog.schedule.agenda import Agenda

_log = logging.getLogger(__name__)

AT_ONCE = 16
"""Zones of one account that are looked at at the same time. At 50 ms an answer this is 320 requests/s: enough."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds for one zone: the rules for deciding, the backoff and the hourly budget of its account."""

    rules: Rules
    initial: timedelta
    factor: float
    longest: timedelta
    jitter: float
    per_hour: int


class Teller(Protocol):
    """Who is told. One that raises is a fault of ours, and fails nothing but the telling."""

    def happened(self, events: list[Event]) -> None:
        """These things happened."""

    def restarted(self, zone: ZoneRef, sent: Sent) -> None:
        """A restart request was sent."""

    def looked(self, zone: ZoneRef) -> None:
        """A zone was looked at."""

    def passed(self, report: PassReport) -> None:
        """A pass is over."""


@dataclass(slots=True)
class Rooms:
    """The rooms of the flow, in its order, and what holds for all of them. A reload swaps single rooms."""

    agenda: Agenda
    roster: Roster
    clients: Mapping[str, Client]
    memory: Memory
    policy: Callable[[ZoneRef], Policy]
    teller: Teller
    clock: Clock
    dice: Random
    dry_run: bool = False


class Cycle:
    """Passes, one after the other, over the zones that are due."""

    def __init__(self, rooms: Rooms) -> None:
        self.rooms = rooms
        self._report = PassReport(rooms.clock.now())
        self._tasks: set[asyncio.Task[None]] = set()
        self.busy: Counter[str] = Counter()  # per account: zones that are being looked at
        self._stopping = False
        self._epoch, self._ticks = rooms.clock.now(), rooms.clock.monotonic()

    async def run_pass(self, length: timedelta) -> PassReport:
        """Look at every zone that is due within ``length``, for at most that long."""
        rooms = self.rooms
        began, start, horizon = rooms.clock.now(), rooms.clock.monotonic(), self._steady() + length
        self._report.started_at, self._report.dry_run = began, rooms.dry_run
        try:
            await rooms.memory.refresh(began)
        except StateError as error:  # looks and metrics go on; without an intent on the disk no restart does
            rooms.memory.error = str(error)
        lanes = [self._start(self._lane(account, horizon)) for account in rooms.clients]
        if lanes:
            await asyncio.wait(lanes, timeout=length.total_seconds())
        await rooms.memory.flush()
        report, self._report = self._report, PassReport(rooms.clock.now())
        report.waiting = rooms.agenda.waiting(horizon)
        report.seconds = rooms.clock.monotonic() - start
        self._tell(rooms.teller.passed, report)
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
        await self.rooms.memory.flush()

    def enrol(self) -> None:
        """Put the roster's zones on the agenda: those with a pack in trouble at once, else the one seen longest ago."""
        rooms = self.rooms
        zones, seen = rooms.roster.zones(), rooms.memory.zones
        troubled = {zone.key for zone in zones if rooms.memory.troubled(zone)}

        def last_tried(zone: ZoneRef) -> tuple[bool, float]:
            known = seen.get(zone.key)
            at = known.tried_at if known else None
            return (zone.key not in troubled, at.timestamp() if at else 0.0)

        rooms.agenda.enrol(sorted(zones, key=last_tried), troubled, self._steady())

    def _steady(self) -> datetime:
        """The time of the turns: as the clock was at the start, and never set since. Zones must not wait for DST."""
        return self._epoch + timedelta(seconds=self.rooms.clock.monotonic() - self._ticks)

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _lane(self, account: str, horizon: datetime) -> None:
        """One account's part of a pass: watch its zones, and meanwhile look whether there are more of them."""
        await asyncio.wait(
            [self._start(self._workers(account, horizon)), self._start(self._discover(account, horizon))]
        )

    async def _discover(self, account: str, horizon: datetime) -> None:
        rooms = self.rooms
        if await rooms.roster.refresh(account, rooms.clients[account], self._steady()):
            self.enrol()
            await self._workers(account, horizon)

    async def _workers(self, account: str, horizon: datetime) -> None:
        """Watch the account's zones, ``AT_ONCE`` at a time."""
        workers = [self._start(self._work(account, horizon)) for _ in range(AT_ONCE - self.busy[account])]
        if workers:
            await asyncio.wait(workers)

    async def _work(self, account: str, horizon: datetime) -> None:
        """Take the account's next zone, watch it, and so on until none is due or the pass is over."""
        rooms = self.rooms
        while not self._stopping and (now := self._steady()) < horizon:
            zone = rooms.agenda.take(account, now, horizon)
            if zone is None:
                return
            seen = False
            self.busy[account] += 1
            try:
                seen = await self.watch(zone)
            except Exception as surprise:  # noqa: BLE001  a fault of ours in one zone must not stop the others
                unseen = Unseen(zone, Reason.UNSEEN, _defect(surprise))
                self._told(rooms.memory.take_in(unseen, rooms.clock.now()))
            finally:
                self.busy[account] -= 1
                rooms.agenda.done(zone, self._steady(), troubled=rooms.memory.troubled(zone), failed=not seen)

    # ── the sentence ─────────────────────────────────────────────────────────────────────────────────────────────

    async def watch(self, zone: ZoneRef) -> bool:
        """See one zone and do for each of its packs what is to be done. False when it could not be seen."""
        observation = await self.see(zone)
        if not isinstance(observation, Seen):
            return False
        # findings = diagnose(observation): its room comes between seeing and deciding.
        for pack in observation.packs:
            try:
                if self._decide(observation.zone, pack).do is Do.RESTART and not self._stopping:
                    await self.act(observation.zone, pack)
            except Exception as surprise:  # noqa: BLE001  a fault of ours with one pack must not stop the next
                self._surprised(observation.zone, pack, surprise)
        await self.rooms.memory.save(self.rooms.clock.now())
        return True

    async def see(self, zone: ZoneRef) -> Observation:
        """One look at the zone, remembered and told."""
        rooms, memory = self.rooms, self.rooms.memory
        zone = replace(zone, id=zone.id or memory.zone_id(zone))
        observation = await census.look(zone, rooms.clients[zone.account], troubled=memory.troubled(zone))
        self._told(memory.take_in(observation, rooms.clock.now()))
        self._report.zones += 1
        if isinstance(observation, Seen):
            self._report.packs.update(packs_seen(observation))
        else:
            self._report.unseen += 1
        self._tell(rooms.teller.looked, zone)
        return observation

    def _decide(self, zone: ZoneRef, pack: Pack) -> Decision:
        """Decide for one pack, and note and tell the decision unless it is a restart: that is told by its outcome."""
        rooms, memory = self.rooms, self.rooms.memory
        now, policy = rooms.clock.now(), rooms.policy(zone)
        history = memory.history(pack)
        free_at = memory.budget_free_at(zone.account, policy.per_hour, now)
        decision = decide(Case(pack, history, policy.rules, now, free_at))
        self._report.decisions[decision.do, decision.reason] += 1
        if decision.do is Do.RESTART:
            return decision
        if decision.do is Do.GIVE_UP and history.gave_up_at is None:
            memory.give_up(pack, now)
            facts = (("attempts", history.attempts), ("last_error", history.last_error))
            self._told([Event("gave_up", now, zone, pack, decision.reason, "error", facts)])
        changed = memory.conclude(zone, pack, decision, now)
        if changed and pack.status == VALIDATION_TIMED_OUT and decision.do is not Do.GIVE_UP:
            self._told([_held(zone, pack, decision.reason, now, history.attempts, decision.until)])
        return decision

    async def act(self, zone: ZoneRef, pack: Pack) -> Outcome:
        """Restart one pack (or, in a dry run, say that it would be), and record and tell what became of it."""
        rooms, memory = self.rooms, self.rooms.memory

        def prepare() -> tuple[Intent, History, History]:
            return self._intent(zone, pack)

        def sending(intent: Intent) -> None:
            facts = (("attempt", intent.attempt), ("next_restart_at", intent.next_restart_at))
            self._told([Event("restart_intended", intent.at, zone, pack, Reason.VALIDATION_TIMED_OUT, facts=facts)])

        if rooms.dry_run:
            outcome = Outcome(pack, Reason.DRY_RUN)
        else:
            client = rooms.clients[zone.account]
            outcome = await restart.restart(pack, client, memory, prepare, rooms.clock.now, sending)
        now = rooms.clock.now()
        if outcome.sent is not None:
            self._report.restarts[outcome.sent] += 1
            self._tell(rooms.teller.restarted, zone, outcome.sent)
        if outcome.reason is Reason.MOVED_ON:
            self._told(memory.take_in(Seen(zone, (outcome.pack,)), now, partial=True))
            self._decide(zone, outcome.pack)
            return outcome
        memory.renamed(pack, outcome.pack)
        if outcome.error:
            memory.note_error(outcome.pack, outcome.error)
        history = memory.history(outcome.pack)
        free_at = memory.budget_free_at(zone.account, rooms.policy(zone).per_hour, now)
        decision = _after(outcome, history, free_at)
        changed = memory.conclude(zone, outcome.pack, decision, now)
        if outcome.sent is not None or changed:
            self._told([_told_outcome(zone, outcome, history, decision.until, now)])
        return outcome

    def _intent(self, zone: ZoneRef, pack: Pack) -> tuple[Intent, History, History]:
        """The next restart of a pack as it is stored, with the histories before and after. Raises ``NotIntended``."""
        rooms, memory = self.rooms, self.rooms.memory
        now, policy = rooms.clock.now(), rooms.policy(zone)
        free_at = memory.budget_free_at(zone.account, policy.per_hour, now)
        if free_at is not None:
            raise NotIntended(Reason.OVER_BUDGET, f"{policy.per_hour} restarts were sent in the last hour")
        before = memory.history(pack)
        wait = wait_after(before.attempts + 1, policy.initial, policy.factor, policy.longest)
        after = before.intended(now, with_jitter(wait, policy.jitter, rooms.dice.random()))
        next_at = after.next_restart_at or now
        intent = Intent(zone.account, zone.label, zone.id, pack.id, after.attempts, now, next_at)
        return intent, before, after

    def _surprised(self, zone: ZoneRef, pack: Pack, surprise: Exception) -> None:
        """Something in this program failed with one pack: tell it once, and look again soon."""
        memory, now, error = self.rooms.memory, self.rooms.clock.now(), _defect(surprise)
        memory.note_error(pack, error)
        if memory.conclude(zone, pack, Decision(Do.WAIT, Reason.UNSEEN), now):
            self._told([Event("zone_unseen", now, zone, pack, Reason.UNSEEN, "error", (("error", error),))])

    def _told(self, events: list[Event]) -> None:
        if events:
            self.rooms.memory.journal(events)
            self._tell(self.rooms.teller.happened, events)

    def _tell(self, tell: Callable[..., None], *what: object) -> None:
        """Tell, whatever comes of it: no pass fails, and no restart is held, because a telling failed."""
        try:
            tell(*what)
        except Exception:  # noqa: BLE001  the trace says whose fault it is
            _log.exception("a teller failed")


def restartable(pack: Pack) -> bool:
    """Whether Cloudflare would restart this pack's validation at all."""
    return pack.status == VALIDATION_TIMED_OUT and pack.type == ADVANCED


def _defect(surprise: Exception) -> str:
    text = f"{type(surprise).__name__}: {clean(surprise)}"
    return f"this is a defect of certpack-watchdog, please report it: {text}"


def _after(outcome: Outcome, history: History, free_at: datetime | None) -> Decision:
    """The decision that the pack's row shows after a restart was made or held."""
    if outcome.reason in (Reason.RESTARTED, Reason.DRY_RUN):
        return Decision(Do.RESTART, outcome.reason)
    if outcome.reason is Reason.OVER_BUDGET:
        return Decision(Do.WAIT, outcome.reason, free_at)
    counted = outcome.sent is not None or outcome.reason is Reason.BACKING_OFF
    return Decision(Do.WAIT, outcome.reason, history.next_restart_at if counted else None)


def _held(
    zone: ZoneRef, pack: Pack, reason: Reason, now: datetime, attempts: int, until: datetime | None, error: str = ""
) -> Event:
    facts = (("attempt", attempts), ("next_restart_at", until), ("error", error))
    return Event("restart_held", now, zone, pack, reason, facts=facts)


def _told_outcome(zone: ZoneRef, outcome: Outcome, history: History, until: datetime | None, now: datetime) -> Event:
    if outcome.sent is None:
        return _held(zone, outcome.pack, outcome.reason, now, history.attempts, until, outcome.error)
    facts = (
        ("attempt", outcome.attempt),
        ("next_restart_at", history.next_restart_at),
        ("status", outcome.pack.status),
        ("outcome", outcome.sent),
        ("error", outcome.error),
    )
    if outcome.sent is Sent.ACCEPTED:
        return Event("restart_sent", now, zone, outcome.pack, outcome.reason, facts=facts)
    return Event("restart_failed", now, zone, outcome.pack, outcome.reason, "warning", facts)
