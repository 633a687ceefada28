"""What only a socket can show: connections that break, close, crawl, redirect, encrypt or lead through a proxy.

Real servers on loopback, reached through ``connect``. Time is the loop's own, and nobody waits for it: where an answer
must not come, the server never sends one.
"""

import asyncio
import contextlib
import functools
import gzip
import json
import re
import shutil
import socket
import ssl
import struct
import subprocess
import tracemalloc
import zlib
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from tests.harness.cloudflare_client import ZONE, make_client, timed_out
from watchdog.cloudflare import connections
from watchdog.cloudflare.credential import Credential
from watchdog.cloudflare.envelope import MOST_ON_PAGE
from watchdog.cloudflare.errors import CloudflareError, CloudflareFault, NetworkFault, RateLimited, Unsettled
from watchdog.cloudflare.paging import MOST_PAGES, PER_PAGE
from watchdog.cloudflare.rate_limit import Urgency
from watchdog.cloudflare.retries import GET_TRIES
from watchdog.cloudflare.transport import MOST_BYTES, connect
from watchdog.simulator.scenario import Fault, Scenario, pack_id
from watchdog.simulator.server import serve
from watchdog.simulator.world import World

PACK = pack_id("example.com", 0)
BODY = json.dumps({"success": True, "result": {"id": PACK, "status": "active"}}).encode()


class ImpatientClock:
    """Real time that nobody waits for."""

    def now(self):
        return datetime(2026, 11, 24, 12, tzinfo=UTC)

    def monotonic(self):
        return asyncio.get_running_loop().time()

    async def sleep(self, _):
        await asyncio.sleep(0)


@asynccontextmanager
async def calling(base_url, **options):
    http = connect(base_url, 4)
    try:
        yield make_client(http, ImpatientClock(), base_url=base_url, **options)
    finally:
        await http.aclose()


class Server:
    """A server made by hand: what it heard, request by request, and on how many connections."""

    def __init__(self, respond):
        self.respond = respond
        self.connections = 0
        self.heard = []
        self.asked = asyncio.Event()
        self.over = asyncio.Event()
        self.tasks = set()

    async def __call__(self, reader, writer):
        self.connections += 1
        self.tasks.add(asyncio.current_task())
        try:
            while not self.over.is_set():
                head = await reader.readuntil(b"\r\n\r\n")
                sizes = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                await reader.readexactly(int(sizes[0].partition(b":")[2]) if sizes else 0)
                self.heard.append(head)
                self.asked.set()
                if await self.respond(self, writer) is False:
                    break
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client left, or speaks something else
        finally:
            writer.close()

    @property
    def methods(self):
        return [head.split()[0].decode() for head in self.heard]


@asynccontextmanager
async def serving(respond, *, tls=None, scheme="http"):
    server = Server(respond)
    listening = await asyncio.start_server(server, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    server.base = f"{'https' if tls else scheme}://127.0.0.1:{server.port}"
    try:
        yield server
    finally:
        listening.close()
        server.over.set()
        await asyncio.gather(*server.tasks)


def response(body=BODY, status=200, *headers):
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", "Content-Type: application/json", *headers]
    return "\r\n".join((*lines, "", "")).encode() + body


def saying(*answers):
    """Answers in their order, the last again and again; ``None`` closes the connection instead."""
    left = list(answers)

    async def respond(_, writer):
        said = left.pop(0) if len(left) > 1 else left[0]
        if said is None:
            return False
        writer.write(said)
        await writer.drain()
        return True

    return respond


async def never(server, _):
    await server.over.wait()
    return False


async def raised_by(call, kind=CloudflareError):
    with pytest.raises(kind) as failed:
        await call
    return failed.value


@pytest.fixture
def unproxied(monkeypatch):
    for name in (
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "no_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


pytestmark = pytest.mark.usefixtures("unproxied")


def in_real_time(test):
    """The test is a coroutine on sockets; 20 seconds are for ever."""

    @functools.wraps(test)
    def run(*args, **kwargs):
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 20))

    return run


# ── connections ──────────────────────────────────────────────────────────────────────────────────────────────────────


