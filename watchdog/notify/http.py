"""One HTTP request to one address: the door to httpx in this room.

It is a transport and no client of httpx, whose cookies and redirects nobody wants: so there are none, at half the CPU.
An answer is read only so far as to free the connection, and all of it has one deadline. A URL is a secret here, so no
error repeats it, nor anything the other side said: many a server puts the path it was asked for into its 404.

httpx is imported when something is sent: it costs 25 ms, and most starts tell nobody anything.

These are a handful of requests a minute to whatever address, so each goes the way that the environment names for it
(``watchdog.proxy``), and whom to trust is the environment's as well.
"""

import asyncio
import math
import os
import ssl
from collections.abc import Callable, Mapping
from datetime import timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

from watchdog.model.text import defect_alone
from watchdog.notify.channel import Undelivered
from watchdog.proxy import proxy_of

if TYPE_CHECKING:
    import httpx

DEADLINE = timedelta(seconds=15)
"""For one request, from the look-up of the name to the end of the answer."""

MOST_BYTES = 64 * 1024
"""Of an answer; what is longer is cut off with its connection. Nothing in it is needed."""

_PHRASES = {each.value: each.phrase for each in HTTPStatus}
_SEVERAL_IN_USE = 4
_REDIRECTS = range(300, 400)
_BAD_MESSAGE = frozenset({400, 413, 415, 422})
_BAD_ADDRESS = frozenset({404, 410})
_ADDRESS_IS_BACK_AFTER = timedelta(minutes=1)
"""A receiver that is being replaced answers 404 for moments; one that is gone does for ever."""


class _ByProxy:
    """A transport: one pool of connections for each proxy there is, and one for no proxy; made at the first use."""

    def __init__(self) -> None:
        self._pools: dict[str | None, httpx.AsyncHTTPTransport] = {}
        self._tls: ssl.SSLContext | None = None

    async def handle_async_request(self, request: "httpx.Request") -> "httpx.Response":
        import httpx  # noqa: PLC0415  as above

        proxy = proxy_of(str(request.url), os.environ)
        if proxy not in self._pools:
            if self._tls is None:
                self._tls = httpx.create_ssl_context()
            limits = httpx.Limits(max_keepalive_connections=_SEVERAL_IN_USE, keepalive_expiry=30)
            way = None if proxy is None else httpx.Proxy(proxy)
            self._pools[proxy] = httpx.AsyncHTTPTransport(verify=self._tls, limits=limits, proxy=way)
        return await self._pools[proxy].handle_async_request(request)

    async def aclose(self) -> None:
        for pool in self._pools.values():
            await pool.aclose()


class HttpSender:
    """Sends requests for all channels."""

    def __init__(self, user_agent: str, transport: "httpx.AsyncBaseTransport | None" = None) -> None:
        """``transport`` is another way out than the network's."""
        self._headers = {"user-agent": user_agent, "accept": "application/json, text/plain;q=0.5"}
        self._http = transport or _ByProxy()

    async def send(
        self,
        method: str,
        url: str,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        deadline: timedelta = DEADLINE,
        reason: Callable[[bytes], str] | None = None,
        doubt: Callable[[bytes], str] | None = None,
    ) -> None:
        """Send it, and return once the other side has accepted it (2xx). Raises ``Undelivered``.

        What has a status of success was accepted, whatever becomes of the rest of its answer: sent again, it would
        reach people again. ``reason`` reads from the body of a refusal why it was one, ``doubt`` from that of a success
        why it is none, in words that hold no secret.
        """
        import httpx  # noqa: PLC0415  as above

        why, doubts, answer = "", "", None
        try:
            request = httpx.Request(method, url, headers={**self._headers, **(headers or {})}, content=content)
            async with asyncio.timeout(deadline.total_seconds()):
                answer = await self._http.handle_async_request(request)
                try:
                    if answer.is_success or reason is not None:
                        body = await _start_of(answer)
                        why = "" if reason is None or answer.is_success else reason(body)
                    doubts = "" if doubt is None or not answer.is_success else doubt(body)
                finally:
                    await answer.aclose()
        except TimeoutError:
            if answer is None or not answer.is_success:
                raise Undelivered(f"no answer within {deadline.total_seconds():g} s") from None
        except Exception as fault:  # noqa: BLE001  whatever it is, its text may hold the URL
            if answer is None or not answer.is_success:
                raise Undelivered(_what(fault)) from None
        if not answer.is_success:
            raise refused(answer.status_code, why=why, retry_after=retry_after(answer.headers))
        if doubts:
            raise Undelivered(doubts)

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()


async def _start_of(answer: "httpx.Response") -> bytes:
    body = b""
    async for chunk in answer.aiter_raw():
        body += chunk
        if len(body) > MOST_BYTES:
            break
    return body


def retry_after(headers: Mapping[str, str]) -> str:
    """The seconds that ``Retry-After`` asks for. Of a moment they are counted from the ``Date`` beside it.

    So no clock of ours is asked. Headers are found in any case.
    """
    said = headers.get("retry-after", "").strip()
    try:
        wait = parsedate_to_datetime(said) - parsedate_to_datetime(headers.get("date", ""))
    except (ValueError, TypeError):  # a number, or one of them with a zone and the other without
        return said
    return str(max(0, math.ceil(wait.total_seconds())))


def refused(status: int, prefix: str = "", *, why: str = "", retry_after: str = "") -> Undelivered:
    """What an HTTP status other than success says of a message, and for how many seconds it asks to be left alone."""
    text = f"{prefix}HTTP {status} {_PHRASES.get(status, '')}".rstrip()
    if status in _REDIRECTS:
        text += ", and redirects are not followed"
    text += f": {why}" if why else ""
    known = retry_after.isascii() and retry_after.isdecimal() and len(retry_after) < len("86400") + 1
    wait = timedelta(seconds=int(retry_after)) if known else timedelta(0)
    if status in _BAD_ADDRESS:
        wait = max(wait, _ADDRESS_IS_BACK_AFTER)
    return Undelivered(text, hopeless=status in _BAD_MESSAGE | _BAD_ADDRESS, retry_after=wait)


def _what(fault: Exception) -> str:
    """The kind of a fault, in our own words: httpx's may hold the URL."""
    import httpx  # noqa: PLC0415  as above

    causes = [fault]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and cause not in causes:
        causes.append(cause)  # type: ignore[arg-type]  # a cause that is no Exception is as good
    if any(isinstance(each, ssl.SSLEOFError | ssl.SSLZeroReturnError) for each in causes):
        return "TLS failed: the other side closed the connection during the handshake"
    if any(isinstance(each, ssl.SSLError) for each in causes):
        return "TLS failed: the certificate or the protocol does not fit"
    if isinstance(fault, httpx.ConnectError):
        errors = [each.strerror for each in causes if isinstance(each, OSError) and each.strerror]
        closed = ["the other side closed the connection"] if len(causes) > 1 else []
        return ": ".join(("could not connect", *(errors or closed)[:1]))
    if isinstance(fault, httpx.ProxyError):
        return "the proxy refused"
    if isinstance(fault, httpx.UnsupportedProtocol | httpx.InvalidURL | ValueError):
        return "the URL is none that could be asked"
    if isinstance(fault, httpx.HTTPError | OSError):
        return "the connection broke"
    return defect_alone(fault)
