"""What the documentation says, read as data, so that tests can hold it against the code."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))


def page(name):
    return (ROOT / "docs" / name).read_text()


def table_rows(text):
    """The rows of all tables whose first cell is code: that code, and the other cells."""
    rows = (re.split(r"(?<!\\) ?\| ?", line.strip("|\n ")) for line in text.splitlines() if line.startswith("| `"))
    return [(words(first), *rest) for first, *rest in rows]


def words(text):
    """Everything that is written as code in the running text."""
    return re.findall(r"`([^`]+)`", re.sub(r"(?ms)^```.*?^```", "", text))


def log_events():
    """Each documented event with the levels and the fields it may have."""
    return {
        name: (set(re.findall(r"[a-z]+", level)), set(words(fields)))
        for (name, *_), level, fields, *_ in table_rows(page("logs.md"))
    }


def code_in(text):
    """What stands in code spans and code blocks, one text each."""
    blocks = re.findall(r"(?ms)^```[^\n]*\n(.*?)^```", text)
    return blocks + words(text)
