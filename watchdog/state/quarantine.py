"""Where a damaged state goes: beside its place, under a name that says when. It is never deleted or overwritten.

The name is also what remembers the loss: it needs no room on a full disk and no table in the new state, and it is there
from the first of the moves on, so that a process killed between them leaves nothing unknown. Called by ``sqlite``,
which holds the instance lock; it reads no clock.
"""

import os
import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import msgspec

from watchdog.model.clock import rfc3339
from watchdog.model.history import cautious_until

_FORM = "%Y%m%dT%H%M%SZ"
_PARTS = ("-wal", "-shm", "")
"""What belongs to a database, and the database last: until it is gone, the next start finds it as it is."""


class Quarantined(msgspec.Struct, frozen=True):
    """A state that was set aside: when, and as which file."""

    at: datetime
    kept: Path


def caution(loss: Quarantined | None, initial: timedelta, now: datetime) -> str:
    """What a loss of the state means ``now``, in two sentences; nothing once the caution is over.

    ``initial`` is the first backoff.
    """
    if loss is None or now >= (until := cautious_until(loss.at, initial)):
        return ""
    kept = f"The one before is kept as {loss.kept}."
    return f"{kept} No pack is restarted before {rfc3339(until)}; then all goes on by itself."


def set_aside(path: Path, at: datetime) -> Path:
    """Move the database at ``path`` away, with what belongs to it; gives its new name. Raises ``OSError``."""
    kept = new_name(path, at)
    for part in _PARTS:
        with suppress(FileNotFoundError):
            Path(f"{path}{part}").rename(f"{kept}{part}")
    return kept


def new_name(path: Path, at: datetime) -> Path:
    """A name beside ``path`` for a state that is lost ``at`` this time; no file has that name yet."""
    whole = at.replace(microsecond=0)
    whole += timedelta(seconds=whole < at)  # not before anything that happened
    stem = f"{path}.damaged-{whole.astimezone(UTC):{_FORM}}"
    names = (stem if number == 1 else f"{stem}.{number}" for number in count(1))
    return Path(next(name for name in names if not any(os.path.lexists(f"{name}{part}") for part in _PARTS)))


def last_loss(path: Path) -> Quarantined | None:
    """The newest state that was set aside from ``path``, if any was."""
    wanted = re.compile(rf"({re.escape(path.name)}\.damaged-(\d{{8}}T\d{{6}}Z)(?:\.\d+)?)(?:-wal|-shm)?")
    losses: list[Quarantined] = []
    with suppress(OSError):
        for file in path.parent.iterdir():
            if match := wanted.fullmatch(file.name):
                with suppress(ValueError):  # no such day
                    at = datetime.strptime(match[2], _FORM).replace(tzinfo=UTC)
                    losses.append(Quarantined(at, path.with_name(match[1])))
    return max(losses, key=lambda loss: loss.at, default=None)
