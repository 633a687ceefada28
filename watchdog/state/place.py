"""Whether the files of an open state still lie where they were opened; if not, what they hold is saved from there.

Who removes or replaces the file of a daemon that runs leaves it writing to a file without a name: all goes on well, and
the next start knows nothing of it. SQLite itself notices that only without its log of writes. ``sqlite`` asks before
each write, and saves; what is saved may only be moved to its place while the instance lock is held.
"""

from contextlib import suppress
from pathlib import Path


class Place:
    """Where the files of an open state were when this was made."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._wal, self._shm = (path.with_name(f"{path.name}{part}") for part in ("-wal", "-shm"))
        self._was = (_file(path), _file(self._wal))

    @property
    def lost(self) -> bool:
        """Whether one of them is not there any more, or is another."""
        try:
            found = (_file(self._path), _file(self._wal))
            return found[0] is None or found != self._was
        except OSError:  # what cannot be looked at, a write will tell of
            return False

    @property
    def taken(self) -> bool:
        """Whether another file lies there in the place of the state. Raises ``OSError``."""
        return _file(self._path) not in {None, self._was[0]}

    def put_back(self, copy: Path) -> None:
        """Move a copy of all that the state holds to its place. Raises ``OSError``."""
        self._clear()
        copy.rename(self._path)

    def leave(self) -> None:
        """Let another file have the place, with a log of writes that came with it. Raises ``OSError``."""
        if _file(self._wal) == self._was[1]:
            self._clear()

    def _clear(self) -> None:
        """Delete what would be read into a file that it does not belong to."""
        for log in (self._wal, self._shm):
            with suppress(FileNotFoundError):
                log.unlink()


def _file(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino
