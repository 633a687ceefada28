"""The one reader of real time. Everyone else is handed a ``Clock`` (``model.clock``); ruff bans the calls elsewhere."""

import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from watchdog.model.clock import Clock

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

    monotonic = staticmethod(time.monotonic)  # a request asks it ten times: as a method it took three times as long
    """Seconds since some start, never set back."""

    def boottime(self) -> float:
        """Seconds since the machine was started, those it was suspended too; where nobody counts them, without."""
        return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))

    async def sleep(self, delay: timedelta) -> None:
        """Wait."""
        import asyncio  # noqa: PLC0415  who only tells the time does without: 8 % of `status`

        await asyncio.sleep(delay.total_seconds())


class Enduring(Clock, Protocol):
    """A machine's clocks, with one that goes on while the machine is suspended."""

    def boottime(self) -> float:
        """Seconds since the machine was started, those it was suspended too."""


class SharedClock:
    """The clock of a database that several machines share, so that all of them note their times by the same one.

    It is asked now and then (``follow``) and counts on from there. What it counts includes the time that the machine is
    suspended, so that whoever wakes knows how long that was.
    """

    def __init__(self, machine: Enduring, at: datetime, before: float) -> None:
        """The database said ``at`` just now, asked at ``before`` by the ``boottime`` of the ``machine``."""
        self._machine = machine
        self.boot = machine.boot
        self._at, self._read = at, (before + machine.boottime()) / 2

    def follow(self, at: datetime, before: float) -> None:
        """The database said ``at`` just now, asked at ``before``. What the way there explains changes nothing."""
        after = self.monotonic()
        read = (before + after) / 2
        found = (at - timedelta(seconds=read)) - (self._at - timedelta(seconds=self._read))
        if abs(found) > timedelta(seconds=(after - before) / 2):
            self._at, self._read = at, read

    def now(self) -> datetime:
        """The database's time, in UTC."""
        return self._at + timedelta(seconds=self.monotonic() - self._read)

    def monotonic(self) -> float:
        """Seconds since the machine was started, those it was suspended too."""
        return self._machine.boottime()

    async def sleep(self, delay: timedelta) -> None:
        """Wait."""
        await self._machine.sleep(delay)


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
