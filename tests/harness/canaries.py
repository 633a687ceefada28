"""Canaries: a credential of its own for every place that can hold one, and a search for each in whatever is shown."""

import base64
import gc
import hashlib
import typing
from collections import deque
from types import FunctionType, MethodType, ModuleType

from pydantic import BaseModel

from watchdog.config.schema import Config
from watchdog.config.secrets import Address, Secret

LENGTH = 40
"""Of an API token; a Global API Key has 37 characters, a webhook's secret should not have fewer."""

PIECE = 8
"""Characters at either end of a canary that give it away: what was cut or masked in the middle is found too."""


def canary(place):
    """Text that occurs nowhere else, and the same every time."""
    digest = base64.b64encode(hashlib.sha512(place.encode()).digest()).decode()
    return "".join(each for each in digest if each.isalnum())[:LENGTH]


_PARTS = ("user", "password", "path", "query")
TOKEN, KEY, SIGNING = canary("api_token"), canary("api_key"), canary("secret")
ROUTING = canary("pagerduty")
OTHER_TOKEN = canary("another token")
PROXY_USER, PROXY_PASSWORD = canary("proxy user"), canary("proxy password")


def address(scheme, place, host="127.0.0.1:1"):
    """A URL with a canary in each part that can be secret."""
    user, password, path, query = (canary(f"{place} {part}") for part in _PARTS)
    return f"{scheme}://{user}:{password}@{host}/{path}/?token={query}"


PLANTED = {
    ("AccountConfig", "api_token"): TOKEN,
    ("AccountConfig", "api_key"): KEY,
    ("Alerts", "heartbeat_url"): address("http", "heartbeat_url"),
    ("Destination", "url"): address("json", "url"),
    ("Destination", "alertmanager"): address("http", "alertmanager"),
    ("Destination", "webhook"): address("http", "webhook"),
    ("Destination", "pagerduty"): ROUTING,
    ("Destination", "secret"): SIGNING,
}
"""By block and key: what is planted there."""

_URLS = [f"{key} {part}" for key in ("heartbeat_url", "url", "alertmanager", "webhook") for part in _PARTS]
CANARIES = {
    name: canary(name)
    for name in ("api_token", "api_key", "secret", "pagerduty", "another token", "proxy user", "proxy password", *_URLS)
}


def secret_fields(block=Config):
    """Block and key of every field of the schema that holds a secret."""
    for name, field in block.model_fields.items():
        for kind in _kinds(field.annotation):
            if isinstance(kind, type) and issubclass(kind, Secret) and kind is not Address:
                yield block.__name__, name
            elif isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from secret_fields(kind)


def _kinds(annotation):
    below = typing.get_args(annotation)
    return [kind for each in below for kind in _kinds(each)] if below else [annotation]


def spellings(value):
    """The ways in which it could be shown: as it is, cut, in base64 (wherever it begins) and in hexadecimal."""
    raw = value.encode()
    yield from (value[:PIECE], value[-PIECE:], raw.hex())
    for shift in range(3):
        yield base64.b64encode(b"\0" * shift + raw)[4 : -(PIECE // 2)].decode()


NEEDLES = [(place, spelling.encode()) for place, value in CANARIES.items() for spelling in spellings(value)]


def leaks(**shown):
    """Which canaries are in which of the things shown (text or bytes)."""
    found = set()
    for name, text in shown.items():
        haystack = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
        found |= {(name, place) for place, needle in NEEDLES if needle in haystack}
    return found


def reprs(*roots):
    """``repr`` and ``str`` of everything of ours that can be reached from here, as a core of them would hold it.

    Plain text and bytes are what they are, and so are containers, which are looked into. What libraries made is shown
    and not looked into.
    """
    seen, shown, left = {}, [], deque(roots)
    while left:
        thing = left.popleft()
        if id(thing) in seen or isinstance(thing, str | bytes | int | float | type | ModuleType | None):
            continue
        seen[id(thing)] = thing
        if type(thing) in (dict, list, tuple, set, frozenset, deque):
            left.extend([*thing, *thing.values()] if isinstance(thing, dict) else thing)
            continue
        shown += [repr(thing), str(thing)]
        if isinstance(thing, FunctionType):
            left.extend(cell.cell_contents for cell in thing.__closure__ or ())
        elif isinstance(thing, MethodType):
            left.append(thing.__self__)
        elif isinstance(thing, BaseException):
            left.extend([thing.args, vars(thing), thing.__cause__, thing.__context__])
        elif type(thing).__module__.startswith("watchdog."):
            left.extend(gc.get_referents(thing))
    return "\n".join(shown)
