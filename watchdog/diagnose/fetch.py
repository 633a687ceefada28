"""One page by plain HTTP from one address that was checked before: the door for aiohttp in this room.

Nothing is looked up here, no redirect is followed, no proxy and no cookie is used, and no more than ``MOST_BYTES`` of a
page are read, however it is encoded. The caller sets the deadline.
"""

from dataclasses import dataclass
from ipaddress import ip_address

import aiohttp
from yarl import URL

from watchdog.model.text import clean

MOST_BYTES = 4096
"""Bytes read of a page: tokens are short, and what comes instead of one is told by its beginning."""

LONGEST_HEADER = 65_536
"""Bytes of one header field: security policies are longer than the 8,190 that aiohttp (3.14.5) takes by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What came. ``status`` is 0 when nothing did, and ``error`` says why."""

    status: int
    body: str = ""
    location: str = ""
    challenged: bool = False
    error: str = ""


async def fetch(address: str, port: int, host: str, target: str) -> Page:
    """The page ``target`` (path and query, visible ASCII only) of ``host``, from ``address``.

    Raises nothing but the caller's time-out.
    """
    literal = f"[{address}]" if ip_address(address).version == 6 else address  # noqa: PLR2004  IPv6
    # As text, aiohttp (3.14.5) would undo escapes that it holds needless, and ask for another page than the authority.
    url = URL(f"http://{literal}:{port}{target}", encoded=True)
    headers = {"host": host, "user-agent": "certpack-watchdog", "accept-encoding": "identity"}
    try:
        async with (
            aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                headers=headers,
                max_line_size=LONGEST_HEADER,
                max_field_size=LONGEST_HEADER,
            ) as session,
            session.get(url, allow_redirects=False, timeout=aiohttp.ClientTimeout(total=None)) as response,
        ):
            body = await _beginning(response.content)
            return Page(
                status=response.status,
                body=clean(body.decode("utf-8", "replace"), 2000),
                location=clean(response.headers.get("location", ""), 200),
                challenged=response.headers.get("cf-mitigated", "").lower() == "challenge",
            )
    except (aiohttp.ClientError, OSError, ValueError) as fault:
        return Page(status=0, error=clean(fault) or type(fault).__name__)


async def _beginning(stream: aiohttp.StreamReader) -> bytes:
    body = b""
    while len(body) < MOST_BYTES and (chunk := await stream.read(MOST_BYTES - len(body))):
        body += chunk
    return body
