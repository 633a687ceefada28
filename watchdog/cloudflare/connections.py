"""Connections to one server: which are kept, how new ones are made, and through which proxy. Each request is sent once.

httpx's own way, over h11, httpcore and anyio, costs ten times the CPU of this one, and its values alone as much as this
again. aiohttp costs several times as much, an eighth of a second at every start, and sends some requests again by
itself. None says exactly whether a request may have left. Here the kind of error does: nothing was sent where it is
``NotSent``, and it may have been where it is ``Broken``. What is said on a connection is in ``connection``;
``transport`` alone makes one of these.
"""

import asyncio
import ssl
from base64 import b64encode
from urllib.parse import unquote, urlsplit

from watchdog.cloudflare.connection import Connection
from watchdog.cloudflare.http import Broken, Headers, NotSent, Request, Response, read_headers

KEPT_FOR = 60.0
"""Seconds after which a connection that nobody used is not used again: what lies between may have forgotten it."""

NEXT_ADDRESS_AFTER = 0.25
"""Seconds after which another address of the server is tried beside the first (RFC 8305)."""

_PORTS = {"http": 80, "https": 443}


class Proxy:
    """Where a proxy is, whether it is spoken to by TLS, and what it is told besides the request: who asks."""

    def __init__(self, url: str) -> None:
        """The ``url`` may hold a name and a password, which nothing shows."""
        parts = urlsplit(url)
        self.tls = parts.scheme == "https"
        self.host = parts.hostname or ""
        self.port = parts.port or _PORTS["https" if self.tls else "http"]
        self.headers: list[tuple[bytes, bytes]] = []
        if parts.username is not None or parts.password is not None:
            said = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}".encode()
            self.headers.append((b"proxy-authorization", b"Basic " + b64encode(said)))


class Connections:
    """At most ``most`` connections to the server of ``base_url``, all kept open; used by one event loop."""

    def __init__(
        self,
        base_url: str,
        *,
        most: int,
        longest: int,
        tls: ssl.SSLContext | None = None,
        proxy: Proxy | None = None,
        proxy_tls: ssl.SSLContext | None = None,
    ) -> None:
        """``tls`` is for an ``https`` URL. A body that has more than ``longest`` bytes is cut off behind them."""
        url = urlsplit(base_url)
        self._origin = (url.hostname or "", url.port or _PORTS[url.scheme])
        self._tls = tls if url.scheme == "https" else None
        self._proxy, self._proxy_tls = proxy, proxy_tls
        self._longest = longest
        self._room = asyncio.Semaphore(most)
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        by_proxy = proxy is not None and self._tls is None
        self._prefix = f"http://{url.netloc}" if by_proxy else ""
        self._for_proxy = Headers(proxy.headers if proxy is not None and by_proxy else []).lines

    async def ask(self, request: Request, seconds: float) -> Response:
        """The answer with its whole body, or what there was of one that is too long."""
        if " " in request.target or not (request.target.isascii() and request.target.isprintable()):
            raise Broken("the target of the request has a character that none may have")
        line = f"{request.method} {self._prefix}{request.target} HTTP/1.1\r\n".encode()
        said = b"".join((line, request.headers.lines, self._for_proxy, b"\r\n", request.content))
        until = asyncio.get_running_loop().time() + seconds
        if self._room.locked():
            async with asyncio.timeout_at(until):
                await self._room.acquire()
        else:
            await self._room.acquire()
        try:
            if (connection := self._kept()) is None:
                async with asyncio.timeout_at(until):
                    connection = await self._connected()
            status, headers, body = await connection.ask(said, until)
            if connection.reusable:
                connection.idle_since = connection.loop.time()
                self._idle.append(connection)
        finally:
            self._room.release()
        return Response(status, read_headers(headers), body)

    async def aclose(self) -> None:
        """Close every connection."""
        closing = list(self._open)
        for connection in closing:
            connection.drop()
        await asyncio.gather(*(connection.closed for connection in closing))

    def _kept(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and connection.loop.time() < connection.idle_since + KEPT_FOR:
                return connection
            connection.drop()
        return None

    async def _connected(self) -> Connection:
        proxy, (host, port) = self._proxy, self._origin
        if proxy is not None:
            host, port = proxy.host, proxy.port
        try:
            connection = await self._dialled(host, port, self._tls if proxy is None else self._proxy_tls)
            if proxy is not None and self._tls is not None:
                connection = await self._tunnelled(connection, proxy, self._tls)
        except OSError as error:  # the kinds of ``ssl`` among them
            raise NotSent(f"{host}:{port}") from error
        return connection

    async def _dialled(self, host: str, port: int, tls: ssl.SSLContext | None) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            self._new, host, port, ssl=tls, happy_eyeballs_delay=NEXT_ADDRESS_AFTER
        )
        return connection

    async def _tunnelled(self, way: Connection, proxy: Proxy, tls: ssl.SSLContext) -> Connection:
        """A connection through a proxy that joins us with the server, and sees nothing of what is said."""
        host, port = self._origin
        there = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        headers = Headers([(b"host", there.encode()), *proxy.headers])
        try:
            status, _, _ = await way.ask(f"CONNECT {there} HTTP/1.1\r\n".encode() + headers.lines + b"\r\n", joins=True)
        except Broken as error:
            raise NotSent(f"the proxy opened no tunnel: {error}") from error
        if not way.joined:
            way.drop()
            raise NotSent(f"the proxy opened no tunnel: HTTP {status}")
        if way.spoke:  # in TLS the client speaks first, so that is nobody's whom we asked for
            raise NotSent("more than its answer came from the proxy before anything was said through it")
        try:
            return await way.encrypted(self._new(), tls, host)
        except BaseException:
            way.drop()
            raise

    def _new(self) -> Connection:
        return Connection(self._open, self._longest)
