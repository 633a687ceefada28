"""What was seen: zones, packs, and what was found of packs in trouble. The one place where their rows become values.

Functions over the connection of a transaction that ``store`` has begun. Nothing here of what was tried: that is
``restarts``. Words of a newer program that are not known here are no obstacle.
"""

from collections.abc import Collection
from datetime import datetime

import msgspec

from watchdog.model.findings import Diagnosis
from watchdog.model.history import Remembered, ZoneMemory
from watchdog.model.pack_ids import PackKey
from watchdog.model.packs import ManualRecord
from watchdog.state import schema
from watchdog.state.changes import Changes
from watchdog.state.database import delete_each, upsert_each
from watchdog.state.deferred import sa
from watchdog.state.rows import (
    Row,
    diagnosis_from,
    maybe_to_micros,
    packs_from,
    row_of,
    texts_to,
    to_micros,
    zone_from,
)

_ZONES = sa.select(schema.zones)
_PACKS = sa.select(schema.packs)
_DIAGNOSES = sa.select(schema.diagnoses)
_UNWATCHED = sa.delete(schema.zones).where(schema.zones.c.tried_at < sa.bindparam("since"))


def load_zones(
    connection: sa.Connection, only: sa.ColumnElement[bool] | None = None
) -> dict[tuple[str, str], ZoneMemory]:
    """Every zone, or ``only`` those."""
    wanted = _ZONES if only is None else _ZONES.where(only)
    return {zone.key: zone for zone in map(zone_from, connection.execute(wanted))}


def load_packs(connection: sa.Connection, only: sa.ColumnElement[bool] | None = None) -> dict[PackKey, Remembered]:
    """Every pack, or ``only`` those, with what was found of it."""
    wanted = _PACKS if only is None else _PACKS.where(only)
    return packs_from(connection.execute(wanted), load_diagnoses(connection))


def load_diagnoses(connection: sa.Connection) -> dict[PackKey, Diagnosis]:
    """What was found of each pack."""
    return dict(map(diagnosis_from, connection.execute(_DIAGNOSES)))


def save(connection: sa.Connection, changes: Changes) -> None:
    """What was seen and found, and what of it is forgotten."""
    upsert_each(connection, schema.zones, list(map(row_of, changes.zones)))
    upsert_each(connection, schema.packs, [pack_row(known) for known in changes.packs])
    found = changes.diagnoses.items()
    upsert_each(connection, schema.diagnoses, [_diagnosis_row(key, each) for key, each in found if each is not None])
    delete_each(connection, schema.diagnoses, [key for key, each in found if each is None] + changes.forgotten)
    delete_each(connection, schema.packs, changes.forgotten)


def keep(connection: sa.Connection, known: Remembered) -> None:
    """One pack."""
    upsert_each(connection, schema.packs, [pack_row(known)])


def prune(connection: sa.Connection, unwatched_since: datetime) -> int:
    """Forget zones that nobody has looked at since then; gives their number."""
    return connection.execute(_UNWATCHED, {"since": to_micros(unwatched_since)}).rowcount


def forget(connection: sa.Connection, accounts: Collection[str]) -> int:
    """Forget the packs of these accounts, and what was found of them; gives their number."""
    p, d = schema.packs.c, schema.diagnoses.c
    theirs = sa.select(p.zone_id, p.pack_id).where(p.account.in_(accounts))
    connection.execute(sa.delete(schema.diagnoses).where(sa.tuple_(d.zone_id, d.pack_id).in_(theirs)))
    return connection.execute(sa.delete(schema.packs).where(p.account.in_(accounts))).rowcount


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
