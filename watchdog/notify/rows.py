"""The alerts as JSON, and how many there are: for the page, the API and the metrics. Arithmetic only."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from watchdog.model.alerts import AlertState
from watchdog.model.events import rfc3339
from watchdog.model.reasons import ALERTS


def alert_rows(log: Iterable[AlertState], now: datetime) -> dict[str, Any]:
    """What ``/api/v1/alerts`` answers: what fires, the gravest first."""
    firing = sorted(
        (entry for entry in log if entry.firing(now)),
        key=lambda entry: (-entry.alert.severity.rank, entry.alert.reason, entry.alert.account, entry.alert.zone),
    )
    return {"alerts": [_row(entry) for entry in firing]}


def firing_counts(log: Iterable[AlertState], now: datetime) -> Mapping[tuple[str, str], int]:
    """How many fire, by reason and severity; those that could fire and do not are 0."""
    counts: Counter[tuple[str, str]] = Counter(
        {(str(reason), str(severity)): 0 for reason, severities in ALERTS.items() for severity in severities}
    )
    counts.update((str(entry.alert.reason), str(entry.alert.severity)) for entry in log if entry.firing(now))
    return counts


def _row(entry: AlertState) -> dict[str, Any]:
    alert = entry.alert
    return {
        "fingerprint": alert.fingerprint,
        "reason": alert.reason,
        "severity": alert.severity,
        "account": alert.account or None,
        "zone": alert.zone or None,
        "zone_id": alert.zone_id or None,
        "pack_id": alert.pack_id or None,
        "summary": alert.summary,
        "body": alert.body,
        "records": [{"type": each.type, "name": each.name, "value": each.value} for each in alert.records],
        "since": rfc3339(alert.since),
        "restarts": alert.restarts,
        "last_said_at": None if entry.said_at is None else rfc3339(entry.said_at),
        "runbook": alert.runbook,
    }
