"""The whole of pipeline over a real state on disk, in simulated time, with a network that a test can break."""

import asyncio
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import httpx
import msgspec

from tests.conftest import LoopClock
from tests.harness.builders import NOW, inventory, pack, zone
from watchdog.config.load import load
from watchdog.model.decisions import Decision, Do
from watchdog.model.history import History
from watchdog.model.reasons import Reason
from watchdog.model.report import PassReport
from watchdog.notify.http import HttpSender
from watchdog.notify.pipeline import Pipeline
from watchdog.state.store import Store

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

    def say(self, level, event, **fields):
        self.lines.append((level, event, {name: value for name, value in fields.items() if value is not None}))

    def events(self):
        return [event for _, event, _ in self.lines]


class Household:
    """One life of the daemon's pipeline."""

    def __init__(self, pipeline, network, logs, counted, read):
        self.pipeline, self.network, self.logs, self.counted = pipeline, network, logs, counted
        self.clock = LoopClock()
        self._read = read

    async def passes(self, *packs, zones=None, count=1, report=None, **more):
        """So many passes that find these packs, a minute apart."""
        for _ in range(count):
            seen = [each if each.error else replace(each, seen_at=self.clock.now()) for each in zones or [zone()]]
            found = inventory(*packs, zones=seen)
            await self.pipeline.after_pass(found, report or PassReport(self.clock.now(), zones=1), **more)
            await asyncio.sleep(60)

    def reload(self, alerts):
        self.pipeline.reload(self._read(alerts))


def gave_up(name="p1", attempts=8, **more):
    """A pack that was given up."""
    since = NOW - timedelta(hours=3)
    history = History(attempts, since, NOW - timedelta(hours=1), None, NOW)
    return pack(name, "validation_timed_out", decision=GAVE_UP, history=history, **more)


@asynccontextmanager
async def living(folder, network, alerts=HOOK, *, kill=False, store=None, disk=None):
    """One life over the state in ``folder``; ``kill`` ends it without a goodbye. Each write waits for ``disk``."""

    def read(text):
        path = folder / "config.yaml"
        path.write_text(CONFIG + text)
        return load(path, {})

    opened = store or Store.open(f"sqlite:///{folder / 'state.db'}", exclusive=True)
    worker = ThreadPoolExecutor(1)

    async def ask(question):
        if disk is not None:
            await disk.wait()
        return await asyncio.get_running_loop().run_in_executor(worker, question)

    logs, counted = Logs(), []
    post = HttpSender("certpack-watchdog/test", network)
    pipeline = Pipeline(
        read(alerts),
        opened,
        ask,
        clock=LoopClock(),
        logs=logs,
        count=lambda *tried: counted.append(tuple(map(str, tried))),
        post=post,
    )
    await pipeline.start()
    try:
        yield Household(pipeline, network, logs, counted, read)
    finally:
        if kill:
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await asyncio.sleep(0)
        else:
            await pipeline.close()
        worker.shutdown()
        opened.close()
