"""The simulated Cloudflare and the real client on it: in process, in simulated time, or on a socket in a thread."""

import asyncio
import contextlib
import functools
import json
import queue
import threading
from datetime import timedelta
from random import Random
from typing import Any
from urllib.parse import unquote

import httpx

from tests.harness.over_httpx import OverHttpx
from tests.harness.time import LoopClock
from watchdog.cloudflare.address import PER_ADDRESS, Address
from watchdog.cloudflare.client import Client
from watchdog.cloudflare.credential import Credential
from watchdog.cloudflare.http import Broken, Request, Response, read_headers
from watchdog.cloudflare.rate_limit import Quota
from watchdog.cloudflare.sliding_window import Allowance
from watchdog.simulator.app import Asked, ConnectionCut, Reply, reply
from watchdog.simulator.scenario import Scenario, zone_id
from watchdog.simulator.server import serve
from watchdog.simulator.world import World

BASE = "http://sim/client/v4"


@functools.lru_cache(maxsize=1000)  # a client says the same with every request
def _headers(lines: bytes) -> dict[str, str]:
    each = (line.partition(": ") for line in lines.decode("latin-1").split("\r\n") if line)
    return {name.lower(): value for name, _, value in each}


class InProcess(httpx.AsyncBaseTransport):
    """The way to a simulated Cloudflare that needs no socket, for the product's client and for one of httpx."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def answer(self, asked: Asked) -> Reply:
        """What comes back. A subclass may do something before and after."""
        said = reply(self.world, asked)
        if said.delay:
            await self.world.clock.sleep(said.delay)
        if said.cut is not None:
            raise said.cut
        return said

    async def ask(self, request: Request, seconds: float) -> Response:
        path, _, query = request.target.partition("?")
        asked = Asked(
            method=request.method,
            path=unquote(path),
            query=query,
            headers=_headers(request.headers.lines),
            body=request.content,
            address="127.0.0.1",
        )
        try:
            async with asyncio.timeout(seconds):
                said = await self.answer(asked)
        except ConnectionCut as cut:
            raise Broken(str(cut)) from cut
        raw = ((name.encode(), each.encode("latin-1")) for name, each in said.headers.items())
        return Response(said.status, read_headers(raw), said.body)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        asked = Asked(
            method=request.method,
            path=request.url.path,
            query=request.url.query.decode("ascii"),
            headers={name.decode("latin-1").lower(): each.decode("latin-1") for name, each in request.headers.raw},
            body=await request.aread(),
            address="127.0.0.1",
        )
        try:
            said = await self.answer(asked)
        except ConnectionCut as cut:
            raise (httpx.ReadError if cut.reset else httpx.RemoteProtocolError)(str(cut)) from cut
        return httpx.Response(said.status, headers=said.headers, stream=httpx.ByteStream(said.body))


class Simulated:
    """One world, asked in process."""

    def __init__(self, scenario: Any, clock: Any) -> None:
        self.clock = clock
        self.credential = {"Authorization": "Bearer simulated-token"}
        self.world = World(Scenario.model_validate(scenario) if isinstance(scenario, dict) else scenario, clock)
        self.zone = next(iter(self.world.zones.values()), None)
        self.packs_path = f"/zones/{self.zone.id}/ssl/certificate_packs" if self.zone else ""
        self._client = httpx.AsyncClient(transport=InProcess(self.world), base_url=BASE)

    def ask(self, method: Any, path: Any, **options: Any) -> Any:
        headers = {**self.credential, **options.pop("headers", {})}
        return asyncio.run(self._client.request(method, path, headers=headers, **options))

    def get(self, path: Any, **options: Any) -> Any:
        return self.ask("GET", path, **options)

    def packs(self, **query: Any) -> Any:
        return self.get(self.packs_path, params={"status": "all"} | query).json()["result"]

    def pack(self) -> Any:
        return self.packs()[0]

    def restart(self, pack_id: Any = None, **options: Any) -> Any:
        pack_id = pack_id or self.pack()["id"]
        return self.ask("PATCH", f"{self.packs_path}/{pack_id}", **({"json": {}} | options))


@contextlib.contextmanager
def in_a_thread(world: Any) -> Any:
    ready = queue.Queue()

    async def main() -> None:
        stop = asyncio.Event()
        async with serve(world) as url:
            ready.put((url, asyncio.get_running_loop(), stop))
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    url, loop, stop = ready.get(timeout=10)
    try:
        yield url
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


ZONE = zone_id("example.com")
SECRET = "simulated-token"


class Observer:
    """Notes all that a client tells."""

    def __init__(self):
        self.calls, self.limited, self.changes, self.chosen = [], [], [], []
        self.called = self.calls.append

    def rate_limited(self, account, seconds):
        self.limited.append((account, seconds))

    def credential_changed(self, _account, change):
        self.changes.append((change.event, str(change.after)))

    def zone_chosen(self, zone, says):
        self.chosen.append((zone.id, says))


def make_client(http, clock, *, base_url=BASE, timeout=30.0, credential=None, requests=1_000_000):
    """A client and all that it says of itself."""
    client = Client(
        http,
        base_url=base_url,
        timeout=timedelta(seconds=timeout),
        credential=credential or Credential.from_token("main", SECRET, clock),
        quota=Quota(Allowance(requests, 300, 1.0), Address(PER_ADDRESS, clock), clock),
        clock=clock,
        dice=Random(7),  # noqa: S311 - tests repeat
        user_agent="certpack-watchdog/test",
        observer=(observer := Observer()),
    )
    client.calls, client.limited, client.changes = observer.calls, observer.limited, observer.changes
    client.chosen, client.http = observer.chosen, http
    return client


class Sky:
    """A world, and a client on it. To be made inside the simulated loop."""

    def __init__(self, scenario=None, **options):
        self.clock = LoopClock()
        self.world = World(Scenario.model_validate(scenario or {"zones": [{"name": "example.com"}]}), self.clock)
        self.http = InProcess(self.world)
        self.client = make_client(self.http, self.clock, **options)

    @property
    def asked(self):
        """Method and path of every request that reached Cloudflare."""
        return [(request.method, request.path) for request in self.world.ledger]

    def patches(self):
        return [request for request in self.world.ledger if request.method == "PATCH"]


def timed_out(count=1, **scenario):
    """A zone whose packs have timed out."""
    packs = [{"status": "validation_timed_out"}] * count
    return {"zones": [{"name": "example.com", "packs": packs}], **scenario}


class Answers(OverHttpx):
    """Answers made by hand: each an ``httpx.Response`` or an exception; the last repeats."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []

    async def handle_async_request(self, request):
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        answer = answer(request) if callable(answer) else answer
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


def by_hand(*answers, **options):
    """A client on answers made by hand."""
    http = Answers(*answers)
    return make_client(http, LoopClock(), **options)


def answer(result=None, status=200, *, errors=(), headers=None, **envelope):
    """One in Cloudflare's envelope."""
    body = {"success": not errors, "errors": list(errors), "messages": [], "result": result, **envelope}
    return httpx.Response(status, headers=headers, content=json.dumps(body).encode())
