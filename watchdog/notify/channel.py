"""What every channel is: it delivers one letter, or says why not. One file beside this per kind; they never meet."""

from datetime import timedelta
from typing import Protocol

from watchdog.model.alerts import Letter


class Undelivered(Exception):
    """A letter was not accepted. ``str()`` says why, and nothing secret.

    ``hopeless`` when the other side will not take this letter however often it is sent; ``retry_after`` is how long it
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

    async def send(self, letter: Letter) -> None:
        """Return once the destination has accepted the letter. Raises ``Undelivered``, within a bounded time."""
