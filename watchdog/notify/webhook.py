"""A message as plain JSON, by POST, signed.

With a secret, ``X-Certpack-Watchdog-Signature`` is ``sha256=`` and the HMAC-SHA256, in hex, of the value of
``X-Certpack-Watchdog-Timestamp`` (seconds since 1970), a dot, and the body as it was sent. A receiver that checks both
knows who sent it and when. ``id`` is the same when a message is sent again because its acceptance got lost.
"""

import hashlib
import hmac
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from watchdog.model.alerts import Letter, Notice
from watchdog.model.events import rfc3339
from watchdog.notify.http import HttpSender

SIGNATURE = "X-Certpack-Watchdog-Signature"
TIMESTAMP = "X-Certpack-Watchdog-Timestamp"


class Webhook:
    """POSTs to one URL."""

    def __init__(self, url: str, secret: str, post: HttpSender, now: Callable[[], datetime]) -> None:
        self._url = url
        self._secret = secret.encode()
        self._post = post
        self._now = now

    async def check(self) -> None:
        """Nothing can be known before something is sent."""

    async def send(self, letter: Letter) -> None:
        """POST it."""
        body = msgspec.json.encode(payload(letter))
        timestamp = str(int(self._now().timestamp()))
        headers = {"content-type": "application/json", TIMESTAMP: timestamp}
        if self._secret:
            headers[SIGNATURE] = signature(self._secret, timestamp, body)
        await self._post.send("POST", self._url, body, headers)


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """The value of the signature header."""
    return "sha256=" + hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def payload(letter: Letter) -> dict[str, Any]:
    """The body. ``alerts`` are the gravest of ``total``."""
    message = letter.message
    return {
        "version": 1,
        "id": f"{message.at:%Y%m%dT%H%M%S}-{letter.id}",
        "status": message.status,
        "reason": message.reason,
        "severity": message.severity,
        "title": message.title,
        "text": message.body,
        "at": rfc3339(message.at),
        "total": message.total,
        "alerts": [_alert(notice) for notice in message.notices],
    }


def _alert(notice: Notice) -> dict[str, Any]:
    alert = notice.alert
    return {
        "fingerprint": alert.fingerprint,
        "kind": notice.kind,
        "reason": alert.reason,
        "severity": alert.severity,
        "account": alert.account or None,
        "zone": alert.zone or None,
        "zone_id": alert.zone_id or None,
        "pack_id": alert.pack_id or None,
        "hosts": list(alert.hosts),
        "summary": alert.summary,
        "body": alert.body,
        "records": [{"type": each.type, "name": each.name, "value": each.value} for each in alert.records],
        "since": rfc3339(alert.since),
        "until": None if notice.until is None else rfc3339(notice.until),
        "restarts": alert.restarts,
        "runbook": alert.runbook,
    }
