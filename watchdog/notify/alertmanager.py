"""Alertmanager's API v2: not letters but what holds now, sent again and again.

Alertmanager groups, repeats and silences by itself, so it is told every alert that holds, each minute, with an
``endsAt`` a few minutes ahead: when the daemon dies, its alerts resolve. What is over is told with its real end for a
while. On request, one more alert always fires, for a rule that wants to know when it ceases.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from watchdog.model.alerts import Alert, AlertState, Letter, Route
from watchdog.model.events import rfc3339
from watchdog.notify.http import HttpSender

RESEND = timedelta(minutes=1)
"""As often as Prometheus does by default."""

VALID_FOR = timedelta(minutes=4)
"""How far ahead ``endsAt`` lies: three tries may fail before an alert that holds resolves by mistake."""

TOLD_AGAIN = timedelta(minutes=15)
"""How long the end of an alert is told, as Prometheus does: an Alertmanager that was down hears of it too."""

AT_ONCE = 500
"""Alerts in one request, some 500 KB."""

HEARTBEAT = "CertpackWatchdogHeartbeat"


class Alertmanager:
    """Tells one Alertmanager what holds."""

    def __init__(self, url: str, post: HttpSender, route: Route, *, heartbeat: bool = False) -> None:
        self._url = f"{url.rstrip('/')}/api/v2/alerts"
        self._post = post
        self._route = route
        self._heartbeat = heartbeat

    async def check(self) -> None:
        """Nothing can be known before something is sent."""

    async def send(self, letter: Letter) -> None:
        """A test: an alert that resolves soon."""
        message = letter.message
        labels = {"alertname": "CertpackWatchdogTest", "severity": message.severity, "destination": letter.destination}
        notes = {"summary": message.title, "description": message.body}
        await self._send([_posted(labels, notes, message.at, message.at + RESEND)])

    async def tell(self, log: Iterable[AlertState], now: datetime) -> None:
        """Tell what holds and what ended lately; where that is nothing, tell that. Raises ``Undelivered``."""
        alerts = list(self._alerts(log, now))
        for start in range(0, max(len(alerts), 1), AT_ONCE):
            await self._send(alerts[start : start + AT_ONCE])

    async def _send(self, alerts: Sequence[dict[str, Any]]) -> None:
        body = msgspec.json.encode(alerts)
        await self._post.send("POST", self._url, body, {"content-type": "application/json"})

    def _alerts(self, log: Iterable[AlertState], now: datetime) -> Iterator[dict[str, Any]]:
        if self._heartbeat:
            labels = {"alertname": HEARTBEAT, "severity": "none"}
            yield _posted(labels, {"summary": "certpack-watchdog is alive"}, now, now + VALID_FOR)
        for entry in log:
            if not self._route.wants(entry.alert):
                continue
            if entry.firing(now):
                yield _alert(entry.alert, entry.first_at, now + VALID_FOR)
            elif entry.over_at is not None and now - entry.over_at <= TOLD_AGAIN:
                yield _alert(entry.alert, entry.first_at, entry.over_at)


def name_of(reason: str) -> str:
    """The ``alertname`` of a reason.

    >>> name_of("gave_up")
    'CertpackWatchdogGaveUp'
    """
    return "CertpackWatchdog" + "".join(word.capitalize() for word in reason.split("_"))


def _alert(alert: Alert, starts: datetime, ends: datetime) -> dict[str, Any]:
    labels = {
        "alertname": name_of(alert.reason),
        "reason": str(alert.reason),
        "severity": str(alert.severity),
        "account": alert.account,
        "zone": alert.zone,
        "pack": alert.pack_id,
    }
    notes = {"summary": alert.summary, "description": alert.body, "runbook_url": alert.runbook}
    return _posted({name: value for name, value in labels.items() if value}, notes, starts, ends)


def _posted(labels: dict[str, str], notes: dict[str, str], starts: datetime, ends: datetime) -> dict[str, Any]:
    return {
        "labels": labels,
        "annotations": notes,
        "startsAt": rfc3339(min(starts, ends)),
        "endsAt": rfc3339(ends),
    }
