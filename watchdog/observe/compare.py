"""What is new in a look: the events it makes, and what it changes in what is known.

Arithmetic: no I/O, no clock, no dice, no logging. From what was known of a zone and one observation to a
``Difference``, which ``ledger`` hands to ``state`` to keep and to the log to write. What is to be done about a pack is
not asked here.
"""

from datetime import datetime

from msgspec.structs import replace

from watchdog.model.decisions import Decision, Do
from watchdog.model.events import Event
from watchdog.model.history import UNTROUBLED, History, Remembered, ZoneMemory
from watchdog.model.observation import Difference, Known, Observation, Seen, Unseen
from watchdog.model.pack_ids import canonical_id
from watchdog.model.packs import (
    DEPLOYED,
    GOING_AWAY,
    HEALTHY,
    IN_PROGRESS,
    UNDEPLOYED,
    VALIDATION_TIMED_OUT,
    Identity,
    Pack,
    ZoneRef,
)
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
    difference, listed = Difference(), {pack.id: pack for pack in observation.packs}
    if known.packs and not partial and _moved(known, listed):
        _succeed(known, difference, observation.zone, listed, now)
    for pack in observation.packs:
        then = known.packs.get(pack.id)
        if then is None:
            _inherit(known, difference, pack)
            difference.events += _first_sight(observation.zone, pack, now)
        elif then.pack.status != pack.status:
            difference.events.append(Event.pack_changed(observation.zone, pack, now, before=then.pack.status))
        _follow(known, difference, observation.zone, pack, now)
    if partial:
        return difference
    zone = observation.zone
    difference.zone = ZoneMemory(account=zone.account, label=zone.label, id=zone.id, seen_at=now, tried_at=now)
    if observation.missing or not known.packs.keys() <= listed.keys():
        _miss(known, difference, observation, listed, now)
    return difference


def _moved(known: Known, listed: dict[str, Pack]) -> bool:
    """Whether a pack came, went or is going, so that one may stand in the place of another."""
    return listed.keys() != known.packs.keys() or any(pack.status in GOING_AWAY for pack in listed.values())


def _unseen(before: ZoneMemory, unseen: Unseen, now: datetime) -> Difference:
    """The zone keeps the id that was found for its name; the same failure again is not worth a line."""
    zone, reason, error = unseen.zone, unseen.reason, unseen.error
    event = Event.zone_unseen(zone, now, reason, error, again=before.reason == reason)
    return Difference(
        zone=replace(before, id=zone.id or before.id, tried_at=now, reason=reason, error=error), events=[event]
    )


def _first_sight(zone: ZoneRef, pack: Pack, now: datetime) -> list[Event]:
    return [] if pack.status in _QUIET else [Event.pack_changed(zone, pack, now, before="")]


def _history(known: Known, difference: Difference, pack: Pack) -> History:
    changed = difference.histories.get(pack.key)
    return known.histories.get(pack.key, UNTROUBLED) if changed is None else changed


def _follow(known: Known, difference: Difference, zone: ZoneRef, pack: Pack, now: datetime) -> None:
    """The history of a pack in trouble goes on with what was seen; that of a pack that is well ends."""
    if not pack.status.endswith("timed_out") and not known.histories and not difference.histories:
        return
    before = _history(known, difference, pack)
    if before is UNTROUBLED and not pack.status.endswith("timed_out"):
        return
    after = before.after_look(pack, now)
    if after != before:
        difference.histories[pack.key] = after
    if after == UNTROUBLED and before.trouble_since is not None:
        took = now - before.trouble_since
        difference.events.append(Event.recovered(zone, pack, now, after=took, restarts=before.attempts))


def _inherit(known: Known, difference: Difference, pack: Pack) -> None:
    """A pack of another id but of the same identity as one that was restarted: its attempts count on."""
    if not known.packs or not known.histories or not pack.hosts or pack.status in UNDEPLOYED | GOING_AWAY:
        return
    if _history(known, difference, pack) != UNTROUBLED:
        return
    tried = [
        (history.last_restart_at, history)
        for old in known.packs.values()
        if (history := _history(known, difference, old.pack)).last_restart_at is not None
        and old.pack.identity == pack.identity
    ]
    if tried:
        difference.histories[pack.key] = max(tried, key=lambda each: each[0])[1]


