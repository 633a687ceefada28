"""The commands that change what is remembered: ``silence add``, ``list`` and ``expire``; ``state copy``."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from watchdog.cli.exits import fail, failing
from watchdog.cli.opening import load_config, now_of, opened_state, state_failures
from watchdog.cli.options import DEFAULT_CONFIG, ConfigPath, Output, OutputOption, a_duration
from watchdog.cli.printing import print_lists, printing
from watchdog.model.exit_codes import NEEDS_A_PERSON, USAGE
from watchdog.tell import terminal

if TYPE_CHECKING:
    from watchdog.state.store import Store

silences = typer.Typer(
    help="Tell nobody of a zone or a pack for a while. It is watched and restarted as before.", no_args_is_help=True
)


@silences.command("add")
def add_silence(
    zone: Annotated[str, typer.Argument(help="The zone's name or id.")],
    lasting: Annotated[str, typer.Option("--for", help="For how long, such as 7d.", callback=a_duration)],
    comment: Annotated[str, typer.Option("--comment", help="Why, for whoever sees it.")],
    pack: Annotated[
        str, typer.Argument(help="The pack's id, or its first 4 characters or more; by default the whole zone.")
    ] = "",
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Add a silence. A pack that has expired is told all the same, once."""
    from watchdog.commands import silencing
    from watchdog.config.durations import parse_duration
    from watchdog.model.clock import rfc3339

    with _silencing(config) as store:
        added = silencing.add(store, zone, pack, parse_duration(lasting), comment, now_of(store))
    with printing():
        for each in added:
            what = f"pack {each.pack_id} of {each.zone}" if each.pack_id else f"zone {each.zone}"
            print(f"silence {each.id}: nobody is told of {what} until {rfc3339(each.until)}")


@silences.command("list")
def list_silences(config: ConfigPath = DEFAULT_CONFIG, output: OutputOption = Output.TABLE) -> None:
    """List the silences that hold."""
    from watchdog.commands import silencing
    from watchdog.model.report import silence_row
    from watchdog.tell.silences import silence_lines

    with _silencing(config) as store:
        now = now_of(store)
        found = silencing.listed(store, now)
    with printing():
        if output is Output.JSON:
            print_lists({"silences": map(terminal.json_line, map(silence_row, found))})
        else:
            for line in silence_lines(found, now, terminal.width()):
                print(line)


@silences.command("expire")
def expire_silence(
    number: Annotated[int, typer.Argument(metavar="ID", help="Its id, as in `silence list`.")],
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """End a silence now."""
    from watchdog.commands import silencing

    with _silencing(config) as store:
        ended = silencing.expire(store, number, now_of(store))
    with printing():
        print(f"silence {ended.id} of {ended.zone} has ended")


@contextmanager
def _silencing(config: Path) -> "Iterator[Store]":
    from watchdog.commands.silencing import CannotSilence

    loaded = load_config(config, online=False)
    with opened_state(loaded, exclusive=False) as store, failing(NEEDS_A_PERSON, CannotSilence):
        yield store


states = typer.Typer(help="Move what is remembered to another place.", no_args_is_help=True)


@states.command("copy")
def copy_state(
    source: Annotated[str, typer.Argument(metavar="FROM", help="The URL of a state, or a file that holds it.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="The same, of a state that is empty or not there yet.")],
) -> None:
    """Copy a state to another place, whole or not at all. No daemon may be at work on either.

    Everybody on this machine can read the arguments of a command. So give a URL with a password as a file that holds
    it, or as '${NAME}' in single quotes, from the environment; or leave the password to libpq (PGPASSFILE, PGPASSWORD).
    """
    from watchdog.clock import RealClock
    from watchdog.model.clock import anchor
    from watchdog.state.database import StateHeld
    from watchdog.state.opening import move

    old, new = _state_url(source, "FROM"), _state_url(target, "TO")
    with state_failures():
        try:
            done = move(old, new, anchor(RealClock()))
        except StateHeld as held:
            if held.pid != str(os.getpid()):
                raise
            fail(USAGE, f"FROM and TO are the same state, {held.path}: name another place as TO")
    with printing():
        print(f"copied: zones: {done.zones:,}, packs: {done.packs:,}, rows in all: {done.rows:,}")


def _state_url(text: str, place: str) -> str:
    from watchdog.config.contents import contents
    from watchdog.config.document import MAX_BYTES
    from watchdog.config.variables import Expansion, TooLarge

    def report(_where: object, problem: str, advice: str) -> None:
        fail(USAGE, f"{place}: {problem}{advice and f': {advice}'}")

    try:
        filled_in = str(Expansion(os.environ, report).value(text, ()))
        return filled_in if "://" in filled_in else contents(Path(filled_in), MAX_BYTES)[0].decode().strip()
    except TooLarge as error:
        fail(USAGE, f"{place} {error}")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        fail(USAGE, f"{text} is no URL of a state (sqlite:///PATH is one), nor a file that holds one: {why}")
