"""What the flow is made of: the components that ``runtime`` builds and the steps use, and what is asked of two of them.

Values and protocols only: nothing here does anything. What a configuration makes (``Configured``) is replaced whole.
"""

from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import Protocol

import msgspec

from watchdog.cloudflare.client import Client
from watchdog.decide.budget import Budget
from watchdog.decide.checks import RestartRules
from watchdog.model.clock import Clock
from watchdog.model.events import Event
from watchdog.model.findings import Finding
from watchdog.model.history import Sent
from watchdog.model.leases import ALONE, Tenure
from watchdog.model.packs import Pack, ZoneFacts, ZoneRef
from watchdog.model.report import PassReport
from watchdog.observe.facts import Facts
from watchdog.observe.zones import WatchedZones
from watchdog.schedule.agenda import Agenda
from watchdog.state.intents import Intents
from watchdog.state.memory import Memory


class Diagnoser(Protocol):
    """Who finds out why a validation fails; ``diagnose`` is one. It never raises and always ends."""

    def begin_pass(self) -> None:
        """Ask everything anew from now on."""

    async def diagnose(
        self, pack: Pack, facts: ZoneFacts, delegation: Callable[[], Awaitable[str]]
    ) -> tuple[Finding, ...]:
        """What may keep this pack's validation from succeeding; ``delegation`` asks for the id that facts lack."""

    async def close(self) -> None:
        """Drop what is still being asked."""


class Telemetry(Protocol):
    """Where logs and metrics go. One that raises is a fault of ours, and fails nothing but itself."""

    def happened(self, events: list[Event]) -> None:
        """These things happened."""

    def restarted(self, zone: ZoneRef, sent: Sent) -> None:
        """A restart request was sent."""

    def looked(self, zone: ZoneRef) -> None:
        """A zone was looked at."""

    def passed(self, report: PassReport) -> None:
        """A pass is over."""


class Configured(msgspec.Struct, frozen=True, kw_only=True):
    """What one configuration makes of the flow. A reload replaces it whole, in one assignment."""

    agenda: Agenda
    watched: WatchedZones
    clients: Mapping[str, Client]
    rules: Callable[[ZoneRef], RestartRules]
    diagnoser: Diagnoser | None


class Components(msgspec.Struct, kw_only=True):
    """The components of the flow. All but ``configured`` stay as long as the process.

    Whoever may wait asks again afterwards: ``configured`` may be another one by then.
    """

    configured: Configured
    memory: Memory
    intents: Intents
    telemetry: Telemetry
    clock: Clock
    dice: Random
    dry_run: bool = False
    tenure: Tenure = ALONE
    facts: Facts = msgspec.field(default_factory=Facts)
    budget: Budget = msgspec.field(default_factory=Budget)

    def zones(self) -> tuple[ZoneRef, ...]:
        """The zones to watch that are this process's to watch."""
        return kept(self.watched.zones(), self.tenure)

    @property
    def agenda(self) -> Agenda:
        """Which zone is due when."""
        return self.configured.agenda

    @property
    def watched(self) -> WatchedZones:
        """The zones to watch."""
        return self.configured.watched

    @property
    def clients(self) -> Mapping[str, Client]:
        """The way to Cloudflare of each account."""
        return self.configured.clients

    @property
    def rules(self) -> Callable[[ZoneRef], RestartRules]:
        """What holds for a zone."""
        return self.configured.rules

    @property
    def diagnoser(self) -> Diagnoser | None:
        """Who finds out why validations fail; ``None`` where nobody is to."""
        return self.configured.diagnoser


def kept(zones: tuple[ZoneRef, ...], tenure: Tenure) -> tuple[ZoneRef, ...]:
    """The zones whose accounts this process keeps."""
    return zones if tenure is ALONE else tuple(zone for zone in zones if tenure.keeps(zone.account))
