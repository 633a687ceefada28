"""Values from rows and rows from values, without a database: how times and lists of texts lie in columns.

Where the fields of a value bear the names of the columns, ``row_of`` and ``value_of`` are all there is to say. A time
is an integer of microseconds since 1970 in UTC (exact, small, sorts as it should), a tuple of texts a JSON array. No
SQLAlchemy here: ``glance`` reads without it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, TypeVar

import msgspec

from watchdog.model.decisions import Decision, Do
from watchdog.model.findings import Certainty, Diagnosis, Finding, FindingName
from watchdog.model.history import History, Remembered, ZoneMemory
from watchdog.model.pack_ids import PackKey
from watchdog.model.packs import ManualRecord, Pack
from watchdog.model.reasons import Reason

Row = Mapping[str, Any]
"""The values of one row, by the names of its columns."""

Ask = Callable[..., Iterable[Sequence[Any]]]
"""Asks a statement, which is a text, with parameters by name; gives the rows."""

AsText = Callable[[Sequence[str], str], str]
"""What gives these columns of the rows that fit a condition as one text of JSON, which ``packs_of`` takes."""

K = TypeVar("K")
V = TypeVar("V")
_Value = TypeVar("_Value", bound=msgspec.Struct)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FINDING_NAMES = frozenset(FindingName)
_CERTAINTIES = frozenset(Certainty)
_findings = msgspec.json.Decoder(list[tuple[str, str, str, str, str, tuple[str, str, str] | None]]).decode

COLUMNS = (
    *("zone_id", "pack_id", "account", "zone", "type", "status", "hosts", "ca", "expires_at", "validation_errors"),
    *("since", "seen_at", '"do"', "reason", "until", "validity_days", "uploaded_at"),
)
"""Of a pack, in the order in which ``packs_from`` takes them."""

_Row = tuple[
    str, str, str, str, str, str, str, str, int | None, str, int, int, str, str, int | None, int, int | None
]  # fmt: skip
_rows = msgspec.json.Decoder(list[_Row]).decode

texts_from = msgspec.json.Decoder(tuple[str, ...]).decode
"""A tuple of texts from its JSON array. Raises ``msgspec.MsgspecError`` for anything else."""


def texts_to(texts: tuple[str, ...]) -> str:
    """A tuple of texts as it is stored."""
    return msgspec.json.encode(texts).decode()


def to_micros(at: datetime) -> int:
    """An aware time as it is stored. Raises ``TypeError`` for a naive one."""
    return (at - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """The inverse of ``to_micros``, in UTC."""
    return _EPOCH + micros * _MICROSECOND


def maybe_to_micros(at: datetime | None) -> int | None:
    """As ``to_micros``; ``None`` stays ``None``."""
    return None if at is None else (at - _EPOCH) // _MICROSECOND


def maybe_from_micros(micros: int | None) -> datetime | None:
    """As ``from_micros``; ``None`` stays ``None``."""
    return None if micros is None else _EPOCH + micros * _MICROSECOND


def row_of(value: msgspec.Struct) -> dict[str, Any]:
    """The row of a value whose fields bear the names of the columns."""
    row = zip(value.__struct_fields__, msgspec.structs.astuple(value), strict=True)
    return {name: to_micros(each) if isinstance(each, datetime) else each for name, each in row}


def value_of(kind: type[_Value], row: Mapping[Any, Any]) -> _Value:
    """The inverse of ``row_of``; columns that are no fields are left out."""
    times = _times(kind)
    return kind(**{name: maybe_from_micros(row[name]) if time else row[name] for name, time in times})


@cache
def _times(kind: type[msgspec.Struct]) -> tuple[tuple[str, bool], ...]:
    """The fields of a value, and whether they are times."""
    return tuple((name, "datetime" in str(kind.__annotations__[name])) for name in kind.__struct_fields__)


def packs_from(rows: Iterable[Sequence[Any]], found: Mapping[PackKey, Diagnosis]) -> dict[PackKey, Remembered]:
    """Packs from whole rows. What repeats is one object: packs say the same few things."""
    text = _Memo(_same)
    texts = _Memo(texts_from)
    time = _Memo(from_micros)
    decisions = _Memo[tuple[str, str, int | None], Decision](lambda key: _decision(*key))
    packs: dict[PackKey, Remembered] = {}
    for row in rows:
        zone_id, pack_id, account, zone, kind, status, hosts, ca, expires, errors = row[:10]
        since, seen, do, reason, until, days, uploaded = row[10:]
        key = (text[zone_id], pack_id)
        pack = Pack(
            id=pack_id,
            zone_id=key[0],
            type=text[kind],
            status=text[status],
            hosts=texts[hosts],
            certificate_authority=text[ca],
            expires_at=maybe_from_micros(expires),
            validation_errors=texts[errors],
            validity_days=days,
            uploaded_at=maybe_from_micros(uploaded),
        )
        packs[key] = Remembered(
            account=text[account],
            zone=text[zone],
            pack=pack,
            since=time[since],
            seen_at=time[seen],
            decision=decisions[do, reason, until],
            diagnosis=found.get(key),
        )
    return packs


def packs_of(text: str | None, found: Mapping[PackKey, Diagnosis]) -> dict[PackKey, Remembered]:
    """Packs from whole rows as one text of JSON; no packs from no text. Raises ``msgspec.MsgspecError``."""
    return packs_from(_rows(text), found) if text else {}


def row_as_text(columns: Sequence[str]) -> str:
    """The SQL, as SQLite has it, that gives these columns of a row as a JSON array."""
    return f"json_array({', '.join(columns)})"


def rows_as_text(columns: Sequence[str], where: str) -> str:
    """The SQL that gives all rows that fit as one JSON array of arrays; NULL where there are none in the group."""
    return f"'[' || group_concat(CASE WHEN {where} THEN {row_as_text(columns)} END) || ']'"


def zone_from(row: Sequence[Any]) -> ZoneMemory:
    """A zone from its whole row."""
    account, label, zone_id, seen_at, tried_at, reason, error = row
    return ZoneMemory(
        account=account,
        label=label,
        id=zone_id,
        seen_at=maybe_from_micros(seen_at),
        tried_at=maybe_from_micros(tried_at),
        reason=reason,
        error=error,
    )


def history_from(row: Sequence[Any]) -> tuple[PackKey, History]:
    """A pack's history from its whole row."""
    zone_id, pack_id, attempts, trouble_since, last_restart_at, next_restart_at, gave_up_at, last_error = row
    return (zone_id, pack_id), History(
        attempts=attempts,
        trouble_since=maybe_from_micros(trouble_since),
        last_restart_at=maybe_from_micros(last_restart_at),
        next_restart_at=maybe_from_micros(next_restart_at),
        gave_up_at=maybe_from_micros(gave_up_at),
        last_error=last_error,
    )


def diagnosis_from(row: Sequence[Any]) -> tuple[PackKey, Diagnosis]:
    """What was found of a pack. Words of a newer program that are not known here are no obstacle."""
    zone_id, pack_id, at, found, tokens, rechecked = row
    findings = tuple(
        Finding(
            name=FindingName(name),
            certainty=Certainty(sure),
            host=host,
            says=says,
            remedy=remedy,
            record=ManualRecord(type=record[0], name=record[1], value=record[2]) if record else None,
        )
        for name, sure, host, says, remedy, record in _findings(found)
        if name in _FINDING_NAMES and sure in _CERTAINTIES
    )
    return (zone_id, pack_id), Diagnosis(from_micros(at), findings, tokens, maybe_from_micros(rechecked))


class _Memo(dict[K, V]):
    """Makes each value once."""

    def __init__(self, make: Callable[[K], V]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: K) -> V:
        value = self[key] = self._make(key)
        return value


def _same(text: str) -> str:
    return text


def _decision(do: str, reason: str, until: int | None) -> Decision:
    try:
        return Decision(Do(do), Reason(reason), maybe_from_micros(until))
    except ValueError:  # written by a newer program with more words; the next pass decides afresh
        return Decision(Do.LEAVE, Reason.UNSEEN)
