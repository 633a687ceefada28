"""Which version runs; for the log, the metrics and the user agent."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PROJECT = Path(__file__).parents[1] / "pyproject.toml"


@cache
def own_version() -> str:
    """The installed version, or that of the bare tree it is run from; ``unknown`` where neither is known."""
    try:
        return version("certpack-watchdog")
    except PackageNotFoundError:
        import tomllib  # noqa: PLC0415  nobody needs it where the package is installed

        return tomllib.loads(_PROJECT.read_text("utf-8"))["project"]["version"] if _PROJECT.is_file() else "unknown"
