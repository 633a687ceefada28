"""★ What is done to a pack at Cloudflare, step by step: reread, decide again, intend, send, settle; or a recheck.

``cycle`` calls it for a pack whose turn to act has come, ``commands.one_pack`` for one that a person named. The steps
at Cloudflare are those of ``act``; each intent is on the disk before its PATCH leaves.
"""

from datetime import datetime

import msgspec
from msgspec.structs import replace

from watchdog.act import recheck, restart
from watchdog.decide import rechecks
from watchdog.decide.budget import Place
from watchdog.deciding import decided
from watchdog.ledger import Ledger
from watchdog.model.decisions import Decision, Do
from watchdog.model.events import Event
from watchdog.model.findings import Diagnosis, fingerprint
from watchdog.model.history import History, Intent, NotIntended
from watchdog.model.meanings import REASONS
from watchdog.model.observation import Seen
from watchdog.model.outcomes import RestartOutcome
from watchdog.model.packs import Pack, ZoneRef
from watchdog.model.reasons import Reason
from watchdog.observe.compare import renamed
from watchdog.state.intents import Stored


class _Intended(msgspec.Struct, frozen=True):
    """A restart that is about to be sent: its intent as it is stored, and its place in the hourly budget."""

    stored: Stored
    place: Place


class Restarting:
    """Restarts and rechecks single packs."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._components = ledger.components

    async def restart(
        self, zone: ZoneRef, pack: Pack, diagnosis: Diagnosis | None = None, *, force: bool = False
    ) -> RestartOutcome:
        """Restart one pack, or say what held that in the last moment, and remember and record it.

        ``force`` restarts whatever is decided, but nothing that Cloudflare would not restart.
        """
        components, ledger = self._components, self._ledger
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
                ledger.remember(Seen(zone, (fresh,)), partial=True)
            now = ledger.now()
            decision = decided(components, zone, fresh, diagnosis, now)
            if decision.do is not Do.RESTART and not (force and fresh.restartable):
                ledger.conclude(zone, fresh, decision, diagnosis if fresh.restartable else None, now)
                return RestartOutcome(pack=fresh, reason=decision.reason if fresh.restartable else Reason.MOVED_ON)
            if (held := self._unwanted(zone, fresh, force=force)) is not None:
                return self._restarted(zone, pack, held, diagnosis)
            intended = await self._intend(zone, fresh, now)
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
        components = self._components
        if not components.watched.watches(zone, pack):
            return RestartOutcome(pack=pack, reason=Reason.DISABLED, error="it is not watched any more")
        if not components.rules(zone).enabled and not force:
            return RestartOutcome(pack=pack, reason=Reason.DISABLED)
        return None

    async def _intend(self, zone: ZoneRef, pack: Pack, now: datetime) -> _Intended | RestartOutcome:
        """Store the next restart of a pack, so that it counts from now on; or say why nothing may be sent."""
        components = self._components
        if components.memory.known(pack) is None:
            self._ledger.note(zone, pack, Decision(Do.RESTART, Reason.VALIDATION_TIMED_OUT), None, now)
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
        self._ledger.record([Event.restart_intended(zone, pack, intent)])
        return _Intended(stored, place)

    async def _settle(self, intended: _Intended, outcome: RestartOutcome) -> None:
        """Store what became of a restart. Where no attempt was spent, neither the intent nor its place counts."""
        components = self._components
        if outcome.counts and outcome.sent is not None:
            components.intents.settle(intended.stored.id, outcome.sent, outcome.error, self._ledger.now())
        elif await components.intents.withdraw(intended.stored):
            components.budget.give_back(intended.place)

    def _restarted(
        self, zone: ZoneRef, pack: Pack, outcome: RestartOutcome, diagnosis: Diagnosis | None
    ) -> RestartOutcome:
        """Remember and record what became of a restart that was sent, or held in the last moment."""
        components, ledger = self._components, self._ledger
        memory, now = components.memory, ledger.now()
        ledger.report.decisions[Do.RESTART, Reason.VALIDATION_TIMED_OUT] += 1
        if outcome.sent is not None:
            ledger.report.restarts[outcome.sent] += 1
            ledger.publish(components.telemetry.restarted, zone, outcome.sent)
        if outcome.pack.id != pack.id:
            ledger.keep(zone, renamed(memory.of(zone), zone, pack, outcome.pack, now))
        if outcome.error:
            ledger.note_error(zone, outcome.pack, outcome.error)
        history = memory.history(outcome.pack)
        decision = _after(outcome, history)
        changed = ledger.note(zone, outcome.pack, decision, diagnosis, now)
        if outcome.sent is not None:
            ledger.record([Event.restart_settled(zone, outcome, history, now)])
        elif changed:
            attempts, error = history.attempts, outcome.error
            ledger.record([Event.restart_held(zone, outcome.pack, now, decision, attempts=attempts, error=error)])
        return outcome

    def wants_recheck(self, zone: ZoneRef, pack: Pack) -> bool:
        """Whether Cloudflare is to be asked to check a pack that gets no diagnosis otherwise."""
        if not rechecks.is_stuck_universal(pack) or not self._may_recheck(zone, pack):
            return False
        known = self._components.memory.known(pack)
        return rechecks.is_due(pack, known.diagnosis if known else None, self._ledger.now())

    def _may_recheck(self, zone: ZoneRef, pack: Pack) -> bool:
        components, rules = self._components, self._components.rules(zone)
        if not rules.enabled or not rules.recheck or components.dry_run:
            return False
        return components.watched.watches(zone, pack) and not components.clients[zone.account].recheck_held(zone.id)

    async def recheck(self, zone: ZoneRef, pack: Pack, decision: Decision, diagnosis: Diagnosis | None) -> None:
        """Ask Cloudflare to look now, where that may help: its own next look may be hours away, or never come.

        The pack is read again first: a method that somebody has changed meanwhile would be changed back.
        """
        components, memory, now = self._components, self._components.memory, self._ledger.now()
        if not rechecks.is_due(pack, diagnosis, now) or not self._may_recheck(zone, pack):
            return
        client, before = components.clients[zone.account], diagnosis or Diagnosis(now, ())
        asked = replace(before, tokens=fingerprint(pack.validation.every_token), rechecked_at=now)
        async with client.reserve(2) as reservation:
            fresh = await restart.reread(pack, client, reservation)
            if isinstance(fresh, RestartOutcome) or not rechecks.is_as_it_was(fresh, pack):
                return  # the next look tells
            self._ledger.note(zone, pack, decision, asked, now)
            # As with a restart: what is asked is stored before; the disk may take its time, and a reload come.
            if not await memory.writer.flush() or not self._may_recheck(zone, pack):
                self._ledger.note(zone, pack, decision, before, now)
                return
            done = await recheck.recheck(pack, client, reservation)
        if not done.asked:
            self._ledger.note(zone, pack, decision, before, now)
        if done.error or rechecks.is_stuck_universal(pack):  # of which nothing else is ever asked
            self._ledger.note_error(zone, pack, done.error)
        self._ledger.record([Event.rechecked(zone, pack, now, decision.reason, done.error)])


def _after(outcome: RestartOutcome, history: History) -> Decision:
    """The decision that the pack's row shows after a restart was made or held."""
    if outcome.reason in (Reason.RESTARTED, Reason.DRY_RUN):
        return Decision(Do.RESTART, outcome.reason)
    if REASONS[outcome.reason].decided == "leave":
        return Decision(Do.LEAVE, outcome.reason)
    waits = outcome.sent is not None or outcome.reason is Reason.BACKING_OFF
    return Decision(Do.WAIT, outcome.reason, history.next_restart_at if waits else None)
