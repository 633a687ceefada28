"""How the pages answer: compressed where that is asked for, not again where nothing changed, hardened everywhere."""

import gzip
import hashlib

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

WORTH_COMPRESSING = 500
"""Bytes; less fits one packet anyway."""

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
    return gzip.compress(body, compresslevel=5, mtime=0), {**headers, "content-encoding": "gzip"}


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
