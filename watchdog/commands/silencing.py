"""The ``silence`` command: adds, lists and expires silences in the state, also beside a running daemon.

Each function gives values and prints nothing. It needs no network and no credential: a zone or pack is found among
those that are remembered.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from itertools import islice

from msgspec.structs import replace

from watchdog.model.history import Remembered
from watchdog.model.names import canonical
from watchdog.model.pack_ids import SHORTEST_PREFIX, canonical_id, meant
from watchdog.model.packs import Pack
from watchdog.model.silences import Silence
from watchdog.model.text import clean
from watchdog.state.store import Store

LONGEST_COMMENT = 200


class CannotSilence(Exception):
    """What was asked for cannot be done; ``str()`` says why."""


def add(store: Store, zone: str, pack: str, lasting: timedelta, comment: str, now: datetime) -> list[Silence]:
    """Silence a zone, or one pack of it given by its id or how that begins. One for each account that watches it.

    Raises ``CannotSilence``.
    """
    snapshot, wanted = store.load(), canonical(zone)
    zones = [each for each in snapshot.zones.values() if wanted in (canonical(each.label), each.id)]
    if not zones:
        raise CannotSilence(f"no zone {clean(zone, 100)} is remembered; zones are named as in `status`")
    comment = clean(comment, LONGEST_COMMENT)
    if not comment:
        raise CannotSilence("say in --comment why: whoever sees the silence has to know")
    of_zones = [
        Silence(account=each.account, zone=each.label, zone_id=each.id, at=now, until=now + lasting, comment=comment)
        for each in zones
    ]
    if not pack:
        return [store.add_silence(each) for each in of_zones]
    keys = {each.key for each in zones}
    there = [known for known in snapshot.packs.values() if (known.account, known.zone) in keys]
    one = _one(there, pack, zones[0].label)
    watching = {known.account for known in there if known.pack.id == one.id}
    found = [replace(each, pack_id=one.id, pack=one.lasting_name) for each in of_zones if each.account in watching]
    return [store.add_silence(each) for each in found]


def listed(store: Store, now: datetime) -> list[Silence]:
    """The silences that hold, in the order they end."""
    return sorted((each for each in store.silences() if each.holds(now)), key=lambda each: (each.until, each.id))


def expire(store: Store, number: int, now: datetime) -> Silence:
    """End the silence of this id now. Raises ``CannotSilence`` where there is none."""
    ended = store.end_silences([each for each in store.silences() if each.id == number], now)
    if not ended:
        raise CannotSilence(f"there is no silence {number}; `silence list` shows those there are")
    return ended[0]


def _one(packs: Sequence[Remembered], prefix: str, zone: str) -> Pack:
    """The pack that is meant, in whichever of the accounts that watch the zone it is."""
    shown, ids = clean(prefix, 100), meant([known.pack.id for known in packs], prefix)
    found = {known.pack.id: known for known in packs if known.pack.id in ids}
    if len(found) == 1:
        [known] = found.values()
        return known.pack
    if not found and len(canonical_id(prefix)) < SHORTEST_PREFIX:
        raise CannotSilence(f"pack {shown}: at least {SHORTEST_PREFIX} characters of its id are needed")
    if found:
        raise CannotSilence(
            f"{len(found)} packs of zone {zone} begin with {shown}, so give more of the id: {_named(found.values())}"
        )
    raise CannotSilence(f"zone {zone} has no pack {shown} that is remembered; `status` shows those there are")


def _named(packs: Collection[Remembered]) -> str:
    """The first few, each with its account where they are of several."""
    accounts = {known.account for known in packs}
    return ", ".join(
        f"{known.pack.id} (account {known.account})" if len(accounts) > 1 else known.pack.id
        for known in islice(packs, 5)
    )
