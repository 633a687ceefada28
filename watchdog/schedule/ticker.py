"""The ticker: APScheduler rings at a fixed period, and ringing is all it does.

Three traps of APScheduler 3.11 are the reason. Its ``shutdown`` cancels a running async job, so a PATCH in flight would
die with SIGTERM: the job therefore only rings. A job that starts a second late is silently skipped unless
``misfire_grace_time`` is ``None``. And a missed ring must count once, not as often as it was missed: ``coalesce``.
"""

from collections.abc import Callable
from datetime import UTC, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

_JOB = "ring"


class Ticker:
    """Calls ``ring`` in the loop's thread: once at the start, then every ``period``."""

    def __init__(self, period: timedelta, ring: Callable[[], None]) -> None:
        self._rings = ring
        self._period = period
        self._scheduler = AsyncIOScheduler(timezone=UTC)

    def start(self) -> None:
        """Ring now, and go on ringing."""
        self._rings()
        self._scheduler.add_job(
            self._tick,
            IntervalTrigger(seconds=self._period.total_seconds(), timezone=UTC),
            id=_JOB,
            coalesce=True,
            max_instances=1,
            misfire_grace_time=None,
        )
        self._scheduler.start()

    def retune(self, period: timedelta) -> None:
        """Ring every ``period`` from now on."""
        if period != self._period:
            self._period = period
            self._scheduler.reschedule_job(_JOB, trigger=IntervalTrigger(seconds=period.total_seconds(), timezone=UTC))

    def tick_now(self) -> None:
        """Ring now, and every period from now on: whatever the scheduler waits for, it is not this moment's time."""
        self._scheduler.reschedule_job(
            _JOB, trigger=IntervalTrigger(seconds=self._period.total_seconds(), timezone=UTC)
        )
        self._rings()

    async def _tick(self) -> None:
        """A coroutine on purpose: APScheduler runs plain functions in a thread of its own."""
        self._rings()

    def stop(self) -> None:
        """Ring no more. Nothing that runs is touched."""
        self._scheduler.shutdown(wait=False)
