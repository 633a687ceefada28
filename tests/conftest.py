"""What every test may use: a loop whose time is simulated, and a clock that reads it."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest

T = TypeVar("T")
START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


class _Selector(selectors.DefaultSelector):  # type: ignore[valid-type, misc]  # its class depends on the platform
    """Instead of waiting, moves the loop's time on. Only real I/O (worker threads, sockets) is really waited for."""

    loop: "SimulatedLoop"

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            if not self.loop.threads:
                raise RuntimeError("nothing is under way and nobody sleeps: this test would wait for ever")
            return super().select(None)
        ready = super().select(0)
        if ready or timeout <= 0:
            return ready
        if self.loop.threads:
            # Somebody works in a thread: its answer comes before any time passes.
            return super().select(5)
        self.loop.simulated += timeout
        return ready


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop in which a sleep of an hour takes no time at all."""

    def __init__(self) -> None:
        self.simulated = 1000.0
        self.threads = 0
        self.gate: Callable[[Callable[[], Any]], Coroutine[Any, Any, Any]] | None = None
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.simulated

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        """What goes to a thread goes through the ``gate``, where a test has set one."""
        if self.gate is not None:
            return self.create_task(self.gate(lambda: self._in_a_thread(executor, func, *args)))
        return self._in_a_thread(executor, func, *args)

    def _in_a_thread(self, executor: Any, func: Any, *args: Any) -> Any:
        self.threads += 1
        future = super().run_in_executor(executor, func, *args)

        def ended(_: Any) -> None:
            self.threads -= 1

        future.add_done_callback(ended)
        return future


class LoopClock:
    """The clock of the running simulated loop: 12:00 when the loop begins."""

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
