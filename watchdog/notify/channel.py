"""The two protocols of this room: a channel delivers one message or says why not; a delivery runs for one destination.

One file beside this per kind of channel; the kinds never meet. A channel knows how one service is spoken to and keeps
no queue. A ``Delivery`` is what ``destinations`` starts, ends and hands things to, and all it knows of them: a queue of
messages (``queue.MessageQueue``), alerts that are sent again and again (``queue.Refresh``), or the heartbeat.
"""

import asyncio
from datetime import timedelta
from typing import Protocol

from watchdog.model.alerts import Message


class Undelivered(Exception):
    """A message was not accepted. ``str()`` says why, and nothing secret.

    ``hopeless`` when the other side will not take this message however often it is sent; ``retry_after`` is how long it
    asked to be left alone.
    """

    def __init__(self, text: str, *, hopeless: bool = False, retry_after: timedelta = timedelta(0)) -> None:
        super().__init__(text)
        self.hopeless = hopeless
        self.retry_after = retry_after


class Channel(Protocol):
    """The way to one destination."""

    async def check(self) -> None:
        """Whether anything could be delivered at all, before there is anything to deliver. Raises ``Undelivered``."""

    async def send(self, message: Message) -> None:
        """Return once the destination has accepted it. Raises ``Undelivered``, within a bounded time."""


class Delivery:
    """What runs for one destination, in a task of its own. Each kind overrides what concerns it; the rest is nothing.

    ``takes_messages`` says whether ``put`` is for it. ``sending`` is true while something is on the wire that should
    arrive before the process ends. ``settled`` is set while nothing waits that was not tried.
    """

    takes_messages = False

    def __init__(self) -> None:
        self.sending = False
        self.settled = asyncio.Event()

    async def run(self) -> None:
        """Deliver until cancelled, or until what is on the wire has arrived after ``finish``."""
        raise NotImplementedError

    def put(self, message: Message) -> None:
        """One more message."""

    def undelivered(self) -> list[Message]:
        """The messages that were not accepted yet."""
        return []

    def withdraw(self, account: str) -> None:
        """Another replica delivers what there is of this account."""

    def alerts_changed(self) -> None:
        """Other alerts fire than before."""

    def pass_completed(self, *, failed: bool) -> None:
        """A pass is over; ``failed`` when it saw nothing, or its results cannot be kept."""

    def finish(self) -> None:
        """End after what is on the wire."""
