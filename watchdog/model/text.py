"""Text from outside, made fit for one line of a log or a table. Everything that comes from an API or a file is data."""

import re

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")

LINE = 300
"""Characters that a foreign text may take in a log line: a sentence, not a page."""


def clean(text: object, limit: int = LINE) -> str:
    r"""``text`` on one line, without escapes and control or direction characters, cut to ``limit`` characters.

    >>> clean("bad\n\x1b[31mnews\x1b[0m")
    'bad news'
    """
    raw = str(text)[: limit * 8]
    if len(raw) <= limit and raw.isprintable() and raw.isascii() and "  " not in raw and raw == raw.strip():
        return raw  # nearly all there is to clean: nothing has to be taken apart
    if not raw.isprintable():  # the quick way for nearly all; what is left has Unicode's controls, marks and separators
        raw = "".join(character if character.isprintable() else " " for character in _ANSI.sub("", raw))
    line = " ".join(raw.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def plain(text: str, limit: int) -> str:
    """``clean``, skipped for what is plainly clean: nearly every id, host name and token."""
    return text if len(text) <= limit and text.isascii() and text.isprintable() else clean(text, limit)


def counted(count: int, thing: str) -> str:
    """So many of a thing, as people say it.

    >>> counted(1, "restart"), counted(2, "restart")
    ('1 restart', '2 restarts')
    """
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def sentence(text: str) -> str:
    """``text``, which begins small, as a sentence of its own.

    >>> sentence("mend what is named above.")
    'Mend what is named above.'
    """
    return text[:1].upper() + text[1:]


def defect_alone(fault: Exception) -> str:
    """As ``defect``, of a fault whose own words may hold a secret."""
    return f"this is a defect of certpack-watchdog: {type(fault).__name__}"


def defect(fault: Exception) -> str:
    """What is said of a fault of our own."""
    return f"this is a defect of certpack-watchdog, please report it: {clean(f'{type(fault).__name__}: {fault}')}"
