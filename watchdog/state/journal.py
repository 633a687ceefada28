"""What happened, for looking back: one line for each thing worth a line in the log.

Functions over the connection of a transaction that ``store`` has begun. Nothing is decided by what stands here.
"""

from collections.abc import Iterable
from datetime import datetime

from watchdog.model.history import JournalLine
from watchdog.state import schema
from watchdog.state.database import execute_each
from watchdog.state.deferred import sa
from watchdog.state.rows import row_of, to_micros, value_of

ROWS = 200_000
"""At most this many are kept by ``prune``: some 50 MB, and months of an ordinary fleet."""

_j = schema.journal.c
_APPEND = sa.insert(schema.journal)
_OF_PACK = (
    sa.select(schema.journal)
    .where(_j.zone_id == sa.bindparam("zone"), _j.pack_id == sa.bindparam("pack"))
    .order_by(_j.at.desc(), _j.id.desc())
    .limit(sa.bindparam("most"))
)
_NEWEST = sa.select(sa.func.max(_j.id)).scalar_subquery()
_PRUNE = sa.delete(schema.journal).where(
    sa.or_(_j.at < sa.bindparam("before"), _j.id <= _NEWEST - sa.bindparam("rows"))
)


def append(connection: sa.Connection, lines: Iterable[JournalLine]) -> None:
    """Write ``lines`` in their order."""
    execute_each(connection, _APPEND, list(map(row_of, lines)))


def of_pack(connection: sa.Connection, zone_id: str, pack_id: str, most: int) -> list[JournalLine]:
    """The newest lines about one pack, newest first; with no ``pack_id``, those about the zone itself."""
    rows = connection.execute(_OF_PACK, {"zone": zone_id, "pack": pack_id, "most": most})
    return [value_of(JournalLine, row) for row in rows.mappings()]


def prune(connection: sa.Connection, before: datetime) -> int:
    """Forget lines older than ``before``, and those beyond ``ROWS``; gives their number."""
    return connection.execute(_PRUNE, {"before": to_micros(before), "rows": ROWS}).rowcount
