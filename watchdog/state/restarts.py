"""What was tried: histories, and the intents that must be on the disk before a restart is sent.

Functions over the connection of a transaction that ``store`` has begun; what they write is durable when it ends. Two
processes may act on one pack: the stored history decides which of them came first.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

import msgspec

from watchdog.model.history import UNTROUBLED, History, Intent, Remembered, Sent
from watchdog.model.pack_ids import PackKey
from watchdog.state import schema
from watchdog.state.changes import Changes
from watchdog.state.database import delete_each, execute_each, upsert_each
from watchdog.state.deferred import real, sa
from watchdog.state.rows import Row, from_micros, history_from, row_of, to_micros, value_of

SAME = timedelta(seconds=1)
"""Two notes of one restart may differ by this much where the clock was set between them."""

_h, _i, _p = schema.histories.c, schema.intents.c, schema.packs.c
_HISTORIES = sa.select(schema.histories)
_HISTORY = _HISTORIES.where(_h.zone_id == sa.bindparam("zone"), _h.pack_id == sa.bindparam("pack"))
_INTEND = sa.insert(schema.intents)
_SETTLE = sa.update(schema.intents).where(  # who took over from its sender knows less of it
    _i.id == sa.bindparam("intent"), sa.or_(_i.outcome.is_(None), _i.outcome == sa.bindparam("unknown"))
)
_INTENT = sa.select(_i.zone_id, _i.pack_id).where(_i.id == sa.bindparam("intent"))
_WITHDRAW = sa.delete(schema.intents).where(_i.id == sa.bindparam("intent"))
_LATER = sa.select(_i.id).where(
    _i.zone_id == sa.bindparam("zone"), _i.pack_id == sa.bindparam("pack"), _i.id > sa.bindparam("intent")
)
_OPEN = sa.select(schema.intents).where(_i.outcome.is_(None)).order_by(_i.id)
_SINCE = sa.select(_i.account, _i.at).where(_i.at > sa.bindparam("since")).order_by(_i.at, _i.id)
_SETTLED_BEFORE = sa.delete(schema.intents).where(_i.outcome.is_not(None), _i.at < sa.bindparam("before"))
# A history outlives its pack while it is recent itself: the backoff of a pack that was never listed counts too.
_FORGOTTEN = sa.delete(schema.histories).where(
    ~sa.exists().where(_p.zone_id == _h.zone_id, _p.pack_id == _h.pack_id),
    sa.func.coalesce(_h.trouble_since, -1) < sa.bindparam("since"),
    sa.func.coalesce(_h.last_restart_at, -1) < sa.bindparam("since"),
)


class Wanted(msgspec.Struct, frozen=True):
    """An intent that is to be stored, with the history ``expected`` before it, and the one ``after`` it.

    ``seen`` is stored with them: a restart may bring the pack back under another id, and who dies before that is
    written must find what it was.
    """

    intent: Intent
    expected: History
    after: History
    seen: Remembered | None = None


class Stale(Exception):
    """The stored history is not the one expected; ``history`` is what is stored."""

    def __init__(self, history: History) -> None:
        super().__init__("another process has acted on this pack since it was last read")
        self.history = history


class NotHeld(Exception):
    """The lease of this account is not held."""


def of_accounts(accounts: Collection[str]) -> sa.ColumnElement[bool]:
    """Which histories are those of some accounts."""
    zones: sa.CompoundSelect[tuple[str]] = sa.union(
        sa.select(schema.zones.c.id).where(schema.zones.c.account.in_(accounts)),
        sa.select(_p.zone_id).where(_p.account.in_(accounts)),
        sa.select(_i.zone_id).where(_i.account.in_(accounts)),
    )
    return _h.zone_id.in_(real(zones))


def load_histories(connection: sa.Connection, only: sa.ColumnElement[bool] | None = None) -> dict[PackKey, History]:
    """Every history, or ``only`` those. Packs without one are ``UNTROUBLED``."""
    return dict(map(history_from, connection.execute(_HISTORIES if only is None else _HISTORIES.where(only))))


def history_of(connection: sa.Connection, key: PackKey) -> History:
    """One pack's history as it is stored now."""
    row = connection.execute(_HISTORY, {"zone": key[0], "pack": key[1]}).first()
    return UNTROUBLED if row is None else history_from(row)[1]


