"""What is known now of zones, packs and what was tried for them. Nothing here decides.

``Memory`` answers every question from the process; what changed is handed to the ``writer``, which brings it to the
disk. What a look changes comes as a ``Difference`` (``observe.compare``), what was decided as a ``Decision``
(``decide``). Only ``ledger`` and what lies above it call it, from the loop's thread, but for what says that it may be
called in any.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from itertools import chain

import msgspec
from msgspec.structs import replace

from watchdog.model.clock import NO_STEP, Anchor
from watchdog.model.decisions import Decision, Do
from watchdog.model.event_names import DEBUG
from watchdog.model.events import Event
from watchdog.model.findings import Diagnosis
from watchdog.model.history import UNTROUBLED, History, Intent, JournalLine, JournalQuery, Remembered, ZoneMemory
from watchdog.model.leases import ALONE, WATCHDOG, Tenure
from watchdog.model.observation import Difference, Known
from watchdog.model.pack_ids import PackKey, canonical_id
from watchdog.model.packs import GOING_AWAY, HEALTHY, HELD_BY_PEOPLE, Identity, Pack, ZoneRef
from watchdog.model.reasons import Reason
from watchdog.model.silences import Silence
from watchdog.model.zone_packs import Entry, ZonePacks
from watchdog.state.bookings import SHARED
from watchdog.state.changes import Snapshot
from watchdog.state.database import StateError
from watchdog.state.quarantine import Quarantined
from watchdog.state.store import Store
from watchdog.state.unread import SENSELESS, Unread
from watchdog.state.writer import NEVER, Writer, shifted

FORGET_AFTER = timedelta(days=7)
"""How long a pack that is gone, or a zone that is no longer watched, is remembered: a week of looking back."""

KEEP_JOURNAL = timedelta(days=90)
"""How long the journal is kept: the longest usual validity of a certificate, so one whole renewal can be told."""

RESTARTS_OF = timedelta(hours=1)
"""How far back restarts are recalled: as far as the hourly budget reaches."""

Booked = tuple[str, float, int]
"""Account, until when, and how many requests."""

Restarts = list[tuple[str, datetime]]
"""Account and time of restarts, oldest first."""


class Recalled(msgspec.Struct, frozen=True):
    """What a start finds besides what ``Memory`` answers: open intents by their ids, and the restarts of the hour."""

    open_intents: list[tuple[int, Intent]]
    restarts: Restarts


class Memory:
    """Everything remembered of zones and packs."""

    def __init__(self, store: Store, worker: Executor, tenure: Tenure = ALONE) -> None:
        """``worker`` has one thread, and every use of ``store`` goes through it.

        Of what is not kept by ``tenure`` nothing is known here, until it is adopted.
        """
        self._store = store
        self._tenure = tenure
        self.writer = Writer(store, worker, tenure)
        self.zones: dict[tuple[str, str], ZoneMemory] = {}
        self._packs: dict[str, dict[str, Remembered]] = {}
        self._unread: dict[str, Unread] = {}  # of the zones that are not among those
        self._histories: dict[PackKey, History] = {}
        self.revision = 0
        """Another number after something else is known of a zone or pack, or was tried for it."""
        self._revisions: dict[str, int] = {}  # by zone id: another after something else is known of its packs
        self._summed: dict[tuple[str, str], tuple[str, int, ZonePacks]] = {}  # with the id and revision it was made of
        self.lost: Quarantined | None = None
        self.silences: tuple[Silence, ...] = ()
        self._silences_told: tuple[Silence, ...] = ()
        self._set_at = Anchor(NEVER, 0.0, "")  # when the clock was last set
        self.booked: dict[str, list[tuple[float, int]]] = {}  # by account: until when, and how many requests
        self._unwritten: dict[str, list[tuple[float, int]]] = {}  # those of these that only this process knows
        self.booked_elsewhere: set[str] = set()  # the accounts of which others have booked, until somebody heeds that

    # ── the disk and the clock ───────────────────────────────────────────────────────────────────────────────────

    async def recall(self, now: Anchor, *, whole: bool = True) -> Recalled:
        """Load what was stored. Intents that are open were cut off when their process died. Raises ``StateError``.

        Not ``whole``, packs that are well are read when somebody asks for their zone, which may raise it then.
        """
        if (lost := self._store.lost) is not None:  # by a clock that has been set back since, caution would never end
            self.lost = replace(lost, at=min(lost.at, now.at))
        self._set_at = now
        self.writer.set_clock(now, NO_STEP)
        if self._store.exclusive:
            await self.writer.attempt(lambda: self._store.align(now))
        fenced = self._tenure.fence() is not None
        return await self._take_in([] if fenced else None, now, whole=whole)

    async def adopt(self, accounts: Collection[str]) -> Recalled:
        """Load what was stored of these accounts, which are this process's from now on. Raises ``StateError``."""
        async with self.writer.writing:  # nor is anything else taken over from the disk meanwhile
            return await self._take_in(accounts, self.writer.moment)

    def release(self, accounts: Collection[str]) -> None:
        """Forget what is known of these accounts: somebody else works them, and writes what it finds."""
        theirs = [known.pack.key for known in self.read() if known.account in accounts]
        kept = {key: zone for key, zone in self.zones.items() if zone.account not in accounts}
        zones = {zone.id for zone in self.zones.values() if zone.account in accounts} | {zone for zone, _ in theirs}
        zones -= {zone.id for zone in kept.values()}
        keys = {key for key in self._histories if key[0] in zones}.union(theirs)
        self.writer.drop(accounts, zones, keys)
        for account in accounts:
            self.booked.pop(account, None)
        self.zones = kept
        self._unread = {zone_id: unread for zone_id, unread in self._unread.items() if unread.account not in accounts}
        for zone_id, pack_id in keys:
            self._packs.get(zone_id, {}).pop(pack_id, None)
            self._histories.pop((zone_id, pack_id), None)
            self._changed((zone_id, pack_id))
        self._packs = {zone_id: packs for zone_id, packs in self._packs.items() if packs}
        self._summed = {key: each for key, each in list(self._summed.items()) if key[0] not in accounts}
        self.revision += 1

    async def _take_in(self, accounts: Collection[str] | None, now: Anchor, *, whole: bool = True) -> Recalled:
        """Load everything, or what is of some ``accounts``."""
        store, boot = self._store, self._boot(now)

        def load() -> tuple[Snapshot, tuple[dict[PackKey, History], Restarts], list[Booked], list[tuple[int, Intent]]]:
            snapshot = store.recall(accounts, whole=whole)
            return snapshot, self._aligned(snapshot, now), store.booked(boot) if boot else [], store.open_intents()

        snapshot, (histories, restarts), booked, intents = await self.writer.ask(load)
        self.zones = {**self.zones, **snapshot.zones}
        self.silences = self._silences_told = snapshot.silences
        for zone_id, unread in snapshot.unread.items():
            if zone_id in self._packs or zone_id in self._unread:  # another account watches it as well
                for known in self._values(unread).values():
                    self._set(known)
            else:
                self._unread[zone_id] = unread
                self._revisions[zone_id] = self._revisions.get(zone_id, 0) + 1
        for known in snapshot.packs.values():
            self._set(known)
        zones = {zone.id for zone in snapshot.zones.values()} | {zone_id for zone_id, _ in snapshot.packs}
        zones |= snapshot.unread.keys()
        self._take({key: each for key, each in self._histories.items() if key[0] not in zones} | histories)
        self.revision += 1
        ahead = self._ahead(now)
        for account, until, requests in booked:
            if accounts is None or account in accounts:
                self.booked.setdefault(account, []).append((until - ahead, requests))
        for account in accounts or ():  # it was this process's before, perhaps
            self.booked.setdefault(account, []).extend(self._unwritten.get(account, ()))
        if accounts is not None:
            intents = [(number, intent) for number, intent in intents if intent.account in accounts]
            restarts = [(account, at) for account, at in restarts if account in accounts]
        return Recalled(intents, restarts)

    def _boot(self, now: Anchor) -> str:
        """What bookings are counted by: the seconds of one boot or, where machines share them, the database's clock."""
        return SHARED if self._store.shared else now.boot

    def _ahead(self, now: Anchor) -> float:
        """By how many seconds the clock that bookings are stored by is ahead of the monotonic one."""
        return now.at.timestamp() - now.monotonic if self._store.shared else 0.0

    def observe_clock(self, now: Anchor) -> timedelta:
        """By how much the clock was set since this was last asked: whatever is waited for here moves with it."""
        step = now.step_since(self._set_at)
        self.writer.set_clock(now, step)
        if step:
            self._set_at = now
            self._take(shifted(self._histories, step))
            if self._store.shared:  # nobody else moves what is stored
                self.writer.changes.histories.update(self._histories)
            self.lost = self.lost and replace(self.lost, at=self.lost.at + step)
        return step

    async def refresh(self) -> Restarts:
        """Take over what another process (the ``restart`` command) has written since; gives the restarts of the hour.

        A disk that cannot be read is no reason to stop looking: what the process knows stands, ``writer.error`` says
        why, and an intent still meets what is stored.
        """
        writer = self.writer
        try:
            if not await writer.ask(self._store.changed_elsewhere):
                return []
            async with writer.writing:  # what changes meanwhile stays in ``changes``
                await writer.write()
                # In one go: what is stored meanwhile by an intent is in both or in neither.
                moment = writer.moment
                while True:
                    fence = self._tenure.fence()
                    accounts = None if fence is None else list(fence.epochs)
                    (stored, restarts), self.silences = await writer.ask(partial(self._stored, moment, accounts))
                    if fence == self._tenure.fence():
                        break  # else it is also of accounts that went meanwhile
                self._count(await writer.ask(lambda: self._store.booked(self._boot(moment))), moment)
        except StateError as error:
            writer.error = str(error)
            return []
        step = writer.moment.step_since(moment)  # it was set while that was read
        stored = shifted(stored, step)
        for key, history in writer.changes.histories.items():  # not written yet, and not older than a restart elsewhere
            if (history.last_restart_at or NEVER) >= (stored.get(key, UNTROUBLED).last_restart_at or NEVER):
                stored[key] = history
        self._take({key: history for key, history in stored.items() if history != UNTROUBLED})
        return [(account, at + step) for account, at in restarts]

    def _count(self, booked: Iterable[Booked], now: Anchor) -> None:
        """Note what was booked in all, as a command beside this process books as well.

        Where bookings are by the database's clock, one's own are not told apart from others, but for those unwritten.
        """
        found: dict[str, Counter[tuple[float, int]]] = {}
        for account, until, requests in booked:
            if self._tenure.keeps(account):
                found.setdefault(account, Counter())[until - self._ahead(now), requests] += 1
        for account, all_there_are in found.items():
            mine = Counter(self.booked.get(account, ()))
            if all_there_are - mine:
                unwritten = Counter(self._unwritten.get(account, ()))
                union = all_there_are + unwritten if self._store.shared else all_there_are | mine
                self.booked[account] = sorted(union.elements())
                self.booked_elsewhere.add(account)

    async def follow_silences(self, now: datetime) -> list[Event]:
        """Forget silences whose time is over; gives what is new of all since this was last asked."""
        over = [each for each in self.silences if not each.holds(now)]
        if over and await self.writer.attempt(lambda: self._store.end_silences(over, now)):
            self.silences = tuple(each for each in self.silences if each not in over)
        before, self._silences_told = self._silences_told, self.silences
        added = [Event.silence_added(each, now) for each in self.silences if each not in before]
        return added + [Event.silence_ended(each, now) for each in before if each not in self.silences]

    def _stored(
        self, moment: Anchor, accounts: Collection[str] | None
    ) -> tuple[tuple[dict[PackKey, History], Restarts], tuple[Silence, ...]]:
        snapshot = self._store.tried(accounts)
        return self._aligned(snapshot, moment), snapshot.silences

    def _aligned(self, snapshot: Snapshot, now: Anchor) -> tuple[dict[PackKey, History], Restarts]:
        """The stored histories and the restarts of the last hour, by the clock of ``now``."""
        step = NO_STEP if snapshot.anchor is None else now.step_since(snapshot.anchor)
        restarts = self._store.restarts_since(now.at - step - RESTARTS_OF)
        return shifted(snapshot.histories, step), [(account, at + step) for account, at in restarts]

    async def book(self, account: str, requests: int, until: float, forget_before: float) -> bool:
        """Note that an account may send so many requests ``until`` then, so that the next process knows.

        If that cannot be written, which makes this False, this process counts all the same.
        """
        for known in (self.booked, self._unwritten):
            if account in known:
                known[account] = [booking for booking in known[account] if booking[0] >= forget_before]
        # A reload may take the account away, and bring it again.
        self.booked.setdefault(account, []).append((until, requests))
        boot, ahead, fence = self._boot(self.writer.moment), self._ahead(self.writer.moment), self.writer.fence(account)
        written = await self.writer.attempt(
            lambda: self._store.book(account, boot, until + ahead, requests, forget_before + ahead, fence)
        )
        if not written:
            self._unwritten.setdefault(account, []).append((until, requests))
        return written

    # ── what is known ────────────────────────────────────────────────────────────────────────────────────────────

    def history(self, pack: Pack) -> History:
        """What was tried for this pack since it was last well."""
        return self._histories.get(pack.key, UNTROUBLED) if self._histories else UNTROUBLED

    @property
    def lost_at(self) -> datetime | None:
        """When the state before this one was lost, if one was."""
        return self.lost.at if self.lost else None

    def of(self, zone: ZoneRef) -> Known:
        """All that a look at this zone is held against."""
        before = self.zones.get(zone.key) or ZoneMemory(account=zone.account, label=zone.label)
        return Known(before, self._of(zone.id), self._histories)

    def zone(self, zone: ZoneRef) -> ZoneMemory:
        """What is known of this zone; empty when it was never looked at."""
        return self.zones.get(zone.key) or ZoneMemory(account=zone.account, label=zone.label, id=zone.id)

    def zone_id(self, zone: ZoneRef) -> str:
        """The id this zone had when it was last seen; empty when it never was."""
        known = self.zones.get(zone.key)
        return known.id if known else ""

    def read(self) -> Iterator[Remembered]:
        """Every pack, but those that were well when they were stored and whose zone nobody has asked for yet."""
        packs = chain(self._packs.values(), (unread.unwell for unread in self._unread.values()))
        return (known for each in packs for known in each.values())

    def packs_of(self, zone: ZoneRef | ZoneMemory) -> list[Remembered]:
        """The packs remembered of one zone; in any thread."""
        known, (account, label) = self.zones.get(zone.key), zone.key
        if not known or not known.id:
            return []
        unread = self._unread.get(known.id)  # asked for first: it is taken away once the others are there
        packs = self._packs.get(known.id, {}) if unread is None else self._values(unread)
        # Copied in one step, as others may change it meanwhile.
        return [pack for pack in list(packs.values()) if pack.account == account and pack.zone == label]

    def packs_in(self, zone: ZoneMemory) -> ZonePacks:
        """The same with their histories: the very same value until something else is known of them; in any thread."""
        revision = self._revisions.get(zone.id, 0)  # before what is known: what changes meanwhile makes it another
        summed, unread = self._summed.get(zone.key), self._unread.get(zone.id)
        if summed is not None and summed[:2] == (zone.id, revision):
            return summed[2]
        if unread is not None and (unread.account, unread.zone) == zone.key:
            unwell = [(known, self.history(known.pack)) for known in unread.unwell.values()]
            take = partial(self._entries, unread, unwell)
            packs = ZonePacks(zone.key, zone.id, unread.statuses, unwell, unread.ends, take)
        else:
            packs = ZonePacks.of(
                zone.key, zone.id, [(known, self.history(known.pack)) for known in self.packs_of(zone)]
            )
        self._summed[zone.key] = zone.id, revision, packs
        return packs

    def known(self, pack: Pack) -> Remembered | None:
        """The pack as it was remembered after its last look."""
        return self._of(pack.zone_id).get(pack.id)

    def _of(self, zone_id: str) -> dict[str, Remembered]:
        """The packs of a zone, which is read if it was not yet; in the loop's thread."""
        if (unread := self._unread.get(zone_id)) is not None:
            self._packs[zone_id] = self._values(unread)
            del self._unread[zone_id]
        return self._packs.get(zone_id, {})

    def _changed(self, key: PackKey) -> None:
        """Something else is known of this pack, or was tried for it."""
        zone_id, pack_id = key
        unread = self._unread.get(zone_id)
        if unread is not None and pack_id not in unread.unwell:
            self._of(zone_id)
        self._revisions[zone_id] = self._revisions.get(zone_id, 0) + 1
        self.revision += 1

    def _take(self, histories: dict[PackKey, History]) -> None:
        """These are all there are."""
        before, self._histories = self._histories, histories
        for key in before.keys() | histories.keys():
            if before.get(key) != histories.get(key):
                self._changed(key)

    def _entries(self, unread: Unread, unwell: list[Entry]) -> list[Entry]:
        well = (known for pack_id, known in self._values(unread).items() if pack_id not in unread.unwell)
        return [*unwell, *((known, UNTROUBLED) for known in well)]

    def _set(self, known: Remembered) -> None:
        zone_id, pack_id = key = known.pack.key
        self._of(zone_id)
        self._packs.setdefault(zone_id, {})[pack_id] = known
        self._changed(key)

    def _values(self, unread: Unread) -> dict[str, Remembered]:
        """The packs of a zone that was not read. The daemon ends soon where they make no sense.

        Raises ``StateError`` where they cannot be read: nothing may take them for unknown.
        """
        try:
            return unread.known
        except SENSELESS as error:
            self.writer.error = str(self._store.found_senseless(error))
            return {}

    def read_ahead(self) -> None:
        """Read what was left on the disk, so that a disk that fails or hangs later is no matter; in any thread.

        Of a zone that cannot be read the look tells.
        """
        for unread in list(self._unread.values()):
            with suppress(StateError):
                self._values(unread)

    def pinned(self, zone: ZoneRef) -> dict[str, Identity]:
        """What the packs are that the configuration names by their ids, as far as they were ever seen."""
        if not zone.packs:
            return {}
        named = ((canonical_id(known.pack.id), known.pack) for known in self.packs_of(zone))
        return {key: pack.identity for key, pack in named if key in zone.packs and pack.hosts}

    def unwell(self, zone: ZoneRef) -> Sequence[Entry]:
        """The packs of a zone that are not well or were tried, with what was tried for them."""
        known = self.zones.get(zone.key)
        if known is None or not known.id:
            return ()
        unread = self._unread.get(known.id)
        return () if unread is not None and not unread.unwell else self.packs_in(known).unwell

    def troubled(self, zone: ZoneRef) -> bool:
        """Whether a pack of the zone is in trouble, was just restarted, or is being worked on."""
        return any(_wants_attention(known) for known, _ in self.unwell(zone))

    async def journal_of(self, pack: Pack, most: int) -> list[JournalLine]:
        """The newest lines about one pack, newest first."""
        return await self.writer.ask(lambda: self._store.journal_of(pack.zone_id, pack.id, most))

    async def events(self, query: JournalQuery) -> list[tuple[int, JournalLine]]:
        """The lines of the journal that are wanted with their numbers, newest first. Raises ``StateError``."""
        return await self.writer.ask(lambda: self._store.journal(query))

    # ── what is noted ────────────────────────────────────────────────────────────────────────────────────────────

    def apply(self, difference: Difference) -> None:
        """Keep what one look changed."""
        if difference.zone is not None:
            self._note_move(difference.zone)
            self.zones[difference.zone.key] = difference.zone
            self.writer.changes.zones.append(difference.zone)
        for key, history in difference.histories.items():
            self._set_history(key, history)
        for key in difference.forgotten:
            self._forget(key)
        for known in difference.packs:
            self._put(known.pack.zone_id, [known])
        self.revision += 1

    def conclude(
        self, zone: ZoneRef, pack: Pack, decision: Decision, now: datetime, diagnosis: Diagnosis | None = None
    ) -> bool:
        """Note what was decided of a pack. True when the decision is another than at the last look.

        Without a new ``diagnosis`` the last one stays, until the pack is well.
        """
        then = self.known(pack)
        known = self._concluded(zone, pack, then, decision, now, diagnosis)
        if known is None:
            return False
        self._put(pack.zone_id, [known])
        return then is None or (then.decision.do, then.decision.reason) != (decision.do, decision.reason)

    def conclude_well(self, zone: ZoneRef, packs: Sequence[Pack], decision: Decision, now: datetime) -> None:
        """As ``conclude`` for packs of one zone that are well. In a first pass that is every pack of the fleet."""
        if packs:
            zone_id = packs[0].zone_id
            then = self._of(zone_id).get
            concluded = [self._concluded(zone, pack, then(pack.id), decision, now, None) for pack in packs]
            self._put(zone_id, [known for known in concluded if known is not None])

    def _concluded(
        self,
        zone: ZoneRef,
        pack: Pack,
        then: Remembered | None,
        decision: Decision,
        now: datetime,
        diagnosis: Diagnosis | None,
    ) -> Remembered | None:
        """What is to be remembered of a pack in place of what was known ``then``; ``None`` where that says it all."""
        since = now
        if then is not None:
            if then.pack.status == pack.status:
                since = then.since
            last = then.diagnosis
            if diagnosis is None and pack.status not in HEALTHY:
                diagnosis = last
            if diagnosis is not last:
                self.writer.changes.diagnoses[pack.key] = diagnosis
            elif then.pack == pack and then.decision == decision and (then.account, then.zone) == zone.key:
                return None
        elif diagnosis is not None:
            self.writer.changes.diagnoses[pack.key] = diagnosis
        return Remembered(
            account=zone.account,
            zone=zone.label,
            pack=pack,
            since=since,
            seen_at=now,
            decision=decision,
            diagnosis=diagnosis,
        )

    def give_up(self, pack: Pack, now: datetime) -> None:
        """Note that no more restarts will be sent."""
        self._set_history(pack.key, self.history(pack).gave_up(now))

    def reset(self, pack: Pack) -> None:
        """A person asks for a restart: a pack that was given up starts afresh."""
        self._set_history(pack.key, self.history(pack).reset())

    def note_error(self, pack: Pack, error: str) -> None:
        """Keep the last thing that went wrong with a pack."""
        self._set_history(pack.key, replace(self.history(pack), last_error=error))

    def recall_history(self, key: PackKey, history: History, moment: Anchor) -> None:
        """A history is stored already, with times by the clock of ``moment``: it holds from now on."""
        history = history.shifted(self.writer.moment.step_since(moment))
        if history == UNTROUBLED:
            self._histories.pop(key, None)
        else:
            self._histories[key] = history
        self._changed(key)

    def journal(self, events: Iterable[Event]) -> None:
        """Keep what happened, for looking back."""
        for event in events:
            if event.level == DEBUG:
                continue
            self.writer.changes.journal.append(event.journal_line)

    def note_leases(self, events: Iterable[Event]) -> None:
        """Keep that leases came or went; it is written also where others hold the accounts by then."""
        self.writer.changes.of_leases += [event.journal_line for event in events]

    async def tidy(self, zones: Iterable[ZoneRef], now: datetime) -> None:
        """Forget packs that are gone or whose zone moved a week ago, zones unwatched for that long, old journal lines.

        Packs that the configuration names are kept: by what they were, the one that took their place is found.
        """
        horizon, pinned = now - FORGET_AFTER, {zone.key: zone.packs for zone in zones}
        watched = pinned.keys()
        for zone_id, unread in list(self._unread.items()):
            key = (unread.account, unread.zone)
            if key not in watched or self._has_moved(key, zone_id):
                self._of(zone_id)
        for known in list(self.read()):
            unwatched = (known.account, known.zone) not in watched and self._last_seen(known) < horizon
            named = canonical_id(known.pack.id) in pinned.get((known.account, known.zone), ())
            gone = known.pack.status in GOING_AWAY and known.since < horizon and not named
            left = known.seen_at < horizon and self._has_moved((known.account, known.zone), known.pack.zone_id)
            if unwatched or gone or left:
                self._forget(known.pack.key)
        self.zones = {key: zone for key, zone in self.zones.items() if key in watched or _last_tried(zone) >= horizon}
        self._packs = {zone_id: packs for zone_id, packs in self._packs.items() if packs}
        self._summed = {key: each for key, each in list(self._summed.items()) if key in watched}
        self.revision += 1
        await self.writer.flush()
        if self._tenure.holds(WATCHDOG):  # one is enough
            await self.writer.attempt(lambda: self._store.prune(now - KEEP_JOURNAL, horizon))

    def _note_move(self, zone: ZoneMemory) -> None:
        """Where its name stands for another id from now on, note when the packs of before were last seen.

        Their rows say when something last changed; ``tidy`` counts from here.
        """
        before = self.zones.get(zone.key)
        if before is None or before.seen_at is None or not self._has_moved(zone.key, zone.id):
            return
        theirs = [known for known in self._of(before.id).values() if (known.account, known.zone) == zone.key]
        self._put(before.id, [replace(known, seen_at=before.seen_at) for known in theirs])

    def _has_moved(self, key: tuple[str, str], zone_id: str) -> bool:
        """Whether a zone is another than this at Cloudflare by now: its name stands for another id."""
        zone = self.zones.get(key)
        return zone is not None and zone.id not in ("", zone_id)

    def _set_history(self, key: PackKey, history: History) -> None:
        before = self._histories.get(key, UNTROUBLED)
        if history == before:
            return
        self.writer.afresh |= history.attempts < before.attempts
        if history == UNTROUBLED:
            del self._histories[key]
        else:
            self._histories[key] = history
        self.writer.changes.histories[key] = history
        self._changed(key)

    def _put(self, zone_id: str, packs: Sequence[Remembered]) -> None:
        """Remember these packs of one zone from now on, and have them written."""
        if not packs:
            return
        kept = self._of(zone_id) or self._packs.setdefault(zone_id, {})
        for known in packs:
            kept[known.pack.id] = known
        self._revisions[zone_id] = self._revisions.get(zone_id, 0) + 1
        self.revision += 1
        changes = self.writer.changes
        changes.packs += packs
        if changes.forgotten:  # seen again before that was written
            again = {known.pack.key for known in packs}
            changes.forgotten = [key for key in changes.forgotten if key not in again]

    def _forget(self, key: PackKey) -> None:
        zone_id, pack_id = key
        self._of(zone_id).pop(pack_id, None)
        # It may come back, and starts afresh.
        self.writer.afresh |= self._histories.pop(key, UNTROUBLED).attempts > 0
        changes = self.writer.changes
        changes.histories[key], changes.diagnoses[key] = UNTROUBLED, None
        changes.forgotten.append(key)
        self._changed(key)

    def _last_seen(self, known: Remembered) -> datetime:
        zone = self.zones.get((known.account, known.zone))
        return zone.seen_at if zone and zone.seen_at else known.seen_at


def _last_tried(zone: ZoneMemory) -> datetime:
    return zone.tried_at or NEVER


def _wants_attention(known: Remembered) -> bool:
    if known.decision.do is Do.LEAVE:
        return known.decision.reason is Reason.IN_PROGRESS and known.pack.status not in HELD_BY_PEOPLE
    return known.decision.do is not Do.GIVE_UP
