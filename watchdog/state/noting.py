"""What a look or a decision changes in what is known: known at once, and handed to the ``writer`` for the disk.

What a look changes comes as a ``Difference`` (``observe.compare``), what was decided as a ``Decision`` (``decide``).
Nothing here waits for the disk, and nothing decides. ``Memory`` inherits it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

from msgspec.structs import replace

from watchdog.model.clock import Anchor
from watchdog.model.decisions import Decision
from watchdog.model.event_names import DEBUG
from watchdog.model.events import Event
from watchdog.model.findings import Diagnosis
from watchdog.model.history import UNTROUBLED, History, Remembered, ZoneMemory
from watchdog.model.observation import Difference
from watchdog.model.pack_ids import PackKey, canonical_id
from watchdog.model.packs import GOING_AWAY, HEALTHY, Pack, ZoneRef
from watchdog.state.knowledge import Knowledge
from watchdog.state.writer import NEVER, Writer


class Noting(Knowledge):
    """What is known, and how it changes."""

    def __init__(self, writer: Writer) -> None:
        super().__init__()
        self.writer = writer

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

    def write_history(self, key: PackKey) -> None:
        """The history of a pack, as it is known, is to be written."""
        self.writer.changes.histories[key] = self._histories.get(key, UNTROUBLED)

    def journal(self, events: Iterable[Event]) -> None:
        """Keep what happened, for looking back."""
        for event in events:
            if event.level == DEBUG:
                continue
            self.writer.changes.journal.append(event.journal_line)

    def note_leases(self, events: Iterable[Event]) -> None:
        """Keep that leases came or went; it is written also where others hold the accounts by then."""
        self.writer.changes.of_leases += [event.journal_line for event in events]

    def _forget_old(self, pinned: Mapping[tuple[str, str], Collection[str]], horizon: datetime) -> None:
        """What was not seen since then goes: ``pinned`` are the packs that are named in each zone that is watched."""
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

    def _note_move(self, zone: ZoneMemory) -> None:
        """Where its name stands for another id from now on, note when the packs of before were last seen.

        Their rows say when something last changed; ``tidy`` counts from here.
        """
        before = self.zones.get(zone.key)
        if before is None or before.seen_at is None or not self._has_moved(zone.key, zone.id):
            return
        theirs = [known for known in self._of(before.id).values() if (known.account, known.zone) == zone.key]
        self._put(before.id, [replace(known, seen_at=before.seen_at) for known in theirs])

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


def _last_tried(zone: ZoneMemory) -> datetime:
    return zone.tried_at or NEVER
