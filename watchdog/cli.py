"""The commands and their exit codes; nothing else. Heavy things are imported by the command that uses them.

Exit codes: 0 fine, 1 something needs a person, 2 wrong usage, 69 Cloudflare cannot be reached or refuses the
credentials, 74 the machine refuses: the state (or the report) cannot be opened or written, the address is taken, no
file descriptor is left; 75 another instance holds the state, 78 the configuration is wrong, or a newer version wrote
the state. Errors are one sentence on stderr, never a traceback. Each failure gets its code where what raises it is
called (``_load``, ``_store``, …), so nothing is imported only to tell errors apart.
"""

import asyncio
import errno
import gc
import json
import os
import re
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from enum import StrEnum
from itertools import islice, starmap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar, cast

import typer

from watchdog.tell import terminal

if TYPE_CHECKING:
    from datetime import datetime

    from watchdog.config.document import Opened
    from watchdog.config.permissions import Exposed, Warn
    from watchdog.config.schema import Config
    from watchdog.model.report import Inventory
    from watchdog.notify.destinations import Tried
    from watchdog.runtime import Runtime
    from watchdog.state.glance import Glance
    from watchdog.state.store import Store
    from watchdog.tell.status import Overview

_Result = TypeVar("_Result")

NEEDS_A_PERSON, USAGE, UNAVAILABLE, IO_ERROR, STATE_HELD, CONFIG_ERROR = 1, 2, 69, 74, 75, 78

app = typer.Typer(
    name="certpack-watchdog",
    help="Restarts timed-out validations of Cloudflare certificate packs, with backoff, a memory and metrics.",
    epilog="Try it without an account: certpack-watchdog demo",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


class Output(StrEnum):
    """How a report is printed."""

    TABLE = "table"
    JSON = "json"


class Explanation(StrEnum):
    """How an explanation is printed."""

    TEXT = "text"
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
ZonePattern = Annotated[
    str, typer.Option("--zone", metavar="GLOB", help="Only zones whose name fits, such as *.example.")
]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="A table, or JSON.")]


