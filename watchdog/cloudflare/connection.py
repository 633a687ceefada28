"""One connection: HTTP/1.1 on a socket of asyncio's, one request at a time, each sent once.

Answers are taken apart by httptools (llhttp, in C). ``connections`` makes these, keeps them and asks them.
"""

import asyncio
import math
import ssl

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from watchdog.cloudflare.http import Broken

LONGEST_HEAD = 65_536
"""Bytes of an answer's status line and headers: security policies alone have been met with thousands."""

READ_AT_ONCE = 65_536
"""Bytes. A plain protocol is handed a piece of memory of its own each time, of four times as many: to map, to touch and
to give back the pages of one costs more than what is read."""

Answer = tuple[int, list[tuple[bytes, bytes]], bytes]
"""Status, headers, body."""


class Connection(asyncio.BufferedProtocol):
    """One connection, with one request at a time on it. It is in ``open_ones`` while it is open."""

    def __init__(self, open_ones: "set[Connection]", longest: int) -> None:
        """A body that has more than ``longest`` bytes is cut off behind them."""
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
        self._read = memoryview(bytearray(READ_AT_ONCE))
        self._answer: asyncio.Future[Answer] | None = None
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

    async def ask(self, request: bytes, until: float = math.inf, *, joins: bool = False) -> Answer:
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

    async def encrypted(self, inner: "Connection", tls: ssl.SSLContext, host: str) -> "Connection":
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
        """It is there."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  of a stream
        self._transport = transport
        self._open_ones.add(self)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  its signature
        """Where what comes is put."""
        return self._read

    def buffer_updated(self, nbytes: int) -> None:
        """So much came."""
        if not self._waits:
            self._unasked()
            return
        if not self._status:
            self._heads += nbytes
        try:
            self._parser.feed_data(self._read[:nbytes])  # which keeps nothing of it
        except HttpParserUpgrade:
            self._break("the other side wants to speak another protocol, which nobody asked for")
        except HttpParserError as strange:
            self._break(f"{strange}")
        else:
            if not self._status and self._heads > LONGEST_HEAD:
                self._break("the headers are too long")

    def connection_lost(self, error: Exception | None) -> None:
        """It is over; without an ``error`` where the other side closed it in good order."""
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
        """An answer begins."""
        if not self._waits:
            self._unasked()
        self._headers, self._length = [], 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header has come, before the body or behind it."""
        if not self._status:  # else it comes behind the body
            self._headers.append((name, value.strip(b" \t")))
            self._length += len(name) + len(value)

    def on_headers_complete(self) -> None:
        """The head is whole."""
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
        """A piece of the body has come."""
        if not self._waits:
            self._unasked()
            return
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > self._longest:
            self._conclude()
            self.drop()

    def on_message_complete(self) -> None:
        """The answer is whole."""
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
