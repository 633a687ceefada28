"""Any Apprise URL: Slack, PagerDuty, Opsgenie, Teams, mail, ntfy and a hundred more. The door to apprise.

It is imported when a destination of this kind is first used (0.1 to 0.25 s of CPU), and it blocks, so each try runs in
a thread of its own that dies with the process. A try that hangs past its deadline is left alone, and none is begun
beside it. Apprise and the libraries under it put URLs into what they log; here they log nothing.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from watchdog.model.alerts import Message, MessageStatus
from watchdog.model.reasons import Severity
from watchdog.notify.channel import Undelivered

DEADLINE = timedelta(seconds=30)
"""For one try. Apprise's own for one connection is 4 s, but a mail may take several."""

_LOGGERS = ("apprise", "urllib3", "requests", "requests_oauthlib", "oauthlib")
_TYPES = {Severity.INFO: "info", Severity.WARNING: "warning", Severity.CRITICAL: "failure"}


class Service:
    """Delivers through the service that one Apprise URL names."""

    def __init__(self, url: str, load: Callable[[], Any] | None = None) -> None:
        """``load`` gives another Apprise than the installed one."""
        self._url = url
        self._load = load or _installed
        self._service: Any = None
        self._busy: asyncio.Future[bool] | None = None

    async def check(self) -> None:
        """Whether Apprise knows what this URL names."""
        await self._run(lambda: self._ready() is not None)

    async def send(self, message: Message) -> None:
        """Hand it to the service."""
        kind = "success" if message.status is MessageStatus.RESOLVED else _TYPES[message.severity]

        def work() -> bool:
            accepted = self._ready().notify(message.body, title=message.title, notify_type=kind, body_format="text")
            return bool(accepted)

        if not await self._run(work):
            raise Undelivered("the service did not accept it")

    def _ready(self) -> Any:
        """The service, made at the first use."""
        if self._service is None:
            apprise = self._load()
            # A redirect would carry the secret of the URL elsewhere; nothing is to be kept on the disk.
            # No deadline of its own: for that it would use threads that the end of the process waits for.
            asset = apprise.AppriseAsset(
                app_id="certpack-watchdog",
                async_mode=False,
                http_redirects=False,
                storage_mode="memory",
                service_timeout=0,
            )
            plugin = apprise.Apprise.instantiate(self._url, asset=asset)
            if plugin is None:
                raise Undelivered("Apprise knows no service for this URL")
            if not plugin.verify_certificate:
                hint = "name your own authority's file in REQUESTS_CA_BUNDLE instead"
                raise Undelivered(f"its URL turns the check of certificates off (verify=no), which is refused; {hint}")
            self._service = apprise.Apprise(asset=asset)
            self._service.add(plugin)
        return self._service

    async def _run(self, work: Callable[[], bool]) -> bool:
        """Do blocking work in a thread that nobody waits for at the end of the process."""
        if self._busy is not None and not self._busy.done():
            raise Undelivered("the try before this one still hangs")
        loop = asyncio.get_running_loop()
        self._busy = result = loop.create_future()
        threading.Thread(target=_told, args=(work, loop, result), name="apprise", daemon=True).start()
        try:
            async with asyncio.timeout(DEADLINE.total_seconds()):
                return await asyncio.shield(result)
        except TimeoutError:
            raise Undelivered(f"not done within {DEADLINE.total_seconds():g} s") from None


def _told(work: Callable[[], bool], loop: asyncio.AbstractEventLoop, result: "asyncio.Future[bool]") -> None:
    """Run ``work`` and bring what became of it to the loop, unless that has ended meanwhile."""
    outcome: bool | Undelivered
    try:
        outcome = work()
    except Undelivered as why:
        outcome = why
    except Exception as fault:  # noqa: BLE001  a hundred plugins may raise anything, with the URL in its text
        outcome = Undelivered(f"the service failed with {type(fault).__name__}")

    def bring() -> None:
        if result.cancelled():
            return
        if isinstance(outcome, Undelivered):
            result.set_exception(outcome)
            result.exception()  # seen: whoever waited may have gone
        else:
            result.set_result(outcome)

    if not loop.is_closed():
        loop.call_soon_threadsafe(bring)


def _installed() -> Any:
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.setLevel(logging.CRITICAL + 1)
        logger.propagate = False
        logger.addHandler(logging.NullHandler())
    import apprise  # noqa: PLC0415

    return apprise
