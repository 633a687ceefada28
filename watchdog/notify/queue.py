"""How messages, and alerts, get to one destination: each has a task of its own, so that none holds up another.

A ``MessageQueue`` delivers in order; a message that is not accepted is tried again after 5 s, 10 s, 20 s, … up to
15 min, or when the other side asks for. A message leaves the outbox only after its destination has accepted it: what a
kill cuts off is sent again, so it arrives at least once, and seldom twice. A queue is bounded: messages older than
``OLDEST``, more than ``MOST``, and those a destination refuses as such are dropped, and that is reported. One that is
refused for no known reason lets those about other things pass, and is dropped once three of them were accepted.

A ``Refresh`` has no queue: it sends all that fires, again and again, to a destination that keeps it for a while only.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta

import msgspec

from watchdog.model.alerts import Message
from watchdog.model.clock import Clock
from watchdog.model.outcomes import DeliveryOutcome
from watchdog.model.text import defect_alone
from watchdog.notify.channel import Channel, Delivery, Undelivered

FIRST_WAIT = timedelta(seconds=5)
LONGEST_WAIT = timedelta(minutes=15)
OLDEST = timedelta(days=3)
"""A weekend. What lasts longer is said again by then, and what is over is news to nobody."""
TRIED_FOR = timedelta(hours=1)
"""How long a message is tried after a start, however old it seems: the clock of a machine that was just started may be
ahead by days, and what was dropped for that would be told to nobody."""
MOST = 200
"""Messages to one destination: many days of bad news, and still few enough to be read."""
HOPELESS_TRIES = 3
"""How often a message is sent that the destination says it will not take (HTTP 400 and the like)."""


class DeliveryAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try at one destination.

    ``title`` is empty where nothing new was sent; ``message`` is what was, where it was one. ``next_at`` is when it is
    tried again, if it is.
    """

    destination: str
    outcome: DeliveryOutcome
    title: str = ""
    error: str = ""
    next_at: datetime | None = None
    message: Message | None = None


Report = Callable[[DeliveryAttempt], None]
"""Is called with every try."""


