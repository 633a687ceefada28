"""The simulated Cloudflare on a socket, in the running loop. Signals, logging and the lifetime stay the caller's."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator

from starlette.types import ASGIApp, Receive, Scope, Send

from watchdog.http_server import Config, Server, listen
from watchdog.simulator.app import PREFIX, ConnectionCut, create_app
from watchdog.simulator.world import World

_LINGER_NONE = struct.pack("ii", 1, 0)  # on, no seconds: closing sends a reset


@contextlib.asynccontextmanager
async def serve(world: World, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve ``world`` and give the base URL; port 0 takes a free one. ``OSError`` if the port cannot be had."""
    app = create_app(world)
    busy: set[asyncio.Task[None] | None] = set()

    async def door(scope: Scope, receive: Receive, send: Send) -> None:
        task = asyncio.current_task()
        busy.add(task)
        try:
            await app(scope, receive, send)
        except (ConnectionCut, asyncio.CancelledError) as cut:  # cancelled: the server stops, and does not wait
            _hang_up(server, scope["client"], reset=isinstance(cut, ConnectionCut) and cut.reset)
            while (await receive())["type"] != "http.disconnect":
                pass
        finally:
            busy.discard(task)

    async with served(door, host, port) as server:
        try:
            yield f"http://{host}:{server.port}{PREFIX}"
        finally:
            for task in busy:
                if task is not None:
                    task.cancel()


@contextlib.asynccontextmanager
async def served(app: ASGIApp, host: str, port: int) -> AsyncIterator["Serving"]:
    """An application on a socket, in the running loop. ``OSError`` if the port cannot be had."""
    listener = listen(host, port)
    server = Serving(
        Config(
            app,
            interface="asgi3",
            http="h11",
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
    )
    server.port = listener.getsockname()[1]
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="simulator")
    try:
        await server.ready.wait()
        yield server
    finally:
        server.should_exit = True
        await serving


class Serving(Server):
    """A server, and the port that it has."""

    port = 0


def _hang_up(server: Server, client: tuple[str, int], *, reset: bool) -> None:
    for connection in server.server_state.connections:
        if getattr(connection, "client", None) == client:
            if reset:
                wire = connection.transport.get_extra_info("socket")
                wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
            connection.transport.abort()
