"""What the headers of an answer say of rates: ``Ratelimit``, ``Ratelimit-Policy``, ``Retry-After``. Pure, and lenient.

Cloudflare names its policies: ``Ratelimit: "default";r=1199;t=300`` says what is left and when that resets,
``Ratelimit-Policy: "default";q=1200;w=300`` how many requests a window has. Both may name several.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

DEFAULT = "default"
"""The policy of the allowance that a user's requests share. It holds for every operation that has named no other."""

PLENTY = 0.1
"""The part of a policy's requests that must be left for a 429 to be no matter of the account's allowance."""

_NAMED = re.compile(r'"([\w./ -]{1,40})"')


class Item(NamedTuple):
    """One policy: its name, a number of requests, and seconds."""

    name: str
    requests: int
    seconds: int


def left(headers: Mapping[str, str]) -> list[Item]:
    """Of each policy that ``Ratelimit`` names: the requests that are left, and the seconds until it resets."""
    return list(_items(headers.get("ratelimit", ""), "r", "t"))


def sizes(headers: Mapping[str, str]) -> list[Item]:
    """Of each policy that ``Ratelimit-Policy`` names: the requests in a window, and its seconds."""
    return list(_sizes(headers.get("ratelimit-policy", "")))


def has_plenty(headers: Mapping[str, str], usual: int) -> bool:
    """Whether these headers say that much is left of every policy they name: then a 429 has another cause.

    ``usual`` is the size of a policy of which they give none.
    """
    whole = {name: requests for name, requests, _ in sizes(headers)}
    named = left(headers)
    return bool(named) and all(requests >= PLENTY * whole.get(name, usual) for name, requests, _ in named)


def names_others_alone(headers: Mapping[str, str]) -> bool:
    """Whether these headers name policies, and the account's allowance is none of them."""
    names = {name for name, _, _ in left(headers)}
    return bool(names) and DEFAULT not in names


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that ``Retry-After`` asks for; ``None`` where it does not, or in another way than in seconds.

    0 names no time either: who took it at its word would ask at once, again and again.
    """
    said = headers.get("retry-after", "").strip()
    return float(said[:9]) or None if said.isascii() and said.isdigit() else None


@lru_cache(maxsize=64)
def _sizes(header: str) -> tuple[Item, ...]:
    """Read once: Cloudflare says the same of its policies with every answer."""
    return tuple(_items(header, "q", "w"))


def _items(header: str, one: str, two: str) -> Iterator[Item]:
    """Name and two parameters of each item in a list header such as ``"default";r=1199;t=300, "other";r=5;t=1``.

    An item whose name cannot be read is taken for the default one.
    """
    for item in header[:1024].split(","):
        found: dict[str, int] = {}
        head, *parts = item.split(";")
        for part in parts:
            key, _, value = part.strip().partition("=")
            if value.isascii() and value.isdigit() and len(value) < 10:
                found[key] = int(value)
        if one in found and two in found:
            named = _NAMED.fullmatch(head.strip())
            yield Item(named[1].lower() if named else DEFAULT, found[one], found[two])
