"""PagerDuty's Events API v2: one event per alert, so that each is an incident which its end closes.

Not the text of a message but the alerts in it are sent: ``trigger`` while an alert lasts, ``resolve`` when it is over,
under the alert's fingerprint as ``dedup_key``. Sending one twice changes nothing there. An event that PagerDuty refuses
(400) holds up none of the others; what was accepted of a message is not sent again when the rest is.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from watchdog.model.alerts import Alert, Message, MessageStatus, Notice
from watchdog.model.clock import rfc3339
from watchdog.model.packs import DASHBOARD
from watchdog.model.text import clean
from watchdog.notify.channel import Undelivered
from watchdog.notify.http import HttpSender

DEFAULT_URL = "https://events.pagerduty.com"
_PATH = "/v2/enqueue"

MOST_SUMMARY = 1024
"""Characters of a summary; PagerDuty answers 400 to more."""

MOST_BYTES = 512_000
"""Of one event."""

_MOST_LISTED = 50
_MOST_BODY = 20_000
_MOST_TITLE = 200
_CLIENT = "certpack-watchdog"


class PagerDuty:
    """Sends events to one integration of one service."""

    def __init__(self, key: str, url: str, http: HttpSender) -> None:
        """``url`` is where events go, with or without the API's path; empty for PagerDuty's own in the US."""
        base = (url or DEFAULT_URL).rstrip("/")
        self._url = base if base.endswith(_PATH) else base + _PATH
        self._key = key
        self._http = http
        self._message = -1
        self._accepted: set[str] = set()

    async def check(self) -> None:
        """Nothing can be known before something is sent."""

    async def send(self, message: Message) -> None:
        """One event for each alert of it that was not accepted before."""
        if message.id != self._message:
            self._message, self._accepted = message.id, set()
        bad: Undelivered | None = None
        for event in events(message, self._key):
            name = f"{event['event_action']} {event['dedup_key']}"
            if name in self._accepted:
                continue
            try:
                await self._send(event)
            except Undelivered as why:
                if not why.hopeless:
                    raise
                bad = why
            else:
                self._accepted.add(name)
        if bad is not None:
            raise bad

    async def _send(self, event: dict[str, Any]) -> None:
        body = msgspec.json.encode(event)
        if len(body) > MOST_BYTES:
            del event["payload"]["custom_details"]
            body = msgspec.json.encode(event)
        await self._http.send("POST", self._url, body, {"content-type": "application/json"}, reason=self._reason)

    def _reason(self, body: bytes) -> str:
        """PagerDuty's own words for a refusal, without the key."""
        try:
            said = msgspec.json.decode(body)
        except msgspec.MsgspecError:
            return ""
        if not isinstance(said, dict):
            return ""
        errors = said.get("errors")
        words = [said.get("message"), *(errors if isinstance(errors, list) else [])]
        return clean("; ".join(str(word) for word in words if word).replace(self._key, "(key)"), 300)


def events(message: Message, key: str) -> Iterator[dict[str, Any]]:
    """The events that tell a message; of a test, its incident and the end of that."""
    if message.status is MessageStatus.TEST:
        name = f"{_CLIENT}-test-{message.destination}"
        details = {"text": message.body}
        payload = _payload(message.title, message.destination, message.severity, message.at, details)
        yield _event(key, "trigger", name, payload)
        yield _event(key, "resolve", name)
    for notice in message.notices:
        alert = notice.alert
        if notice.kind.ends:
            yield _event(key, "resolve", alert.fingerprint)
            continue
        payload = _payload(
            alert.summary, alert.zone or alert.account or _CLIENT, alert.severity, message.at, _details(notice)
        )
        payload |= {"group": alert.account, "class": str(alert.reason)}
        payload |= {"component": alert.pack_id} if alert.pack_id else {}
        yield _event(key, "trigger", alert.fingerprint, payload) | {"links": _links(alert)}


def _event(key: str, action: str, dedup_key: str, payload: dict[str, Any] | None = None) -> dict[str, Any]:
    event = {"routing_key": key, "event_action": action, "dedup_key": dedup_key, "client": _CLIENT}
    return event if payload is None else event | {"payload": payload}


def _payload(summary: str, source: str, severity: str, at: datetime, details: dict[str, Any]) -> dict[str, Any]:
    return {
        "summary": clean(summary, MOST_SUMMARY),
        "source": source,
        "severity": str(severity),
        "timestamp": rfc3339(at),
        "custom_details": details,
    }


def _details(notice: Notice) -> dict[str, Any]:
    alert = notice.alert
    return {
        "reason": str(alert.reason),
        "kind": str(notice.kind),
        "since": rfc3339(alert.since),
        "restarts": alert.restarts,
        "hosts": list(alert.hosts[:_MOST_LISTED]),
        "records": [f"{each.name} {each.type} {each.value}" for each in alert.records[:_MOST_LISTED]],
        "text": alert.body[:_MOST_BODY],
        "runbook": alert.runbook,
    }


def _links(alert: Alert) -> list[dict[str, str]]:
    """The runbook, where there is a copy of it with an address, and the certificates in Cloudflare's dashboard."""
    links = []
    if alert.runbook.startswith(("https://", "http://")):
        links.append({"href": alert.runbook, "text": f"Runbook: {alert.reason}"})
    if alert.zone:
        text = clean(f"Cloudflare's dashboard: certificates of {alert.zone}", _MOST_TITLE)
        links.append({"href": DASHBOARD, "text": text})
    return links
