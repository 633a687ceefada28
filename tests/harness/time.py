"""Time as tests need it: a loop in which a sleep of an hour takes no time, and clocks to hand to the code under test.

``LoopClock`` follows the simulated loop, ``StandingClock`` stands still, ``ManualClock`` is moved by hand and by
its own sleeps.
"""

import asyncio
import functools
import heapq
import selectors
import threading
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

T = TypeVar("T")


START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
APPRISE = "apprise"
"""The name of the threads in which Apprise's plug-ins block."""
MANY = 50
"""Timers that were cancelled and still lie there."""


class _Selector(selectors.DefaultSelector):  # type: ignore[valid-type, misc]  # its class depends on the platform
    """Instead of waiting, moves the loop's time on."""

    loop: "SimulatedLoop"

    def select(self, timeout: float | None = None) -> Any:
        return self.loop.look(timeout, super().select)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop in which a sleep of an hour takes no time at all."""

    def __init__(self) -> None:
        self.simulated = 1000.0
        self.gate: Callable[[Callable[[], Any]], Coroutine[Any, Any, Any]] | None = None
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)
        self._clock_resolution = 1e-6  # after half a year a nanosecond is rounded away, and no timer would go off
        self._sockets = selector.get_map()

    def time(self) -> float:
        return self.simulated

    def look(self, timeout: float | None, select: Callable[[float], Any]) -> Any:
        """What has come on sockets, as a turn begins; where nothing has, time goes on to the next timer.

        That is in ``timeout`` seconds: zero while anything else is ready, ``None`` where there is no timer.
        """
        if timeout is None:
            raise RuntimeError("nothing is under way and nobody sleeps: this test would wait for ever")
        if timeout == 0:
            return select(0) if len(self._sockets) > 1 else []  # the one that each loop has only ends a wait
        if self.is_owed():
            return select(min(timeout, 0.01))
        ready = select(0)  # asked last: a thread that has ended meanwhile said so there
        if not ready:
            self.simulated += timeout
        return ready

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        """As the parent does it, but for what that looks at to help people find faults."""
        if self._closed:
            self._check_closed()
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def is_owed(self) -> bool:
        """Whether a thread works for this loop: then no time goes by."""
        return threading.active_count() > 1 and any(thread.name == APPRISE for thread in threading.enumerate())

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        """What goes to a thread of ours (the disk) goes through the ``gate``, where a test has set one.

        What goes to one of the loop's own threads only computes.
        """
        if self.gate is not None and executor is not None:
            return self.create_task(self.gate(lambda: self._soon(func, *args)))
        return self._soon(func, *args)

    def _soon(self, func: Any, *args: Any) -> "asyncio.Future[Any]":
        """Done in the loop's next turn and not in a thread: the same order every time, and whoever waits still waits.

        As in a thread, it is done even if nobody waits for it any more.
        """
        future = self.create_future()

        def work() -> None:
            try:
                result = func(*args)
            except Exception as error:  # noqa: BLE001  it belongs to whoever waits
                if not future.cancelled():
                    future.set_exception(error)
            else:
                if not future.cancelled():
                    future.set_result(result)

        self.call_soon(work)
        return future


class SealedLoop(SimulatedLoop):
    """One to which nothing comes from outside: neither by a socket nor from a thread."""

    def _run_once(self) -> None:
        """A turn, as the parent makes it, without what it does about sockets: a twentieth of a history."""
        ready, timers = self._ready, self._scheduled
        if self._timer_cancelled_count > len(timers) / 2 > MANY:  # the parent clears them away
            super()._run_once()
            return
        while timers and timers[0]._cancelled:  # noqa: SLF001  all of this is what the parent has for itself
            self._timer_cancelled_count -= 1
            heapq.heappop(timers)._scheduled = False  # noqa: SLF001  as above
        if ready or self._stopping:
            self.look(0, None)
        else:
            self.look(max(0.0, timers[0]._when - self.time()) if timers else None, None)  # noqa: SLF001  as above
        if timers:
            end = self.time() + self._clock_resolution
            while timers and timers[0]._when < end:  # noqa: SLF001  as above
                timer = heapq.heappop(timers)
                timer._scheduled = False  # noqa: SLF001  as above
                ready.append(timer)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:  # noqa: SLF001  as above
                handle._run()  # noqa: SLF001  as above


class LoopClock:
    """The clock of the running simulated loop: 12:00 when the loop begins."""

    boot = "the machine was not booted anew"

    def __init__(self, start: datetime = START) -> None:
        self._start = start
        self.step = timedelta(0)  # a step of the wall clock, as an administrator or NTP would make it

    def now(self) -> datetime:
        return self._start + self.step + timedelta(seconds=self.monotonic() - 1000.0)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    boottime = monotonic  # no machine is suspended

    async def sleep(self, delay: timedelta) -> None:
        await asyncio.sleep(delay.total_seconds())


def simulated(work: Callable[[], Coroutine[Any, Any, T]], loop: SimulatedLoop | None = None) -> T:
    """Run a coroutine on a loop with simulated time; no task may be left over."""
    loop = loop or SimulatedLoop()
    try:
        asyncio.set_event_loop(loop)
        result = loop.run_until_complete(work())
        left = [task for task in asyncio.all_tasks(loop) if not task.done()]
        assert not left, f"left over: {left}"
        loop.run_until_complete(loop.shutdown_asyncgens())
        return result
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def in_simulated_time(test):
    """The test is a coroutine; its hours take no time."""

    @functools.wraps(test)
    def run(*args, **kwargs):
        return simulated(lambda: test(*args, **kwargs))

    return run


class StandingClock:
    """Stands still until it is told otherwise."""

    def __init__(self):
        self.at = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)

    def now(self):
        return self.at

    def monotonic(self):
        return self.at.timestamp()

    def advance(self, **duration):
        self.at += timedelta(**duration)

    async def sleep(self, _delay):
        raise AssertionError("telemetry do not wait")


class ManualClock:
    def __init__(self) -> None:
        self.time = datetime(2026, 11, 1, 12, tzinfo=UTC)
        self.slept = []

    def now(self) -> Any:
        return self.time

    def monotonic(self) -> Any:
        return self.time.timestamp()

    async def sleep(self, delay: Any) -> None:
        self.slept.append(delay)
        self.time += delay

    def advance(self, **duration: Any) -> None:
        self.time += timedelta(**duration)


class Death:
    """A ``gate`` that closes for good: at the ``at``-th crossing to the disk or the network, or back from it."""

    def __init__(self, at: int) -> None:
        self.at, self.crossed, self.came = at, 0, asyncio.Event()

    async def __call__(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        await self._cross()
        result = await work()
        await self._cross()
        return result

    async def _cross(self) -> None:
        if self.crossed == self.at:
            self.came.set()
        if self.came.is_set():
            await asyncio.Event().wait()  # nobody hears of anything any more
        self.crossed += 1
