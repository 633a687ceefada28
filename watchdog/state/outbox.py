"""The alert log and the outbox on disk: what was said, and what no destination has accepted yet.

Functions over an open ``Store``, to be run in its one thread. What the log says and the letters that say it are written
in one transaction: after a kill at any moment, an alert is either not said yet or its letters are there. Rows of a
newer program that cannot be read are left out: then something is said twice, and nothing is lost.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import msgspec

from watchdog.model.alerts import AlertLog, AlertState, GroupHistory, Message
from watchdog.state import schema
from watchdog.state.database import Store
from watchdog.state.schema import Row, from_micros, to_micros

_UPSERT_ENTRY = schema.upsert(schema.alert_log)
_DELETE_ENTRY = "DELETE FROM alert_log WHERE fingerprint = ?"
_UPSERT_VOICE = schema.upsert(schema.alert_groups)
_DELETE_VOICE = "DELETE FROM alert_groups WHERE name = ?"
_UPSERT_LETTER = schema.upsert(schema.outbox)
_DELETE_LETTER = "DELETE FROM outbox WHERE id = ?"
_LAST_ID = "SELECT seq FROM sqlite_sequence WHERE name = 'outbox'"

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Kept:
    """What was stored: the log, the letters in their order, and the highest id ever given to one."""

    log: AlertLog
    letters: list[Message]
    last_id: int


@dataclass(slots=True)
class Unwritten:
    """What is to be written. ``None`` in place of a value deletes it."""

    entries: dict[str, AlertState | None] = field(default_factory=dict)
    groups: dict[str, GroupHistory | None] = field(default_factory=dict)
    letters: dict[int, Message | None] = field(default_factory=dict)

    def empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.entries or self.groups or self.letters)

    def merge(self, newer: "Unwritten") -> None:
        """Add what changed later; of what changed twice the later stands."""
        self.entries.update(newer.entries)
        self.groups.update(newer.groups)
        self.letters.update(newer.letters)


def difference(before: AlertLog, after: AlertLog) -> Unwritten:
    """What has to be written to get from one log to the next."""
    return Unwritten(_changed(before.entries, after.entries), _changed(before.groups, after.groups))


def _changed(before: Mapping[str, _Value], after: Mapping[str, _Value]) -> dict[str, _Value | None]:
    changed: dict[str, _Value | None] = {key: value for key, value in after.items() if before.get(key) != value}
    return changed | dict.fromkeys(before.keys() - after.keys())


def load(store: Store) -> Kept:
    """Everything, as of one moment."""
    with store.transaction("DEFERRED") as database:
        entries = database.exec_driver_sql(schema.select_all(schema.alert_log)).all()
        rows = database.exec_driver_sql(f"{schema.select_all(schema.outbox)} ORDER BY id").all()
        groups = database.exec_driver_sql(schema.select_all(schema.alert_groups)).all()
        last_id = database.exec_driver_sql(_LAST_ID).scalar() or 0
    read = {row[0]: entry for row in entries if (entry := _read(row[1], AlertState)) is not None}
    log = AlertLog(read, {name: GroupHistory(from_micros(at), in_a_row) for name, at, in_a_row in groups})
    found = ((row[0], row[1], _read(row[3], Message)) for row in rows)
    letters = [replace(each, id=number, destination=to) for number, to, each in found if each is not None]
    return Kept(log, letters, last_id)


def save(store: Store, changes: Unwritten) -> None:
    """All of it or, with a ``StateError``, nothing."""
    entries, groups, letters = changes.entries.items(), changes.groups.items(), changes.letters.items()
    with store.transaction() as database:

        def write(statement: str, rows: Iterable[Row]) -> None:
            if found := list(rows):
                database.exec_driver_sql(statement, found)

        write(_UPSERT_ENTRY, ((key, _written(entry)) for key, entry in entries if entry is not None))
        write(_DELETE_ENTRY, ((key,) for key, entry in entries if entry is None))
        write(
            _UPSERT_VOICE,
            ((key, to_micros(each.notified_at), each.in_a_row) for key, each in groups if each is not None),
        )
        write(_DELETE_VOICE, ((key,) for key, each in groups if each is None))
        write(_UPSERT_LETTER, (_row(letter) for _, letter in letters if letter is not None))
        write(_DELETE_LETTER, ((key,) for key, letter in letters if letter is None))


def _row(letter: Message) -> Row:
    return (letter.id, letter.destination, to_micros(letter.at), _written(letter))


def _written(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _read(text: str, kind: Callable[..., _Value]) -> _Value | None:
    try:
        value: _Value = msgspec.json.decode(text, type=kind)
    except msgspec.MsgspecError:
        return None
    return value
