"""The way to Cloudflare's API and back: one pool of connections, bodies up to a bound, and failures by their cause.

The door for httpx in this room; the sockets are in ``connections``. Redirects are never followed, so a credential never
leaves for another host; TLS is always verified; bodies are read up to a bound, which holds while they are unpacked. One
request is sent once.
"""

import asyncio
import os
import ssl
import zlib
from typing import NamedTuple

import httpx

from watchdog.cloudflare.connections import Connections
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


def connect(base_url: str, connections: int) -> Transport:
    """The connection pool to one server, of at most ``connections``.

    A transport and not an ``httpx.AsyncClient``: redirects, cookies and the auth flow of the client are never wanted
    here and cost as much CPU as the request itself. The environment's proxy is looked up once, here, for the same
    reason.
    """
    tls = httpx.create_ssl_context() if base_url.startswith("https:") else None
    address = proxy_of(base_url, os.environ)
    proxy = httpx.Proxy(address) if address else None
    return Connections(base_url, most=connections, longest=MOST_BYTES, tls=tls, proxy=proxy)


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
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as fault:
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
    """What went wrong on the way, by its cause; only what is told before anything left says that nothing was sent."""
    if isinstance(fault, httpx.ConnectError | httpx.ProxyError):
        cause = fault.__cause__ if isinstance(fault.__cause__, OSError) else fault
        if isinstance(cause, ssl.SSLError):
            return NetworkFault(operation, "tls", f"{operation}: TLS failed: {clean(cause)}", sent=False)
        where = f" to {clean(fault)}" if cause is not fault else ""
        said = f"{operation}: could not connect{where}: {_why(cause)}"
        return NetworkFault(operation, "connect", said, sent=False)
    if isinstance(fault, TimeoutError | httpx.TimeoutException):
        return NetworkFault(operation, "timeout", f"{operation}: no answer in time")
    said = clean(fault) or type(fault).__name__
    return NetworkFault(operation, "disconnect", f"{operation}: the connection broke: {said}")


def _why(cause: Exception) -> str:
    """Why there is no connection, in words."""
    if not isinstance(cause, OSError):
        return clean(cause) or type(cause).__name__
    number = cause.errno or 0
    said = os.strerror(number) if number > 0 else clean(cause.strerror or cause)  # or it is DNS's number
    if not said and isinstance(cause, ConnectionError):  # asyncio has no words for it
        said = "the other side closed the connection during the TLS handshake"
    return said or type(cause).__name__
