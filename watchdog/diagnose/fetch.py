"""One page by plain HTTP from one address that was checked before: the door for httpx in this room.

Nothing is looked up here, no redirect is followed, no proxy and no cookie is used, and no more than ``MOST_BYTES`` of a
page are read, however it is encoded. The caller sets the deadline.
"""

import errno
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import aclosing
from ipaddress import ip_address

import httpx
import msgspec

from watchdog.model.text import clean

MOST_BYTES = 4096
"""Bytes read of a page: tokens are short, and what comes instead of one is told by its beginning."""


_VISIBLE = bytes(range(ord("!"), ord("~") + 1))
_NO_WAY = frozenset({errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
"""What the kernel says of an address to which this machine has no way, as of any IPv6 address where it has no IPv6."""


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """What came. ``status`` is 0 when nothing did, and ``error`` says why.

    ``indented`` where something invisible comes before the body's text: white space, a byte order mark.
    ``no_way`` where that is this machine's own matter: it has no way to the address, and others may have one.
    """

    status: int
    body: str = ""
    indented: bool = False
    location: str = ""
    challenged: bool = False
    error: str = ""
    no_way: bool = False


async def fetch(address: str, port: int, host: str, target: str) -> Page:
    """The page ``target`` (path and query, visible ASCII only) of ``host``, from ``address``.

    Raises nothing but the caller's time-out.
    """
    literal = f"[{address}]" if ip_address(address).version == 6 else address  # noqa: PLR2004  IPv6
    request = httpx.Request(
        "GET",
        f"http://{literal}:{port}/",
        headers={"host": host, "user-agent": "certpack-watchdog", "accept-encoding": "identity"},
        extensions={"target": target.encode("ascii")},  # as it is written: within a URL, escapes might be undone
    )
    # A transport alone follows nothing and keeps nothing. No TLS here: a context that trusts nobody is made in no time.
    async with httpx.AsyncHTTPTransport(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)) as transport:
        try:
            response = await transport.handle_async_request(request)
            async with aclosing(response):
                body = await _beginning(response.aiter_raw())
        except httpx.ConnectError as fault:
            number = _number(fault)
            return Page(status=0, error=os.strerror(number) if number else clean(fault), no_way=number in _NO_WAY)
        except (httpx.TransportError, OSError, ValueError) as fault:
            return Page(status=0, error=clean(fault) or type(fault).__name__)
    return Page(
        status=response.status_code,
        body=clean(body.decode("utf-8", "replace"), 2000),
        indented=body[:1] not in _VISIBLE,
        location=clean(response.headers.get("location", ""), 200),
        challenged=response.headers.get("cf-mitigated", "").lower() == "challenge",
    )


def _number(fault: BaseException) -> int:
    """The kernel's number for a connection that failed; 0 where it has none. What raised it first has it.

    Those who passed it on say "All connection attempts failed", whatever it was.
    """
    origin: BaseException | None = fault
    while origin is not None:
        if isinstance(origin, OSError) and origin.errno:
            return origin.errno
        origin = origin.__cause__ or origin.__context__
    return 0


async def _beginning(stream: AsyncIterator[bytes]) -> bytes:
    body = b""
    async for piece in stream:
        body += piece
        if len(body) >= MOST_BYTES:
            break
    return body[:MOST_BYTES]