@in_real_time
async def test_the_whole_way_to_a_served_simulator_works():
    world = World(Scenario.model_validate(timed_out(120)), ImpatientClock())
    async with serve(world) as base, calling(base) as client:
        assert len(await client.list_packs(ZONE, Urgency.CALM)) == 120
        assert (await client.restart_validation(ZONE, PACK)).status == "initializing"
        assert (await client.get_pack(ZONE, PACK)).status == "initializing"
        assert [request.body for request in world.ledger if request.method == "PATCH"] == ["{}"]


@in_real_time
async def test_a_restart_is_accepted_whatever_the_size_of_its_answers_headers():
    said = response(BODY, 200, "Content-Security-Policy: " + "x" * 30_000)
    async with serving(saying(said)) as server, calling(server.base) as client:
        await client.restart_validation(ZONE, PACK)
        assert server.methods == ["PATCH"]


@in_real_time
async def test_one_connection_serves_many_calls():
    async with serving(saying(response())) as server, calling(server.base) as client:
        for _ in range(10):
            await client.get_pack(ZONE, PACK)
        await client.restart_validation(ZONE, PACK)
        assert (server.connections, len(server.heard)) == (1, 11)


@in_real_time
async def test_calls_at_once_share_as_few_connections_as_were_allowed_and_all_are_answered():
    async with serving(saying(response())) as server, calling(server.base) as client:
        await asyncio.gather(*(client.get_pack(ZONE, PACK) for _ in range(20)))
        assert (server.connections, len(server.heard)) == (4, 20)


@in_real_time
async def test_a_connection_that_nobody_used_for_long_is_not_trusted_with_a_call(monkeypatch):
    async with serving(saying(response())) as server, calling(server.base) as client:
        await client.get_pack(ZONE, PACK)
        monkeypatch.setattr(connections, "KEPT_FOR", 0.0)
        await client.get_pack(ZONE, PACK)
        assert (server.connections, len(server.heard)) == (2, 2)


@in_real_time
async def test_a_server_that_talks_unasked_loses_its_connection_and_the_next_call_goes_through():
    said = response() + response(b'{"success": true, "result": {"id": "another"}}')
    async with serving(saying(said, response())) as server, calling(server.base) as client:
        for _ in range(2):
            assert (await client.get_pack(ZONE, PACK)).id == PACK
        assert server.connections == 2


@pytest.mark.parametrize("kind", ["reset", "truncated"])
@in_real_time
async def test_a_cut_connection_leaves_a_patch_unsettled_and_unrepeated(kind):
    world = World(Scenario.model_validate(timed_out(faults=[{"kind": kind, "takes_effect": True}])), ImpatientClock())
    async with serve(world) as base, calling(base) as client:
        failed = await raised_by(client.restart_validation(ZONE, PACK), NetworkFault)
        assert (failed.code, failed.sent) == ("disconnect", True)
        assert len(world.ledger) == len(world.restarts) == 1
        failed = await raised_by(client.get_pack(ZONE, PACK), NetworkFault)
        assert failed.code == "disconnect"
        world.clear_faults()
        world.add_fault(Fault(kind=kind, times=GET_TRIES - 1))
        assert (await client.get_pack(ZONE, PACK)).status == "initializing"


@in_real_time
async def test_a_patch_on_a_kept_connection_that_the_server_closes_is_not_sent_again():
    async with serving(saying(response(), None)) as server, calling(server.base) as client:
        await client.get_pack(ZONE, PACK)
        failed = await raised_by(client.restart_validation(ZONE, PACK), NetworkFault)
        assert (failed.code, failed.sent) == ("disconnect", True)
        assert server.methods == ["GET", "PATCH"]


@in_real_time
async def test_a_read_on_a_kept_connection_that_the_server_closes_goes_through_on_another():
    async with serving(saying(response(), None, response())) as server, calling(server.base) as client:
        await client.get_pack(ZONE, PACK)
        await client.get_pack(ZONE, PACK)
        assert (server.connections, server.methods) == (2, ["GET"] * 3)


