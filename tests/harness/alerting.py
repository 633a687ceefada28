"""People and how they are told: the alert pipeline over a real state, receivers, and a network that can break."""

import asyncio
import json
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import msgspec

from tests.harness.builders import NOW, inventory, pack, zone
from tests.harness.fleet import Start
from tests.harness.time import LoopClock
from tests.harness.values import replace
from watchdog.config.load import load
from watchdog.model.decisions import Decision, Do
from watchdog.model.event_names import EVENTS
from watchdog.model.history import History
from watchdog.model.leases import ALONE
from watchdog.model.reasons import Reason
from watchdog.notify.http import HttpSender
from watchdog.notify.pipeline import Pipeline
from watchdog.notify.rules import HealthReport
from watchdog.state.store import Store


class Got:
    """One request as it came."""

    def __init__(self, method, path, headers, body):
        self.method, self.path, self.headers, self.body = method, path, headers, body

    @property
    def json(self):
        return json.loads(self.body)


class Receiver:
    """Answers 200 unless told otherwise. ``with Receiver() as hook: hook.url``."""

    def __init__(self, port=0):
        self.got = []
        self.answers = []  # (status, headers, body), each used once; then 200
        self.hang = None  # an event to wait for before answering
        self.cut = False  # close the connection instead of answering
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def take(self):
                size = int(self.headers.get("content-length") or 0)
                receiver.got.append(Got(self.command, self.path, dict(self.headers), self.rfile.read(size)))
                if receiver.hang is not None:
                    receiver.hang.wait(30)
                if receiver.cut:
                    self.close_connection = True
                    return
                status, headers, body = receiver.answers.pop(0) if receiver.answers else (200, {}, b"ok")
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                try:
                    self.wfile.write(body)
                except OSError:
                    self.close_connection = True

            do_GET = do_POST = take  # noqa: N815  the names http.server looks for

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def wait_for(self, count, seconds=15):
        """Whether so many requests have come, once they have or the time is up."""
        deadline = time.monotonic() + seconds
        while len(self.got) < count and time.monotonic() < deadline:
            time.sleep(0.02)
        return len(self.got) >= count

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        if self.hang is not None:
            self.hang.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


CONFIG = """
accounts: {main: {api_token: planted-token}}
zones: [{name: example.com}]
alerts:
"""
HOOK = "  destinations:\n    - {name: hook, webhook: 'http://hook.test/s3cr3t', secret: s3cr3t}\n"
GAVE_UP = Decision(Do.GIVE_UP, Reason.GAVE_UP)


class Network(httpx.AsyncBaseTransport):
    """What every host was asked, and which of them are down, or answer with another status."""

    def __init__(self):
        self.asked = defaultdict(list)
        self.down = set()
        self.status = {}
        self.slow = {}

    async def handle_async_request(self, request):
        host = request.url.host
        if host in self.down:
            raise httpx.ConnectError("s3cr3t: " + str(request.url))
        await asyncio.sleep(self.slow.get(host, 0))
        self.asked[host].append((request.url.path, request.content))
        return httpx.Response(self.status.get(host, 200), stream=httpx.ByteStream(b""))

    def told(self, host="hook.test"):
        """The messages that a webhook was sent."""
        return [msgspec.json.decode(content) for _, content in self.asked[host] if content]

    def titles(self, host="hook.test"):
        return [message["title"] for message in self.told(host)]

    def firing(self, host="am.test"):
        """The alerts of the last request to an Alertmanager, as name and end."""
        alerts = msgspec.json.decode(self.asked[host][-1][1])
        return [(each["labels"]["alertname"], each["endsAt"]) for each in alerts]


class Logs:
    def __init__(self):
        self.lines = []

    def write(self, event, level="", **fields):
        level = level or EVENTS[event].level
        self.lines.append((level, event, {name: value for name, value in fields.items() if value is not None}))

    def events(self):
        return [event for _, event, _ in self.lines]


class Household:
    """One life of the daemon's pipeline."""

    def __init__(self, pipeline, network, logs, counted, kept, read):
        self.pipeline, self.network, self.logs, self.counted, self.kept = pipeline, network, logs, counted, kept
        self.clock = LoopClock()
        self._read = read

    async def passes(self, *packs, zones=None, count=1, **more):
        """So many passes that find these packs, a minute apart."""
        for _ in range(count):
            seen = [each if each.error else replace(each, seen_at=self.clock.now()) for each in zones or [zone()]]
            found = inventory(*packs, zones=seen)
            await self.pipeline.after_pass(found, **more)
            await asyncio.sleep(60)

    def reload(self, alerts):
        self.pipeline.prepare(self._read(alerts))()