def save(connection: sa.Connection, changes: Changes) -> None:
    """Histories and outcomes. A batch may be older than a restart that another process counted: that count stays."""
    troubled = [_keyed(key, history) for key, history in changes.histories.items() if history != UNTROUBLED]
    upsert_each(connection, schema.histories, troubled, unless_older="last_restart_at")
    well = [key for key, history in changes.histories.items() if history == UNTROUBLED]
    delete_each(connection, schema.histories, well + changes.forgotten)
    settled = [
        {
            "intent": each.intent_id,
            "outcome": each.outcome.value,
            "error": each.error,
            "settled_at": to_micros(each.at),
            "unknown": Sent.UNKNOWN.value,
        }
        for each in changes.settled
    ]
    execute_each(connection, _SETTLE, settled)


def intend(
    connection: sa.Connection, intent: Intent, expected: History, after: History, mine: sa.CTE | None = None
) -> int:
    """Write ``intent`` and ``after``; gives the intent's id. ``Stale`` where other restarts than ``expected`` count.

    Where ``mine`` is to give a row while the account's lease is held, that is one statement with the intent, and
    ``NotHeld`` if it gives none.
    """
    key, row = (intent.zone_id, intent.pack_id), row_of(intent) | {"error": ""}
    intent_id = None
    if mine is not None:  # before the history is read: from now on nobody else writes it
        values = [sa.bindparam(name, value, type_=_i[name].type) for name, value in row.items()]
        fenced = sa.insert(schema.intents).from_select(list(row), sa.select(*values).select_from(mine)).returning(_i.id)
        intent_id = connection.execute(fenced).scalar()
        if intent_id is None:
            raise NotHeld(intent.account)
    stored = history_of(connection, key)
    if not _count_the_same(stored, expected):
        raise Stale(stored)
    if intent_id is None:
        intent_id = connection.execute(_INTEND, row).inserted_primary_key[0]  # type: ignore[index]  # one insert has one
    _put(connection, key, after)
    return int(intent_id)


def withdraw(connection: sa.Connection, intent_id: int, history: History) -> None:
    """The intent goes and ``history`` is put back, unless a later intent stands."""
    row = connection.execute(_INTENT, {"intent": intent_id}).first()
    if row is None:
        return
    zone_id, pack_id = row
    connection.execute(_WITHDRAW, {"intent": intent_id})
    if connection.execute(_LATER, {"zone": zone_id, "pack": pack_id, "intent": intent_id}).first() is None:
        _put(connection, (zone_id, pack_id), history)


def open_intents(connection: sa.Connection) -> list[tuple[int, Intent]]:
    """Those whose outcome is not known, oldest first."""
    return [(row["id"], value_of(Intent, row)) for row in connection.execute(_OPEN).mappings()]


def since(connection: sa.Connection, at: datetime) -> list[tuple[str, datetime]]:
    """Account and time of each restart intended after ``at``, oldest first, whatever became of it."""
    return [(account, from_micros(then)) for account, then in connection.execute(_SINCE, {"since": to_micros(at)})]


def prune(connection: sa.Connection, settled_before: datetime, unwatched_since: datetime) -> int:
    """Forget settled intents of before, and histories of packs that are not known any more; gives their number."""
    histories = connection.execute(_FORGOTTEN, {"since": to_micros(unwatched_since)}).rowcount
    return histories + connection.execute(_SETTLED_BEFORE, {"before": to_micros(settled_before)}).rowcount


def _put(connection: sa.Connection, key: PackKey, history: History) -> None:
    if history == UNTROUBLED:
        delete_each(connection, schema.histories, [key])
    else:
        upsert_each(connection, schema.histories, [_keyed(key, history)])


def _count_the_same(stored: History, expected: History) -> bool:
    if stored.attempts != expected.attempts:
        return False
    if stored.last_restart_at is None or expected.last_restart_at is None:
        return stored.last_restart_at is expected.last_restart_at
    return abs(stored.last_restart_at - expected.last_restart_at) < SAME


def _keyed(key: PackKey, history: History) -> Row:
    return {"zone_id": key[0], "pack_id": key[1], **row_of(history)}