@in_real_time
async def test_a_port_where_nobody_listens_means_that_nothing_was_sent():
    async with serving(never) as server:
        pass
    async with calling(server.base) as client:
        failed = await raised_by(client.restart_validation(ZONE, PACK), NetworkFault)
    assert (failed.code, failed.sent) == ("connect", False)


@in_real_time
async def test_a_name_that_nobody_knows_means_that_nothing_was_sent():
    async with calling("http://cloudflare.invalid") as client:
        failed = await raised_by(client.restart_validation(ZONE, PACK), NetworkFault)
    assert (failed.code, failed.sent) == ("connect", False)


async def only_the_head(server, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
    await server.over.wait()
    return False


async def drop_by_drop(server, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while not server.over.is_set():
        writer.write(b" ")
        await asyncio.sleep(0.005)
    return False


@pytest.mark.parametrize("respond", [never, only_the_head, drop_by_drop])
@in_real_time
async def test_an_answer_that_does_not_end_in_time_is_a_time_out(respond, monkeypatch):
    async with serving(respond) as server, calling(server.base, timeout=5) as client:
        asking = asyncio.create_task(client.restart_validation(ZONE, PACK))
        await server.asked.wait()
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "time", functools.partial(lambda time: time() + 5, loop.time))
        failed = await raised_by(asking, NetworkFault)
        assert (failed.code, failed.sent, str(failed)) == ("timeout", True, "restart_validation: no answer in time")
        assert server.methods == ["PATCH"]


@pytest.mark.parametrize(
    "noise",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x16\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    ],
)
@in_real_time
async def test_what_is_no_http_leaves_a_patch_unsettled(noise):
    async with serving(saying(noise)) as server, calling(server.base) as client:
        failed = await raised_by(client.restart_validation(ZONE, PACK), NetworkFault)
        assert (failed.code, failed.sent) == ("disconnect", True)
        assert len(str(failed)) < 400


@in_real_time
async def test_an_answer_that_wants_another_protocol_is_told_as_that():
    switching = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"
    async with serving(saying(switching)) as server, calling(server.base) as client:
        failed = await raised_by(client.restart_validation(ZONE, PACK), NetworkFault)
        assert "another protocol" in str(failed)


@pytest.mark.parametrize("status", [200, 403, 429, 503])
@in_real_time
async def test_a_reason_phrase_that_is_no_text_is_ignored_and_the_rest_counts(status):
    said = response(BODY, status, "Retry-After: 7").replace(b"Said", "Zeit\xfcberschreitung".encode("latin-1"))
    async with serving(saying(said)) as server, calling(server.base) as client:
        if status == 200:
            assert (await client.restart_validation(ZONE, PACK)).id == PACK
        else:
            failed = await raised_by(client.restart_validation(ZONE, PACK))
            assert (failed.code, client.calls[0].status) == (f"http_{status}", status)
        assert client.limited == ([("main", 7)] if status == 429 else [])


@pytest.mark.parametrize("answers", [(None,), (response(), None)])
@in_real_time
async def test_every_request_that_leaves_is_one_of_ours(answers):
    """Many a library sends a GET a second time by itself where the server closes without an answer."""
    async with serving(saying(*answers)) as server, calling(server.base) as client:
        for _ in answers[:-1]:
            await client.get_pack(ZONE, PACK)
        failed = await raised_by(client.get_pack(ZONE, PACK), NetworkFault)
        assert (failed.code, failed.sent) == ("disconnect", True)
        assert len(server.heard) == len(client.calls) == GET_TRIES + len(answers) - 1


@pytest.mark.parametrize("how", ["close", "reset", "half a hello"])
@in_real_time
async def test_a_peer_that_ends_the_tls_handshake_is_told_with_a_cause(how):
    async def hang_up(reader, writer):
        await reader.read(1)
        if how == "half a hello":
            writer.write(b"\x16\x03\x03\x00")
        if how == "reset":
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.close()

    listening = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with listening, calling(f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}") as client:
        failed = await raised_by(client.restart_validation(ZONE, PACK), NetworkFault)
    assert not failed.sent
    assert re.search(r": [^:]*[a-z]{4}[^:]*$", str(failed)), str(failed)


