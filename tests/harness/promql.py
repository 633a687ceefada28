"""What a PromQL expression refers to: a reader of its tokens, for tests. Prometheus itself judges the grammar."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""(?x) (?P<comment>\#[^\n]*) | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`) | (?P<range>\[[^\]]*\])
    | (?P<number>(?<![\w:])\d[\w.]*) | (?P<name>[A-Za-z_:][\w:]*) | (?P<sign>=~|!~|!=|==|>=|<=|[-+*/%^=<>(){},@])
    """
)
_GROUPING = {"by", "without", "on", "ignoring", "group_left", "group_right"}
_WORDS = {"and", "or", "unless", "bool", "offset", "inf", "nan"}


@dataclass
class Selector:
    """One metric as an expression asks for it: its name, and each label with the values it is compared with."""

    metric: str
    labels: list[tuple[str, str, str]] = field(default_factory=list)


@dataclass
class Reading:
    """The selectors of an expression, and the labels it groups or matches by."""

    selectors: list[Selector] = field(default_factory=list)
    grouping: set[str] = field(default_factory=set)


def read(expression: str) -> Reading:
    """What an expression refers to."""
    tokens = [(match.lastgroup or "", match[0]) for match in _TOKEN.finditer(expression)]
    tokens = [token for token in tokens if token[0] != "comment"]
    reading, place = Reading(), 0
    while place < len(tokens):
        kind, text = tokens[place]
        following = tokens[place + 1][1] if place + 1 < len(tokens) else ""
        place += 1
        if kind != "name" or text.lower() in _WORDS:
            continue
        if text.lower() in _GROUPING:
            while following == "(" and tokens[place][1] != ")":
                place += 1
                if tokens[place][0] == "name":
                    reading.grouping.add(tokens[place][1])
        elif following == "{":
            end = next(at for at in range(place, len(tokens)) if tokens[at][1] == "}")
            inside = tokens[place + 1 : end]
            reading.selectors.append(Selector(text, list(_matchers(inside))))
            place = end + 1
        elif following != "(" and following.lower() not in {"by", "without"}:
            reading.selectors.append(Selector(text))
    return reading


def _matchers(tokens: list[tuple[str, str]]) -> Iterator[tuple[str, str, str]]:
    words = [text for _, text in tokens if text != ","]
    for label, sign, value in zip(words[::3], words[1::3], words[2::3], strict=True):
        yield label, sign, value[1:-1]
