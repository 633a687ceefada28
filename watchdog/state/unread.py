"""Packs as they lie in the database, zone by zone, made into values when somebody asks for them.

Of a pack that is well, a start needs nothing but that it is so; and nearly all packs are. The database gives those of
each zone as one text, with what has to be known of them at once. ``store`` reads them, ``memory`` keeps them until
their zone is looked at. The statement is one that SQLite and PostgreSQL both understand,
but for how rows become a text, which ``database`` says.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from functools import cached_property
from itertools import chain

import msgspec

from watchdog.model.findings import Diagnosis
from watchdog.model.history import Remembered
from watchdog.model.packs import HEALTHY, PackKey
from watchdog.state.rows import COLUMNS, maybe_from_micros, packs_of
from watchdog.state.survey import Ask, AsText, of_accounts

SENSELESS = (ValueError, TypeError, OverflowError, msgspec.MsgspecError)
"""What is raised where a text makes no sense."""

_STATUSES = sorted(HEALTHY)
_IS_WELL = f"reason = 'healthy' AND \"do\" = 'leave' AND ({' OR '.join(f'status = {each!r}' for each in _STATUSES)})"
_COUNTS = ", ".join(f"count(CASE WHEN status = {each!r} THEN 1 END)" for each in _STATUSES)


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
        text: str | None,
    ) -> None:
        self.account = account
        self.zone = zone
        self.statuses = statuses
        self.unwell = unwell
        self.ends = ends
        self._text = text

    @cached_property
    def known(self) -> dict[str, Remembered]:
        """All packs by their ids. Raises one of ``SENSELESS``."""
        return {pack_id: known for (_, pack_id), known in self.read({}).items()} | self.unwell

    def read(self, found: Mapping[PackKey, Diagnosis]) -> dict[PackKey, Remembered]:
        """Those that are well, with what was found of them. Raises one of ``SENSELESS``."""
        return packs_of(self._text, found)


def load(
    ask: Ask,
    rows_as_text: AsText,
    accounts: Collection[str] | None,
    found: Mapping[PackKey, Diagnosis],
    tried: Collection[PackKey],
) -> tuple[dict[PackKey, Remembered], dict[str, Unread]]:
    """All packs, or those of some ``accounts``: of each zone those that are well unread, or all read.

    All are read of a zone with a pack that is well and of which something was ``found`` or ``tried``, and of one that
    was seen under several names. Raises one of ``SENSELESS``.
    """
    said = (
        "SELECT zone_id, min(account), max(account), min(zone), max(zone),"
        f" min(CASE WHEN {_IS_WELL} THEN expires_at END), {_COUNTS},"
        f" {rows_as_text(COLUMNS, _IS_WELL)}, {rows_as_text(COLUMNS, f'NOT ({_IS_WELL})')} FROM packs"
    )
    unread: dict[str, Unread] = {}
    packs: dict[PackKey, Remembered] = {}
    for where, places in [("", {})] if accounts is None else of_accounts(accounts):
        for row in ask(f"{said}{where} GROUP BY zone_id", **places):
            zone_id, account, other_account, zone, other_zone, ends, *counts, well, others = row
            unwell = packs_of(others, found)
            if zone_id in unread or (account, zone) != (other_account, other_zone):
                packs |= unwell | packs_of(well, found)
                continue
            statuses = {status: count for status, count in zip(_STATUSES, counts, strict=True) if count}
            for known in unwell.values():
                if (status := known.pack.status) not in HEALTHY:
                    statuses[status] = statuses.get(status, 0) + 1
            of_zone = {pack_id: known for (_, pack_id), known in unwell.items()}
            unread[zone_id] = Unread(account, zone, statuses, of_zone, maybe_from_micros(ends), well)
    for zone_id, pack_id in chain(found, tried):
        if zone_id in unread and pack_id not in unread[zone_id].unwell:
            whole = unread.pop(zone_id)
            packs |= whole.read(found) | {(zone_id, each): known for each, known in whole.unwell.items()}
    return packs, unread
