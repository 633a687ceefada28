"""What a file of YAML says, with the line of everything in it, and what is wrong with it. ``reading`` makes it.

It knows nothing of the configuration: ``load`` and the simulator's scenarios judge by it.

No message repeats a value of the file, since any value may be a secret that slipped into the wrong place.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

Where = tuple[str | int, ...]
"""The way to a value: keys and list indexes from the top."""

Report = Callable[[Where, str, str], None]
"""Called with a fault: where it is, what is wrong, and a hint (or nothing)."""

Opened = Callable[[Path, os.stat_result | None, bytes], None]
"""Called with every file that is read: its status and what it holds, as it was then; ``None`` and nothing where it
could not be read."""

MAX_BYTES = 4 * 1024 * 1024
"""Ten thousand zones with a dozen packs each stay below it."""
MAX_MIB = MAX_BYTES // 1024 // 1024
MOST_PROBLEMS = 100
"""Faults reported of one file. Whoever made more has taken another file for this one, or mends these first."""

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_.-]{1,32}")


def dotted(where: Where) -> str:
    """The path as it is shown: ``zones[3].restart.backoff``.

    >>> dotted(("zones", 3, "restart", "backoff"))
    'zones[3].restart.backoff'
    """
    shown = "".join(f"[{part}]" if isinstance(part, int) else f".{shown_key(part)}" for part in where)
    return shown.removeprefix(".")


def shown_key(key: str) -> str:
    """A key as messages show it, cut where a secret may begin.

    ``{api_token:secret}`` without a space is one *key* to YAML; and what is longer than any name is likely a token.
    """
    name, colon, _ = key.partition(":")
    return f"{name}:…" if colon and _PLAIN_KEY.fullmatch(name) else key if _PLAIN_KEY.fullmatch(key) else "…"


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One fault of a file: where, what is wrong, and what was probably meant. ``line`` 0 is the file as a whole."""

    file: str
    what: str
    hint: str = ""
    line: int = 0
    where: Where = ()

    @property
    def path(self) -> str:
        """The dotted path of the faulty value; empty for the file as a whole."""
        return dotted(self.where)

    def __repr__(self) -> str:
        """As it is told: ``where`` may hold a key that holds a secret."""
        return f"<{self}>"

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        fault = f"{self.what}; {self.hint}" if self.hint else self.what
        return f"{place}: {self.path}: {fault}" if self.where else f"{place}: {fault}"


class Document(msgspec.Struct, frozen=True):
    """What a file says. ``lines`` has the line of each key and list item; aliased values have the line of the alias."""

    file: str
    data: dict[str, Any]
    lines: dict[Where, int]

    def __repr__(self) -> str:
        """Without anything that it says."""
        return f"Document(file={self.file!r})"

    def line_of(self, where: Where) -> int:
        """The line of a value, or of the nearest thing around it that the file has; 1 for the whole."""
        while where and where not in self.lines:
            where = where[:-1]
        return self.lines.get(where, 1)

    def problem(self, where: Where, what: str, hint: str = "") -> Problem:
        """A fault of the value at ``where``."""
        return Problem(file=self.file, line=self.line_of(where), where=where, what=what, hint=hint)


def too_many() -> str:
    """What is wrong with a file that has too much wrong with it."""
    return f"has more than {MOST_PROBLEMS} faults; the others are not looked for"


class DocumentError(Exception):
    """The file is refused. ``document`` is what could still be read, if the faults left anything to judge further."""

    def __init__(self, problems: tuple[Problem, ...], document: Document | None = None) -> None:
        super().__init__(problems)
        self.problems = problems
        self.document = document

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


def unnoticed(_path: Path, _status: os.stat_result | None, _content: bytes) -> None:
    """Nobody wants to know which files are read."""
