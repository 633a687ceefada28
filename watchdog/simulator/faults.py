"""Which request goes wrong, and what its answer looks like then.

A fault either replaces the answer (and then a PATCH has no effect, unless the fault ``takes_effect``) or spoils the
right one. ``reset`` and ``truncated`` are connections that end: ``app`` cuts them.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from watchdog.simulator.envelope import Answer, failure, too_many
from watchdog.simulator.scenario import Fault, ZoneStart

REPLACING = frozenset(
    {"json_error", "html_error", "text_error", "rate_limited", "null_body", "empty_body", "edge_error", "reset"}
)
_HUGE = 16 * 1024 * 1024
_ODD_PRIMARY = 7003


@dataclass(slots=True)
class _Armed:
    fault: Fault
    seen: int = 0
    struck: int = 0


class FaultBook:
    """The faults in force and how often each has struck."""

    def __init__(self, faults: Iterable[Fault], start: datetime, dice: random.Random) -> None:
        self._armed = [_Armed(fault) for fault in faults]
        self._start = start
        self._dice = dice

    def add(self, fault: Fault) -> None:
        """One more."""
        self._armed.append(_Armed(fault))

    def clear(self) -> None:
        """None any more."""
        self._armed.clear()

    def strike(self, method: str, path: str, zone: ZoneStart | None, now: datetime) -> Fault | None:
        """The fault that befalls this request, if any; every fault that matches has counted it."""
        matching = [armed for armed in self._armed if self._matches(armed.fault, method, path, zone, now)]
        for armed in matching:
            armed.seen += 1
        for armed in matching:
            if self._strikes(armed):
                armed.struck += 1
                return armed.fault
        return None

    def _matches(self, fault: Fault, method: str, path: str, zone: ZoneStart | None, now: datetime) -> bool:
        age = now - self._start
        return (
            fault.method in {"*", method}
            and fnmatchcase(path, fault.path)
            and (not fault.zone or (zone is not None and fault.zone in {zone.name, zone.id}))
            and fault.after <= age
            and (fault.until is None or age < fault.until)
        )

    def _strikes(self, armed: _Armed) -> bool:
        fault = armed.fault
        if fault.times is not None and armed.struck >= fault.times:
            return False
        if fault.nth is not None and armed.seen != fault.nth:
            return False
        return armed.seen % fault.every == 0 and (fault.probability >= 1 or self._dice.random() < fault.probability)


def spoil(fault: Fault, right: Answer) -> Answer:
    """What is answered instead of ``right``."""
    match fault.kind:
        case "json_error":
            return failure(fault.status, (fault.code, fault.message), wait=fault.retry_after)
        case "html_error":
            page = (
                f"<!DOCTYPE html>\n<html><head><title>{fault.status}</title></head><body>{fault.message}</body></html>"
            )
            return Answer(status=fault.status, text=page, content_type="text/html; charset=UTF-8")
        case "text_error":
            return Answer(
                status=fault.status, text=f"error code: {fault.status}", content_type="text/plain; charset=UTF-8"
            )
        case "rate_limited":
            return too_many(fault.retry_after)
        case "null_body":
            return Answer(status=fault.status)
        case "empty_body":
            return Answer(status=fault.status, content_type="text/plain; charset=UTF-8")
        case "edge_error":
            return _edge_error(fault)
        case "huge":
            messages = [{"code": 10000, "message": "x" * _HUGE}]
            return Answer(status=right.status, payload={**right.payload, "messages": messages}, headers=right.headers)
        case "missing_fields" | "nulls" | "unknown_words" | "odd_primary":
            result = right.payload["result"]
            spoiled = [_spoil_one(fault, one) for one in result] if isinstance(result, list) else None
            result = _spoil_one(fault, result) if spoiled is None else spoiled
            return Answer(status=right.status, payload={**right.payload, "result": result}, headers=right.headers)
        case _:
            return right


def _edge_error(fault: Fault) -> Answer:
    """Problem details (RFC 9457) as Cloudflare's edge has written them since March 2026 for clients that take JSON."""
    payload: dict[str, Any] = {
        "type": f"https://developers.cloudflare.com/support/troubleshooting/http-status-codes/error-{fault.code}/",
        "title": f"Error {fault.code}: {fault.message}",
        "status": fault.status,
        "detail": fault.message,
        "error_code": fault.code,
        "ray_id": "8f00d00d00d00d00",
        "retryable": fault.retry_after is not None,
    }
    if fault.retry_after is not None:
        payload["retry_after"] = fault.retry_after
    return Answer(status=fault.status, payload=payload, content_type="application/problem+json")


def _spoil_one(fault: Fault, one: Any) -> Any:
    if not isinstance(one, dict):
        return one
    chosen = set(fault.fields) or set(one) - {"id"}
    match fault.kind:
        case "missing_fields":
            return {name: value for name, value in one.items() if name not in chosen}
        case "nulls":
            return {name: None if name in chosen else value for name, value in one.items()}
        case "unknown_words":
            return {**one, "status": "pending_moonrise", "type": "quantum"}
        case _:
            return {**one, "primary_certificate": _ODD_PRIMARY}
