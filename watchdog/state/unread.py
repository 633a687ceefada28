"""Packs as they lie in the database, zone by zone, made into values when somebody asks for them.

Of a pack that is well, a start needs nothing but that it is so; and nearly all packs are. The database gives those of
each zone as one text, or counts them and keeps them, with what has to be known of them at once. ``store`` reads them,
``memory`` keeps them until their zone is looked at. The statements are ones that SQLite and PostgreSQL both understand,
but for how rows become a text, which ``database`` says.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from functools import cached_property, partial
from itertools import chain

import msgspec

from watchdog.model.decisions import Do
from watchdog.model.findings import Diagnosis
from watchdog.model.history import Remembered
from watchdog.model.pack_ids import PackKey
from watchdog.model.packs import HEALTHY
from watchdog.model.reasons import Reason
from watchdog.state.rows import COLUMNS, Ask, AsText, maybe_from_micros, packs_from, packs_of

SENSELESS = (ValueError, TypeError, OverflowError, msgspec.MsgspecError)
"""What is raised where a text makes no sense."""

_STATUSES = sorted(HEALTHY)
_IS_WELL = f"reason = 'healthy' AND \"do\" = 'leave' AND ({' OR '.join(f'status = {each!r}' for each in _STATUSES)})"
_COUNTS = ", ".join(f"count(CASE WHEN status = {each!r} THEN 1 END)" for each in _STATUSES)

_OWN = tuple(each for each in COLUMNS if each not in ("zone_id", "account", "zone", '"do"', "reason"))
"""The columns in which packs of one zone that are well differ: less to read, and to keep, by a third."""

_Own = tuple[str, str, str, str, str, int | None, str, int, int, int | None, int, int | None]
_own_rows = msgspec.json.Decoder(list[_Own]).decode


Take = Callable[[Mapping[PackKey, Diagnosis]], dict[PackKey, Remembered]]
"""Gives packs, with what was found of them."""


class Unread:
    """The packs of one zone, those of them that are well unread, and what is known of these all the same.

    ``unwell`` are the others, by their ids; ``statuses`` counts all packs; ``ends`` is the first end of a certificate
    among those that are well.
    """

    def __init__(
        self,
        account: str,
        zone: str,
        statuses: Mapping[str, int],
        unwell: dict[str, Remembered],
        ends: datetime | None,
        take: Take,
    ) -> None:
        """``take`` gives at least the packs that are well."""
        self.account = account
        self.zone = zone
        self.statuses = statuses
        self.unwell = unwell
        self.ends = ends
        self._take = take

    @cached_property
    def known(self) -> dict[str, Remembered]:
        """All packs by their ids. Raises ``StateError`` or one of ``SENSELESS``."""
        return {pack_id: known for (_, pack_id), known in self.read({}).items()} | self.unwell

    def read(self, found: Mapping[PackKey, Diagnosis]) -> dict[PackKey, Remembered]:
        """Those that are well, with what was found of them. Raises ``StateError`` or one of ``SENSELESS``."""
        return {key: known for key, known in self._take(found).items() if key[1] not in self.unwell}


def load(
    ask: Ask,
    rows_as_text: AsText,
    of_accounts: Iterable[tuple[str, Mapping[str, str]]],
    found: Mapping[PackKey, Diagnosis],
    tried: Collection[PackKey],
    aside: Ask | None = None,
) -> tuple[dict[PackKey, Remembered], dict[str, Unread]]:
    """The packs of some accounts: of each zone those that are well unread, or all read.

    ``of_accounts`` are the conditions that choose them, each with what it names, as ``survey.of_accounts`` gives them.

    Where there is an ``aside``, those that are well stay on the disk, and it is asked for them in any thread: as they
    are by then. Nobody but this process writes to them, and it reads them first.

    All are read of a zone with a pack that is well and of which something was ``found`` or ``tried``, of one that was
    seen under several names, and of one in which none is well. Raises one of ``SENSELESS``.
    """
    of_packs = f"SELECT {rows_as_text(COLUMNS, 'TRUE')} FROM packs"
    own = rows_as_text(_OWN, "TRUE") if aside is None else "''"
    counted = f"min(account), max(account), min(zone), max(zone), min(expires_at), {_COUNTS}"
    of_zones = f"SELECT zone_id, {counted}, {own} FROM packs"
    of_zone = f"{of_packs} WHERE zone_id = :zone_id"
    unread: dict[str, Unread] = {}
    packs: dict[PackKey, Remembered] = {}
    for where, places in of_accounts:
        ((text,),) = ask(f"{of_packs}{where} AND NOT ({_IS_WELL})", **places)
        unwell: dict[str, dict[str, Remembered]] = {}
        for (zone_id, pack_id), known in packs_of(text, found).items():
            unwell.setdefault(zone_id, {})[pack_id] = known
        several = []
        for row in ask(f"{of_zones}{where} AND {_IS_WELL} GROUP BY zone_id", **places):
            zone_id, account, other_account, zone, other_zone, ends, *counts, text = row
            others = unwell.pop(zone_id, {})
            names = [(other_account, other_zone), *((known.account, known.zone) for known in others.values())]
            if zone_id in unread or any(name != (account, zone) for name in names):
                several.append(zone_id)
                continue
            statuses = {status: count for status, count in zip(_STATUSES, counts, strict=True) if count}
            for known in others.values():
                statuses[known.pack.status] = statuses.get(known.pack.status, 0) + 1
            take = partial(_stored, aside, of_zone, zone_id) if aside else partial(_well, zone_id, account, zone, text)
            unread[zone_id] = Unread(account, zone, statuses, others, maybe_from_micros(ends), take)
        for zone_id in several:
            ((text,),) = ask(f"{of_packs}{where} AND zone_id = :zone_id", zone_id=zone_id, **places)
            packs |= packs_of(text, found)
        packs |= {(zone_id, each): known for zone_id, others in unwell.items() for each, known in others.items()}
    for zone_id, pack_id in chain(found, tried):
        if zone_id in unread and pack_id not in unread[zone_id].unwell:
            whole = unread.pop(zone_id)
            packs |= whole.read(found) | {(zone_id, each): known for each, known in whole.unwell.items()}
    return packs, unread


def _well(
    zone_id: str, account: str, zone: str, text: str, found: Mapping[PackKey, Diagnosis]
) -> dict[PackKey, Remembered]:
    """The packs that are well, of what they differ in."""
    rows = (
        (zone_id, pack_id, account, zone, *own, since, seen, Do.LEAVE, Reason.HEALTHY, until, days, uploaded)
        for pack_id, *own, since, seen, until, days, uploaded in _own_rows(text)
    )
    return packs_from(rows, found)


def _stored(aside: Ask, said: str, zone_id: str, found: Mapping[PackKey, Diagnosis]) -> dict[PackKey, Remembered]:
    """All packs of a zone, as they are stored now."""
    ((text,),) = aside(said, zone_id=zone_id)
    return packs_of(text, found)
