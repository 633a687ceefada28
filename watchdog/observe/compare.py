"""What is new in a look: the events it makes, and what it changes in what is known.

Arithmetic: no I/O, no clock, no dice, no logging. From what was known of a zone and one observation to a
``Difference``, which ``cycle`` hands to ``state`` to keep and to the log to write. What is to be done about a pack is
not asked here.
"""

from dataclasses import replace
from datetime import datetime

from watchdog.model.decisions import Decision, Do
from watchdog.model.events import Event
from watchdog.model.history import UNTROUBLED, History, Remembered, ZoneMemory
from watchdog.model.observation import Difference, Known, Observation, Seen, Unseen
from watchdog.model.packs import GOING_AWAY, HEALTHY, IN_PROGRESS, VALIDATION_TIMED_OUT, Pack, ZoneRef, pack_key
from watchdog.model.reasons import Reason

GONE = Decision(Do.LEAVE, Reason.GOING_AWAY)
MISSING = Decision(Do.LEAVE, Reason.NOT_FOUND)

_QUIET = HEALTHY | IN_PROGRESS | GOING_AWAY | {VALIDATION_TIMED_OUT}
"""What is not worth a line before anybody saw it change. A restart has lines of its own."""


def compare(known: Known, observation: Observation, now: datetime, *, partial: bool = False) -> Difference:
    """What one look changes: statuses that are others, packs that are well again, packs that vanished.

    A ``partial`` look is at some packs only and says nothing of the others.
    """
    if isinstance(observation, Unseen):
        return _unseen(known.zone, observation, now)
    difference = Difference()
    for pack in observation.packs:
        then = known.packs.get(pack.id)
        if then is None:
            difference.events += _inherited(known, difference, observation.zone, pack, now) or _first_sight(
                observation.zone, pack, now
            )
        elif then.pack.status != pack.status:
            difference.events.append(Event.pack_changed(observation.zone, pack, now, before=then.pack.status))
        _follow(known, difference, observation.zone, pack, now)
    if partial:
        return difference
    zone = observation.zone
    difference.zone = ZoneMemory(zone.account, zone.label, zone.id, seen_at=now, tried_at=now)
    listed = {pack.id for pack in observation.packs}
    if observation.missing or not known.packs.keys() <= listed:
        _miss(known, difference, observation, listed, now)
    return difference


def _unseen(before: ZoneMemory, unseen: Unseen, now: datetime) -> Difference:
    """The zone keeps the id that was found for its name; the same failure again is not worth a line."""
    zone, reason, error = unseen.zone, unseen.reason, unseen.error
    event = Event.zone_unseen(zone, now, reason, error, again=before.reason == reason)
    return Difference(replace(before, id=zone.id or before.id, tried_at=now, reason=reason, error=error), [event])


def _first_sight(zone: ZoneRef, pack: Pack, now: datetime) -> list[Event]:
    return [] if pack.status in _QUIET else [Event.pack_changed(zone, pack, now, before="")]


def _history(known: Known, difference: Difference, pack: Pack) -> History:
    changed = difference.histories.get(pack.key)
    return known.histories.get(pack.key, UNTROUBLED) if changed is None else changed


def _follow(known: Known, difference: Difference, zone: ZoneRef, pack: Pack, now: datetime) -> None:
    """The history of a pack in trouble goes on with what was seen; that of a pack that is well ends."""
    before = _history(known, difference, pack)
    if before is UNTROUBLED and not pack.status.endswith("timed_out"):
        return
    after = before.after_look(pack, now)
    if after != before:
        difference.histories[pack.key] = after
    if after == UNTROUBLED and before.trouble_since is not None:
        took = now - before.trouble_since
        difference.events.append(Event.recovered(zone, pack, now, after=took, restarts=before.attempts))


def _inherited(known: Known, difference: Difference, zone: ZoneRef, pack: Pack, now: datetime) -> list[Event]:
    """A pack of another id but of the same hosts, CA and type as one that was restarted: its attempts count on."""
    if not known.histories or not pack.hosts or _history(known, difference, pack) != UNTROUBLED:
        return []
    tried = [
        (history.last_restart_at, old, history)
        for old in known.packs.values()
        if (history := _history(known, difference, old.pack)).last_restart_at is not None
        and old.pack.identity == pack.identity
    ]
    if not tried:
        return []
    _, old, history = max(tried, key=lambda each: each[0])
    difference.histories[pack.key] = history
    return [Event.pack_changed(zone, pack, now, before=old.pack.status, previous_pack_id=old.pack.id)]


def _miss(known: Known, difference: Difference, seen: Seen, listed: set[str], now: datetime) -> None:
    """Packs that were there and are not, and packs the configuration asks for that never were."""
    zone, last_seen = seen.zone, known.zone.seen_at or now
    missing = {pack_key(pack_id): pack_id for pack_id in seen.missing}
    identities = {pack.identity for pack in seen.packs if pack.status not in GOING_AWAY}
    for pack_id, then in known.packs.items():
        if pack_id in listed:
            continue
        key = pack_key(pack_id)
        wanted = missing.pop(key, None) is not None
        if (then.account, then.zone) != zone.key or (zone.packs and key not in zone.packs):
            continue
        if then.decision == MISSING and not then.pack.status:  # it was never there
            if not wanted:  # and now it is, under the id Cloudflare gives it, or nobody asks for it
                difference.forgotten.append(then.pack.key)
        elif then.pack.identity in identities and then.pack.hosts:
            difference.forgotten.append(then.pack.key)  # the same pack lives on under another id
        elif then.pack.status not in GOING_AWAY:
            gone = replace(then.pack, status="deleted")
            difference.events.append(Event.pack_changed(zone, gone, now, before=then.pack.status))
            decision = MISSING if wanted else GONE
            difference.packs.append(replace(then, pack=gone, since=now, seen_at=last_seen, decision=decision))
    for pack_id in missing.values():
        nowhere = Pack(pack_id, zone.id, type="", status="", hosts=())
        difference.packs.append(Remembered(zone.account, zone.label, nowhere, now, now, MISSING))
        error = f"pack {pack_id} of the configuration is not among the packs of this zone"
        difference.events.append(Event.zone_unseen(zone, now, Reason.NOT_FOUND, error, pack=nowhere))