# ── bodies ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [("gzip", gzip.compress(BODY)), ("deflate", zlib.compress(BODY)), ("identity", BODY)],
)
@in_real_time
async def test_compressed_answers_are_read(encoding, packed):
    said = response(packed, 200, f"Content-Encoding: {encoding}")
    async with serving(saying(said)) as server, calling(server.base) as client:
        assert (await client.get_pack(ZONE, PACK)).id == PACK
        assert b"accept-encoding: gzip, deflate\r\n" in server.heard[0].lower()


@in_real_time
async def test_a_compressed_answer_that_is_broken_settles_nothing():
    said = response(b"this was never gzip", 200, "Content-Encoding: gzip")
    async with serving(saying(said)) as server, calling(server.base) as client:
        await raised_by(client.restart_validation(ZONE, PACK), Unsettled)
        assert server.methods == ["PATCH"]


@in_real_time
async def test_an_answer_that_was_unpacked_on_its_way_and_still_says_gzip_is_read():
    said = response(BODY, 200, "Content-Encoding: gzip")
    async with serving(saying(said)) as server, calling(server.base) as client:
        assert (await client.get_pack(ZONE, PACK)).id == PACK


@in_real_time
async def test_a_small_answer_that_unpacks_to_a_huge_one_is_not_taken_in():
    said = response(gzip.compress(b" " * 64 * 1024 * 1024), 200, "Content-Encoding: gzip")
    async with serving(saying(said)) as server, calling(server.base) as client:
        failed = await raised_by(client.restart_validation(ZONE, PACK), CloudflareFault)
        assert failed.code == "too_large"


@in_real_time
async def test_an_answer_without_an_end_is_cut_off():
    async def pour(_, writer):
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b" " * 65536)
            await writer.drain()

    async with serving(pour) as server, calling(server.base) as client:
        failed = await raised_by(client.restart_validation(ZONE, PACK), CloudflareFault)
        assert failed.code == "too_large"


async def a_hundred_megabytes(_, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n")
    for _ in range(100):
        writer.write(b" " * 1024 * 1024)
        await writer.drain()
    return False


async def headers_without_end(_, writer):
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"".join(b"X-%d: y\r\n" % n for n in range(1000)))
        await writer.drain()


async def trailers_without_end(_, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n")
    while True:
        writer.write(b"".join(b"X-%d: y\r\n" % n for n in range(1000)))
        await writer.drain()


async def a_status_line_without_end(_, writer):
    writer.write(b"HTTP/1.1 200 ")
    while True:
        writer.write(b"x" * 10_000)
        await writer.drain()


async def chunks_without_end(_, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b" " * 65536 + b"\r\n")
        await writer.drain()


async def continues_without_end(_, writer):
    while True:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)
        await writer.drain()


