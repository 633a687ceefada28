"""The simulated Cloudflare itself, pure of HTTP: zones, the lives of their packs, credentials, faults and a ledger.

Everything is computed from the clock when it is looked at; there are no tasks. Tests and demos read the ledger and
may change the world while it runs: a pack's status, a credential's validity, the faults in force. The app and its
readers share it without a lock, so change it between requests, not in the middle of one.
"""

import copy
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from watchdog.model.clock import Clock
from watchdog.model.pack_ids import canonical_id
from watchdog.simulator.faults import FaultBook
from watchdog.simulator.life import Life, challenged
from watchdog.simulator.limits import Limits
from watchdog.simulator.scenario import DnsFault, DnsRecord, Fault, PackStart, Scenario, Token, ZoneStart, pack_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One line of the ledger. ``status`` is 0 where no answer came; ``credential`` is a name, ``""`` if not known."""

    at: datetime
    method: str
    path: str
    query: str
    body: str
    status: int
    credential: str


@dataclass(frozen=True, slots=True)
class Restart:
    """One restart that took effect, whatever the caller heard of it. ``new_id`` differs only where ids change."""

    at: datetime
    zone_id: str
    pack_id: str
    new_id: str


class World:
    """A scenario, lived. The same scenario, clock and seed give the same world."""

    def __init__(self, scenario: Scenario, clock: Clock, seed: int = 0) -> None:
        self.scenario = scenario
        self.clock = clock
        self.dice = random.Random(seed)  # noqa: S311 - a simulation must be repeatable
        self.zones = {zone.id: zone for zone in scenario.zones}
        self.limits = Limits(scenario.rate_limit, clock)
        self.faults = FaultBook(scenario.faults, clock.now(), self.dice)
        self.ledger: list[Request] = []
        self.restarts: list[Restart] = []
        self._start = clock.now()
        self._revoked = {token.name for token in scenario.tokens if token.revoked}
        self._successors: dict[str, Life] = {}
        self._lives = {zone.id: self._populate(zone, clock.now()) for zone in scenario.zones}

    # What Cloudflare does.

    def packs(self, zone_id: str) -> list[Life]:
        """The packs of a zone as they are now, those that were deleted lately too."""
        now, lives = self.clock.now(), self._lives[zone_id]
        for life in list(lives.values()):
            self._live(life, now)
        gone = now - self.scenario.deleted_shows
        return [life for life in lives.values() if life.status != "deleted" or life.since > gone]

    def pack(self, zone_id: str, pack_id: str) -> Life | None:
        """One pack as it is now; ``None`` if there is none, or no more."""
        key = canonical_id(pack_id)
        return next((life for life in self.packs(zone_id) if canonical_id(life.id) == key), None)

    def restart(self, life: Life) -> Life:
        """Begin the validation anew, with new tokens; gives the pack, which may have another id now."""
        old, now = life.id, self.clock.now()
        if self.scenario.unknowns.restart_changes_id:
            renamed = self._twin(life)
            self._successors = {key: renamed if one is life else one for key, one in self._successors.items()}
            life.enter("deleted", now)
            life = renamed
        life.enter(self.scenario.unknowns.status_after_restart, now)
        self.restarts.append(Restart(now, life.zone.id, old, life.id))
        return life

    def order(self, zone: ZoneStart, start: PackStart) -> Life:
        """Begin a pack that somebody ordered, under an id of its own."""
        unused = str(uuid.UUID(int=self.dice.getrandbits(128), version=4))
        life = Life(
            id=start.id or unused, zone=zone, start=start, scenario=self.scenario, dice=self.dice, born=self.clock.now()
        )
        self._lives[zone.id][life.id] = life
        return life

    def add_zone(self, zone: ZoneStart) -> ZoneStart:
        """One more zone, with its packs."""
        self.zones[zone.id] = zone
        self._lives[zone.id] = self._populate(zone, self.clock.now())
        return zone

    def edit_zone(self, zone_id: str, **changes: object) -> ZoneStart:
        """Change a zone's fields; gives it as it is then."""
        zone = self.zones[zone_id] = self.zones[zone_id].model_copy(update=changes)
        for life in self._lives[zone_id].values():
            life.zone = zone
        return zone

    def remove_zone(self, zone_id: str) -> None:
        """The zone leaves, with everything in it."""
        del self.zones[zone_id], self._lives[zone_id]

    @property
    def age(self) -> timedelta:
        """Since the start of the world."""
        return self.clock.now() - self._start

    def holds(self, part: DnsRecord | DnsFault) -> bool:
        """Whether it is the time of this part of DNS."""
        age = self.age * self.scenario.speed
        return part.after <= age and (part.until is None or age < part.until)

    def placed(self, zone: ZoneStart) -> Iterator[tuple[str, str]]:
        """Name and value of the TXT tokens that are in DNS: those a pack waits for, once somebody has placed them."""
        after = zone.dns.tokens_after
        if after is None and zone.type != "full":
            return
        for life in self.packs(zone.id):
            waited = (self.clock.now() - life.since) * self.scenario.speed
            pending = life.status == "pending_validation" and life.validation_method == "txt"
            if pending and waited >= (after or timedelta(0)):
                yield from ((challenged(host), token) for host, token in life.tokens())

    def valid(self, token: Token) -> bool:
        """Whether a credential is not revoked."""
        return token.name not in self._revoked

    # What tests and demos ask and do.

    def requests_by(self, token: str) -> list[Request]:
        """What was sent with the credential of this name."""
        return [request for request in self.ledger if request.credential == token]

    def restarts_of(self, pack_id: str) -> list[datetime]:
        """When the pack was restarted."""
        return [restart.at for restart in self.restarts if canonical_id(restart.pack_id) == canonical_id(pack_id)]

    def set_status(self, pack_id: str, status: str) -> None:
        """Put a pack into a status; its life goes on from there."""
        life = self._find(pack_id)
        self._live(life, self.clock.now())
        life.enter(status, self.clock.now())

    def delete_pack(self, pack_id: str) -> None:
        """Delete a pack: for a while it answers with status ``deleted``."""
        self.set_status(pack_id, "deleted")

    def recreate(self, pack_id: str) -> str:
        """A person deletes a pack and orders the same anew; gives the id of the new one."""
        old = self._find(pack_id)
        self._live(old, self.clock.now())
        new = self._twin(old)
        new.certificates, new.renewing = (), False
        new.enter("initializing", self.clock.now())
        old.enter("deleted", self.clock.now())
        return new.id

    def revoke(self, token: str) -> None:
        """Make the credential of this name invalid."""
        self._revoked.add(token)

    def restore(self, token: str) -> None:
        """Make a revoked credential valid again."""
        self._revoked.discard(token)

    def add_fault(self, fault: Fault) -> None:
        """Let one more thing go wrong; its time window counts from the start of the world."""
        self.faults.add(fault)

    def clear_faults(self) -> None:
        """Let nothing go wrong any more."""
        self.faults.clear()

    # How it does it.

    def _populate(self, zone: ZoneStart, born: datetime) -> dict[str, Life]:
        lives: dict[str, Life] = {}
        second = self.scenario.unknowns.failed_renewal == "second_pack"
        for number, start in enumerate(zone.packs):
            life = Life(
                id=start.id or pack_id(zone.name, number),
                zone=zone,
                start=start,
                scenario=self.scenario,
                dice=self.dice,
                born=born,
            )
            lives[life.id] = life
            if second and life.certificates and life.status != "active":
                self._second(life, lives)
                life.status = "active"
        return lives

    def _live(self, life: Life, now: datetime) -> None:
        """Go on to ``now``; where renewals are second packs, begin one when due, and retire the pack it replaces."""
        life.live(now)
        due = life.renewal_due()
        if due and due <= now and self.scenario.unknowns.failed_renewal == "second_pack":
            self._second(life, self._lives[life.zone.id]).enter("initializing", due)
            life.live(now)
        successor = self._successors.get(life.id)
        if successor and life.status != "deleted":
            self._live(successor, now)
            if successor.certificates:
                life.enter("deleted", successor.certificates[0].issued_at)

    def _second(self, life: Life, lives: dict[str, Life]) -> Life:
        """A second pack for the renewal of one that stays active."""
        second = self._successors[life.id] = self._twin(life, lives)
        second.certificates = ()
        life.renewing = True
        return second

    def _twin(self, life: Life, lives: dict[str, Life] | None = None) -> Life:
        twin = copy.copy(life)
        twin.id = str(uuid.UUID(int=self.dice.getrandbits(128), version=4))
        (self._lives[life.zone.id] if lives is None else lives)[twin.id] = twin
        return twin

    def _find(self, pack_id: str) -> Life:
        lives: Iterator[Life] = (life for zone in self._lives.values() for life in zone.values())
        found = next((life for life in lives if canonical_id(life.id) == canonical_id(pack_id)), None)
        if found is None:
            raise KeyError(pack_id)
        return found
