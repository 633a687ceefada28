"""The bytes of a file that a person names: the configuration, a secret. What is no file keeps nobody waiting for ever.

A pipe is read too, as a shell makes one of ``<(command)``. Knows nothing of what the bytes mean.
"""

import errno
import os
import select
import stat
from pathlib import Path

PATIENCE = 5.0
"""Seconds that the writer of a pipe may be silent."""


def contents(path: Path, most: int) -> tuple[bytes, os.stat_result]:
    """At most so many bytes, and the status that the file had then.

    Raises ``OSError``, whose ``strerror`` says why there are none, and ``ValueError`` for a name that no file can have.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status, found = os.fstat(descriptor), bytearray()
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        pipe = stat.S_ISFIFO(status.st_mode)
        if not pipe and not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is a device: name a file")
        while len(found) < most:
            if pipe:
                _see_that_somebody_writes(descriptor)
            piece = os.read(descriptor, most - len(found))
            if not piece:
                break
            found += piece
        return bytes(found), status
    finally:
        os.close(descriptor)


def _see_that_somebody_writes(descriptor: int) -> None:
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    if not waiting.poll(PATIENCE * 1000):
        raise TimeoutError(errno.ETIMEDOUT, f"it is a pipe, and nothing came for {PATIENCE:.0f} s: name a file")
