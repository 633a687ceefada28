"""What a file of the configuration holds. A pipe is waited for, and not for ever.

A secret may come through a pipe, as from a program that decrypts it. The daemon reads its files again, and then nobody
may be at the other end: with a plain ``open`` it would stand still there. ``reading`` and ``secrets`` read so.
"""

import errno
import os
import stat
from pathlib import Path
from select import select

PATIENCE = 5.0
"""Seconds in which whoever is to write into a pipe may write nothing."""

_TURN = 0.05
_PIECE = 65_536


def content_of(path: Path, most: int) -> tuple[bytes, os.stat_result]:
    """At most so many bytes, and what it is that was opened.

    Raises ``OSError``, and ``ValueError`` where the path is none. Blocks for as long as the file system takes.
    """
    with open(path, "rb", opener=_opened) as file:
        status = os.fstat(file.fileno())
        return (_piped(file.fileno(), most) if stat.S_ISFIFO(status.st_mode) else file.read(most)), status


def _opened(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_NONBLOCK)


def _piped(descriptor: int, most: int) -> bytes:
    content, patience = b"", PATIENCE
    while len(content) < most:
        if patience <= 0:
            raise TimeoutError(errno.ETIMEDOUT, f"it is a pipe, and nobody wrote into it within {PATIENCE:g} s")
        if not select([descriptor], [], [], _TURN)[0]:
            patience -= _TURN
        elif piece := os.read(descriptor, min(_PIECE, most - len(content))):
            content += piece
        elif content:
            break
        else:  # nobody has opened the other end
            select([], [], [], _TURN)
            patience -= _TURN
    return content
