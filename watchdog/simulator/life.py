"""The life of one simulated pack: a status, since when, and what follows it. Pure: it is told the time, never asks.

Nothing ticks. Whoever wants to look first says until when to ``live``; a year may pass in one call. Durations come from
the pack's story, divided by the speed; the life of a certificate is real time whatever the speed.
"""

import hashlib
import random
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from watchdog.simulator.scenario import PackStart, Scenario, ZoneStart

TIMED_OUT = "validation_timed_out"
_SIGNATURES = ("ECDSAWithSHA256", "SHA256WithRSA")
_LEFT_OF_VALIDITY = 2 / 3
_BRAND = "sni.cloudflaressl.com"


@dataclass(frozen=True, slots=True)
class Certificate:
    """One issued certificate."""

    id: str
    signature: str
    issued_at: datetime
    expires_at: datetime


@dataclass(slots=True, kw_only=True)
class Life:
    """One pack. ``begun`` counts the validations begun in the simulation; the last has its tokens from ``nonce``.

    ``renewing`` is set while a second pack is its renewal.
    """

    id: str
    zone: ZoneStart
    start: PackStart
    scenario: Scenario
    dice: random.Random
    born: datetime
    status: str = field(default="", init=False)
    since: datetime = field(init=False)
    hosts: tuple[str, ...] = field(init=False)
    validation_method: str = field(init=False)
    branded: bool = field(default=False, init=False)
    certificates: tuple[Certificate, ...] = field(default=(), init=False)
    begun: int = field(default=0, init=False)
    fails: bool = field(default=False, init=False)
    nonce: str = field(default="", init=False)
    renewing: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        start = self.start
        self.hosts = start.hosts or (self.zone.name, f"*.{self.zone.name}")
        self.validation_method = start.validation_method
        validity, left = timedelta(days=start.validity_days), start.expires_in
        if left is None and start.status == "active":
            left = validity * _LEFT_OF_VALIDITY
        if left is not None:
            self.issue(self.born + left - validity)
        self.enter(start.status, self.born)

    @property
    def restartable(self) -> bool:
        """Whether a restart means something now."""
        return self.status == TIMED_OUT

    @property
    def errors(self) -> tuple[str, ...]:
        """The validation errors it shows: of a failing validation, and perhaps after it timed out."""
        failing = self.status == "pending_validation" and self.fails
        timed_out = self.status == TIMED_OUT and self.scenario.unknowns.errors_outlive_timeout
        return self.start.story.errors if failing or timed_out else ()

    def tokens(self) -> list[tuple[str, str]]:
        """Each host with the CA's token for it; SSL.com wants two, one for each certificate."""
        numbers = range(2 if self.start.certificate_authority == "ssl_com" else 1)
        return [(host, self._token(host, number)) for host in self.hosts for number in numbers]

    def live(self, now: datetime) -> None:
        """Go through everything that has happened until ``now``."""
        while (step := self._next()) and step[0] <= now:
            self.enter(step[1], step[0])

    def enter(self, status: str, at: datetime) -> None:
        """Be in ``status`` since ``at``, with all that comes with it."""
        if status == "initializing" or (status == "pending_validation" and self.status != "initializing"):
            self._begin()
        if status == "active" and (self.status or not self.certificates):
            self.issue(at)
        self.status, self.since = status, at

    def issue(self, at: datetime) -> None:
        """Hold a fresh pair of certificates, ECDSA and RSA, instead of the old one."""
        expiry = at + timedelta(days=self.start.validity_days)
        self.certificates = tuple(
            Certificate(hashlib.sha256(f"{self.id}/{at}/{name}".encode()).hexdigest()[:32], name, at, expiry)
            for name in _SIGNATURES
        )

    def recheck(self, now: datetime) -> None:
        """Have the CA look at once instead of at the next poll."""
        if self.status == "pending_validation" and not self.fails:
            self.enter("pending_issuance", now)

    def brand(self, branded: bool) -> None:
        """Order with or without Cloudflare's own host in it."""
        self.branded = branded
        self.hosts = tuple(host for host in self.hosts if not host.endswith(_BRAND)) + ((_BRAND,) if branded else ())

    def renewal_due(self) -> datetime | None:
        """When the next renewal of an active pack begins, if ever."""
        after = self.start.story.renews_after
        return self._after(after) if after and self.status == "active" and not self.renewing else None

    def _token(self, host: str, number: int) -> str:
        """Another one after every restart, as authorities write them (base64url): some tools do not take each."""
        digest = hashlib.sha256(f"{self.nonce}/{host}/{number}".encode()).digest()
        return urlsafe_b64encode(digest).rstrip(b"=").decode()

    def _begin(self) -> None:
        outcomes = self.start.story.outcomes
        self.fails = outcomes[min(self.begun, len(outcomes) - 1)] == "times_out"
        self.begun += 1
        self.nonce = f"{self.dice.getrandbits(128):032x}"

    def _next(self) -> tuple[datetime, str] | None:
        """When the present status ends and which one follows, if any does."""
        story, steps = self.start.story, []
        if self.status != story.stuck_in and (stage := self._stage()):
            steps.append((self._after(stage[0]), stage[1]))
        if self.status == "active":
            due, in_place = self.renewal_due(), self.scenario.unknowns.failed_renewal == "same_pack"
            if due is None or in_place:  # else the world has the renewal begin first, as a second pack
                steps.append((self.certificates[0].expires_at, "expired"))
            if due and in_place:
                steps.append((due, "initializing"))
        if story.deleted_after is not None and self.status != "deleted":
            steps.append((self.born + story.deleted_after / self.scenario.speed, "deleted"))
        return min(steps, default=None)

    def _stage(self) -> tuple[timedelta, str] | None:
        """How long the present stage of an order lasts, and the next."""
        stages = self.start.story.stages
        match self.status:
            case "initializing":
                return stages.initializing, "pending_validation"
            case "pending_validation" if self.fails:
                return stages.timing_out, TIMED_OUT
            case "pending_validation":
                return stages.pending_validation, "pending_issuance"
            case "pending_issuance":
                return stages.pending_issuance, "pending_deployment"
            case "pending_deployment":
                return stages.pending_deployment, "active"
            case _:
                return None

    def _after(self, duration: timedelta) -> datetime:
        return self.since + duration / self.scenario.speed


def challenged(host: str) -> str:
    """The name at which the token of a host is looked for, by DNS."""
    return f"_acme-challenge.{host.removeprefix('*.')}"
