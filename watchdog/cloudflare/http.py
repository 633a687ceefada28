"""One HTTP request and its answer, as values, and how the way between the two fails. What a way there must be able to.

``sender`` makes requests, ``transport`` bounds them and unpacks what comes back, ``connections`` is the way.
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

RawHeaders = Iterable[tuple[bytes, bytes]]

_READ = frozenset({b"cf-ray", b"content-encoding", b"location", b"ratelimit", b"ratelimit-policy", b"retry-after"})
_ENDS_A_LINE = re.compile(rb"[\r\n\0]")


class NotSent(Exception):
    """There was no connection, so nothing of the request has left. What the system said is the cause."""


class Broken(Exception):
    """What came back is no answer; what was asked for may have been done."""


class Headers:
    """Those of a request, which hold the credential: nothing shows them. ``lines`` are as they are sent."""

    __slots__ = ("lines",)

    def __init__(self, pairs: RawHeaders) -> None:
        """Raises ``ValueError`` where a value would end its line."""
        lines = [b"%b: %b" % pair for pair in pairs]
        if any(map(_ENDS_A_LINE.search, lines)):
            raise ValueError("a header has a control character")
        self.lines = b"".join(line + b"\r\n" for line in lines)


class Request(NamedTuple):
    """``target`` is the path with its query, quoted. The length of the ``content`` is among the ``headers``."""

    method: str
    target: str
    headers: Headers
    content: bytes = b""


class Response(NamedTuple):
    """The whole answer. Of its headers those that somebody reads, by their names in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport(Protocol):
    """The way to Cloudflare that all clients share."""

    async def ask(self, request: Request, seconds: float) -> Response:
        """Send it once. The body is as it came, packed or cut. Raises ``NotSent``, ``Broken`` or ``OSError``.

        Among the last is ``TimeoutError``, where the answer is not whole within so many ``seconds``.
        """

    async def aclose(self) -> None:
        """Close every connection."""


def read_headers(raw: RawHeaders) -> dict[str, str]:
    """Those that somebody reads; of one that came several times all values, as in a list."""
    found: dict[str, str] = {}
    for name, value in raw:
        if (lower := name.lower()) in _READ:
            key, said = lower.decode(), value.decode("latin-1")
            found[key] = f"{found[key]}, {said}" if key in found else said
    return found
