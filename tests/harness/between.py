"""A TCP proxy between a daemon and its database, which cuts, refuses and freezes as a test asks for."""

import asyncio
import threading
from concurrent.futures import Future
from contextlib import contextmanager, suppress


class Between:
    """Listens on ``port`` and passes on to ``target``, a port on loopback, which may be changed at any time."""

    def __init__(self, target):
        self.target = target
        self.port = 0
        self.passed = 0  # connections, in all
        self._refusing = False
        self._loop = None
        self._open = set()
        self._going = None

    def cut(self):
        """Every connection is reset; new ones come through."""
        self._call(self._reset)

    def refuse(self):
        """Every connection is reset, and so is each new one, until ``mend``."""
        self._refusing = True
        self._call(self._reset)

    def freeze(self):
        """Nothing is passed on, and nobody is told, until ``mend``."""
        self._call(self._going.clear)

    def mend(self):
        """All is well again."""
        self._refusing = False
        self._call(self._going.set)

    def _call(self, do):
        self._loop.call_soon_threadsafe(do)

    def _reset(self):
        for writer in self._open:
            writer.transport.abort()

    async def _serve(self, reader, writer):
        if self._refusing:
            writer.transport.abort()
            return
        self.passed += 1
        with suppress(OSError):
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
            self._open |= {writer, back}
            with suppress(OSError, asyncio.CancelledError):
                await asyncio.wait(
                    [
                        asyncio.create_task(self._pass_on(reader, back)),
                        asyncio.create_task(self._pass_on(there, writer)),
                    ],
                    return_when=asyncio.FIRST_COMPLETED,
                )
            back.transport.abort()
            self._open -= {writer, back}
        writer.transport.abort()

    async def _pass_on(self, reader, writer):
        with suppress(OSError):
            while data := await reader.read(65536):
                await self._going.wait()
                writer.write(data)
                await writer.drain()

    async def _run(self, ready, ended):
        self._loop, self._going = asyncio.get_running_loop(), asyncio.Event()
        self._going.set()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await asyncio.wrap_future(ended)
        server.close()
        self._refusing = True
        self._going.set()
        while left := asyncio.all_tasks() - {asyncio.current_task()}:  # what was accepted just now has a socket too
            self._reset()
            await asyncio.wait(left, timeout=0.1)


@contextmanager
def between(target):
    """``with between(port) as way``."""
    way, ready, ended = Between(target), threading.Event(), Future()
    thread = threading.Thread(target=lambda: asyncio.run(way._run(ready, ended)), daemon=True)  # noqa: SLF001  of this file
    thread.start()
    ready.wait(10)
    try:
        yield way
    finally:
        ended.set_result(None)
        thread.join(10)
