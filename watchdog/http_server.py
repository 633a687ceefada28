"""HTTP in a loop that belongs to somebody else: a socket to listen on, and uvicorn that leaves the process alone.

The door to uvicorn, for the daemon's own pages (``tell.listener``) and for the simulator. What is served, and to whom,
is theirs to say.
"""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from types import SimpleNamespace

from watchdog.lean_imports import import_without

import_without(  # its log is never set up here: 5 ms
    "uvicorn",
    instead={"logging.config": SimpleNamespace(), "configparser": SimpleNamespace(RawConfigParser=SimpleNamespace)},
)
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import Server as Uvicorn

__all__ = ["Config", "H11Protocol", "Server", "listen"]


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections from here on, before anybody serves it; port 0 takes a free one.

    ``host`` is a name or an address, without brackets. Raises ``OSError``.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    sock = socket.socket(family, kind, protocol)  # the protocol named, else asyncio leaves Nagle's delay on
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen()
    except OSError:
        sock.close()
        raise
    return sock


class Server(Uvicorn):
    """Uvicorn that takes no signals, and says when it has begun: ``ready`` is set then."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are handled by whoever owns the loop."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does, and say so."""
        await super().startup(sockets)
        self.ready.set()
