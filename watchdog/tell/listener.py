"""The HTTP listener: who may connect, how often, and for how long; ``pages`` says what they see.

The limits lean on methods of uvicorn's ``H11Protocol`` that are not part of its public interface: it has no settings
for them. They all stand in ``_Connection``, and ``pyproject.toml`` admits no version of uvicorn that this was not tried
with; ``tests/tell/test_listener_limits.py`` tries it.
"""

import asyncio
import errno
import socket
from ipaddress import ip_address
from typing import Any

from starlette.types import ASGIApp

from watchdog.http_server import Config, H11Protocol, Server, listen
from watchdog.tell.pages import only_for_this_machine

MOST_CONNECTIONS = 64
"""At once; one more is told so and closed."""

MOST_HEADER_BYTES = 16 * 1024
"""Of a request's head."""

REQUEST_PATIENCE = 10.0
"""Seconds for a request to be there whole, from the connection or the answer before it on."""

ANSWER_PATIENCE = 60.0
"""Seconds from a request to the last byte of its answer taken."""

_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class ListenError(Exception):
    """The address cannot be listened on; ``str()`` says why."""


def bind(address: str) -> socket.socket:
    """A socket on ``host:port``, an IPv6 host in brackets.

    Raises ``ListenError``, and ``OSError`` where there is no descriptor left: no other address would help.
    """
    host, _, port = address.rpartition(":")
    try:
        return listen(host.strip("[]"), int(port))
    except (OSError, ValueError) as error:
        if getattr(error, "errno", None) in {errno.EMFILE, errno.ENFILE}:
            raise
        why = getattr(error, "strerror", None) or str(error)
        text = f"web.listen: cannot listen on {address}: {why}; choose another address or port"
        raise ListenError(text) from error


class Listener:
    """The listener's life: started with the daemon, stopped with it."""

    def __init__(self, pages: ASGIApp, sock: socket.socket) -> None:
        self._sock = sock
        loopback = ip_address(str(sock.getsockname()[0])).is_loopback
        self.config = Config(
            only_for_this_machine(pages) if loopback else pages,
            lifespan="off",
            log_config=None,
            log_level="error",  # what strangers send is not worth a line each
            access_log=False,
            server_header=False,
            backlog=MOST_CONNECTIONS,
            h11_max_incomplete_event_size=MOST_HEADER_BYTES,
            timeout_graceful_shutdown=1,
            http=_Connection,
            ws="none",
        )
        self._server = Server(self.config)
        self._task: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where the first page is."""
        host, port = self._sock.getsockname()[:2]
        return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"

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
