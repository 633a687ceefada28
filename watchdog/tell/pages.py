"""What is answered under which path; everything only reads.

Everything slow (an exposition, a page of 1,000 rows) is made in another thread, one at a time. On loopback a page of
another host is refused: a browser on this machine that was led here by a name of somebody else's DNS must not read it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from ipaddress import ip_address
from types import MappingProxyType
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from watchdog.tell import api, openapi
from watchdog.tell.page.site import Site
from watchdog.tell.query import Parameter, Refused, read
from watchdog.tell.responses import InPieces, hardened, tagged
from watchdog.tell.sources import Sources

Answer = Callable[[Request], Awaitable[Response]]


def application(sources: Sources) -> ASGIApp:
    """The pages as an ASGI application."""
    return hardened(routed(sources))


def routed(sources: Sources) -> Starlette:
    """The paths, and what answers them."""
    slow = asyncio.Lock()
    pages, site = _Pages(sources, slow), Site(sources, slow)
    paths: dict[str, Answer] = {
        "/": site.front,
        "/zones/{account}/{zone:path}": site.zone,
        "/healthz": pages.healthz,
        "/readyz": pages.readyz,
        "/metrics": pages.metrics,
        "/api/v1/packs": pages.in_json(pages.packs, api.PACKS),
        "/api/v1/packs/{zone_id}/{pack_id}": pages.in_json(pages.pack),
        "/api/v1/zones": pages.in_json(pages.zones, api.ZONES),
        "/api/v1/events": pages.in_json(pages.events, api.events_parameters(sources)),
        "/api/v1/alerts": pages.in_json(pages.alerts),
        "/api/v1/silences": pages.in_json(pages.silences),
        "/api/v1/openapi.json": pages.in_json(pages.openapi),
    }
    app = Starlette(
        routes=[Route(path, page, methods=["GET"]) for path, page in paths.items()],
        exception_handlers={Refused: _refused, HTTPException: _failed},
    )
    app.router.redirect_slashes = False  # a redirect would go wherever the Host header says
    return app


class _Pages:
    """What answers each path. Methods for JSON give what makes the answer, to be called in another thread."""

    def __init__(self, sources: Sources, slow: asyncio.Lock) -> None:
        """``slow`` is held by whoever works in another thread."""
        self._sources = sources
        self._slow = slow

    async def healthz(self, _: Request) -> Response:
        good, sentence = self._sources.healthy()
        return PlainTextResponse(sentence + "\n", 200 if good else 503)

    async def readyz(self, _: Request) -> Response:
        good, sentence = await self._sources.ready()
        return PlainTextResponse(sentence + "\n", 200 if good else 503)

    async def metrics(self, request: Request) -> Response:
        def make() -> Response:
            pieces, content_type = self._sources.metrics(request.headers.get("accept", ""))
            return InPieces(request, pieces, content_type)

        return await self._made(make)

    def in_json(
        self,
        ask: Callable[[Request, dict[str, Any]], Awaitable[Callable[[], Any]]],
        known: Mapping[str, Parameter] = MappingProxyType({}),
    ) -> Answer:
        """An answer in JSON to a request with these parameters."""

        async def answer(request: Request) -> Response:
            give = await ask(request, read(request.query_params.multi_items(), known))
            return await self._made(lambda: tagged(request, msgspec.json.encode(give()), "application/json"))

        return answer

    async def packs(self, _: Request, asked: dict[str, Any]) -> Callable[[], Any]:
        fleet = await self._sources.fleet()
        return lambda: api.packs(fleet, asked)

    async def pack(self, request: Request, _: dict[str, Any]) -> Callable[[], Any]:
        fleet = await self._sources.fleet()
        tracked = api.the_pack(fleet, request.path_params["zone_id"], request.path_params["pack_id"])
        row = await api.pack(self._sources, fleet, tracked)
        return lambda: row

    async def zones(self, _: Request, asked: dict[str, Any]) -> Callable[[], Any]:
        fleet = await self._sources.fleet()
        return lambda: api.zones(fleet, asked)

    async def events(self, _: Request, asked: dict[str, Any]) -> Callable[[], Any]:
        found = await api.events(self._sources, asked)
        return lambda: found

    async def alerts(self, _: Request, __: dict[str, Any]) -> Callable[[], Any]:
        return self._sources.alerts

    async def silences(self, _: Request, __: dict[str, Any]) -> Callable[[], Any]:
        fleet = await self._sources.fleet()
        return lambda: api.silences(fleet)

    async def openapi(self, _: Request, __: dict[str, Any]) -> Callable[[], Any]:
        return lambda: openapi.document(self._sources, self._sources.situation().version)

    async def _made(self, make: Callable[[], Response]) -> Response:
        async with self._slow:
            return await asyncio.to_thread(make)


async def _refused(request: Request, why: Exception) -> Response:
    code, status = (why.code, why.status) if isinstance(why, Refused) else ("error", 500)
    return _error(request, code, f"{why}", status)


async def _failed(request: Request, why: Exception) -> Response:
    status = why.status_code if isinstance(why, HTTPException) else 500
    code, text = {
        404: ("not_found", "there is nothing here; /api/v1/openapi.json says what there is"),
        405: ("method_not_allowed", "this only reads: GET and HEAD"),
    }.get(status, ("error", "this cannot be answered"))
    answer = _error(request, code, text, status)
    answer.headers.update(getattr(why, "headers", None) or {})
    return answer


def _error(request: Request, code: str, text: str, status: int) -> Response:
    if request.url.path.startswith("/api/"):
        body = msgspec.json.encode({"error": {"code": code, "message": text}})
        return Response(body, status, media_type="application/json")
    return PlainTextResponse(text + "\n", status)


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
