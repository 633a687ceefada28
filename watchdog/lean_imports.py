"""Libraries are imported without what they import for others than us: each such import costs every start."""

import re
import sys
import typing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from types import ModuleType
from typing import Any, cast

import typing_extensions


def import_without(name: str, *names: str, instead: Mapping[str, object] | None = None) -> None:
    """Import the library ``name`` without the modules ``names``; see ``absent``. Who imports it next has it so.

    A version that cannot do without them is left: the next import brings it whole.
    """
    with absent(*names, instead=instead), suppress(ImportError, AttributeError, TypeError):
        import_module(name)


class _Late:
    def __init__(self, pattern: str, flags: int = 0) -> None:
        self._given = (pattern, flags)

    def __getattr__(self, name: str) -> Any:
        return getattr(re.compile(*self._given), name)


@contextmanager
def late_patterns() -> Iterator[None]:
    """While this lasts, ``re.compile`` only notes a pattern; it is compiled at its first use."""
    module: Any = re
    at_once, module.compile = module.compile, _Late
    try:
        yield
    finally:
        module.compile = at_once


class _Shapeless(dict[str, Any]):
    def __new__(cls, *given: Any, **named: Any) -> Any:
        return dict(*given, **named)

    def __init_subclass__(cls, **_: bool) -> None:
        """Whether it is total is nothing to it."""


@contextmanager
def shapeless() -> Iterator[None]:
    """While this lasts, a ``TypedDict`` is a dict, and what it says of its keys is not looked at: type checkers do."""
    modules: tuple[Any, ...] = (typing, typing_extensions)
    kept = [(module, module.TypedDict) for module in modules]
    for module, _ in kept:
        module.TypedDict = _Shapeless
    try:
        yield
    finally:
        for module, made in kept:
            module.TypedDict = made


@contextmanager
def absent(*names: str, instead: Mapping[str, object] | None = None) -> Iterator[None]:
    """While this lasts, modules of these names cannot be imported, but for those that already are.

    ``instead`` has what is taken for others; they can be imported as they are once this is over.
    """
    wanted = dict.fromkeys(names) | dict(instead or {})
    hidden = {name: module for name, module in wanted.items() if name not in sys.modules}
    sys.modules.update(cast("dict[str, ModuleType]", hidden))  # ``None`` is how an import is refused
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
