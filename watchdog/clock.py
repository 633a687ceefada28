"""The one reader of real time. Everyone else is handed a ``Clock`` (``model.clock``); ruff bans the calls elsewhere."""

import asyncio
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class RealClock:
    """Real time. ``boot`` names the boot that the monotonic clock belongs to; empty where the system does not say."""

    def __init__(self) -> None:
        self.boot = ""
        with suppress(OSError):  # elsewhere than on Linux
            self.boot = _BOOT_ID.read_text("ascii").strip()

    def now(self) -> datetime:
        """Wall time, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since some start, never set back."""
        return time.monotonic()

    async def sleep(self, delay: timedelta) -> None:
        """Wait."""
        await asyncio.sleep(delay.total_seconds())


class SharedClock:
    """The clock of a database that several machines share, so that all of them note their times by the same one.

    It is asked now and then (``follow``) and counts on from there. What it counts includes the time that a machine is
    suspended, so that whoever wakes knows how long that was.
    """

    def __init__(self, at: datetime, before: float, after: float) -> None:
        """The database said ``at``, asked between these two readings of ``since_boot``."""
        self._real = RealClock()
        self.boot = self._real.boot
        self._at, self._read = at, (before + after) / 2

    def follow(self, at: datetime, before: float, after: float) -> None:
        """The database said ``at``, asked between these two readings. What the way there explains changes nothing."""
        found = at - timedelta(seconds=(before + after) / 2)
        if abs(found - (self._at - timedelta(seconds=self._read))) > timedelta(seconds=(after - before) / 2):
            self._at, self._read = at, (before + after) / 2

    def now(self) -> datetime:
        """The database's time, in UTC."""
        return self._at + timedelta(seconds=self.monotonic() - self._read)

    def monotonic(self) -> float:
        """Seconds since the machine was started."""
        return since_boot()

    async def sleep(self, delay: timedelta) -> None:
        """Wait."""
        await self._real.sleep(delay)


def since_boot() -> float:
    """Seconds since the machine was started, those it was suspended too."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class FastClock:
    """A clock that runs ``speed`` times as fast as real time, from now on. No other process can count by it."""

    boot = ""

    def __init__(self, speed: float) -> None:
        self.speed = speed
        self._real = RealClock()
        self._start, self._began = self._real.now(), self._real.monotonic()

    def now(self) -> datetime:
        """Its wall time, in UTC."""
        return self._start + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        """Its seconds since it began."""
        return (self._real.monotonic() - self._began) * self.speed

    async def sleep(self, delay: timedelta) -> None:
        """Wait, so much shorter."""
        await self._real.sleep(delay / self.speed)
