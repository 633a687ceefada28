"""Alertmanager's API v2: not messages but what holds now, sent again and again.

Alertmanager groups, repeats and silences by itself, so it is told every alert that holds, each minute, with an
``endsAt`` a few minutes ahead: when the daemon dies, its alerts resolve. What is over is told with its real end for a
while. On request, one more alert always fires, for a rule that wants to know when it ceases.

It knows an alert by its labels: one whose annotations changed is not new, and waits for ``repeat_interval``. So where
an alert got worse at the same severity, as its records are new, a label says so.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from watchdog.model.alerts import Alert, AlertLog, AlertState, Message, Route
from watchdog.model.clock import rfc3339
from watchdog.model.reasons import Severity
from watchdog.notify.http import HttpSender
from watchdog.notify.messages import alert_json

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

    def __init__(self, url: str, http: HttpSender, route: Route, *, heartbeat: bool = False) -> None:
        self._url = f"{url.rstrip('/')}/api/v2/alerts"
        self._http = http
        self._route = route
        self._heartbeat = heartbeat
        self._firing: frozenset[tuple[str, Severity]] = frozenset()

    async def check(self) -> None:
        """Nothing can be known before something is sent."""

    async def send(self, message: Message) -> None:
        """A test: an alert that resolves soon."""
        labels = {"alertname": "CertpackWatchdogTest", "severity": message.severity, "destination": message.destination}
        notes = {"summary": message.title, "description": message.body}
        await self._send([_posted(labels, notes, message.at, message.at + RESEND)])

    async def refresh(self, log: AlertLog, now: datetime) -> str:
        """Send what fires and what ended lately; where that is nothing, send that. Raises ``Undelivered``.

        Gives a title for the log where other alerts fire than the time before.
        """
        wanted = AlertLog({name: each for name, each in log.states.items() if self._route.wants(each.alert)})
        alerts = list(self._alerts(wanted.states.values(), now))
        for start in range(0, max(len(alerts), 1), AT_ONCE):
            await self._send(alerts[start : start + AT_ONCE])
        before, self._firing = self._firing, wanted.firing()
        return f"{len(self._firing)} alerts fire" if self._firing != before else ""

    async def _send(self, alerts: Sequence[dict[str, Any]]) -> None:
        body = msgspec.json.encode(alerts)
        await self._http.send("POST", self._url, body, {"content-type": "application/json"}, doubt=_is_a_page)

    def _alerts(self, log: Iterable[AlertState], now: datetime) -> Iterator[dict[str, Any]]:
        if self._heartbeat:
            labels = {"alertname": HEARTBEAT, "severity": "none"}
            yield _posted(labels, {"summary": "certpack-watchdog is alive"}, now, now + VALID_FOR)
        for state in log:
            if state.phase.fires:
                yield _alert(state.alert, state.first_at, now + VALID_FOR)
            elif state.ended_at is not None and now - state.ended_at <= TOLD_AGAIN:
                yield _alert(state.alert, state.first_at, state.ended_at)


def name_of(reason: str) -> str:
    """The ``alertname`` of a reason.

    >>> name_of("gave_up")
    'CertpackWatchdogGaveUp'
    """
    return "CertpackWatchdog" + "".join(word.capitalize() for word in reason.split("_"))


def _alert(alert: Alert, starts: datetime, ends: datetime) -> dict[str, Any]:
    known = alert_json(alert)
    labels = {name: known[name] or "" for name in ("reason", "severity", "account", "zone")}
    labels = {"alertname": name_of(alert.reason), **labels, "pack": alert.pack_id}
    labels["restart"] = str(alert.stage) if alert.stage else ""
    # Whoever shows annotations makes a link of `runbook_url`: what is none has another name.
    runbook = "runbook_url" if "://" in alert.runbook else "runbook"
    notes = {"summary": known["summary"], "description": known["body"], runbook: alert.runbook}
    return _posted({name: value for name, value in labels.items() if value}, notes, starts, ends)


def _posted(labels: dict[str, str], notes: dict[str, str], starts: datetime, ends: datetime) -> dict[str, Any]:
    return {
        "labels": labels,
        "annotations": notes,
        "startsAt": rfc3339(min(starts, ends)),
        "endsAt": rfc3339(ends),
    }


def _is_a_page(body: bytes) -> str:
    """Why a success is none: a login page in front of an Alertmanager says 200 as well."""
    return "it was answered by a page, as no Alertmanager does" if body.lstrip()[:1] == b"<" else ""
