"""The closed vocabulary of log events: each name, with the levels and the fields it may have.

Operators alert on the names, so none is ever renamed; ``docs/logs.md`` explains each, and a test keeps the two in step.
"""

from enum import StrEnum

import msgspec

INFO, WARNING, ERROR, DEBUG = "info", "warning", "error", "debug"


class EventName(StrEnum):
    """The names of log events."""

    # Packs and zones.
    PACK_CHANGED = "pack_changed"
    PACK_REPLACED = "pack_replaced"
    RESTART_INTENDED = "restart_intended"
    RESTART_SENT = "restart_sent"
    RESTART_FAILED = "restart_failed"
    RESTART_HELD = "restart_held"
    GAVE_UP = "gave_up"
    RECOVERED = "recovered"
    RECORDS_TO_PLACE = "records_to_place"
    RECHECK_SENT = "recheck_sent"
    RECHECK_FAILED = "recheck_failed"
    ZONE_UNSEEN = "zone_unseen"
    ZONE_CHOSEN = "zone_chosen"
    DISCOVERED = "discovered"
    # Cloudflare.
    API_ERROR = "api_error"
    RATE_LIMITED = "rate_limited"
    CREDENTIAL_DOUBTED = "credential_doubted"
    CREDENTIAL_STOPPED = "credential_stopped"
    CREDENTIAL_RESUMED = "credential_resumed"
    # Alerts.
    ALERT_SENT = "alert_sent"
    ALERT_FAILED = "alert_failed"
    HEARTBEAT_FAILED = "heartbeat_failed"
    SILENCE_ADDED = "silence_added"
    SILENCE_ENDED = "silence_ended"
    # The daemon.
    STARTED = "started"
    PASS_COMPLETED = "pass_completed"  # noqa: S105  a name, no secret
    CONFIG_RELOADED = "config_reloaded"
    CONFIG_REFUSED = "config_refused"
    CREDENTIAL_EXPOSED = "credential_exposed"
    NO_PROXY_IGNORED = "no_proxy_ignored"
    LEASE_ACQUIRED = "lease_acquired"
    LEASE_LOST = "lease_lost"
    LEASE_HANDED_OVER = "lease_handed_over"
    STATE_UNWRITABLE = "state_unwritable"
    STATE_WRITABLE = "state_writable"
    STATE_LOST = "state_lost"
    STOPPING = "stopping"
    STOPPED = "stopped"
    LIBRARY = "library"  # what a library says through Python's own logging: its text is no name of ours


class EventKind(msgspec.Struct, frozen=True):
    """What a log line of one name looks like: its usual level, the ``others`` it may have, and its fields in order."""

    level: str
    fields: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def levels(self) -> tuple[str, ...]:
        """Every level it may have, the usual one first."""
        return (self.level, *self.others)


_ZONE = ("account", "zone", "zone_id")
_PACK = (*_ZONE, "pack_id")
_WHY = (*_PACK, "reason")
_NEXT = (*_WHY, "attempt", "next_restart_at")
_OUTCOME = (*_NEXT, "status", "outcome", "error")
_FOUND = ("found", "records")
_MESSAGE = ("message_id", "reason", "severity", "kind", "zones", "fingerprints", "destinations", "title")

EVENTS: dict[EventName, EventKind] = {
    EventName.PACK_CHANGED: EventKind(INFO, (*_PACK, "before", "status"), (WARNING,)),
    EventName.PACK_REPLACED: EventKind(INFO, (*_PACK, "old_pack_id", "before", "status")),
    EventName.RESTART_INTENDED: EventKind(INFO, _NEXT),
    EventName.RESTART_SENT: EventKind(INFO, _OUTCOME),
    EventName.RESTART_FAILED: EventKind(WARNING, _OUTCOME),
    EventName.RESTART_HELD: EventKind(INFO, (*_NEXT, "error", *_FOUND), (WARNING,)),
    EventName.GAVE_UP: EventKind(ERROR, (*_WHY, "attempts", "last_error", *_FOUND)),
    EventName.RECOVERED: EventKind(INFO, (*_WHY, "after_seconds", "restarts")),
    EventName.RECORDS_TO_PLACE: EventKind(WARNING, (*_WHY, *_FOUND)),
    EventName.RECHECK_SENT: EventKind(INFO, (*_WHY, "method")),
    EventName.RECHECK_FAILED: EventKind(WARNING, (*_WHY, "method", "error")),
    EventName.ZONE_UNSEEN: EventKind(ERROR, (*_WHY, "error"), (DEBUG,)),
    EventName.ZONE_CHOSEN: EventKind(INFO, (*_ZONE, "choice")),
    EventName.DISCOVERED: EventKind(INFO, ("account", "zones", "new", "gone", "new_zones", "gone_zones")),
    EventName.API_ERROR: EventKind(WARNING, ("account", "operation", "error_code", "error", "repeated")),
    EventName.RATE_LIMITED: EventKind(WARNING, ("account", "wait_seconds", "until")),
    EventName.CREDENTIAL_DOUBTED: EventKind(INFO, ("account", "error")),
    EventName.CREDENTIAL_STOPPED: EventKind(ERROR, ("account", "error")),
    EventName.CREDENTIAL_RESUMED: EventKind(INFO, ("account", "error")),
    EventName.ALERT_SENT: EventKind(INFO, _MESSAGE),
    EventName.ALERT_FAILED: EventKind(WARNING, (*_MESSAGE, "error", "next_at", "dropped"), (ERROR,)),
    EventName.SILENCE_ADDED: EventKind(INFO, (*_WHY, "silence", "until", "comment")),
    EventName.SILENCE_ENDED: EventKind(INFO, (*_WHY, "silence", "until", "comment")),
    EventName.HEARTBEAT_FAILED: EventKind(WARNING, ("error",)),
    EventName.STARTED: EventKind(INFO, ("version", "zones", "discovering", "listen", "state", "dry_run")),
    EventName.PASS_COMPLETED: EventKind(
        INFO, ("zones", "unseen", "waiting", "packs", "timed_out", "restarts", "seconds", "dry_run")
    ),
    EventName.CONFIG_RELOADED: EventKind(INFO, ("changes",)),
    EventName.CONFIG_REFUSED: EventKind(ERROR, ("error", "kept")),
    EventName.CREDENTIAL_EXPOSED: EventKind(WARNING, ("file", "mode", "remedy")),
    EventName.NO_PROXY_IGNORED: EventKind(WARNING, ("entry",)),
    EventName.LEASE_ACQUIRED: EventKind(INFO, ("account", "epoch", "holder")),
    EventName.LEASE_LOST: EventKind(WARNING, ("account", "epoch", "holder")),
    EventName.LEASE_HANDED_OVER: EventKind(INFO, ("account", "epoch", "holder")),
    EventName.STATE_UNWRITABLE: EventKind(ERROR, ("error",)),
    EventName.STATE_WRITABLE: EventKind(INFO),
    EventName.STATE_LOST: EventKind(ERROR, ("kept", "restarts_from")),
    EventName.STOPPING: EventKind(INFO),
    EventName.STOPPED: EventKind(INFO),
    EventName.LIBRARY: EventKind(WARNING, ("logger", "message", "error", "frames"), (ERROR,)),
}