class MessageQueue(Delivery):
    """The messages to one destination."""

    takes_messages = True

    def __init__(
        self,
        name: str,
        channel: Channel,
        *,
        clock: Clock,
        forget: Callable[[Message], Awaitable[None]],
        report: Report,
        may_tell: Callable[[str], bool] = lambda _account: True,
    ) -> None:
        """``forget`` is awaited when a message need not be kept any more.

        ``may_tell`` says whether this process may tell of an account now, or another one may do so.
        """
        super().__init__()
        self._may_tell = may_tell
        self._name = name
        self._channel = channel
        self._messages: deque[Message] = deque()
        self._born: dict[int, float] = {}  # by id: when it was made, by the clock that nobody sets
        self._clock = clock
        self._forget = forget
        self._report = report
        self._tries = 0
        self._overtaken = 0
        self._first_is_next = True
        self._ending = False
        self._more = asyncio.Event()

    def undelivered(self) -> list[Message]:
        """What was not accepted yet, in order."""
        return list(self._messages)

    def finish(self) -> None:
        """End after the message that is on the wire."""
        self._ending = True

    def put(self, message: Message) -> None:
        """One more message."""
        age = min(max(self._clock.now() - message.at, timedelta(0)), OLDEST - TRIED_FOR)
        self._born[message.id] = self._clock.monotonic() - age.total_seconds()
        self._messages.append(message)
        self.settled.clear()
        self._more.set()

    def withdraw(self, account: str) -> None:
        """Another replica delivers what there is of this account; what is on the wire may arrive twice."""
        self._messages = deque(message for message in self._messages if message.owner != account)
        self._forget_births()
        self._tries = self._overtaken = 0
        self._first_is_next = True

    async def run(self) -> None:
        """Deliver until cancelled."""
        await self._check()
        while not self._ending:
            await self._drop_what_is_too_much()
            if not self._messages:
                self.settled.set()
                self._more.clear()
                await self._more.wait()
                continue
            await self._try(self._messages[self._next()])

    async def _check(self) -> None:
        """Report at once that a destination can never be reached: the first alert is too late for that."""
        try:
            await self._channel.check()
        except Undelivered as why:
            self._note(DeliveryOutcome.FAILED, error=str(why))

    def _next(self) -> int:
        """Which message is tried: the first or, each second time once that was refused often enough, one behind it.

        Where that one is accepted, the destination works, and it is the first that it will not take. It is one of
        another group and about other packs than all before it, whichever account they were watched by. So no end of an
        alert ever overtakes its start, and no new trouble of a pack overtakes the end of its last one, which would be
        the last word.
        """
        if self._first_is_next or self._tries < HOPELESS_TRIES:
            return 0
        groups: set[tuple[str, str]] = set()
        packs: set[tuple[str, tuple[str, ...]]] = set()
        for number, message in enumerate(self._messages):
            group = (message.reason, message.account)
            alerts = [notice.alert for notice in message.notices]
            about = {(alert.zone_id, alert.hosts) for alert in alerts if alert.hosts}
            if number and group not in groups and not about & packs:
                return number
            groups.add(group)
            packs |= about
        return 0

    async def _try(self, message: Message) -> None:
        first = message is self._messages[0]
        if not self._may_tell(message.owner):
            self.settled.set()
            await self._clock.sleep(FIRST_WAIT)
            return
        refusal = await self._send(message)
        self._first_is_next = not first
        if message not in self._messages:  # it was withdrawn meanwhile
            if refusal is None:
                self._note(DeliveryOutcome.ACCEPTED, message)
            return
        if refusal is None:
            self._tries = 0 if first else HOPELESS_TRIES
            self._overtaken = 0 if first else self._overtaken + 1
            self._messages.remove(message)
            self._forget_births()
            self._note(DeliveryOutcome.ACCEPTED, message)
            await self._forget(message)
            return
        self._tries += 1
        hopeless = refusal.hopeless and self._tries >= HOPELESS_TRIES
        if first and (hopeless or self._overtaken >= HOPELESS_TRIES):
            await self._drop(str(refusal))
            return
        wait = max(wait_after(self._tries), min(refusal.retry_after, LONGEST_WAIT))
        self._note(DeliveryOutcome.FAILED, message, str(refusal), self._clock.now() + wait)
        self.settled.set()
        if not self._ending:
            await self._clock.sleep(wait)

    async def _send(self, message: Message) -> Undelivered | None:
        """Why it was not accepted; ``None`` when it was."""
        self.sending = True
        try:
            await self._channel.send(message)
        except Undelivered as why:
            return why
        except Exception as surprise:  # noqa: BLE001  a defect of one channel must not end its queue; its text may be secret
            return Undelivered(defect_alone(surprise), hopeless=True)
        finally:
            self.sending = False
        return None

    async def _drop_what_is_too_much(self) -> None:
        while len(self._messages) > MOST:
            await self._drop(f"more than {MOST} are waiting")
        while self._messages and self._age(self._messages[0]) > OLDEST:
            await self._drop(f"it is older than {OLDEST.days} days")

    def _forget_births(self) -> None:
        """Keep those of messages that wait; two may have one number, where the state could give none."""
        self._born = {message.id: self._born[message.id] for message in self._messages}

    def _age(self, message: Message) -> timedelta:
        return timedelta(seconds=self._clock.monotonic() - self._born[message.id])

    async def _drop(self, why: str) -> None:
        self._tries = self._overtaken = 0
        self._first_is_next = True
        message = self._messages.popleft()
        self._forget_births()
        self._note(DeliveryOutcome.DROPPED, message, why)
        await self._forget(message)

    def _note(
        self, outcome: DeliveryOutcome, message: Message | None = None, error: str = "", next_at: datetime | None = None
    ) -> None:
        self._report(
            DeliveryAttempt(
                destination=self._name,
                outcome=outcome,
                title=message.title if message is not None else "",
                error=error,
                next_at=next_at,
                message=message,
            )
        )


class Refresh(Delivery):
    """Sends what fires to one destination: at once when that changes, and every so often."""

    def __init__(self, name: str, every: timedelta, refresh: Callable[[], Awaitable[str]], report: Report) -> None:
        """``refresh`` sends all that fires, and gives a title when that was new. It raises ``Undelivered``."""
        super().__init__()
        self._name = name
        self._every = every
        self._refresh = refresh
        self._report = report
        self._wake = asyncio.Event()

    def alerts_changed(self) -> None:
        """Send at once."""
        self.settled.clear()
        self._wake.set()

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            self._wake.clear()
            title, error = "", ""
            try:
                title = await self._refresh()
            except Undelivered as why:
                error = str(why)
            except Exception as surprise:  # noqa: BLE001  a defect must not end what keeps alerts from resolving
                error = defect_alone(surprise)
            outcome = DeliveryOutcome.FAILED if error else DeliveryOutcome.ACCEPTED
            self._report(DeliveryAttempt(destination=self._name, outcome=outcome, title=title, error=error))
            if not self._wake.is_set():
                self.settled.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every.total_seconds()):
                    await self._wake.wait()


def wait_after(tries: int) -> timedelta:
    """How long to wait after so many tries that failed in a row."""
    times: int = 2 ** min(tries - 1, 10)
    return min(FIRST_WAIT * times, LONGEST_WAIT)
