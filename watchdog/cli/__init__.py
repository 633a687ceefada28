"""The command line: every command, in the order of ``--help``, and the words before them.

``program`` is the process, ``main`` all of it but its end. Each file beside this holds the commands of one trade, which
import what is heavy when they are called and never each other; ``exits`` says what each exit code means.
"""

import sys
from collections.abc import Callable, Mapping
from typing import Annotated

import typer

from watchdog.cli import asking, memory, preparing, trying, watching
from watchdog.cli.process import Terminated, leave, prepared

_COMMANDS: Mapping[str, Callable[..., None] | typer.Typer] = {
    "run": watching.run,
    "once": watching.once,
    "init": preparing.init,
    "check-config": preparing.check_config,
    "status": asking.status,
    "events": asking.events,
    "explain": asking.explain,
    "restart": watching.restart,
    "demo": trying.demo,
    "simulate": trying.simulate,
    "test-alert": preparing.send_test,
    "schema": preparing.schema,
    "files": preparing.files,
    "silence": memory.silences,
    "state": memory.states,
}


def _version(asked: bool) -> None:
    if asked:
        from watchdog.version import VERSION

        print(f"certpack-watchdog {VERSION}")
        raise typer.Exit


def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


def _with(commands: Mapping[str, Callable[..., None] | typer.Typer]) -> typer.Typer:
    app = typer.Typer(
        name="certpack-watchdog",
        help="Restarts timed-out validations of Cloudflare certificate packs, with backoff, a memory and metrics.",
        epilog="Try it without an account: certpack-watchdog demo",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    app.callback()(_program)
    for name, command in commands.items():
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    return app


app = _with(_COMMANDS)


def main() -> None:
    """Run the command line: of all commands the one that is named, since to make the others takes 3 ms."""
    named = {name: command for name, command in _COMMANDS.items() if name in sys.argv[1:2]}
    try:
        with prepared():
            (_with(named) if named else app)()
    except Terminated:
        import signal

        signal.raise_signal(signal.SIGTERM)  # whoever sent it sees that it was heeded


def program() -> None:
    """The same as a process of its own."""
    try:
        main()
    except SystemExit as end:
        leave(end)
