"""How the pages answer: compressed where that is asked for, not again where nothing changed, hardened everywhere."""

import gzip
import hashlib
import zlib
from collections.abc import Sequence

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

WORTH_COMPRESSING = 500
"""Bytes; less fits one packet anyway."""

_LEVEL = 5
_GZIP = 31  # of zlib's window sizes, the largest, with gzip's head
_HEADERS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
}


def packed(request: Request, body: bytes) -> tuple[bytes, dict[str, str]]:
    """The body as the client takes it, and the headers that say so. Slow for large bodies."""
    headers = {"vary": "Accept-Encoding"}
    if len(body) < WORTH_COMPRESSING or not takes_gzip(request.headers.get("accept-encoding", "")):
        return body, headers
    return gzip.compress(body, compresslevel=_LEVEL, mtime=0), {**headers, "content-encoding": "gzip"}


class InPieces(Response):
    """A body that is handed on piece by piece: the loop has its turn between two of them."""

    def __init__(self, request: Request, pieces: Sequence[bytes], content_type: str) -> None:
        """Packed where the client takes that. Slow for large bodies."""
        headers = {"vary": "Accept-Encoding", "content-type": content_type}
        if takes_gzip(request.headers.get("accept-encoding", "")):
            packing = zlib.compressobj(_LEVEL, wbits=_GZIP)
            pieces = [*map(packing.compress, pieces), packing.flush()]
            headers["content-encoding"] = "gzip"
        super().__init__(headers={**headers, "content-length": str(sum(map(len, pieces)))})
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  as Starlette has it
        """As Starlette asks for it."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for piece in filter(None, self._pieces):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def takes_gzip(accepted: str) -> bool:
    """Whether an ``Accept-Encoding`` header has gzip in it.

    >>> takes_gzip("br, gzip;q=0.5"), takes_gzip("gzip;q=0"), takes_gzip("")
    (True, False, False)
    """
    for offer in accepted.lower().split(","):
        name, _, weight = offer.partition(";")
        if name.strip() in ("gzip", "*"):
            return weight.strip().replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def tagged(request: Request, body: bytes, media_type: str) -> Response:
    """An answer that need not be sent again to whoever has it already. Slow for large bodies."""
    tag = f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"etag": tag, "cache-control": "no-cache", "vary": "Accept-Encoding"}
    known = {each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")}
    if tag.removeprefix("W/") in known or "*" in known:
        return Response(status_code=304, headers=headers)
    body, more = packed(request, body)
    return Response(body, media_type=media_type, headers={**headers, **more})


def hardened(app: ASGIApp) -> ASGIApp:
    """The application with headers that keep browsers from doing anything with an answer but showing it."""

    async def answering(scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await app(scope, receive, sending)

    return answering
