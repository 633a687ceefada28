"""What Prometheus sees: the names of ``docs/metrics.md``, and nothing else.

Counters are counted as things happen. What else there is to see is made from the memory at the moment of the scrape: of
the watchdog itself in ``gauges``, of zones and packs in ``series``, so that none of one that is gone can linger. No
label value is free text: accounts and zones are names of the configuration or of Cloudflare's zones, statuses and error
codes come from closed sets, the rest is ``other``.
"""

from collections import Counter
from collections.abc import Callable, Container, Iterable
from datetime import UTC, datetime
from itertools import product

from watchdog.model.decisions import Do
from watchdog.model.history import Sent
from watchdog.model.meanings import REASONS
from watchdog.model.outcomes import DeliveryOutcome
from watchdog.model.reasons import Reason
from watchdog.model.renewal import LONGEST_WINDOW
from watchdog.model.report import PassReport
from watchdog.tell.gauges import PREFIX, Reload, Snapshot, counter, gauges
from watchdog.tell.prometheus import (
    Collector,
    CollectorRegistry,
    Histogram,
    Metric,
    PlatformCollector,
    ProcessCollector,
    choose_encoder,
    disable_created_metrics,
)
from watchdog.tell.series import series

MOST_CODES = 200
"""Distinct error codes counted one by one; Cloudflare has some dozens of them. What comes after is ``other``."""

MOST_STATUSES = 40
"""Distinct HTTP statuses of the calls timed one by one; each costs a histogram. What comes after is ``other``."""

DECISIONS = tuple((Do(decided), reason) for reason in Reason if (decided := REASONS[reason].decided))
"""What can be decided of a pack: the labels of ``decisions_total`` that exist at 0 from the start."""

REFUSALS = ("1000", "10000", "10001", "9103", "9106", "9109", "6003", "6111", "6103", "http_401")
REFUSED_AT = ("list_packs", "list_zones")
"""Failures that are there at 0 from the start, for each account: how a refused credential shows first. A rule counts
them, and to ``increase()`` a series that is born at 1 has not grown. All others are born when they first happen."""

_OPENMETRICS, _END = "application/openmetrics-text", b"# EOF\n"
_CALL_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_PASS_BUCKETS = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600)
_RECOVERY_BUCKETS = (300, 900, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86400, 3 * 86400, 7 * 86400)


