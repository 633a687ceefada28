"""Values with something else in them, whatever they are made of."""

import dataclasses
from typing import TypeVar

import msgspec

T = TypeVar("T")


def replace(value: T, **changes: object) -> T:
    """As ``dataclasses.replace``, for msgspec's values too."""
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.replace(value, **changes)
    return dataclasses.replace(value, **changes)  # type: ignore[type-var]  # it is one, or this fails
