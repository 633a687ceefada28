"""Structured logs on stderr: JSON lines, or coloured lines on a terminal. The event names are fixed (``docs/logs.md``).

Healthy packs are never mentioned; a pass is one line, a change is one line. Every text is cleaned and cut here once
more, whoever it came from, and a stream that takes no more writes is no failure. No credential is ever handed to this
room.
"""

import logging
import sys
import traceback
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from importlib import import_module
from itertools import accumulate
from types import SimpleNamespace
from typing import Any, TextIO

from watchdog.lean_imports import absent, import_without

import_without(
    "structlog",
    *("rich", "better_exceptions"),  # which draw tracebacks, of which none is ever shown here: 50 ms
    "structlog.twisted",
    instead={  # what is for terminals, or for others: 9 ms
        "structlog.dev": SimpleNamespace(ConsoleRenderer=dict, _has_colors=False, set_exc_info=None),
        "structlog.tracebacks": SimpleNamespace(ExceptionDictTransformer=dict),
        "structlog.testing": SimpleNamespace(ReturnLogger=None, ReturnLoggerFactory=None),
        "structlog.threadlocal": SimpleNamespace(),
        "pickle": SimpleNamespace(PicklingError=TypeError),
    },
)
import structlog

from watchdog.model.clock import Clock
from watchdog.model.event_names import EVENTS, EventName
from watchdog.model.events import Event, shown
from watchdog.model.report import PassReport
from watchdog.model.text import clean
from watchdog.tell import terminal

LONGEST = 2_000
"""Characters of one field, of all items of a list together: every fault of a small configuration, or one error with its
remedy. So a line stays under the 8 KiB at which Podman breaks one in two and rsyslog cuts it (docs/logs.md)."""

_MOST_FRAMES = 30

QUIET_FOR = 60.0
"""Seconds for which the same failing call of the same account, or the same words of a library, are not logged again: an
outage is not a flood. Without a free descriptor asyncio complains a thousand times a second."""

_MOST_WORDS = 1_000

REMEMBERED_FOR = 3600.0
"""Seconds for which it is known how often a failing call was not logged."""


def configure(level: str, form: str, clock: Clock, stream: TextIO | None = None) -> None:
    """Set the process's logging up, as ``prepare`` says."""
    prepare(level, form, clock, stream)()


def prepare(level: str, form: str, clock: Clock, stream: TextIO | None = None) -> Callable[[], None]:
    """Make everything that the process's logging needs; what is given sets it up, and cannot fail.

    ``form`` is ``json``, ``console``, or ``auto``: console on a terminal.
    """
    stream = stream or sys.stderr
    console = form == "console" or (form == "auto" and stream.isatty())
    number = logging.getLevelNamesMapping()[level.upper()]

    def stamp(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        now = clock.now()
        exact = now.isoformat(timespec="milliseconds")  # as ``strftime`` says it, in a tenth of the time
        event["timestamp"] = exact[11:19] if console else f"{exact[:23]}Z"
        return event

    out: Any = _Unfailing(stream)
    shared: list[Any] = [structlog.stdlib.add_log_level, stamp]
    renderer: Any = (
        _for_terminals().ConsoleRenderer(colors=stream.isatty(), sort_keys=False, pad_event_to=17)
        if console
        else structlog.processors.JSONRenderer(sort_keys=False)
    )
    if terminal.reads_priorities(stream):
        renderer = _with_priority(renderer)
    last: list[Any] = [_cleaned, _for_people if console else _in_order, renderer]
    ours: dict[str, Any] = {
        "processors": [*shared, *last],
        "wrapper_class": structlog.make_filtering_bound_logger(number),
        "logger_factory": structlog.WriteLoggerFactory(out),
        "cache_logger_on_first_use": False,
    }
    handler = logging.StreamHandler(out)
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, _from_library],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )
    handler.setFormatter(formatter)
    handler.addFilter(_Sparing())

    def install() -> None:
        structlog.configure(**ours)
        logging.root.handlers[:] = [handler]
        logging.root.setLevel(max(number, logging.WARNING))

    return install


def _for_terminals() -> Any:
    with absent("rich", "better_exceptions"):
        return import_module("structlog.dev")


