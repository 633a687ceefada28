"""A second connection to a file of SQLite: for what is read in any thread while the first is at work in another.

``sqlite`` opens it, beside the first, and closes it. It sees what is stored by then, and writes nothing.
"""

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import quote

from watchdog.state import driver


class Aside:
    """A connection that only reads, one question at a time."""

    def __init__(self, path: Path, patience: float, errors: Callable[[], AbstractContextManager[None]]) -> None:
        """``errors`` makes sentences of what goes wrong; ``patience`` is how many seconds to wait for a lock."""
        self._errors = errors
        self._one = Lock()
        with errors():
            self._raw = sqlite3.connect(
                f"file:{quote(str(path))}?mode=ro", uri=True, timeout=patience, check_same_thread=False
            )
            # All its files are opened now: later there may be no descriptor.
            self._raw.execute("SELECT 1 FROM packs").close()

    def __call__(self, said: str, **given: Any) -> list[tuple[Any, ...]]:
        """The rows that a text, with parameters by name, gives."""
        with self._one, self._errors():
            return driver.execute(self._raw, said, given).fetchall()

    def close(self) -> None:
        """Close the connection."""
        self._raw.close()
