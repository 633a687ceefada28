"""What the listener bears and for how long, on a real socket; and whom it lets read on loopback."""

import asyncio
import socket
import threading
from contextlib import asynccontextmanager, suppress

import pytest

from tests.tell.test_web import Daemon
from watchdog.tell import listener
from watchdog.tell.listener import MOST_CONNECTIONS, Listener, bind
from watchdog.tell.pages import application, is_ours

SHORT = 0.2
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def short(monkeypatch):
    """Patience as long as a test can bear."""
    monkeypatch.setattr(listener, "REQUEST_PATIENCE", SHORT)
    monkeypatch.setattr(listener, "ANSWER_PATIENCE", SHORT)


@asynccontextmanager
async def listening(listen="127.0.0.1:0", daemon=None):
    sock = bind(listen)
    here = Listener(application((daemon or Daemon()).sources()), sock)
    here.start()
    try:
        yield sock.getsockname()[1]
    finally:
        await here.stop()


def story(told):
    return asyncio.run(asyncio.wait_for(told(), 20))


async def closed_after(writer, reader):
    """What still came, and the seconds until the other side closed."""
    began = asyncio.get_running_loop().time()
    try:
        rest = await reader.read()
    except ConnectionResetError:
        rest = b""
    writer.close()
    return rest, asyncio.get_running_loop().time() - began


@pytest.mark.process  # in real time
@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("said", [b"", b"GET /heal", b"GET / HTTP/1.1\r\nHost: x\r\n"], ids=["nothing", "line", "head"])
def test_a_request_that_is_not_there_in_time_is_not_waited_for(said):
    async def told():
        async with listening() as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(said)
            return await closed_after(writer, reader)

    rest, seconds = story(told)
    assert rest == b""
    assert seconds < 20 * SHORT


@pytest.mark.process  # in real time
@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("before", [b"", GET], ids=["first", "kept-alive"])
def test_a_byte_now_and_then_buys_no_time(before):
    async def told():
        async with listening() as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(before)
            if before:
                assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")

            async def drip():
                while not writer.is_closing():
                    writer.write(b"G")
                    await asyncio.sleep(SHORT / 10)

            dripping = asyncio.create_task(drip())
            _, seconds = await closed_after(writer, reader)
            dripping.cancel()
            return seconds

    assert SHORT / 2 < story(told) < 20 * SHORT


@pytest.mark.process  # in real time
@pytest.mark.usefixtures("short")
def test_an_answer_that_nobody_takes_is_not_kept():
    class Verbose(Daemon):
        def exposition(self):
            return lambda _: ([b"x" * 1024 * 1024] * 32, "text/plain")

    async def told():
        async with listening(daemon=Verbose()) as port:
            with socket.create_connection(("127.0.0.1", port)) as reader:
                reader.setblocking(False)  # noqa: FBT003  the socket's own way
                loop = asyncio.get_running_loop()
                await loop.sock_sendall(reader, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
                await asyncio.sleep(3 * SHORT)
                got = 0
                try:
                    while piece := await loop.sock_recv(reader, 1 << 20):
                        got += len(piece)
                except ConnectionResetError:
                    pass
                return got

    assert story(told) < 32 * 1024 * 1024


@pytest.mark.process  # in real time
@pytest.mark.usefixtures("short")
def test_a_body_is_not_read_and_its_sender_not_waited_for():
    async def told():
        async with listening() as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(
                b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000\r\n\r\n" + bytes(1000)
            )
            return await closed_after(writer, reader)

    rest, seconds = story(told)
    assert rest.startswith(b"HTTP/1.1 405 ")
    assert seconds < 20 * SHORT


def test_connections_beyond_the_bound_are_told_and_closed_at_once_and_cost_nobody_his():
    async def told():
        async with listening() as port:
            first = await asyncio.open_connection("127.0.0.1", port)
            crowd = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MOST_CONNECTIONS + 10)]
            last = await crowd[-1][0].read()
            first[1].write(GET)
            well = await first[0].readline()
            for _, writer in (first, *crowd):
                writer.close()
            return last, well

    last, well = story(told)
    assert last.startswith(b"HTTP/1.1 503 ")
    assert well.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "CONNECT", "BREW"])