def _with_priority(render: Callable[..., str]) -> Callable[..., str]:
    """So that ``journalctl -p err`` finds what is an error."""

    def rendered(logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
        return terminal.priority(event["level"]) + render(logger, method, event)

    return rendered


class _Unfailing:
    """A stream whose reader may have gone, or whose disk may be full: then the line is lost, and nothing else."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


class _Sparing(logging.Filter):
    """Lets the same words of a library through once in a while."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        raised = repr(record.exc_info[1]) if record.exc_info else ""
        key = (record.name, record.getMessage()[:LONGEST], raised[:LONGEST])
        if 0 <= record.created - self._said.get(key, -QUIET_FOR) < QUIET_FOR:
            return False
        if len(self._said) >= _MOST_WORDS:
            self._said.clear()
        self._said[key] = record.created
        return True


def _from_library(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A line that came through ``logging``. An exception becomes fields: the places, never the values in them."""
    event["message"], event["event"] = event["event"], EventName.LIBRARY
    event["logger"] = event["_record"].name
    raised = event.pop("exc_info", None)
    if raised and raised[1] is not None:
        frames = traceback.extract_tb(raised[2])[-_MOST_FRAMES:]
        event["error"] = f"{type(raised[1]).__name__}: {raised[1]}"
        event["frames"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    return event


def _cleaned(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = clean(value, LONGEST)
        elif isinstance(value, list):
            event[name] = _fitting([clean(item, LONGEST) for item in value])
    return event


def _fitting(items: list[str]) -> list[str]:
    """As many of them as one field takes; the last then says how many are left out."""
    if sum(map(len, items)) <= LONGEST:
        return items
    room = LONGEST - len(f"and {len(items)} more")
    kept = sum(1 for length in accumulate(map(len, items)) if length <= room)
    return [*items[:kept], f"and {len(items) - kept} more"]


def _for_people(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """On a terminal the zone's name says enough; its id is in the JSON."""
    event.pop("zone_id", None)
    return event


def _in_order(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    head = {name: event.pop(name) for name in ("timestamp", "level", "event")}
    return {**head, **event}


class Logs:
    """The log as a telemetry."""

    def __init__(self, clock: Clock) -> None:
        self._log = structlog.get_logger()
        self._clock = clock
        self._quiet: dict[tuple[str, str, str], tuple[float, int]] = {}

    def write(self, event: EventName, level: str = "", /, **fields: object) -> None:
        """One line, at another ``level`` than the event's usual one where that is given."""
        shown_fields = {name: _field(value) for name, value in fields.items() if value is not None}
        getattr(self._log, level or EVENTS[event].level)(event, **shown_fields)

    def happened(self, event: Event, pack_id: str | None = None) -> None:
        """One line about a pack or a zone. ``pack_id`` where the event knows no more of the pack."""
        fields: dict[str, object] = {
            "account": event.zone.account,
            "zone": event.zone.label,
            "zone_id": event.zone.id or None,
            "pack_id": event.pack.id if event.pack else pack_id,
            "reason": event.reason,
            **dict(event.facts),
        }
        self.write(event.name, event.level, **{name: value for name, value in fields.items() if value != ""})

    def passed(self, report: PassReport) -> None:
        """The line of a pass."""
        self.write(EventName.PASS_COMPLETED, **report.counts(), dry_run=report.dry_run or None)

    def failed(self, account: str, operation: str, code: str, error: str) -> None:
        """A call failed. The same failure again within a minute is only counted."""
        key, now = (account, operation, code), self._clock.monotonic()
        since, hidden = self._quiet.get(key, (now - QUIET_FOR, 0))
        if now - since < QUIET_FOR:
            self._quiet[key] = (since, hidden + 1)
            return
        if key not in self._quiet:
            self._quiet = {each: told for each, told in self._quiet.items() if now - told[0] < REMEMBERED_FOR}
        self._quiet[key] = (now, 0)
        fields: Mapping[str, object] = {"account": account, "operation": operation, "error_code": code, "error": error}
        self.write(EventName.API_ERROR, **fields, repeated=hidden or None)


_AS_THEY_ARE = (int, float, list)  # as a union this was made anew for each field


def _field(value: object) -> object:
    return value if type(value) is str or isinstance(value, _AS_THEY_ARE) else shown(value)
