"""The commands and their exit codes; no logic. Heavy things are imported by the command that uses them.

Exit codes: 0 fine, 1 something needs a person, 2 wrong usage, 69 Cloudflare cannot be reached or refuses the
credentials, 74 the state cannot be opened or written, 75 another instance holds the state, 78 the configuration is
wrong. Errors are one sentence on stderr, never a traceback.
"""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from watchdog.config.schema import Config
    from watchdog.model.report import Inventory
    from watchdog.record.store import Store

NEEDS_A_PERSON, USAGE, UNAVAILABLE, STATE_ERROR, STATE_HELD, CONFIG_ERROR = 1, 2, 69, 74, 75, 78

app = typer.Typer(
    name="certpack-watchdog",
    help="Restarts timed-out validations of Cloudflare certificate packs, with backoff, a memory and metrics.",
    epilog="Try it without an account: certpack-watchdog demo",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


class Output(StrEnum):
    """How a report is printed."""

    TABLE = "table"
    JSON = "json"


ConfigPath = Annotated[
    Path,
    typer.Option(
        "--config",
        "-c",
        envvar="CERTPACK_WATCHDOG_CONFIG",
        help="The configuration file.",
        show_envvar=True,
    ),
]
DEFAULT_CONFIG = Path("/etc/certpack-watchdog/config.yaml")
DryRun = Annotated[bool, typer.Option("--dry-run", help="Read and decide everything, change nothing at Cloudflare.")]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="A table, or JSON.")]


def main() -> None:
    """Run the command line."""
    app()


@app.command()
def run(config: ConfigPath = DEFAULT_CONFIG, dry_run: DryRun = False) -> None:
    """Watch, in the foreground, until SIGTERM or SIGINT. SIGHUP reloads the configuration."""
    with _sentences():
        loaded = _load(config)
        from watchdog.app import watch

        with _store(loaded, exclusive=True) as store:
            asyncio.run(watch(loaded, store, config, os.environ, dry_run=dry_run))


@app.command()
def once(config: ConfigPath = DEFAULT_CONFIG, dry_run: DryRun = False, output: OutputOption = Output.TABLE) -> None:
    """Make one pass over everything, then print a report. For cron, and for trying things out."""
    with _sentences():
        loaded = _load(config)
        from watchdog import errands

        with _store(loaded, exclusive=True) as store, _progress(len(loaded.zones)) as watch:
            result = asyncio.run(errands.once(loaded, store, dry_run=dry_run, watch=watch))
        _report(result.inventory, output)
        if result.nothing_seen:
            sys.exit(UNAVAILABLE)
        if result.inventory.needs_a_person():
            sys.exit(NEEDS_A_PERSON)


@app.command("check-config")
def check_config(
    config: ConfigPath = DEFAULT_CONFIG,
    online: Annotated[
        bool, typer.Option("--online", help="Also verify the credentials and that each zone and pack can be read.")
    ] = False,
) -> None:
    """Validate the configuration file."""
    with _sentences():
        loaded = _load(config)
        print(f"{config}: fine: {len(loaded.accounts)} accounts, {len(loaded.zones)} zones")
        if online:
            _check_online(loaded)


@app.command()
def status(config: ConfigPath = DEFAULT_CONFIG, output: OutputOption = Output.TABLE) -> None:
    """Show what is remembered of every pack. Needs no network."""
    with _sentences():
        loaded = _load(config)
        from watchdog import errands

        with _store(loaded, exclusive=False) as store:
            found = errands.remembered(store)
        _report(found, output)


