"""The files that one configuration was read from, and whether they hold something else by now.

``load`` says what it read, as it was when it was read: the configuration, and every file of a secret. ``reloading``
asks whether that still holds. A file is known by what ``stat`` says of it, through symbolic links (Kubernetes swaps
one of them when a ConfigMap changes); its content is compared only where that is different, so that a file that was
merely touched has not changed. Nothing of any content is kept but a digest.
"""

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path

import msgspec

_MOST = 8 * 1024 * 1024
"""Bytes of a file that are compared: more than any that is taken."""


class _Read(msgspec.Struct, frozen=True):
    """What was there: which file, as it was written then, and a digest of what it held. Both empty for none."""

    identity: tuple[int, ...] = ()
    digest: bytes = b""


class Files:
    """What one loading read or tried to read. ``opened`` is what ``load`` calls."""

    def __init__(self) -> None:
        self._read: dict[Path, _Read] = {}

    def opened(self, path: Path, status: os.stat_result | None, content: bytes) -> None:
        """One file was read, or, with no ``status``, could not be. What is no regular file is not followed."""
        if status is None:
            self._read[path] = _Read()
        elif stat.S_ISREG(status.st_mode):
            self._read[path] = _Read(_identity(status), _digest(content))

    def changed(self) -> Mapping[Path, bytes] | None:
        """What the files hold now, as digests; ``None`` where that is what was read. Blocks as long as the disk does.

        Two answers that are equal mean that nobody wrote in between.
        """
        now = {path: _now(path, read) for path, read in self._read.items()}
        if all(now[path].digest == read.digest for path, read in self._read.items()):
            self._read = now
            return None
        return {path: found.digest for path, found in now.items()}


def _now(path: Path, read: _Read) -> _Read:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return _Read()
        if _identity(status) == read.identity:
            return read
        with path.open("rb") as file:
            return _Read(_identity(status), _digest(file.read(_MOST)))
    except (OSError, ValueError):
        return _Read()


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
