"""Alerts in a line each, and a telemetry's day as a timeline of what is said."""

from datetime import UTC, datetime, timedelta

from watchdog.model.alerts import Alert, AlertLog, Letter, Message, MessageStatus, Notice
from watchdog.model.reasons import ALERTS, Reason, Severity
from watchdog.notify.dedup import settle

T0 = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
DAY = timedelta(hours=24)


def at(clock):
    """``at("13:05")`` of the first day, ``at("1d 13:05")`` of the next."""
    days, _, time = clock.rpartition("d ")
    hours, minutes = map(int, time.split(":"))
    return T0.replace(hour=0) + timedelta(days=int(days or 0), hours=hours, minutes=minutes)


def alert(name="p1", reason=Reason.GAVE_UP, *, severity=None, account="main", family="trouble", **more):
    return Alert(
        reason,
        severity or ALERTS[reason][0],
        f"{family}/{name}",
        **{
            "summary": f"{name}: {reason}",
            "since": T0,
            "account": account,
            "zone": f"{name}.example",
            "pack_id": f"id-of-{name}",
            **more,
        },
    )


class Day:
    """Steps through a day; ``said`` is what was said, each as time, kind and name of the subject."""

    def __init__(self, repeat_every=DAY):
        self.log = AlertLog()
        self.said = []
        self.repeat_every = repeat_every

    def step(self, now, *alerts, unwell=None, gone=(), heard=True):
        now = at(now) if isinstance(now, str) else now
        found = {each.fingerprint: each for each in alerts}
        done = settle(self.log, found, unwell or {}, frozenset(gone), now, self.repeat_every, heard=heard)
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

    def fires(self, now):
        return sorted(entry.alert.subject for entry in self.log.entries.values() if entry.firing(at(now)))


def letter(number=1, destination="ops", *notices, text="news", now=T0):
    severity = notices[0].alert.severity if notices else Severity.WARNING
    message = Message(
        MessageStatus.FIRING, "gave_up", severity, text, f"the body of {text}", now, len(notices), notices
    )
    return Letter(number, destination, message)


def notice(kind, *args, **more):
    return Notice(kind, alert(*args, **more))
