"""What was seen: zones, packs, and what was found of packs in trouble. The one place where their rows become values.

Functions over the connection of a transaction that ``store`` has begun. Nothing here of what was tried: that is
``restarts``. Words of a newer program that are not known here are no obstacle.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from watchdog.model.decisions import Decision, Do
from watchdog.model.findings import Certainty, Diagnosis, Finding, FindingName
from watchdog.model.history import Remembered, ZoneMemory
from watchdog.model.packs import ManualRecord, Pack, PackKey
from watchdog.model.reasons import Reason
from watchdog.state import schema
from watchdog.state.changes import Changes
from watchdog.state.database import delete_each, upsert_each
from watchdog.state.deferred import sa
from watchdog.state.schema import (
    Row,
    from_micros,
    maybe_from_micros,
    maybe_to_micros,
    row_of,
    texts_from,
    texts_to,
    to_micros,
    value_of,
)

K = TypeVar("K")
V = TypeVar("V")

_ZONES = sa.select(schema.zones)
_PACKS = sa.select(schema.packs)
_DIAGNOSES = sa.select(schema.diagnoses)
_UNWATCHED = sa.delete(schema.zones).where(schema.zones.c.tried_at < sa.bindparam("since"))

_FINDING_NAMES = frozenset(FindingName)
_CERTAINTIES = frozenset(Certainty)
_findings = msgspec.json.Decoder(list[tuple[str, str, str, str, str, tuple[str, str, str] | None]]).decode


def load_zones(
    connection: sa.Connection, only: sa.ColumnElement[bool] | None = None
) -> dict[tuple[str, str], ZoneMemory]:
    """Every zone, or ``only`` those."""
    wanted = _ZONES if only is None else _ZONES.where(only)
    zones = (value_of(ZoneMemory, row) for row in connection.execute(wanted).mappings())
    return {zone.key: zone for zone in zones}


def load_packs(connection: sa.Connection, zone_ids: "sa.Select[Any] | None" = None) -> dict[PackKey, Remembered]:
    """Every pack, or those of some zones, with what was found of it.

    What repeats is one object: packs say the same few things.
    """
    wanted = _PACKS if zone_ids is None else _PACKS.where(schema.packs.c.zone_id.in_(zone_ids))
    found = dict(map(_diagnosis, connection.execute(_DIAGNOSES)))
    text = _Memo(_same)
    texts = _Memo(texts_from)
    time = _Memo(from_micros)
    decisions = _Memo[tuple[str, str, int | None], Decision](lambda key: _decision(*key))
    packs: dict[PackKey, Remembered] = {}
    for row in connection.execute(wanted):
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


def save(connection: sa.Connection, changes: Changes) -> None:
    """What was seen and found, and what of it is forgotten."""
    upsert_each(connection, schema.zones, list(map(row_of, changes.zones)))
    upsert_each(connection, schema.packs, [pack_row(known) for known in changes.packs])
    found = changes.diagnoses.items()
    upsert_each(connection, schema.diagnoses, [_diagnosis_row(key, each) for key, each in found if each is not None])
    delete_each(connection, schema.diagnoses, [key for key, each in found if each is None] + changes.forgotten)
    delete_each(connection, schema.packs, changes.forgotten)


def prune(connection: sa.Connection, unwatched_since: datetime) -> int:
    """Forget zones that nobody has looked at since then; gives their number."""
    return connection.execute(_UNWATCHED, {"since": to_micros(unwatched_since)}).rowcount


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


def pack_row(known: Remembered) -> Row:
    """Made 100,000 times in the first pass over a large fleet: there, both times are one, and no errors are usual."""
    pack, decision = known.pack, known.decision
    since = to_micros(known.since)
    return {
        "zone_id": pack.zone_id,
        "pack_id": pack.id,
        "account": known.account,
        "zone": known.zone,
        "type": pack.type,
        "status": pack.status,
        "hosts": texts_to(pack.hosts),
        "ca": pack.certificate_authority,
        "expires_at": maybe_to_micros(pack.expires_at),
        "validation_errors": texts_to(pack.validation_errors) if pack.validation_errors else "[]",
        "since": since,
        "seen_at": since if known.seen_at is known.since else to_micros(known.seen_at),
        "do": decision.do._value_,  # ``value`` goes through a descriptor: a tenth of the row
        "reason": decision.reason._value_,
        "until": maybe_to_micros(decision.until),
        "validity_days": pack.validity_days,
        "uploaded_at": maybe_to_micros(pack.uploaded_at),
    }


def _diagnosis_row(key: PackKey, diagnosis: Diagnosis) -> Row:
    found = [
        (each.name, each.certainty, each.host, each.says, each.remedy, each.record and _record(each.record))
        for each in diagnosis.findings
    ]
    return {
        "zone_id": key[0],
        "pack_id": key[1],
        "at": to_micros(diagnosis.at),
        "findings": msgspec.json.encode(found).decode(),
        "tokens": diagnosis.tokens,
        "rechecked_at": maybe_to_micros(diagnosis.rechecked_at),
    }


def _record(record: ManualRecord) -> tuple[str, str, str]:
    return (record.type, record.name, record.value)


def _diagnosis(row: Sequence[Any]) -> tuple[PackKey, Diagnosis]:
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
