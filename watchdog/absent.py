"""Libraries that another takes where they are installed, kept from it: each costs every start its import."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def absent(*names: str) -> Iterator[None]:
    """While this lasts, modules of these names cannot be imported, but for those that already are."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # ``None`` is how an import is refused
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
