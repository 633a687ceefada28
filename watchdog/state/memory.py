"""What the daemon remembers, in the process and on disk.

``Memory`` answers every question from the process and writes what changed through one worker thread, so that no disk
ever holds up the loop. Looks are written in batches (they can be looked at again); an intent is written and synced
before ``intend`` returns (it cannot). Only ``cycle`` and what lies above it call it, from the loop's thread.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TypeVar

from watchdog.model.clock import NO_STEP, Anchor
from watchdog.model.decisions import Decision, Do
from watchdog.model.events import Event
from watchdog.model.findings import Diagnosis
from watchdog.model.history import UNTROUBLED, History, Intent, JournalLine, NotIntended, Remembered, Sent, ZoneMemory
from watchdog.model.observation import Observation, Seen
from watchdog.model.packs import GOING_AWAY, HEALTHY, IN_PROGRESS, VALIDATION_TIMED_OUT, Pack, ZoneRef, pack_key
from watchdog.model.reasons import Reason
from watchdog.state.changes import Changes, PackKey, Settled, Snapshot
from watchdog.state.database import StateError
from watchdog.state.quarantine import Quarantined
from watchdog.state.restarts import Stale
from watchdog.state.store import Store

BATCH = 2_000
"""Changed packs that are gathered before they are written."""

SOON = timedelta(seconds=1)
"""How long what was seen may stay unwritten: it can be seen again. Each write costs a sync of the disk."""

FORGET_AFTER = timedelta(days=7)
"""How long a pack that is gone, or a zone that is no longer watched, is remembered: a week of looking back."""

KEEP_JOURNAL = timedelta(days=90)
"""How long the journal is kept: the longest usual validity of a certificate, so one whole renewal can be told."""

HOUR = timedelta(hours=1)

_Answer = TypeVar("_Answer")
_NEVER = datetime.min.replace(tzinfo=UTC)
_GONE = Decision(Do.LEAVE, Reason.GOING_AWAY)
_MISSING = Decision(Do.LEAVE, Reason.NOT_FOUND)


class Memory:
    """Everything remembered of zones, packs and restarts."""

    def __init__(self, store: Store, worker: Executor) -> None:
        """``worker`` has one thread, and every use of ``store`` goes through it."""
        self._store = store
        self._worker = worker
        self._changes = Changes()
        self._flushing = asyncio.Lock()
        self.zones: dict[tuple[str, str], ZoneMemory] = {}
        self._packs: dict[str, dict[str, Remembered]] = {}
        self._histories: dict[tuple[str, str], History] = {}
        self._sent: dict[str, deque[datetime]] = {}
        self._queues: dict[str, dict[PackKey, tuple[datetime, datetime]]] = {}  # by account: since when due, last look
        self._afresh = False  # a history that is not written yet has fewer attempts than the stored one
        self._flushed_at = _NEVER
        self.lost: Quarantined | None = None
        self.error = ""  # why the last write failed; empty when it did not
        self._epoch = self._moment = Anchor(_NEVER, 0.0, "")  # when the clock was last set; and the last look at it
        self._intended: dict[int, Anchor] = {}  # restarts under way, and by which clock their times are
        self.booked: dict[str, list[tuple[float, int]]] = {}  # by account: until when, and how many requests

    async def recall(self, now: Anchor) -> list[tuple[int, Intent]]:
        """Load what was stored. Returns the restarts whose outcome nobody noted: the process died in the middle."""
        if (lost := self._store.lost) is not None:  # by a clock that has been set back since, caution would never end
            self.lost = replace(lost, at=min(lost.at, now.at))
        self._epoch = self._moment = now
        if self._store.exclusive:
            await self._try(lambda: self._store.align(now))
        snapshot = await self.ask(self._store.load)
        self.zones = snapshot.zones
        for (zone_id, pack_id), known in snapshot.packs.items():
            self._packs.setdefault(zone_id, {})[pack_id] = known
        self._histories, restarts = await self.ask(lambda: self._aligned(snapshot, now))
        for account, at in restarts:
            self._sent.setdefault(account, deque()).append(at)
        for packs in self._packs.values():
            for known in packs.values():
                self._wait_for_budget(known.account, known.pack, known.decision, now.at)
        for account, until, requests in await self.ask(lambda: self._store.booked(now.boot)) if now.boot else ():
            self.booked.setdefault(account, []).append((until, requests))
        return await self.ask(self._store.open_intents)

    def observe_clock(self, now: Anchor) -> datetime:
        """The time. If the clock was set since this was last asked, whatever is waited for moves with it."""
        step = now.step_since(self._epoch)
        self._moment = now
        if step:
            self._epoch, self._flushed_at = now, _NEVER
            self._histories = _shifted(self._histories, step)
            self._changes.histories = _shifted(self._changes.histories, step)
            self._sent = {account: deque(at + step for at in sent) for account, sent in self._sent.items()}
            self._queues = {
                account: {key: (due + step, noted + step) for key, (due, noted) in queue.items()}
                for account, queue in self._queues.items()
            }
            self.lost = self.lost and replace(self.lost, at=self.lost.at + step)
        return now.at

    async def refresh(self) -> None:
        """Take over what another process (the ``restart`` command) has written since.

        A disk that cannot be read is no reason to stop looking: what the process knows stands, ``error`` says why, and
        an intent still meets what is stored.
        """
        try:
            if not await self.ask(self._store.changed_elsewhere):
                return
            async with self._flushing:  # what changes meanwhile stays in ``_changes``
                await self._flush()
                # In one go: what is stored meanwhile by ``intend`` is in both or in neither.
                moment = self._moment
                stored, restarts = await self.ask(lambda: self._aligned(self._store.load(), moment))
        except StateError as error:
            self.error = str(error)
            return
        step = self._moment.step_since(moment)  # it was set while that was read
        stored, restarts = _shifted(stored, step), [(account, at + step) for account, at in restarts]
        for key, history in self._changes.histories.items():  # not written yet, and not older than a restart elsewhere
            if (history.last_restart_at or _NEVER) >= (stored.get(key, UNTROUBLED).last_restart_at or _NEVER):
                stored[key] = history
        self._histories = {key: history for key, history in stored.items() if history != UNTROUBLED}
        for account in self._sent.keys() | {account for account, _ in restarts}:
            found = Counter(at for name, at in restarts if name == account)
            # Ours that are on their way to the disk count as well.
            self._sent[account] = deque(sorted((found | Counter(self._sent.get(account, ()))).elements()))

    def _aligned(self, snapshot: Snapshot, now: Anchor) -> tuple[dict[PackKey, History], list[tuple[str, datetime]]]:
        """The stored histories and the restarts of the last hour, by the clock of ``now``."""
        step = _step(snapshot.anchor, now)
        restarts = self._store.restarts_since(now.at - step - HOUR)
        return _shifted(snapshot.histories, step), [(account, at + step) for account, at in restarts]

    # ── what is known ────────────────────────────────────────────────────────────────────────────────────────────

    def history(self, pack: Pack) -> History:
        """What was tried for this pack since it was last well."""
        return self._histories.get((pack.zone_id, pack.id), UNTROUBLED)

    @property
    def lost_at(self) -> datetime | None:
        """When the state before this one was lost, if one was."""
        return self.lost.at if self.lost else None

    def zone(self, zone: ZoneRef) -> ZoneMemory:
        """What is known of this zone; empty when it was never looked at."""
        return self.zones.get(zone.key) or ZoneMemory(zone.account, zone.label, zone.id)

    def zone_id(self, zone: ZoneRef) -> str:
        """The id this zone had when it was last seen; empty when it never was."""
        known = self.zones.get(zone.key)
        return known.id if known else ""

    def packs_of(self, zone: ZoneRef | ZoneMemory) -> Iterator[Remembered]:
        """The packs remembered of one zone."""
        known = self.zones.get(zone.key)
        packs = self._packs.get(known.id, {}) if known and known.id else {}
        return (pack for pack in packs.values() if pack.account == zone.account and pack.zone == zone.label)

    def known(self, pack: Pack) -> Remembered | None:
        """The pack as it was remembered after its last look."""
        return self._packs.get(pack.zone_id, {}).get(pack.id)

    def troubled(self, zone: ZoneRef) -> bool:
        """Whether a pack of the zone is in trouble, was just restarted, or is being worked on."""
        return any(_wants_attention(known) for known in self.packs_of(zone))

    def budget_free_at(self, account: str, per_hour: int, now: datetime, ahead: int = 0) -> datetime | None:
        """When the account may send its next restart after so many others; ``None`` when it may now."""
        sent = self._sent.setdefault(account, deque())
        while sent and sent[0] <= now - HOUR:
            sent.popleft()
        short = len(sent) + ahead - per_hour
        if short < 0:
            return None
        return (sent[short] if short < len(sent) else now) + HOUR

    def ahead(self, account: str, pack: Pack, per_hour: int, now: datetime, fresh: timedelta) -> int:
        """How many packs wait for the account's budget and have been due for longer, as far as that matters.

        Those that nobody has looked at for longer than ``fresh`` have lost their place.
        """
        queue, free = self._queues.get(account), per_hour - len(self._sent.get(account, ()))
        if not queue or free <= 0:
            return 0
        for key in [key for key, (_, noted) in queue.items() if noted < now - fresh]:
            del queue[key]
        mine = (self._due(pack, now), pack.zone_id, pack.id)
        earlier = (1 for key, (due, _) in queue.items() if (due, *key) < mine)
        return sum(islice(earlier, free))

    def _due(self, pack: Pack, now: datetime) -> datetime:
        history = self.history(pack)
        return history.next_restart_at or history.trouble_since or now

    def _wait_for_budget(self, account: str, pack: Pack, decision: Decision, now: datetime) -> None:
        key = (pack.zone_id, pack.id)
        if decision.reason is Reason.OVER_BUDGET:
            self._queues.setdefault(account, {})[key] = (self._due(pack, now), now)
        elif (queue := self._queues.get(account)) is not None:
            queue.pop(key, None)

    # ── what was seen ────────────────────────────────────────────────────────────────────────────────────────────

    def apply(self, observation: Observation, now: datetime, *, partial: bool = False) -> list[Event]:
        """Note one look at a zone, and say what is new in it: statuses that changed, packs that are well again.

        A ``partial`` look is at some packs only and says nothing of the others.
        """
        zone = observation.zone
        before = self.zones.get(zone.key) or ZoneMemory(zone.account, zone.label)
        if not isinstance(observation, Seen):
            known_id = zone.id or before.id
            self._set_zone(
                replace(before, id=known_id, tried_at=now, reason=observation.reason, error=observation.error)
            )
            again = before.reason == observation.reason
            return [Event.zone_unseen(zone, now, observation.reason, observation.error, again=again)]
        if not partial:
            self._set_zone(ZoneMemory(zone.account, zone.label, zone.id, seen_at=now, tried_at=now))
        known = self._packs.setdefault(zone.id, {})
        events: list[Event] = []
        for pack in observation.packs:
            then = known.get(pack.id)
            if then is None:
                events += self._inherit(zone, pack, known, now) or _first_sight(zone, pack, now)
            elif then.pack.status != pack.status:
                events.append(Event.pack_changed(zone, pack, now, before=then.pack.status))
            events += self._follow(zone, pack, now)
        listed = {pack.id for pack in observation.packs}
        if not partial and (observation.missing or not known.keys() <= listed):
            events += self._miss(observation, known, listed, before.seen_at or now, now)
        return events

    def conclude(
        self, zone: ZoneRef, pack: Pack, decision: Decision, now: datetime, diagnosis: Diagnosis | None = None
    ) -> bool:
        """Note what was decided of a pack. True when the decision is another than at the last look.

        Without a new ``diagnosis`` the last one stays, until the pack is well.
        """
        self._wait_for_budget(zone.account, pack, decision, now)
        known = self._packs.setdefault(zone.id, {})
        then = known.get(pack.id)
        since = then.since if then and then.pack.status == pack.status else now
        last = then.diagnosis if then else None
        if diagnosis is None and pack.status not in HEALTHY:
            diagnosis = last
        if diagnosis is not last:
            self._changes.diagnoses[pack.zone_id, pack.id] = diagnosis
        elif then and then.pack == pack and then.decision == decision and (then.account, then.zone) == zone.key:
            return False
        self._put(Remembered(zone.account, zone.label, pack, since, now, decision, diagnosis))
        return then is None or (then.decision.do, then.decision.reason) != (decision.do, decision.reason)

    def give_up(self, pack: Pack, now: datetime) -> None:
        """Note that no more restarts will be sent."""
        self._set_history(pack, self.history(pack).gave_up(now))

    def reset(self, pack: Pack) -> None:
        """A person asks for a restart: a pack that was given up starts afresh."""
        self._set_history(pack, self.history(pack).reset())

    def note_error(self, pack: Pack, error: str) -> None:
        """Keep the last thing that went wrong with a pack."""
        self._set_history(pack, replace(self.history(pack), last_error=error))

    def renamed(self, old: Pack, new: Pack) -> None:
        """A restart gave the pack another id: what was tried goes with it."""
        if new.id != old.id:
            self._set_history(new, self.history(old))

    def journal(self, events: Iterable[Event]) -> None:
        """Keep what happened, for looking back."""
        for event in events:
            if event.level == "debug":
                continue
            pack_id = event.pack.id if event.pack else ""
            self._changes.journal.append(
                JournalLine(
                    event.at, event.name, *event.zone.key, event.zone.id, pack_id, event.reason or "", event.detail
                )
            )

    def _set_zone(self, zone: ZoneMemory) -> None:
        self.zones[zone.key] = zone
        self._changes.zones.append(zone)

    def _set_history(self, pack: Pack, history: History) -> None:
        key = (pack.zone_id, pack.id)
        if history == self._histories.get(key, UNTROUBLED):
            return
        self._afresh |= history.attempts < self._histories.get(key, UNTROUBLED).attempts
        if history == UNTROUBLED:
            del self._histories[key]
        else:
            self._histories[key] = history
        self._changes.histories[key] = history

    def _follow(self, zone: ZoneRef, pack: Pack, now: datetime) -> list[Event]:
        key = (pack.zone_id, pack.id)
        before = self._histories.get(key)
        if before is None and not pack.status.endswith("timed_out"):
            return []
        before = before or UNTROUBLED
        after = before.after_look(pack, now)
        self._set_history(pack, after)
        if after is UNTROUBLED and before.trouble_since is not None:
            took = now - before.trouble_since
            return [Event.recovered(zone, pack, now, after=took, restarts=before.attempts)]
        return []

    def _inherit(self, zone: ZoneRef, pack: Pack, known: dict[str, Remembered], now: datetime) -> list[Event]:
        """A pack of another id but of the same hosts, CA and type as one that was restarted: its attempts count on."""
        if not self._histories or not pack.hosts or self.history(pack) is not UNTROUBLED:
            return []
        tried = [
            (at, old)
            for old in known.values()
            if (at := self.history(old.pack).last_restart_at) is not None and old.pack.identity == pack.identity
        ]
        if not tried:
            return []
        _, old = max(tried, key=lambda pair: pair[0])
        self._set_history(pack, self.history(old.pack))
        return [Event.pack_changed(zone, pack, now, before=old.pack.status, previous_pack_id=old.pack.id)]

    def _miss(
        self, seen: Seen, known: dict[str, Remembered], listed: set[str], last_seen: datetime, now: datetime
    ) -> list[Event]:
        """Packs that were there and are not, and packs the configuration asks for that never were."""
        events: list[Event] = []
        missing = {pack_key(pack_id): pack_id for pack_id in seen.missing}
        identities = {pack.identity for pack in seen.packs if pack.status not in GOING_AWAY}
        for pack_id in known.keys() - listed:
            then = known[pack_id]
            key = pack_key(pack_id)
            wanted = missing.pop(key, None) is not None
            if (then.account, then.zone) != seen.zone.key or (seen.zone.packs and key not in seen.zone.packs):
                continue
            if then.decision == _MISSING and not then.pack.status:  # it was never there
                if not wanted:
                    self._forget(then.pack)  # and now it is, under the id Cloudflare gives it, or nobody asks for it
            elif then.pack.identity in identities and then.pack.hosts:
                self._forget(then.pack)  # the same pack lives on under another id
            elif then.pack.status not in GOING_AWAY:
                gone = replace(then.pack, status="deleted")
                events.append(Event.pack_changed(seen.zone, gone, now, before=then.pack.status))
                self._put(
                    replace(then, pack=gone, since=now, seen_at=last_seen, decision=_MISSING if wanted else _GONE)
                )
        for pack_id in missing.values():
            nowhere = Pack(pack_id, seen.zone.id, type="", status="", hosts=())
            if self.conclude(seen.zone, nowhere, _MISSING, now):
                error = f"pack {pack_id} of the configuration is not among the packs of this zone"
                events.append(Event.zone_unseen(seen.zone, now, Reason.NOT_FOUND, error, pack=nowhere))
        return events

    def _put(self, known: Remembered) -> None:
        key = (known.pack.zone_id, known.pack.id)
        self._packs.setdefault(known.pack.zone_id, {})[known.pack.id] = known
        self._changes.packs.append(known)
        if key in self._changes.forgotten:  # seen again before that was written
            self._changes.forgotten.remove(key)

    def _forget(self, pack: Pack) -> None:
        key = (pack.zone_id, pack.id)
        self._packs[pack.zone_id].pop(pack.id, None)
        for queue in self._queues.values():
            queue.pop(key, None)
        self._afresh |= self._histories.pop(key, UNTROUBLED).attempts > 0  # it may come back, and starts afresh
        self._changes.histories[key] = UNTROUBLED
        self._changes.diagnoses[key] = None
        self._changes.forgotten.append(key)

    # ── restarts ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def intend(self, intent: Intent, before: History, after: History) -> int:
        """Store the intent durably and make ``after`` the pack's history. Raises ``NotIntended``."""
        key = (intent.zone_id, intent.pack_id)
        # Before the first await: two restarts must not share the last place in the budget.
        self._sent.setdefault(intent.account, deque()).append(intent.at)
        moment = self._moment
        if self._afresh:
            await self.flush()  # what is stored must have started afresh too, or the intent looks stale
        unwritten = self._changes.histories.pop(key, None)  # ``after`` says all of it
        try:
            intent_id = await self.ask(lambda: self._store.intend(intent, before, after, moment))
        except Stale as stale:
            step = self._moment.step_since(moment)
            self._histories[key] = stale.history.shifted(step)
            self._not_sent(intent, step)
            raise NotIntended(Reason.BACKING_OFF, "another process has just restarted this pack") from stale
        except StateError as error:
            self.error = str(error)
            self._not_sent(intent, self._moment.step_since(moment))
            if unwritten is not None:
                self._changes.histories.setdefault(key, unwritten)
            raise NotIntended(Reason.STATE_UNWRITABLE, f"the intent could not be stored: {error}") from error
        self._histories[key] = after.shifted(self._moment.step_since(moment))
        self._intended[intent_id] = moment
        return intent_id

    def settle(self, intent_id: int, outcome: Sent, error: str, at: datetime) -> None:
        """Note what became of a restart; it is written with the zone. Until then the intent counts as an attempt."""
        self._intended.pop(intent_id, None)
        self._changes.settled.append(Settled(intent_id, outcome, error, at))

    async def withdraw(self, intent_id: int, intent: Intent, before: History) -> None:
        """Nothing was sent after all: forget the intent and put the history back. If that fails, the attempt counts."""
        moment = self._intended.pop(intent_id)
        if await self._try(lambda: self._store.withdraw(intent_id, before, moment)):
            step = self._moment.step_since(moment)
            key = (intent.zone_id, intent.pack_id)
            self._not_sent(intent, step)
            if before == UNTROUBLED:
                self._histories.pop(key, None)
            else:
                self._histories[key] = before.shifted(step)

    def _not_sent(self, intent: Intent, step: timedelta) -> None:
        with suppress(ValueError, KeyError):  # more than an hour ago
            self._sent[intent.account].remove(intent.at + step)

    async def book(self, account: str, requests: int, until: float, forget_before: float) -> None:
        """Note that an account may send so many requests ``until`` then, so that the next process knows.

        If that cannot be written, this process counts all the same.
        """
        kept = [booking for booking in self.booked.get(account, ()) if booking[0] >= forget_before]
        self.booked[account] = [*kept, (until, requests)]  # a reload may take the account away, and bring it again
        boot = self._moment.boot
        await self._try(lambda: self._store.book(account, boot, until, requests, forget_before))

    # ── the disk ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def save(self, now: datetime) -> None:
        """Write what has gathered, if there is much of it or if ``SOON`` has gone by since the last time."""
        if len(self._changes.packs) >= BATCH or now - self._flushed_at >= SOON:
            self._flushed_at = now
            await self.flush()

    async def flush(self) -> None:
        """Write what has gathered. What cannot be written is kept for the next time, and ``error`` says why."""
        async with self._flushing:
            await self._flush()

    async def _flush(self) -> None:
        changes, self._changes, self._afresh = self._changes, Changes(), False
        if changes.empty():
            return
        moment = self._moment
        if not await self._try(lambda: self._store.save(changes, moment)):
            changes.histories = _shifted(changes.histories, self._moment.step_since(moment))
            changes.merge(self._changes)
            self._changes, self._afresh = changes, True

    async def tidy(self, watched: set[tuple[str, str]], now: datetime) -> None:
        """Forget packs that have been gone for a week, zones unwatched for as long, and old journal lines."""
        horizon = now - FORGET_AFTER
        for packs in self._packs.values():
            for known in list(packs.values()):
                unwatched = (known.account, known.zone) not in watched and self._last_seen(known) < horizon
                gone = known.pack.status in GOING_AWAY and known.since < horizon
                if unwatched or gone:
                    self._forget(known.pack)
        self.zones = {key: zone for key, zone in self.zones.items() if key in watched or _last_tried(zone) >= horizon}
        self._packs = {zone_id: packs for zone_id, packs in self._packs.items() if packs}
        self._sent = {account: sent for account, sent in self._sent.items() if sent and sent[-1] > now - HOUR}
        await self.flush()
        await self._try(lambda: self._store.prune(now - KEEP_JOURNAL, horizon))

    async def journal_of(self, pack: Pack, most: int) -> list[JournalLine]:
        """The newest lines about one pack, newest first."""
        return await self.ask(lambda: self._store.journal_of(pack.zone_id, pack.id, most))

    async def writable(self) -> bool:
        """Whether the disk takes writes now."""
        return await self.ask(self._store.writable)

    def _last_seen(self, known: Remembered) -> datetime:
        zone = self.zones.get((known.account, known.zone))
        return zone.seen_at if zone and zone.seen_at else known.seen_at

    async def _try(self, write: Callable[[], object]) -> bool:
        try:
            await self.ask(write)
        except StateError as error:
            self.error = str(error)
            return False
        self.error = ""
        return True

    async def ask(self, question: Callable[[], _Answer]) -> _Answer:
        """Put a question to the store, in the one thread it is used in."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, question)


def _step(then: Anchor | None, now: Anchor) -> timedelta:
    return NO_STEP if then is None else now.step_since(then)


def _shifted(histories: dict[PackKey, History], step: timedelta) -> dict[PackKey, History]:
    return {key: history.shifted(step) for key, history in histories.items()} if step else histories


def _last_tried(zone: ZoneMemory) -> datetime:
    return zone.tried_at or _NEVER


def _wants_attention(known: Remembered) -> bool:
    if known.decision.do is Do.LEAVE:
        return known.decision.reason is Reason.IN_PROGRESS
    return known.decision.do is not Do.GIVE_UP


def _first_sight(zone: ZoneRef, pack: Pack, now: datetime) -> list[Event]:
    """A pack that is in a state worth a line before anybody saw it change. A restart has lines of its own."""
    quiet = HEALTHY | IN_PROGRESS | GOING_AWAY | {VALIDATION_TIMED_OUT}
    return [] if pack.status in quiet else [Event.pack_changed(zone, pack, now, before="")]
