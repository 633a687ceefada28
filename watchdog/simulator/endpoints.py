"""Cloudflare's endpoints, without the transport: a call in, an answer out. What each does is in its one branch here.

Numbers seen in the wild are used where there are any. ``NOT_RESTARTABLE`` and ``ALREADY_ORDERED`` are made up: nobody
has told what Cloudflare says to the restart of a pack that cannot be restarted, or to a second order of the same hosts.
"""

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from watchdog.simulator import shapes
from watchdog.simulator.credentials import require, sees
from watchdog.simulator.envelope import JSON, Answer, Refused, failure, success
from watchdog.simulator.life import Life
from watchdog.simulator.scenario import PackStart, Token, ZoneStart
from watchdog.simulator.scenario import zone_id as new_zone_id
from watchdog.simulator.world import World

NOT_RESTARTABLE = 1499
ALREADY_ORDERED = 1498
_ADVANCED_PACKS = 100
_ORDER_FIELDS = ("certificate_authority", "validation_method", "validity_days")
_ZONE_TYPES = ("full", "partial", "secondary", "internal")
_PER_PAGE = 50
_Row = TypeVar("_Row")
_METHODS = frozenset({"http", "cname", "txt", "email"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request of a valid credential; ``path`` begins after ``/client/v4``."""

    method: str
    path: str
    query: Mapping[str, str]
    content_type: str
    body: bytes
    token: Token


def answer(world: World, call: Call) -> Answer:  # noqa: C901, PLR0912 - the table of routes, one line each
    """Do what the call asks."""
    match (call.method, *call.path.strip("/").split("/")):
        case ("GET", "user", "tokens", "verify"):
            return _verify(call.token, account_owned=False)
        case ("GET", "accounts", _, "tokens", "verify"):
            return _verify(call.token, account_owned=True)
        case ("GET", "zones"):
            return _list_zones(world, call)
        case ("POST", "zones"):
            return _create_zone(world, call)
        case ("GET", "zones", zone_id):
            require(world, call.token, "zone_read", "read", "write")
            return success(shapes.zone(_zone(world, call, zone_id)))
        case ("PATCH", "zones", zone_id):
            return _edit_zone(world, call, zone_id)
        case ("DELETE", "zones", zone_id):
            require(world, call.token, "zone_write")
            world.remove_zone(_zone(world, call, zone_id).id)
            return success({"id": zone_id})
        case ("GET", "zones", zone_id, "dcv_delegation", "uuid"):
            return success({"uuid": shapes.delegation_uuid(_readable(world, call, zone_id))})
        case ("GET", "zones", zone_id, "ssl", "certificate_packs"):
            return _list_packs(world, call, _readable(world, call, zone_id))
        case ("POST", "zones", zone_id, "ssl", "certificate_packs", "order"):
            return _order(world, call, _writable(world, call, zone_id))
        case ("GET", "zones", zone_id, "ssl", "certificate_packs", "quota"):
            used = sum(life.start.type == "advanced" for life in world.packs(_readable(world, call, zone_id).id))
            return success({"advanced": {"allocated": _ADVANCED_PACKS, "used": used}})
        case ("GET", "zones", zone_id, "ssl", "certificate_packs", pack_id):
            return success(shapes.pack(_pack(world, _readable(world, call, zone_id), pack_id)))
        case ("PATCH", "zones", zone_id, "ssl", "certificate_packs", pack_id):
            return _restart(world, call, _writable(world, call, zone_id), pack_id)
        case ("DELETE", "zones", zone_id, "ssl", "certificate_packs", pack_id):
            life = _pack(world, _writable(world, call, zone_id), pack_id)
            world.delete_pack(life.id)
            return success({"id": life.id})
        case ("GET", "zones", zone_id, "ssl", "verification"):
            return _list_verifications(world, call, _readable(world, call, zone_id))
        case ("PATCH", "zones", zone_id, "ssl", "verification", pack_id):
            return _recheck(world, call, _readable(world, call, zone_id), pack_id)
        case _:
            return _no_route(404, call.path)


def _verify(token: Token, *, account_owned: bool) -> Answer:
    if token.account_owned != account_owned and not token.key:
        return failure(401, (1000, "Invalid API Token"))
    result = {"id": hashlib.sha256((token.value or token.key).encode()).hexdigest()[:32], "status": "active"}
    return success(result, messages=((10000, "This API Token is valid and active"),))


def _list_zones(world: World, call: Call) -> Answer:
    require(world, call.token, "zone_read")
    wanted = {"name": "name", "account_id": "account.id", "status": "status"}
    kinds = set(call.query["type"].split(",")) if "type" in call.query else set(_ZONE_TYPES)
    if not world.scenario.unknowns.internal_zones_listed and "type" not in call.query:
        kinds.discard("internal")
    found = [
        zone
        for zone in world.zones.values()
        if sees(call.token, zone)
        and zone.type in kinds
        and all(call.query.get(asked, getattr(zone, name)) == getattr(zone, name) for name, asked in wanted.items())
    ]
    return _paged(world, call, found, shapes.zone)


def _create_zone(world: World, call: Call) -> Answer:
    require(world, call.token, "zone_write")
    body = _json_object(call)
    name, account = str(body.get("name") or ""), body.get("account")
    if not name:
        return failure(400, (1097, "This zone is banned and cannot be added to Cloudflare at this time."))
    account_id = account.get("id") if isinstance(account, dict) else None
    zone = ZoneStart(
        name=name,
        id=new_zone_id(f"{name}/{len(world.zones)}"),
        type=str(body.get("type") or "full"),
        status="pending",
        packs=(),
        **({"account_id": account_id} if account_id else {}),
    )
    return success(shapes.zone(world.add_zone(zone)))


def _edit_zone(world: World, call: Call, identifier: str) -> Answer:
    require(world, call.token, "zone_write")
    zone, body = _zone(world, call, identifier), _json_object(call)
    changed = {name: body[name] for name in ("paused", "type") if name in body}
    return success(shapes.zone(world.edit_zone(zone.id, **changed)))


def _list_packs(world: World, call: Call, zone: ZoneStart) -> Answer:
    everything = call.query.get("status") == "all"
    shown = [life for life in world.packs(zone.id) if everything or life.status == "active"]
    return _paged(world, call, shown, shapes.pack)


def _order(world: World, call: Call, zone: ZoneStart) -> Answer:
    """A second advanced pack of exactly the same hosts is refused; the number of that refusal is made up."""
    body = _json_object(call)
    if not zone.acm:
        return _no_acm(world)
    wanted = {name: body[name] for name in _ORDER_FIELDS if name in body}
    hosts = body.get("hosts")
    if body.get("type") != "advanced" or len(wanted) < len(_ORDER_FIELDS) or not isinstance(hosts, list) or not hosts:
        return failure(400, (9207, f"Request body is invalid: {', '.join(_ORDER_FIELDS)}, hosts and type are needed"))
    if any(set(life.hosts) == set(hosts) and life.status != "deleted" for life in world.packs(zone.id)):
        return failure(400, (ALREADY_ORDERED, "An identical certificate pack already exists for this zone"))
    life = world.order(zone, PackStart(hosts=tuple(map(str, hosts)), status="initializing", **wanted))
    life.brand(branded=bool(body.get("cloudflare_branding")))
    return success(shapes.pack(life))


def _no_acm(world: World) -> Answer:
    message = "Advanced Certificate Manager is not enabled for this zone"
    return failure(world.scenario.unknowns.acm_missing_status, (1450, message))


def _restart(world: World, call: Call, zone: ZoneStart, pack_id: str) -> Answer:
    body, life = _json_object(call), _pack(world, zone, pack_id)
    if not zone.acm:
        return _no_acm(world)
    if life.status in {"deleted", "pending_deletion"}:
        return failure(400, (1406, "Bad response certificate service"))
    if life.start.type != "advanced":
        return failure(400, (NOT_RESTARTABLE, "Only advanced certificate packs can be changed"))
    if "cloudflare_branding" in body:
        life.brand(branded=bool(body["cloudflare_branding"]))
    if life.restartable:
        return success(shapes.pack(world.restart(life)))
    if world.scenario.unknowns.restart_when_not_timed_out == "refused" and not body:
        return failure(400, (NOT_RESTARTABLE, "The certificate pack has not timed out"))
    return success(shapes.pack(life))


def _list_verifications(world: World, call: Call, zone: ZoneStart) -> Answer:
    packs = world.packs(zone.id)
    if call.query.get("retry") == "true":
        for life in packs:
            life.recheck(world.clock.now())
    return success([shapes.verification(life) for life in packs])


def _recheck(world: World, call: Call, zone: ZoneStart, pack_id: str) -> Answer:
    method, life = _json_object(call).get("validation_method"), _pack(world, zone, pack_id)
    if method not in _METHODS:
        return failure(400, (9207, "Request body is invalid: validation_method"))
    if method == life.validation_method:
        life.recheck(world.clock.now())
    else:  # another method is another order
        life.validation_method = method
        life.enter("initializing", world.clock.now())
    return success({"status": life.status, "validation_method": life.validation_method})


def _paged(world: World, call: Call, rows: Sequence[_Row], shape: Callable[[_Row], Any]) -> Answer:
    unknowns = world.scenario.unknowns
    page, per_page = _number(call, "page", 1), min(_number(call, "per_page", unknowns.default_page_size), _PER_PAGE)
    if unknowns.page_ignored:
        page, per_page = 1, max(len(rows), 1)
    shown = [shape(row) for row in rows[(page - 1) * per_page : page * per_page]]
    info = {
        "page": page,
        "per_page": per_page,
        "count": len(shown),
        "total_count": len(rows),
        "total_pages": math.ceil(len(rows) / per_page),
    }
    return success(shown, result_info=info if unknowns.result_info else None)


def _number(call: Call, name: str, default: int) -> int:
    value = call.query.get(name, "")
    return max(1, int(value)) if value.isdecimal() else default


def _json_object(call: Call) -> dict[str, Any]:
    if call.content_type.partition(";")[0].strip().lower() != JSON:
        raise Refused(failure(400, (9207, "Content-type must be application/json.")))
    try:
        body = json.loads(call.body)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refused(failure(400, (9207, "Request body is invalid.")))
    return body


def _readable(world: World, call: Call, zone_id: str) -> ZoneStart:
    require(world, call.token, "read", "write")
    return _zone(world, call, zone_id)


def _writable(world: World, call: Call, zone_id: str) -> ZoneStart:
    require(world, call.token, "write")
    return _zone(world, call, zone_id)


def _zone(world: World, call: Call, zone_id: str) -> ZoneStart:
    if not re.fullmatch(r"[0-9a-f]{32}", zone_id):
        raise Refused(_no_route(400, call.path))
    if zone_id not in world.zones:
        raise Refused(_no_route(404, call.path))
    if not sees(call.token, world.zones[zone_id]):
        raise Refused(failure(403, (9109, "Unauthorized to access requested resource")))
    return world.zones[zone_id]


def _pack(world: World, zone: ZoneStart, pack_id: str) -> Life:
    if not re.fullmatch(r"[0-9A-Fa-f-]{32,36}", pack_id):
        raise Refused(_no_route(400, f"/zones/{zone.id}/ssl/certificate_packs/{pack_id}"))
    life = world.pack(zone.id, pack_id)
    if life is None:
        raise Refused(failure(404, (1408, "Certificate pack not found")))
    return life


def _no_route(status: int, path: str) -> Answer:
    message = f"Could not route to /client/v4{path}, perhaps your object identifier is invalid?"
    return failure(status, (7003, message), (7000, "No route for that URI"))
