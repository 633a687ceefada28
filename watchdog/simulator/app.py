"""The simulated Cloudflare as an ASGI application under ``/client/v4``: limits, faults, credentials, then the answer.

A connection that a fault ends raises ``ConnectionCut``, which ``server`` turns into a real reset or an early end on the
socket. In process, ``httpx.ASGITransport`` lets it through to the caller as it is: not an ``httpx`` error, so a test
that wants one there translates it (``tests/simulator`` shows how). A body cut in the middle looks like no answer there.
"""

import contextlib

from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from watchdog.simulator import credentials, endpoints
from watchdog.simulator.envelope import Answer, Refused, failure, success, too_many
from watchdog.simulator.faults import REPLACING, spoil
from watchdog.simulator.limits import Allowance
from watchdog.simulator.scenario import Token
from watchdog.simulator.world import Request, World

PREFIX = "/client/v4"
LIST_ZONES = ("GET", "/zones")


class ConnectionCut(ConnectionResetError):
    """A fault ends the connection: before any answer (``reset``), else in the middle of the body."""

    def __init__(self, *, reset: bool) -> None:
        super().__init__("the simulated connection was cut")
        self.reset = reset


def create_app(world: World) -> ASGIApp:
    """The application that speaks for ``world``."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        request = HttpRequest(scope, receive)
        with contextlib.suppress(ClientDisconnect):
            await _handle(world, request, await request.body(), send)

    return app


async def _handle(world: World, request: HttpRequest, body: bytes, send: Send) -> None:
    path, token = request.url.path.removeprefix(PREFIX), credentials.named(world, request.headers)
    name, now, rules = token.name if token else "", world.clock.now(), world.scenario.rate_limit
    allowance = world.limits.take(name, listing=(request.method, path) == LIST_ZONES)
    wait = 1 if world.limits.crowded(request.client.host if request.client else "") else allowance.blocked
    zone = next((world.zones[part] for part in path.split("/") if part in world.zones), None)
    fault = None if wait else world.faults.strike(request.method, path, zone, now)
    if wait:
        answer = too_many(wait if rules.retry_after else None)
    elif fault is None:
        answer = _right(world, request, body, token)
    elif fault.kind in REPLACING and request.method == "PATCH" and not fault.takes_effect:
        answer = spoil(fault, success(None))
    else:
        answer = spoil(fault, _right(world, request, body, token))
    kind = fault.kind if fault else ""
    status, text = 0 if kind == "reset" else answer.status, body.decode(errors="replace")
    world.ledger.append(
        Request(
            at=now, method=request.method, path=path, query=request.url.query, body=text, status=status, credential=name
        )
    )
    ray, policy = f"{len(world.ledger):016x}-SIM", _policy(world, request.method, path, allowance)
    headers = {"cf-ray": ray, **policy, **answer.headers}
    if fault is not None and fault.delay:
        await world.clock.sleep(fault.delay)
    if kind == "reset":
        raise ConnectionCut(reset=True)
    await _send(send, Response(answer.body, answer.status, headers, answer.content_type), cut=kind == "truncated")


def _policy(world: World, method: str, path: str, allowance: Allowance) -> dict[str, str]:
    """What the answer says of the allowance, as recorded: the list of zones has a policy of its own, verifying none."""
    if path.endswith("/tokens/verify"):
        return {}
    rules, listing = world.scenario.rate_limit, (method, path) == LIST_ZONES
    name, requests = ("list_zones", rules.list_zones or rules.requests) if listing else ("default", rules.requests)
    resets_in = 1 if world.scenario.unknowns.ratelimit_resets_in == "second" else allowance.resets_in
    return {
        "Ratelimit": f'"{name}";r={allowance.left};t={resets_in}',
        "Ratelimit-Policy": f'"{name}";q={requests};w={int(rules.per.total_seconds())}',
    }


def _right(world: World, request: HttpRequest, body: bytes, token: Token | None) -> Answer:
    path = request.url.path
    if not path.startswith(f"{PREFIX}/"):
        return failure(404, (7000, "No route for that URI"))
    path = path.removeprefix(PREFIX)
    try:
        admitted = credentials.admit(world, token, request.headers, path)
        content_type = request.headers.get("content-type", "")
        call = endpoints.Call(
            method=request.method,
            path=path,
            query=request.query_params,
            content_type=content_type,
            body=body,
            token=admitted,
        )
        return endpoints.answer(world, call)
    except Refused as refused:
        return refused.answer


async def _send(send: Send, response: Response, *, cut: bool) -> None:
    await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
    content = bytes(response.body)
    if cut:
        await send({"type": "http.response.body", "body": content[: len(content) // 2], "more_body": True})
        raise ConnectionCut(reset=False)
    await send({"type": "http.response.body", "body": content})
