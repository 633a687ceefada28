"""The command line: every command, in the order of ``--help``, and the words before them.

``program`` is the process, ``main`` all of it but its end. Each file beside this holds the commands of one trade, which
import what is heavy when they are called and never each other; ``exits`` says what each exit code means.
"""

from typing import Annotated

import typer

from watchdog.cli import asking, memory, preparing, trying, watching
from watchdog.cli.process import leave, prepared

app = typer.Typer(
    name="certpack-watchdog",
    help="Restarts timed-out validations of Cloudflare certificate packs, with backoff, a memory and metrics.",
    epilog="Try it without an account: certpack-watchdog demo",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(asked: bool) -> None:
    if asked:
        from watchdog.version import VERSION

        print(f"certpack-watchdog {VERSION}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


app.command()(watching.run)
app.command()(watching.once)
app.command()(preparing.init)
app.command()(preparing.check_config)
app.command()(asking.status)
app.command()(asking.events)
app.command()(asking.explain)
app.command()(watching.restart)
app.command()(trying.demo)
app.command()(trying.simulate)
app.command("test-alert")(preparing.send_test)
app.command()(preparing.schema)
app.command()(preparing.files)
app.add_typer(memory.silences, name="silence")
app.add_typer(memory.states, name="state")


def main() -> None:
    """Run the command line."""
    with prepared():
        app()


def program() -> None:
    """The same as a process of its own."""
    try:
        main()
    except SystemExit as end:
        leave(end)
