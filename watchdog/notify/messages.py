"""From notices to messages: what one destination wants, gathered by reason and account, in words and as JSON.

Arithmetic only. One message tells all that is new of one group, or all that is over of it, whether that is one pack or
five hundred. Its text is bounded, since chat services and pagers cut what is long. ``alert_json`` is the one form an
alert has as JSON: of a webhook, of ``/api/v1/alerts`` and, as annotations, of an Alertmanager.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from watchdog.model.alerts import Alert, AlertState, Kind, Message, MessageStatus, Notice, Route
from watchdog.model.clock import maybe_rfc3339, rfc3339, span
from watchdog.model.meanings import REASONS
from watchdog.model.reasons import Severity
from watchdog.model.report import record_row
from watchdog.model.text import clean, counted

MOST_LINES = 15
"""Alerts listed one by one in a text; the others are counted."""

MOST_NOTICES = 50
"""Alerts carried whole in a message, for channels that send JSON."""

MOST_CHARACTERS = 3500
"""Of a text: Telegram takes 4096, Slack and Teams little more."""

_LONGEST_LINE = 1200
"""A record's value is copied, so it is not cut."""


def messages(notices: Iterable[Notice], destination: str, route: Route, now: datetime) -> list[Message]:
    """What to send to one destination, the gravest first; where it keeps incidents, with every alert in a message."""
    groups: dict[tuple[str, str, bool], list[Notice]] = defaultdict(list)
    for notice in notices:
        alert = notice.alert
        if is_wanted(notice, route):
            only = replace(notice, instead=(), formerly=())
            groups[alert.reason, alert.account, notice.kind.ends].append(only)
    found = [
        _message(group[start : start + most], destination, now)
        for group in groups.values()
        for most in [MOST_NOTICES if route.incidents else len(group)]
        for start in range(0, len(group), most)
    ]
    return sorted(found, key=lambda message: -message.severity.rank)


def is_wanted(notice: Notice, route: Route) -> bool:
    """Whether a destination is told of it, unless it is told of another in its place."""
    if route.incidents:
        return route.wants(notice.alert)
    return any(map(route.wants, (notice.alert, *notice.formerly))) and not any(map(route.wants, notice.instead))


def is_heard(notice: Notice, routes: Iterable[Route]) -> bool:
    """Whether anybody is told of it, though others are told of another in its place.

    Where each alert is an incident it has its own anyway: that silences nobody.
    """
    return not notice.instead or any(is_wanted(notice, route) for route in routes if not route.incidents)


def trial_message(destination: str, now: datetime) -> Message:
    """The marked message of ``test-alert``."""
    return Message(
        destination=destination,
        status=MessageStatus.TEST,
        reason="test",
        severity=Severity.INFO,
        title="[TEST] certpack-watchdog: this is a test",
        body=f"Sent to {destination} by `certpack-watchdog test-alert` at {rfc3339(now)}. Nothing is wrong.",
        at=now,
    )


# ── as JSON ──────────────────────────────────────────────────────────────────────────────────────────────────────


def alert_json(alert: Alert) -> dict[str, Any]:
    """An alert as JSON. Times are RFC 3339 in UTC; what it is not about is null."""
    return {
        "fingerprint": alert.fingerprint,
        "reason": alert.reason,
        "severity": alert.severity,
        "account": alert.account or None,
        "zone": alert.zone or None,
        "zone_id": alert.zone_id or None,
        "pack_id": alert.pack_id or None,
        "hosts": list(alert.hosts),
        "summary": alert.summary,
        "body": alert.body,
        "records": [record_row(each) for each in alert.records],
        "since": rfc3339(alert.since),
        "restarts": alert.restarts,
        "runbook": alert.runbook,
    }


def notice_json(notice: Notice) -> dict[str, Any]:
    """An alert of a message, with what is new of it: ``kind``, and ``until`` when it ended."""
    return {**alert_json(notice.alert), "kind": notice.kind, "until": maybe_rfc3339(notice.until)}


def firing_json(log: Iterable[AlertState], silenced: Mapping[str, datetime] | None = None) -> dict[str, Any]:
    """What ``/api/v1/alerts`` answers: what fires, the gravest first, and until when nobody is told of it."""
    silences = silenced or {}
    firing = sorted(
        (state for state in log if state.phase.fires),
        key=lambda state: (-state.alert.severity.rank, state.alert.reason, state.alert.account, state.alert.zone),
    )
    return {
        "alerts": [
            {
                **alert_json(each.alert),
                "last_said_at": maybe_rfc3339(each.notified_at),
                "silenced_until": maybe_rfc3339(silences.get(each.alert.fingerprint)),
            }
            for each in firing
        ]
    }


