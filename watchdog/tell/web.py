"""The HTTP listener: ``/metrics``, ``/healthz``, ``/readyz``, ``/api/v1/packs``, ``/api/v1/alerts``; it only reads.

Everything slow (an exposition or a list of 100,000 packs) is made in another thread, one at a
time; headers and connections are bounded.
"""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Protocol

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

INDEX = """certpack-watchdog

/metrics        for Prometheus
/healthz        whether the process is alive and its loop turns
/readyz         whether the first pass is done and the state can be written
/api/v1/packs   every pack and zone, as JSON
/api/v1/alerts  what needs a person now, as JSON
"""

_PLAIN = "text/plain; charset=utf-8"
_KEEP_ALIVE = 10
_MOST_CONNECTIONS = 64
_MOST_HEADER_BYTES = 16 * 1024


class Answers(Protocol):
    """What is shown; the daemon is one."""

    def healthy(self) -> tuple[bool, str]:
        """Whether the loop turns, and a sentence."""

    async def ready(self) -> tuple[bool, str]:
        """Whether the first pass is done and the state can be written, and a sentence."""

    def exposition(self) -> Callable[[str], tuple[bytes, str]]:
        """A snapshot of the metrics, to be rendered for an ``Accept`` header in another thread."""

    def packs(self) -> Callable[[], dict[str, Any]]:
        """A snapshot of all rows, to be made into JSON in another thread."""


class ListenError(Exception):
    """The address cannot be listened on; ``str()`` says why."""


Rows = Callable[[], Callable[[], dict[str, Any]]]
"""Gives a snapshot, to be made into JSON in another thread."""


def no_alerts() -> Callable[[], dict[str, Any]]:
    """What is answered where nothing watches for alerts."""
    return lambda: {"alerts": []}


def application(answers: Answers, alerts: Rows = no_alerts) -> Starlette:
    """The listener as an ASGI application."""
    slow = asyncio.Lock()

    async def index(_: Request) -> Response:
        return PlainTextResponse(INDEX)

    async def healthz(_: Request) -> Response:
        good, sentence = answers.healthy()
        return PlainTextResponse(sentence + "\n", 200 if good else 503)

    async def readyz(_: Request) -> Response:
        good, sentence = await answers.ready()
        return PlainTextResponse(sentence + "\n", 200 if good else 503)

    async def metrics(request: Request) -> Response:
        async with slow:
            render = answers.exposition()
            body, content_type = await asyncio.to_thread(render, request.headers.get("accept", ""))
        return Response(body, media_type=None, headers={"content-type": content_type})

    async def packs(_: Request) -> Response:
        return await in_json(answers.packs)

    async def firing(_: Request) -> Response:
        return await in_json(alerts)

    async def in_json(snapshot: Rows) -> Response:
        async with slow:
            rows = snapshot()
            body = await asyncio.to_thread(lambda: msgspec.json.encode(rows()))
        return Response(body, media_type="application/json")

    def read_only(path: str, endpoint: Callable[[Request], Awaitable[Response]]) -> Route:
        return Route(path, endpoint, methods=["GET"])

    listener = Starlette(
        routes=[
            read_only("/", index),
            read_only("/healthz", healthz),
            read_only("/readyz", readyz),
            read_only("/metrics", metrics),
            read_only("/api/v1/packs", packs),
            read_only("/api/v1/alerts", firing),
        ]
    )
    listener.router.redirect_slashes = False  # a redirect would go wherever the Host header says
    return listener


def bind(listen: str) -> socket.socket:
    """A socket on ``host:port``. Raises ``ListenError``."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, kind, protocol)  # the protocol named, else asyncio leaves Nagle's delay on
    except (OSError, ValueError) as error:
        raise _cannot_listen(listen, error) from error
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen()  # from here on nobody is refused, even before the server takes its first connection
    except OSError as error:
        sock.close()
        raise _cannot_listen(listen, error) from error
    return sock


def _cannot_listen(listen: str, error: Exception) -> ListenError:
    why = getattr(error, "strerror", None) or str(error)
    return ListenError(f"web.listen: cannot listen on {listen}: {why}; choose another address or port")


class Web:
    """The listener's life: started with the daemon, stopped with it."""

    def __init__(self, answers: Answers, sock: socket.socket, alerts: Rows = no_alerts) -> None:
        self._sock = sock
        self._server = _Server(
            uvicorn.Config(
                application(answers, alerts),
                lifespan="off",
                log_config=None,
                log_level="error",  # what strangers send is not worth a line each
                access_log=False,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE,
                limit_concurrency=_MOST_CONNECTIONS,
                backlog=_MOST_CONNECTIONS,  # also how often asyncio tries to accept one before it sees that it cannot
                h11_max_incomplete_event_size=_MOST_HEADER_BYTES,
                timeout_graceful_shutdown=1,
                http="h11",
                ws="none",
            )
        )
        self._task: asyncio.Task[None] | None = None

    def start(self) -> asyncio.Task[None]:
        """Listen, in a task of its own, which ends with ``stop`` or, where it cannot, with what is the matter."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._sock]))
        return self._task

    async def stop(self) -> None:
        """Listen no more."""
        self._server.should_exit = True
        if self._task is not None:
            await asyncio.wait([self._task], timeout=2)
        self._sock.close()


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The daemon handles its signals itself."""
        yield
