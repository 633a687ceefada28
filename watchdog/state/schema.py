"""The tables, and how values lie in them: the one place where a row becomes a value of ``model`` and back.

No connection, no transaction; ``store`` alone imports this. A time is an INTEGER of microseconds since 1970 in UTC
(exact, small, sorts as it should), a tuple of texts is a JSON array. A change here needs a new revision in
``migrations``; a test holds the two together.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import sqlalchemy as sa

from watchdog.model.decisions import Decision, Do
from watchdog.model.findings import Certainty, Diagnosis, Finding, FindingName
from watchdog.model.history import History, Intent, JournalLine, Remembered, ZoneMemory
from watchdog.model.packs import ManualRecord, Pack
from watchdog.model.reasons import Reason

PackKey = tuple[str, str]
"""Zone id and pack id."""
Row = tuple[Any, ...]
K = TypeVar("K")
V = TypeVar("V")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FINDING_NAMES = frozenset(FindingName)
_CERTAINTIES = frozenset(Certainty)


def to_micros(at: datetime) -> int:
    """An aware time as it is stored; a naive one is a TypeError."""
    return (at - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """The inverse of ``to_micros``, in UTC."""
    return _EPOCH + timedelta(microseconds=micros)


def _to(at: datetime | None) -> int | None:
    return None if at is None else to_micros(at)


def _from(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)


class Instant(sa.types.TypeDecorator[datetime]):
    """A time, for statements built with SQLAlchemy."""

    impl = sa.Integer
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> int | None:  # noqa: ARG002 - its signature
        """To the database."""
        return _to(value)

    def process_result_value(self, value: int | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002 - its signature
        """From the database."""
        return _from(value)


def _key(name: str) -> "sa.Column[str]":
    return sa.Column(name, sa.Text, primary_key=True)


def _text(name: str) -> "sa.Column[str]":
    return sa.Column(name, sa.Text, nullable=False)


def _time(name: str, *, nullable: bool = True) -> "sa.Column[datetime]":
    return sa.Column(name, Instant, nullable=nullable)


def _number(name: str) -> "sa.Column[int]":
    return sa.Column(name, sa.Integer, nullable=False)


def _id() -> "sa.Column[int]":
    return sa.Column("id", sa.Integer, primary_key=True)


metadata = sa.MetaData()

zones = sa.Table(
    "zones",
    metadata,
    *(
        _key("account"),
        _key("label"),
        _text("id"),
        _time("seen_at"),
        _time("tried_at"),
        _text("reason"),
        _text("error"),
    ),
    sqlite_with_rowid=False,
)
packs = sa.Table(
    "packs",
    metadata,
    *(_key("zone_id"), _key("pack_id"), _text("account"), _text("zone"), _text("type"), _text("status")),
    *(_text("hosts"), _text("ca"), _time("expires_at"), _text("validation_errors")),
    *(_time("since", nullable=False), _time("seen_at", nullable=False), _text("do"), _text("reason"), _time("until")),
    sa.Column("validity_days", sa.Integer, nullable=False, server_default="0"),
    _time("uploaded_at"),
    sqlite_with_rowid=False,
)
histories = sa.Table(
    "histories",
    metadata,
    *(_key("zone_id"), _key("pack_id"), _number("attempts"), _time("trouble_since"), _time("last_restart_at")),
    *(_time("next_restart_at"), _time("gave_up_at"), _text("last_error")),
    sqlite_with_rowid=False,
)
intents = sa.Table(
    "intents",
    metadata,
    *(_id(), _text("account"), _text("zone"), _text("zone_id"), _text("pack_id"), _number("attempt")),
    *(_time("at", nullable=False), _time("next_restart_at", nullable=False)),
    *(sa.Column("outcome", sa.Text), _text("error"), _time("settled_at")),
    sqlite_autoincrement=True,
)
journal = sa.Table(
    "journal",
    metadata,
    *(_id(), _time("at", nullable=False), _text("event"), _text("account"), _text("zone"), _text("zone_id")),
    *(_text("pack_id"), _text("reason"), _text("detail")),
    sa.Index("journal_by_pack", "zone_id", "pack_id", "at"),
)
diagnoses = sa.Table(
    "diagnoses",
    metadata,
    *(_key("zone_id"), _key("pack_id"), _time("at", nullable=False), _text("findings"), _text("tokens")),
    _time("rechecked_at"),
    sqlite_with_rowid=False,
)
alert_log = sa.Table("alert_log", metadata, _key("fingerprint"), _text("entry"), sqlite_with_rowid=False)
alert_groups = sa.Table(
    "alert_groups",
    metadata,
    _key("name"),
    _time("said_at", nullable=False),
    _number("in_a_row"),
    sqlite_with_rowid=False,
)
outbox = sa.Table(
    "outbox",
    metadata,
    _id(),
    _text("destination"),
    _time("at", nullable=False),
    _text("message"),
    sqlite_autoincrement=True,
)
bookings = sa.Table(
    "bookings",
    metadata,
    *(_id(), _text("account"), _text("boot"), sa.Column("until", sa.Float, nullable=False), _number("requests")),
)
meta = sa.Table(
    "meta",
    metadata,
    *(_id(), _number("probes"), _time("anchor_at"), sa.Column("anchor_monotonic", sa.Float)),
    sa.Column("anchor_boot", sa.Text),
)


# The bulk paths speak SQL to the driver: a statement built per row costs several times the row.
def _names(table: sa.Table) -> list[str]:
    return [f'"{column.name}"' for column in table.columns]


def select_all(table: sa.Table) -> str:
    """Every column, in the order of the table."""
    return f"SELECT {', '.join(_names(table))} FROM {table.name}"  # noqa: S608 - names from this module


def upsert(table: sa.Table) -> str:
    """Insert a whole row, or replace all of it but its key."""
    names, keys = _names(table), [f'"{column.name}"' for column in table.primary_key]
    sets = ", ".join(f"{name} = excluded.{name}" for name in names if name not in keys)
    return (
        f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608 - as above
        f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {sets}"
    )


class _Memo(dict[K, V]):
    """Makes each value once: the packs of a fleet say the same few things again and again."""

    def __init__(self, make: Callable[[K], V]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: K) -> V:
        value = self[key] = self._make(key)
        return value


def _same(text: str) -> str:
    return text


def _texts(array: str) -> tuple[str, ...]:
    return tuple(json.loads(array)) if array != "[]" else ()


def _decision(do: str, reason: str, until: int | None) -> Decision:
    try:
        return Decision(Do(do), Reason(reason), _from(until))
    except ValueError:  # written by a newer program with more words; the next pass decides afresh
        return Decision(Do.LEAVE, Reason.UNSEEN)


def zone_row(zone: ZoneMemory) -> Row:
    """In the order of ``zones``."""
    return (zone.account, zone.label, zone.id, _to(zone.seen_at), _to(zone.tried_at), zone.reason, zone.error)


def zone_of(row: Row) -> ZoneMemory:
    """The inverse of ``zone_row``."""
    account, label, zone_id, seen_at, tried_at, reason, error = row
    return ZoneMemory(account, label, zone_id, _from(seen_at), _from(tried_at), reason, error)


def pack_row(memory: Remembered) -> Row:
    """In the order of ``packs``."""
    pack, decision = memory.pack, memory.decision
    return (
        *(pack.zone_id, pack.id, memory.account, memory.zone, pack.type, pack.status),
        json.dumps(pack.hosts) if pack.hosts else "[]",
        *(pack.certificate_authority, _to(pack.expires_at)),
        json.dumps(pack.validation_errors) if pack.validation_errors else "[]",
        *(to_micros(memory.since), to_micros(memory.seen_at), decision.do.value, decision.reason.value),
        *(_to(decision.until), pack.validity_days, _to(pack.uploaded_at)),
    )


def packs_of(rows: Iterable[Row]) -> Iterator[tuple[PackKey, Remembered]]:
    """The inverse of ``pack_row``, for many: what repeats is one object."""
    text = _Memo(_same)
    texts = _Memo(_texts)
    time = _Memo(from_micros)
    decisions = _Memo[tuple[str, str, int | None], Decision](lambda key: _decision(*key))
    for row in rows:
        zone_id, pack_id, account, zone, kind, status, hosts, ca, expires, errors = row[:10]
        since, seen, do, reason, until, days, uploaded = row[10:]
        zone_id = text[zone_id]
        pack = Pack(
            *(pack_id, zone_id, text[kind], text[status], texts[hosts], text[ca], _from(expires), texts[errors], days),
            uploaded_at=_from(uploaded),
        )
        decision = decisions[do, reason, until]
        yield (zone_id, pack_id), Remembered(text[account], text[zone], pack, time[since], time[seen], decision)


def history_row(key: PackKey, history: History) -> Row:
    """In the order of ``histories``."""
    return (
        *(*key, history.attempts, _to(history.trouble_since), _to(history.last_restart_at)),
        *(_to(history.next_restart_at), _to(history.gave_up_at), history.last_error),
    )


def history_of(row: Row) -> tuple[PackKey, History]:
    """The inverse of ``history_row``."""
    zone_id, pack_id, attempts, trouble, last, following, gave_up, error = row
    return (zone_id, pack_id), History(attempts, _from(trouble), _from(last), _from(following), _from(gave_up), error)


def diagnosis_row(key: PackKey, diagnosis: Diagnosis) -> Row:
    """In the order of ``diagnoses``."""
    found = [
        [
            *(finding.name, finding.certainty, finding.host, finding.says, finding.remedy),
            finding.record and [finding.record.type, finding.record.name, finding.record.value],
        ]
        for finding in diagnosis.findings
    ]
    return (*key, to_micros(diagnosis.at), json.dumps(found), diagnosis.tokens, _to(diagnosis.rechecked_at))


def diagnosis_of(row: Row) -> tuple[PackKey, Diagnosis]:
    """The inverse of ``diagnosis_row``; findings of a newer program, with names unknown here, are left out."""
    zone_id, pack_id, at, found, tokens, rechecked = row
    findings = tuple(
        Finding(FindingName(name), Certainty(sure), host, says, remedy, ManualRecord(*record) if record else None)
        for name, sure, host, says, remedy, record in json.loads(found)
        if name in _FINDING_NAMES and sure in _CERTAINTIES
    )
    return (zone_id, pack_id), Diagnosis(from_micros(at), findings, tokens, _from(rechecked))


def intent_row(intent: Intent) -> Row:
    """In the order of ``intents``, from the account on."""
    return (
        *(intent.account, intent.zone, intent.zone_id, intent.pack_id, intent.attempt),
        *(to_micros(intent.at), to_micros(intent.next_restart_at)),
    )


def entry_row(entry: JournalLine) -> Row:
    """In the order of ``journal``; the id is given by the database."""
    return (
        *(None, to_micros(entry.at), entry.event, entry.account, entry.zone, entry.zone_id, entry.pack_id),
        *(entry.reason, entry.detail),
    )
