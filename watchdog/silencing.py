"""The ``silence`` command: adds, lists and expires silences in the state, also beside a running daemon.

Each function gives values and prints nothing. It needs no network and no credential: a zone or pack is found among
those that are remembered.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec.structs import replace

from watchdog.model.names import canonical
from watchdog.model.packs import SHORTEST_PREFIX, Pack, meant, pack_key
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
    found: list[Silence] = []
    for each in zones:
        silence = Silence(
            account=each.account, zone=each.label, zone_id=each.id, at=now, until=now + lasting, comment=comment
        )
        if pack:
            there = [
                known.pack
                for known in snapshot.packs.values()
                if (known.account, known.zone) == (each.account, each.label)
            ]
            one = _pack(there, pack, each.label)
            silence = replace(silence, pack_id=one.id, pack=one.lasting_name)
        found.append(silence)
    return [store.add_silence(each) for each in found]


def listed(store: Store, now: datetime) -> list[Silence]:
    """Those that hold, in the order they end."""
    return sorted((each for each in store.silences() if each.holds(now)), key=lambda each: (each.until, each.id))


def expire(store: Store, number: int, now: datetime) -> Silence:
    """End one now. Raises ``CannotSilence`` where it is not there."""
    ended = store.end_silences([each for each in store.silences() if each.id == number], now)
    if not ended:
        raise CannotSilence(f"there is no silence {number}; `silence list` shows those there are")
    return ended[0]


def _pack(packs: Sequence[Pack], prefix: str, zone: str) -> Pack:
    shown, ids = clean(prefix, 100), meant([pack.id for pack in packs], prefix)
    found = [pack for pack in packs if pack.id in ids]
    if len(found) == 1:
        return found[0]
    if not found and len(pack_key(prefix)) < SHORTEST_PREFIX:
        raise CannotSilence(f"pack {shown}: at least {SHORTEST_PREFIX} characters of its id are needed")
    if found:
        raise CannotSilence(
            f"{len(found)} packs of zone {zone} begin with {shown}: {', '.join(p.id for p in found[:5])}"
        )
    raise CannotSilence(f"zone {zone} has no pack {shown} that is remembered; `status` shows those there are")
