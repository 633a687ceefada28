"""DNS answers and token pages that were made to exhaust whoever reads them."""

import asyncio
import contextlib
import socketserver
import struct
import threading
import time

import pytest

from tests.harness.dns import FULL, PATIENT, Responder, pack
from tests.harness.dns import story as examined
from watchdog.diagnose.http_tokens import Reach
from watchdog.diagnose.message import MOST_RECORDS, TooLargeError, parse
from watchdog.model.packs import HttpToken, Validation

IN_REAL_TIME = pytest.mark.process
HOST = "www.example.com"
LABELS = b"\x01a" * 126 + b"\x00"
SHORT_NAME = b"\x01a\x00"
POINTER = b"\xc0\x0c"


def full_of_names(count, name=LABELS):
    """An answer of so many aliases between names of a hundred labels, which takes milliseconds for each."""
    record = POINTER + struct.pack("!HHIH", 5, 1, 60, 2) + POINTER
    header = struct.pack("!HHHHHH", 1, 0x8180, 1, count, 0, 0)
    return header + name + struct.pack("!HH", 5, 1) + record * count


def test_an_answer_with_thousands_of_records_is_refused_unread():
    began = time.process_time()
    with pytest.raises(TooLargeError):
        parse(full_of_names(4600))
    assert time.process_time() - began < 0.01


def test_as_many_records_as_there_may_be_are_read():
    assert len(parse(full_of_names(MOST_RECORDS - 1, SHORT_NAME)).records) == MOST_RECORDS - 1


class Hostile(Responder):
    """Says by TCP, and nothing else, what a test tells it to."""

    def __init__(self, speak):
        super().__init__({"com": ["SOA"], "example.com": ["SOA"], HOST: ["A 192.0.2.1"]}, {HOST: "truncate"})
        self.speak = speak
        self.speaking = set()

    @contextlib.asynccontextmanager
    async def serving(self):
        async with super().serving():
            yield self
            for task in self.speaking:
                task.cancel()
            await asyncio.gather(*self.speaking, return_exceptions=True)
            await asyncio.sleep(0.01)  # until the last connections are closed

    async def _tcp(self, reader, writer):
        self.speaking.add(asyncio.current_task())
        try:
            query = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
            with contextlib.suppress(OSError):  # whoever asked has gone
                await self.speak(query, writer)
                await writer.drain()
        finally:
            writer.close()


def sized(answer):
    return len(answer).to_bytes(2, "big") + answer


async def thousands_of_records(query, writer):
    writer.write(sized(query[:2] + full_of_names(4600)[2:]))


async def one_byte_and_silence(_, writer):
    writer.write(b"\xff")
    await writer.wait_closed()


async def drop_by_drop(_, writer):
    writer.write(b"\xff\xff")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.01)


async def half_an_answer(_, writer):
    writer.write(b"\xff\xffhalf")


async def another_answer(query, writer):
    writer.write(sized(bytes([query[0] ^ 1]) + query[1:]))


async def noise(_, writer):
    writer.write(sized(b"\xff" * 60_000))


@pytest.mark.parametrize(
    ("speak", "status"),
    [
        (thousands_of_records, "malformed"),
        (half_an_answer, "malformed"),
        (another_answer, "malformed"),
        (noise, "malformed"),
        pytest.param(one_byte_and_silence, "timeout", marks=IN_REAL_TIME),
        pytest.param(drop_by_drop, "timeout", marks=IN_REAL_TIME),
    ],
)
def test_what_comes_by_tcp_instead_of_an_answer_is_malformed_or_late_and_never_an_absence(speak, status):
    hostile = Hostile(speak)

    async def ask(diagnoser):
        await diagnoser.diagnose(pack(HOST), FULL)
        return [answer.status for answer in await diagnoser._lookups.ask(HOST, "CAA")]  # noqa: SLF001 - its own words

    timeout = PATIENT if status == "malformed" else None
    assert examined(ask, hostile, timeout=timeout or SHORTEST, sockets=True) == [status]


SHORTEST = PATIENT / 50


class Pages(socketserver.ThreadingTCPServer):
    """Serves token pages, from threads: what is sent without end is sent until nobody listens any more."""

    daemon_threads = True

    def __init__(self, said, endless=b""):
        super().__init__(("127.0.0.1", 0), None)
        self.said, self.endless, self.asked = said, endless, 0

    def finish_request(self, request, _):
        self.asked += 1
        with contextlib.suppress(OSError):  # whoever asked has gone
            request.settimeout(5)
            request.recv(65536)
            request.sendall(self.said)
            while self.endless:
                request.sendall(self.endless)


def visited(resolver, pages, path="/.well-known/pki-validation/a.txt", **options):
    """What is found when these are a pack's token pages."""
    resolver.records[HOST] = ["A 127.0.0.1"]
    token = HttpToken(f"http://{HOST}{path}", "t")
    which = pack(HOST, validation=Validation("http", 90, http_tokens=(token,)))
    serving = threading.Thread(target=pages.serve_forever, args=(0.01,))
    serving.start()
    try:
        reach = Reach(pages.server_address[1], allowed=lambda _: True)
        options |= {"reach": reach, "sockets": True}
        return examined(lambda diagnoser: diagnoser.diagnose(which, FULL), resolver, **options)
    finally:
        pages.shutdown()
        serving.join()
        pages.server_close()


@pytest.mark.parametrize(
    "path",
    ["/.well-known/../admin", "/.well-known/%2e%2e/admin", "/.well-known/%2E./admin", "/.well-known/..\\admin"],
)
def test_a_token_url_that_leads_out_of_its_folder_is_not_read(resolver, path):
    pages = Pages(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nt")
    visited(resolver, pages, path)
    assert pages.asked == 0


@pytest.mark.parametrize(
    "endless",
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"100\r\n" + b"x" * 256 + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 1000),
        pytest.param((b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100), marks=IN_REAL_TIME),
        (b"HTTP/1.1 200 ", b"x" * 65536),
    ],
    ids=["body", "chunks", "headers", "continues", "status"],
)
def test_a_token_page_without_end_is_told_by_its_beginning_or_not_at_all(resolver, endless):
    found = visited(resolver, Pages(*endless), timeout=SHORTEST)
    # On a busy machine the whole diagnosis is over its time as well.
    assert {one.name.value for one in found} & {"http_wrong_answer", "http_unreachable", "incomplete"}
    assert all(one.says.isprintable() and len(one.says) < 600 for one in found)