def gave_up(name="p1", attempts=8, **more):
    """A pack that was given up."""
    since = NOW - timedelta(hours=3)
    history = History(
        attempts=attempts,
        trouble_since=since,
        last_restart_at=NOW - timedelta(hours=1),
        next_restart_at=None,
        gave_up_at=NOW,
    )
    return pack(name, "validation_timed_out", decision=GAVE_UP, history=history, **more)


@asynccontextmanager
async def living(
    folder, network, alerts=HOOK, *, kill=False, store=None, disk=None, tenure=ALONE, account="main", **more
):
    """One life over the state in ``folder``; ``kill`` ends it without a goodbye. Each write waits for ``disk``.

    Of what is not held by ``tenure`` it tells nobody. ``more`` is the pipeline's.
    """

    def read(text):
        path = folder / "config.yaml"
        path.write_text(CONFIG.replace("main", account) + text)
        return load(path, {})

    opened = store or Store.open(f"sqlite:///{folder / 'state.db'}", exclusive=True)
    worker = ThreadPoolExecutor(1)

    async def ask(question):
        if disk is not None:
            await disk.wait()
        return await asyncio.get_running_loop().run_in_executor(worker, question)

    logs, counted, kept = Logs(), [], []
    http = HttpSender("certpack-watchdog/test", network)
    pipeline = Pipeline(
        read(alerts),
        opened,
        ask,
        clock=LoopClock(),
        logs=logs,
        count=lambda *tried: counted.append(tuple(map(str, tried))),
        http=http,
        journal=kept.extend,
        tenure=tenure,
        **more,
    )
    await pipeline.start()
    try:
        yield Household(pipeline, network, logs, counted, kept, read)
    finally:
        if kill:
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await asyncio.sleep(0)
        else:
            await pipeline.close()
        worker.shutdown()
        opened.close()


PLAIN_HOOK = {"name": "hook", "webhook": "http://hook.test/"}


class Diagnoser:
    """Says ``findings`` of a zone's packs, and nothing of the others."""

    def __init__(self, findings=None):
        self.findings = findings or {}

    def begin_pass(self):
        pass

    async def diagnose(self, pack, *_):
        return tuple(self.findings.get(pack.hosts[0], ()))

    async def close(self):
        pass


class Chain:
    """A fleet, and the people who are told of it."""

    def __init__(self, fleet, pipeline, network, logs):
        self.fleet, self.pipeline, self.network, self.logs = fleet, pipeline, network, logs

    async def watch(self, *, own=None, **duration):
        """Passes by the ticker for so long, each told; ``own`` is what else is wrong with the watchdog itself."""
        fleet = self.fleet
        length = fleet.runtime.config.schedule.attention_interval.total_seconds()
        end = fleet.clock.monotonic() + timedelta(**duration).total_seconds()
        while (began := fleet.clock.monotonic()) < end:
            await fleet.look()
            components = fleet.components
            health = HealthReport(
                state_error=components.memory.writer.error, discovery=dict(components.watched.failures), **(own or {})
            )
            await self.pipeline.after_pass(fleet.runtime.inventory(), health)
            await asyncio.sleep(max(0.0, min(end, began + length) - fleet.clock.monotonic()))


@asynccontextmanager
async def chain(folder, main, *, config=None, network=None, **more):
    """One life of a watchdog that tells a webhook at ``hook.test``, over ``folder``."""
    network, logs = network or Network(), Logs()
    alerts = {"destinations": [PLAIN_HOOK], **(config or {}).pop("alerts", {})}
    async with Start(folder)(main, config={**(config or {}), "alerts": alerts}, **more) as fleet:
        asking = fleet.components.memory.writer.ask
        http = HttpSender("certpack-watchdog/test", network)
        pipeline = Pipeline(fleet.runtime.config, fleet.store, asking, clock=fleet.clock, logs=logs, http=http)
        await pipeline.start()
        try:
            yield Chain(fleet, pipeline, network, logs)
        finally:
            await pipeline.close()