async def a_chunk_header_without_end(_, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;")
    while True:
        writer.write(b"x=y;" * 1000)
        await writer.drain()


def bomb(megabytes, layers=1):
    """As many megabytes of nothing, packed; and that packed again."""
    packing = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = b"".join(packing.compress(bytes(1024 * 1024)) for _ in range(megabytes)) + packing.flush()
    for _ in range(layers - 1):
        packed = gzip.compress(packed)
    return packed


def bombing(layers):
    """A hundred megabytes of nothing, packed when somebody asks."""

    async def respond(*streams):
        packed = response(bomb(100, layers), 200, f"Content-Encoding: {', '.join(['gzip'] * layers)}")
        await saying(packed)(*streams)

    return respond


@pytest.mark.parametrize(
    ("respond", "codes"),
    [
        (a_hundred_megabytes, {"too_large"}),
        (chunks_without_end, {"too_large"}),
        (bombing(1), {"too_large"}),
        (bombing(2), {"not_json"}),
        (saying(response(gzip.compress(BODY) + bytes(5 * 1024 * 1024), 200, "Content-Encoding: gzip")), {"too_large"}),
        (saying(response(b"[" * 100_000)), {"not_json"}),
        (headers_without_end, {"disconnect", "timeout"}),
        (trailers_without_end, {"disconnect", "timeout"}),
        (a_status_line_without_end, {"disconnect", "timeout"}),
        (continues_without_end, {"timeout"}),
        (a_chunk_header_without_end, {"timeout", "disconnect"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
@pytest.mark.process  # the time-outs are real, and counting memory is slow
@in_real_time
async def test_an_answer_without_measure_costs_little_memory_and_no_more_time_than_any_other(respond, codes):
    async with serving(respond) as server, calling(server.base, timeout=2) as client:
        tracemalloc.start()
        try:
            failed = await raised_by(client.restart_validation(ZONE, PACK), Unsettled)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        server.over.set()
    assert failed.code in codes
    assert most < 5 * MOST_BYTES
    assert len(str(failed)) < 400


@in_real_time
async def test_packings_within_packings_are_not_unpacked():
    said = response(gzip.compress(gzip.compress(BODY)), 200, "Content-Encoding: gzip, gzip")
    async with serving(saying(said)) as server, calling(server.base) as client:
        assert (await raised_by(client.get_pack(ZONE, PACK), CloudflareFault)).code == "not_json"


@pytest.mark.parametrize("body", [bytes(5 * 1024 * 1024), bomb(5)], ids=["plain", "packed"])
@in_real_time
async def test_a_429_is_one_however_long_its_body_is(body):
    said = response(body, 429, "Retry-After: 7", *(["Content-Encoding: gzip"] if len(body) < 10**6 else []))
    async with serving(saying(said)) as server, calling(server.base) as client:
        await raised_by(client.restart_validation(ZONE, PACK), RateLimited)
        assert client.limited == [("main", 7)]


@pytest.mark.process  # two seconds of arithmetic
@in_real_time
async def test_pages_that_bring_new_packs_without_end_are_given_up():
    pages = 0

    async def another(_, writer):
        nonlocal pages
        pages += 1
        packs = [{"id": f"{pages}-{n}"} for n in range(MOST_ON_PAGE)]
        writer.write(response(json.dumps({"success": True, "result": packs}).encode()))
        return True

    async with serving(another) as server, calling(server.base) as client:
        failed = await raised_by(client.list_packs(ZONE, Urgency.CALM), CloudflareFault)
    assert failed.code == "malformed"
    assert pages * MOST_ON_PAGE <= MOST_PAGES * PER_PAGE + MOST_ON_PAGE


# ── other hosts ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@in_real_time
async def test_a_redirect_is_never_followed_so_no_other_host_sees_the_credential(status):
    async with serving(saying(response())) as other:
        there = response(b"", status, f"Location: {other.base}/client/v4/zones")
        async with serving(saying(there)) as server, calling(server.base) as client:
            await raised_by(client.get_pack(ZONE, PACK))
            await raised_by(client.restart_validation(ZONE, PACK))
            assert server.methods == ["GET"] * GET_TRIES + ["PATCH"]
        assert other.connections == 0


@in_real_time
async def test_a_redirect_is_said_with_where_it_leads_and_without_its_query():
    there = response(b"<h1>Moved</h1>", 302, "Location: https://portal.example/login?secret=1")
    async with serving(saying(there)) as server, calling(server.base) as client:
        failed = await raised_by(client.get_pack(ZONE, PACK), Unsettled)
    assert "a redirect to https://portal.example/login, not followed: see `api.base_url`" in str(failed)


@in_real_time
async def test_a_cookie_is_never_sent_back():
    async with serving(saying(response(BODY, 200, "Set-Cookie: __cf_bm=tracked; Path=/"))) as server:
        async with calling(server.base) as client:
            await client.get_pack(ZONE, PACK)
            await client.get_pack(ZONE, PACK)
        assert b"cookie" not in server.heard[1].lower()


@in_real_time
async def test_two_accounts_on_one_pool_keep_their_credentials_apart():
    async with serving(saying(response())) as server, calling(server.base) as client:
        credential = Credential.from_key("old", "ops@example.com", "the-key", ImpatientClock())
        other = make_client(client.http, ImpatientClock(), base_url=server.base, credential=credential)
        for each in (client, other, client):
            await each.get_pack(ZONE, PACK)
        assert server.connections == 1
        assert [b"the-key" in head for head in server.heard] == [False, True, False]
        assert [b"simulated-token" in head for head in server.heard] == [True, False, True]


# ── proxies ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("scheme", ["http://", "http://user:hunter2@", ""])
@in_real_time
async def test_the_proxy_of_the_environment_is_taken(unproxied, variable, scheme):
    async with serving(saying(response())) as proxy:
        unproxied.setenv(variable, f"{scheme}127.0.0.1:{proxy.port}")
        async with calling("http://api.example/client/v4") as client:
            assert (await client.get_pack(ZONE, PACK)).id == PACK
        head = proxy.heard[0].lower()
        assert head.startswith(b"get http://api.example/client/v4/zones/")
        assert (b"proxy-authorization: basic dxnlcjpodw50zxiy" in head) == ("@" in scheme)


@pytest.mark.parametrize("name", ["127.0.0.1", "127.0.0.1,other.example", "*"])
@in_real_time
async def test_no_proxy_names_the_hosts_that_are_reached_directly(unproxied, name):
    async with serving(never) as proxy, serving(saying(response())) as server:
        unproxied.setenv("HTTP_PROXY", proxy.base)
        unproxied.setenv("NO_PROXY", name)
        async with calling(server.base) as client:
            await client.get_pack(ZONE, PACK)
        assert (proxy.connections, server.connections) == (0, 1)


@pytest.mark.parametrize("status", [403, 407, 502])
@in_real_time
async def test_a_proxy_that_opens_no_tunnel_means_that_nothing_was_sent_and_keeps_its_password(unproxied, status):
    async with serving(saying(response(b"", status))) as proxy:
        unproxied.setenv("HTTPS_PROXY", f"http://user:hunter2@127.0.0.1:{proxy.port}")
        async with calling("https://api.example/client/v4") as client:
            failed = await raised_by(client.restart_validation(ZONE, PACK), NetworkFault)
        assert (failed.code, failed.sent) == ("connect", False)
        assert str(status) in str(failed)
        assert "hunter2" not in str(failed) + repr(failed) + repr(failed.__cause__)
        assert proxy.methods == ["CONNECT"]
        assert b"simulated-token" not in proxy.heard[0]


@pytest.mark.parametrize(
    "answer", [response(b"hello"), b"HTTP/1.1 200 OK\r\n\r\n\x15\x03\x01\x00\x02\x02\x28", response(b"") + b"more"]
)
@in_real_time
async def test_a_proxy_that_says_more_than_that_a_tunnel_is_open_is_told_and_nothing_was_sent(unproxied, answer):
    """In TLS the client speaks first: no byte that comes before can be the server's."""
    async with serving(saying(answer)) as proxy:
        unproxied.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        async with calling("https://api.example/client/v4") as client:
            failed = await raised_by(client.restart_validation(ZONE, PACK), NetworkFault)
        assert (failed.code, failed.sent) == ("connect", False)
        assert "more than its answer came from the proxy before anything was said through it" in str(failed)
        assert proxy.methods == ["CONNECT"]


@in_real_time
async def test_a_proxy_that_is_not_there_means_that_nothing_was_sent(unproxied):
    async with serving(never) as gone:
        pass
    unproxied.setenv("HTTP_PROXY", f"http://user:hunter2@127.0.0.1:{gone.port}")
    async with calling("http://api.example/client/v4") as client:
        failed = await raised_by(client.restart_validation(ZONE, PACK), NetworkFault)
    assert (failed.code, failed.sent) == ("connect", False)
    assert "hunter2" not in str(failed)


# ── TLS ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """``certificate(name)``: the files of a key and a self-signed certificate for a host."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")

    def made(name):
        key, signed = folder / f"{name}.key", folder / f"{name}.pem"
        if not signed.exists():
            how = [
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=x",
            ]
            kind = "IP" if name[0].isdigit() else "DNS"
            subprocess.run(
                [
                    openssl,
                    "req",
                    "-x509",
                    *how,
                    "-addext",
                    f"subjectAltName={kind}:{name}",
                    "-keyout",
                    key,
                    "-out",
                    signed,
                ],
                check=True,
                capture_output=True,
            )
        return signed, key

    return made


def tls_of(files):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    return context


@pytest.mark.real
@in_real_time
async def test_a_certificate_that_nobody_vouches_for_is_refused_before_anything_is_sent(certificate):
    async with serving(saying(response()), tls=tls_of(certificate("127.0.0.1"))) as server:
        async with calling(server.base) as client:
            failed = await raised_by(client.restart_validation(ZONE, PACK), NetworkFault)
        assert (failed.code, failed.sent) == ("tls", False)
        assert "self-signed certificate" in str(failed)
        assert server.heard == []


@pytest.mark.real
@in_real_time
async def test_a_certificate_that_ssl_cert_file_vouches_for_is_taken(certificate, monkeypatch):
    files = certificate("127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(files[0]))
    async with serving(saying(response()), tls=tls_of(files)) as server, calling(server.base) as client:
        assert (await client.get_pack(ZONE, PACK)).id == PACK


@pytest.mark.real
@in_real_time
async def test_a_certificate_for_another_host_is_refused(certificate, monkeypatch):
    files = certificate("cloudflare.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(files[0]))
    async with serving(saying(response()), tls=tls_of(files)) as server, calling(server.base) as client:
        failed = await raised_by(client.get_pack(ZONE, PACK), NetworkFault)
        assert (failed.code, failed.sent) == ("tls", False)
        assert server.heard == []


@pytest.mark.parametrize("scheme", ["https", "HTTPS"])
@in_real_time
async def test_a_server_that_speaks_no_tls_is_sent_nothing_it_could_read(scheme):
    heard = b""

    async def answer_in_clear(reader, writer):
        nonlocal heard
        heard += await reader.read(65536)
        writer.write(response(b"", 400))
        writer.close()

    listening = await asyncio.start_server(answer_in_clear, "127.0.0.1", 0)
    async with listening, calling(f"{scheme}://127.0.0.1:{listening.sockets[0].getsockname()[1]}") as client:
        failed = await raised_by(client.restart_validation(ZONE, PACK), NetworkFault)
    assert (failed.code, failed.sent) == ("tls", False)
    assert b"simulated-token" not in heard


@asynccontextmanager
async def tunnelling(tls=None):
    """A proxy that joins its clients with whom they ask for, by name; it notes what it is asked."""
    asked, pipes = [], set()

    async def pipe(reader, writer):
        with contextlib.suppress(OSError):
            while piece := await reader.read(65536):
                writer.write(piece)
        writer.close()

    async def join(reader, writer):
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        port = int(asked[-1].split()[1].rpartition(b":")[2])
        there, onwards = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        pipes.update((asyncio.create_task(pipe(reader, onwards)), asyncio.create_task(pipe(there, writer))))

    proxy = await asyncio.start_server(join, "127.0.0.1", 0, ssl=tls)
    async with proxy:
        yield proxy.sockets[0].getsockname()[1], asked
    await asyncio.gather(*pipes)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.real
@in_real_time
async def test_a_proxy_joins_us_with_the_server_and_sees_neither_credential_nor_answer(certificate, unproxied, scheme):
    files = certificate("localhost")
    unproxied.setenv("SSL_CERT_FILE", str(files[0]))
    async with (
        serving(saying(response()), tls=tls_of(files)) as server,
        tunnelling(tls_of(files) if scheme == "https" else None) as (port, asked),
    ):
        unproxied.setenv("HTTPS_PROXY", f"{scheme}://user:hunter2@localhost:{port}")
        async with calling(f"https://localhost:{server.port}/client/v4") as client:
            for _ in range(2):
                assert (await client.get_pack(ZONE, PACK)).id == PACK
        assert server.connections == len(asked) == 1
        assert asked[0].startswith(f"CONNECT localhost:{server.port} HTTP/1.1\r\n".encode())
        assert b"proxy-authorization: basic dxnlcjpodw50zxiy" in asked[0].lower()
        assert b"simulated-token" not in asked[0]
        assert b"hunter2" not in server.heard[0]