class Metrics:
    """Counts what happens and exposes it."""

    def __init__(self, version: str, codes: Iterable[str]) -> None:
        """``codes`` are those that are always counted one by one."""
        self.registry = CollectorRegistry(auto_describe=False)
        self._version = version
        self._codes = set(codes)
        self._statuses: set[int] = set()
        self._failures: Counter[tuple[str, str, str]] = Counter()
        self._restarts: Counter[tuple[str, str, str]] = Counter()
        self._notifications: Counter[tuple[str, str]] = Counter()
        self._decisions: Counter[tuple[str, str]] = Counter(dict.fromkeys(DECISIONS, 0))
        self._last_pass = 0.0
        self._reload = Reload(successful=True, taken_at=0.0)
        self._counted = 0  # how often the counts of restarts have changed
        self._made: tuple[tuple[object, ...], list[bytes]] | None = None
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        # Else every histogram brings a gauge that nobody asked for.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library left this one without types
        self._passes = Histogram(
            f"{PREFIX}pass_duration_seconds", "Time a pass took.", registry=self.registry, buckets=_PASS_BUCKETS
        )
        self._calls = Histogram(
            f"{PREFIX}api_request_duration_seconds",
            "Time a call to Cloudflare took, by operation and HTTP status (0: no answer).",
            ["operation", "status"],
            registry=self.registry,
            buckets=_CALL_BUCKETS,
        )

        self._recoveries = Histogram(
            f"{PREFIX}recovery_duration_seconds",
            "Time from when a pack was first seen timed out to when it was seen well again.",
            registry=self.registry,
            buckets=_RECOVERY_BUCKETS,
        )

    def called(self, account: str, operation: str, status: int, seconds: float, code: str | None) -> None:
        """A call was made; ``code`` when it failed."""
        if len(self._statuses) < MOST_STATUSES:
            self._statuses.add(status)
        self._calls.labels(operation, str(status) if status in self._statuses else "other").observe(seconds)
        if code is None:
            return
        if code not in self._codes and len(self._codes) < MOST_CODES:
            self._codes.add(code)
        self._failures[account, operation, code if code in self._codes else "other"] += 1

    def restarted(self, account: str, zone: str, sent: Sent) -> None:
        """A restart request was sent."""
        self._restarts[account, zone, sent] += 1
        self._counted += 1

    def recovered(self, seconds: float) -> None:
        """A pack is well again, so long after it was first seen timed out."""
        self._recoveries.observe(seconds)

    def notified(self, destination: str, outcome: str) -> None:
        """A message was tried at a destination."""
        self._notifications[destination, outcome] += 1

    def passed(self, report: PassReport, now: datetime) -> None:
        """A pass is over."""
        self._passes.observe(report.seconds)
        self._decisions.update(report.decisions)
        self._last_pass = now.timestamp()

    def reloaded(self, now: datetime, *, successful: bool) -> None:
        """The configuration was loaded, or refused."""
        self._reload = Reload(successful, now.timestamp() if successful else self._reload.taken_at)

    def tidy(self, zones: Container[tuple[str, str]], accounts: Container[str], destinations: Container[str]) -> None:
        """Forget what was counted of zones (each account and label), accounts and destinations that are not here."""
        for restarted in [key for key in self._restarts if key[:2] not in zones]:
            del self._restarts[restarted]
            self._counted += 1
        for failed in [key for key in self._failures if key[0] not in accounts]:
            del self._failures[failed]
        for notified in [key for key in self._notifications if key[0] not in destinations]:
            del self._notifications[notified]

    def expose(self, snapshot: Snapshot, accept: str) -> tuple[list[bytes], str]:
        """The exposition in pieces and its content type, as ``Accept`` asks.

        Slow for large fleets: call it in another thread. To make one of its pieces would hold up the loop.
        """
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Once(lambda: self._families(snapshot)))
        try:
            encode, content_type = choose_encoder(accept)
        except TypeError:  # of a version that is no number the library makes no sense
            encode, content_type = choose_encoder("")
        small, openmetrics = encode(registry), content_type.startswith(_OPENMETRICS)
        many = self._series(snapshot, openmetrics=openmetrics)
        return ([small.removesuffix(_END), *many, _END] if openmetrics else [small, *many]), content_type

    def _series(self, snapshot: Snapshot, *, openmetrics: bool) -> list[bytes]:
        """The series of zones and packs; where nothing has changed since the last scrape, as they were made then."""
        inventory, hour = snapshot.inventory, 3600  # the day a certificate comes near its end is not one of seconds
        near = max(self._last_pass, self._reload.taken_at) // hour * hour
        made_of = (inventory.by_zone, inventory.zones, snapshot.per_pack, near, self._counted, openmetrics)
        made = self._made
        if made is None or not _same(made[0], made_of):
            soon = datetime.fromtimestamp(near, UTC) + LONGEST_WINDOW
            found = series(inventory, self._restarts, snapshot.per_pack, soon, PREFIX)
            pieces = [piece for each in found for piece in each.written(openmetrics=openmetrics)]
            made = self._made = (made_of, pieces)
        return made[1]

    def _families(self, snapshot: Snapshot) -> Iterable[Metric]:
        yield from self.registry.collect()
        yield from self._counters(snapshot)
        yield from gauges(snapshot, self._last_pass, self._reload, self._version)

    def _counters(self, snapshot: Snapshot) -> Iterable[Metric]:
        failures = counter("failures", "Failed calls to Cloudflare.", "account", "operation", "error_code")
        names = {account.name for account in snapshot.accounts}
        counted = {labels: count for labels, count in dict(self._failures).items() if labels[0] in names}
        born = dict.fromkeys(product(sorted(names), REFUSED_AT, REFUSALS), 0)
        for failed, count in sorted((born | counted).items()):
            failures.add_metric(failed, count)
        yield failures
        decisions = counter("decisions", "Decisions about packs, one per pack and look.", "decision", "reason")
        for labels, count in sorted(dict(self._decisions).items()):  # copied in one step: the loop goes on counting
            decisions.add_metric(labels, count)
        yield decisions
        notifications = counter("notifications", "Messages tried, by what became of them.", "destination", "outcome")
        for destination in snapshot.destinations:
            for outcome in DeliveryOutcome:
                notifications.add_metric([destination, outcome], self._notifications[destination, outcome])
        yield notifications


class _Once(Collector):
    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterable[Metric]:
        return self._collect()


def _same(one: tuple[object, ...], other: tuple[object, ...]) -> bool:
    """Whether both were made of the same: of fleets the very same lists, which nobody changes."""
    return all(a is b or (not isinstance(a, list | tuple) and a == b) for a, b in zip(one, other, strict=True))
