"""The calls of the API, one method each. A GET is tried a little again; a PATCH is sent once, its fate told honestly.

One ``Client`` speaks with one credential; all of them share one connection pool (``transport.connect``). Every failure
is a ``CloudflareError``. What one answer says is told apart by what it concerns: the credential (its standing is
changed by what asking again and elsewhere shows, never by one answer that may mean something else: ``trust``,
``doubts``), one operation of one zone (``holds``), or the account's allowance (``throttling``, ``rate_limit``).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from random import Random
from types import MappingProxyType

import msgspec

from watchdog.cloudflare import endpoints, envelope, paging, wire, zones
from watchdog.cloudflare.block import TooLong
from watchdog.cloudflare.calls import ApiRequest, Decoded, Observer
from watchdog.cloudflare.credential import Credential
from watchdog.cloudflare.doubts import Doubts
from watchdog.cloudflare.errors import (
    OPTIONAL,
    AccessDenied,
    Ambiguous,
    CloudflareError,
    CredentialRefused,
    Held,
    NotFound,
    Operation,
)
from watchdog.cloudflare.holds import Holds
from watchdog.cloudflare.http import Transport
from watchdog.cloudflare.introspection import Introspection
from watchdog.cloudflare.rate_limit import Quota, Reservation, Urgency
from watchdog.cloudflare.retries import Retries
from watchdog.cloudflare.sender import Sender
from watchdog.cloudflare.trust import Trust
from watchdog.cloudflare.verification import TokenSeen
from watchdog.model.clock import Clock
from watchdog.model.names import both, canonical, forms
from watchdog.model.packs import FULL, NOTHING_KNOWN, Pack, ZoneFacts, ZoneRef
from watchdog.model.text import clean

NO_ZONES: Mapping[str, wire.ZoneSeen] = MappingProxyType({})

LOOKED_UP_FOR = 86_400.0
"""Seconds for which a name that was looked up is not looked up again because its zone is empty."""


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
        may_send: Callable[[str], bool] | None = None,
    ) -> None:
        """``may_send`` says of an account, at the last moment, whether a request of it may leave."""
        self.account = credential.name
        self.credential = credential
        self.quota = quota
        self._clock = clock
        self._observer = observer
        self._holds = Holds(clock)
        trust = Trust(credential, observer, clock)
        self._sender = Sender(
            http,
            base_url=base_url,
            timeout=timeout,
            user_agent=user_agent,
            trust=trust,
            quota=quota,
            holds=self._holds,
            clock=clock,
            observer=observer,
            may_send=may_send,
        )
        self._retries = Retries(self._sender, self._holds, clock, dice)
        self._introspection = Introspection(self._sender, self._retries)
        self._doubts = Doubts(
            trust=trust,
            introspection=self._introspection,
            holds=self._holds,
            clock=clock,
            pause=self._retries.pause,
        )
        self._found_at: dict[str, float] = {}  # by name: when its zone was last found
        self._chosen: dict[str, str] = {}  # by name: the zone that was chosen of several

    # ── packs ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def list_packs(self, zone_id: str, urgency: Urgency) -> list[Pack]:
        """All packs of a zone, of every status, each once."""
        return await self._pages(endpoints.list_packs(zone_id, urgency))

    @asynccontextmanager
    async def reserve(self, number: int) -> AsyncIterator[Reservation]:
        """Reserve so many calls (or a whole window's, if fewer), so that they follow each other without a wait.

        None where Cloudflare has told this credential to wait for long: then whatever is asked says so.
        """
        try:
            reserved = await self.quota.reserve(Urgency.ACT, number, Operation.RESTART_VALIDATION)
        except TooLong:
            reserved = 0
        reservation = Reservation(reserved)
        try:
            yield reservation
        finally:
            while reservation.take():
                self.quota.release()

    async def get_pack(self, zone_id: str, pack_id: str, reservation: Reservation | None = None) -> Pack:
        """One pack as it is now. A pack that was deleted lately still answers, with the status ``deleted``."""
        pack = await self._get(endpoints.get_pack(zone_id, pack_id), reservation)
        if reservation is not None:  # at whichever try it was: only the first is one of those reserved
            reservation.read_at = self._clock.monotonic()
        return pack

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
            return await self._sender.send(endpoints.restart_validation(zone_id, pack_id), reservation)
        except CredentialRefused as refused:
            if refused.sent and self.credential.edition != edition:  # another one was in its file, and goes next
                raise AccessDenied(refused.operation, refused.code, str(refused)) from refused
            raise
        except CloudflareError as failed:
            if failed.sent:
                self._holds.hold_restarts(zone_id, failed)
            raise

    def recheck_held(self, zone_id: str) -> bool:
        """Whether no recheck is to be sent in this zone now, since it was told to slow down a short while ago."""
        return self._holds.held(Operation.RECHECK_VALIDATION, zone_id) is not None

    async def recheck_validation(
        self, zone_id: str, pack_id: str, method: str, reservation: Reservation | None = None
    ) -> None:
        """Ask for an immediate check of a pack that is pending validation, by the ``method`` it already has. Once."""
        await self._sender.send(endpoints.recheck_validation(zone_id, pack_id, method), reservation)

    # ── zones ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def find_zone(self, name: str) -> str:
        """The id of the zone with exactly this name, in whatever form; of several, the active one.

        Raises ``NotFound`` when the credential sees none, ``Ambiguous`` when it sees several that could be meant.
        """
        for form in forms(name):
            listed = await self._zones_called(form, Operation.FIND_ZONE, name)
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

    async def zone_facts(self, zone_id: str, name: str, listed: Mapping[str, wire.ZoneSeen] = NO_ZONES) -> ZoneFacts:
        """The zone's type and status, and the delegation id of one in which people place what is wanted.

        Asked for by its name, unless it is among those ``listed``, by id. ``NOTHING_KNOWN`` where no zone of this name
        has the id.
        """
        zone = listed.get(zone_id)
        if zone is None or canonical(zone.name) != canonical(name):
            zone = None
            for form in forms(name):
                called = await self._zones_called(form, Operation.ZONE_FACTS, zone_id)
                if (zone := next((each for each in called if each.id == zone_id), None)) is not None:
                    break
        if zone is None:
            return NOTHING_KNOWN
        delegation = "" if zone.type == FULL else await self.delegation_id(zone_id)
        return ZoneFacts(name=zone.name, type=zone.type, status=zone.status, paused=zone.paused, delegation=delegation)

    async def zones_within(self, pages: int) -> tuple[dict[str, wire.ZoneSeen], int | None]:
        """The zones the credential sees, by id, if they fill so many pages at the most, else those of the first page.

        With the number of pages, where it is told.
        """

        async def page(number: int) -> endpoints.PageOfZones:
            return await self._get(endpoints.a_page_of_zones(number, self._introspection.zones))

        first, info = await page(1)
        seen, there_are = list(first), info.total_pages
        if there_are is not None and there_are <= pages:
            others = await asyncio.gather(*map(page, range(2, there_are + 1)), return_exceptions=True)
            for other in others:
                if isinstance(other, BaseException):
                    raise other
                seen += other[0]
        return {zone.id: zone for zone in seen}, there_are

    async def delegation_id(self, zone_id: str) -> str:
        """The zone's label in the targets of delegated DCV; empty where it has none."""
        return await self._get(endpoints.delegation_id(zone_id))

    async def list_zones(self) -> list[wire.ZoneSeen]:
        """All zones the credential sees, each once; the internal ones as well."""
        return await self._pages(endpoints.list_zones(self._introspection.zones))

    # ── the credential ───────────────────────────────────────────────────────────────────────────────────────────

    async def verify_token(self) -> TokenSeen:
        """What Cloudflare says of the API token.

        A token that an account owns is known to that account's address alone, so a zone of it has to be seen first.
        """
        if not self._introspection.may_verify():
            await self._introspection.see_zones()
        return await self._introspection.verify()

    # ── asking ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def _get(self, request: ApiRequest[Decoded], reservation: Reservation | None = None) -> Decoded:
        """A GET, tried again where that may help; where it is denied, it is found out whose matter that is."""
        try:
            return await self._retries.get(request, reservation)
        except AccessDenied as denied:
            if request.operation in OPTIONAL:
                raise
            return await self._doubts.denied(denied, lambda: self._sender.send(request), request.of)

    async def _pages(self, request: ApiRequest[tuple[list[paging.Listed], envelope.PageInfo]]) -> list[paging.Listed]:
        return await paging.read_all(
            request.operation, lambda query: self._get(msgspec.structs.replace(request, path=request.path + query))
        )

    async def _zones_called(self, name: str, operation: Operation, of: str) -> list[wire.ZoneSeen]:
        listed, _ = await self._get(endpoints.zones_called(name, operation, of, self._introspection.zones))
        return listed
