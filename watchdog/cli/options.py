"""What several commands are asked in the same words: options, and what their values may be."""

import re
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


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


def a_duration(text: str | None) -> str | None:
    from watchdog.config.durations import parse_duration

    try:
        if text is not None:
            parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return text


def a_reason(text: str) -> str:
    from watchdog.model.reasons import Reason

    if text and text not in {*Reason}:
        meant = get_close_matches(text[:60], [*Reason], 1)
        hint = f"did you mean {meant[0]}?" if meant else "docs/reasons.md has all of them"
        raise typer.BadParameter(f"there is no such reason; {hint}")
    return text


def a_url(text: str) -> str:
    if text and not re.fullmatch(r"https?://[^\s\"'{}]+", text):
        raise typer.BadParameter("a URL is needed, such as https://wiki.example/runbooks/")
    return text
