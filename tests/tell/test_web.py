"""The listener as others meet it: on a real socket, polite, read-only and bounded."""

import asyncio
import queue
import socket
import ssl
import threading
import time
from contextlib import asynccontextmanager

import httpx
import pytest

from tests.harness.builders import NOW, inventory, pack
from watchdog.cloudflare.errors import KNOWN_CODES
from watchdog.config.durations import parse_duration
from watchdog.tell.fleet import Fleet
from watchdog.tell.gauges import Account, Snapshot
from watchdog.tell.listener import Listener, ListenError, bind
from watchdog.tell.metrics import Metrics
from watchdog.tell.pages import application
from watchdog.tell.sources import Situation, Sources

PATHS = (
    *("/", "/zones/main/example.com", "/healthz", "/readyz", "/metrics", "/api/v1/packs"),
    *("/api/v1/packs/id-of-example.com/p123", "/api/v1/zones", "/api/v1/events", "/api/v1/alerts"),
    *("/api/v1/silences", "/api/v1/openapi.json"),
)
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # the listener is asked over plain http: no authorities are loaded


class Daemon:
    """What the listener shows: a fleet of one pack, well or not, with real metrics."""

    def __init__(self):
        self.health = self.readiness = (True, "ok")
        self.rendered_in = []
        self.rendering = threading.Event()
        self.may_render = threading.Event()
        self.may_render.set()
        self._metrics = Metrics("1.2.3", KNOWN_CODES)
        self._found = inventory(pack("p123"))

    def sources(self):
        return Sources(
            healthy=lambda: self.health,
            ready=self.ready,
            metrics=self.exposition,
            fleet=self.fleet,
            alerts=lambda: self._rendered(lambda: {"alerts": [{"reason": "gave_up"}]}),
            events=self.events,
            situation=lambda: Situation(version="1.2.3", loaded_at=NOW, last_pass=None),
            now=lambda: NOW,
            duration=parse_duration,
        )

    async def fleet(self):
        return Fleet(self._found)

    async def events(self, _):
        return []

    async def ready(self):
        return self.readiness

    def exposition(self, accept):
        snapshot = Snapshot(inventory=self._found, accounts=(Account("main", 1199, 0.0),))
        return self._rendered(lambda: self._metrics.expose(snapshot, accept))

    def _rendered(self, render):
        self.rendering.set()
        self.rendered_in.append(threading.get_ident())
        assert self.may_render.wait(10)
        return render()


@asynccontextmanager
async def listening(daemon, listen="127.0.0.1:0"):
    sock = bind(listen)
    host, port = sock.getsockname()[:2]
    web = Listener(application(daemon.sources()), sock)
    web.start()
    try:
        yield f"http://{f'[{host}]' if ':' in host else host}:{port}"
    finally:
        await web.stop()


@pytest.fixture
def daemon():
    return Daemon()


@pytest.fixture(scope="module")
def door():
    """A listener in another thread, for all tests here; they hand it the daemon to show."""
    ready, daemon = queue.Queue(), Daemon()

    async def stand():
        stop = asyncio.Event()
        async with listening(daemon) as url:
            ready.put((url, asyncio.get_running_loop(), stop))
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(stand()))
    thread.start()
    url, loop, stop = ready.get(timeout=10)
    yield url, daemon
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)


@pytest.fixture
def ask(door, daemon):
    """``ask(path, method)``: one request to a listener that shows ``daemon``, and its answer."""
    url, shown = door

    def once(path, method="GET", **options):
        shown.health, shown.readiness = daemon.health, daemon.readiness
        return httpx.request(method, url + path, trust_env=False, verify=NO_TLS, **options)

    return once


@pytest.fixture
def say(door):
    """``say(raw)``: these very bytes to the listener, and all it answers."""

    def once(raw):
        with socket.create_connection(("127.0.0.1", int(door[0].rpartition(":")[2])), timeout=10) as connection:
            connection.sendall(raw)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    return once


@pytest.mark.parametrize("path", PATHS)
def test_every_page_answers(ask, path):
    answer = ask(path)
    assert answer.status_code == 200
    assert answer.content
    assert "server" not in answer.headers


def test_the_first_page_leads_to_those_for_programs(ask):
    for path in ("healthz", "readyz", "metrics", "api/v1/openapi.json"):
        assert f'href="./{path}"' in ask("/").text


@pytest.mark.parametrize(
    "path", ["/nothing", "/metrics/", "/metrics/../secret", "/api/v1/", "/docs", "//metrics", "/%00"]
)
def test_anything_else_is_not_found(ask, path):
    assert ask(path).status_code == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", PATHS)
def test_nothing_can_be_changed_here(ask, path, method):
    assert ask(path, method).status_code == 405


