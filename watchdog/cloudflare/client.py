"""The calls, one method each. A GET is tried a little again; a PATCH is sent once and its fate told honestly.

One ``Client`` speaks with one credential; all of them share one connection pool (``transport.connect``). Every failure
is a ``CloudflareError``. What one answer says is told apart here by what it concerns: the credential (its standing is
changed by what asking again and elsewhere shows, never by one answer that may mean something else), one operation of
one zone (``holds``), or the account's allowance (``rate_limit``).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Protocol, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from watchdog.cloudflare import wire, zones
from watchdog.cloudflare.credential import TOKEN_OF_A_USER, TOKEN_OF_AN_ACCOUNT, Change, Credential, Sign
from watchdog.cloudflare.doubts import DENIED_IN_A_ROW, FORBIDDEN_FOR, Doubts
from watchdog.cloudflare.errors import (
    OPTIONAL,
    AccessDenied,
    Ambiguous,
    CloudflareError,
    CloudflareFault,
    CredentialRefused,
    Held,
    NotFound,
    Operation,
    PassingFault,
    PermissionMissing,
    RateLimited,
    Refused,
    TurnedAway,
    Unsettled,
    Why,
    translate,
)
from watchdog.cloudflare.holds import FIRST, Holds
from watchdog.cloudflare.rate_limit import BLOCKED_WITHOUT_A_WORD, LONGEST_BLOCK, Quota, Urgency, retry_after
from watchdog.cloudflare.transport import Headers, Transport, exchange
from watchdog.model.clock import Clock
from watchdog.model.names import both, canonical, forms
from watchdog.model.packs import NOTHING_KNOWN, Pack, ZoneFacts, ZoneRef
from watchdog.model.reasons import Reason
from watchdog.model.text import clean

PER_PAGE = 50
"""Packs and zones per page: the most Cloudflare allows for both lists."""

MOST_PAGES = 2_000
"""A list that is longer than this (100,000 entries) is not a list but a fault."""

GET_TRIES = 3
"""Tries of a GET whose answer was lost or a 5xx: a hiccup is bridged, an outage is left to the next pass."""

WAITS_FOR_429 = 3
"""How often one GET waits a 429 out. The wait itself is as long as Cloudflare says."""

SLOWED_DOWN_EVERYWHERE = 3
"""Zones that are told to slow down, with none served between, after which everything is, whatever the headers say."""

MOST_OWNERS = 3
"""Accounts that are asked whether they know a token."""

LONGEST_HINT = 3600.0
"""Seconds that a body of no 429 may ask to wait: a slip in it must not end all looks at a zone for ever."""

LOOKED_UP_FOR = 86_400.0
"""Seconds for which a name that was looked up is not looked up again because its zone is empty."""

REREAD_EVERY = 30.0
"""Seconds after which the file of a credential that is stopped is read again, besides when it is refused."""

_A_FEW = "page=1&per_page=5"


class _HasId(Protocol):
    @property
    def id(self) -> str: ...


Listed = TypeVar("Listed", bound=_HasId)
Decoded = TypeVar("Decoded")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiCall:
    """One call that was made: for the metrics. ``status`` is the HTTP status, 0 when none came."""

    account: str
    operation: Operation
    status: int
    seconds: float
    error: CloudflareError | None


class Observer(Protocol):
    """Who is told what happens to the calls of all clients."""

    def called(self, call: ApiCall) -> None:
        """A call was made."""

    def rate_limited(self, account: str, seconds: float) -> None:
        """Cloudflare told a credential to wait for so long."""

    def credential_changed(self, account: str, change: Change) -> None:
        """A credential stands otherwise than before."""

    def zone_chosen(self, zone: ZoneRef, says: str) -> None:
        """Of several zones of one name this one is watched."""


class Reservation:
    """Requests of the quota that were reserved ahead."""

    def __init__(self, left: int) -> None:
        self._left = left

    def take(self) -> bool:
        """Use one, if one is left."""
        self._left -= 1
        return self._left >= 0


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
        observer: Observer,
    ) -> None:
        self.account = credential.name
        self.credential = credential
        self.quota = quota
        self._http = http
        self._base = base_url.rstrip("/")
        self._timeout = timeout.total_seconds()
        self._clock = clock
        self._dice = dice
        self._user_agent = user_agent
        self._observer = observer
        self._reread_at = float("-inf")
        self._holds = Holds(clock)
        self._accounts: dict[str, None] = {}  # ids of Cloudflare's accounts that zones were seen in
        self._headers, self._headers_with_body, self._edition = Headers(), Headers(), -1
        self._doubts = Doubts(self, self._holds, clock)
        self._slowed_down: set[str] = set()
        self._found_at: dict[str, float] = {}  # by name: when its zone was last found
        self._chosen: dict[str, str] = {}  # by name: the zone that was chosen of several

    # ── the calls ────────────────────────────────────────────────────────────────────────────────────────────────

    async def list_packs(self, zone_id: str, urgency: Urgency) -> list[Pack]:
        """All packs of a zone, of every status, each once."""

        def decode(body: bytes) -> tuple[list[Pack], wire.PageInfo]:
            return wire.packs(body, zone_id)

        path = f"{_packs_path(zone_id)}?status=all&"
        return await self._pages(Operation.LIST_PACKS, path, urgency, decode, zone_id)

    @asynccontextmanager
    async def reserve(self, number: int) -> AsyncIterator[Reservation]:
        """Reserve so many calls (or a whole window's, if fewer), so that they follow each other without a wait."""
        reserved = await self.quota.reserve(Urgency.ACT, number, Operation.RESTART_VALIDATION)
        reservation = Reservation(reserved)
        try:
            yield reservation
        finally:
            while reservation.take():
                self.quota.release()

    async def get_pack(self, zone_id: str, pack_id: str, reservation: Reservation | None = None) -> Pack:
        """One pack as it is now. A pack that was deleted lately still answers, with the status ``deleted``."""
        return await self._get(
            Operation.GET_PACK,
            _pack_path(zone_id, pack_id),
            Urgency.ACT,
            lambda body: wire.pack(body, zone_id),
            zone_id,
            reservation,
        )

    def restart_held(self, zone_id: str) -> Held | None:
        """Why no restart is to be sent in this zone now, where the last one was refused a short while ago."""
        return self._holds.held(Operation.RESTART_VALIDATION, zone_id)

    async def restart_validation(self, zone_id: str, pack_id: str, reservation: Reservation | None = None) -> Pack:
        """Send the PATCH, once. Returns the pack as the answer shows it.

        Raises ``Unsettled`` when nobody can tell whether it took effect: read the pack, do not send again. After any
        other ``CloudflareError`` it did not.
        """
        edition = self.credential.edition
        try:
            return await self._call(
                Operation.RESTART_VALIDATION,
                "PATCH",
                _pack_path(zone_id, pack_id),
                Urgency.ACT,
                lambda body: wire.pack(body, zone_id),
                of=zone_id,
                content=b"{}",
                reservation=reservation,
            )
        except CredentialRefused as refused:
            if refused.sent and self.credential.edition != edition:  # another one was in its file, and goes next
                raise AccessDenied(refused.operation, refused.code, str(refused)) from refused
            raise
        except CloudflareError as failed:
            if failed.sent:
                self._hold_restarts(failed, zone_id)
            raise

    async def find_zone(self, name: str) -> str:
        """The id of the zone with exactly this name, in whatever form; of several, the active one.

        Raises ``NotFound`` when the credential sees none, ``Ambiguous`` when it sees several that could be meant.
        """
        for form in forms(name):
            path = f"/zones?name={quote(form, safe='')}"
            listed, _ = await self._get(Operation.FIND_ZONE, path, Urgency.TROUBLED, self._zones, name)
            found = [zone for zone in zones.public(listed) if canonical(zone.name) == canonical(name)]
            if found:
                self._found_at[name] = self._clock.monotonic()
                return self.choose(found).id
        raise NotFound(
            Operation.FIND_ZONE,
            "7003",
            f"find_zone: no zone is called {clean(both(name), 255)}, or the credential may not see it "
            "(it needs the permission Zone / Zone / Read)",
        )

    def found_lately(self, name: str) -> bool:
        """Whether this name was looked up within a day."""
        return self._clock.monotonic() < self._found_at.get(name, float("-inf")) + LOOKED_UP_FOR

    def choose(self, found: Sequence[wire.ZoneSeen]) -> wire.ZoneSeen:
        """Of public zones of one name the one that is meant; a choice is told once. Raises ``Ambiguous``."""
        chosen, says = zones.choose(found)
        if chosen is None:
            raise Ambiguous(Operation.FIND_ZONE, "", f"find_zone: {says}")
        if says and self._chosen.get(chosen.name) != chosen.id:
            self._chosen[chosen.name] = chosen.id
            self._observer.zone_chosen(ZoneRef(self.account, chosen.name, chosen.id), says)
        return chosen

    async def zone_facts(self, zone_id: str, name: str) -> ZoneFacts:
        """The zone's type, status and delegation id. ``NOTHING_KNOWN`` where no zone of this name has the id."""
        for form in forms(name):
            path = f"/zones?name={quote(form, safe='')}"
            listed, _ = await self._get(Operation.ZONE_FACTS, path, Urgency.TROUBLED, self._zones, zone_id)
            zone = next((zone for zone in listed if zone.id == zone_id), None)
            if zone is not None:
                path = f"/zones/{quote(zone_id, safe='')}/dcv_delegation/uuid"
                delegation = await self._get(
                    Operation.DELEGATION_ID, path, Urgency.TROUBLED, wire.delegation_id, zone_id
                )
                return ZoneFacts(
                    name=zone.name, type=zone.type, status=zone.status, paused=zone.paused, delegation=delegation
                )
        return NOTHING_KNOWN

    async def recheck_validation(self, zone_id: str, pack_id: str, method: str) -> None:
        """Ask for an immediate check of a pack that is pending validation, by the ``method`` it already has. Once."""
        path = f"/zones/{quote(zone_id, safe='')}/ssl/verification/{quote(pack_id, safe='')}"
        body = msgspec.json.encode({"validation_method": method})
        await self._call(
            Operation.RECHECK_VALIDATION, "PATCH", path, Urgency.ACT, wire.success, of=zone_id, content=body
        )

    async def list_zones(self) -> list[wire.ZoneSeen]:
        """All zones the credential sees, each once; the internal ones as well."""
        return await self._pages(Operation.LIST_ZONES, "/zones?", Urgency.CALM, self._zones)

    async def verify_token(self) -> str:
        """What Cloudflare says of the API token: ``active``, ``disabled`` or ``expired``.

        A token that an account owns is known to that account's address alone, so a zone of it has to be seen first.
        """
        if not self.may_verify():
            await self.see_zones()
        return await self.verify()

    # ── asking ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def _pages(
        self,
        operation: Operation,
        path: str,
        urgency: Urgency,
        decode: Callable[[bytes], tuple[list[Listed], wire.PageInfo]],
        of: str = "",
    ) -> list[Listed]:
        """Read pages until the last that ``result_info`` names (else a short one), or one that brings nothing new.

        Whether every zone honours ``page`` is not certain, so a reader that waits for an empty page may never end. A
        page may look short because an entry of it was no pack at all, so the number of pages is believed before it.
        """
        found: dict[str, Listed] = {}
        for page in range(1, MOST_PAGES + 1):
            items, info = await self._get(operation, f"{path}page={page}&per_page={PER_PAGE}", urgency, decode, of)
            before = len(found)
            for item in items:
                found.setdefault(item.id, item)
            last = page >= info.total_pages if info.total_pages else len(items) < (info.per_page or PER_PAGE)
            if last or len(found) == before:
                return list(found.values())
            if len(found) > MOST_PAGES * PER_PAGE:
                break
        raise CloudflareFault(operation, "malformed", f"{operation}: the list does not end after {page} pages")

    async def _get(  # noqa: C901  one branch for each kind of failure
        self,
        operation: Operation,
        path: str,
        urgency: Urgency,
        decode: Callable[[bytes], Decoded],
        of: str = "",
        reservation: Reservation | None = None,
        *,
        asks_about_it: bool = False,
    ) -> Decoded:
        """A GET, made again where that may help. ``of`` is what it is about: a zone's id, or a name."""
        if (held := self._holds.held(operation, of)) is not None:
            raise held
        lost = waited = 0
        ahead, edition = reservation, self.credential.edition

        async def call() -> Decoded:
            nonlocal ahead
            mine, ahead = ahead, None
            return await self._call(
                operation, "GET", path, urgency, decode, of=of, reservation=mine, asks_about_it=asks_about_it
            )

        while True:
            try:
                return await call()
            except RateLimited as limited:
                waited += 1
                if not limited.everything or waited > WAITS_FOR_429:
                    raise
            except CredentialRefused:
                if self.credential.edition == edition:
                    raise
                edition = self.credential.edition  # another one was in its file
            except AccessDenied as denied:
                if operation in OPTIONAL or asks_about_it:
                    raise
                return await self._doubts.denied(denied, call, of)
            except Unsettled as fault:
                lost += 1
                if self._held_by_a_hint(fault, of) or lost >= GET_TRIES:
                    raise
                await self.pause(float(lost))

    def _held_by_a_hint(self, fault: Unsettled, of: str) -> bool:
        if fault.retry_after is None:
            return False
        seconds = min(fault.retry_after, LONGEST_HINT)
        self._holds.hold(fault.operation, of, fault, seconds, seconds)
        return True

    async def pause(self, seconds: float) -> None:
        """Wait for about so long, so that those who failed together do not try together."""
        await self._clock.sleep(timedelta(seconds=self._dice.uniform(0.5, 1.5) * seconds))

    async def _call(
        self,
        operation: Operation,
        method: str,
        path: str,
        urgency: Urgency,
        decode: Callable[[bytes], Decoded],
        *,
        of: str = "",
        content: bytes | None = None,
        reservation: Reservation | None = None,
        asks_about_it: bool = False,
    ) -> Decoded:
        """One request, and what its answer says. Anything but a success is raised.

        ``asks_about_it`` where it is to show whether a credential that is doubted, or stopped, is taken.
        """
        credential = self.credential
        probe = asks_about_it or credential.stopped
        if credential.stopped and not asks_about_it:
            await self._reread_now_and_then()
            if not credential.may_call():
                raise CredentialRefused(operation, "", credential.refusal, sent=False)
        if reservation is None or not reservation.take():
            await self.quota.acquire(urgency, operation)
        else:
            await self.quota.use_a_booking()
            if self.quota.blocked_for:  # since they were taken
                self.quota.release()
                said = f"{operation}: not sent: Cloudflare has just told this credential to wait"
                raise RateLimited(operation, "", said, sent=False)
        if credential.stopped and not probe:  # it was refused while this call waited
            self.quota.release()
            raise CredentialRefused(operation, "", credential.refusal, sent=False)
        began, status, edition = self._clock.monotonic(), 0, credential.edition
        headers: httpx.Headers | None = None
        error: CloudflareError | None = None
        try:
            request = httpx.Request(method, self._base + path, headers=self._headers_for(content), content=content)
            status, headers, body = await exchange(self._http, operation, request, self._timeout)
            hide = credential.taken_out_of
            ray = hide(headers.get("cf-ray", "").encode()).decode()
            decoded = _read(operation, status, ray, hide(body), decode)
            self._served(operation, of, edition)
            return decoded
        except CloudflareError as failed:
            error = failed
            if isinstance(failed, CredentialRefused) and operation is not Operation.VERIFY_TOKEN:
                await self._refused(failed, edition)
            elif isinstance(failed, RateLimited) and headers is not None:
                self._slow_down(failed, headers, of)
            raise
        finally:
            self.quota.release(headers, operation)
            seconds = self._clock.monotonic() - began
            self._observer.called(
                ApiCall(account=self.account, operation=operation, status=status, seconds=seconds, error=error)
            )

    def _headers_for(self, content: bytes | None) -> Headers:
        if self._edition != self.credential.edition:
            self._edition = self.credential.edition
            self._headers = Headers(
                {
                    "user-agent": self._user_agent,
                    "accept": "application/json",
                    "accept-encoding": "gzip, deflate",
                    **self.credential.headers(),
                }
            )
            self._headers_with_body = Headers({**self._headers, "content-type": "application/json"})
        return self._headers if content is None else self._headers_with_body

    def _zones(self, body: bytes) -> tuple[list[wire.ZoneSeen], wire.PageInfo]:
        found, info = wire.zones(body)
        self._accounts.update(dict.fromkeys(zone.account for zone in found if zone.account))
        return found, info

    # ── what an answer says of more than itself ──────────────────────────────────────────────────────────────────

    def _served(self, operation: Operation, of: str, edition: int) -> None:
        self._holds.succeeded(operation, of)
        self._slowed_down.clear()
        if operation in OPTIONAL or operation is Operation.VERIFY_TOKEN or edition != self.credential.edition:
            return
        self._doubts.served()
        if operation is Operation.LIST_PACKS:
            self.credential.read(of)
        self.note(Sign.SERVED)

    def _slow_down(self, limited: RateLimited, headers: httpx.Headers, of: str) -> None:
        """Wait as long as it says: with everything, or where it is no matter of the allowance with this call alone."""
        asked = retry_after(headers)
        asked = limited.retry_after if asked is None else asked
        another = self.quota.names_others_alone(headers)
        if not limited.everything or another or (asked is None and self.quota.has_plenty(headers)):
            self._slowed_down.add(of)
            if another or len(self._slowed_down) < SLOWED_DOWN_EVERYWHERE:
                limited.everything = False
                seconds = BLOCKED_WITHOUT_A_WORD if asked is None else min(asked, LONGEST_BLOCK)
                self._holds.hold(limited.operation, of, limited, seconds)
                return
        limited.everything = True
        self._observer.rate_limited(self.account, self.quota.block(headers, limited.retry_after))

    def _hold_restarts(self, failed: CloudflareError, zone_id: str) -> None:
        """No restart is sent in this zone for a while, where the last was refused and nothing was done."""
        operation, first = Operation.RESTART_VALIDATION, FIRST
        if isinstance(failed, PermissionMissing):
            first = FORBIDDEN_FOR
        elif isinstance(failed, AccessDenied):
            if self._holds.refusals(operation, zone_id) + 1 >= DENIED_IN_A_ROW:
                failed.reason, first = Reason.CREDENTIAL_REFUSED, FORBIDDEN_FOR
        elif not isinstance(failed, PassingFault | TurnedAway):
            return
        self._holds.hold(operation, zone_id, failed, min(failed.retry_after or first, LONGEST_HINT), FORBIDDEN_FOR)

    def note(self, sign: Sign, why: str = "") -> None:
        """One sign more of how the credential stands."""
        change = self.credential.note(sign, why)
        if change is not None:
            self._observer.credential_changed(self.account, change)

    async def _refused(self, refused: CredentialRefused, edition: int) -> None:
        """It is certainly refused: stop, unless its file has another one by now."""
        await self.reread()
        if self.credential.edition == edition:
            self.note(Sign.LOCKED_OUT if refused.why is Why.LOCKED_OUT else Sign.REFUSED, str(refused))

    async def reread(self) -> None:
        """Look whether the credential's file has another one by now; that is used from then on."""
        if self.credential.reread is None:
            return
        try:
            secret = await asyncio.to_thread(self.credential.reread)
        except ValueError:  # it is being written, or gone: what was read last stands
            return
        if self.credential.renew(secret):
            standing, why = self.credential.standing, "another one was read from its file"
            self._observer.credential_changed(self.account, Change(standing, standing, why))

    async def _reread_now_and_then(self) -> None:
        now = self._clock.monotonic()
        if now >= self._reread_at:
            self._reread_at = now + REREAD_EVERY
            await self.reread()

    # ── what a doubt asks ────────────────────────────────────────────────────────────────────────────────────────

    def may_verify(self) -> bool:
        """Whether there is an address where Cloudflare may know this credential by."""
        credential = self.credential
        return credential.is_token and bool(self._accounts or credential.form != TOKEN_OF_AN_ACCOUNT)

    def verifies_surely(self) -> bool:
        """Whether a token that is not known there is known nowhere: an unknown account may own an older one."""
        return bool(self.credential.form or self._accounts)

    async def verify(self) -> str:
        """Ask where the token may be known: with its user, with the accounts whose zones were seen, or with both."""
        form, accounts = self.credential.form, [f"/accounts/{quote(each, safe='')}" for each in self._accounts]
        owners = [] if form == TOKEN_OF_AN_ACCOUNT else ["/user"]
        owners += [] if form == TOKEN_OF_A_USER else accounts[:MOST_OWNERS]
        last: CloudflareError = Refused(
            Operation.VERIFY_TOKEN,
            "",
            "verify_token: a token that an account owns can be verified only once a zone of that account was seen",
            sent=False,
        )
        for owner in owners:
            path = f"{owner}/tokens/verify"
            try:
                return await self._get(Operation.VERIFY_TOKEN, path, Urgency.ACT, wire.token_status, asks_about_it=True)
            except CredentialRefused as refused:
                last = refused
        raise last

    async def read(self, zone_id: str) -> None:
        """Read a little of this zone."""
        path = f"{_packs_path(zone_id)}?status=all&{_A_FEW}"
        await self._call(Operation.LIST_PACKS, "GET", path, Urgency.ACT, wire.success, of=zone_id, asks_about_it=True)

    async def see_zones(self) -> None:
        """List a few zones."""
        await self._call(Operation.LIST_ZONES, "GET", f"/zones?{_A_FEW}", Urgency.ACT, self._zones, asks_about_it=True)


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
    complaints = wire.complaints(body)
    raise translate(
        operation,
        status,
        complaints,
        prefix=clean(body[:400].decode("utf-8", "replace"), 120),
        ray=ray,
        problem=None if complaints else wire.problem(body),
    )


def _packs_path(zone_id: str) -> str:
    return f"/zones/{quote(zone_id, safe='')}/ssl/certificate_packs"


def _pack_path(zone_id: str, pack_id: str) -> str:
    return f"{_packs_path(zone_id)}/{quote(pack_id, safe='')}"
