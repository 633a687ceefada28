"""The conversation of ``init``: what a person is shown and asked, at a keyboard or, with flags, without one.

What is looked at and written is the matter of ``first_run``. A token is asked for without echo, or read from standard
input where nobody sits at it. Called by ``cli``.
"""

import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import msgspec
import typer
from pydantic import TypeAdapter, ValidationError

from watchdog.clock import RealClock
from watchdog.commands import first_run
from watchdog.commands.first_run import USUAL_API, CannotBegin, Found, Wanted
from watchdog.config.secrets import read_secret
from watchdog.config.types import BaseUrl, is_domain
from watchdog.model.exit_codes import IO_ERROR, USAGE
from watchdog.model.history import ZoneMemory
from watchdog.model.names import canonical
from watchdog.model.text import counted
from watchdog.tell import terminal
from watchdog.tell.overview import Overview
from watchdog.tell.status import View, lines
from watchdog.tell.wrapping import wrapped

_LONGEST_TOKEN = 16 * 1024
_ZONES_SHOWN = 20
_SENTENCE = (
    "Whether it may restart cannot be seen without a restart: it needs SSL and Certificates / Edit for these zones."
)

Run = Callable[[Coroutine[Any, Any, Found]], Found]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line says."""

    output: Path
    token_file: Path
    discover: bool
    names: Sequence[str]
    yes: bool
    base_url: str


def begin(asked: Asked, run: Run) -> None:
    """From the flags to the files. Raises ``CannotBegin``, and ``typer.Abort`` where the person has enough."""
    keyboard = sys.stdin.isatty() and not asked.yes
    base_url = _check(asked, keyboard=keyboard)
    replace = _may_write(asked, keyboard=keyboard)
    token, new = _token(asked)
    with terminal.progress(len(asked.names)) as watch:
        found = run(first_run.look(token, base_url, asked.names, watch, terminal.waits))
    _show(found)
    zones = _choose(asked, found, keyboard=keyboard)
    wanted = Wanted(
        output=asked.output, token_file=asked.token_file, zones=zones, base_url=base_url, seen=len(found.zones)
    )
    first_run.write(wanted, token if new else None, RealClock().now(), replace=replace)
    _tell(asked, new=new)


def _check(asked: Asked, *, keyboard: bool) -> str:
    """The address of the API, once what the command line says makes sense."""
    for name in asked.names:
        if not is_domain(name):
            raise CannotBegin(f"--zones: {name} is no domain name", USAGE)
    if not (keyboard or asked.yes or asked.discover or asked.names):
        text = "nobody can be asked which zones to watch: give --discover for all of them, or --zones NAME"
        raise CannotBegin(text, USAGE)
    try:
        return TypeAdapter(BaseUrl).validate_python(asked.base_url or USUAL_API)
    except ValidationError as error:
        raise CannotBegin(f"--base-url: {error.errors()[0]['ctx']['error']}", USAGE) from None


def _may_write(asked: Asked, *, keyboard: bool) -> bool:
    """Whether a configuration that is there is to be replaced; ``False`` where there is none."""
    for file in (asked.output, asked.token_file):
        folder = next(parent for parent in file.absolute().parents if parent.exists())
        if not os.access(folder, os.W_OK) and not (file is asked.token_file and os.path.lexists(file)):
            hint = "run it with sudo, or name another place with --output"
            raise CannotBegin(f"{folder} cannot be written by this user: {hint}", IO_ERROR)
    if not os.path.lexists(asked.output):
        return False
    if asked.yes or (keyboard and typer.confirm(f"{asked.output} is there already. Replace it?")):
        return True
    hint = "name another with --output, or give --yes to replace it"
    raise CannotBegin(f"{asked.output} is there already: {hint}", IO_ERROR)


def _token(asked: Asked) -> tuple[str, bool]:
    """The token, and whether it is still to be written into its file."""
    if os.path.lexists(asked.token_file):
        try:
            token = read_secret(asked.token_file)
        except ValueError as error:
            raise CannotBegin(f"{asked.token_file} {error}", IO_ERROR) from None
        return first_run.checked(token), False
    if sys.stdin.isatty():
        print(f"There is no {asked.token_file} yet, so it is made.")
        return first_run.checked(typer.prompt("API token (it is not shown)", hide_input=True)), True
    return first_run.checked(sys.stdin.read(_LONGEST_TOKEN)), True


def _choose(asked: Asked, found: Found, *, keyboard: bool) -> Sequence[ZoneMemory]:
    """The zones to watch; none for all there are and will be."""
    if asked.names:
        return found.zones
    if not keyboard or asked.discover:
        return ()
    if typer.confirm("Watch all of these zones, and those that come later?", default=True):
        return ()
    by_name = {canonical(zone.label): zone for zone in found.zones}
    while True:
        names = typer.prompt("Which zones? Their names, with spaces between").replace(",", " ").split()
        unknown = [name for name in names if canonical(name) not in by_name]
        if names and not unknown:
            return [by_name[name] for name in dict.fromkeys(map(canonical, names))]
        print(f"The token does not see {', '.join(unknown)}." if unknown else "Name at least one.")


# ── what a person reads ──────────────────────────────────────────────────────────────────────────────────────────────


def _show(found: Found) -> None:
    width = terminal.width()
    failed = sum(1 for zone in found.zones if zone.error)
    readable = f"the packs of {failed} of them cannot be read" if failed else "all their packs can be read"
    said = f"The {found.token.partition(': ')[2]}. It sees {counted(len(found.zones), 'zone')}; {readable}."
    names = [zone.label for zone in found.zones[:_ZONES_SHOWN]]
    more = len(found.zones) - len(names)
    for text in (said, _SENTENCE, f"Zones: {', '.join(names)}{f', and {more} more' if more else ''}"):
        print("\n".join(wrapped(text, width)))
    print()
    for line in lines(Overview.of(found.inventory), View(width=width, colours=terminal.takes_colours(sys.stdout))):
        print(line)
    print()


def _tell(asked: Asked, *, new: bool) -> None:
    width = terminal.width()
    token = f" and {asked.token_file} (mode 0600)" if new else ""
    where = "" if asked.output == first_run.INSTALLED / "config.yaml" else f" -c {asked.output}"
    print("\n".join(wrapped(f"Written: {asked.output}{token}. Next:", width)))
    print(f"  certpack-watchdog once --dry-run{where}")
    print(f"  certpack-watchdog run{where}")
