"""One screen about one pack, to act on at 3 a.m.: what is wrong, since when, what was tried and found, what to do."""

import textwrap
from collections.abc import Iterator
from typing import Any

from watchdog.model.text import clean

WIDTH = 110
"""Columns of a line; values to be copied (names and tokens) are never broken."""

_LONGEST = 1000


def explained(row: dict[str, Any]) -> str:
    """The row of ``commands.explain`` as text for a person."""
    return "\n".join(_lines(row))


def _lines(row: dict[str, Any]) -> Iterator[str]:
    yield _said(f"{row['zone']}: pack {row['pack_id']}, {row['type'] or 'of no type'}, for {', '.join(row['hosts'])}")
    yield ""
    yield from _item("now", f"{row['status'] or 'no status'}, since {row['since']}")
    yield from _item("decision", f"{row['decision']}: {row['reason']}")
    yield from _item("next", row["next"])
    if row["silenced_until"]:
        yield from _item("silenced", f"nobody is told before {row['silenced_until']}")
    yield from _item("tried", _tried(row))
    yield from _item(
        "validation", f"{row['validation_method'] or 'unknown'} for {row['certificate_authority'] or 'unknown'}"
    )
    if row["last_error"]:
        yield from _item("last error", row["last_error"])
    yield from _item("certificate", _certificate(row))
    if row["findings"]:
        yield from ("", "Found")
        for finding in row["findings"]:
            yield from _finding(finding)
    if row["records"]:
        yield from ("", "To be placed")
        yield from (
            f"  {_said(each['name'])}  {_said(each['type'])}  {_said(each['value'])}" for each in row["records"]
        )
    if row["journal"]:
        yield from ("", "What happened, newest first")
        for entry in row["journal"]:
            yield "  " + _said(f"{entry['at']} {entry['event']} {entry['reason']} {entry['detail']}")


def _item(name: str, text: str) -> Iterator[str]:
    yield from textwrap.wrap(_said(text), WIDTH, initial_indent=f"  {name:12}", subsequent_indent=" " * 14)


def _finding(finding: dict[str, Any]) -> Iterator[str]:
    where = f"{finding['host']}: " if finding["host"] else ""
    text = _said(f"{where}{finding['says']}")
    yield from textwrap.wrap(
        text, WIDTH, initial_indent=f"  {finding['certainty']:8}", subsequent_indent=" " * 10, break_long_words=False
    )
    yield from textwrap.wrap(
        _said(finding["remedy"]),
        WIDTH,
        initial_indent=" " * 10 + "→ ",
        subsequent_indent=" " * 12,
        break_long_words=False,
    )


def _tried(row: dict[str, Any]) -> str:
    if not row["attempts"]:
        return "no restart yet"
    return f"restarts: {row['attempts']}, the last at {row['last_restart_at']}"


def _certificate(row: dict[str, Any]) -> str:
    window = row["renewal"]
    if window is None:
        return "none was issued yet"
    opens = window["opens_at"] or "at a time that Cloudflare does not document for a certificate of this life"
    text = f"expires {row['expires_at']}; renewal opens {opens} and closes {window['closes_at']}"
    if window["used"]:
        text += f" ({window['used']:.0%} of that is used)"
    return f"{text}; a restart helps until {window['last_restart_at']}"


def _said(text: str) -> str:
    return clean(text, _LONGEST)
