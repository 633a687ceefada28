"""The series of zones and packs as text: most of an exposition, so made line by line and not through the library.

Both text formats of Prometheus have the same lines; only what they call a counter differs, so ``Family`` leaves that
open. Labels stand in the order of their names, values as the library writes them. No clock: the same values give the
same text.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import lru_cache

from watchdog.model.history import Sent, next_restart_at
from watchdog.model.needs import worth_a_look
from watchdog.model.packs import GOING_AWAY, KNOWN_STATUSES
from watchdog.model.reasons import Reason
from watchdog.model.report import Inventory
from watchdog.model.serving import Serving
from watchdog.model.zone_packs import side_by_side
from watchdog.tell.prometheus import utils

AT_ONCE = 2000
"""Lines that are joined, and let go, without a pause: all in one go would hold up the loop."""


class Family:
    """One metric with all its lines, each with its end. The name of a counter is without ``_total``."""

    def __init__(self, name: str, text: str, kind: str = "gauge") -> None:
        self.name = name
        self._text = text
        self._kind = kind
        self._pieces: list[bytes] = []
        self._lines: list[str] = []

    def add(self, line: str) -> None:
        """One more."""
        self._lines.append(line)
        if len(self._lines) >= AT_ONCE:
            self._join()

    def written(self, *, openmetrics: bool) -> list[bytes]:
        """All of it with its head, in one of the two formats, in pieces."""
        self._join()
        name = self.name if openmetrics or self._kind != "counter" else f"{self.name}_total"
        head = f"# HELP {name} {self._text}\n# TYPE {name} {self._kind}\n"
        return [head.encode(), *self._pieces]

    def _join(self) -> None:
        self._pieces.append("".join(self._lines).encode())
        self._lines.clear()


def escaped(value: str) -> str:
    """A label's value as both formats have it."""
    if '"' not in value and "\\" not in value and "\n" not in value:
        return value
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


@lru_cache(10_000)
def number(value: float) -> str:
    """A value as the library writes it: in Python, so each but once."""
    return str(utils.floatToGoString(value))  # type: ignore[no-untyped-call]  # the library left this one without types


def series(
    inventory: Inventory, restarts: Mapping[tuple[str, str, str], int], per_pack: str, soon: datetime, prefix: str
) -> list[Family]:
    """All of them. ``restarts`` are counted by account, zone and outcome; certificates that end by ``soon`` matter."""
    return [*_of_zones(inventory, restarts, prefix), *_of_packs(inventory, per_pack, soon, prefix)]


def _of_zones(inventory: Inventory, restarts: Mapping[tuple[str, str, str], int], prefix: str) -> Iterator[Family]:
    sent = Family(f"{prefix}restarts", "Restart requests sent, by what became of them.", kind="counter")
    seen = Family(f"{prefix}zone_last_success_timestamp_seconds", "Last time the zone was seen whole.")
    for zone in inventory.zones:
        account, label = escaped(zone.account), escaped(zone.label)
        for outcome in Sent:
            count = float(restarts.get((zone.account, zone.label, outcome), 0))
            labels = f'account="{account}",outcome="{outcome}",zone="{label}"'
            sent.add(f"{sent.name}_total{{{labels}}} {number(count)}\n")
        if zone.seen_at is not None:
            at = number(zone.seen_at.timestamp())
            seen.add(f'{seen.name}{{account="{account}",zone="{label}"}} {at}\n')
    yield sent
    packs = Family(f"{prefix}packs", "Packs by status at the last look.")
    known: Counter[tuple[str, str, str]] = Counter()
    for each in inventory.by_zone:
        account, label = each.key
        for status, count in each.statuses.items():
            known[account, status if status in KNOWN_STATUSES else "other", label] += count
    for (account, status, label), count in sorted(known.items()):
        labels = f'account="{escaped(account)}",status="{status}",zone="{escaped(label)}"'
        packs.add(f"{packs.name}{{{labels}}} {number(float(count))}\n")
    yield packs
    yield seen


def _of_packs(inventory: Inventory, per_pack: str, soon: datetime, prefix: str) -> Iterator[Family]:
    decided = Family(
        f"{prefix}pack_decision",
        "What was decided of a pack that is neither healthy nor in progress, and why; always 1.",
    )
    expiry = Family(f"{prefix}pack_expiry_timestamp_seconds", "Earliest expiry among a pack's certificates.")
    attempts = Family(f"{prefix}pack_restart_attempts", "Restarts of a pack in trouble since it was last well.")
    upcoming = Family(f"{prefix}pack_next_restart_timestamp_seconds", "When a pack in trouble may be restarted.")
    every = per_pack == "all"
    packs = inventory.packs if every else inventory.restless if per_pack != "none" else ()
    serving = Serving(side_by_side(inventory.by_zone), soon)
    label, zone = "", ""
    for known, history in packs:
        pack, decision = known.pack, known.decision
        if known.zone is not label:  # they come zone by zone
            label, zone = known.zone, escaped(known.zone)
        account, name = escaped(known.account), escaped(pack.id)
        if decision.reason is not Reason.HEALTHY and decision.reason is not Reason.IN_PROGRESS and worth_a_look(known):
            labels = (
                f'account="{account}",decision="{decision.do}",pack="{name}",reason="{decision.reason}",zone="{zone}"'
            )
            decided.add(f"{decided.name}{{{labels}}} 1.0\n")
        if pack.status in GOING_AWAY:
            continue  # remembered for a while, but nobody's worry any more
        troubled = history.trouble_since is not None
        labels = f'{{account="{account}",pack="{name}",zone="{zone}"}}'
        if pack.expires_at is not None and (troubled or every) and serving.uses(pack):
            expiry.add(f"{expiry.name}{labels} {number(pack.expires_at.timestamp())}\n")
        if troubled:
            attempts.add(f"{attempts.name}{labels} {number(float(history.attempts))}\n")
            if (due := next_restart_at(known, history)) is not None:
                upcoming.add(f"{upcoming.name}{labels} {number(due.timestamp())}\n")
    yield from (decided, expiry, attempts, upcoming)
