"""What refers from one block to another: accounts of zones, zones given twice, restart keys over the global ones.

It works on the file's data before the models do, because they stop at a block's first wrong value, and an
operator wants every fault at once. So nothing here may assume a shape: what has the wrong one is left to the models.
"""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from watchdog.config.document import Report, Where, shown_key
from watchdog.config.schema import PER_ACCOUNT, RestartPolicy
from watchdog.model.names import canonical

_MOST_COMPARED = 200  # names that a misspelt one is compared with: it takes longer than all other checks together
_LONGEST_NAME = 64

LineOf = Callable[[Where], int]


def resolve(data: Mapping[str, Any], line_of: LineOf, report: Report) -> dict[str, Any]:
    """The same data with each zone's account and whole restart policy filled in."""
    accounts, zones = data.get("accounts"), data.get("zones")
    accounts = accounts if isinstance(accounts, dict) else {}
    names = list(accounts)
    if not zones and names and not any(isinstance(a, dict) and "discover" in a for a in accounts.values()):
        report(("zones",), "nothing is watched", "list zones, or add `discover: {}` to an account")
    if not isinstance(zones, list):
        return dict(data)
    for number, zone in enumerate(zones):
        if isinstance(zone, dict) and zone.get("id") is None and zone.get("name") is None:
            report(("zones", number), "has neither an id nor a name", "give it one of them, better both")
    _find_duplicates(zones, names, line_of, report)
    written, policy = _global_restart(data.get("restart"))
    return {
        **data,
        "zones": [
            {
                **zone,
                "account": _account_of(zone, ("zones", number), accounts, report),
                "restart": _restart_of(zone, ("zones", number), written, policy, report),
            }
            if isinstance(zone, dict)
            else zone
            for number, zone in enumerate(zones)
        ],
    }


def _account_of(zone: Mapping[str, Any], where: Where, names: Mapping[str, Any], report: Report) -> Any:
    if "account" not in zone:
        if len(names) > 1:
            what = "is missing, and there are several accounts"
            report((*where, "account"), what, f"write one of {_list([*names])}")
        return next(iter(names)) if len(names) == 1 else ""
    account = zone["account"]
    if isinstance(account, str) and names and account not in names:
        meant = get_close_matches(account[:_LONGEST_NAME], [*names][:_MOST_COMPARED], 1)
        hint = f"did you mean `{shown_key(meant[0])}`?" if meant else f"it may be {_list([*names])}"
        report((*where, "account"), "there is no account of this name", hint)
    return account


def _restart_of(
    zone: Mapping[str, Any], where: Where, written: Mapping[str, Any], policy: RestartPolicy, report: Report
) -> Any:
    if "restart" not in zone:
        return policy
    own = zone["restart"]
    if not isinstance(own, dict):
        return own
    for key in PER_ACCOUNT & own.keys():
        hint = f"set {key} under the global `restart`, where it holds for each account"
        report((*where, "restart", key), "a zone cannot have its own: it counts all packs of an account", hint)
    return _merged(written, {key: value for key, value in own.items() if key not in PER_ACCOUNT}) if own else policy


def _merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """A zone's restart keys as written, laid over the global ones as written; inside ``backoff`` too."""
    merged = {**base, **own}
    if isinstance(below := base.get("backoff"), dict) and isinstance(above := own.get("backoff"), dict):
        merged["backoff"] = {**below, **above}
    return merged


def _global_restart(restart: Any) -> tuple[Mapping[str, Any], RestartPolicy]:
    """The global policy as written and as a value; the defaults where it is faulty.

    Its faults are said once, by the models, and not again for each zone.
    """
    written = restart if isinstance(restart, dict) else {}
    try:
        return written, RestartPolicy.model_validate(written)
    except ValidationError:
        return {}, RestartPolicy()


def _find_duplicates(zones: list[Any], names: list[str], line_of: LineOf, report: Report) -> None:
    first: dict[str | tuple[str, str], int] = {}  # ids, and names with their accounts

    def is_told(key: str | tuple[str, str], number: int, field: str) -> bool:
        if (earlier := first.setdefault(key, number)) == number:
            return False
        line = line_of(("zones", earlier))
        report(("zones", number, field), f"is the same zone as in line {line}", "keep one of them")
        return True

    for number, zone in enumerate(zones):
        if not isinstance(zone, dict):
            continue
        name, zone_id = zone.get("name"), zone.get("id")
        account = zone.get("account", names[0] if len(names) == 1 else "")
        if isinstance(zone_id, str) and is_told(zone_id.lower(), number, "id"):
            continue
        if isinstance(label := name or zone_id, str) and isinstance(account, str):
            is_told((account, canonical(label).casefold()), number, "name" if name else "id")


def _list(names: list[str]) -> str:
    shown = [f"`{shown_key(name)}`" for name in names[:5]]
    return ", ".join(shown) + (", …" if len(names) > len(shown) else "")
