"""One YAML file as plain Python, with the line of everything in it. The only door to PyYAML.

It reads the parser's events itself instead of using a PyYAML loader, so that a hostile file is refused before it is
built: size, depth and the expansion of aliases are bounded.

Plain scalars mean what YAML 1.2 says: only ``true`` and ``false`` are booleans and only ``null``, ``~`` and nothing are
null. ``yes``, ``no``, ``on``, ``012:30`` and dates are text. Tags and merge keys (``<<``) are refused.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from watchdog.config.contents import contents
from watchdog.config.document import (
    MAX_BYTES,
    MAX_MIB,
    MOST_PROBLEMS,
    Document,
    DocumentError,
    Opened,
    Problem,
    Where,
    too_many,
    unnoticed,
)
from watchdog.lean_imports import late_patterns

with late_patterns():  # the parser that is written in C asks none of them: 4 ms
    import yaml

MAX_DEPTH = 40
MAX_VALUES = 500_000
"""Keys and values after aliases are expanded; more than a file of ``MAX_BYTES`` holds without aliases of aliases."""
LONGEST_NUMBER = 64
"""Characters; longer runs of digits stay text, as turning them into numbers takes quadratic time."""

PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The C parser is about ten times faster; PyYAML is built without it on some platforms."""

_WORDS = {"": None, "~": None} | {
    spelling: value
    for word, value in {"null": None, "true": True, "false": False}.items()
    for spelling in (word, word.capitalize(), word.upper())
}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_QUOTE_STAR = 'an unquoted * begins a YAML alias: quote a pattern, as in "*.example.com"'


def read_document(path: Path, opened: Opened = unnoticed) -> Document:
    """Read one YAML file whose top level is a mapping; raise ``DocumentError`` if it is anything else."""
    file = str(path)
    try:
        content, status = contents(path, MAX_BYTES + 1)
        opened(path, status, content)
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        opened(path, None, b"")
        reason = getattr(error, "strerror", None) or "not a possible file name"
        raise DocumentError((Problem(file=file, what=f"cannot be read: {reason}"),)) from None
    if len(content) > MAX_BYTES:
        raise DocumentError((Problem(file=file, what=f"is larger than {MAX_MIB} MiB"),))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DocumentError((Problem(file=file, line=line, what="is not UTF-8 text"),)) from None
    return _Reading(file, text).document()


class _Anchored(msgspec.Struct, kw_only=True):
    """A value that aliases may repeat, with what a repetition costs. ``open`` while it is still being read."""

    data: Any = None
    values: int = 0
    characters: int = 0
    height: int = 0
    open: bool = True


