"""Connections to one server: HTTP/1.1 on asyncio's sockets, each request sent once.

Answers are taken apart by httptools (llhttp, in C). httpx's own way, over h11, httpcore and anyio, costs ten times the
CPU of this one, and its values alone as much as this again; aiohttp costs several times as much, an eighth of a second
at every start, and sends some requests again by itself. None says exactly whether a request may have left. Here the
kind of error does: nothing was sent where it is ``NotSent``, and it may have been where it is ``Broken``. ``transport``
alone makes one.
"""

import asyncio
import math
import ssl
from base64 import b64encode
from urllib.parse import unquote, urlsplit

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from watchdog.cloudflare.http import Broken, Headers, NotSent, Request, Response, read_headers

KEPT_FOR = 60.0
"""Seconds after which a connection that nobody used is not used again: what lies between may have forgotten it."""

LONGEST_HEAD = 65_536
"""Bytes of an answer's status line and headers: security policies alone have been met with thousands."""

NEXT_ADDRESS_AFTER = 0.25
"""Seconds after which another address of the server is tried beside the first (RFC 8305)."""

_PORTS = {"http": 80, "https": 443}
_Answer = tuple[int, list[tuple[bytes, bytes]], bytes]
"""Status, headers, body."""


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
        self._idle: list[_Connection] = []
        self._open: set[_Connection] = set()
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

    def _kept(self) -> "_Connection | None":
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and connection.loop.time() < connection.idle_since + KEPT_FOR:
                return connection
            connection.drop()
        return None

    async def _connected(self) -> "_Connection":
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

    async def _dialled(self, host: str, port: int, tls: ssl.SSLContext | None) -> "_Connection":
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            self._new, host, port, ssl=tls, happy_eyeballs_delay=NEXT_ADDRESS_AFTER
        )
        return connection

    async def _tunnelled(self, way: "_Connection", proxy: Proxy, tls: ssl.SSLContext) -> "_Connection":
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

    def _new(self) -> "_Connection":
        return _Connection(self._open, self._longest)


class _Connection(asyncio.Protocol):
    """One connection, with one request at a time on it."""

    def __init__(self, open_ones: "set[_Connection]", longest: int) -> None:
        self.loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = self.loop.create_future()
        self.idle_since = 0.0
        self.joined = False
        """Whether a proxy has joined this connection with the server that it was asked for."""
        self.spoke = False
        """Whether the other side said something unasked; then the connection is dropped."""
        self._open_ones = open_ones
        self._longest = longest
        self._transport: asyncio.Transport | None = None
        self._parser = HttpResponseParser(self)
        self._answer: asyncio.Future[_Answer] | None = None
        self._until = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._joins = False
        self._status = 0  # once the head of an answer has come
        self._headers: list[tuple[bytes, bytes]] = []
        self._pieces: list[bytes] = []
        self._heads = self._length = self._size = 0

    # ── what the pool asks ───────────────────────────────────────────────────────────────────────────────────────

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent on it."""
        return self._transport is not None and not self._transport.is_closing() and not self.joined

    async def ask(self, request: bytes, until: float = math.inf, *, joins: bool = False) -> _Answer:
        """Send a request and wait for the whole of its answer: status, headers, body. Raises ``Broken``.

        A ``TimeoutError`` when it is ``until`` by the loop's time. A request that ``joins`` asks a proxy for a tunnel,
        and a success has no body then.
        """
        transport = self._transport
        if transport is None:
            raise Broken("the connection is closed")
        self._answer, self._joins, self._until = self.loop.create_future(), joins, until
        if self._timer is None and until < math.inf:
            self._timer = self.loop.call_at(until, self._late)
        self._status = self._heads = self._size = 0
        self._headers, self._pieces = [], []
        try:
            transport.write(request)
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

    def _late(self) -> None:
        """The time of a request is up: of the one that is waited for, or of an earlier one that was answered.

        There is one timer for all of them, for one each would cost a tenth of a request.
        """
        self._timer = None
        if not self._waits:
            return
        if self.loop.time() < self._until:
            self._timer = self.loop.call_at(self._until, self._late)
        else:
            self._fail(TimeoutError())

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
        if not self._waits:
            self._unasked()
            return
        if not self._status:
            self._heads += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            self._break("the other side wants to speak another protocol, which nobody asked for")
        except HttpParserError as strange:
            self._break(f"{strange}")
        else:
            if not self._status and self._heads > LONGEST_HEAD:
                self._break("the headers are too long")

    def connection_lost(self, error: Exception | None) -> None:
        if self._waits:
            unmeasured = not {b"content-length", b"transfer-encoding"} & {name.lower() for name, _ in self._headers}
            if error is None and self._status and unmeasured:  # its end is that of the connection
                self._conclude()
            self._fail(Broken(str(error or "") or "the other side closed it before the end of its answer"))
        self._end()

    def _end(self) -> None:
        """It is no connection any more, or another's."""
        self._open_ones.discard(self)
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self.closed.done():
            self.closed.set_result(None)

    # ── what the parser tells ────────────────────────────────────────────────────────────────────────────────────

    def on_message_begin(self) -> None:
        if not self._waits:
            self._unasked()
        self._headers, self._length = [], 0

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._status:  # else it comes behind the body
            self._headers.append((name, value.strip(b" \t")))
            self._length += len(name) + len(value)

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if self._length > LONGEST_HEAD:
            self._break("the headers are too long")
        elif status < 200:  # it only says that an answer will come
            self._heads = 0
        else:
            self._status = status
            if self._joins and status < 300:
                self.joined = True
                self._conclude()

    def on_body(self, piece: bytes) -> None:
        if not self._waits:
            self._unasked()
            return
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > self._longest:
            self._conclude()
            self.drop()

    def on_message_complete(self) -> None:
        if self._status and self._waits:
            self._conclude()
            if not self._parser.should_keep_alive():
                self.drop()

    @property
    def _waits(self) -> bool:
        return self._answer is not None and not self._answer.done()

    def _conclude(self) -> None:
        if self._waits and self._answer is not None:
            self._answer.set_result((self._status, self._headers, b"".join(self._pieces)))

    def _unasked(self) -> None:
        self.spoke = True
        self.drop()

    def _break(self, strange: str) -> None:
        self._fail(Broken(strange))
        self.drop()

    def _fail(self, error: Exception) -> None:
        if self._waits and self._answer is not None:
            self._answer.set_exception(error)
