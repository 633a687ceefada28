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

from watchdog.model.alerts import Message
from watchdog.model.clock import rfc3339
from watchdog.notify.http import HttpSender
from watchdog.notify.messages import notice_json

SIGNATURE = "X-Certpack-Watchdog-Signature"
TIMESTAMP = "X-Certpack-Watchdog-Timestamp"


class Webhook:
    """POSTs to one URL."""

    def __init__(self, url: str, secret: str, http: HttpSender, now: Callable[[], datetime]) -> None:
        self._url = url
        self._secret = secret.encode()
        self._http = http
        self._now = now

    async def check(self) -> None:
        """Nothing can be known before something is sent."""

    async def send(self, message: Message) -> None:
        """POST it."""
        body = msgspec.json.encode(payload(message))
        timestamp = str(int(self._now().timestamp()))
        headers = {"content-type": "application/json", TIMESTAMP: timestamp}
        if self._secret:
            headers[SIGNATURE] = signature(self._secret, timestamp, body)
        await self._http.send("POST", self._url, body, headers)


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """The value of the signature header."""
    return "sha256=" + hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def payload(message: Message) -> dict[str, Any]:
    """The body. ``alerts`` are the gravest of ``total``."""
    return {
        "version": 1,
        "id": f"{message.at:%Y%m%dT%H%M%S}-{message.id}",
        "status": message.status,
        "reason": message.reason,
        "severity": message.severity,
        "title": message.title,
        "text": message.body,
        "at": rfc3339(message.at),
        "total": message.total,
        "alerts": [notice_json(notice) for notice in message.notices],
    }
