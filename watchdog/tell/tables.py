"""Reports for people: tables with Rich on a terminal, plain columns when piped. Foreign text stays text in both."""

import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from watchdog.model.report import Inventory
from watchdog.model.text import clean

_PACK_COLUMNS = ("zone", "pack", "status", "since", "decision", "reason", "attempts", "next restart")
_ZONE_COLUMNS = ("zone", "account", "reason", "error")
_LONGEST_CELL = 1000
_COLOURS = {"restart": "green", "wait": "yellow", "give_up": "bold red"}


def report(inventory: Inventory, stream: TextIO | None = None) -> None:
    """Packs that are not simply healthy, zones that could not be seen, and a line that counts everything."""
    stream = stream or sys.stdout
    noteworthy, lost = inventory.noteworthy(), inventory.lost()
    if noteworthy:
        styles = [_COLOURS.get(row["decision"], "") for row in noteworthy]
        _table(stream, "Packs", _PACK_COLUMNS, [_pack(row) for row in noteworthy], styles)
    if lost:
        cells = [(zone.label, zone.account, zone.reason, zone.error) for zone in lost]
        _table(stream, "Zones not seen", _ZONE_COLUMNS, cells, [""] * len(cells))
    reasons = Counter(str(known.decision.reason) for known, _ in inventory.packs)
    packs = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common()) or "none"
    seen = f"{len(inventory.zones)} zones ({len(lost)} not seen)"
    print(f"{seen}, {len(inventory.packs)} packs: {packs}", file=stream)


def silences(rows: Sequence[dict[str, Any]], stream: TextIO | None = None) -> None:
    """The silences that hold."""
    stream = stream or sys.stdout
    if not rows:
        print("no silence holds", file=stream)
        return
    cells = [(str(r["id"]), r["zone"], r["pack_id"] or "all", r["until"], r["comment"]) for r in rows]
    _table(stream, "Silences", ("id", "zone", "pack", "until", "comment"), cells, [""] * len(cells))


def _pack(row: dict[str, Any]) -> Sequence[str]:
    until = row["next_restart_at"] or "-"
    return (
        row["zone"],
        row["pack_id"],
        row["status"] or "-",
        row["since"],
        row["decision"],
        f"{row['reason']} (silenced)" if row["silenced_until"] else row["reason"],
        str(row["attempts"]),
        until,
    )


def _table(
    stream: TextIO, title: str, columns: Sequence[str], texts: Iterable[Sequence[str]], styles: Iterable[str]
) -> None:
    lines = [[clean(text, _LONGEST_CELL) for text in line] for line in texts]
    if not stream.isatty():
        rows = [[name.upper().replace(" ", "_") for name in columns], *lines]
        widths = [max(len(row[i]) for row in rows) for i in range(len(columns))]
        for row in rows:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip(), file=stream)
        print(file=stream)
        return
    from rich.console import Console  # noqa: PLC0415  only a terminal needs it
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(title=title, title_justify="left")
    for name in columns:
        table.add_column(name, overflow="fold")
    for row, style in zip(lines, styles, strict=True):
        table.add_row(*(Text(cell) for cell in row), style=style)
    # Rich takes COLUMNS=0 at its word and prints nothing; this takes it for unset, as ncurses does.
    Console(file=stream, width=shutil.get_terminal_size().columns).print(table)