def _version(asked: bool) -> None:
    if asked:
        from watchdog.version import own_version

        print(f"certpack-watchdog {own_version()}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


GARBAGE_AFTER = 20_000
"""Objects made before cycles among them are looked for, in place of CPython's 700: nearly all that a pass makes is
freed without. A pass over 1,000 zones costs 6 % less CPU so, and no more memory (``bench/sweep.py``)."""


def main() -> None:
    """Run the command line, whatever the streams it was given can take."""
    terminal.prepare()
    gc.disable()  # while all that is imported stays: looking for garbage in it costs a sixth of a start (``_in_loop``)
    os.environ.setdefault(
        "PYDANTIC_DISABLE_PLUGINS", "__all__"
    )  # else it reads what every installed package says: 15 ms
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # httpx's own command line, with rich: 40 ms
    try:
        app()
    finally:
        terminal.finish()


def _duration(text: str) -> str:
    from watchdog.config.durations import parse_duration

    try:
        parse_duration(text or "1s")
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return text


def _reason(text: str) -> str:
    from watchdog.model.reasons import Reason

    if text and text not in {*Reason}:
        meant = get_close_matches(text[:60], [*Reason], 1)
        raise typer.BadParameter("there is no such reason" + (f"; did you mean {meant[0]}?" if meant else ""))
    return text


def _url(text: str) -> str:
    if text and not re.fullmatch(r"https?://[^\s\"'{}]+", text):
        raise typer.BadParameter("a URL is needed, such as https://wiki.example/runbooks/")
    return text


@app.command()
def run(config: ConfigPath = DEFAULT_CONFIG, dry_run: DryRun = False) -> None:
    """Watch, in the foreground, until SIGTERM or SIGINT. SIGHUP reloads the configuration."""
    from watchdog.config.files import Files

    exposed: list[Exposed] = []
    files = Files()
    loaded = _load(config, exposed.append, opened=files.opened)
    from watchdog.daemon import watch
    from watchdog.tell.listener import ListenError

    with _store(loaded, exclusive=True, mending=True) as store:
        try:
            _in_loop(watch(loaded, store, config, os.environ, files=files, exposed=exposed, dry_run=dry_run))
        except ListenError as error:  # whoever has the port may leave it, and an address may come up after us
            _fail(IO_ERROR, str(error))
        except OSError as error:
            if error.errno not in {errno.EMFILE, errno.ENFILE}:
                raise
            _fail(IO_ERROR, f"{error.strerror}: raise the limit (LimitNOFILE under systemd, else ulimit -n)")


@app.command()
def once(
    config: ConfigPath = DEFAULT_CONFIG,
    dry_run: DryRun = False,
    alert: Annotated[bool, typer.Option("--alert", help="Also tell people, as the daemon would.")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Make one pass over everything, then print a report. For cron, and for trying things out."""
    if alert and dry_run:
        _fail(USAGE, "--alert notes whom it told, and --dry-run writes nothing: give one of them")
    exposed: list[Exposed] = []
    loaded = _load(config, exposed.append)
    from watchdog import commands

    tell = _teller(loaded, config) if alert else None
    opened = _store(loaded, exclusive=not dry_run, copied=dry_run, mending=not dry_run)
    with opened as store, terminal.progress(len(loaded.zones)) as watch:
        result = _in_loop(commands.once(loaded, store, exposed, dry_run=dry_run, watch=watch, then=tell))
    if output is Output.JSON:
        _print_rows(result.inventory)
    else:
        from watchdog.tell.status import Overview

        _print_report(Overview.of(result.inventory))
    if result.nothing_seen:
        sys.exit(UNAVAILABLE)
    if result.needs_a_person:
        sys.exit(NEEDS_A_PERSON)


def _teller(config: "Config", path: Path) -> "Callable[[Runtime], Awaitable[None]]":
    if not config.alerts.destinations and config.alerts.heartbeat_url is None:
        _fail(CONFIG_ERROR, f"{path}: alerts.destinations: --alert would tell nobody; add one, or leave --alert out")
    from watchdog.telling import tell

    return tell


@app.command()
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
    from watchdog.first_run import CannotBegin
    from watchdog.init import Asked, begin

    names = tuple(name for each in (*(zones or ()), *(more or ())) for name in re.split(r"[,\s]+", each) if name)
    if more and not zones:
        _fail(USAGE, f"{more[0]}: zones are named after --zones")
    if discover and names:
        _fail(USAGE, "--discover watches every zone, --zones some: give one of them")
    token_file = token_file or output.parent / "token"
    asked = Asked(output=output, token_file=token_file, discover=discover, names=names, yes=yes, base_url=base_url)
    try:
        with _printing():
            begin(asked, _in_loop)
    except CannotBegin as why:
        _fail(why.code, str(why))


@app.command("check-config")
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
        _fail(USAGE, f"--online {why}")
    exposed: list[Exposed] = []
    loaded = _load(config, exposed.append, online=not without_secrets)
    from watchdog.config.advice import advice

    for sentence in advice(loaded, exposed, os.environ):
        with suppress(OSError):
            print(f"warning: {sentence}", file=sys.stderr)
    if not without_secrets and any(destination.url is not None for destination in loaded.alerts.destinations):
        from watchdog.notify.destinations import unusable

        if faults := _in_loop(unusable(loaded)):
            _fail(CONFIG_ERROR, "\n".join(f"{config}: {fault}" for fault in faults))
    with _printing():
        if show:
            from watchdog.config.shown import HIDDEN, shown

            print(f"# {config} as it holds, defaults included; {HIDDEN} stands for a secret.\n{shown(loaded)}", end="")
            return
        found = sum(1 for account in loaded.accounts.values() if account.discover is not None)
        more = f", and what discovery finds in {found} of the accounts" if found else ""
        print(f"{config}: fine: accounts: {len(loaded.accounts)}, zones: {len(loaded.zones)}{more}")
    if online:
        _check_online(loaded)


@app.command()
def status(
    config: ConfigPath = DEFAULT_CONFIG,
    everything: Annotated[bool, typer.Option("--all", help="Also what is well.")] = False,
    zone: ZonePattern = "",
    reason: Annotated[
        str, typer.Option(metavar="NAME", help="Only what is as it is for this reason.", callback=_reason)
    ] = "",
    wide: Annotated[bool, typer.Option("--wide", help="A line a pack, however long, with its whole id.")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show what is not well: what needs you first. From memory; needs no network and no credential."""
    loaded = _load(config, online=False)
    from watchdog import offline

    with _looking(loaded) as store:
        now = _now(store)
        if output is Output.JSON:
            rows = offline.rows(loaded, store, now, zone=zone, reason=reason)
            with _printing():
                _print_lines({"packs": rows.packs, "zones": rows.zones, **_leases_as_lines(loaded, store)})
            return
        found, lost = offline.overview(loaded, store, now), offline.loss(loaded, store, now)
        _print_report(found, lost, everything=everything, zone=zone, reason=reason, wide=wide)
        if loaded.state.shared:
            from watchdog.tell.holders import holder_lines

            with _printing():
                print("", *holder_lines(cast("Store", store).roll(), now), sep="\n")


def _now(store: "Store | Glance") -> "datetime":
    """The time that the state's times are of: the database's, where several machines share it."""
    from watchdog.clock import RealClock

    return cast("Store", store).time() if getattr(store, "shared", False) else RealClock().now()


def _leases_as_lines(config: "Config", store: "Store | Glance") -> dict[str, Iterable[str]]:
    """Who works what, where several replicas share the state."""
    if not config.state.shared:
        return {}
    from watchdog.tell.holders import lease_rows, replica_rows

    roll = cast("Store", store).roll()
    rows = {"leases": lease_rows(roll), "replicas": replica_rows(roll)}
    return {name: map(terminal.json_line, found) for name, found in rows.items()}


@app.command()
def events(
    config: ConfigPath = DEFAULT_CONFIG,
    since: Annotated[
        str, typer.Option(metavar="DURATION", help="How far to look back, such as 12h.", callback=_duration)
    ] = "24h",
    zone: ZonePattern = "",
    pack: Annotated[str, typer.Option(metavar="PREFIX", help="Only a pack whose id begins so.")] = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Tell what happened, oldest first, alerts too. From memory; needs no network and no credential."""
    loaded = _load(config, online=False)
    from watchdog import offline
    from watchdog.config.durations import parse_duration
    from watchdog.model.history import JournalQuery
    from watchdog.model.packs import SHORTEST_PREFIX, pack_key
    from watchdog.model.report import event_row

    if pack and len(pack_key(pack)) < SHORTEST_PREFIX:
        _fail(USAGE, f"--pack {pack}: give at least {SHORTEST_PREFIX} characters of its id")
    with _looking(loaded) as store:
        now = _now(store)
        most = offline.MOST_TOLD if output is Output.TABLE else offline.MOST_KEPT
        query = JournalQuery(since=now - parse_duration(since), zone=zone, pack=pack, most=most)
        found, ids = offline.events(store, query), store.pack_ids() if output is Output.TABLE else []
    with _printing():
        if output is Output.JSON:
            _print_json({"events": map(event_row, found)})
            return
        from watchdog.model.packs import short_length
        from watchdog.tell.timeline import timeline

        length = short_length(ids)
        if len(found) == most:
            print(f"Only the last {most} events; --since, --zone and --pack show others.\n")
        for line in timeline(found, now, terminal.width(), lambda pack_id: pack_id[:length]):
            print(line)
        if not found:
            print(f"Nothing happened within {since} that fits.")


@app.command()
def explain(
    zone: Annotated[str, typer.Argument(help="The zone's name or id.")],
    pack: Annotated[str, typer.Argument(help="How the pack's id begins; by default all packs of the zone.")] = "",
    config: ConfigPath = DEFAULT_CONFIG,
    without_network: Annotated[
        bool, typer.Option("--offline", help="As the last look found it; needs no network and no credential.")
    ] = False,
    output: Annotated[Explanation, typer.Option("--output", "-o", help="Text, or JSON.")] = Explanation.TEXT,
) -> None:
    """Say why a zone's packs are as they are: status, findings, decision, and the records to place."""
    loaded = _load(config, online=not without_network)
    from watchdog.clock import RealClock

    rows = _rows_offline(loaded, zone, pack) if without_network else _rows_online(loaded, zone, pack)
    with _printing():
        if output is Explanation.JSON:
            print(json.dumps({"packs": rows}, indent=2, ensure_ascii=False))
        else:
            from watchdog.tell.explain import explained

            now, width = RealClock().now(), terminal.width()
            print("\n\n".join(explained(row, now, width) for row in rows) or f"zone {zone} has no packs")
    if any(row["needs_person"] for row in rows):
        sys.exit(NEEDS_A_PERSON)


def _rows_offline(config: "Config", zone: str, pack: str) -> list[dict[str, Any]]:
    from watchdog import offline

    with _store(config, exclusive=False) as store:
        try:
            return offline.explain(config, store, zone, pack, _now(store))
        except offline.NotThere as why:
            _fail(NEEDS_A_PERSON, str(why))


def _rows_online(config: "Config", zone: str, pack: str) -> list[dict[str, Any]]:
    from watchdog import commands

    with _store(config, exclusive=True, or_beside=True) as store:
        try:
            return _in_loop(commands.explain(config, store, zone, pack))
        except commands.CannotBeDone as why:
            _fail(UNAVAILABLE if why.unreachable else NEEDS_A_PERSON, str(why))


@app.command()
def restart(
    zone: Annotated[str, typer.Argument(help="The zone's name or id.")],
    pack: Annotated[str, typer.Argument(help="How the pack's id begins; not needed where the zone has one.")] = "",
    config: ConfigPath = DEFAULT_CONFIG,
    force: Annotated[bool, typer.Option("--force", help="Override backoff, budget and holds.")] = False,
) -> None:
    """Restart one pack's validation now, through the same checks as the daemon, which may be running."""
    loaded = _load(config)
    from watchdog import commands

    with _store(loaded, exclusive=True, or_beside=True) as store:
        try:
            done = _in_loop(commands.restart(loaded, store, zone, pack, force=force))
        except commands.CannotBeDone as why:
            _fail(UNAVAILABLE if why.unreachable else NEEDS_A_PERSON, str(why))
    with _printing():
        print(f"restarted: pack {done.pack_id} of {done.zone} is now {done.status}, attempt {done.attempt}")


silences = typer.Typer(
    help="Tell nobody of a zone or a pack for a while. It is watched and restarted as before.", no_args_is_help=True
)
app.add_typer(silences, name="silence")


@silences.command("add")
def add_silence(
    zone: Annotated[str, typer.Argument(help="The zone's name or id.")],
    lasting: Annotated[str, typer.Option("--for", help="For how long, such as 7d.", callback=_duration)],
    comment: Annotated[str, typer.Option("--comment", help="Why, for whoever sees it.")],
    pack: Annotated[
        str, typer.Argument(help="The pack's id, or its first 4 characters or more; by default the whole zone.")
    ] = "",
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Add a silence. A pack that has expired is told all the same, once."""
    from watchdog import silencing
    from watchdog.config.durations import parse_duration
    from watchdog.model.clock import rfc3339

    with _store(_load(config, online=False), exclusive=False) as store:
        try:
            added = silencing.add(store, zone, pack, parse_duration(lasting), comment, _now(store))
        except silencing.CannotSilence as why:
            _fail(NEEDS_A_PERSON, str(why))
    with _printing():
        for each in added:
            what = f"pack {each.pack_id} of {each.zone}" if each.pack_id else f"zone {each.zone}"
            print(f"silence {each.id}: nobody is told of {what} until {rfc3339(each.until)}")


@silences.command("list")
def list_silences(config: ConfigPath = DEFAULT_CONFIG, output: OutputOption = Output.TABLE) -> None:
    """List the silences that hold."""
    from watchdog import silencing
    from watchdog.model.report import silence_row
    from watchdog.tell.status import silence_lines

    with _store(_load(config, online=False), exclusive=False) as store:
        now = _now(store)
        found = silencing.listed(store, now)
    with _printing():
        if output is Output.JSON:
            _print_json({"silences": map(silence_row, found)})
        else:
            for line in silence_lines(found, now, terminal.width()):
                print(line)


@silences.command("expire")
def expire_silence(
    number: Annotated[int, typer.Argument(metavar="ID", help="Its id, as in `silence list`.")],
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """End a silence now."""
    from watchdog import silencing

    with _store(_load(config, online=False), exclusive=False) as store:
        try:
            ended = silencing.expire(store, number, _now(store))
        except silencing.CannotSilence as why:
            _fail(NEEDS_A_PERSON, str(why))
    with _printing():
        print(f"silence {ended.id} of {ended.zone} has ended")


states = typer.Typer(help="Move what is remembered to another place.", no_args_is_help=True)
app.add_typer(states, name="state")


@states.command("copy")
def copy_state(
    source: Annotated[str, typer.Argument(metavar="FROM", help="The URL of a state, or a file that holds it.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="The same, of a state that is empty or not there yet.")],
) -> None:
    """Copy a state to another place, whole or not at all. No daemon may be at work on either."""
    from watchdog.clock import RealClock
    from watchdog.model.clock import anchor
    from watchdog.state.store import Store

    old, new = _state_url(source), _state_url(target)
    with _state_failures():
        done = Store.move(old, new, anchor(RealClock()))
    with _printing():
        print(f"copied: zones: {done.zones:,}, packs: {done.packs:,}, rows in all: {done.rows:,}")


def _state_url(text: str) -> str:
    if "://" in text:
        return text
    try:
        return Path(text).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        _fail(USAGE, f"{text} is no URL of a state, nor a file that holds one: {why}")


@app.command()
def demo(
    speed: Annotated[float, typer.Option(help="How many times faster than the usual demo.", min=0.1, max=10)] = 1.0,
    duration: Annotated[
        str,
        typer.Option("--for", help="How long, such as 45s; by default until the story ends.", callback=_duration),
    ] = "",
    port: Annotated[int, typer.Option(help="Port of the daemon's own pages; 0: any.", min=0, max=65535)] = 9909,
    verbose: Annotated[bool, typer.Option("--verbose", help="The daemon's log lines as well.")] = False,
) -> None:
    """Show the daemon at work against the built-in simulator. No account needed."""
    from watchdog.demo.show import show

    _in_loop(show(speed=speed, duration=duration, port=port, verbose=verbose))


@app.command()
def simulate(
    port: Annotated[int, typer.Option(help="Port on loopback; 0: any.", min=0, max=65535)] = 8787,
    scenario: Annotated[Path | None, typer.Option(help="A scenario file; by default the demo's.")] = None,
) -> None:
    """Run the simulator alone: a little Cloudflare on loopback, speaking its API."""
    from watchdog.demo.simulate import CannotSimulate
    from watchdog.demo.simulate import simulate as serve

    try:
        _in_loop(serve(port, scenario))
    except CannotSimulate as error:
        _fail(CONFIG_ERROR, str(error))


@app.command("test-alert")
def send_test(
    destination: Annotated[str, typer.Argument(help="A destination's name; by default all of them.")] = "",
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Send a marked test message, and say what happened."""
    loaded = _load(config)
    names = [each.name for each in loaded.alerts.destinations]
    if not names or destination not in ("", *names):
        there = f"there is {', '.join(map(str, names))}" if names else "none is configured under alerts.destinations"
        _fail(USAGE, f"no destination {destination or 'to test'}: {there}")
    from watchdog.clock import RealClock
    from watchdog.notify.destinations import try_out
    from watchdog.notify.http import HttpSender
    from watchdog.version import own_version

    async def attempts() -> "list[Tried]":
        return await try_out(loaded, destination, RealClock(), HttpSender(f"certpack-watchdog/{own_version()}"))

    tried = _in_loop(attempts())
    with _printing():
        for each in tried:
            print(f"{'FAILED' if each.error else 'ok':8}{each.destination}{each.error and f': {each.error}'}")
    if any(each.error for each in tried):
        sys.exit(NEEDS_A_PERSON)


@app.command()
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors."""
    from watchdog.config.load import json_schema

    with _printing():
        print(json.dumps(json_schema(), indent=2, ensure_ascii=False))


@app.command()
def files(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Made where it is missing; nothing is overwritten.")],
    runbooks: Annotated[
        str, typer.Option(help="The URL of your copy of docs/runbooks, for rules and messages.", callback=_url)
    ] = "",
) -> None:
    """Lay out the files to install: the unit, an example, rules, a dashboard, manifests, the documentation."""
    from watchdog.shipped import CannotLayOut, lay_out

    try:
        count = lay_out(folder, runbooks)
    except CannotLayOut as error:
        _fail(IO_ERROR, str(error))
    with _printing():
        print(f"{folder}: {count} files; begin with docs/deploy.md and config.example.yaml")


def _in_loop(work: Coroutine[None, None, _Result]) -> _Result:
    """Run it to its end. From here on garbage is collected, but not looked for in what the imports have made."""
    gc.freeze()
    gc.set_threshold(GARBAGE_AFTER)
    gc.enable()
    return asyncio.run(work)


@contextmanager
def _printing() -> Iterator[None]:
    try:
        with terminal.printing():
            yield
    except terminal.CannotPrint as error:
        _fail(IO_ERROR, str(error))


def _fail(code: int, sentence: str) -> NoReturn:
    if terminal.reads_priorities(sys.stderr):
        sentence = "\n".join(terminal.priority("error") + line for line in sentence.splitlines())
    with suppress(OSError):
        print(sentence, file=sys.stderr)
    sys.exit(code)


def _load(
    path: Path, warn: "Warn" = lambda _: None, *, online: bool = True, opened: "Opened | None" = None
) -> "Config":
    """The configuration; where the command goes ``online``, with its secrets, and the environment must fit as well."""
    from watchdog.config.document import unnoticed
    from watchdog.config.environment import check_environment
    from watchdog.config.load import ConfigError, load

    if online and (unusable := "\n".join(check_environment(os.environ))):
        _fail(CONFIG_ERROR, unusable)
    try:
        return load(path, os.environ, warn, with_secrets=online, opened=opened or unnoticed)
    except ConfigError as error:
        _fail(CONFIG_ERROR, str(error))


@contextmanager
def _looking(config: "Config") -> "Iterator[Store | Glance]":
    """The state, to be read only: at a glance where it is in good order, else by the door that says what is wrong."""
    from watchdog.state.glance import Glance, Unusual

    try:
        glance = Glance.open(config.state.url.get_secret_value())
    except Unusual:
        with _store(config, exclusive=False) as store:
            yield store
        return
    try:
        yield glance
    except Unusual:
        with _store(config, exclusive=False) as store:
            store.load()
        _fail(IO_ERROR, "the state could not be read to its end: try again")
    finally:
        glance.close()


@contextmanager
def _store(
    config: "Config", *, exclusive: bool, or_beside: bool = False, copied: bool = False, mending: bool = False
) -> "Iterator[Store]":
    """The state. ``or_beside`` a daemon that holds it, where it would have been ours alone; ``copied``, it stays as is.

    ``mending``, a damaged one is set aside: at the opening for a new one, later for the new one of the next start.
    """
    from watchdog.clock import RealClock
    from watchdog.state.database import StateDamaged

    clock, url = RealClock(), config.state.url.get_secret_value()
    with _state_failures():
        mend_at = clock.now() if mending else None
        store = _opened(url, exclusive=exclusive, or_beside=or_beside, copied=copied, mend_at=mend_at)
        try:
            yield store
            if mending and store.damage is not None:
                raise store.damage
        except StateDamaged as damage:
            if not mending:
                raise
            kept = store.set_aside(clock.now())
            _fail(IO_ERROR, f"{damage}; it was set aside as {kept}, and the next start begins a new one")
        finally:
            store.close()


@contextmanager
def _state_failures() -> "Iterator[None]":
    from watchdog.state.database import StateDamaged, StateError, StateHeld, StateInUse, StateTooNew

    try:
        yield
    except (StateHeld, StateInUse) as error:
        _fail(STATE_HELD, str(error))
    except StateTooNew as error:
        _fail(CONFIG_ERROR, str(error))
    except StateDamaged as error:
        _fail(IO_ERROR, f"{error}; `run` and `once` set it aside and begin a new one")
    except StateError as error:
        _fail(IO_ERROR, str(error))


def _opened(url: str, *, exclusive: bool, or_beside: bool, copied: bool, mend_at: "datetime | None") -> "Store":
    from watchdog.state.database import StateHeld
    from watchdog.state.store import Store

    if copied:
        return Store.open_copy(url)
    try:
        store = Store.open(url, exclusive=exclusive, mend_at=mend_at)
    except StateHeld:
        if not or_beside:
            raise
        return Store.open(url, exclusive=False)
    if or_beside and store.shared:  # it is up to date now, and daemons may be at work on it
        store.close()
        return Store.open(url, exclusive=False)
    return store


def _print_rows(found: "Inventory") -> None:
    """The rows of everything; each is made when it is printed."""
    with _printing():
        _print_json({"packs": starmap(found.row, found.packs), "zones": found.zone_rows()})


def _print_json(lists: Mapping[str, Iterable[dict[str, Any]]]) -> None:
    """One object of lists, each row on a line of its own, none kept."""
    _print_lines({name: map(terminal.json_line, rows) for name, rows in lists.items()})


def _print_lines(lists: Mapping[str, Iterable[str]]) -> None:
    """One object of lists, of rows that are JSON already."""
    opening = "{"
    for name, rows in lists.items():
        sys.stdout.write(f"{opening}{json.dumps(name)}: [")
        separator, left = "\n  ", iter(rows)
        while some := list(islice(left, 500)):
            sys.stdout.write(separator + ",\n  ".join(some))
            separator = ",\n  "
        sys.stdout.write("]" if separator == "\n  " else "\n]")
        opening = ", "
    print("}")


def _print_report(found: "Overview", lost: str = "", **wanted: Any) -> None:
    from watchdog.tell.status import View, lines, wrapped
    from watchdog.tell.times import localised

    width = terminal.width()
    view = View(width=width, colours=terminal.takes_colours(sys.stdout), **wanted)
    with _printing():
        for line in lines(found, view):
            print(line)
        if lost:
            print("\n" + "\n".join(wrapped(localised(lost, found.inventory.at), width)))


def _check_online(config: "Config") -> None:
    from watchdog import commands

    checks = _in_loop(commands.check_online(config))
    with _printing():
        for check in checks:
            print(f"{'FAILED' if check.error else 'ok':8}{check.what}{check.error and f': {check.error}'}")
        print("Whether restarts are permitted cannot be seen without one: give the token SSL and Certificates / Edit.")
    if checks and all(check.unreachable for check in checks):
        sys.exit(UNAVAILABLE)
    if any(check.error for check in checks):
        sys.exit(NEEDS_A_PERSON)
