"""The simulated Cloudflare on a socket, in the running loop. Signals, logging and the lifetime stay the caller's."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator

import uvicorn
from starlette.types import Receive, Scope, Send

from watchdog.serving import Server, listen
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

    listener = listen(host, port)
    server = Server(
        uvicorn.Config(
            door,
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
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="simulator")
    try:
        await server.ready.wait()
        yield f"http://{host}:{listener.getsockname()[1]}{PREFIX}"
    finally:
        server.should_exit = True
        for task in busy:
            if task is not None:
                task.cancel()
        await serving


def _hang_up(server: Server, client: tuple[str, int], *, reset: bool) -> None:
    for connection in server.server_state.connections:
        if getattr(connection, "client", None) == client:
            if reset:
                wire = connection.transport.get_extra_info("socket")
                wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
            connection.transport.abort()
