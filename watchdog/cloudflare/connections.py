"""Connections to one server, as a transport of httpx: HTTP/1.1 by h11 on asyncio's sockets, each request sent once.

httpx's own way, over httpcore and anyio, costs five times the CPU of this one; aiohttp costs twice as much, an eighth
of a second at every start, and sends some requests again by itself. Neither says exactly whether a request may have
left. Here the kind of error does: nothing was sent where it is ``httpx.ConnectError`` or ``httpx.ProxyError``, and it
may have been with any other ``httpx.TransportError``. ``transport`` alone makes one, and bounds the time.
"""

import asyncio
import ssl
from base64 import b64encode
from collections.abc import Sequence

import h11
import httpx

KEPT_FOR = 60.0
"""Seconds after which a connection that nobody used is not used again: what lies between may have forgotten it."""

LONGEST_HEAD = 65_536
"""Bytes of an answer's status line and headers: security policies alone have been met with thousands."""

NEXT_ADDRESS_AFTER = 0.25
"""Seconds after which another address of the server is tried beside the first (RFC 8305)."""

RawHeaders = Sequence[tuple[bytes, bytes]]


class Connections(httpx.AsyncBaseTransport):
    """At most ``most`` connections to the server of ``base_url``, all kept open; used by one event loop."""

    def __init__(
        self,
        base_url: str,
        *,
        most: int,
        longest: int,
        tls: ssl.SSLContext | None = None,
        proxy: httpx.Proxy | None = None,
    ) -> None:
        """``tls`` is for an ``https`` URL. A body that has more than ``longest`` bytes is cut off behind them."""
        url = httpx.URL(base_url)
        self._origin = (url.raw_host.decode(), url.port or (443 if url.scheme == "https" else 80))
        self._tls = tls if url.scheme == "https" else None
        self._proxy = proxy
        self._longest = longest
        self._room = asyncio.Semaphore(most)
        self._idle: list[_Connection] = []
        self._open: set[_Connection] = set()
        self._by_proxy = proxy is not None and self._tls is None
        self._prefix = b"http://" + url.netloc if self._by_proxy else b""
        self._for_proxy = _proxy_headers(proxy) if self._by_proxy else []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer with its whole body, or what there was of one that is too long."""
        async with self._room:
            connection = self._kept() or await self._connected()
            status, headers, body = await connection.ask(
                h11.Request(
                    method=request.method,
                    target=self._prefix + request.url.raw_path,
                    headers=[*request.headers.raw, *self._for_proxy],
                ),
                request.content,
            )
            if connection.reusable:
                connection.idle_since = connection.loop.time()
                self._idle.append(connection)
        return httpx.Response(status, headers=headers, stream=httpx.ByteStream(body))

    async def aclose(self) -> None:
        """Close every connection."""
        closing = list(self._open)
        for connection in closing:
            connection.drop()
        await asyncio.gather(*(connection.closed for connection in closing))

    def _kept(self) -> "_Connection | None":
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and connection.loop.time() < connection.idle_since + KEPT_FOR:
                return connection
            connection.drop()
        return None

    async def _connected(self) -> "_Connection":
        host, port = self._origin
        if self._proxy is not None:
            url = self._proxy.url
            host, port = url.host, url.port or (443 if url.scheme == "https" else 80)
        try:
            if self._proxy is None:
                connection = await self._dialled(host, port, self._tls)
            else:
                tls = httpx.create_ssl_context() if self._proxy.url.scheme == "https" else None
                connection = await self._dialled(host, port, tls)
                if self._tls is not None:
                    connection = await self._tunnelled(connection, self._proxy, self._tls)
        except OSError as error:  # the kinds of ``ssl`` among them
            raise httpx.ConnectError(f"{host}:{port}") from error
        return connection

    async def _dialled(self, host: str, port: int, tls: ssl.SSLContext | None) -> "_Connection":
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            self._new, host, port, ssl=tls, happy_eyeballs_delay=NEXT_ADDRESS_AFTER
        )
        return connection

    async def _tunnelled(self, way: "_Connection", proxy: httpx.Proxy, tls: ssl.SSLContext) -> "_Connection":
        """A connection through a proxy that joins us with the server, and sees nothing of what is said."""
        host, port = self._origin
        there = f"{host}:{port}".encode()
        try:
            headers = [(b"host", there), *_proxy_headers(proxy)]
            status, _, _ = await way.ask(h11.Request(method=b"CONNECT", target=there, headers=headers), b"")
        except httpx.TransportError as error:
            raise httpx.ProxyError(f"the proxy opened no tunnel: {error}") from error
        if not way.joined:
            way.drop()
            raise httpx.ProxyError(f"the proxy opened no tunnel: HTTP {status}")
        try:
            return await way.encrypted(self._new(), tls, host)
        except BaseException:
            way.drop()
            raise

    def _new(self) -> "_Connection":
        return _Connection(self._open, self._longest)


class _Connection(asyncio.Protocol):
    """One connection, with one request at a time on it."""

    def __init__(self, open_ones: "set[_Connection]", longest: int) -> None:
        self.loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = self.loop.create_future()
        self.idle_since = 0.0
        self._open_ones = open_ones
        self._longest = longest
        self._transport: asyncio.Transport | None = None
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=LONGEST_HEAD)
        self._answer: asyncio.Future[tuple[int, RawHeaders, bytes]] | None = None
        self._head: h11.Response | None = None
        self._pieces: list[bytes] = []
        self._size = 0

    # ── what the pool asks ───────────────────────────────────────────────────────────────────────────────────────

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent on it."""
        return self._transport is not None and not self._transport.is_closing() and self._http.our_state is h11.IDLE

    @property
    def joined(self) -> bool:
        """Whether a proxy has joined this connection with the server that it was asked for."""
        return self._http.our_state is h11.SWITCHED_PROTOCOL

    async def ask(self, request: h11.Request, content: bytes) -> tuple[int, RawHeaders, bytes]:
        """Send a request and wait for the whole of its answer: status, headers, body. Raises ``TransportError``."""
        transport = self._transport
        if transport is None:
            raise httpx.ReadError("the connection is closed")
        self._answer = self.loop.create_future()
        said = self._http.send(request) or b""
        if content:
            said += self._http.send(h11.Data(data=content)) or b""
        said += self._http.send(h11.EndOfMessage()) or b""
        try:
            transport.write(said)
            return await self._answer
        except BaseException:  # nobody waits for what may still come
            self.drop()
            raise
        finally:
            self._answer = None

    async def encrypted(self, inner: "_Connection", tls: ssl.SSLContext, host: str) -> "_Connection":
        """Hand what is joined by a proxy over to ``inner``, which speaks TLS with the server behind it."""
        assert self._transport is not None  # noqa: S101  it has just answered
        made = await self.loop.start_tls(self._transport, inner, tls, server_hostname=host)
        if made is None:
            raise ConnectionResetError
        self._end()
        inner.connection_made(made)
        return inner

    def drop(self) -> None:
        """Close it at once."""
        if self._transport is not None:
            self._transport.abort()

    # ── what the loop tells ──────────────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  of a stream
        self._transport = transport
        self._open_ones.add(self)

    def data_received(self, data: bytes) -> None:
        if self._answer is None:  # nobody asked
            self.drop()
            return
        self._hear(data)

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            if error is None:
                self._hear(b"")
            self._fail(httpx.ReadError(str(error or "") or "the other side closed it before the end of its answer"))
        self._end()

    def _end(self) -> None:
        """It is no connection any more, or another's."""
        self._open_ones.discard(self)
        self._transport = None
        if not self.closed.done():
            self.closed.set_result(None)

    def _hear(self, data: bytes) -> None:
        """What came, up to the end of the answer; empty is the end of all."""
        http = self._http
        try:
            http.receive_data(data)
            while True:
                event = http.next_event()
                if event is h11.NEED_DATA:
                    return
                if isinstance(event, h11.Data):
                    self._pieces.append(bytes(event.data))
                    self._size += len(event.data)
                    if self._size > self._longest:
                        self._conclude()
                        self.drop()
                        return
                elif isinstance(event, h11.Response):
                    self._begin(event)
                elif not isinstance(event, h11.InformationalResponse):  # it is over, or a tunnel begins
                    self._conclude()
                    return
        except (h11.RemoteProtocolError, ValueError) as strange:
            self._fail(httpx.RemoteProtocolError(str(strange)))
            self.drop()

    def _begin(self, head: h11.Response) -> None:
        if sum(len(name) + len(value) for name, value in head.headers) > LONGEST_HEAD:
            raise h11.RemoteProtocolError("the headers are too long")
        self._head = head

    def _conclude(self) -> None:
        if self._answer is None or self._answer.done() or self._head is None:
            return
        headers = self._head.headers.raw_items()
        self._answer.set_result((self._head.status_code, headers, b"".join(self._pieces)))
        self._head, self._pieces, self._size = None, [], 0
        unasked, _ = self._http.trailing_data
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE and not unasked:
            self._http.start_next_cycle()
        elif not self.joined:
            self.drop()

    def _fail(self, error: httpx.TransportError) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)


def _proxy_headers(proxy: httpx.Proxy | None) -> list[tuple[bytes, bytes]]:
    """What a proxy is told besides the request: who asks, where its URL says that."""
    if proxy is None or proxy.raw_auth is None:
        return []
    return [(b"proxy-authorization", b"Basic " + b64encode(b":".join(proxy.raw_auth)))]
