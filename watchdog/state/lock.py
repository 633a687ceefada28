"""One instance per state: a ``flock`` beside the database.

The kernel drops the lock with the process, however it ends, so a stale one cannot exist. The file stays: deleting it
would let two processes hold locks on two files of the same name. Its content is only for the message. Called by
``sqlite`` alone.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Self

from watchdog.state.database import StateError, StateHeld


class InstanceLock:
    """Held from ``take`` to ``release``, or to the end of the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @classmethod
    def take(cls, database: Path) -> Self:
        """Take the lock of ``database`` at once, or raise ``StateHeld``."""
        path = f"{database}.lock"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateError(f"the lock file {path} cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise StateHeld(database, pid if pid.isdigit() else "") from None
        except OSError as error:
            os.close(descriptor)
            raise StateError(f"the lock file {path} cannot be locked: {error.strerror}") from error
        # On a full disk the lock holds all the same; only the message of the one refused loses its pid.
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return cls(descriptor)

    def release(self) -> None:
        """Let go; a second call does nothing."""
        if self._descriptor is None:
            return
        with suppress(OSError):
            os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)
        self._descriptor = None