# ── in words ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _message(group: list[Notice], destination: str, now: datetime) -> Message:
    group.sort(key=lambda notice: (-notice.alert.severity.rank, notice.alert.zone, notice.alert.summary))
    first, single = group[0], len(group) == 1
    title = _single_title(first) if single else _title(group)
    return Message(
        destination=destination,
        status=MessageStatus.RESOLVED if first.kind.ends else MessageStatus.FIRING,
        reason=first.alert.reason,
        severity=first.alert.severity,
        title=clean(title, 200),
        body=_cut(_single_body(first) if single else "\n".join(_list(group))),
        at=now,
        total=len(group),
        notices=tuple(group[:MOST_NOTICES]),
    )


def _single_title(notice: Notice) -> str:
    alert = notice.alert
    if notice.kind.ends:
        return f"[resolved] {alert.reason}: {alert.zone or alert.account or 'certpack-watchdog'}: {_end(notice)}"
    still = "still " if notice.kind is Kind.LASTING else ""
    return f"[{alert.severity}] {still}{alert.reason}: {alert.summary}"


def _single_body(notice: Notice) -> str:
    alert = notice.alert
    if notice.kind.ends:
        return f"{_end(notice)}\nIt was: {alert.summary}"
    return f"Since {rfc3339(alert.since)}.\n\n{alert.body}\n\nRunbook: {alert.runbook}"


def _title(group: list[Notice]) -> str:
    alert = group[0].alert
    mark = "resolved" if group[0].kind.ends else alert.severity
    still = "still " if all(notice.kind is Kind.LASTING for notice in group) else ""
    return f"[{mark}] {still}{alert.reason}: {_count(group)}"


def _count(group: list[Notice]) -> str:
    """Of what there are how many, and what they have in common."""
    alerts = [notice.alert for notice in group]
    zones = {alert.zone for alert in alerts}
    packs = sum(1 for alert in alerts if alert.pack_id)
    if zones == {""}:
        return counted(len(alerts), "alert")
    where = f"zone {alerts[0].zone}" if len(zones) == 1 else f"{len(zones)} zones"
    text = f"{packs} packs in {where}" if packs else where
    return text + (f" of account {alerts[0].account}" if alerts[0].account else "")


def _list(group: list[Notice]) -> Iterable[str]:
    kinds = Counter(notice.kind for notice in group)
    words = {Kind.STARTED: "new", Kind.WORSE: "worse", Kind.LASTING: "lasting", Kind.OVER: "over", Kind.GONE: "gone"}
    yield f"{_count(group)}: " + ", ".join(f"{count} {words[kind]}" for kind, count in kinds.items())
    for notice in group[:MOST_LINES]:
        alert = notice.alert
        over = notice.kind.ends
        yield f"- {alert.zone or alert.account or alert.summary}: {_end(notice)}" if over else f"- {alert.summary}"
        if not over:
            yield from (f"  {each.name} {each.type} {each.value}" for each in alert.records[:2])
    if len(group) > MOST_LINES:
        yield f"… and {len(group) - MOST_LINES} more"
    if not group[0].kind.ends:
        yield from ("", f"The first of them:\n{group[0].alert.body}", "", f"Runbook: {group[0].alert.runbook}")


def _end(notice: Notice) -> str:
    alert = notice.alert
    gone = "no longer configured" if notice.retired else "no longer watched"
    word = gone if notice.kind is Kind.GONE else REASONS[alert.reason].ended
    text = f"{word} after {span((notice.until or alert.since) - alert.since)}"
    return text + _restarts(alert)


def _restarts(alert: Alert) -> str:
    return f", {counted(alert.restarts, 'restart')}" if alert.restarts else ""


def _cut(text: str) -> str:
    kept = "\n".join(_line(line) for line in text.split("\n"))
    return kept if len(kept) <= MOST_CHARACTERS else kept[: MOST_CHARACTERS - 1].rsplit("\n", 1)[0] + "\n…"


def _line(line: str) -> str:
    text = clean(line, _LONGEST_LINE)
    return " " * (len(line) - len(line.lstrip(" "))) + text if text else ""
