"""What goes wrong with a state in SQLite: each error as one sentence for an operator. Called by ``sqlite`` alone."""

import sqlite3
import sys
from pathlib import Path

import msgspec

from watchdog.model.text import clean
from watchdog.state.database import StateDamaged, StateError, StateTooNew
from watchdog.state.location import newest_copy
from watchdog.state.migrations import HEAD
from watchdog.state.migrations.upgrade import TooNew, UpgradeError

BUSY = 5.0
"""Seconds to wait for another process's write; each of ours lasts well under one."""

_SENTENCES = {
    sqlite3.SQLITE_FULL: "cannot be written: the disk is full",
    sqlite3.SQLITE_NOTADB: "is damaged: it is not a SQLite database any more",
    sqlite3.SQLITE_CORRUPT: "is damaged",
    sqlite3.SQLITE_BUSY: f"is locked by another process for more than {BUSY:.0f} s",
    sqlite3.SQLITE_READONLY: "cannot be written by this user, or lies on a read-only file system",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: this user must be able to read it, a daemon to write its directory too",
    sqlite3.SQLITE_IOERR: "cannot be read or written: the disk reports an error",
}
_DAMAGE = frozenset({sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT})
_VALUES = (ValueError, TypeError, OverflowError, msgspec.MsgspecError)
_SENSELESS = (sqlite3.OperationalError, *_VALUES)


def concerns_state(error: Exception) -> bool:
    """Whether an error is about the state, and not about who asks it."""
    return isinstance(error, (sqlite3.Error, UpgradeError, *_VALUES)) or _is_of_core(error)


def sentence(path: Path, error: Exception, *, reading: bool) -> StateError:
    """What an operator is told of an error that concerns the state at ``path``.

    While ``reading`` what is stored, a value that makes no sense is damage as well: SQLite sees none in a text.
    """
    if isinstance(error, TooNew):
        copy = newest_copy(path, HEAD)
        instead = f"put {copy} in its place, a copy from before" if copy else "restore a copy from before"
        return StateTooNew(f"the state {path} {error}: run that version, or {instead}")
    if isinstance(error, UpgradeError):
        return StateError(f"the state {path} {error}")
    cause = getattr(error, "orig", error)  # Core has the driver's inside of its own
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    senseless = reading and isinstance(cause, _SENSELESS) and code in {0, sqlite3.SQLITE_ERROR}
    said = _SENTENCES.get(code, f"{'is damaged' if senseless else 'cannot be used'}: {clean(cause)}")
    kind = StateDamaged if senseless or code in _DAMAGE else StateError
    return kind(f"the state {path} {said}")


def _is_of_core(error: Exception) -> bool:
    """Whether SQLAlchemy raised it, which an upgrade uses."""
    core = sys.modules.get("sqlalchemy")
    return core is not None and isinstance(error, core.exc.SQLAlchemyError)