def test_head_is_answered_without_a_body(ask):
    answer = ask("/healthz", "HEAD")
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_daemon_that_is_well_is_ok(ask, path):
    answer = ask(path)
    assert (answer.status_code, answer.text) == (200, "ok\n")


def test_a_daemon_that_hangs_is_not_healthy(ask, daemon):
    daemon.health = (False, "a pass does not end")
    answer = ask("/healthz")
    assert (answer.status_code, answer.text) == (503, "a pass does not end\n")


def test_a_daemon_that_has_not_begun_is_not_ready(ask, daemon):
    daemon.readiness = (False, "the first pass is not done")
    answer = ask("/readyz")
    assert (answer.status_code, answer.text) == (503, "the first pass is not done\n")


def test_metrics_are_prometheus_text_or_openmetrics_as_asked(ask):
    plain, openmetrics = ask("/metrics"), ask("/metrics", headers={"accept": OPENMETRICS})
    assert plain.headers["content-type"].startswith("text/plain; version=")
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
    assert openmetrics.text.endswith("# EOF\n")
    assert "certpack_watchdog_packs{" in plain.text


def test_the_packs_are_json_with_packs_and_zones(ask):
    answer = ask("/api/v1/packs")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json().keys() == {"packs", "zones", "next"}
    assert [row["pack_id"] for row in answer.json()["packs"]] == ["p123"]


def test_the_alerts_are_json_and_those_of_whoever_watches_for_them(ask):
    assert ask("/api/v1/alerts").json() == {"alerts": [{"reason": "gave_up"}]}


def test_large_answers_are_made_off_the_loops_thread_one_at_a_time_and_hold_nobody_up(daemon):
    async def story():
        daemon.may_render.clear()
        async with listening(daemon) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
            slow = [asyncio.create_task(client.get(path)) for path in ("/metrics", "/api/v1/alerts", "/metrics")]
            await asyncio.to_thread(daemon.rendering.wait, 10)
            health = await client.get("/healthz")
            at_once = len(daemon.rendered_in)
            daemon.may_render.set()
            return health.status_code, at_once <= 1, [answer.status_code for answer in await asyncio.gather(*slow)]

    assert asyncio.run(asyncio.wait_for(story(), 20)) == (200, True, [200, 200, 200])
    assert len(daemon.rendered_in) == 3
    assert threading.get_ident() not in daemon.rendered_in


def test_an_endless_header_is_refused(say):
    answer = say(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 100_000)
    assert answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\n folded: b\r\nbroken\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS client\r\n\r\n",
    ],
    ids=["no-host", "two-hosts", "malformed", "tls"],
)
def test_what_is_no_proper_request_is_refused(say, request_):
    assert say(request_).startswith(b"HTTP/1.1 400 ")


def test_more_connections_than_it_bears_are_told_so(daemon):
    async def story():
        async with listening(daemon) as url:
            port = int(url.rpartition(":")[2])
            crowd = [await asyncio.open_connection("127.0.0.1", port) for _ in range(70)]
            reader, writer = crowd[-1]
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = await asyncio.wait_for(reader.readline(), 10)
            for _, each in crowd:
                each.close()
            return answer

    assert asyncio.run(story()).startswith(b"HTTP/1.1 503 ")


def test_a_client_that_never_finishes_does_not_hold_up_the_stop(daemon):
    async def story():
        async with listening(daemon) as url:
            _, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
            writer.write(b"GET /healthz HTTP/1.1\r\nHost:")
            await writer.drain()
            began = time.monotonic()
        writer.close()
        return time.monotonic() - began

    assert asyncio.run(story()) < 5


def test_once_stopped_it_answers_nobody(daemon):
    async def story():
        async with listening(daemon) as url:
            pass
        async with httpx.AsyncClient(trust_env=False) as client:
            with pytest.raises(httpx.ConnectError):
                await client.get(url)

    asyncio.run(story())


def test_it_listens_on_ipv6_too(daemon):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")

    async def story():
        async with listening(daemon, "[::1]:0") as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
            return (await client.get("/healthz")).status_code

    assert asyncio.run(story()) == 200


def test_an_address_that_is_taken_is_refused_with_a_sentence():
    with socket.create_server(("127.0.0.1", 0)) as other:
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(ListenError) as refused:
            bind(listen)
    sentence = "Address already in use; choose another address or port"
    assert str(refused.value) == f"web.listen: cannot listen on {listen}: {sentence}"


@pytest.mark.parametrize("listen", ["192.0.2.1:9909", "a..b:9909", f"{'x' * 64}.example:9909"])
def test_an_address_that_is_not_ours_is_refused_with_a_sentence(listen):
    with pytest.raises(ListenError, match=r"^web\.listen: cannot listen on .+: .+; choose another address or port$"):
        bind(listen)
