"""Packs as they lie in the database, zone by zone, made into values when somebody asks for them.

Of a zone in which every pack is well, a start needs nothing but that it is so; and nearly all zones are such. The
database gives the packs of each zone as one text, with what has to be known of it at once. ``store`` reads them,
``memory`` keeps them until their zone is looked at. The statement is one that SQLite and PostgreSQL both understand,
but for how rows become a text, which ``database`` says.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from itertools import chain

import msgspec

from watchdog.model.findings import Diagnosis
from watchdog.model.history import Remembered
from watchdog.model.packs import HEALTHY, PackKey
from watchdog.state.rows import maybe_from_micros, packs_from
from watchdog.state.survey import COLUMNS, Ask, of_accounts

SENSELESS = (ValueError, TypeError, OverflowError, msgspec.MsgspecError)
"""What is raised where a text makes no sense."""

_STATUSES = sorted(HEALTHY)
_IS_WELL = f"reason = 'healthy' AND \"do\" = 'leave' AND status IN ({', '.join(map(repr, _STATUSES))})"
_COUNTS = ", ".join(f"count(*) FILTER (WHERE status = {status!r})" for status in _STATUSES)
_Row = tuple[
    str, str, str, str, str, str, str, str, int | None, str, int, int, str, str, int | None, int, int | None
]  # fmt: skip
_rows = msgspec.json.Decoder(list[_Row]).decode


class Unread:
    """The packs of one zone, all of them well and none ever tried, and what is known of them unread.

    ``ends`` is the first end of a certificate; ``statuses`` counts the packs.
    """

    def __init__(self, account: str, zone: str, statuses: Mapping[str, int], ends: datetime | None, text: str) -> None:
        self.account = account
        self.zone = zone
        self.statuses = statuses
        self.ends = ends
        self._text = text

    @cached_property
    def known(self) -> dict[str, Remembered]:
        """The packs by their ids. Raises one of ``SENSELESS``."""
        return {pack_id: known for (_, pack_id), known in packs_from(_rows(self._text), {}).items()}


def load(
    ask: Ask,
    rows_as_text: Callable[[Sequence[str]], str],
    accounts: Collection[str] | None,
    found: Mapping[PackKey, Diagnosis],
    tried: Collection[PackKey],
) -> tuple[dict[PackKey, Remembered], dict[str, Unread]]:
    """All packs, or those of some ``accounts``: the zones in which all are well unread, by their ids; the others' read.

    ``found`` and ``tried`` are of packs that are to be read. Raises one of ``SENSELESS``.
    """
    said = (
        "SELECT zone_id, min(account), max(account), min(zone), max(zone), min(expires_at),"
        f" count(*) FILTER (WHERE NOT ({_IS_WELL})), {_COUNTS}, {rows_as_text(COLUMNS)} FROM packs"
    )
    aside = {zone_id for zone_id, _ in chain(found, tried)}
    texts: list[str] = []
    unread: dict[str, Unread] = {}
    for where, places in [("", {})] if accounts is None else of_accounts(accounts):
        for row in ask(f"{said}{where} GROUP BY zone_id", **places):
            zone_id, account, other_account, zone, other_zone, ends, unwell, *counts, text = row
            if unwell or zone_id in aside or zone_id in unread or (account, zone) != (other_account, other_zone):
                texts.append(text)
            else:
                statuses = {status: count for status, count in zip(_STATUSES, counts, strict=True) if count}
                unread[zone_id] = Unread(account, zone, statuses, maybe_from_micros(ends), text)
    return packs_from(chain.from_iterable(map(_rows, texts)), found), unread
