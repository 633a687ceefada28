"""What must hold of each parser, whatever it is given: one function each, taking bytes; it asserts.

The property tests and the fuzzers share them, so that no claim is made twice.
"""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import dns.name
import dns.rdatatype
import msgspec

from watchdog.cloudflare import wire
from watchdog.cloudflare.address import PER_ADDRESS, Address
from watchdog.cloudflare.block import LONGEST_BLOCK
from watchdog.cloudflare.calls import ApiCall
from watchdog.cloudflare.client import Client
from watchdog.cloudflare.credential import Change, Credential
from watchdog.cloudflare.envelope import complaints, problem, success
from watchdog.cloudflare.errors import KNOWN_CODES, CloudflareError, Operation
from watchdog.cloudflare.http import Request, Response, read_headers
from watchdog.cloudflare.policies import LONGEST_WINDOW
from watchdog.cloudflare.rate_limit import Quota, Urgency
from watchdog.cloudflare.sliding_window import Allowance
from watchdog.cloudflare.translate import translate
from watchdog.cloudflare.verification import token_seen
from watchdog.config.document import MOST_PROBLEMS, Problem
from watchdog.config.durations import parse_duration
from watchdog.config.load import ConfigError, load
from watchdog.config.schema import Config
from watchdog.diagnose.caa_records import judge_records
from watchdog.diagnose.message import parse
from watchdog.diagnose.responses import MOST_VALUES, Answer, read
from watchdog.model.decisions import Decision, Do
from watchdog.model.history import UNTROUBLED, JournalLine, JournalQuery, Remembered
from watchdog.model.packs import Pack, ZoneRef
from watchdog.model.reasons import Reason
from watchdog.model.renewal import renewal
from watchdog.model.report import Inventory
from watchdog.state import packs
from watchdog.tell.fleet import Fleet
from watchdog.tell.listener import Listener, bind
from watchdog.tell.pages import application
from watchdog.tell.sources import Situation, Sources

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ZONE = "023e105f4ecef8ad9ca31a8372d0c353"
ASKED = dns.name.from_text("_acme-challenge.www.example.com")
KINDS = tuple(map(dns.rdatatype.from_text, ("TXT", "CNAME", "CAA", "A", "AAAA", "NS")))
SLOW = 2.0
"""Seconds of CPU after which a parser counts as hanging: no input of a fuzzer is longer than some kilobytes."""

_STATUSES = frozenset({200, 400, 404, 405, 421, 503})
_file = Path(tempfile.mkdtemp(prefix="certpack-watchdog-fuzz-")) / "config.yaml"


def is_plain(text: str, longest: int) -> None:
    """A text that may stand in a log line, a table and a message as it is."""
    assert text.isprintable(), f"not printable: {text[:100]!r}"
    assert len(text) <= longest, f"too long: {text[:100]!r}"


def configuration(content: bytes) -> None:
    """A file is a configuration, or it is refused in sentences: few, short, printable."""
    if b"_file" in content:
        return  # it would have this machine's files read
    _file.write_bytes(content)
    problems: tuple[Problem, ...] = ()
    try:
        config = load(_file, {"NAME": "value"})
    except ConfigError as refused:
        problems = refused.problems
    else:
        assert isinstance(config, Config)
        return
    assert 0 < len(problems) <= MOST_PROBLEMS + 1
    for each in problems:
        is_plain(str(each), 1000)


def envelope(body: bytes) -> None:
    """A body is packs and zones that nothing after it chokes on, or it is refused as what it is not."""
    for decode in (lambda: wire.packs(body, ZONE)[0], lambda: [wire.pack(body, ZONE)]):
        with contextlib.suppress(msgspec.MsgspecError):
            for pack in decode():
                is_sound(pack)
    with contextlib.suppress(msgspec.MsgspecError):
        for zone in wire.zones(body)[0]:
            for text in (zone.id, zone.name, zone.type, zone.status):
                is_plain(text, 255)
    for simple in (wire.delegation_id, lambda body: token_seen(body).status, success):
        with contextlib.suppress(msgspec.MsgspecError):
            is_plain(str(simple(body)), 80)
    said = body[:400].decode("utf-8", "replace")
    error = translate(Operation.GET_PACK, 400, complaints(body), prefix=said, problem=problem(body))
    is_label(error, 400)


