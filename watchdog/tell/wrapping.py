"""A text in lines, no longer than a terminal is wide. Knows nothing of what the text is about."""

import re

_IN_A_MEASURE = re.compile(r" (?<=\d )(?=(?:s|min|h|d)\b)")  # begins with what is searched for quickly
_GLUE = "\N{NO-BREAK SPACE}"


def wrapped(text: str, width: int, first: str = "", others: str = "") -> list[str]:
    """``text`` in lines of at most ``width`` columns; only a word that is longer than that makes a longer one.

    A number stays with its unit.
    """
    left = text.strip(" ")
    if "  " in left or "\n" in left:
        left = " ".join(filter(None, left.replace("\n", " ").split(" ")))
    if not left:
        return []
    if len(first) + len(left) <= width:
        return [first + left]
    left, found, begins = _IN_A_MEASURE.sub(_GLUE, left), [], first
    while len(begins) + len(left) > width:
        end = left.rfind(" ", 0, max(0, width - len(begins)) + 1)
        end = left.find(" ") if end < 0 else end
        if end < 0:  # one long word
            break
        found.append(begins + left[:end])
        left, begins = left[end + 1 :], others
    return [each.replace(_GLUE, " ") for each in (*found, begins + left)]
