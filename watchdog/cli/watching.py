"""The commands that watch and restart: ``run``, ``once``, ``restart``."""

import errno
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from watchdog.cli.exits import fail
from watchdog.cli.opening import load_config, opened_state, pack_failures
from watchdog.cli.options import DEFAULT_CONFIG, ConfigPath, DryRun, Output, OutputOption
from watchdog.cli.printing import print_lists, print_report, printing
from watchdog.cli.process import GARBAGE_AFTER_A_PASS, in_loop
from watchdog.model.exit_codes import CONFIG_ERROR, IO_ERROR, NEEDS_A_PERSON, UNAVAILABLE, USAGE
from watchdog.tell import terminal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from watchdog.config.permissions import Exposed
    from watchdog.config.schema import Config
    from watchdog.runtime import Runtime


def run(config: ConfigPath = DEFAULT_CONFIG, dry_run: DryRun = False) -> None:
    """Watch, in the foreground, until SIGTERM or SIGINT. SIGHUP reloads the configuration."""
    from watchdog.config.files import Files

    exposed: list[Exposed] = []
    files = Files()
    loaded = load_config(config, exposed.append, opened=files.opened)
    from watchdog.commands.run import watch
    from watchdog.tell.listener import ListenError

    with opened_state(loaded, exclusive=True, mending=True) as store:
        try:
            in_loop(watch(loaded, store, config, os.environ, files=files, exposed=exposed, dry_run=dry_run))
        except ListenError as error:  # whoever has the port may leave it, and an address may come up after us
            fail(IO_ERROR, str(error))
        except OSError as error:
            if error.errno not in {errno.EMFILE, errno.ENFILE}:
                raise
            fail(IO_ERROR, f"{error.strerror}: raise the limit (LimitNOFILE under systemd, else ulimit -n)")


def once(
    config: ConfigPath = DEFAULT_CONFIG,
    dry_run: DryRun = False,
    alert: Annotated[bool, typer.Option("--alert", help="Also tell people, as the daemon would.")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Make one pass over everything, then print a report. For cron, and for trying things out."""
    if alert and dry_run:
        fail(USAGE, "--alert notes whom it told, and --dry-run writes nothing: give one of them")
    exposed: list[Exposed] = []
    loaded = load_config(config, exposed.append)
    from watchdog.commands.once import one_pass

    tell = _teller(loaded, config) if alert else None
    opened = opened_state(loaded, exclusive=not dry_run, copied=dry_run, mending=not dry_run)
    with opened as store, terminal.progress(len(loaded.zones)) as watch:
        work = one_pass(loaded, store, exposed, dry_run=dry_run, watch=watch, then=tell)
        result = in_loop(work, GARBAGE_AFTER_A_PASS)
    if output is Output.JSON:
        from watchdog.tell.rows import pack_lines

        with printing():
            found = result.inventory
            print_lists({"packs": pack_lines(found), "zones": map(terminal.json_line, found.zone_rows())})
    else:
        from watchdog.tell.overview import Overview

        print_report(Overview.of(result.inventory))
    if result.nothing_seen:
        sys.exit(UNAVAILABLE)
    if result.needs_a_person:
        sys.exit(NEEDS_A_PERSON)


def _teller(config: "Config", path: Path) -> "Callable[[Runtime], Awaitable[None]]":
    if not config.alerts.destinations and config.alerts.heartbeat_url is None:
        fail(CONFIG_ERROR, f"{path}: alerts.destinations: --alert would tell nobody; add one, or leave --alert out")
    from watchdog.commands.once_alert import tell

    return tell


def restart(
    zone: Annotated[str, typer.Argument(help="The zone's name or id.")],
    pack: Annotated[str, typer.Argument(help="How the pack's id begins; not needed where the zone has one.")] = "",
    config: ConfigPath = DEFAULT_CONFIG,
    force: Annotated[bool, typer.Option("--force", help="Override backoff, budget and holds.")] = False,
) -> None:
    """Restart one pack's validation now, through the same checks as the daemon, which may be running."""
    loaded = load_config(config)
    from watchdog.commands import one_pack

    with opened_state(loaded, exclusive=True, or_beside=True) as store, pack_failures():
        done = in_loop(one_pack.restart(loaded, store, zone, pack, force=force))
    with printing():
        print(f"restarted: pack {done.pack_id} of {done.zone} is now {done.status}, attempt {done.attempt}")
