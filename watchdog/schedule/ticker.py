"""The ticker: APScheduler ticks at a fixed period, and ticking is all it does.

Three traps of APScheduler 3.11 are the reason. Its ``shutdown`` cancels a running async job, so a PATCH in flight would
die with SIGTERM: the job therefore only ticks. A job that starts a second late is silently skipped unless
``misfire_grace_time`` is ``None``. And a missed tick must count once, not as often as it was missed: ``coalesce``.
"""

from collections.abc import Callable
from datetime import UTC, timedelta
from types import SimpleNamespace
from typing import Protocol

from watchdog.lean_imports import import_without

_INSTEAD = {  # it looks for plugins in what every installed package says, and has pools of processes: 25 ms
    "concurrent.futures.process": SimpleNamespace(BrokenProcessPool=None),
    "importlib.metadata": SimpleNamespace(
        PackageNotFoundError=None, entry_points=lambda **_: (), version=lambda _: "3.11"
    ),
    "multiprocessing": SimpleNamespace(),
}
import_without("apscheduler.schedulers.asyncio", instead=_INSTEAD)
import_without("apscheduler.triggers.interval", instead=_INSTEAD)
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

_JOB = "tick"


class Ticking(Protocol):
    """What begins the passes: a ``Ticker``, or another where time is simulated."""

    def start(self) -> None:
        """Tick now, and go on ticking."""

    def retune(self, period: timedelta) -> None:
        """Tick every ``period`` from now on."""

    def tick_now(self) -> None:
        """Tick now, and every period from now on."""

    def stop(self) -> None:
        """Tick no more."""


class Ticker:
    """Calls ``tick`` in the loop's thread: once at the start, then every ``period``."""

    def __init__(self, period: timedelta, tick: Callable[[], None]) -> None:
        self._tick = tick
        self._period = period
        self._scheduler = AsyncIOScheduler(timezone=UTC)

    def start(self) -> None:
        """Tick now, and go on ticking."""
        self._tick()
        self._scheduler.add_job(
            self._ticked, self._trigger(), id=_JOB, coalesce=True, max_instances=1, misfire_grace_time=None
        )
        self._scheduler.start()

    def retune(self, period: timedelta) -> None:
        """Tick every ``period`` from now on; where that is the period already, nothing changes."""
        if period != self._period:
            self._period = period
            self._scheduler.reschedule_job(_JOB, trigger=self._trigger())

    def tick_now(self) -> None:
        """Tick now, and every period from now on: whatever the scheduler waits for, it is not this moment's time."""
        self._scheduler.reschedule_job(_JOB, trigger=self._trigger())
        self._tick()

    def stop(self) -> None:
        """Tick no more. Nothing that runs is touched."""
        self._scheduler.shutdown(wait=False)

    async def _ticked(self) -> None:
        """A coroutine on purpose: APScheduler runs plain functions in a thread of its own."""
        self._tick()

    def _trigger(self) -> IntervalTrigger:
        return IntervalTrigger(seconds=self._period.total_seconds(), timezone=UTC)
