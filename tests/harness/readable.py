"""Whether people can read a sentence at the first try: not at night, not in their own language."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

MOST_WORDS = 25

_BEGINNINGS = """After Although As Because Before Despite Else For Given Having If In Once Otherwise Should Since Though
Unless Until When Whenever Where Wherever Whether While With Without"""
SUBORDINATE = frozenset(_BEGINNINGS.split())
"""Words with which a sentence puts something before its subject."""

_CODE = re.compile(r"`[^`]*`|\{\{.*?\}\}|https?://\S+")
_LABEL = re.compile(r"^(?:Since (?=\d)|You: |Next: |Last error: |More: |Runbook: |It was: |To be placed: )")
_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z`\"(])|\n+|\s*→\s*")
_PARTICIPLE = re.compile(r"(?!Some|Any|Every|No|Need)[A-Z]\w+(?:ing|ed) [^.]*?, ")


def sentences(text: str) -> Iterator[str]:
    """The sentences of a text, each on its own; labels in front of them are not of them."""
    for part in _END.split(_CODE.sub("CODE", text)):
        sentence = _LABEL.sub("", re.sub(r"^[-*|>#\d.\s]+", "", part)).strip()
        if len(words(sentence)) > 2:  # less is a name, a time or a heading
            yield sentence


def words(sentence: str) -> list[str]:
    """What is read as one each: names, times, numbers, and code."""
    return [word for word in sentence.split() if any(map(str.isalnum, word))]


def fault(sentence: str) -> str:
    """What makes it hard to read; empty where nothing does.

    It has at most ``MOST_WORDS`` words, and its subject (or, where it tells somebody to do something, its verb) stands
    first: it does not begin with a word of ``SUBORDINATE``, nor with a clause of a bare participle before a comma.
    """
    found = words(sentence)
    if len(found) > MOST_WORDS:
        return f"{len(found)} words"
    if found[0] in SUBORDINATE:
        return f"begins with {found[0]}"
    if _PARTICIPLE.match(sentence):
        return "begins with a participle"
    return ""


def texts_in(path: Path) -> Iterator[str]:
    """What a module says: its texts of some words, with ``X`` for what is put into them; no docstring."""
    tree = ast.parse(path.read_text("utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value) for node in ast.walk(tree) if isinstance(node, documented) and _says(node.body)
    }
    loose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    inside: set[int] = set()
    for node in ast.walk(tree):
        if id(node) in docstrings | loose | inside:
            continue
        if isinstance(node, ast.JoinedStr):
            inside |= {id(each) for each in ast.walk(node)} - {id(node)}
            yield "".join(each.value if isinstance(each, ast.Constant) else "X" for each in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.count(" ") > 2:
            yield node.value


def _says(body: list[ast.stmt]) -> bool:
    return bool(body) and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)
