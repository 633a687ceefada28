"""The way to Cloudflare's API and back: one pool of connections, bodies up to a bound, and failures by their cause.

The sockets are in ``connections``. Redirects are never followed, so a credential never leaves for another host; TLS is
always verified; bodies are read up to a bound, which holds while they are unpacked. One request is sent once.
"""

import os
import ssl
import zlib
from contextlib import suppress
from urllib.parse import urlsplit

from watchdog.cloudflare.connections import Connections, Proxy
from watchdog.cloudflare.errors import CloudflareFault, NetworkFault, Operation
from watchdog.cloudflare.http import Broken, NotSent, Request, Response, Transport
from watchdog.model.text import clean
from watchdog.proxy import proxy_of

MOST_BYTES = 4 * 1024 * 1024
"""Bytes of one answer, packed or unpacked. A page of 50 packs is about 85 KB."""

_PACKED = frozenset({"gzip", "deflate"})
_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32  # either header is told by its first bytes


def connect(base_url: str, connections: int) -> Transport:
    """The connection pool to one server, of at most ``connections``. The environment's proxy is looked up here, once.

    Trusted is whom ``SSL_CERT_FILE`` or ``SSL_CERT_DIR`` names, else whom certifi does.
    """
    address = proxy_of(base_url, os.environ)
    proxy = Proxy(address) if address else None
    return Connections(
        base_url,
        most=connections,
        longest=MOST_BYTES,
        tls=_tls() if urlsplit(base_url).scheme == "https" else None,
        proxy=proxy,
        proxy_tls=_tls() if proxy is not None and proxy.tls else None,
    )


def _tls() -> ssl.SSLContext:
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if file:
        return ssl.create_default_context(cafile=file)
    if folder:
        return ssl.create_default_context(capath=folder)
    import certifi  # noqa: PLC0415  needless where the machine's own are named

    return ssl.create_default_context(cafile=certifi.where())


async def exchange(http: Transport, operation: Operation, request: Request, seconds: float) -> Response:
    """Send the request once, and give its answer, unpacked, within so many ``seconds`` for both.

    Raises ``NetworkFault``, and ``CloudflareFault`` for a success that is too long.
    """
    try:
        response = await http.ask(request, seconds)
    except (NotSent, Broken, OSError) as fault:
        raise _network(operation, fault) from fault
    return unpacked(operation, response)


def unpacked(operation: Operation, response: Response) -> Response:
    """The answer with its body unpacked. Of a refusal that is too long, or packed in a way nobody can read, what is.

    The standard library unpacks, up to a bound, and no packings within packings.
    """
    packed, body = response.headers.get("content-encoding", ""), response.body
    if packed and packed.strip().lower() in _PACKED:
        with suppress(zlib.error):  # a proxy may have unpacked it, and left the header
            body = zlib.decompressobj(_GZIP_OR_ZLIB).decompress(body, MOST_BYTES + 1)
    if max(len(response.body), len(body)) > MOST_BYTES and 200 <= response.status < 300:
        raise CloudflareFault(operation, "too_large", f"{operation}: the answer has more than {MOST_BYTES} bytes")
    return response if body is response.body else response._replace(body=body)


def _network(operation: Operation, fault: Exception) -> NetworkFault:
    """What went wrong on the way, by its cause; only what is told before anything left says that nothing was sent."""
    if isinstance(fault, NotSent):
        cause = fault.__cause__ if isinstance(fault.__cause__, OSError) else fault
        if isinstance(cause, ssl.SSLError):
            return NetworkFault(operation, "tls", f"{operation}: TLS failed: {clean(cause)}", sent=False)
        where = f" to {clean(fault)}" if cause is not fault else ""
        said = f"{operation}: could not connect{where}: {_why(cause)}"
        return NetworkFault(operation, "connect", said, sent=False)
    if isinstance(fault, TimeoutError):
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