@app.command()
def restart(
    zone: Annotated[str, typer.Argument(help="The zone's name or id.")],
    pack: Annotated[str, typer.Argument(help="The pack's id.")],
    config: ConfigPath = DEFAULT_CONFIG,
    force: Annotated[bool, typer.Option("--force", help="Override backoff, budget and holds.")] = False,
) -> None:
    """Restart one pack's validation now, through the same checks as the daemon, which may be running."""
    with _sentences():
        loaded = _load(config)
        from watchdog import errands

        with _store(loaded, exclusive=False) as store:
            try:
                row = asyncio.run(errands.restart(loaded, store, zone, pack, force=force))
            except errands.NotRestarted as why:
                _fail(UNAVAILABLE if why.unreachable else NEEDS_A_PERSON, str(why))
        print(f"restarted: pack {row['pack_id']} of {row['zone']} is now {row['status']}, attempt {row['attempts']}")


@app.command()
def demo(
    speed: Annotated[float, typer.Option(help="How many times faster than the usual demo.", min=0.1, max=10)] = 1.0,
    duration: Annotated[
        str, typer.Option("--for", help="How long, such as 45s; by default until the story ends.")
    ] = "",
    port: Annotated[int, typer.Option(help="Port of the daemon's own pages; 0: any.", min=0, max=65535)] = 9909,
) -> None:
    """Show the daemon at work against the built-in simulator. No account needed."""
    with _sentences():
        from watchdog.demo import show

        asyncio.run(show(speed, duration, port))


@app.command()
def simulate(
    port: Annotated[int, typer.Option(help="Port on loopback; 0: any.", min=0, max=65535)] = 8787,
    scenario: Annotated[Path | None, typer.Option(help="A scenario file; by default the demo's.")] = None,
) -> None:
    """Run the simulator alone: a little Cloudflare on loopback, speaking its API."""
    with _sentences():
        from watchdog.demo import simulate as serve

        asyncio.run(serve(port, scenario))


@app.command()
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors."""
    from watchdog.config.load import json_schema

    print(json.dumps(json_schema(), indent=2))


@contextmanager
def _sentences() -> Iterator[None]:
    """Turn every expected failure into one sentence and its exit code."""
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        code = _exit_code(error)
        if code is None:
            raise
        _fail(code, str(error))


def _exit_code(error: Exception) -> int | None:
    """By the class's name, so that nothing is imported only to find out."""
    return {
        "ConfigError": CONFIG_ERROR,
        "ListenError": CONFIG_ERROR,
        "StateHeld": STATE_HELD,
        "StateError": STATE_ERROR,
    }.get(type(error).__name__)


def _fail(code: int, sentence: str) -> NoReturn:
    print(sentence, file=sys.stderr)
    sys.exit(code)


def _load(path: Path) -> "Config":
    from watchdog.config.load import load

    return load(path, os.environ)


@contextmanager
def _store(config: "Config", *, exclusive: bool) -> "Iterator[Store]":
    from watchdog.record.store import Store

    store = Store.open(config.state.url, exclusive=exclusive)
    try:
        yield store
    finally:
        store.close()


def _report(found: "Inventory", output: Output) -> None:
    if output is Output.JSON:
        json.dump(found.rows(), sys.stdout, indent=2)
        print()
        return
    from watchdog.tell.tables import report

    report(found)


def _check_online(config: "Config") -> None:
    import tempfile

    from watchdog import errands
    from watchdog.record.store import Store

    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(f"sqlite:///{folder}/nothing.db", exclusive=True)
        try:
            findings = asyncio.run(errands.check_online(config, store))
        finally:
            store.close()
    for finding in findings:
        print(f"{'FAILED' if finding.error else 'ok':8}{finding.what}{': ' if finding.error else ''}{finding.error}")
    print("Whether restarts are permitted cannot be seen without one: give the token SSL and Certificates / Edit.")
    if all(finding.unreachable for finding in findings) and findings:
        sys.exit(UNAVAILABLE)
    if any(finding.error for finding in findings):
        sys.exit(NEEDS_A_PERSON)


@contextmanager
def _progress(zones: int) -> Iterator[Callable[[], None]]:
    """A bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("looking at zones", total=zones or None)
        yield lambda: bar.advance(task)
