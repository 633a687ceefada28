"""Several processes in one time: each has an event loop of its own, and one of them makes a turn at a time.

A loop that is not given its turn stands still in the middle of everything while the clocks go on, which is what SIGSTOP
and a machine that is suspended do. Everything is decided by the dice: the same seed, the same order.
"""

import asyncio
import heapq
import math
import threading
from collections import deque
from itertools import count

from tests.harness.dns import DnsLoop
from tests.harness.simulation.environment import no_fault_of
from tests.harness.time import SealedLoop

RESOLUTION = 1e-6
"""Seconds by which a timer may be early: sums of floats are rounded."""


class ReplicaLoop(SealedLoop, DnsLoop):
    """The event loop of one process on one ``machine``. Its threads wait as long as the way to the database asks."""

    def __init__(self, time, machine):
        self._world, self._machine = time, machine
        self.resolver = None
        self._threads = {}
        super().__init__()
        self.set_exception_handler(self._failed)

    def time(self):
        return self._world.seconds - self._machine.slept

    def look(self, *_):
        """Nothing comes on sockets: all networks are simulated. Time is moved on by ``Turns`` alone."""
        return ()

    @property
    def ready(self):
        """Whether it has something to do at this moment."""
        return bool(self._ready)

    def due(self):
        """When it has something to do, in the world's seconds; never is infinity."""
        if self._ready:
            return self._world.seconds
        while self._scheduled and self._scheduled[0]._cancelled:  # noqa: SLF001  as the loop itself drops them
            heapq.heappop(self._scheduled)._scheduled = False  # noqa: SLF001  the same
            self._timer_cancelled_count -= 1
        return self._scheduled[0]._when + self._machine.slept if self._scheduled else math.inf  # noqa: SLF001  too

    def turn(self):
        """One turn, in which nobody else does anything."""
        asyncio._set_running_loop(self)  # noqa: SLF001  as ``run_forever`` does
        self._thread_id = threading.get_ident()
        try:
            self._run_once()
        finally:
            self._thread_id = None
            asyncio._set_running_loop(None)  # noqa: SLF001  as `run_forever` ends

    def run_in_executor(self, executor, func, *args):
        if executor is None:
            return super().run_in_executor(executor, func, *args)
        thread = self._threads.setdefault(executor, _Thread(self, self._machine.way))
        return thread.do(func, args)

    def add_signal_handler(self, sig, callback, *args):
        """There is one process in truth, and its signals are the tests'."""

    def remove_signal_handler(self, sig):  # noqa: ARG002  its signature
        return False

    def ask(self, _, question):
        return self.resolver.reply(question)

    def takes(self, _):
        return 0.0

    async def sock_sendall(self, sock, data):
        with no_fault_of(self._world):
            await super().sock_sendall(sock, data)

    def _failed(self, _, context):
        """What nobody waits for must not fail unseen."""
        if self._world.broken is None:
            self._world.broken = context.get("exception") or RuntimeError(context["message"])


class _Thread:
    """One thread that asks the database: one question at a time, and each takes as long as the way there."""

    def __init__(self, loop, way):
        self._loop, self._way = loop, way
        self._waiting = deque()
        self._busy = False

    def do(self, func, args):
        future = self._loop.create_future()
        self._waiting.append((future, func, args))
        if not self._busy:
            self._begin()
        return future

    def _begin(self):
        self._busy = True
        there, back = self._way.takes()
        if there:
            self._loop.call_later(there, self._ask, back)
        else:
            self._loop.call_soon(self._ask, back)

    def _ask(self, back):
        future, func, args = self._waiting.popleft()
        try:
            result, error = func(*args), None
        except Exception as failed:  # noqa: BLE001  it belongs to whoever waits
            result, error = None, failed
        if back:
            self._loop.call_later(back, self._answer, future, result, error)
        else:
            self._answer(future, result, error)

    def _answer(self, future, result, error):
        if not future.cancelled():
            if error is None:
                error = self._way.lost()
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)
        self._busy = bool(self._waiting)
        if self._busy:
            self._begin()


class Turns:
    """Gives each loop its turns, and lets happen what is to happen, in the order of time."""

    def __init__(self, time, dice):
        self._time, self._dice = time, dice
        self._agenda = []
        self._order = count()
        self.loops = {}  # loop: what is called before each of its turns, and says whether it may make it
        self.stopped = set()  # loops that make no turns
        self.made = 0

    def at(self, when, do, *args):
        """Let something be done then, or now where that is over."""
        heapq.heappush(self._agenda, (when, next(self._order), do, args))

    def go_on(self, until):
        """Until then. Raises what was broken meanwhile."""
        time = self._time
        while True:
            if time.broken is not None:
                raise time.broken
            due, next_at = [], math.inf
            for loop in self.loops:
                if loop not in self.stopped:
                    at = loop.due()
                    due.append((loop, at))
                    next_at = min(next_at, at)
            if self._agenda and self._agenda[0][0] <= next_at:
                when, _, do, args = heapq.heappop(self._agenda)
                time.seconds = max(time.seconds, when)
                do(*args)
                continue
            if next_at > until:
                time.seconds = max(time.seconds, until)
                return
            time.seconds = max(time.seconds, next_at)
            now = time.seconds + RESOLUTION
            able = [loop for loop, at in due if at <= now]
            if len(able) == 1:
                self._alone(able[0])
            else:
                self._turn(self._dice.choice(able))

    def _alone(self, loop):
        """Until it has no more to do now: what others have to do comes with time, or stands on the agenda."""
        time, loops, agenda = self._time, self.loops, self._agenda
        self._turn(loop)
        while loop.ready and loop in loops and loop not in self.stopped and time.broken is None:
            if agenda and agenda[0][0] <= time.seconds:
                return
            self._turn(loop)

    def _turn(self, loop):
        if self.loops[loop]():
            self.made += 1
            loop.turn()
