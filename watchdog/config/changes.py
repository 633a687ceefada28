"""What differs between two configurations, in words for the log of a reload. Pure; credentials are never shown."""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import msgspec
from pydantic import BaseModel

from watchdog.config.durations import format_duration
from watchdog.config.schema import Config, Destination, ZoneConfig
from watchdog.config.secrets import Secret

FIXED = ("state.url", "replica.name", "replica.lease", "web.listen", "api.base_url")
"""What is taken up when the daemon starts, and stays until it stops."""

ABSENT = "absent"
PRESENT = "present"


class Change(msgspec.Struct, frozen=True):
    """One setting that differs, with both values as they are shown."""

    path: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.path}: {self.old} → {self.new}"


def changes(old: Config, new: Config) -> list[Change]:
    """Every setting that differs; an account or a zone that came or went is one change.

    A zone's restart key is listed only where the zone itself differs, not where it follows the global one.
    """
    found = [change for block in Config.model_fields for change in _block(block, old, new)]
    shared = _shared_labels(old) | _shared_labels(new)
    before, after = _by_label(old, shared), _by_label(new, shared)
    for label in dict.fromkeys((*before, *after)):
        path = f"zones[{label}]"
        if label in before and label in after:
            found.extend(_zone(path, before[label], after[label], old, new))
        else:
            found.append(_came_or_went(path, label in after))
    return found


def needs_restart(old: Config, new: Config) -> list[str]:
    """The settings that differ and cannot be taken up by a running daemon."""
    return [change.path for change in changes(old, new) if change.path in FIXED]


def _block(block: str, old: Config, new: Config) -> Iterator[Change]:
    if block == "zones":
        return
    if block != "accounts":
        yield from _differences(block, getattr(old, block), getattr(new, block))
        return
    for name in dict.fromkeys((*old.accounts, *new.accounts)):
        path = f"accounts.{name}"
        if name in old.accounts and name in new.accounts:
            yield from _differences(path, old.accounts[name], new.accounts[name])
        else:
            yield _came_or_went(path, name in new.accounts)


def _zone(path: str, before: ZoneConfig, after: ZoneConfig, old: Config, new: Config) -> Iterator[Change]:
    globally = {change.path: change for change in _differences(f"{path}.restart", old.restart, new.restart)}
    return (change for change in _differences(path, before, after) if globally.get(change.path) != change)


def _differences(path: str, old: Any, new: Any) -> Iterator[Change]:
    if old == new:
        return
    if isinstance(old, BaseModel) and isinstance(new, BaseModel):
        for name in type(new).model_fields:
            yield from _differences(f"{path}.{name}", getattr(old, name), getattr(new, name))
    elif _destinations(old) or _destinations(new):
        before, after = ({each.name: each for each in listed} for listed in (old, new))
        for name in dict.fromkeys((*before, *after)):
            if name in before and name in after:
                yield from _differences(f"{path}[{name}]", before[name], after[name])
            else:
                yield _came_or_went(f"{path}[{name}]", name in after)
    elif isinstance(old, Secret) and isinstance(new, Secret):
        yield Change(path, "secret", "changed")
    else:
        yield Change(path, _shown(old), _shown(new))


def _destinations(value: Any) -> bool:
    return isinstance(value, tuple) and any(isinstance(each, Destination) for each in value)


def _shown(value: Any) -> str:
    match value:
        case None:
            shown = ABSENT
        case Secret():
            shown = "secret"
        case BaseModel():
            shown = PRESENT
        case timedelta():
            shown = format_duration(value)
        case bool():
            shown = str(value).lower()
        case tuple():
            shown = ", ".join(map(str, value)) or "none"
        case _:
            shown = str(value) or '""'
    return shown


def _came_or_went(path: str, came: bool) -> Change:
    return Change(path, ABSENT, PRESENT) if came else Change(path, PRESENT, ABSENT)


def _by_label(config: Config, shared: set[str]) -> Mapping[str, ZoneConfig]:
    return {f"{z.account}/{z.label}" if z.label in shared else z.label: z for z in config.zones}


def _shared_labels(config: Config) -> set[str]:
    """Labels that several accounts use, which only stand apart with the account before them."""
    return {label for label, zones in Counter(zone.label for zone in config.zones).items() if zones > 1}
