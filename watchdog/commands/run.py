"""``run``: the daemon as a process of its own, with its state open, until it is asked to stop. Called by ``cli``."""

import gc
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from watchdog.config.files import Files
from watchdog.config.permissions import Exposed
from watchdog.config.schema import Config
from watchdog.daemon import Daemon, new_metrics
from watchdog.runtime import open_runtime
from watchdog.state.store import Store

SWITCH_INTERVAL = 0.001
"""Seconds after which a page that is made in another thread lets the loop have its turn; Python's own 5 ms add up."""

GC_THRESHOLD = (2_000, 5, 100)
"""Objects made before cycles among them are looked for, and how often the older and the oldest ones are looked through:
so many at a time hold up the loop for some milliseconds, but all of a large fleet for 50."""


def tune() -> None:
    """Set the interpreter up for a loop that nothing may hold up. What was recalled stays, so it is not searched."""
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLD)
    sys.setswitchinterval(SWITCH_INTERVAL)


async def watch(
    config: Config,
    store: Store,
    path: Path,
    environ: Mapping[str, str],
    *,
    files: Files,
    exposed: Iterable[Exposed] = (),
    dry_run: bool,
) -> None:
    """Run the daemon until it is asked to stop.

    ``files`` is what the configuration was read from, to be followed; ``exposed`` are the files it warned of.

    Raises as ``Daemon.run``.
    """
    metrics = new_metrics()
    async with open_runtime(config, store, dry_run=dry_run, metrics=metrics, replica=True) as runtime:
        tune()
        runtime.telemetry.exposed(exposed)
        await Daemon(runtime, metrics, path, environ, files=files).run()
