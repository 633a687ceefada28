"""The way to Cloudflare's API and back: one pool of connections, bodies up to a bound, and failures by their cause.

The door for httpx and aiohttp in this room. Redirects are never followed, so a credential never leaves for another
host; TLS is always verified; bodies are read up to a bound, which holds while they are unpacked. One request is sent
once: aiohttp would send a GET again by itself, and nobody would have counted it.
"""

import asyncio
import os
import ssl
import zlib
from typing import NamedTuple

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from watchdog.cloudflare.errors import CloudflareFault, NetworkFault, Operation
from watchdog.model.text import clean
from watchdog.proxy import proxy_of

MOST_BYTES = 4 * 1024 * 1024
"""Bytes of one answer, packed or unpacked. A page of 50 packs is about 85 KB."""

_PACKED = frozenset({"gzip", "deflate"})
_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32  # either header is told by its first bytes


class Response(NamedTuple):
    """What came back."""

    status: int
    headers: httpx.Headers
    body: bytes


Transport = httpx.AsyncBaseTransport
"""The way to Cloudflare that all clients share."""

LONGEST_HEADER = 65_536
"""Bytes of one header field. With aiohttp's own 8,190 (3.14.5) a longer one makes an answer of 200 an error of 400, and
a restart that was accepted one of which nothing is known."""


def connect(base_url: str, connections: int) -> Transport:
    """The connection pool to one server, of at most ``connections``.

    A transport and not an ``httpx.AsyncClient``: redirects, cookies and the auth flow of the client are never wanted
    here and cost as much CPU as the request itself. The environment's proxy is looked up once, here, for the same
    reason: aiohttp would do it in a thread for every request.
    """
    tls = httpx.create_ssl_context() if base_url.startswith("https:") else None

    def session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=connections, keepalive_timeout=60, ssl=tls or True)
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=(_once_and_without_phrase,),
            max_line_size=LONGEST_HEADER,
            max_field_size=LONGEST_HEADER,
        )

    address = proxy_of(base_url, os.environ)
    # The transport's own context is never used, as the session has one: one that trusts nobody is made in no time.
    unused = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return AiohttpTransport(verify=unused, client=session, proxy=httpx.Proxy(address) if address else None)


async def _once_and_without_phrase(
    request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    r"""Send the request once, and forget the reason phrase of its answer.

    aiohttp sends an idempotent request again where the server closes without an answer, unless the failure is of
    another class than the two it looks for. httpx-aiohttp raises for a phrase that is no UTF-8, as proxies write it
    that inspect TLS (``HTTP/1.1 503 Zeit\xfcberschreitung``); no program goes by the phrase (RFC 9110, 15.1).
    """
    try:
        response = await send(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as broken:
        raise aiohttp.ClientConnectionError(str(broken)) from broken
    response.reason = ""
    return response


class Headers(httpx.Headers):
    """Those of a request, which hold the credential."""

    def __repr__(self) -> str:
        """Nothing of them: httpx hides ``Authorization`` and shows ``X-Auth-Key``."""
        return "Headers(…)"


async def exchange(
    http: httpx.AsyncBaseTransport, operation: Operation, request: httpx.Request, seconds: float
) -> Response:
    """Send the request once, and read its answer, within so many ``seconds`` for both.

    Raises ``NetworkFault``, and ``CloudflareFault`` for a success that is too long.
    """
    try:
        async with asyncio.timeout(seconds):
            response = await http.handle_async_request(request)
            try:
                body = await _bounded(operation, response)
            finally:
                await response.aclose()
    except (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, OSError) as fault:
        raise _network(operation, fault) from fault
    return Response(response.status_code, response.headers, body)


async def _bounded(operation: Operation, response: httpx.Response) -> bytes:
    """The body, unpacked. Of a refusal that is too long, or packed in a way nobody can read, what there is of it.

    The standard library unpacks, and not httpx: that unpacks a whole piece at once, and packings within packings.
    """
    packed = response.headers.get("content-encoding", "").strip().lower() in _PACKED
    unpacking = zlib.decompressobj(_GZIP_OR_ZLIB) if packed else None
    pieces: list[bytes] = []
    read = size = 0
    async for piece in response.stream:  # type: ignore[union-attr]  # of an asynchronous transport
        read += len(piece)
        try:
            unpacked = piece if unpacking is None else unpacking.decompress(piece, MOST_BYTES - size + 1)
        except zlib.error:
            break
        pieces.append(unpacked)
        size += len(unpacked)
        if max(read, size) > MOST_BYTES:
            if response.is_success:
                said = f"{operation}: the answer has more than {MOST_BYTES} bytes"
                raise CloudflareFault(operation, "too_large", said)
            break
    return b"".join(pieces)


def _network(operation: Operation, fault: Exception) -> NetworkFault:
    """What went wrong on the way, by its true cause.

    httpx-aiohttp calls every ``aiohttp.ClientConnectionError`` a connect time-out, a disconnect in the middle of an
    answer among them; only aiohttp's own exception tells whether the request may have left.
    """
    cause = fault.__cause__ if isinstance(fault.__cause__, aiohttp.ClientError | OSError) else fault
    said = clean(cause) or type(cause).__name__
    if isinstance(cause, ssl.SSLError | aiohttp.ClientSSLError):
        return NetworkFault(operation, "tls", f"{operation}: TLS failed: {said}", sent=False)
    if isinstance(cause, aiohttp.ClientConnectorError | aiohttp.ClientHttpProxyError | ConnectionRefusedError):
        where = ""
        if isinstance(cause, aiohttp.ClientConnectorError):
            number, where = cause.errno or 0, f" to {cause.host}:{cause.port}"
            said = os.strerror(number) if number > 0 else clean(cause.strerror or cause.os_error)  # or it is DNS's
            if not said and isinstance(cause.os_error, ConnectionError):  # asyncio has no words for it
                said = "the other side closed the connection during the TLS handshake"
            said = said or type(cause.os_error).__name__
        return NetworkFault(operation, "connect", f"{operation}: could not connect{where}: {said}", sent=False)
    if isinstance(cause, TimeoutError | httpx.TimeoutException):
        return NetworkFault(operation, "timeout", f"{operation}: no answer in time")
    return NetworkFault(operation, "disconnect", f"{operation}: the connection broke: {said}")
