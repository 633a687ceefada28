"""The state as whoever only looks at it opens it, where it is a file of SQLite in good order: by ``sqlite3`` itself.

SQLAlchemy takes 0.2 s of CPU before its first statement, twice what all the rest of ``status`` takes. Whatever is out
of the ordinary (no file, another revision, a lock, damage) is ``Unusual``: then ``store`` is asked the same, and it
says what is the matter. Called by the commands that only read.
"""

import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlencode

import msgspec

from watchdog.model.pack_ids import PackKey
from watchdog.state import survey
from watchdog.state.looking import Looking
from watchdog.state.migrations import HEAD
from watchdog.state.quarantine import last_loss
from watchdog.state.rows import Ask, row_as_text, rows_as_text

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
    """The state is not a file of SQLite in good order: ``store`` finds out what is the matter."""


class Glance(Looking):
    """An open state, which gives what ``Store`` gives under the same names. Made by ``open``; to be closed."""

    _row_as_text = staticmethod(row_as_text)
    _rows_as_text = staticmethod(rows_as_text)

    def __init__(self, path: Path) -> None:
        self.lost = last_loss(path)
        self._connection = sqlite3.connect(uri(path, access(path)), timeout=_BUSY, uri=True, isolation_level=None)

    @classmethod
    def open(cls, url: str) -> Self:
        """The state at ``url``. Raises ``Unusual``."""
        with _usual():
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
        """Close the file."""
        self._connection.close()

    def pack_ids(self) -> list[str]:
        """The id of every pack, asked for as one text: that takes half the time."""
        with _usual():
            return survey.ids(self._ask, column="group_concat(pack_id, char(10))")

    def alike(self, keys: Collection[PackKey], length: int) -> list[PackKey]:
        """As ``Looking`` has it; for few packs the database compares the ids, in a fifth of the time."""
        with _usual():
            if len(keys) > _FEW:
                return survey.beside(self._ask, keys)
            rows = self._ask(_ALIKE, keys=msgspec.json.encode(list(keys)).decode(), length=length)
            return [(zone_id, pack_id) for zone_id, pack_id in rows]

    def _begin(self) -> None:
        """One transaction, which sees one moment, over tables that are known here."""
        self._connection.execute("BEGIN")
        if self._connection.execute("SELECT version_num FROM alembic_version").fetchone() != (HEAD,):
            raise Unusual

    @contextmanager
    def _asking(self) -> Iterator[Ask]:
        with _usual():
            yield self._ask

    def _ask(self, said: str, **given: Any) -> Iterable[tuple[Any, ...]]:
        values: Mapping[str, Any] = given
        return self._connection.execute(said, values)


@contextmanager
def _usual() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, ValueError, TypeError, OverflowError, OSError, msgspec.MsgspecError) as error:
        raise Unusual from error


def uri(path: Path, options: Mapping[str, str]) -> str:
    """How ``sqlite3`` is told of a file, with ``options`` of SQLite's own URIs."""
    return f"file:{quote(str(path))}?{urlencode(options)}"


def access(path: Path) -> Mapping[str, str]:
    """The options with which this user can open the file beside a daemon or after it, also to read it only."""
    return {} if os.access(path, os.W_OK) else without_a_trace(path)


def without_a_trace(path: Path) -> Mapping[str, str]:
    """The options with which reading leaves nothing behind."""
    # Nobody has it open without its log of writes, and to make one takes more than reading.
    return {"mode": "ro"} if path.with_name(f"{path.name}-wal").exists() else {"immutable": "1"}
