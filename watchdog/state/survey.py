"""What is asked of the state by those who only look: counts of everything, and whole packs where there is much to tell.

Statements are texts that SQLite and PostgreSQL both understand, and need no SQLAlchemy: ``glance`` asks them of SQLite
itself, ``store`` of any database. A fleet of 100,000 packs that are well is counted by the database and never becomes
100,000 values.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from watchdog.model.history import JournalLine, JournalQuery, ZoneMemory
from watchdog.model.names import forms
from watchdog.model.pack_ids import PackKey, canonical_id
from watchdog.model.silences import Silence
from watchdog.state.changes import Plain, Snapshot, Survey
from watchdog.state.rows import (
    COLUMNS,
    Ask,
    AsText,
    diagnosis_from,
    from_micros,
    history_from,
    maybe_from_micros,
    packs_from,
    packs_of,
    to_micros,
    value_of,
    zone_from,
)

AT_ONCE = 500
"""Values named in one statement: some databases take no more than 1,000 parameters."""

_PACK = ", ".join(COLUMNS)
_ZONES = "SELECT account, label, id, seen_at, tried_at, reason, error FROM zones"
_IS_PLAIN = "reason = 'healthy' AND coalesce(expires_at, 0) > :ending_by AND validation_errors = '[]'"
_HISTORIES = (
    "SELECT zone_id, pack_id, attempts, trouble_since, last_restart_at, next_restart_at, gave_up_at, last_error"
    " FROM histories"
)
_DIAGNOSES = "SELECT zone_id, pack_id, at, findings, tokens, rechecked_at FROM diagnoses"
_SILENCES = ("id", "account", "zone", "zone_id", "pack_id", "pack", "at", "until", "comment")
_PLACE = ("zone_id", "account", "zone", "type", "status")
_LISTED = "SELECT account, zone, zone_id, pack_id, status, expires_at FROM packs ORDER BY zone, account, pack_id"
_LINE = "at, event, account, zone, zone_id, pack_id, reason, detail"


def survey(ask: Ask, rows_as_text: AsText, ending_by: datetime) -> Survey:
    """All packs that are not plain: something is wrong with them, or no certificate lasts beyond ``ending_by``.

    They are counted and read in one go: to read through all packs is most of what it takes.
    """
    ((zones, last_look),) = ask("SELECT count(*), max(tried_at) FROM zones")
    said = f"SELECT count(*), {rows_as_text(COLUMNS, f'NOT ({_IS_PLAIN})')} FROM packs"
    ((packs, unwell),) = ask(said, ending_by=to_micros(ending_by))
    found = dict(map(diagnosis_from, ask(_DIAGNOSES)))
    return Survey(
        packs=packs,
        zones=zones,
        last_look=maybe_from_micros(last_look),
        unwell=Snapshot(
            anchor=None,
            zones={zone.key: zone for zone in map(zone_from, ask(f"{_ZONES} WHERE error <> ''"))},
            packs=packs_of(unwell, found),
            histories=dict(map(history_from, ask(_HISTORIES))),
            silences=silences(ask),
        ),
    )


def with_zones(ask: Ask, found: Snapshot, zone_ids: Iterable[str]) -> Snapshot:
    """What was found, and all packs of these zones."""
    packs = dict(found.packs)
    diagnoses = {key: known.diagnosis for key, known in packs.items() if known.diagnosis is not None}
    for where, places in _in(zone_ids):
        packs.update(packs_from(ask(f"SELECT {_PACK} FROM packs{where}", **places), diagnoses))
    return Snapshot(found.anchor, found.zones, packs, found.histories, found.silences)


def plain(ask: Ask, row_as_text: Callable[[Sequence[str]], str], ending_by: datetime) -> Iterator[Plain]:
    """The others: well, with a certificate that lasts longer and no error, in the order of their keys."""
    said = f"SELECT {row_as_text(_PLACE)}, pack_id, hosts, since, expires_at FROM packs WHERE {_IS_PLAIN}"
    rows: Iterable[Any] = ask(f"{said} ORDER BY zone_id, pack_id", ending_by=to_micros(ending_by))
    return iter(rows)


def zones(ask: Ask) -> list[ZoneMemory]:
    """Every zone."""
    return list(map(zone_from, ask(_ZONES)))


def zone_keys(ask: Ask) -> list[tuple[str, str]]:
    """Account and label of every zone."""
    return [(account, label) for account, label in ask("SELECT account, label FROM zones")]


def counts(ask: Ask) -> dict[tuple[str, str], int]:
    """How many packs each zone has, by account and label."""
    rows = ask("SELECT account, zone, count(*) FROM packs GROUP BY zone_id, account, zone")
    return {(account, zone): count for account, zone, count in rows}


def ids(ask: Ask, *, column: str = "pack_id") -> list[str]:
    """The id of every pack. A ``column`` may hold many, each on a line."""
    return [pack_id for (text,) in ask(f"SELECT {column} FROM packs") if text for pack_id in text.split("\n")]


def beside(ask: Ask, keys: Collection[PackKey]) -> list[PackKey]:
    """The keys of all packs of the zones in which these are."""
    chosen = _in({zone_id for zone_id, _ in keys})
    rows = (row for where, places in chosen for row in ask(f"SELECT zone_id, pack_id FROM packs{where}", **places))
    return [(zone_id, pack_id) for zone_id, pack_id in rows]


def listed(ask: Ask) -> Iterator[tuple[str, str, str, str, str, datetime | None]]:
    """Account, zone, its id, id, status and expiry of every pack, by zone."""
    for *names, expires_at in ask(_LISTED):
        account, zone, zone_id, pack_id, status = names
        yield account, zone, zone_id, pack_id, status, maybe_from_micros(expires_at)


def silences(ask: Ask) -> tuple[Silence, ...]:
    """Every silence, also those whose time is over, in the order they were added."""
    rows = ask(f"SELECT {', '.join(_SILENCES)} FROM silences ORDER BY id")
    return tuple(value_of(Silence, dict(zip(_SILENCES, row, strict=True))) for row in rows)


def journal(ask: Ask, query: JournalQuery) -> list[tuple[int, JournalLine]]:
    """The lines of the journal that are wanted with their numbers, newest first. Walks the table from its end."""
    names = dict.fromkeys((query.zone.lower(), *forms(query.zone))) if query.zone else ()
    zones = {f"zone{number}": _like(name) for number, name in enumerate(names)}
    wanted = {
        "at >= :since": ("since", query.since and to_micros(query.since)),
        "account = :account": ("account", query.account),
        "zone_id = :zone_id": ("zone_id", query.zone_id),
        "replace(lower(pack_id), '-', '') LIKE :pack ESCAPE '!'": (
            "pack",
            query.pack and _like(f"{canonical_id(query.pack)}*"),
        ),
        "id < :before": ("before", query.before),
    }
    chosen = {condition: given for condition, given in wanted.items() if given[1] not in (None, "")}
    conditions = [*chosen]
    if zones:
        fitting = (f"rtrim(lower(zone), '.') LIKE :{name} ESCAPE '!'" for name in zones)
        conditions.append(f"({' OR '.join(fitting)})")
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    said = f"SELECT id, {_LINE} FROM journal{where} ORDER BY id DESC LIMIT :most"
    rows = ask(said, most=query.most, **dict(chosen.values()), **zones)
    return [(row[0], _line(*row[1:])) for row in rows]


def of_accounts(accounts: Iterable[str] | None) -> Iterator[tuple[str, dict[str, str]]]:
    """Conditions that choose what is of these accounts, each with what it names; ``None`` chooses everything."""
    return iter([(" WHERE TRUE", {})]) if accounts is None else _in(accounts, "account")


def _in(values: Iterable[str], column: str = "zone_id") -> Iterator[tuple[str, dict[str, str]]]:
    """Conditions that choose rows by these values, with what they name."""
    wanted = iter(sorted(values))
    while named := list(islice(wanted, AT_ONCE)):
        places = {f"value{number}": value for number, value in enumerate(named)}
        yield f" WHERE {column} IN ({', '.join(f':{name}' for name in places)})", places


def _like(pattern: str) -> str:
    """A pattern with ``*`` and ``?`` as SQL has it, in lower case."""
    for character, of_sql in (("!", "!!"), ("%", "!%"), ("_", "!_"), ("*", "%"), ("?", "_")):
        pattern = pattern.replace(character, of_sql)
    return pattern.lower()


def _line(  # as _LINE
    at: int, event: str, account: str, zone: str, zone_id: str, pack_id: str, reason: str, detail: str
) -> JournalLine:
    return JournalLine(
        at=from_micros(at),
        event=event,
        account=account,
        zone=zone,
        zone_id=zone_id,
        pack_id=pack_id,
        reason=reason,
        detail=detail,
    )
