"""What the models found wrong, in sentences for operators.

pydantic's own messages and inputs never pass: every sentence is written here or in a validator of ours. A value is
repeated only as the file has it (never a variable's content), only when it is short, and never near a credential.
"""

from difflib import get_close_matches
from typing import Any

from pydantic_core import ErrorDetails

from watchdog.config.document import Where, shown_key
from watchdog.config.json_schema import keys_at
from watchdog.config.schema import Config
from watchdog.config.secrets import may_be_shown

_LONGEST_SHOWN = 24
_LONGEST_KEY = 64
_NO_ACCOUNT = "at least one account with credentials is needed"
_TYPES = {
    "model_type": "must hold keys and values",
    "dict_type": "must hold keys and values",
    "tuple_type": "must be a list",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a number",
}
_BOUNDS = {
    "greater_than": ("must be more than", "gt"),
    "greater_than_equal": ("must be at least", "ge"),
    "less_than": ("must be less than", "lt"),
    "less_than_equal": ("must be at most", "le"),
}
_SWITCHES = {"yes": "true", "on": "true", "true": "true", "no": "false", "off": "false", "false": "false"}


def describe(error: ErrorDetails, written: Any) -> tuple[Where, str, str]:
    """Where, what is wrong and a hint. ``written`` is the data as the file has it."""
    where, value = _place(error["loc"], written)
    kind, context = error["type"], error.get("ctx", {})
    shown = _shown(where, value)
    hint = ""
    match kind:
        case "extra_forbidden":
            what, hint = "unknown key", _key_hint(where)
        case "missing":
            what, hint = "is missing", _NO_ACCOUNT if where == ("accounts",) else ""
        case "too_short" if where == ("accounts",):
            what, hint = "is empty", _NO_ACCOUNT
        case "value_error":
            what = str(context["error"])
            what = f"{shown}: {what}" if isinstance(value, str) and shown and shown.strip("`") not in what else what
        case "literal_error" | "tuple_type" if where[-1] == "packs":
            what = "must be all or a list of packs"
        case "literal_error":
            what = f"must be {context['expected'].replace(chr(39), '')}{shown and f', not {shown}'}"
        case "too_short":
            what, hint = "is empty", "write one, or leave the key out"
        case "string_pattern_mismatch":
            what = "an account's name is made of letters, digits and - _ . (at most 63)"
        case _ if kind in _BOUNDS:
            words, bound = _BOUNDS[kind]
            what = f"{words} {context[bound]:,g}{shown and f', not {shown}'}"
        case _:
            what = f"{_TYPES.get(kind, 'is not valid')}{shown and f', not {shown}'}"
            hint = _type_hint(kind, value)
    return where, what, hint


def _place(loc: tuple[int | str, ...], written: Any) -> tuple[Where, Any]:
    """The place in the file, without the words that pydantic adds for unions and keys; and what stands there."""
    where: list[int | str] = []
    value = written
    for part in loc:
        if isinstance(value, dict) and part not in {"[key]", "[hosts]"}:
            where.append(part)
            value = value.get(str(part), _NOTHING)
        elif isinstance(value, list) and isinstance(part, int):
            where.append(part)
            value = value[part]
        elif value is _NOTHING:
            where.append(part)
    return tuple(where), value


_NOTHING = object()


def _shown(where: Where, value: Any) -> str:
    if not may_be_shown(where, Config):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value:g}" if isinstance(value, float) else str(value) if abs(value) < 10**_LONGEST_SHOWN else ""
    if isinstance(value, str) and value.isprintable() and len(value) <= _LONGEST_SHOWN and "@" not in value:
        return f"`{value}`" if value else "empty"
    return ""


def _key_hint(where: Where) -> str:
    known = keys_at(where[:-1])
    key = str(where[-1])
    if shown_key(key) != key and ":" in key:
        return "a colon needs a space after it"
    meant = get_close_matches(key[:_LONGEST_KEY].lower().replace("-", "_"), known, 1, 0.7)
    if meant:
        return f"did you mean `{meant[0]}`?"
    return f"it may be {', '.join(known)}" if known else ""


def _type_hint(kind: str, value: Any) -> str:
    if kind == "bool_type" and isinstance(value, str) and value.lower() in _SWITCHES:
        return f"write {_SWITCHES[value.lower()]}, without quotes"
    if kind == "string_type" and isinstance(value, bool | int | float):
        return "quote it"
    if kind in {"int_type", "float_type"} and isinstance(value, str) and value.strip().isdecimal():
        return "write it without quotes"
    if kind == "tuple_type" and isinstance(value, str):
        return "put it in [brackets]"
    return ""
