"""The streams of a command: what is printed is written at once, whoever reads it, and progress is shown to a person."""

import io
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
"""Levels of the log as syslog, and so the journal, counts them."""


class CannotPrint(Exception):
    """What was found cannot be written; ``str()`` says why."""


def prepare() -> None:
    """Make the standard streams take any text, whatever this process was started with."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started us
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115  it stays open as long as the process
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def finish() -> None:
    """Write what is left; where nobody reads it any more, the interpreter would change the exit code."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            _to_nowhere(stream.fileno())


def width() -> int:
    """The columns there are: of the terminal, or as ``COLUMNS`` says; 80 where nobody says."""
    return shutil.get_terminal_size().columns


def takes_colours(stream: TextIO) -> bool:
    """Whether colours reach somebody who wants them (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def reads_priorities(stream: TextIO) -> bool:
    """Whether the stream ends in systemd's journal, which says so by its device and inode (systemd.exec(5))."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):  # closed, or none of the system's
        return False
    return (device, inode) == (str(status.st_dev), str(status.st_ino))


def priority(level: str) -> str:
    """What the journal takes for the priority of a line that begins with it, and keeps to itself.

    >>> priority("error")
    '<3>'
    """
    return f"<{_PRIORITIES[level]}>"


def json_line(row: Mapping[str, Any] | tuple[str, ...]) -> str:
    """A row, or texts, as JSON on one line, in ASCII for any terminal."""
    import msgspec  # noqa: PLC0415  six times as fast as ``json``, which alone writes any text in ASCII

    line = msgspec.json.encode(row)
    return line.decode("ascii") if line.isascii() else json.dumps(row)


@contextmanager
def printing() -> Iterator[None]:
    """What is printed is written now. A reader who has seen enough (``| head``) is no failure.

    Raises ``CannotPrint`` where a disk is full.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        _to_nowhere(sys.stdout.fileno())
    except OSError as error:
        _to_nowhere(sys.stdout.fileno())
        raise CannotPrint(f"what was found cannot be printed: {error.strerror}") from error


@contextmanager
def progress(zones: int) -> Iterator[Callable[[], None]]:
    """A bar on a terminal, which moves at each call of what is given; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console  # noqa: PLC0415  only a terminal needs it
    from rich.progress import Progress  # noqa: PLC0415  the same

    with Progress(console=Console(stderr=True, width=width()), transient=True) as bar:
        task = bar.add_task("looking at zones", total=zones or None)
        yield lambda: bar.advance(task)


def waits(account: str, seconds: float) -> None:
    """Say to a person why nothing happens for a while."""
    sys.stderr.write(f"Cloudflare limits the requests of account {account}: waiting {seconds:.0f} s.\n")
    sys.stderr.flush()


def _to_nowhere(descriptor: int) -> None:
    """Let what is still buffered go where it fails no more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
