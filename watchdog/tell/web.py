"""The HTTP listener: ``/metrics``, ``/healthz``, ``/readyz``, ``/api/v1/packs``, ``/api/v1/alerts``; it only reads.

Everything slow (an exposition or a list of 100,000 packs) is made in another thread, one at a time. Headers,
connections and the time that one may take are bounded (``docs/deploy.md`` says how). On loopback a page of another host
is refused: a browser on this machine that was led here by a name of somebody else's DNS must not read it.
"""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator
from ipaddress import ip_address
from typing import Any, Protocol

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

INDEX = """certpack-watchdog

/metrics        for Prometheus
/healthz        whether the process is alive and its loop turns
/readyz         whether the first pass is done and the state can be written
/api/v1/packs   every pack and zone, as JSON
/api/v1/alerts  what needs a person now, as JSON
"""

MOST_CONNECTIONS = 64
"""At once; one more is told so and closed."""

MOST_HEADER_BYTES = 16 * 1024
"""Of a request's head."""

REQUEST_PATIENCE = 10.0
"""Seconds for a request to be there whole, from the connection or the answer before it on."""

ANSWER_PATIENCE = 60.0
"""Seconds from a request to the last byte of its answer taken."""

_HEADERS = [
    ("x-content-type-options", "nosniff"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cache-control", "no-store"),
]
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


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


def _own(app: ASGIApp, sock: socket.socket) -> ASGIApp:
    """The application for those who ask it by a name of this machine, where it listens on loopback."""
    if not ip_address(str(sock.getsockname()[0])).is_loopback:
        return app

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if all(map(is_ours, hosts)):
            await app(scope, receive, send)
        else:
            refusal = "This listens on loopback, and answers to an address or to localhost only.\n"
            await PlainTextResponse(refusal, 421)(scope, receive, send)

    return guarded


def _cannot_listen(listen: str, error: Exception) -> ListenError:
    why = getattr(error, "strerror", None) or str(error)
    return ListenError(f"web.listen: cannot listen on {listen}: {why}; choose another address or port")


class Web:
    """The listener's life: started with the daemon, stopped with it."""

    def __init__(self, answers: Answers, sock: socket.socket, alerts: Rows = no_alerts) -> None:
        self._sock = sock
        self.config = uvicorn.Config(
            _own(application(answers, alerts), sock),
            lifespan="off",
            log_config=None,
            log_level="error",  # what strangers send is not worth a line each
            access_log=False,
            server_header=False,
            headers=_HEADERS,
            backlog=MOST_CONNECTIONS,
            h11_max_incomplete_event_size=MOST_HEADER_BYTES,
            timeout_graceful_shutdown=1,
            http=_Connection,
            ws="none",
        )
        self._server = _Server(self.config)
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


class _Connection(H11Protocol):
    """One connection, which may take its time but not for ever, whatever it sends or leaves unread."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.write(_BUSY)
            transport.close()
        self._within(REQUEST_PATIENCE)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._deadline is not None:
            self._deadline.cancel()

    def data_received(self, data: bytes) -> None:
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self._within(ANSWER_PATIENCE)

    def send_400_response(self, msg: str) -> None:
        """Say so of a first request; after one, or in its body, uvicorn would raise and log a traceback each time."""
        cycle: Any = self.cycle  # uvicorn's types do not say that it is None before the first request
        if cycle is None:
            super().send_400_response(msg)
        else:
            cycle.disconnected = True
            self.transport.abort()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._unset_keepalive_if_required()  # the deadline does its work
        if not self.cycle.response_complete or self.transport.get_write_buffer_size():  # the next one, or not all taken
            self._within(ANSWER_PATIENCE)
        else:
            self._within(REQUEST_PATIENCE)

    def _within(self, seconds: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(seconds, self.transport.abort)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The daemon handles its signals itself."""
        yield
