"""Who works which account, where several replicas share a state: for ``status``, and as rows of JSON."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from watchdog.model.clock import maybe_rfc3339, rfc3339
from watchdog.model.leases import WATCHDOG, Lease, Roll
from watchdog.model.text import clean
from watchdog.tell.times import ago


def holder_lines(roll: Roll, now: datetime) -> Iterator[str]:
    """A line for each account, and one for each replica that lives."""
    yield "Who works what"
    for lease in sorted(roll.leases.values(), key=lambda lease: lease.account):
        yield f"  {_what(lease)}: {_by_whom(lease, roll, now)}"
    yield "Replicas"
    for replica in sorted(roll.replicas.values(), key=lambda replica: (replica.name, replica.instance)):
        said = f"version {clean(replica.version)}, configuration {clean(replica.config)}"
        yield f"  {clean(replica.name)}: since {ago(replica.since, now)}, {said}"
        yield from (f"    {clean(reason)}: {clean(text)}" for reason, text in replica.troubles.items())
    if not roll.replicas:
        yield "  none lives: nothing is watched"


def lease_rows(roll: Roll) -> list[dict[str, Any]]:
    """Each account's lease. ``account`` is empty for what concerns the watchdog itself."""
    return [
        {
            "account": lease.account,
            "held": lease.held(roll.at),
            "holder": lease.holder or None,
            "since": rfc3339(lease.since),
            "epoch": lease.epoch,
            "seen_at": maybe_rfc3339(lease.seen_at),
        }
        for lease in sorted(roll.leases.values(), key=lambda lease: lease.account)
    ]


def replica_rows(roll: Roll) -> list[dict[str, Any]]:
    """Each replica that lives."""
    return [
        {
            "name": each.name,
            "since": rfc3339(each.since),
            "version": each.version,
            "config": each.config,
            "accounts": list(each.accounts),
            "troubles": dict(each.troubles),
        }
        for each in sorted(roll.replicas.values(), key=lambda each: (each.name, each.instance))
    ]


def _what(lease: Lease) -> str:
    return "the watchdog itself" if lease.account == WATCHDOG else clean(lease.account)


def _by_whom(lease: Lease, roll: Roll, now: datetime) -> str:
    if lease.held(roll.at):
        return f"{clean(lease.holder)}, since {ago(lease.since, now)}"
    return f"nobody; {clean(lease.holder)} was the last" if lease.holder else "nobody yet"
