"""The ids of packs: how they are compared, and how people name them by their first characters."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

PackKey = tuple[str, str]
"""Zone id and pack id."""

SHORTEST_PREFIX = 4
"""Characters by which a pack may be named at the least: what is shorter is more likely a slip."""


def canonical_id(pack_id: str) -> str:
    """A pack id in one spelling: UUIDs with dashes and 32 hex digits are the same pack.

    >>> canonical_id("3822FF90-ea29-44df-9e55-21300bb9419b")
    '3822ff90ea2944df9e5521300bb9419b'
    """
    return pack_id.replace("-", "").lower()


def meant(ids: Sequence[str], text: str) -> list[str]:
    """Those ids that somebody means by ``text``: the one it is, or all that begin so; with or without dashes.

    >>> meant(["3822ff90-ea29", "3822aa00-0000"], "3822-F")
    ['3822ff90-ea29']
    """
    wanted = canonical_id(text)
    exact = [each for each in ids if canonical_id(each) == wanted]
    if exact or len(wanted) < SHORTEST_PREFIX:
        return exact
    return [each for each in ids if canonical_id(each).startswith(wanted)]


def shortened(pack_id: str, length: int) -> str:
    """The beginning of an id; whole, where it is the hosts by which a configuration names a pack that is not there.

    >>> shortened("3822ff90-ea29", 4), shortened("www.example.com", 4)
    ('3822', 'www.example.com')
    """
    return pack_id if "." in pack_id else pack_id[:length]


def short_length(ids: Iterable[str]) -> int:
    """How many characters tell all of these ids apart, at least ``SHORTEST_PREFIX``.

    >>> short_length(["3822ff90-ea29", "3822fa00-0000"])
    6
    """
    ordered = sorted(set(ids))
    length, longest = SHORTEST_PREFIX, max(map(len, ordered), default=SHORTEST_PREFIX)
    for one, other in pairwise(ordered):  # the likest stand side by side
        while length < longest and one[:length] == other[:length]:
            length += 1
    return min(length, longest)


def short_length_in_zones(keys: Iterable[PackKey]) -> int:
    """As ``short_length``, where only packs of one zone must be told apart.

    >>> short_length_in_zones([("a", "3822ff90-ea29"), ("a", "3911"), ("b", "3822fa00-0000")])
    4
    """
    ordered = sorted(set(keys))
    length, longest = SHORTEST_PREFIX, max((len(pack_id) for _, pack_id in ordered), default=SHORTEST_PREFIX)
    for (zone_id, one), (other_zone, other) in pairwise(ordered):
        while zone_id == other_zone and length < longest and one[:length] == other[:length]:
            length += 1
    return min(length, longest)
