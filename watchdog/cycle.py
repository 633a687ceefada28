"""★ The spine: how one zone is watched.

``Cycle.watch`` is the sentence: poll the zone, compare it with what was known, remember that, decide for each pack,
diagnose the doubtful together, and for those to be restarted reread, intend, send, settle (``restarting``). What
follows it are the steps in the order in which they are called; each asks one room and hands on a value. One pack's
fault never stops the next. Which zone is next, and how many at once, is the matter of ``passes``.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter

import msgspec
from msgspec.structs import replace

from watchdog.components import Components
from watchdog.decide.checks import WELL
from watchdog.decide.policy import at_sight
from watchdog.deciding import decided
from watchdog.ledger import Ledger
from watchdog.model.decisions import Decision, Do
from watchdog.model.findings import Diagnosis, obstacle
from watchdog.model.meanings import REASONS
from watchdog.model.observation import Known, Observation, Seen, Unseen
from watchdog.model.packs import PENDING_VALIDATION, Pack, ZoneRef
from watchdog.model.reasons import Reason
from watchdog.model.renewal import PRESSING, renewal
from watchdog.model.text import defect
from watchdog.observe import poll
from watchdog.observe.compare import compare
from watchdog.restarting import Restarting
from watchdog.state.database import StateError

_status = attrgetter("status")


class Slots(msgspec.Struct, frozen=True):
    """How many zones of one account are polled, and acted on, at once: a look is never held up by an act."""

    polling: asyncio.Semaphore
    acting: asyncio.Semaphore


class Cycle:
    """Watches one zone at a time. ``stopping`` begins no restart."""

    def __init__(self, components: Components) -> None:
        self.components = components
        self.ledger = Ledger(components)
        self.restarting = Restarting(self.ledger)
        self.stopping = False

    # ── the sentence ─────────────────────────────────────────────────────────────────────────────────────────────

    async def watch(self, zone: ZoneRef, slots: Slots) -> bool:
        """Look at one zone and do for each of its packs what is to be done. False when it could not be seen.

        A slot for polling is held when this begins. It is given to others as soon as the zone is seen, so that a slow
        diagnosis keeps nobody waiting.
        """
        self.ledger.begin_turn(zone)
        try:
            observation = await self.look(zone)
        finally:
            slots.polling.release()
        ours = self.components.tenure.holds(zone.account) and self.ledger.is_ours(zone)
        if not isinstance(observation, Seen) or not ours:
            return False
        zone, now = observation.zone, self.ledger.now()
        others = self._unwell(zone, observation.packs, now)
        if doubtful := [pack for pack in others if not self._settled(zone, pack, now)]:
            turn = asyncio.Lock()
            treated = [self._treated(zone, pack, slots, turn) for pack in doubtful]
            if len(treated) == 1:  # as nearly always: a group of tasks would cost more than what it does
                await treated[0]
            else:
                async with asyncio.TaskGroup() as together:
                    for each in treated:
                        together.create_task(each)
        await self.components.memory.writer.save(self.ledger.now())
        return True

    # ── poll, compare, remember ──────────────────────────────────────────────────────────────────────────────────

    async def look(self, zone: ZoneRef) -> Observation:
        """Poll the zone, compare it with what is known, and remember and record what is new."""
        components, memory = self.components, self.components.memory
        client, last_id = components.clients[zone.account], memory.zone_id(zone)
        pinned = memory.pinned(replace(zone, id=zone.id or last_id)) if zone.packs else {}
        observation = await poll.poll_zone(zone, client, troubled=memory.troubled(zone), last_id=last_id, pinned=pinned)
        if not self.ledger.is_ours(zone):
            return observation  # it is another replica's by now, or was meanwhile, who looked for itself
        if not isinstance(observation, Seen) and (
            observation.reason is Reason.ACCOUNT_UNHELD or not components.tenure.may_send(zone.account)
        ):
            return observation  # it was not asked: the account is, or may have been, another replica's
        self.ledger.remember(observation)
        report = self.ledger.report  # another pass's, perhaps, than when the zone was asked for
        report.zones += 1
        if isinstance(observation, Seen):
            report.packs.update(map(_status, observation.packs))
        else:
            report.unseen += 1
        self.ledger.publish(components.telemetry.looked, zone)
        return observation

    def lose(self, zone: ZoneRef, surprise: Exception) -> None:
        """Something in this program, or its disk, failed with a zone: record that as why it could not be seen."""
        error = str(surprise) if isinstance(surprise, StateError) else defect(surprise)
        known = Known(self.components.memory.zone(zone), {}, {})  # not its packs: to read them may be what failed
        self.ledger.keep(zone, compare(known, Unseen(zone, Reason.UNSEEN, error), self.ledger.now()))
        self.ledger.report.unseen += 1

    # ── decide ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _unwell(self, zone: ZoneRef, packs: Sequence[Pack], now: datetime) -> Sequence[Pack]:
        """Decide for those that are well, which is nearly every pack, all at once; gives the others."""
        well: list[Pack] = []
        others: list[Pack] = []
        try:
            for pack in packs:
                (well if at_sight(pack, now) is WELL else others).append(pack)
            self.ledger.conclude_well(zone, well, now)
        except Exception:  # noqa: BLE001  a fault of ours with one pack must not stop the next: then one by one
            return packs
        return others

    def _settled(self, zone: ZoneRef, pack: Pack, now: datetime) -> bool:
        """Decide for a pack that needs neither a diagnosis nor a restart."""
        try:
            decision = decided(self.components, zone, pack, None, now)
            if decision.do is Do.RESTART or self._wants_diagnosis(pack, decision):
                return False
            if self.restarting.wants_recheck(zone, pack):
                return False
            self.ledger.conclude(zone, pack, decision, None, now)
        except Exception as surprise:  # noqa: BLE001  a fault of ours with one pack must not stop the next
            self.ledger.surprised(zone, pack, surprise)
        return True

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
            self.ledger.surprised(zone, pack, surprise)

    async def diagnose(self, zone: ZoneRef, pack: Pack) -> Diagnosis | None:
        """Why the pack's validation may fail; ``None`` where nobody is to find out."""
        components, now = self.components, self.ledger.now
        if components.diagnoser is None:
            return None
        client, diagnoser = components.clients[zone.account], components.diagnoser
        facts = await components.facts.of(zone, client, now())
        findings = await diagnoser.diagnose(pack, facts, lambda: components.facts.delegation(zone, client))
        known = components.memory.known(pack)
        last = known.diagnosis if known else None
        if last is None:
            return Diagnosis(now(), findings)
        mended = obstacle(last.findings) is not None and obstacle(findings) is None
        return Diagnosis(now(), findings, "" if mended else last.tokens, last.rechecked_at)

    # ── act ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _treat(self, zone: ZoneRef, pack: Pack, diagnosis: Diagnosis | None) -> None:
        """Do what is to be done with a pack now that its diagnosis is there and its turn to act has come."""
        if not self.ledger.is_ours(zone):
            return
        now = self.ledger.now()
        decision = decided(self.components, zone, pack, diagnosis, now)
        if decision.do is not Do.RESTART:
            self.ledger.conclude(zone, pack, decision, diagnosis, now)
            await self.restarting.recheck(zone, pack, decision, diagnosis)
        elif not self.stopping:
            await self.restarting.restart(zone, pack, diagnosis)

    # ── what passes ask ──────────────────────────────────────────────────────────────────────────────────────────

    def troubled(self, zone: ZoneRef) -> bool:
        """Whether a zone wants attention: a pack is in trouble, or waits for a person and has not much time left."""
        memory = self.components.memory
        return memory.troubled(zone) or any(
            REASONS[known.decision.reason].needs_a_person and _pressing(known.pack, self.ledger.now())
            for known, _ in memory.unwell(zone)
        )


def _pressing(pack: Pack, now: datetime) -> bool:
    window = renewal(pack.expires_at, pack.uploaded_at, now)
    return window is not None and window.used >= PRESSING