def _succeed(known: Known, difference: Difference, zone: ZoneRef, listed: dict[str, Pack], now: datetime) -> None:
    """Packs whose place another of the same identity has taken: ids do not last, a renewal or reissue brings new ones.

    The old one is gone or going, the new one is deployed or on the way there. Both may have been there for a while; or
    the old one went first.
    """
    living = (pack for pack in listed.values() if pack.hosts and pack.status not in GOING_AWAY | UNDEPLOYED)
    # The last of each identity counts. One that has just come goes before one that has been there: it is what a restart
    # made of the old one, whose attempts are to count on.
    by_claim = sorted(living, key=lambda pack: (pack.id not in known.packs, pack.status in DEPLOYED))
    successors = {pack.identity: pack for pack in by_claim}
    mine = [then for then in known.packs.values() if (then.account, then.zone) == zone.key]
    replaced: set[Identity] = set()
    for then in sorted(mine, key=lambda then: (then.pack.status not in GOING_AWAY, then.since), reverse=True):
        old, new = then.pack, successors.get(then.pack.identity)
        if new is None or (old.id in listed and listed[old.id].status not in GOING_AWAY):
            continue
        if old.status in GOING_AWAY and (new.id in known.packs or old.identity in replaced):
            continue  # it went before, and was replaced then, or by another than the last
        replaced.add(old.identity)
        _hand_over(known, difference, zone, old, new, now)


def _hand_over(known: Known, difference: Difference, zone: ZoneRef, old: Pack, new: Pack, now: datetime) -> None:
    difference.events.append(Event.pack_replaced(zone, new, now, old))
    history = _history(known, difference, old)
    if history != UNTROUBLED and _history(known, difference, new) == UNTROUBLED:
        difference.histories[new.key], difference.histories[old.key] = history, UNTROUBLED


def renamed(known: Known, zone: ZoneRef, old: Pack, new: Pack, now: datetime) -> Difference:
    """What changes when the answer to a restart shows the pack under another id."""
    difference = Difference()
    _hand_over(known, difference, zone, old, new, now)
    then = known.packs.get(old.id)
    if then is not None:
        _let_go(difference, zone, then, now, now)
    return difference


def _let_go(difference: Difference, zone: ZoneRef, then: Remembered, now: datetime, last_seen: datetime) -> None:
    """A pack lives on under another id. One that the configuration names is kept, so that its identity stays known."""
    if canonical_id(then.pack.id) not in zone.packs:
        difference.forgotten.append(then.pack.key)
    elif then.pack.status not in GOING_AWAY:
        gone = replace(then.pack, status="deleted")
        left = replace(then, pack=gone, since=now, seen_at=last_seen, decision=GONE)
        difference.packs.append(left)


def _miss(known: Known, difference: Difference, seen: Seen, listed: dict[str, Pack], now: datetime) -> None:
    """Packs that were there and are not, and packs the configuration names, by id or hosts, that never were."""
    zone, last_seen = seen.zone, known.zone.seen_at or now
    missing = {canonical_id(pack_id): pack_id for pack_id in seen.missing}
    pinned = {
        canonical_id(pack_id): then.pack.identity
        for pack_id, then in known.packs.items()
        if canonical_id(pack_id) in zone.packs and then.pack.hosts
    }
    unfound = {pinned[key] for key in missing if key in pinned}
    identities = {pack.identity for pack in seen.packs if pack.status not in GOING_AWAY | UNDEPLOYED}
    for pack_id, then in known.packs.items():
        if pack_id in listed:
            continue
        key = canonical_id(pack_id)
        wanted = missing.pop(key, None) is not None or then.pack.identity in unfound
        if (then.account, then.zone) != zone.key:
            continue
        named = zone.whole or zone.names(then.pack) or then.pack.identity in pinned.values()
        if then.decision == MISSING and not then.pack.status:  # it was never there
            if not wanted:  # and now it is, under the id Cloudflare gives it, or nobody asks for it
                difference.forgotten.append(then.pack.key)
        elif not named:
            continue
        elif then.pack.identity in identities and then.pack.hosts:  # as the deployed one, or on the way there
            _let_go(difference, zone, then, now, last_seen)
        elif then.pack.status not in GOING_AWAY:
            gone = replace(then.pack, status="deleted")
            difference.events.append(Event.pack_changed(zone, gone, now, before=then.pack.status))
            decision = MISSING if wanted else GONE
            left = replace(then, pack=gone, since=now, seen_at=last_seen, decision=decision)
            difference.packs.append(left)
    for pack_id in missing.values():
        nowhere = Pack(id=pack_id, zone_id=zone.id, type="", status="", hosts=())
        difference.packs.append(
            Remembered(account=zone.account, zone=zone.label, pack=nowhere, since=now, seen_at=now, decision=MISSING)
        )
        error = f"pack {pack_id} of the configuration is not among the packs of this zone"
        difference.events.append(Event.zone_unseen(zone, now, Reason.NOT_FOUND, error, pack=nowhere))
