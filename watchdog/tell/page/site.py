"""The pages for people as they are asked for: what is awaited, then HTML made in another thread."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from watchdog.model.history import JournalLine, JournalQuery
from watchdog.tell.page.front import EVENTS_SHOWN, front_page
from watchdog.tell.page.timeline import SHOWN
from watchdog.tell.page.zone import MOST_EVENTS, zone_page
from watchdog.tell.query import Refused
from watchdog.tell.responses import packed
from watchdog.tell.sources import Sources


def prepare() -> None:
    """Import and make what all pages need, in any thread. Where that fails, who looks first is told."""
    with suppress(OSError):  # there may be no free descriptor
        from watchdog.tell.page import render  # noqa: PLC0415  Jinja2 takes 15 ms of a start

        render.prepare()


class Site:
    """The pages for people. ``slow`` is held by whoever works in another thread."""

    def __init__(self, sources: Sources, slow: asyncio.Lock) -> None:
        self._sources = sources
        self._slow = slow

    async def front(self, request: Request) -> Response:
        """The first page."""
        fleet = await self._sources.fleet()
        events = await self._events(JournalQuery(most=EVENTS_SHOWN))
        situation, now = self._sources.situation(), self._sources.now()
        return await self._made(
            request, "front.html", lambda: front_page(fleet, situation, events, dict(request.query_params), now)
        )

    async def zone(self, request: Request) -> Response:
        """The page of one zone."""
        fleet = await self._sources.fleet()
        situation, now = self._sources.situation(), self._sources.now()
        found = fleet.of_zone(request.path_params["account"], request.path_params["zone"])
        if found is None:
            values = {"title": "Not found", "root": "../../", "says": "No zone of this name is watched."}
            return await self._made(request, "nothing.html", lambda: values, 404)
        known, _ = found
        query = JournalQuery(since=now - SHOWN, most=MOST_EVENTS, zone_id=known.id)
        if not known.id:
            query = replace(query, account=known.account, zone=known.label)
        events = await self._events(query)
        return await self._made(
            request, "zone.html", lambda: zone_page(fleet, found, situation, events, dict(request.query_params), now)
        )

    async def _events(self, query: JournalQuery) -> list[tuple[int, JournalLine]] | str:
        try:
            return await self._sources.events(query)
        except Refused as why:
            return f"{why}."

    async def _made(
        self, request: Request, template: str, values: Callable[[], dict[str, Any]], status: int = 200
    ) -> Response:
        def make() -> Response:
            from watchdog.tell.page.render import POLICY, render  # noqa: PLC0415  as above

            body, headers = packed(request, render(template, values()))
            policy = {"content-security-policy": POLICY}
            return Response(body, status, headers={**headers, **policy}, media_type="text/html")

        async with self._slow:
            return await asyncio.to_thread(make)
