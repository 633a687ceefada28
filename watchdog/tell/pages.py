"""The pages: ``/metrics``, ``/healthz``, ``/readyz``, ``/api/v1/packs``, ``/api/v1/alerts``; they only read.

Everything slow (an exposition or a list of 100,000 packs) is made in another thread, one at a time. On loopback a page
of another host is refused: a browser on this machine that was led here by a name of somebody else's DNS must not read
it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

INDEX = """certpack-watchdog

/metrics        for Prometheus
/healthz        whether the process is alive and its loop turns
/readyz         whether the first pass is done and the state can be written
/api/v1/packs   every pack and zone, as JSON
/api/v1/alerts  what needs a person now, as JSON
"""

Rows = Callable[[], Callable[[], dict[str, Any]]]
"""Takes a snapshot in the loop, to be made into rows in another thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What the pages show. ``healthy`` and ``ready`` give whether all is well, and a sentence.

    ``metrics`` takes a snapshot in the loop, to be rendered for an ``Accept`` header in another thread: the body and
    its content type.
    """

    healthy: Callable[[], tuple[bool, str]]
    ready: Callable[[], Awaitable[tuple[bool, str]]]
    metrics: Callable[[], Callable[[str], tuple[bytes, str]]]
    packs: Rows
    alerts: Rows


def application(sources: Sources) -> Starlette:
    """The pages as an ASGI application."""
    slow = asyncio.Lock()

    async def index(_: Request) -> Response:
        return PlainTextResponse(INDEX)

    async def healthz(_: Request) -> Response:
        good, sentence = sources.healthy()
        return PlainTextResponse(sentence + "\n", 200 if good else 503)

    async def readyz(_: Request) -> Response:
        good, sentence = await sources.ready()
        return PlainTextResponse(sentence + "\n", 200 if good else 503)

    async def metrics(request: Request) -> Response:
        async with slow:
            render = sources.metrics()
            body, content_type = await asyncio.to_thread(render, request.headers.get("accept", ""))
        return Response(body, media_type=None, headers={"content-type": content_type})

    def in_json(snapshot: Rows) -> Callable[[Request], Awaitable[Response]]:
        async def answer(_: Request) -> Response:
            async with slow:
                rows = snapshot()
                body = await asyncio.to_thread(lambda: msgspec.json.encode(rows()))
            return Response(body, media_type="application/json")

        return answer

    pages = {
        "/": index,
        "/healthz": healthz,
        "/readyz": readyz,
        "/metrics": metrics,
        "/api/v1/packs": in_json(sources.packs),
        "/api/v1/alerts": in_json(sources.alerts),
    }
    app = Starlette(routes=[Route(path, page, methods=["GET"]) for path, page in pages.items()])
    app.router.redirect_slashes = False  # a redirect would go wherever the Host header says
    return app


def only_for_this_machine(app: ASGIApp) -> ASGIApp:
    """The application for those who ask it by a name of this machine."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if all(map(is_ours, hosts)):
            await app(scope, receive, send)
        else:
            refusal = "This listens on loopback, and answers to an address or to localhost only.\n"
            await PlainTextResponse(refusal, 421)(scope, receive, send)

    return guarded


def is_ours(host: str) -> bool:
    """Whether a ``Host`` header names this machine as only somebody on it would: an address, or a name without a dot.

    Names in the DNS of others, which may be made to point to loopback, have one.

    >>> is_ours("127.0.0.1:9909"), is_ours("localhost:9909"), is_ours("rebound.example:9909")
    (True, True, False)
    """
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    if "." not in name and ":" not in name:
        return True
    try:
        ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
