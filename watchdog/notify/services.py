"""What is known of Apprise's plug-ins: how long a text each takes, how severity reaches it, what it may not be given.

Written for Apprise 2.3.0. Nothing here imports it or sends anything; a plug-in is handed in, an object made for one
message. docs/alerts.md has the same facts as a table, and tests/notify/test_services.py sees them arrive.
"""

import json
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from watchdog.config.services import refusal
from watchdog.model.alerts import Message, MessageStatus
from watchdog.model.reasons import Severity
from watchdog.notify.channel import Undelivered
from watchdog.notify.shorten import Room

HTTP_WAITS = 10.0
"""Seconds that a service may take to be reached, and then to answer (``cto``, ``rto``; 4 in Apprise)."""

MAIL_WAITS = 25.0
"""Seconds that a mail server may take for each of its answers (``cto``, 15 in Apprise): many greet late on purpose."""

MAIL_DOMAIN = "certpack-watchdog.invalid"
"""Of the message ids by which mails about one alert are threaded; no mail has such an id itself."""

_PRIORITIES: dict[str, dict[Severity | None, Any]] = {
    "NotifyNtfy": {Severity.INFO: "low", None: "default", Severity.WARNING: "high", Severity.CRITICAL: "max"},
    "NotifyGotify": {Severity.INFO: 2, None: 4, Severity.WARNING: 5, Severity.CRITICAL: 8},
    "NotifyPushover": {Severity.INFO: -1, None: 0, Severity.WARNING: 0, Severity.CRITICAL: 1},
}
"""By plug-in; ``None`` is for ends and tests. Pushover's 2 repeats until a person confirms: only a URL asks for it."""

_IMPORTANCE = {Severity.CRITICAL: ("high", "1"), Severity.WARNING: ("normal", "3"), Severity.INFO: ("low", "5")}

_NTFY = 4096
"""Bytes of UTF-8 that ntfy shows; what is longer becomes an attachment."""

_NTFY_JSON = 7500
"""Bytes of a text in JSON, where most letters beyond ASCII take six, above which Apprise makes it one by itself."""

_BLANK_LINES = frozenset({"NotifyWorkflows"})
"""Plug-ins for which one line break is none: a text block of an Adaptive Card takes two."""

_MENTION = re.compile(r"(?<![\w.])@(?=(?:everyone|here|channel|all|room)\b)|<(?=[@!#]|users/)", re.IGNORECASE)
"""Where a chat would call all who are there (Discord, Mattermost, Rocket.Chat, Matrix, Google Chat), or somebody."""

_SMS = 160
"""Characters of one text message, in an alphabet that has neither … nor →."""

_MOST_REFERENCES = 20


def faultless(plugin: Any) -> Any:
    """The plug-in itself, if messages can go by it; else ``Undelivered`` says why not."""
    if plugin is None:
        raise Undelivered("Apprise knows no service for this URL", hopeless=True)
    if not plugin.verify_certificate:
        hint = "name your own authority's file in REQUESTS_CA_BUNDLE instead"
        raise Undelivered(f"its URL turns the check of certificates off (verify=no), which is refused; {hint}")
    for scheme in _schemes(plugin):
        if why := refusal(scheme):
            raise Undelivered(why, hopeless=True)
    targets = len(plugin) // (plugin.retry + 1) + len(getattr(plugin, "cc", ())) + len(getattr(plugin, "bcc", ()))
    if targets > 1:
        raise Undelivered(
            f"its URL names {targets} targets, and if one fails the others get everything again and again:"
            " make each a destination of its own"
        )
    return plugin


def dress(plugin: Any, message: Message, url: str) -> None:
    """Give a plug-in what it has beside the text: patience and priority, unless its URL says, and a mail's headers."""
    if len(plugin._formats()) == 1:  # noqa: SLF001  what `format=text` in its URL does
        plugin.notify_format = "text"
    plugin.overflow_mode = "upstream"  # what `overflow=upstream` does: it fits already
    kind = type(plugin).__name__
    levels, chosen = _PRIORITIES.get(kind), parse_qs(urlsplit(url).query)
    if levels is not None and "priority" not in chosen:
        plugin.priority = levels[message.severity if message.status is MessageStatus.FIRING else None]
    wait = MAIL_WAITS if kind == "NotifyEmail" else HTTP_WAITS
    plugin.socket_connect_timeout = plugin.socket_connect_timeout if "cto" in chosen else wait
    plugin.socket_read_timeout = plugin.socket_read_timeout if "rto" in chosen else wait
    if kind == "NotifyEmail":
        plugin.headers = {**_mail_headers(message), **plugin.headers}


def without_mentions(text: str) -> str:
    """The same to read, but nobody is called by it: what others wrote may hold ``@everyone``, which wakes a whole room.

    Such as Cloudflare's words and TXT records. A space without width comes behind the sign.
    """
    return _MENTION.sub("\\g<0>\u200b", text)


def text_for(plugin: Any, title: str, body: str) -> tuple[str, str]:
    """The last touch to what was shortened."""
    if type(plugin).__name__ in _BLANK_LINES:
        body = body.replace("\n", "\n\n")
    if plugin.body_maxlen <= _SMS:
        title, body = (text.replace("…", "..").replace("→", "->") for text in (title, body))
    return title, body


def room_of(plugin: Any) -> Room:
    """What a plug-in's service takes."""
    kind = type(plugin).__name__
    merged = plugin.title_maxlen <= 0 or plugin.overflow_amalgamate_title
    most, size = plugin.body_maxlen, _SIZES.get(kind, len)
    return Room(title=max(plugin.title_maxlen, 0), body=_NTFY if size is _of_ntfy else most, merged=merged, size=size)


def speaks_http(plugin: Any) -> bool:
    """Whether a plug-in sends by ``requests``, so that an answer to each message can be heard."""
    return any(hasattr(sys.modules.get(each.__module__), "requests") for each in type(plugin).__mro__)


def _of_ntfy(text: str) -> int:
    return max(len(text.encode()), len(json.dumps(text)) * _NTFY // _NTFY_JSON)


def _with_blank_lines(text: str) -> int:
    return len(text) + text.count("\n")


_SIZES: Mapping[str, Callable[[str], int]] = {"NotifyNtfy": _of_ntfy} | dict.fromkeys(_BLANK_LINES, _with_blank_lines)
"""How plug-ins count the size of a text, unless in characters."""


def _schemes(plugin: Any) -> list[str]:
    named = (plugin.protocol, plugin.secure_protocol)
    return [scheme for each in named if each for scheme in ([each] if isinstance(each, str) else each)]


def _mail_headers(message: Message) -> dict[str, str]:
    """The importance, and the thread: all mails about one alert refer to one id, made from its fingerprint."""
    firing = message.status is MessageStatus.FIRING
    importance, priority = _IMPORTANCE[message.severity if firing else Severity.WARNING]
    headers = {"Importance": importance, "X-Priority": priority, "Auto-Submitted": "auto-generated"}
    threads = [f"<{notice.alert.fingerprint}@{MAIL_DOMAIN}>" for notice in message.notices[:_MOST_REFERENCES]]
    if threads:
        headers |= {"In-Reply-To": threads[0], "References": " ".join(threads)}
    return headers
