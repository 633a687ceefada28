"""What is exposed of the watchdog itself: made from a ``Snapshot`` at the moment of a scrape, for ``metrics`` alone.

What is counted as it happens is in ``metrics``, the series of zones and packs are in ``series``.
"""

import platform
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec

from watchdog.model.report import Inventory
from watchdog.tell.prometheus import CounterMetricFamily, GaugeMetricFamily, Metric

PREFIX = "certpack_watchdog_"


class Account(msgspec.Struct, frozen=True):
    """What is known of one account's quota at the moment of a scrape."""

    name: str
    remaining: int | None
    waited: float
    blocked_until: datetime | None = None


class ReplicaSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What one of several replicas holds, by account; how often each lease came or went; its configuration's hash."""

    held: Mapping[str, bool]
    transitions: Mapping[str, int]
    config: str


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """How things stand at one moment; gathered in the loop, exposed in another thread.

    ``firing`` has alerts by reason and severity; what could fire and does not is 0. ``destinations`` are where alerts
    go, by name. ``per_pack`` is which packs have series of their own: ``all``, only the ``troubled``, or ``none``.
    ``state_up`` is whether the state could be used when that was last tried; ``replica`` is there where several share
    it.
    """

    inventory: Inventory
    accounts: tuple[Account, ...]
    firing: Mapping[tuple[str, str], int] = msgspec.field(default_factory=dict)
    destinations: tuple[str, ...] = ()
    per_pack: str = "all"
    state_up: bool = True
    replica: ReplicaSnapshot | None = None


class Reload(msgspec.Struct, frozen=True):
    """Whether the configuration was taken at the last reload, and when one was last taken (seconds since 1970)."""

    successful: bool
    taken_at: float


def gauges(snapshot: Snapshot, last_pass: float, reload: Reload, version: str) -> Iterable[Metric]:
    """Every family of them. ``last_pass`` is when a pass was last completed, in seconds since 1970; 0 before."""
    waits = counter("rate_limit_wait_seconds", "Time calls waited for their turn in the quota.", "account")
    for account in snapshot.accounts:
        waits.add_metric([account.name], account.waited)
    yield waits
    remaining = _gauge("rate_limit_remaining", "Requests left in Cloudflare's window, as it last said.", "account")
    for account in snapshot.accounts:
        if account.remaining is not None:
            remaining.add_metric([account.name], account.remaining)
    yield remaining
    blocked = _gauge("rate_limited_until_timestamp_seconds", "Until when a 429 stops all requests.", "account")
    for account in snapshot.accounts:
        if account.blocked_until is not None:
            blocked.add_metric([account.name], account.blocked_until.timestamp())
    yield blocked
    firing = _gauge("alerts_firing", "Alerts that hold now.", "reason", "severity")
    for reason_and_severity, count in snapshot.firing.items():
        firing.add_metric(reason_and_severity, count)
    yield firing
    silences = _gauge("silences", "Silences that hold, of zones and packs.", "account")
    held = Counter(each.account for each in snapshot.inventory.silenced.all)
    for account in snapshot.accounts:
        silences.add_metric([account.name], held[account.name])
    yield silences
    yield _single("last_pass_timestamp_seconds", "When the last pass was completed; 0 before.", last_pass)
    taken = float(reload.successful)
    yield _single("config_last_reload_successful", "1 when the last configuration was taken.", taken)
    at = reload.taken_at
    yield _single("config_last_reload_success_timestamp_seconds", "When a configuration was last taken.", at)
    yield _single("state_up", "1 while the state can be written, and leases be kept.", float(snapshot.state_up))
    build = _gauge("build_info", "What runs; always 1.", "version", "python")
    build.add_metric([version, platform.python_version()], 1)
    yield build
    if snapshot.replica is not None:
        yield from _of_a_replica(snapshot.replica)


def _of_a_replica(replica: ReplicaSnapshot) -> Iterable[Metric]:
    held = _gauge("account_held", "1 on the replica that works the account, 0 on the others.", "account")
    transitions = counter(
        "lease_transitions", "How often the lease of an account came to this replica or left it.", "account"
    )
    for account, holds in replica.held.items():
        held.add_metric([account], float(holds))
        transitions.add_metric([account], replica.transitions.get(account, 0))
    config = _gauge("config_info", "A hash of what replicas should be configured alike; always 1.", "hash")
    config.add_metric([replica.config], 1)
    yield from (held, transitions, config)


def counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    """A family of counters, whose name is without the ``PREFIX`` and ``_total``."""
    return CounterMetricFamily(PREFIX + name, text, labels=labels)


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, text, labels=labels)


def _single(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, text, value=value)