def is_sound(pack: Pack) -> None:
    """Plain to the last field, and nothing that could upset a comparison, arithmetic, the store or a report."""
    texts = (pack.id, pack.type, pack.status, pack.certificate_authority, *pack.hosts, *pack.validation_errors)
    records = (*pack.validation.tokens, *pack.validation.delegations)
    for text in (*texts, pack.validation.method, *(each for one in records for each in (one.name, one.value))):
        is_plain(text, 1000)
    assert len(pack.hosts) <= wire.MOST_HOSTS
    assert pack.hosts == tuple(sorted(pack.hosts))
    assert pack.expires_at is None or pack.expires_at.tzinfo is UTC
    renewal(pack.expires_at, pack.uploaded_at, NOW)
    assert timedelta(days=pack.validity_days) >= timedelta(0)
    known = Remembered(
        account="main",
        zone="example.com",
        pack=pack,
        since=NOW,
        seen_at=NOW,
        decision=Decision(Do.LEAVE, Reason.HEALTHY),
    )
    packs.pack_row(known)
    msgspec.json.encode(Inventory.of([(known, UNTROUBLED)], (), NOW).row(known, UNTROUBLED))
    hash(pack)


def is_label(error: CloudflareError, status: int) -> None:
    """An error whose code is one of a few, and whose text is one plain line."""
    assert (
        error.code in KNOWN_CODES or error.code == f"http_{status}" or 0 < int(error.code[-6:].lstrip("edg_")) < 10**6
    )
    is_plain(str(error), 1000)


class _Clock:
    """Moved on by whoever sleeps."""

    seconds = 1000.0

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, delay: timedelta) -> None:
        self.seconds += delay.total_seconds()


class _Observer:
    """Notes how long an account was told to wait."""

    def __init__(self, told: list[float]) -> None:
        self.told = told

    def called(self, _: ApiCall) -> None:
        pass

    def rate_limited(self, _: str, seconds: float) -> None:
        self.told.append(seconds)

    def credential_changed(self, _: str, change: Change) -> None:
        pass

    def zone_chosen(self, _: ZoneRef, says: str) -> None:
        pass


class _Answer:
    def __init__(self, answer: Response) -> None:
        self.answer = answer

    async def ask(self, _: Request, __: float) -> Response:
        return self.answer

    async def aclose(self) -> None:
        pass


def headers(data: bytes) -> None:
    """Whatever the headers of an answer say, the account waits a day at most, and says so, or goes on within an hour.

    The first byte makes the status; the others are the values of the four headers that are read, a line each.
    """
    status = (200, 429, 403, 502)[data[0] % 4] if data else 200
    names = ("retry-after", "ratelimit", "ratelimit-policy", "cf-ray")
    fields = [(name.encode(), value[:2000]) for name, value in zip(names, data[1:].split(b"\n"), strict=False)]
    clock, told = _Clock(), []
    quota = Quota(Allowance(1200, 300, 0.5), Address(PER_ADDRESS, clock), clock)
    client = Client(
        _Answer(Response(status, read_headers(fields), b"{}")),
        base_url="http://sim",
        timeout=timedelta(seconds=30),
        credential=Credential.from_token("main", "planted-token", clock),
        quota=quota,
        clock=clock,
        dice=Random(7),  # noqa: S311  repeats
        user_agent="fuzz",
        observer=_Observer(told),
    )
    with contextlib.suppress(asyncio.CancelledError):
        try:
            asyncio.run(client.restart_validation(ZONE, "p"))
        except CloudflareError as error:
            is_label(error, status)
    assert quota.blocked_for <= LONGEST_BLOCK
    assert not told or status == 429
    assert all(0 <= seconds <= LONGEST_BLOCK for seconds in told)
    clock.seconds += max(quota.blocked_for, LONGEST_WINDOW) + 1
    goes = quota.acquire(Urgency.CALM)
    with contextlib.suppress(StopIteration):  # it goes at once, or it would wait and there is no loop for that
        goes.send(None)
        raise AssertionError("still waiting")


