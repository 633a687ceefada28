"""The state as whoever only looks at it opens it, where it is a file of SQLite in good order: by ``sqlite3`` itself.

SQLAlchemy takes 0.2 s of CPU before its first statement, twice what all the rest of ``status`` takes. Whatever is out
of the ordinary (no file, another revision, a lock, damage) is ``Unusual``: then ``store`` is asked the same, and it
says what is the matter. Called by the commands that only read.
"""

import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlencode

import msgspec

from watchdog.model.history import JournalLine, JournalQuery, ZoneMemory
from watchdog.model.packs import PackKey
from watchdog.model.silences import Silence
from watchdog.state import survey
from watchdog.state.changes import Plain, Snapshot, Survey
from watchdog.state.migrations import HEAD
from watchdog.state.quarantine import last_loss
from watchdog.state.rows import rows_as_text

_BUSY = 5.0
_FEW = 5_000
_ALIKE = (
    "SELECT packs.zone_id, packs.pack_id FROM (SELECT json_extract(value, '$[0]') AS zone_id,"
    " json_extract(value, '$[1]') AS id, substr(json_extract(value, '$[1]'), 1, :length) AS beginning"
    " FROM json_each(:keys)) AS its CROSS JOIN packs ON packs.zone_id = its.zone_id AND packs.pack_id <> its.id"
    " AND packs.pack_id >= its.beginning AND packs.pack_id < its.beginning || char(1114111)"  # Unicode's last
)
_PREFIX = "sqlite:///"


class Unusual(Exception):
    """A case for ``store``."""


class Glance:
    """An open state, which gives what ``Store`` gives under the same names. Made by ``open``; to be closed."""

    def __init__(self, path: Path) -> None:
        self.lost = last_loss(path)
        name = f"file:{quote(str(path))}?{urlencode(access(path))}"
        self._connection = sqlite3.connect(name, timeout=_BUSY, uri=True, isolation_level=None)

    @classmethod
    def open(cls, url: str) -> Self:
        """The state at ``url``. Raises ``Unusual``."""
        path = Path(os.path.realpath(url.removeprefix(_PREFIX)))
        if not url.startswith(_PREFIX) or "?" in url or "%" in url or not path.is_file():
            raise Unusual
        with _usual():
            glance = cls(path)
            try:
                glance._begin()
            except BaseException:
                glance.close()
                raise
        return glance

    def close(self) -> None:
        """Let it go."""
        self._connection.close()

    def survey(self, ending_by: datetime) -> Survey:
        """As ``Store.survey``."""
        with _usual():
            return survey.survey(self._ask, rows_as_text, ending_by)

    def with_zones(self, found: Snapshot, zone_ids: Iterable[str]) -> Snapshot:
        """As ``Store.with_zones``."""
        with _usual():
            return survey.with_zones(self._ask, found, zone_ids)

    def plain(self, ending_by: datetime) -> Iterator[Plain]:
        """As ``Store.plain``."""
        with _usual():
            yield from survey.plain(self._ask, ending_by)

    def zones(self) -> list[ZoneMemory]:
        """As ``Store.zones``."""
        with _usual():
            return survey.zones(self._ask)

    def zone_keys(self) -> list[tuple[str, str]]:
        """As ``Store.zone_keys``."""
        with _usual():
            return survey.zone_keys(self._ask)

    def counts(self) -> dict[tuple[str, str], int]:
        """As ``Store.counts``."""
        with _usual():
            return survey.counts(self._ask)

    def pack_ids(self) -> list[str]:
        """As ``Store.pack_ids``."""
        with _usual():
            return survey.ids(self._ask, column="group_concat(pack_id, char(10))")  # as one text: half the time

    def alike(self, keys: Collection[PackKey], length: int) -> list[PackKey]:
        """As ``Store.alike``; for few packs hardly any but those, in a fifth of the time."""
        with _usual():
            if len(keys) > _FEW:
                return survey.beside(self._ask, keys)
            rows = self._ask(_ALIKE, keys=msgspec.json.encode(list(keys)).decode(), length=length)
            return [(zone_id, pack_id) for zone_id, pack_id in rows]

    def listed(self) -> list[tuple[str, str, str, str, str, datetime | None]]:
        """As ``Store.listed``."""
        with _usual():
            return list(survey.listed(self._ask))

    def journal(self, query: JournalQuery) -> list[tuple[int, JournalLine]]:
        """As ``Store.journal``."""
        with _usual():
            return survey.journal(self._ask, query)

    def silences(self) -> tuple[Silence, ...]:
        """As ``Store.silences``."""
        with _usual():
            return survey.silences(self._ask)

    def _begin(self) -> None:
        """One transaction, which sees one moment, over tables that are known here."""
        self._connection.execute("BEGIN")
        if self._connection.execute("SELECT version_num FROM alembic_version").fetchone() != (HEAD,):
            raise Unusual

    def _ask(self, said: str, **given: Any) -> Iterable[tuple[Any, ...]]:
        values: Mapping[str, Any] = given
        return self._connection.execute(said, values)


@contextmanager
def _usual() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, ValueError, TypeError, OverflowError, OSError, msgspec.MsgspecError) as error:
        raise Unusual from error


def access(path: Path) -> Mapping[str, str]:
    """The options with which a user who may only read the state can open it beside a daemon, or after it."""
    return {} if os.access(path, os.W_OK) else without_a_trace(path)


def without_a_trace(path: Path) -> Mapping[str, str]:
    """The options with which reading leaves nothing behind."""
    # Nobody has it open without its log of writes, and to make one takes more than reading.
    return {"mode": "ro"} if path.with_name(f"{path.name}-wal").exists() else {"immutable": "1"}
