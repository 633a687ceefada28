"""Which version runs; for the log, the metrics and the user agent."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def own_version() -> str:
    """The installed version, or ``unknown`` when run from a bare tree."""
    try:
        return version("certpack-watchdog")
    except PackageNotFoundError:
        return "unknown"
