"""The process of a command: its streams, the garbage it looks for, the loop it runs in."""

import atexit
import gc
import os
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import TypeVar, cast

from watchdog.tell import terminal

_Result = TypeVar("_Result")

GARBAGE_AFTER = 100_000
"""Objects made before cycles among them are looked for, in place of CPython's 700: nearly all that a pass makes is
freed without. A pass over 1,000 zones costs 8 % less CPU so, and no more memory (``bench/sweep.py``)."""

GARBAGE_AFTER_A_PASS = 1_000_000
"""The same where the process ends with its first pass: a pass makes no cycles, however many packs it sees, and 100,000
packs stay as 400,000 objects."""


class Terminated(BaseException):
    """SIGTERM came, and what was begun has been put away."""


@contextmanager
def prepared() -> Iterator[None]:
    """For a quick start, whatever the streams it was given can take."""
    terminal.prepare()
    gc.disable()  # while all that is imported stays: looking for garbage in it costs a sixth of a start (``in_loop``)
    # There are no plugins of pydantic's: to look for some it reads what every installed package says, and imports what
    # reads that: 20 ms.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    sys.modules.setdefault("pydantic.plugin._loader", cast("ModuleType", SimpleNamespace(get_plugins=tuple)))
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # httpx's own command line, with rich: 40 ms
    # The same of uvicorn, with click: 20 ms. It is only named where the package is imported.
    no_command = SimpleNamespace(main=None, run=None, Server=None)
    sys.modules.setdefault("uvicorn.main", cast("ModuleType", no_command))
    if sys.argv[1:2] not in ([], ["--help"], ["-h"]):
        _import_libraries()
    try:
        yield
    finally:
        terminal.finish()


def _import_libraries() -> None:
    """Those that every command has, without what nobody here uses: 13 ms. By pydantic Typer reads the arguments."""
    from _operator import _compare_digest

    from watchdog.lean_imports import import_without, shapeless

    instead = {
        "secrets": SimpleNamespace(compare_digest=_compare_digest),  # the rest of it brings OpenSSL
        "zoneinfo": SimpleNamespace(ZoneInfo=SimpleNamespace, ZoneInfoNotFoundError=LookupError),  # no setting is one
    }
    with shapeless():  # it has 88 classes that say what its schemas look like
        import_without("pydantic_core")
    for name in ("pydantic.types", "pydantic.main"):
        import_without(name, instead=instead)
    no_schemas = SimpleNamespace(schema=None, schema_components=None)
    import_without("msgspec", instead={"msgspec.inspect": SimpleNamespace(), "msgspec._json_schema": no_schemas})


def leave(end: SystemExit) -> None:
    """End the process with the code that it says. Where something is still at work, the interpreter sees to its end.

    It would first take apart all that was imported: 9 ms of ``once``, and the system is rid of it at once.
    """
    threading = sys.modules.get("threading")
    if not isinstance(end.code, int | None) or (threading is not None and threading.active_count() > 1):
        raise end
    atexit._run_exitfuncs()  # noqa: SLF001  whoever wants to be called at the end is
    os._exit(end.code or 0)


def in_loop(work: Coroutine[None, None, _Result], garbage_after: int = GARBAGE_AFTER) -> _Result:
    """Run it to its end, or until SIGTERM, which ends it as Ctrl-C does. Raises ``Terminated``.

    From here on garbage is collected, but not looked for in what the imports have made.
    """
    import asyncio
    import signal

    told = False

    async def until_told() -> _Result:
        task = asyncio.current_task()

        def end() -> None:
            nonlocal told
            told = True
            if task is not None:
                task.cancel()

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end)
        return await work

    gc.freeze()
    gc.set_threshold(garbage_after)
    gc.enable()
    try:
        return asyncio.run(until_told())
    except asyncio.CancelledError:
        if told:
            raise Terminated from None
        raise
