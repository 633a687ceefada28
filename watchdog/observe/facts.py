"""What a diagnosis wants to know of a zone besides its packs. Asked only for zones in trouble, and kept for a while.

Zones are asked about one by one. Where many of an account are in trouble, all of its zones are listed instead, 50 at a
time, once that takes no more requests than were made for single ones. So there are never twice as many requests as the
better way would have taken.

It is a help and never a condition: a credential that may not read zones leaves the facts unknown, and no error leaves
this module.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from watchdog.cloudflare.client import NO_ZONES, Client
from watchdog.cloudflare.errors import CloudflareError
from watchdog.cloudflare.paging import MOST_PAGES
from watchdog.cloudflare.wire import ZoneSeen
from watchdog.model.packs import NOTHING_KNOWN, ZoneFacts, ZoneRef

KEPT_FOR = timedelta(minutes=10)
"""How long facts count as fresh: a person who has just activated a zone does not wait longer than that."""

BELIEVED_FOR = timedelta(hours=1)
"""How long they stand where they cannot be read anew: an answer that fails must end no hold that they are why of."""

FEWEST = 10
"""Zones of an account that are asked for one by one before it is looked how long a list of all would be."""


class _Listed(msgspec.Struct):
    """What was asked of one account since ``at``: how many zones ``singly``; and all ``zones``, once they were listed.

    ``pages`` are those of the list, as far as is known.
    """

    at: datetime
    pages: int = FEWEST
    singly: int = 0
    zones: Mapping[str, ZoneSeen] | None = None
    asking: asyncio.Lock = msgspec.field(default_factory=asyncio.Lock)


class _Asked(NamedTuple):
    at: datetime
    facts: ZoneFacts
    read_at: datetime
    delegation: str = ""  # as it was last read, for a zone keeps its own
    delegation_asked: bool = False


class Facts:
    """The facts of all zones that were asked for."""

    def __init__(self) -> None:
        self._known: dict[str, _Asked] = {}
        self._listed: dict[str, _Listed] = {}  # by account

    async def of(self, zone: ZoneRef, client: Client, now: datetime) -> ZoneFacts:
        """What is known of this zone; ``NOTHING_KNOWN`` where its label is not its name, or nothing may be read."""
        before = self._known.get(zone.id)
        if before is None or not before.at <= now < before.at + KEPT_FOR:
            try:
                last = before.delegation if before is not None else ""
                listed = await self._all(zone.account, client, now)
                zones = NO_ZONES if listed.zones is None else listed.zones
                at = listed.at if zone.id in zones else now
                asked = _Asked(at, await client.zone_facts(zone.id, zone.label, zones), at, last)
            except CloudflareError:
                stands = before is not None and before.read_at <= now < before.read_at + BELIEVED_FOR
                asked = before._replace(at=now) if before is not None and stands else _Asked(now, NOTHING_KNOWN, now)
            self._known.pop(zone.id, None)
            self._known[zone.id] = before = asked
            self._forget(now)
        return before.facts

    async def delegation(self, zone: ZoneRef, client: Client) -> str:
        """The delegation id of a zone whose facts came without; empty where it has none, or that may not be read.

        Either way it is asked for again only after the facts were.
        """
        if (known := self._known.get(zone.id)) is not None and known.delegation_asked:
            return known.facts.delegation
        try:
            label = await client.delegation_id(zone.id)
        except CloudflareError:
            label = known.delegation if known is not None else ""
        if (known := self._known.get(zone.id)) is not None:
            facts = replace(known.facts, delegation=label)
            self._known[zone.id] = known._replace(facts=facts, delegation=label, delegation_asked=True)
        return label

    async def _all(self, account: str, client: Client, now: datetime) -> _Listed:
        """What was asked of an account, with its zones where it is worth while to list them."""
        listed = self._listed.get(account)
        if listed is None or not listed.at <= now < listed.at + KEPT_FOR:
            listed = self._listed[account] = _Listed(now) if listed is None else _Listed(now, listed.pages)
        async with listed.asking:
            if listed.zones is None and listed.singly >= listed.pages:
                try:
                    zones, pages = await client.zones_within(listed.singly)
                except CloudflareError:
                    zones, pages = {}, None
                listed.pages = MOST_PAGES if pages is None else pages
                if listed.pages <= listed.singly:
                    listed.at, listed.zones = now, zones
        if listed.zones is None:
            listed.singly += 1
        return listed

    def _forget(self, now: datetime) -> None:
        """The oldest come first: let go of those that count no more, or a year of zones that came and went stays."""
        while self._known:
            zone_id = next(iter(self._known))
            if self._known[zone_id].at <= now < self._known[zone_id].at + BELIEVED_FOR:
                break
            del self._known[zone_id]
        for account in [name for name, each in self._listed.items() if not each.at <= now < each.at + BELIEVED_FOR]:
            del self._listed[account]
