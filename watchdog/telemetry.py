"""Where everything that happens goes: to the log always, to the metrics where there are any, to a progress bar.

The one telemetry of the cycle and of the clients. It decides nothing and raises nothing of its own.
"""

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING

from watchdog.cloudflare.block import PATIENCE
from watchdog.cloudflare.calls import ApiCall
from watchdog.cloudflare.credential import Change
from watchdog.config.permissions import Exposed
from watchdog.model.clock import Clock
from watchdog.model.event_names import EventName
from watchdog.model.events import Event
from watchdog.model.history import Sent
from watchdog.model.packs import ZoneRef
from watchdog.model.report import PassReport
from watchdog.tell.logs import Logs

if TYPE_CHECKING:
    from watchdog.tell.metrics import Metrics


Waits = Callable[[str, float], None]
"""Told an account, and the seconds that Cloudflare has told it to wait: until then no request of it leaves."""


class LogsAndMetrics:
    """Logs and, for the daemon, metrics.

    ``progress`` is called after each zone that was looked at, ``waits`` with an account and the seconds that Cloudflare
    told it to wait, where that is waited out, ``heard`` with all that happened.
    """

    def __init__(self, logs: Logs, metrics: "Metrics | None", clock: Clock) -> None:
        self.logs = logs
        self.metrics = metrics
        self._clock = clock
        self.progress: Callable[[], None] = lambda: None
        self.waits: Waits = lambda _account, _seconds: None
        self.heard: Callable[[list[Event]], None] = lambda _: None

    def happened(self, events: list[Event]) -> None:
        """Log them, and count how long recoveries took."""
        for event in events:
            self.logs.happened(event)
            took = dict(event.facts).get("after_seconds") if event.name == "recovered" else None
            if isinstance(took, int) and self.metrics is not None:
                self.metrics.recovered(took)
        self.heard(events)

    def restarted(self, zone: ZoneRef, sent: Sent) -> None:
        """Count it."""
        if self.metrics is not None:
            self.metrics.restarted(zone.account, zone.label, sent)

    def looked(self, zone: ZoneRef) -> None:  # noqa: ARG002  a telemetry may want to know which
        """Move the progress bar, where there is one."""
        self.progress()

    def passed(self, report: PassReport) -> None:
        """Log and count it."""
        if self.metrics is not None:
            self.metrics.passed(report, self._clock.now())
        self.logs.passed(report)

    def called(self, call: ApiCall) -> None:
        """Count a call, and log it if it failed."""
        if self.metrics is not None:
            code = call.error.code if call.error else None
            self.metrics.called(call.account, call.operation, call.status, call.seconds, code)
        if call.error is not None:
            self.logs.failed(call.account, call.operation, call.error.code, str(call.error))

    def rate_limited(self, account: str, seconds: float) -> None:
        """Cloudflare told a credential to wait."""
        until = self._clock.now() + timedelta(seconds=seconds)
        self.logs.write(EventName.RATE_LIMITED, account=account, wait_seconds=seconds, until=until)
        if seconds <= PATIENCE:
            self.waits(account, seconds)

    def credential_changed(self, account: str, change: Change) -> None:
        """A credential is doubted, stopped, or taken again."""
        if change.event is not None:
            self.logs.write(change.event, account=account, error=change.why or None)

    def zone_chosen(self, zone: ZoneRef, says: str) -> None:
        """Of several zones of one name this one is watched."""
        fields = {"account": zone.account, "zone": zone.label, "zone_id": zone.id, "choice": says}
        self.logs.write(EventName.ZONE_CHOSEN, **fields)

    def exposed(self, files: Iterable[Exposed]) -> None:
        """Others can read these files, which hold credentials."""
        for each in files:
            fields = {"file": each.file, "mode": f"{each.mode:04o}", "remedy": each.remedy}
            self.logs.write(EventName.CREDENTIAL_EXPOSED, **fields)
