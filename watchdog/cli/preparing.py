"""The commands of whoever sets it up: ``init``, ``check-config``, ``test-alert``, ``schema``, ``files``."""

import json
import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from watchdog.cli.exits import fail, failing
from watchdog.cli.opening import load_config
from watchdog.cli.options import DEFAULT_CONFIG, ConfigPath, a_url
from watchdog.cli.printing import print_checks, printing
from watchdog.cli.process import in_loop
from watchdog.model.exit_codes import CONFIG_ERROR, IO_ERROR, NEEDS_A_PERSON, UNAVAILABLE, USAGE

if TYPE_CHECKING:
    from watchdog.config.permissions import Exposed
    from watchdog.config.schema import Config
    from watchdog.notify.routing import Tried


def init(
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE", envvar="CERTPACK_WATCHDOG_CONFIG", show_envvar=True, help="Written to."
        ),
    ] = DEFAULT_CONFIG,
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Holds the token, or gets it; by default `token` beside the configuration."),
    ] = None,
    discover: Annotated[bool, typer.Option("--discover", help="Watch every zone the token sees.")] = False,
    zones: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Watch these zones: NAME NAME ...")] = None,
    more: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="More names for --zones.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing: watch every zone, replace a configuration.")] = False,
    base_url: Annotated[str, typer.Option(metavar="URL", help="Another place of Cloudflare's API.")] = "",
) -> None:
    """Write a first configuration: look what an API token sees, and ask what is to be watched."""
    from watchdog.commands.first_run import CannotBegin
    from watchdog.commands.init import Asked, begin

    names = tuple(name for each in (*(zones or ()), *(more or ())) for name in re.split(r"[,\s]+", each) if name)
    if more and not zones:
        fail(USAGE, f"{more[0]}: zones are named after --zones")
    if discover and names:
        fail(USAGE, "--discover watches every zone, --zones some: give one of them")
    token_file = token_file or output.parent / "token"
    asked = Asked(output=output, token_file=token_file, discover=discover, names=names, yes=yes, base_url=base_url)
    try:
        with printing():
            begin(asked, in_loop)
    except CannotBegin as why:
        fail(why.code, str(why))


def check_config(
    config: ConfigPath = DEFAULT_CONFIG,
    online: Annotated[
        bool, typer.Option("--online", help="Also verify the credentials and that each zone and pack can be read.")
    ] = False,
    without_secrets: Annotated[
        bool, typer.Option("--without-secrets", help="Leave the secrets unread, for whoever may not read them.")
    ] = False,
    show: Annotated[
        bool, typer.Option("--show", help="Print what holds, as YAML: every default filled in, secrets hidden.")
    ] = False,
) -> None:
    """Validate the configuration file."""
    if online and (without_secrets or show):
        why = "needs the secrets: leave out --without-secrets" if without_secrets else "prints a report, --show a file"
        fail(USAGE, f"--online {why}")
    exposed: list[Exposed] = []
    loaded = load_config(config, exposed.append, online=not without_secrets)
    from watchdog.config.advice import advice

    for sentence in advice(loaded, exposed, os.environ):
        with suppress(OSError):
            print(f"warning: {sentence}", file=sys.stderr)
    if not without_secrets and any(destination.url is not None for destination in loaded.alerts.destinations):
        from watchdog.notify.routing import unusable

        if faults := in_loop(unusable(loaded)):
            fail(CONFIG_ERROR, "\n".join(f"{config}: {fault}" for fault in faults))
    with printing():
        if show:
            from watchdog.config.shown import HIDDEN, shown

            print(f"# {config} as it holds, defaults included; {HIDDEN} stands for a secret.\n{shown(loaded)}", end="")
            return
        found = sum(1 for account in loaded.accounts.values() if account.discover is not None)
        more = f", and what discovery finds in {found} of the accounts" if found else ""
        print(f"{config}: fine: accounts: {len(loaded.accounts)}, zones: {len(loaded.zones)}{more}")
    if online:
        _check_online(loaded)


def _check_online(config: "Config") -> None:
    from watchdog.commands.check_online import check_online

    checks = in_loop(check_online(config))
    with printing():
        print_checks((check.what, check.error, check.caution) for check in checks)
        if any(not check.error for check in checks):  # who gave a wrong token has to mend that first
            print("Whether restarts are permitted cannot be seen without one:")
            print("give the token SSL and Certificates / Edit.")
    if checks and all(check.unreachable for check in checks):
        sys.exit(UNAVAILABLE)
    if any(check.error for check in checks):
        sys.exit(NEEDS_A_PERSON)


def send_test(
    destination: Annotated[str, typer.Argument(help="A destination's name; by default all of them.")] = "",
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Send a marked test message, and say what happened."""
    loaded = load_config(config)
    names = [each.name for each in loaded.alerts.destinations]
    if not names or destination not in ("", *names):
        there = f"there is {', '.join(map(str, names))}" if names else "none is configured under alerts.destinations"
        fail(USAGE, f"no destination {destination or 'to test'}: {there}")
    from watchdog.clock import RealClock
    from watchdog.notify.http import HttpSender
    from watchdog.notify.routing import try_out
    from watchdog.version import VERSION

    async def attempts() -> "list[Tried]":
        return await try_out(loaded, destination, RealClock(), HttpSender(f"certpack-watchdog/{VERSION}"))

    tried = in_loop(attempts())
    with printing():
        print_checks((each.destination, each.error, "") for each in tried)
    if any(each.error for each in tried):
        sys.exit(NEEDS_A_PERSON)


def schema() -> None:
    """Print the JSON Schema of the configuration, for editors."""
    from watchdog.config.load import json_schema

    with printing():
        print(json.dumps(json_schema(), indent=2, ensure_ascii=False))


def files(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Made where it is missing; nothing is overwritten.")],
    runbooks: Annotated[
        str, typer.Option(help="The URL of your copy of docs/runbooks, for rules and messages.", callback=a_url)
    ] = "",
) -> None:
    """Lay out the files to install: the unit, an example, rules, a dashboard, manifests, the documentation."""
    from watchdog.commands.files import CannotLayOut, lay_out

    with failing(IO_ERROR, CannotLayOut):
        count = lay_out(folder, runbooks)
    with printing():
        print(f"{folder}: {count} files; begin with docs/deploy.md and config.example.yaml")