class _Reading:
    """One pass over the parser's events."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.text = text
        self.lines: dict[Where, int] = {}
        self.faults: list[Problem] = []
        self.anchors: dict[str, _Anchored] = {}
        self.values = 0
        self.characters = 0
        self.deepest = 0  # levels, of what an alias may repeat or of all
        self.events: Iterator[Any] = iter(())

    def document(self) -> Document:
        data: dict[str, Any] = {}
        fault: Problem | None = None
        try:
            data = self.whole()
        except yaml.YAMLError as error:
            fault = self.syntax(error)
        if fault is not None:  # raised here: as its context, the error of PyYAML may keep the text, with all secrets
            raise DocumentError((*self.faults, fault))
        document = Document(self.file, data, self.lines)
        if self.faults:
            raise DocumentError(tuple(self.faults), document)
        return document

    def whole(self) -> dict[str, Any]:
        self.events = iter(PARSER(self.text).get_event, None)  # ``yaml.parse`` asks twice for each
        next(self.events)
        if type(next(self.events)) is yaml.StreamEndEvent:
            raise self.refusal(0, "is empty")
        top = next(self.events)
        data = self.value(top, (), 0)
        next(self.events)
        after = next(self.events)
        if type(after) is not yaml.StreamEndEvent:
            raise self.refusal(after, "holds a second document", "one file is one document: remove the `---`")
        if data is None:
            raise self.refusal(0, "is empty")
        if not isinstance(data, dict):
            raise self.refusal(top, "must hold keys and values at its top level", "as in `key: value`")
        return data

    def value(self, event: Any, where: Where, depth: int) -> Any:
        """The value that begins with ``event``."""
        self.values += 1
        if type(event) is yaml.AliasEvent:
            return self.alias(event, depth)
        if event.tag is not None:
            raise self.refusal(event, "YAML tags (words that begin with `!`) are not read here", "quote the value")
        if depth > MAX_DEPTH:
            raise self.refusal(event, f"is nested deeper than {MAX_DEPTH} levels")
        if self.values > MAX_VALUES:
            raise self.refusal(event, f"holds more than {MAX_VALUES:,} values")
        if event.anchor is not None:
            return self.anchored(event, where, depth)
        if depth > self.deepest:  # noqa: PLR1730  a call for each value would take longer than all of this
            self.deepest = depth
        return self.plain_or_nested(event, where, depth)

    def anchored(self, event: Any, where: Where, depth: int) -> Any:
        anchored = self.anchors[event.anchor] = _Anchored()
        values, characters, deepest, self.deepest = self.values, self.characters, self.deepest, depth
        anchored.data = self.plain_or_nested(event, where, depth)
        anchored.values, anchored.height = self.values - values + 1, self.deepest - depth
        anchored.characters = self.characters - characters
        anchored.open = False
        self.deepest = max(deepest, self.deepest)
        return anchored.data

    def plain_or_nested(self, event: Any, where: Where, depth: int) -> Any:
        kind = type(event)
        if kind is yaml.ScalarEvent:
            self.characters += len(event.value)
            return plain(event.value) if event.implicit[0] else event.value
        return self.sequence(where, depth) if kind is yaml.SequenceStartEvent else self.mapping(where, depth)

    def sequence(self, where: Where, depth: int) -> list[Any]:
        items: list[Any] = []
        while type(event := next(self.events)) is not yaml.SequenceEndEvent:
            at = (*where, len(items))
            self.lines[at] = event.start_mark.line + 1
            items.append(self.value(event, at, depth + 1))
        return items

    def mapping(self, where: Where, depth: int) -> dict[str, Any]:
        pairs: dict[str, Any] = {}
        while type(event := next(self.events)) is not yaml.MappingEndEvent:
            key, line = self.key(event, where), event.start_mark.line + 1
            at = (*where, key)
            if key in pairs:
                self.fault(line, at, f"is given twice, first in line {self.lines[at]}")
                self.value(next(self.events), (*at, ""), depth + 1)
                continue
            self.lines[at] = line
            pairs[key] = self.value(next(self.events), at, depth + 1)
        return pairs

    def key(self, event: Any, where: Where) -> str:
        line = event.start_mark.line + 1
        if type(event) is yaml.AliasEvent:
            raise self.refusal(event, "a key must be plain text", _QUOTE_STAR)
        if type(event) is not yaml.ScalarEvent:
            raise self.refusal(event, "a key must be plain text", "quote a value that begins with `{` or `[`")
        if event.tag is not None:
            raise self.refusal(event, "YAML tags (words that begin with `!`) are not read here", "quote the key")
        if event.anchor is not None:
            raise self.refusal(event, "a key cannot carry an anchor (`&`)")
        key: str = event.value
        if event.implicit[0] and key == "<<":
            raise self.refusal(event, "merge keys (`<<`) are not read here", "write the keys out")
        if event.implicit[0] and not isinstance(plain(key), str):
            what = "a key must be text, and YAML reads this one otherwise"
            self.fault(line, (*where, key), what, "quote it")
        self.characters += len(key)
        return key

    def alias(self, event: Any, depth: int) -> Any:
        anchored = self.anchors.get(event.anchor)
        if anchored is None:
            raise self.refusal(event, "refers to an anchor that does not exist", _QUOTE_STAR)
        if anchored.open:
            raise self.refusal(event, "an alias (`*`) repeats the block it stands in, without end")
        self.values += anchored.values
        self.characters += anchored.characters
        if self.values > MAX_VALUES:
            raise self.refusal(event, f"holds more than {MAX_VALUES:,} values once its aliases are expanded")
        if self.characters > MAX_BYTES:
            raise self.refusal(event, f"is larger than {MAX_MIB} MiB once its aliases are expanded")
        if depth + anchored.height > MAX_DEPTH:
            raise self.refusal(event, f"is nested deeper than {MAX_DEPTH} levels once its aliases are expanded")
        self.deepest = max(self.deepest, depth + anchored.height)
        return anchored.data

    def fault(self, line: int, where: Where, what: str, hint: str = "") -> None:
        """A fault besides which the rest of the file can be judged."""
        if len(self.faults) >= MOST_PROBLEMS:
            raise self.refusal(0, too_many())
        self.faults.append(Problem(file=self.file, line=line, where=where, what=what, hint=hint))

    def refusal(self, event: Any, what: str, hint: str = "") -> DocumentError:
        """A fault after which nothing of the file can be trusted. ``event`` 0 is the file as a whole."""
        line = event.start_mark.line + 1 if event else 0
        return DocumentError((*self.faults, Problem(file=self.file, line=line, what=what, hint=hint)))

    def syntax(self, error: yaml.YAMLError) -> Problem:
        """The parser's complaint without the excerpt it would quote."""
        mark: Any = getattr(error, "problem_mark", None)
        if mark is None:  # a character that no YAML file may hold
            position = getattr(error, "position", 0)
            line = self.text.count("\n", 0, position) + 1
            return Problem(file=self.file, line=line, what="holds a control character")
        problem, context = getattr(error, "problem", None), getattr(error, "context", None)
        complaint = ", ".join(part for part in (context, problem) if part)
        lines = self.text.split("\n")
        at = lines[mark.line][mark.column : mark.column + 1] if mark.line < len(lines) else ""
        hint = ""
        if context == "while scanning an alias":
            hint = _QUOTE_STAR
        elif at == "\t":
            hint = "indent with spaces, not with tabs"
        elif at in {"@", "`", "%"}:
            hint = f"quote a value that begins with {at}"
        elif mark.line < len(lines) and lines[mark.line][: mark.column + 1].endswith("${"):
            hint = "put a value with ${…} between braces or brackets in quotes"
        return Problem(file=self.file, line=mark.line + 1, what=f"is not YAML: {complaint}", hint=hint)


def plain(text: str) -> str | int | float | bool | None:
    """What an unquoted scalar means."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789" or len(text) > LONGEST_NUMBER:  # most are names
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
