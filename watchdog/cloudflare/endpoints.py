"""Where each operation goes: its method, its path, how urgent it is, and who reads its answer.

One function per call, each giving an ``ApiRequest``; nothing here asks. ``client`` and ``introspection`` call them. The
table with sources is ``docs/cloudflare.md``.
"""

from collections.abc import Callable
from urllib.parse import quote

import msgspec

from watchdog.cloudflare import envelope, verification, wire
from watchdog.cloudflare.calls import ApiRequest
from watchdog.cloudflare.errors import Operation
from watchdog.cloudflare.paging import PER_PAGE
from watchdog.cloudflare.rate_limit import Urgency
from watchdog.model.packs import Pack

_A_FEW = "page=1&per_page=5"

PageOfPacks = tuple[list[Pack], envelope.PageInfo]
PageOfZones = tuple[list[wire.ZoneSeen], envelope.PageInfo]


def list_packs(zone_id: str, urgency: Urgency) -> ApiRequest[PageOfPacks]:
    """The packs of a zone, of every status; the page is still to be named."""

    def decode(body: bytes) -> PageOfPacks:
        return wire.packs(body, zone_id)

    path = f"{_packs(zone_id)}?status=all&"
    return ApiRequest(operation=Operation.LIST_PACKS, path=path, urgency=urgency, decode=decode, of=zone_id)


def a_few_packs(zone_id: str) -> ApiRequest[None]:
    """Whether a zone can be read."""
    return ApiRequest(
        operation=Operation.LIST_PACKS,
        path=f"{_packs(zone_id)}?status=all&{_A_FEW}",
        urgency=Urgency.ACT,
        decode=envelope.success,
        of=zone_id,
        about_credential=True,
    )


def get_pack(zone_id: str, pack_id: str) -> ApiRequest[Pack]:
    """One pack."""
    return ApiRequest(
        operation=Operation.GET_PACK,
        path=f"{_packs(zone_id)}/{_id(pack_id)}",
        urgency=Urgency.ACT,
        decode=lambda body: wire.pack(body, zone_id),
        of=zone_id,
    )


def restart_validation(zone_id: str, pack_id: str) -> ApiRequest[Pack]:
    """The restart of one pack's validation. The body must be there, and empty: anything in it changes the order."""
    return ApiRequest(
        operation=Operation.RESTART_VALIDATION,
        method="PATCH",
        path=f"{_packs(zone_id)}/{_id(pack_id)}",
        urgency=Urgency.ACT,
        decode=lambda body: wire.pack(body, zone_id),
        of=zone_id,
        content=b"{}",
    )


def recheck_validation(zone_id: str, pack_id: str, method: str) -> ApiRequest[None]:
    """An immediate check of one pack, by the ``method`` it already has."""
    return ApiRequest(
        operation=Operation.RECHECK_VALIDATION,
        method="PATCH",
        path=f"{_zone(zone_id)}/ssl/verification/{_id(pack_id)}",
        urgency=Urgency.ACT,
        decode=envelope.success,
        of=zone_id,
        content=msgspec.json.encode({"validation_method": method}),
    )


def zones_called(
    name: str, operation: Operation, of: str, decode: Callable[[bytes], PageOfZones]
) -> ApiRequest[PageOfZones]:
    """The zones of one name, in the form it is written in: to find an id, or what is known of it."""
    path = f"/zones?name={quote(name, safe='')}"
    return ApiRequest(operation=operation, path=path, urgency=Urgency.TROUBLED, decode=decode, of=of)


def list_zones(decode: Callable[[bytes], PageOfZones]) -> ApiRequest[PageOfZones]:
    """All zones; the page is still to be named."""
    return ApiRequest(operation=Operation.LIST_ZONES, path="/zones?", urgency=Urgency.CALM, decode=decode)


def a_page_of_zones(page: int, decode: Callable[[bytes], PageOfZones]) -> ApiRequest[PageOfZones]:
    """What is known of many zones at once: one page of all."""
    path = f"/zones?page={page}&per_page={PER_PAGE}"
    return ApiRequest(operation=Operation.ZONE_FACTS, path=path, urgency=Urgency.TROUBLED, decode=decode, of="zones")


def a_few_zones(decode: Callable[[bytes], PageOfZones]) -> ApiRequest[PageOfZones]:
    """Whether zones can be listed."""
    return ApiRequest(
        operation=Operation.LIST_ZONES,
        path=f"/zones?{_A_FEW}",
        urgency=Urgency.ACT,
        decode=decode,
        about_credential=True,
    )


def delegation_id(zone_id: str) -> ApiRequest[str]:
    """The label of a zone in the targets of delegated DCV."""
    return ApiRequest(
        operation=Operation.DELEGATION_ID,
        path=f"{_zone(zone_id)}/dcv_delegation/uuid",
        urgency=Urgency.TROUBLED,
        decode=wire.delegation_id,
        of=zone_id,
    )


def verify_token(owner: str) -> ApiRequest[verification.TokenSeen]:
    """Whether ``owner`` (``/user``, or the path of an account) knows the token."""
    return ApiRequest(
        operation=Operation.VERIFY_TOKEN,
        path=f"{owner}/tokens/verify",
        urgency=Urgency.ACT,
        decode=verification.token_seen,
        about_credential=True,
    )


def _id(text: str) -> str:
    plain = text.isascii() and text.replace("-", "").isalnum()
    return text if plain else quote(text, safe="")  # which takes 10 us for each


def _zone(zone_id: str) -> str:
    return f"/zones/{_id(zone_id)}"


def _packs(zone_id: str) -> str:
    return f"{_zone(zone_id)}/ssl/certificate_packs"
