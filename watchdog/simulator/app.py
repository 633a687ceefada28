"""The simulated Cloudflare under ``/client/v4``: limits, faults, credentials, then the answer.

``reply`` says what comes back of one request, without any transport; ``create_app`` is the same as an ASGI application,
which ``server`` puts on a socket. A connection that a fault ends raises ``ConnectionCut`` there, and the server makes a
real reset or an early end of it. Tests that need no socket call ``reply`` themselves (``tests/harness``).
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request as it arrives. The names of ``headers`` are in small letters; ``address`` is the caller's."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What comes back, after ``delay``; ``cut`` is how the connection ends before all of it is there, if it does."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    delay: timedelta | None = None
    cut: ConnectionCut | None = None


def reply(world: World, asked: Asked) -> Reply:
    """What ``world`` answers; the request has had its effect when this returns."""
    path, token = asked.path.removeprefix(PREFIX), credentials.named(world, asked.headers)
    name, now, rules = token.name if token else "", world.clock.now(), world.scenario.rate_limit
    allowance = world.limits.take(name, listing=(asked.method, path) == LIST_ZONES)
    wait = 1 if world.limits.crowded(asked.address) else allowance.blocked
    zone = next((world.zones[part] for part in path.split("/") if part in world.zones), None)
    fault = None if wait else world.faults.strike(asked.method, path, zone, now)
    if wait:
        answer = too_many(wait if rules.retry_after else None)
    elif fault is None:
        answer = _right(world, asked, token)
    elif fault.kind in REPLACING and asked.method == "PATCH" and not fault.takes_effect:
        answer = spoil(fault, success(None))
    else:
        answer = spoil(fault, _right(world, asked, token))
    kind = fault.kind if fault else ""
    world.ledger.append(
        Request(
            at=now,
            method=asked.method,
            path=path,
            query=asked.query,
            body=asked.body.decode(errors="replace"),
            status=0 if kind == "reset" else answer.status,
            credential=name,
        )
    )
    body = answer.body
    headers = {
        "cf-ray": f"{len(world.ledger):016x}-SIM",
        **_policy(world, asked.method, path, allowance),
        **answer.headers,
        "content-length": str(len(body)),
        "content-type": answer.content_type,
    }
    return Reply(
        status=answer.status,
        headers=headers,
        body=body,
        delay=fault.delay if fault else None,
        cut=ConnectionCut(reset=kind == "reset") if kind in {"reset", "truncated"} else None,
    )


def create_app(world: World) -> ASGIApp:
    """The application that speaks for ``world``."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        request = HttpRequest(scope, receive)
        with contextlib.suppress(ClientDisconnect):
            asked = Asked(
                method=request.method,
                path=scope["path"],
                query=scope["query_string"].decode("latin-1"),
                headers=request.headers,
                body=await request.body(),
                address=request.client.host if request.client else "",
            )
            await _send(world, reply(world, asked), send)

    return app


async def _send(world: World, said: Reply, send: Send) -> None:
    if said.delay:
        await world.clock.sleep(said.delay)
    if said.cut is not None and said.cut.reset:
        raise said.cut
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in said.headers.items()]
    await send({"type": "http.response.start", "status": said.status, "headers": headers})
    if said.cut is not None:
        await send({"type": "http.response.body", "body": said.body[: len(said.body) // 2], "more_body": True})
        raise said.cut
    await send({"type": "http.response.body", "body": said.body})


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


@lru_cache(maxsize=1000)  # a client asks for the same again and again
def _parameters(query: str) -> tuple[tuple[str, str], ...]:
    return tuple(parse_qsl(query, keep_blank_values=True))


def _right(world: World, asked: Asked, token: Token | None) -> Answer:
    if not asked.path.startswith(f"{PREFIX}/"):
        return failure(404, (7000, "No route for that URI"))
    path = asked.path.removeprefix(PREFIX)
    try:
        admitted = credentials.admit(world, token, asked.headers, path)
        call = endpoints.Call(
            method=asked.method,
            path=path,
            query=dict(_parameters(asked.query)),
            content_type=asked.headers.get("content-type", ""),
            body=asked.body,
            token=admitted,
        )
        return endpoints.answer(world, call)
    except Refused as refused:
        return refused.answer
