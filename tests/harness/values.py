"""Values with something else in them, whatever they are made of; and rows of an inventory, all of them made."""

import dataclasses
from typing import Any, TypeVar

import msgspec

from watchdog.model.report import Inventory

T = TypeVar("T")


def replace(value: T, **changes: object) -> T:
    """As ``dataclasses.replace``, for msgspec's values too."""
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.replace(value, **changes)
    return dataclasses.replace(value, **changes)  # type: ignore[type-var]  # it is one, or this fails


def rows_of(found: Inventory) -> dict[str, Any]:
    """Every pack and zone as JSON has it, made one by one: what quicker ways are held to."""
    return {"packs": [found.row(*tracked) for tracked in found.packs], "zones": list(found.zone_rows())}
