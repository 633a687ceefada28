"""The commands that answer: ``status``, ``events``, ``explain``. They change nothing, and work beside a daemon."""

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from watchdog.cli.exits import fail, failing
from watchdog.cli.opening import load_config, looking, now_of, opened_state, pack_failures
from watchdog.cli.options import (
    DEFAULT_CONFIG,
    ConfigPath,
    Explanation,
    Output,
    OutputOption,
    ZonePattern,
    a_duration,
    a_reason,
)
from watchdog.cli.printing import print_lists, print_report, printing
from watchdog.cli.process import in_loop
from watchdog.model.exit_codes import NEEDS_A_PERSON, USAGE
from watchdog.tell import terminal

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from watchdog.config.schema import Config
    from watchdog.state.glance import Glance
    from watchdog.state.store import Store


def status(
    config: ConfigPath = DEFAULT_CONFIG,
    everything: Annotated[bool, typer.Option("--all", help="Also what is well.")] = False,
    zone: ZonePattern = "",
    reason: Annotated[
        str, typer.Option(metavar="NAME", help="Only what is as it is for this reason.", callback=a_reason)
    ] = "",
    wide: Annotated[bool, typer.Option("--wide", help="A line a pack, however long, with its whole id.")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show what is not well: what needs you first. From memory; needs no network and no credential."""
    loaded = load_config(config, online=False)
    from watchdog.commands import offline

    with looking(loaded) as store:
        now = now_of(store)
        if output is Output.JSON:
            rows = offline.rows(loaded, store, now, zone=zone, reason=reason)
            with printing():
                print_lists({"packs": rows.packs, "zones": rows.zones, **_lease_rows(loaded, store)})
            return
        found, lost = offline.overview(loaded, store, now), offline.loss(loaded, store, now)
        print_report(found, lost, everything=everything, zone=zone, reason=reason, wide=wide)
        if loaded.state.shared:
            from watchdog.tell.holders import holder_lines

            with printing():
                print("", *holder_lines(cast("Store", store).roster.roll(), now), sep="\n")


def _lease_rows(config: "Config", store: "Store | Glance") -> "dict[str, Iterable[str]]":
    """Who works what, where several replicas share the state."""
    if not config.state.shared:
        return {}
    from watchdog.tell.holders import lease_rows, replica_rows

    roll, as_json = cast("Store", store).roster.roll(), terminal.json_line
    return {"leases": map(as_json, lease_rows(roll)), "replicas": map(as_json, replica_rows(roll))}


def events(
    config: ConfigPath = DEFAULT_CONFIG,
    since: Annotated[
        str, typer.Option(metavar="DURATION", help="How far to look back, such as 12h.", callback=a_duration)
    ] = "24h",
    zone: ZonePattern = "",
    pack: Annotated[str, typer.Option(metavar="PREFIX", help="Only a pack whose id begins so.")] = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Tell what happened, oldest first, alerts too. From memory; needs no network and no credential."""
    loaded = load_config(config, online=False)
    from watchdog.commands import offline
    from watchdog.config.durations import parse_duration
    from watchdog.model.history import JournalQuery
    from watchdog.model.pack_ids import SHORTEST_PREFIX, canonical_id
    from watchdog.model.report import event_row

    if pack and len(canonical_id(pack)) < SHORTEST_PREFIX:
        fail(USAGE, f"--pack {pack}: give at least {SHORTEST_PREFIX} characters of its id")
    with looking(loaded) as store:
        now = now_of(store)
        most = offline.MOST_TOLD if output is Output.TABLE else offline.MOST_KEPT
        query = JournalQuery(since=now - parse_duration(since), zone=zone, pack=pack, most=most)
        found, ids = offline.events(store, query), store.pack_ids() if output is Output.TABLE else []
    with printing():
        if output is Output.JSON:
            print_lists({"events": map(terminal.json_line, map(event_row, found))})
            return
        from watchdog.model.pack_ids import short_length, shortened
        from watchdog.tell.timeline import timeline

        length = short_length(ids)
        if len(found) == most:
            print(f"Only the last {most} events; --since, --zone and --pack show others.\n")
        for line in timeline(found, now, terminal.width(), lambda pack_id: shortened(pack_id, length)):
            print(line)
        if not found:
            print(f"Nothing happened within {since} that fits.")


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
    loaded = load_config(config, online=not without_network)
    rows, now = _rows_offline(loaded, zone, pack) if without_network else _rows_online(loaded, zone, pack)
    with printing():
        if output is Explanation.JSON:
            print(json.dumps({"packs": rows}, indent=2, ensure_ascii=False))
        else:
            from watchdog.tell.explain import explained

            width = terminal.width()
            print("\n\n".join(explained(row, now, width) for row in rows) or f"zone {zone} has no packs")
    if any(row["needs_person"] for row in rows):
        sys.exit(NEEDS_A_PERSON)


_Rows = tuple[list[dict[str, Any]], "datetime"]
"""Packs, and what time it is by the clock that their times are of."""


def _rows_offline(config: "Config", zone: str, pack: str) -> _Rows:
    from watchdog.commands.explanation import NotThere, explain_offline

    with opened_state(config, exclusive=False) as store, failing(NEEDS_A_PERSON, NotThere):
        now = now_of(store)
        return explain_offline(config, store, zone, pack, now), now


def _rows_online(config: "Config", zone: str, pack: str) -> _Rows:
    from watchdog.commands import one_pack

    with opened_state(config, exclusive=True, or_beside=True) as store, pack_failures():
        return in_loop(one_pack.explain(config, store, zone, pack, terminal.waits)), now_of(store)
