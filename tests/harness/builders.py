"""Zones, packs, histories, alerts and notices as the code under test is handed them, in a line each."""

from datetime import UTC, datetime, timedelta
from io import StringIO

from watchdog.model.alerts import Alert, AlertLog, AlertState, Message, MessageStatus, Notice, Phase
from watchdog.model.decisions import Decision, Do
from watchdog.model.history import UNTROUBLED, History, Remembered, ZoneMemory
from watchdog.model.meanings import ALERTS
from watchdog.model.packs import Pack
from watchdog.model.reasons import Reason, Severity
from watchdog.model.report import Inventory
from watchdog.notify.dedup import deduplicate

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


class Terminal(StringIO):
    def isatty(self):
        return True


def pack(pack_id="p1", status="active", *, zone="example.com", account="main", decision=HEALTHY, history=UNTROUBLED):
    """One pack with its history; its certificate expires in 60 days."""
    found = Pack(
        id=pack_id,
        zone_id=f"id-of-{zone}",
        type="advanced",
        status=status,
        hosts=(zone,),
        certificate_authority="google",
        expires_at=NOW + timedelta(days=60),
    )
    return Remembered(account=account, zone=zone, pack=found, since=NOW, seen_at=NOW, decision=decision), history


def troubled(pack_id="p1", *, decision=WAITING, history=TROUBLED, **more):
    return pack(pack_id, "validation_timed_out", decision=decision, history=history, **more)


def zone(name="example.com", account="main", *, error="", reason=""):
    return ZoneMemory(
        account=account, label=name, id=f"id-of-{name}", seen_at=NOW, tried_at=NOW, reason=reason, error=error
    )


def exposed(metrics, snapshot, accept=""):
    """An exposition as it arrives: whole, and its content type."""
    pieces, content_type = metrics.expose(snapshot, accept)
    return b"".join(pieces), content_type


def inventory(*packs, zones=None):
    zones = [zone()] if zones is None else zones
    return Inventory.of(packs, list(zones), NOW)


T0 = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
DAY = timedelta(hours=24)


def at(clock):
    """``at("13:05")`` of the first day, ``at("1d 13:05")`` of the next."""
    days, _, time = clock.rpartition("d ")
    hours, minutes = map(int, time.split(":"))
    return T0.replace(hour=0) + timedelta(days=int(days or 0), hours=hours, minutes=minutes)


def alert(name="p1", reason=Reason.GAVE_UP, *, severity=None, account="main", family="trouble", **more):
    return Alert(
        reason=reason,
        severity=severity or ALERTS[reason][0],
        subject=f"{family}/{name}",
        **{
            "summary": f"{name}: {reason}",
            "since": T0,
            "account": account,
            "zone": f"{name}.example",
            "pack_id": f"id-of-{name}",
            **more,
        },
    )


def firing(of, *, phase=Phase.FIRING, first_at=T0, **more):
    """An alert's place in the log."""
    return AlertState(alert=of, phase=phase, first_at=first_at, **more)


class Day:
    """Steps through a day; ``said`` is what was said, each as time, kind and name of the subject."""

    def __init__(self, repeat_every=DAY):
        self.log = AlertLog()
        self.said = []
        self.repeat_every = repeat_every

    def step(self, now, *alerts, unwell=None, gone=(), **more):
        now = at(now) if isinstance(now, str) else now
        found = {each.fingerprint: each for each in alerts}
        done = deduplicate(self.log, found, unwell or {}, frozenset(gone), now, self.repeat_every, **more)
        self.log = done.log
        told = [(f"{now:%H:%M}", str(each.kind), each.alert.subject.split("/")[1]) for each in done.notices]
        self.said += told
        return done.notices

    def until(self, start, end, *alerts, every=1, **more):
        """A step every minute, from ``start`` until before ``end``."""
        now, last = at(start), at(end)
        while now < last:
            self.step(now, *alerts, **more)
            now += timedelta(minutes=every)

    def fires(self):
        return sorted(state.alert.subject for state in self.log.states.values() if state.phase.fires)


def message(number=1, destination="ops", *notices, text="news", now=T0):
    return Message(
        id=number,
        destination=destination,
        status=MessageStatus.FIRING,
        reason="gave_up",
        severity=notices[0].alert.severity if notices else Severity.WARNING,
        title=text,
        body=f"the body of {text}",
        at=now,
        total=len(notices),
        notices=notices,
    )


def notice(kind, *args, **more):
    return Notice(kind, alert(*args, **more))
