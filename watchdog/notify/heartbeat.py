"""The dead man's switch: a URL that is asked for after every completed pass, its ``/fail`` variant when one failed.

Whoever is at that URL calls a person when nothing comes any more. One ping at a time; a newer one replaces one that
still waits. A ping that is lost is tried twice more, then left to the next pass. healthchecks.io answers 200 to a check
that it does not know (any more); nobody would be called then, so that is a ping that is lost.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import urlsplit, urlunsplit

from watchdog.model.clock import Clock
from watchdog.notify.channel import Delivery, Undelivered
from watchdog.notify.http import HttpSender

WAITS = (timedelta(seconds=5), timedelta(seconds=20))
"""Before the second and the third try: well before the next pass of a usual configuration."""

DEADLINE = timedelta(seconds=10)

_SENTENCE = 100
"""Bytes of an answer that is a sentence and no page."""


class Heartbeat(Delivery):
    """Pings one URL. ``lost`` is told why a ping was given up."""

    def __init__(self, url: str, http: HttpSender, clock: Clock, lost: Callable[[str], None]) -> None:
        super().__init__()
        self._url = url
        self._http = http
        self._clock = clock
        self._lost = lost
        self._wanted: str | None = None
        self._wake = asyncio.Event()
        self.settled.set()  # the last ping went through, or was given up

    def pass_completed(self, *, failed: bool) -> None:
        """Ping; at the URL that says so when the pass ``failed``."""
        self._wanted = failing(self._url) if failed else self._url
        self.settled.clear()
        self._wake.set()

    async def run(self) -> None:
        """Send pings as they are wanted, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            for wait in (*WAITS, None):
                url = self._wanted or self._url
                try:
                    await self._http.send("GET", url, deadline=DEADLINE, doubt=unknown)
                    break
                except Undelivered as why:
                    if wait is None:
                        self._lost(str(why))
                    else:
                        await self._clock.sleep(wait)
            if not self._wake.is_set():
                self.settled.set()


def unknown(body: bytes) -> str:
    """Why a ping that was answered with a success went to nobody; empty where it did not.

    >>> unknown(b"OK (not found)")
    'it was answered, but there is no such check: nobody would be called'
    >>> unknown(b"OK (rate limited)")
    ''
    """
    gone = len(body) <= _SENTENCE and b"not found" in body.lower()
    return "it was answered, but there is no such check: nobody would be called" if gone else ""


def failing(url: str) -> str:
    """The variant of a ping URL that says a run failed.

    >>> failing("https://hc.example/ping/1?rid=2")
    'https://hc.example/ping/1/fail?rid=2'
    """
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/fail"))
