"""How a command prints what it found: rows as JSON, the report that a person reads."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

from watchdog.cli.exits import failing
from watchdog.model.exit_codes import IO_ERROR
from watchdog.tell import terminal

if TYPE_CHECKING:
    from watchdog.tell.overview import Overview


@contextmanager
def printing() -> Iterator[None]:
    """What is printed is written now, or the command ends."""
    with failing(IO_ERROR, terminal.CannotPrint), terminal.printing():
        yield


def print_lists(lists: Mapping[str, Iterable[str]]) -> None:
    """One object of lists, each row, a text of JSON, on a line of its own, none kept."""
    opening = "{"
    for name, rows in lists.items():
        sys.stdout.write(f"{opening}{json.dumps(name)}: [")
        separator, left = "\n  ", iter(rows)
        while some := ",\n  ".join(islice(left, 100)):
            sys.stdout.write(separator + some)
            separator = ",\n  "
        sys.stdout.write("]" if separator == "\n  " else "\n]")
        opening = ", "
    print("}")


def print_checks(found: Iterable[tuple[str, str, str]]) -> None:
    """A line for each thing that was tried: what it is, why it failed, and what is to be known of it."""
    for what, error, caution in found:
        became = "FAILED" if error else "warning" if caution else "ok"
        print(f"{became:8}{': '.join(filter(None, (what, error, caution)))}")


def print_report(found: "Overview", lost: str = "", **wanted: Any) -> None:
    """The report, with what was ``lost`` of the state; ``wanted`` is what a ``View`` takes."""
    from watchdog.tell.status import View, lines
    from watchdog.tell.times import localised
    from watchdog.tell.wrapping import wrapped

    width = terminal.width()
    view = View(width=width, colours=terminal.takes_colours(sys.stdout), **wanted)
    with printing():
        print("\n".join(lines(found, view)))  # at once: one call for each line costs a fifth of all lines
        if lost:
            print("\n" + "\n".join(wrapped(localised(lost, found.inventory.at), width)))
