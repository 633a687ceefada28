"""Times, places and packs in the few words that a page has room for."""

from collections.abc import Sequence
from datetime import datetime
from urllib.parse import quote

import msgspec

from watchdog.model.clock import rfc3339
from watchdog.tell.times import ago

MOST_HOSTS = 5


class Moment(msgspec.Struct, frozen=True):
    """A time, exactly and as it is said now."""

    rfc: str
    words: str


def moment(at: datetime, now: datetime) -> Moment:
    """How a time is said now: ``in 12 min``, ``9 s ago``."""
    return Moment(rfc3339(at), ago(at, now))


def path_of(account: str, zone: str) -> str:
    """Where a zone's page is, from the first page on."""
    return f"zones/{quote(account, safe='')}/{quote(zone, safe='')}"


def hosts_listed(hosts: Sequence[str]) -> str:
    """The hosts of a pack, as many as there is room for."""
    more = f" and {len(hosts) - MOST_HOSTS} more" if len(hosts) > MOST_HOSTS else ""
    return ", ".join(hosts[:MOST_HOSTS]) + more or "no host"