def _read(data: bytes, kind: dns.rdatatype.RdataType) -> Answer | None:
    try:
        return read(parse(data), kind, "1.1.1.1")
    except Exception:  # noqa: BLE001  it may break in any way: a lookup makes an answer of that
        return None


def dns_answer(data: bytes) -> None:
    """A message is read into clean and bounded answers, or it breaks the parser, quickly."""
    began = time.process_time()
    for answer in filter(None, (_read(data, kind) for kind in KINDS)):
        assert len(answer.values) <= MOST_VALUES
        for text in (*answer.values, *answer.chain, *answer.dnames, answer.enclosing, answer.note):
            is_plain(text, 1000)
        for record in answer.caa:
            is_plain(str(record), 1000)
        for wildcard in (False, True):
            judge_records(answer.caa, "pki.goog", wildcard=wildcard, methods=("txt",))
    assert time.process_time() - began < SLOW, "it takes too long"


def request(raw: bytes) -> None:
    """Bytes on a connection get no answer, or a proper one that is no failure of ours."""
    answer = asyncio.run(_asked(raw))
    if not answer:
        return
    head, _, _ = answer.partition(b"\r\n\r\n")
    version, status, *_ = head.split()
    assert (version, int(status) in _STATUSES) == (b"HTTP/1.1", True), head
    if int(status) == 200:
        assert b"x-content-type-options: nosniff" in head, head
        assert b"location:" not in head.lower(), head


async def _is_ready() -> tuple[bool, str]:
    return True, "ok"


async def _no_fleet() -> Fleet:
    return Fleet(Inventory.of([], [], NOW))


async def _no_events(_: JournalQuery) -> list[tuple[int, JournalLine]]:
    return []


_NOTHING = Sources(
    healthy=lambda: (True, "ok"),
    ready=_is_ready,
    metrics=lambda _: ([b"# EOF\n"], "text/plain"),
    fleet=_no_fleet,
    alerts=lambda: {"alerts": []},
    events=_no_events,
    situation=lambda: Situation(version="1", loaded_at=NOW, last_pass=None),
    now=lambda: NOW,
    duration=parse_duration,
)


class _Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written, self.closed = bytearray(), False

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0


_sock = bind("127.0.0.1:0")
_config = Listener(application(_NOTHING), _sock).config
_sock.close()
_config.load()


async def _asked(raw: bytes) -> bytes:
    connection: Any = _config.http_protocol_class(  # type: ignore[call-arg, operator]  # uvicorn's own way to make one
        config=_config, server_state=(state := _ServerState()), app_state={}, _loop=asyncio.get_running_loop()
    )
    out = _Wire()
    connection.connection_made(out)
    for start in range(0, len(raw), 500):
        if not out.closed:
            connection.data_received(raw[start : start + 500])
    while state.tasks:
        await asyncio.wait(state.tasks)
    connection.connection_lost(None)
    return bytes(out.written)


class _ServerState:
    def __init__(self) -> None:
        self.total_requests = 0
        self.connections: set[Any] = set()
        self.tasks: set[Any] = set()
        self.default_headers = [(name.encode(), value.encode()) for name, value in _config.headers]


ORACLES: dict[str, Callable[[bytes], None]] = {
    "configuration": configuration,
    "envelope": envelope,
    "headers": headers,
    "dns": dns_answer,
    "request": request,
}
