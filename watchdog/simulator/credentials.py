"""Who asks and what they may: the credential of a request, and how none, or the wrong one, is refused."""

import re
from collections.abc import Mapping

from watchdog.simulator.envelope import Refused, failure
from watchdog.simulator.scenario import Permission, Token, ZoneStart
from watchdog.simulator.world import World

_WELL_FORMED = r"[A-Za-z0-9._\-]+"


def named(world: World, headers: Mapping[str, str]) -> Token | None:
    """The credential a request presents, valid or not; ``None`` for one nobody knows. A bearer token goes first."""
    bearer, pair = headers.get("authorization"), (headers.get("x-auth-email"), headers.get("x-auth-key"))
    for token in world.scenario.tokens:
        if f"Bearer {token.value}" == bearer if bearer is not None else (token.email, token.key) == pair:
            return token
    return None


def admit(world: World, token: Token | None, headers: Mapping[str, str], path: str) -> Token:
    """Let a valid credential pass, and refuse every other as Cloudflare does."""
    _check_form(headers)
    if token is None or not world.valid(token):
        if headers.get("authorization") is None:
            raise Refused(failure(403, (9103, "Unknown X-Auth-Key or X-Auth-Email")))
        if path.endswith("/tokens/verify"):
            raise Refused(failure(401, (1000, "Invalid API Token")))
        raise Refused(failure(403, (9109, "Invalid access token")))
    if world.age < token.new_for:
        raise Refused(failure(world.scenario.unknowns.authentication_error_status, (10000, "Authentication error")))
    if token.refused_from:
        raise Refused(failure(403, (9109, f"Cannot use the access token from location: {token.refused_from}")))
    return token


def require(world: World, token: Token, *any_of: Permission) -> None:
    """Refuse a credential that has none of these permissions."""
    if not token.permissions & set(any_of):
        status = world.scenario.unknowns.authentication_error_status
        raise Refused(failure(status, (10000, "Authentication error")))


def sees(token: Token, zone: ZoneStart) -> bool:
    """Whether a zone is among those the credential was made for."""
    return token.zones is None or zone.id in token.zones or zone.name in token.zones


def _check_form(headers: Mapping[str, str]) -> None:
    authorization, key = headers.get("authorization"), headers.get("x-auth-key")
    if authorization is None and key is None:
        raise Refused(failure(400, (9106, "Missing X-Auth-Key, X-Auth-Email or Authorization headers")))
    if authorization is not None and not re.fullmatch(f"Bearer (?!cfk_){_WELL_FORMED}", authorization):
        chain = (6111, "Invalid format for Authorization header")
    elif authorization is None and not re.fullmatch(_WELL_FORMED, key or ""):
        chain = (6103, "Invalid format for X-Auth-Key header")
    else:
        return
    raise Refused(failure(400, (6003, "Invalid request headers"), chain=(chain,)))