def test_unusual_methods_are_refused_as_well(method):
    answer = asked(f"{method} /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 405 ")


LOOPBACK, EVERYWHERE = "127.0.0.1:0", "0.0.0.0:0"
ports = {}


@pytest.fixture(scope="module", autouse=True)
def doors():
    """A listener on loopback and one for everybody, in another thread, for all tests that need no other."""
    ready, stop = threading.Event(), None

    async def stand():
        nonlocal stop
        stopping = asyncio.Event()
        stop = (asyncio.get_running_loop().call_soon_threadsafe, stopping.set)
        async with listening(LOOPBACK) as loopback, listening(EVERYWHERE) as everywhere:
            ports.update({LOOPBACK: loopback, EVERYWHERE: everywhere})
            ready.set()
            await stopping.wait()

    thread = threading.Thread(target=lambda: asyncio.run(stand()))
    thread.start()
    assert ready.wait(10)
    yield
    stop[0](stop[1])
    thread.join(10)


def asked(*parts, listen=LOOPBACK):
    """All that is answered to these, each but the first sent after some answer has come."""
    with socket.create_connection(("127.0.0.1", ports[listen]), timeout=10) as out:
        got = b""
        with suppress(ConnectionError):
            for number, part in enumerate(parts):
                got += out.recv(65536) if number else b""
                out.sendall(part.encode())
            while piece := out.recv(65536):
                got += piece
        return got


def by_host(host, listen=LOOPBACK):
    head = asked(f"GET /api/v1/packs HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n", listen=listen)
    return int(head.split()[1]), head


def test_a_page_of_another_host_cannot_read_a_listener_on_loopback():
    status, head = by_host("rebound.example:9909")
    assert status == 421
    assert b"pack_id" not in head


def test_prometheus_reads_a_listener_on_loopback_by_address_and_by_localhost():
    assert [by_host(host)[0] for host in ("127.0.0.1:9909", "localhost:9909")] == [200, 200]


def test_a_listener_for_others_answers_to_whatever_name_they_have_for_it():
    assert by_host("watchdog.monitoring.svc:9909", EVERYWHERE)[0] == 200


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("127.0.0.1", True),
        ("127.0.0.1:9909", True),
        ("10.0.0.7:80", True),
        ("[::1]:9909", True),
        ("[::1]", True),
        ("localhost", True),
        ("watchdog:9909", True),
        ("", True),
        ("evil.example", False),
        ("localhost.evil.example:9909", False),
        ("127.0.0.1.evil.example", False),
        ("evil.example.:80", False),
        ("a:b:c", False),
        ("[evil.example]", False),
    ],
)
def test_a_name_with_a_dot_that_is_no_address_is_somebody_elses(host, ours):
    assert is_ours(host) == ours


@pytest.mark.parametrize("path", ["/metrics", "/api/v1/packs", "/nothing"])
def test_no_answer_is_taken_for_a_page_or_kept_or_framed(path):
    answer = asked(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").lower()
    for header in (b"x-content-type-options: nosniff", b"content-security-policy: default-src 'none'"):
        assert header in answer
    assert b"text/html" not in answer


@pytest.mark.parametrize("method", ["HEAD", "GET", "POST"])
@pytest.mark.parametrize("body", ["zz\r\n", "0\r\nhello\r\n0\r\n\r\n"], ids=["size", "trailer"])
@pytest.mark.parametrize("pause", [False, True], ids=["at-once", "later"])
def test_a_body_that_is_broken_logs_nothing(caplog, method, body, pause):
    head = f"{method} /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert b" 500 " not in asked(*([head, body] if pause else [head + body]))
    assert caplog.records == []


def test_what_is_said_after_a_good_request_costs_the_connection_and_no_line_of_the_log(caplog):
    answer = asked("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nBREW\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ") or answer == b""
    assert caplog.records == []
