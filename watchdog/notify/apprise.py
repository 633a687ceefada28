"""Any Apprise URL: chats, mail, phones, text messages and a hundred more. The door to apprise.

It is imported when a destination of this kind is first used (0.1 to 0.25 s of CPU), and it blocks, so each try runs in
a thread of its own that dies with the process. A try that hangs past its deadline is left alone, and none is begun
beside it. Apprise and the libraries under it put URLs into what they log; here they log nothing.

Each message goes by a plug-in object of its own (objects keep counters by which a server may take the next message for
the last one), in one request, as plain text within what the service takes. It counts as delivered only where the
plug-in says so and, if it speaks HTTP, an answer was heard that refuses nothing: some plug-ins call it a success when
they send nothing, some when they are refused.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from msgspec.structs import replace

from watchdog.model.alerts import Message, MessageStatus
from watchdog.model.reasons import Severity
from watchdog.notify.channel import Undelivered
from watchdog.notify.hearing import Answer, heard
from watchdog.notify.http import refused
from watchdog.notify.services import dress, faultless, room_of, speaks_http, text_for, without_mentions
from watchdog.notify.shorten import shortened

T = TypeVar("T")

DEADLINE = timedelta(seconds=30)
"""For one try by HTTP."""

MAIL_DEADLINE = timedelta(seconds=90)
"""For one mail: a handful of answers, each of which a server may think about for a while."""

_SILENT = ("apprise", "urllib3", "requests", "requests_oauthlib", "oauthlib")

_NO_ANSWER = "the service was not reached, or did not accept it"

_TYPES = {Severity.INFO: "info", Severity.WARNING: "warning", Severity.CRITICAL: "failure"}


class Service:
    """Delivers through the service that one Apprise URL names."""

    def __init__(self, url: str, load: Callable[[], Any] | None = None) -> None:
        """``load`` gives another Apprise than the installed one."""
        self._url = url
        self._load = load or _installed
        self._busy: asyncio.Future[Any] | None = None
        self._deadline = MAIL_DEADLINE if url.lower().startswith(("mailto:", "mailtos:")) else DEADLINE

    async def check(self) -> None:
        """Whether Apprise knows what this URL names, and messages can go there."""
        await self._run(self._made)

    async def send(self, message: Message) -> None:
        """Hand it to the service."""
        await self._run(lambda: self._deliver(message))

    def _made(self) -> tuple[Any, Any]:
        """An Apprise, and the one plug-in in it."""
        apprise = self._load()
        # A redirect would carry the secret of the URL elsewhere; nothing is to be kept on the disk, and no picture to
        # be fetched from anybody. No deadline of its own: for that it would use threads that the end waits for.
        asset = apprise.AppriseAsset(
            app_id="certpack-watchdog",
            async_mode=False,
            http_redirects=False,
            storage_mode="memory",
            service_timeout=0,
            image_url_mask="",
            image_url_logo="",
            image_path_mask=False,
        )
        plugin = faultless(apprise.Apprise.instantiate(self._url, asset=asset))
        service = apprise.Apprise(asset=asset)
        service.add(plugin)
        return service, plugin

    def _deliver(self, message: Message) -> None:
        service, plugin = self._made()
        dress(plugin, message, self._url)
        quiet = replace(message, title=without_mentions(message.title), body=without_mentions(message.body))
        title, body = text_for(plugin, *shortened(quiet, room_of(plugin)))
        kind = "success" if message.status is MessageStatus.RESOLVED else _TYPES[message.severity]
        with heard() as answers:
            accepted = bool(service.notify(body, title=title, notify_type=kind, body_format="text"))
        if accepted and not answers and speaks_http(plugin):
            raise Undelivered("its Apprise plug-in sent nothing", hopeless=True)
        refusals = [answer for answer in answers if answer.refuses]
        if not accepted:
            raise self._refused((refusals or answers)[-1]) if answers else Undelivered(_NO_ANSWER)
        if refusals and refusals[-1] is answers[-1] and refusals[-1].succeeded:
            raise self._refused(refusals[-1])

    def _refused(self, answer: Answer) -> Undelivered:
        why = answer.words_without(self._url)
        if answer.of_mail and not answer.refuses:
            return Undelivered(f"the mail server answered no more after: {answer.status} {why}".rstrip())
        if answer.of_mail:
            return Undelivered(f"the mail server did not accept it: {answer.status} {why}".rstrip())
        if answer.succeeded:
            return Undelivered(f"the service answered, but did not accept it{f': {why}' if why else ''}")
        return refused(answer.status, "the service did not accept it: ", why=why, retry_after=answer.retry_after)

    async def _run(self, work: Callable[[], T]) -> T:
        """Do blocking work in a thread that nobody waits for at the end of the process."""
        if self._busy is not None and not self._busy.done():
            raise Undelivered("the try before this one still hangs")
        loop = asyncio.get_running_loop()
        result: asyncio.Future[T] = loop.create_future()
        self._busy = result
        threading.Thread(target=_told, args=(work, loop, result), name="apprise", daemon=True).start()
        try:
            async with asyncio.timeout(self._deadline.total_seconds()):
                return await asyncio.shield(result)
        except TimeoutError:
            raise Undelivered(f"not done within {self._deadline.total_seconds():g} s") from None


def _told(work: Callable[[], T], loop: asyncio.AbstractEventLoop, result: "asyncio.Future[T]") -> None:
    """Run ``work`` and bring what became of it to the loop, unless that has ended meanwhile."""
    outcome: T | Undelivered
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
    for name in _SILENT:
        logger = logging.getLogger(name)
        logger.setLevel(logging.CRITICAL + 1)
        logger.propagate = False
        logger.addHandler(logging.NullHandler())
    import apprise  # noqa: PLC0415  once its logs are shut

    return apprise
