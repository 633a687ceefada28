"""What every test may use: a loop whose time is simulated, and a clock that reads it."""

import asyncio
import selectors
import sys
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest

T = TypeVar("T")
START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Any:
    """Tests that go over the same lines a hundred times go without coverage's tracer, which doubles their time."""
    tracer = sys.gettrace()
    repeats = any(pyfuncitem.get_closest_marker(name) for name in ("hypothesis", "repeats"))
    if tracer is None or not repeats:
        return (yield)
    sys.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(tracer)


class _Selector(selectors.DefaultSelector):  # type: ignore[valid-type, misc]  # its class depends on the platform
    """Instead of waiting, moves the loop's time on."""

    loop: "SimulatedLoop"

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise RuntimeError("nothing is under way and nobody sleeps: this test would wait for ever")
        ready = super().select(0)
        if not ready and timeout > 0:
            self.loop.wait(timeout)
        self.loop.turned()
        return ready


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop in which a sleep of an hour takes no time at all."""

    def __init__(self) -> None:
        self.simulated = 1000.0
        self.gate: Callable[[Callable[[], Any]], Coroutine[Any, Any, Any]] | None = None
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)
        self._clock_resolution = 1e-6  # after half a year a nanosecond is rounded away, and no timer would go off

    def time(self) -> float:
        return self.simulated

    def wait(self, seconds: float) -> None:
        """Nothing can happen before that."""
        self.simulated += seconds

    def turned(self) -> None:
        """One more turn of the loop begins."""

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

    async def sleep(self, delay: timedelta) -> None:
        await asyncio.sleep(delay.total_seconds())


def simulated(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine on a loop with simulated time; no task may be left over."""
    loop = SimulatedLoop()
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


@pytest.fixture
def clock() -> LoopClock:
    return LoopClock()
