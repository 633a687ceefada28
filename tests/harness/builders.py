"""Zones, packs and histories as the telemetry are handed them, in a line each; and a clock that stands still."""

from datetime import UTC, datetime, timedelta
from io import StringIO

from watchdog.model.decisions import Decision, Do
from watchdog.model.history import UNTROUBLED, History, Remembered, ZoneMemory
from watchdog.model.packs import Pack
from watchdog.model.reasons import Reason
from watchdog.model.report import Inventory

NOW = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)
HEALTHY = Decision(Do.LEAVE, Reason.HEALTHY)
WAITING = Decision(Do.WAIT, Reason.BACKING_OFF, NOW + timedelta(minutes=15))
TROUBLED = History(
    attempts=2,
    trouble_since=NOW - timedelta(hours=1),
    last_restart_at=NOW,
    next_restart_at=NOW + timedelta(minutes=15),
    last_error="SERVFAIL looking up CAA",
)


class StandingClock:
    """Stands still until it is told otherwise."""

    def __init__(self):
        self.at = NOW

    def now(self):
        return self.at

    def monotonic(self):
        return self.at.timestamp()

    def advance(self, **duration):
        self.at += timedelta(**duration)

    async def sleep(self, _delay):
        raise AssertionError("telemetry do not wait")


class Terminal(StringIO):
    def isatty(self):
        return True


def pack(pack_id="p1", status="active", *, zone="example.com", account="main", decision=HEALTHY, history=UNTROUBLED):
    """One pack with its history; its certificate expires in 60 days."""
    found = Pack(pack_id, f"id-of-{zone}", "advanced", status, (zone,), "google", NOW + timedelta(days=60))
    return Remembered(account, zone, found, NOW, NOW, decision), history


def troubled(pack_id="p1", *, decision=WAITING, history=TROUBLED, **more):
    return pack(pack_id, "validation_timed_out", decision=decision, history=history, **more)


def zone(name="example.com", account="main", *, error="", reason=""):
    return ZoneMemory(account, name, f"id-of-{name}", NOW, NOW, reason, error)


def inventory(*packs, zones=None):
    zones = [zone()] if zones is None else zones
    return Inventory(list(packs), list(zones))
