"""The calls, one method each. A GET is tried a little again; a PATCH is sent once and its fate told honestly.

One ``Client`` speaks with one credential; all of them share one connection pool (``connect``), keep-alive, and the
proxy and CA settings of the environment (``HTTPS_PROXY``, ``NO_PROXY``, ``SSL_CERT_FILE``). Redirects are never
followed, so a credential never leaves for another host. Bodies are read up to a bound, which holds while they are
unpacked. TLS is always verified. Every failure is a ``CloudflareError``.
"""

import asyncio
import os
import ssl
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Protocol, TypeVar
from urllib.parse import quote, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx
import msgspec
from httpx_aiohttp import AiohttpTransport

from watchdog.cloudflare import wire
from watchdog.cloudflare.credential import Credential
from watchdog.cloudflare.errors import (
    OPTIONAL,
    CloudflareError,
    CloudflareFault,
    CredentialRefused,
    NetworkFault,
    NotFound,
    Operation,
    RateLimited,
    Unsettled,
    translate,
)
from watchdog.cloudflare.rate_limit import Quota, Urgency
from watchdog.model.clock import Clock
from watchdog.model.packs import NOTHING_KNOWN, Pack, ZoneFacts
from watchdog.model.text import clean

PER_PAGE = 50
"""Packs and zones per page: the most Cloudflare allows for both lists."""

MOST_PAGES = 2_000
"""A list that is longer than this (100,000 entries) is not a list but a fault."""

GET_TRIES = 3
"""Tries of a GET whose answer was lost or a 5xx: a hiccup is bridged, an outage is left to the next pass."""

WAITS_FOR_429 = 3
"""How often one GET waits a 429 out. The wait itself is as long as Cloudflare says."""

MOST_BYTES = 4 * 1024 * 1024
"""Bytes of one answer, packed or unpacked. A page of 50 packs is about 85 KB."""

_PACKED = frozenset({"gzip", "deflate"})
_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32  # either header is told by its first bytes


class _HasId(Protocol):
    @property
    def id(self) -> str: ...


