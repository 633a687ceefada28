"""Where a state lies: the file that a URL names, what is there, an empty one where nothing is, and copies beside it.

Called by ``sqlite`` alone. Every failure is one sentence in a ``StateError``.
"""

import glob
import os
import stat
from pathlib import Path

from watchdog.state.database import StateError

_MAGIC = b"SQLite format 3\0"


def path_of(url: str) -> Path:
    """The file a URL names, in one spelling, so that one state has one lock.

    Raises ``StateError``, also where its directory is missing.
    """
    path = named(url)
    if not stat.S_ISDIR(mode(path.parent)):
        raise StateError(f"the directory {path.parent} does not exist: create it for the user that runs the watchdog")
    return path


def named(url: str) -> Path:
    """The file a URL names, whether or not anything is there. Raises ``StateError``."""
    named = url.removeprefix("sqlite:///")
    if named in {url, "", ":memory:"} or "\0" in named or "?" in named:
        raise StateError("state.url must be sqlite:///PATH, with four slashes for an absolute path")
    try:
        path = Path(os.path.realpath(named))
    except OSError:
        raise StateError(f"state.url: {named} starts at a working directory that does not exist any more") from None
    found = mode(path)
    if stat.S_ISDIR(found):
        raise StateError(f"the state {path} is a directory; state.url must name a file in it")
    if found and not stat.S_ISREG(found):  # opening a pipe would wait for whoever writes
        raise StateError(f"the state {path} is a pipe or a device; state.url must name a file")
    return path


def mode(path: Path) -> int:
    """The mode of the file, 0 where there is none. Raises ``StateError`` where this user may not look."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except OSError as error:
        raise StateError(f"the state {path} cannot be reached: {error.strerror}") from error


def is_strange(path: Path) -> bool:
    """Whether this is somebody's file and was never a state: no database, with no lock of ours beside it."""
    try:
        with path.open("rb") as file:
            begins = file.read(len(_MAGIC))
    except OSError:  # said where it is opened
        return False
    return begins not in {b"", _MAGIC} and not path.with_name(f"{path.name}.lock").exists()


def create(path: Path) -> None:
    """An empty file that only its owner can read, before SQLite would make one for everybody."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        pass
    except OSError as error:
        raise StateError(f"the state {path} cannot be created: {error.strerror}") from error


def room_for_copy(path: Path, name: str) -> Path:
    """An empty file beside the state for a copy of it with this ``name``, in place of an earlier one."""
    copy = path.with_name(f"{path.name}.{name}")
    try:
        copy.unlink(missing_ok=True)
    except OSError as error:
        raise StateError(f"the old copy {copy} cannot be deleted: {error.strerror}") from error
    create(copy)
    return copy


def newest_copy(path: Path, revision: str) -> Path | None:
    """The newest copy beside the state that a program which knows ``revision`` can use, if there is one."""
    copies = path.parent.glob(f"{glob.escape(path.name)}.revision-*")
    return max((copy for copy in copies if copy.suffix <= f".revision-{revision}"), default=None)
