"""Times, places and packs in the few words that a page has room for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import quote

from watchdog.model.clock import rfc3339

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))

DASHBOARD = "https://dash.cloudflare.com/?to=/:account/:zone/ssl-tls/edge-certificates"
"""Cloudflare's own deep link: it asks for account and zone, then shows the edge certificates."""

MOST_HOSTS = 5


@dataclass(frozen=True, slots=True)
class Moment:
    """A time, exactly and as it is said now."""

    rfc: str
    words: str


def moment(at: datetime, now: datetime) -> Moment:
    """How a time is said now: ``in 12 min``, ``9 s ago``."""
    ahead = at - now
    if abs(ahead) < timedelta(seconds=1):
        return Moment(rfc3339(at), "just now" if ahead <= timedelta(0) else "now")
    words = f"in {span(ahead)}" if ahead > timedelta(0) else f"{span(-ahead)} ago"
    return Moment(rfc3339(at), words)


def span(duration: timedelta) -> str:
    """A duration in its two largest units, one where that says enough.

    >>> span(timedelta(seconds=9)), span(timedelta(minutes=62)), span(timedelta(days=3, hours=4)), span(timedelta(90))
    ('9 s', '1 h 2 min', '3 d 4 h', '90 d')
    """
    seconds = max(int(duration.total_seconds()), 0)
    for number, (size, unit) in enumerate(_UNITS):
        if seconds >= size:
            whole, left = divmod(seconds, size)
            alone = unit in ("min", "s") or (unit == "d" and whole >= 10)  # noqa: PLR2004  hours say nothing beside ten days
            less = 0 if alone else left // _UNITS[number + 1][0]
            return f"{whole} {unit}" + (f" {less} {_UNITS[number + 1][1]}" if less else "")
    return "0 s"


def path_of(account: str, zone: str) -> str:
    """Where a zone's page is, from the first page on."""
    return f"zones/{quote(account, safe='')}/{quote(zone, safe='')}"


def hosts_beside(zone: str, hosts: Sequence[str]) -> str:
    """The hosts of a pack where they say more than its zone does; else nothing."""
    if set(hosts) <= {zone, f"*.{zone}"}:
        return ""
    return hosts[0] + (f" and {len(hosts) - 1} more" if len(hosts) > 1 else "")


def hosts_listed(hosts: Sequence[str]) -> str:
    """The hosts of a pack, as many as there is room for."""
    more = f" and {len(hosts) - MOST_HOSTS} more" if len(hosts) > MOST_HOSTS else ""
    return ", ".join(hosts[:MOST_HOSTS]) + more or "no host"