Listed = TypeVar("Listed", bound=_HasId)
Decoded = TypeVar("Decoded")


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One call that was made: for the metrics. ``status`` is the HTTP status, 0 when none came."""

    account: str
    operation: Operation
    status: int
    seconds: float
    error: CloudflareError | None


Transport = httpx.AsyncBaseTransport
"""The way to Cloudflare that all clients share."""


def connect(base_url: str, connections: int) -> Transport:
    """The connection pool to one server, of at most ``connections``.

    A transport and not an ``httpx.AsyncClient``: redirects, cookies and the auth flow of the client are never wanted
    here and cost as much CPU as the request itself. The environment's proxy is looked up once, here, for the same
    reason: aiohttp would do it in a thread for every request.
    """
    tls = httpx.create_ssl_context() if base_url.startswith("https:") else None

    def session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=connections, keepalive_timeout=60, ssl=tls or True)
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    address = _proxy_of(base_url)
    # The transport's own context is never used, as the session has one: one that trusts nobody is made in no time.
    unused = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return AiohttpTransport(verify=unused, client=session, proxy=httpx.Proxy(address) if address else None)


def _proxy_of(base_url: str) -> str | None:
    """The proxy that ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` name for this server."""
    url = urlsplit(base_url)
    if proxy_bypass(url.netloc):
        return None
    proxies = getproxies()
    named = proxies.get(url.scheme) or proxies.get("all")
    return f"http://{named}" if named and "://" not in named else named


class Reservation:
    """Reservation of the quota that were taken ahead."""

    def __init__(self, left: int) -> None:
        self._left = left

    def take(self) -> bool:
        """Use one, if one is left."""
        self._left -= 1
        return self._left >= 0


class _Headers(httpx.Headers):
    def __repr__(self) -> str:
        """Nothing of them: httpx hides ``Authorization`` and shows ``X-Auth-Key``."""
        return "Headers(…)"


class Client:
    """Cloudflare as one credential sees it."""

    def __init__(
        self,
        http: Transport,
        *,
        base_url: str,
        timeout: timedelta,
        credential: Credential,
        quota: Quota,
        clock: Clock,
        dice: Random,
        user_agent: str,
        on_call: Callable[[ApiCall], None],
        rate_limited: Callable[[str, float], None],
    ) -> None:
        self.account = credential.name
        self.credential = credential
        self.quota = quota
        self._http = http
        self._base = base_url.rstrip("/")
        self._timeout = timeout.total_seconds()
        self._clock = clock
        self._dice = dice
        self._on_call = on_call
        self._headers = _Headers(
            {
                "user-agent": user_agent,
                "accept": "application/json",
                "accept-encoding": "gzip, deflate",
                **credential.headers(),
            }
        )
        self._headers_with_body = _Headers({**self._headers, "content-type": "application/json"})
        self._rate_limited = rate_limited

    async def list_packs(self, zone_id: str, urgency: Urgency) -> list[Pack]:
        """All packs of a zone, of every status, each once."""

        def decode(body: bytes) -> tuple[list[Pack], wire.PageInfo]:
            return wire.packs(body, zone_id)

        path = f"/zones/{quote(zone_id, safe='')}/ssl/certificate_packs?status=all&"
        return await self._pages(Operation.LIST_PACKS, path, urgency, decode)

    @asynccontextmanager
    async def reserve(self, number: int) -> AsyncIterator[Reservation]:
        """Reserve so many calls (or a whole window's, if fewer), so that they follow each other without a wait."""
        reservation = Reservation(await self.quota.reserve(Urgency.ACT, number))
        try:
            yield reservation
        finally:
            while reservation.take():
                self.quota.release()

    async def get_pack(self, zone_id: str, pack_id: str, reservation: Reservation | None = None) -> Pack:
        """One pack as it is now. A pack that was deleted lately still answers, with the status ``deleted``."""
        path = _pack_path(zone_id, pack_id)
        return await self._get(
            Operation.GET_PACK, path, Urgency.ACT, lambda body: wire.pack(body, zone_id), reservation
        )

    async def restart_validation(self, zone_id: str, pack_id: str, reservation: Reservation | None = None) -> Pack:
        """Send the PATCH, once. Returns the pack as the answer shows it.

        Raises ``Unsettled`` when nobody can tell whether it took effect: read the pack, do not send again. After any
        other ``CloudflareError`` it did not.
        """
        path = _pack_path(zone_id, pack_id)
        try:
            answer = await self._call(
                Operation.RESTART_VALIDATION,
                "PATCH",
                path,
                Urgency.ACT,
                lambda body: wire.pack(body, zone_id),
                b"{}",
                reservation,
            )
        except CredentialRefused as refused:
            if refused.code:
                self.credential.restart_refused(zone_id, str(refused))
            raise
        self.credential.restart_accepted(zone_id)
        return answer

    async def find_zone(self, name: str) -> str:
        """The id of the zone with exactly this name. Raises ``NotFound`` when the credential sees none."""
        path = f"/zones?name={quote(name, safe='')}"
        zones, _ = await self._get(Operation.FIND_ZONE, path, Urgency.TROUBLED, wire.zones)
        for zone in zones:
            if zone.name.lower() == name.lower():
                return zone.id
        raise NotFound(
            Operation.FIND_ZONE,
            "7003",
            f"find_zone: no zone is called {clean(name, 255)}, or the credential may not see it "
            "(it needs the permission Zone / Zone / Read)",
        )

    async def zone_facts(self, zone_id: str, name: str) -> ZoneFacts:
        """The zone's type, status and delegation id. ``NOTHING_KNOWN`` where no zone of this name has the id."""
        path = f"/zones?name={quote(name, safe='')}"
        zones, _ = await self._get(Operation.ZONE_FACTS, path, Urgency.TROUBLED, wire.zones)
        zone = next((zone for zone in zones if zone.id == zone_id), None)
        if zone is None:
            return NOTHING_KNOWN
        path = f"/zones/{quote(zone_id, safe='')}/dcv_delegation/uuid"
        delegation = await self._get(Operation.DELEGATION_ID, path, Urgency.TROUBLED, wire.delegation_id)
        return ZoneFacts(zone.name, zone.type, zone.status, zone.paused, delegation)

    async def recheck_validation(self, zone_id: str, pack_id: str, method: str) -> None:
        """Ask for an immediate check of a pack that is pending validation, by the ``method`` it already has. Once."""
        path = f"/zones/{quote(zone_id, safe='')}/ssl/verification/{quote(pack_id, safe='')}"
        body = msgspec.json.encode({"validation_method": method})
        await self._call(Operation.RECHECK_VALIDATION, "PATCH", path, Urgency.ACT, wire.settled, body)

    async def list_zones(self) -> list[wire.ZoneSeen]:
        """All zones the credential sees, each once."""
        return await self._pages(Operation.LIST_ZONES, "/zones?", Urgency.CALM, wire.zones)

    async def verify_token(self) -> str:
        """What Cloudflare says of the API token: ``active``, ``disabled`` or ``expired``."""
        return await self._get(Operation.VERIFY_TOKEN, "/user/tokens/verify", Urgency.ACT, wire.token_status)

    async def _pages(
        self,
        operation: Operation,
        path: str,
        urgency: Urgency,
        decode: Callable[[bytes], tuple[list[Listed], wire.PageInfo]],
    ) -> list[Listed]:
        """Read pages until the last that ``result_info`` names (else a short one), or one that brings nothing new.

        Whether every zone honours ``page`` is not certain, so a reader that waits for an empty page may never end. A
        page may look short because an entry of it was no pack at all, so the number of pages is believed before it.
        """
        found: dict[str, Listed] = {}
        for page in range(1, MOST_PAGES + 1):
            items, info = await self._get(operation, f"{path}page={page}&per_page={PER_PAGE}", urgency, decode)
            before = len(found)
            for item in items:
                found.setdefault(item.id, item)
            last = page >= info.total_pages if info.total_pages else len(items) < (info.per_page or PER_PAGE)
            if last or len(found) == before:
                return list(found.values())
            if len(found) > MOST_PAGES * PER_PAGE:
                break
        raise CloudflareFault(operation, "malformed", f"{operation}: the list does not end after {page} pages")

    async def _get(
        self,
        operation: Operation,
        path: str,
        urgency: Urgency,
        decode: Callable[[bytes], Decoded],
        reservation: Reservation | None = None,
    ) -> Decoded:
        lost, waited = 0, 0
        while True:
            try:
                first = not lost and not waited
                return await self._call(
                    operation, "GET", path, urgency, decode, reservation=reservation if first else None
                )
            except RateLimited:
                waited += 1
                if waited > WAITS_FOR_429:
                    raise
            except Unsettled:
                lost += 1
                if lost >= GET_TRIES:
                    raise
                await self._clock.sleep(timedelta(seconds=self._dice.uniform(0.5, 1.5) * lost))

    async def _call(
        self,
        operation: Operation,
        method: str,
        path: str,
        urgency: Urgency,
        decode: Callable[[bytes], Decoded],
        content: bytes | None = None,
        reservation: Reservation | None = None,
    ) -> Decoded:
        """One request, and what its answer says. Anything but a success is raised."""
        probe = self.credential.stopped
        if not self.credential.may_call():
            raise CredentialRefused(operation, "", self.credential.refusal, certain=True)
        if reservation is None or not reservation.take():
            await self.quota.acquire(urgency)
        else:
            await self.quota.use_a_booking()
            if self.quota.blocked_for:  # since they were taken
                self.quota.release()
                said = f"{operation}: not sent: Cloudflare has just told this credential to wait"
                raise RateLimited(operation, "", said)
        if self.credential.stopped and not probe:  # it was refused while this call waited for its turn
            self.quota.release()
            raise CredentialRefused(operation, "", self.credential.refusal, certain=True)
        began, status = self._clock.monotonic(), 0
        headers: httpx.Headers | None = None
        error: CloudflareError | None = None
        try:
            status, headers, body = await self._exchange(operation, method, path, content)
            hide = self.credential.taken_out_of
            ray = hide(headers.get("cf-ray", "").encode()).decode()
            decoded = _read(operation, status, ray, hide(body), decode)
            self.credential.accepted()
            return decoded
        except CloudflareError as failed:
            error = failed
            if isinstance(failed, CredentialRefused):
                # One that may not write may still read: a refused PATCH says nothing against looking.
                if failed.certain or (operation not in OPTIONAL and method == "GET"):
                    self.credential.refused(str(failed), certain=failed.certain)
            elif isinstance(failed, RateLimited) and headers is not None:
                self._rate_limited(self.account, self.quota.block(headers))
            raise
        finally:
            self.quota.release(headers)
            self._on_call(ApiCall(self.account, operation, status, self._clock.monotonic() - began, error))

    async def _exchange(
        self, operation: Operation, method: str, path: str, content: bytes | None
    ) -> tuple[int, httpx.Headers, bytes]:
        headers = self._headers if content is None else self._headers_with_body
        try:
            async with asyncio.timeout(self._timeout):
                request = httpx.Request(method, self._base + path, headers=headers, content=content)
                response = await self._http.handle_async_request(request)
                try:
                    body = await _bounded(operation, response)
                finally:
                    await response.aclose()
        except (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, OSError) as fault:
            raise _network(operation, fault) from fault
        return response.status_code, response.headers, body


async def _bounded(operation: Operation, response: httpx.Response) -> bytes:
    """The body, unpacked. Of a refusal that is too long, or packed in a way nobody can read, what there is of it.

    The standard library unpacks, and not httpx: that unpacks a whole piece at once, and packings within packings.
    """
    packed = response.headers.get("content-encoding", "").strip().lower() in _PACKED
    unpacking = zlib.decompressobj(_GZIP_OR_ZLIB) if packed else None
    pieces: list[bytes] = []
    read = size = 0
    async for piece in response.stream:  # type: ignore[union-attr]  # of an asynchronous transport
        read += len(piece)
        try:
            unpacked = piece if unpacking is None else unpacking.decompress(piece, MOST_BYTES - size + 1)
        except zlib.error:
            break
        pieces.append(unpacked)
        size += len(unpacked)
        if max(read, size) > MOST_BYTES:
            if response.is_success:
                said = f"{operation}: the answer has more than {MOST_BYTES} bytes"
                raise CloudflareFault(operation, "too_large", said)
            break
    return b"".join(pieces)


def _read(operation: Operation, status: int, ray: str, body: bytes, decode: Callable[[bytes], Decoded]) -> Decoded:
    prefix = ""
    if 200 <= status < 300:
        try:
            return decode(body)
        except msgspec.ValidationError as strange:
            prefix, code = str(strange), "malformed"
        except msgspec.MsgspecError:
            code = "not_json"
        complaints = wire.complaints(body)
        if not complaints:
            said = clean(prefix or body[:400].decode("utf-8", "replace"), 120) or "an empty body"
            raise CloudflareFault(operation, code, f"{operation}: HTTP {status}, not the JSON expected: {said}")
        raise translate(operation, status, complaints, ray=ray)
    raise translate(
        operation, status, wire.complaints(body), prefix=clean(body[:400].decode("utf-8", "replace"), 120), ray=ray
    )


def _network(operation: Operation, fault: Exception) -> NetworkFault:
    """What went wrong on the way, by its true cause.

    httpx-aiohttp calls every ``aiohttp.ClientConnectionError`` a connect time-out, a disconnect in the middle of an
    answer among them; only aiohttp's own exception tells whether the request may have left.
    """
    cause = fault.__cause__ if isinstance(fault.__cause__, aiohttp.ClientError | OSError) else fault
    said = clean(cause) or type(cause).__name__
    if isinstance(cause, ssl.SSLError | aiohttp.ClientSSLError):
        return NetworkFault(operation, "tls", f"{operation}: TLS failed: {said}", sent=False)
    if isinstance(cause, aiohttp.ClientConnectorError | aiohttp.ClientHttpProxyError | ConnectionRefusedError):
        where = ""
        if isinstance(cause, aiohttp.ClientConnectorError):
            number, where = cause.errno or 0, f" to {cause.host}:{cause.port}"
            said = os.strerror(number) if number > 0 else clean(cause.strerror or cause.os_error)  # or it is DNS's
        return NetworkFault(operation, "connect", f"{operation}: could not connect{where}: {said}", sent=False)
    if isinstance(cause, TimeoutError | httpx.TimeoutException):
        return NetworkFault(operation, "timeout", f"{operation}: no answer in time")
    return NetworkFault(operation, "disconnect", f"{operation}: the connection broke: {said}")


def _pack_path(zone_id: str, pack_id: str) -> str:
    return f"/zones/{quote(zone_id, safe='')}/ssl/certificate_packs/{quote(pack_id, safe='')}"
