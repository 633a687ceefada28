"""From notices to messages: what one destination wants to hear, gathered by reason and account, in words.

Arithmetic only. One message says all that is new of one group, or all that is over of it, whether that is one pack or
five hundred. Its text is bounded, since chat services and pagers cut what is long.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

from watchdog.model.alerts import Alert, Kind, Message, MessageStatus, Notice, Route
from watchdog.model.events import rfc3339
from watchdog.model.reasons import REASONS, Severity
from watchdog.model.text import clean
from watchdog.notify.texts import restarts

MOST_LINES = 15
"""Alerts listed one by one in a text; the others are counted."""

MOST_NOTICES = 50
"""Alerts carried whole in a message, for channels that send JSON."""

MOST_CHARACTERS = 3500
"""Of a text: Telegram takes 4096, Slack and Teams little more."""

_LONGEST_LINE = 1200
"""A record's value is copied, so it is not cut."""

_OVER = (Kind.OVER, Kind.GONE)

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"))


def messages(notices: Iterable[Notice], route: Route, now: datetime) -> list[Message]:
    """What to tell one destination, the gravest first."""
    groups: dict[tuple[str, str, bool], list[Notice]] = defaultdict(list)
    for notice in notices:
        alert = notice.alert
        if route.wants(alert):
            groups[alert.reason, alert.account, notice.kind in _OVER].append(notice)
    found = [_message(group, now) for group in groups.values()]
    return sorted(found, key=lambda message: -message.severity.rank)


def trial(destination: str, now: datetime) -> Message:
    """The marked message of ``test-alert``."""
    title = "[TEST] certpack-watchdog: this is a test"
    body = f"Sent to {destination} by `certpack-watchdog test-alert` at {rfc3339(now)}. Nothing is wrong."
    return Message(MessageStatus.TEST, "test", Severity.INFO, title, body, now)


def lasted(duration: timedelta) -> str:
    """A duration as people say it: ``3 h``, ``2 d 4 h``.

    >>> lasted(timedelta(hours=50))
    '2 d 2 h'
    """
    left = max(int(duration.total_seconds()), 0)
    parts = []
    for size, unit in _UNITS:
        if left >= size:
            parts.append(f"{left // size} {unit}")
            left %= size
    return " ".join(parts[:2]) or "less than a minute"


def _message(group: list[Notice], now: datetime) -> Message:
    group.sort(key=lambda notice: (-notice.alert.severity.rank, notice.alert.zone, notice.alert.summary))
    first = group[0].alert
    over = group[0].kind in _OVER
    status = MessageStatus.RESOLVED if over else MessageStatus.FIRING
    single = len(group) == 1
    title = _single_title(group[0]) if single else _title(group)
    body = _single_body(group[0]) if single else "\n".join(_list(group))
    total, kept = len(group), tuple(group[:MOST_NOTICES])
    text = _cut(body)
    return Message(status, first.reason, first.severity, clean(title, 200), text, now, total, kept)


def _single_title(notice: Notice) -> str:
    alert = notice.alert
    if notice.kind in _OVER:
        return f"[resolved] {alert.reason}: {alert.zone or alert.account or 'certpack-watchdog'}: {_end(notice)}"
    still = "still " if notice.kind is Kind.LASTING else ""
    return f"[{alert.severity}] {still}{alert.reason}: {alert.summary}"


def _single_body(notice: Notice) -> str:
    alert = notice.alert
    if notice.kind in _OVER:
        return f"{_end(notice)}\nIt was: {alert.summary}"
    return f"Since {rfc3339(alert.since)}.\n\n{alert.body}\n\nRunbook: {alert.runbook}"


def _title(group: list[Notice]) -> str:
    alert = group[0].alert
    mark = "resolved" if group[0].kind in _OVER else alert.severity
    still = "still " if all(notice.kind is Kind.LASTING for notice in group) else ""
    return f"[{mark}] {still}{alert.reason}: {_count(group)}"


def _count(group: list[Notice]) -> str:
    """Of what there are how many, and what they have in common."""
    alerts = [notice.alert for notice in group]
    zones = {alert.zone for alert in alerts}
    packs = sum(1 for alert in alerts if alert.pack_id)
    where = f"zone {alerts[0].zone}" if len(zones) == 1 else f"{len(zones)} zones"
    text = f"{packs} packs in {where}" if packs else where
    return text + (f" of account {alerts[0].account}" if alerts[0].account else "")


def _list(group: list[Notice]) -> Iterable[str]:
    kinds = Counter(notice.kind for notice in group)
    words = {Kind.STARTED: "new", Kind.WORSE: "worse", Kind.LASTING: "lasting", Kind.OVER: "over", Kind.GONE: "gone"}
    yield f"{_count(group)}: " + ", ".join(f"{count} {words[kind]}" for kind, count in kinds.items())
    for notice in group[:MOST_LINES]:
        alert = notice.alert
        over = notice.kind in _OVER
        yield f"- {alert.zone or alert.account}: {_end(notice)}" if over else f"- {alert.summary}"
        if not over:
            yield from (f"  {each.name} {each.type} {each.value}" for each in alert.records[:2])
    if len(group) > MOST_LINES:
        yield f"… and {len(group) - MOST_LINES} more"
    if group[0].kind not in _OVER:
        yield from ("", f"The first of them:\n{group[0].alert.body}", "", f"Runbook: {group[0].alert.runbook}")


def _end(notice: Notice) -> str:
    alert = notice.alert
    word = "no longer watched" if notice.kind is Kind.GONE else REASONS[alert.reason].ended
    text = f"{word} after {lasted((notice.until or alert.since) - alert.since)}"
    return text + _restarts(alert)


def _restarts(alert: Alert) -> str:
    return f", {restarts(alert.restarts)}" if alert.restarts else ""


def _cut(text: str) -> str:
    kept = "\n".join(_line(line) for line in text.split("\n"))
    return kept if len(kept) <= MOST_CHARACTERS else kept[: MOST_CHARACTERS - 1].rsplit("\n", 1)[0] + "\n…"


def _line(line: str) -> str:
    text = clean(line, _LONGEST_LINE)
    return " " * (len(line) - len(line.lstrip(" "))) + text if text else ""
