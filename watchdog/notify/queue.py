"""Letters on their way: one lane per destination, so that a broken one never holds up another, or a pass.

In a lane, letters go in order; one that is not accepted is tried again after 5 s, 10 s, 20 s, … up to 15 min, or when
the other side asks for. A letter leaves the outbox only after its destination has accepted it: what a kill cuts off is
sent again, so a letter arrives at least once, and seldom twice. A lane is bounded: letters older than ``OLDEST``, more
than ``MOST``, and those a destination refuses as such are dropped, and that is told.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from watchdog.model.alerts import Letter
from watchdog.model.clock import Clock
from watchdog.notify.channel import Channel, Undelivered

FIRST_WAIT = timedelta(seconds=5)
LONGEST_WAIT = timedelta(minutes=15)
OLDEST = timedelta(days=3)
"""A weekend. What lasts longer is said again by then, and what is over is news to nobody."""
MOST = 200
"""Letters of one destination: many days of bad news, and still few enough to be read."""
HOPELESS_TRIES = 3
"""How often a letter is sent that the destination says it will not take (HTTP 400 and the like)."""


class DeliveryOutcome(StrEnum):
    """What became of a try; the ``outcome`` label of ``notifications_total``."""

    ACCEPTED = "accepted"
    FAILED = "failed"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """One try at one destination. ``next_at`` is when it is tried again; ``title`` is of the letter, if it was one."""

    destination: str
    outcome: DeliveryOutcome
    title: str = ""
    error: str = ""
    next_at: datetime | None = None


class Lane:
    """The letters of one destination."""

    def __init__(
        self,
        name: str,
        channel: Channel,
        letters: Iterable[Letter],
        clock: Clock,
        gone: Callable[[Letter], Awaitable[None]],
        told: Callable[[DeliveryAttempt], None],
    ) -> None:
        """``gone`` is awaited when a letter need not be kept any more; ``told`` hears of every try."""
        self._name = name
        self._channel = channel
        self._letters = deque(letters)
        self._clock = clock
        self._gone = gone
        self._told = told
        self._tries = 0
        self._ending = False
        self._more = asyncio.Event()
        self.settled = asyncio.Event()  # nothing is left, or the first of them was just not accepted
        self.sending = False

    def left(self) -> list[Letter]:
        """What was not delivered."""
        return list(self._letters)

    def last(self) -> None:
        """End after the letter that is on the wire."""
        self._ending = True

    def put(self, letter: Letter) -> None:
        """One more letter."""
        self._letters.append(letter)
        self.settled.clear()
        self._more.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        await self._check()
        while not self._ending:
            await self._drop_what_is_too_much()
            if not self._letters:
                self.settled.set()
                self._more.clear()
                await self._more.wait()
                continue
            await self._try(self._letters[0])

    async def _check(self) -> None:
        """Say at once that a destination can never be reached: the first alert is too late for that."""
        try:
            await self._channel.check()
        except Undelivered as why:
            self._told(DeliveryAttempt(self._name, DeliveryOutcome.FAILED, error=str(why)))

    async def _try(self, letter: Letter) -> None:
        error, wait, hopeless = await self._send(letter)
        title = letter.message.title
        if not error:
            self._tries = 0
            self._letters.popleft()
            self._told(DeliveryAttempt(self._name, DeliveryOutcome.ACCEPTED, title))
            await self._gone(letter)
            return
        self._tries += 1
        if hopeless and self._tries >= HOPELESS_TRIES:
            await self._drop(error)
            return
        wait = max(wait_after(self._tries), min(wait, LONGEST_WAIT))
        self._told(DeliveryAttempt(self._name, DeliveryOutcome.FAILED, title, error, self._clock.now() + wait))
        self.settled.set()
        if not self._ending:
            await self._clock.sleep(wait)

    async def _send(self, letter: Letter) -> tuple[str, timedelta, bool]:
        """Why it was not accepted (empty when it was), how long to wait at least, and whether it is hopeless."""
        self.sending = True
        try:
            await self._channel.send(letter)
        except Undelivered as why:
            return str(why), why.retry_after, why.hopeless
        except Exception as surprise:  # noqa: BLE001  a defect of one channel must not end its lane; its text may be secret
            return _defect(surprise), timedelta(0), True
        finally:
            self.sending = False
        return "", timedelta(0), False

    async def _drop_what_is_too_much(self) -> None:
        while len(self._letters) > MOST:
            await self._drop(f"more than {MOST} are waiting")
        while self._letters and self._clock.now() - self._letters[0].message.at > OLDEST:
            await self._drop(f"it is older than {OLDEST.days} days")

    async def _drop(self, why: str) -> None:
        self._tries = 0
        letter = self._letters.popleft()
        self._told(DeliveryAttempt(self._name, DeliveryOutcome.DROPPED, letter.message.title, why))
        await self._gone(letter)


class Refresh:
    """Tells one Alertmanager what holds: at once when ``wake`` is called, and every so often."""

    def __init__(
        self, name: str, every: timedelta, tell: Callable[[], Awaitable[str]], told: Callable[[DeliveryAttempt], None]
    ) -> None:
        """``tell`` gives a title when what it told was new."""
        self._name = name
        self._every = every
        self._tell = tell
        self._told = told
        self._wake = asyncio.Event()
        self.settled = asyncio.Event()  # what holds was told, or could not be

    def wake(self) -> None:
        """What holds has changed."""
        self.settled.clear()
        self._wake.set()

    async def run(self) -> None:
        """Tell until cancelled."""
        while True:
            self._wake.clear()
            try:
                title = await self._tell()
            except Undelivered as why:
                self._told(DeliveryAttempt(self._name, DeliveryOutcome.FAILED, error=str(why)))
            except Exception as surprise:  # noqa: BLE001  a defect must not end what keeps alerts from resolving
                self._told(DeliveryAttempt(self._name, DeliveryOutcome.FAILED, error=_defect(surprise)))
            else:
                self._told(DeliveryAttempt(self._name, DeliveryOutcome.ACCEPTED, title))
            if not self._wake.is_set():
                self.settled.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every.total_seconds()):
                    await self._wake.wait()


def _defect(surprise: Exception) -> str:
    return f"this is a defect of certpack-watchdog: {type(surprise).__name__}"


def wait_after(tries: int) -> timedelta:
    """How long to wait after so many tries that failed in a row."""
    times: int = 2 ** min(tries - 1, 10)
    return min(FIRST_WAIT * times, LONGEST_WAIT)
