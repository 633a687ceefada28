"""Which zone is meant where several have one name: one that moved away, another account's, an internal one. Pure.

Cloudflare keeps the zone of a domain that has left an account (``moved``, ``deactivated``), lets two accounts add the
same domain, and has internal zones (Internal DNS, generally available since July 2026) that often bear a public zone's
name; a user who belongs to several accounts sees them all.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from watchdog.cloudflare.wire import ZoneSeen
from watchdog.model.names import both

INTERNAL = "internal"
"""The type of zones that no certificate authority ever sees."""

_RANK = {"active": 0, "pending": 1, "initializing": 1}
_WORST = 2


class Choice(NamedTuple):
    """The zone that is meant, ``None`` where that cannot be told; and a sentence, empty where there was no choice."""

    zone: ZoneSeen | None
    says: str


def public(zones: Iterable[ZoneSeen]) -> list[ZoneSeen]:
    """Those that certificates are issued for."""
    return [zone for zone in zones if zone.type != INTERNAL]


def choose(zones: Sequence[ZoneSeen]) -> Choice:
    """Of public zones of one name, at least one: the active one, else the one that may become active."""
    best = min(_rank(zone) for zone in zones)
    meant, name = [zone for zone in zones if _rank(zone) == best], both(zones[0].name)
    if len(zones) == 1:
        return Choice(zones[0], "")
    if len(meant) > 1:
        said = f"several zones are called {name}: {_list(zones)}; write the id of the one that is meant"
        return Choice(None, said)
    others = [zone for zone in zones if zone is not meant[0]]
    said = f"several zones are called {name}; watched is {_list(meant)}, not {_list(others)}"
    return Choice(meant[0], said)


def _rank(zone: ZoneSeen) -> int:
    return _RANK.get(zone.status, _WORST)


def _list(zones: Sequence[ZoneSeen]) -> str:
    shown = ", ".join(_shown(zone) for zone in zones[:3])
    return f"{shown} and {len(zones) - 3} more" if len(zones) > 3 else shown


def _shown(zone: ZoneSeen) -> str:
    account = zone.account_name or zone.account
    return f"{zone.id} ({zone.status or 'no status'}{f', account {account}' if account else ''})"
