"""What psycopg and libpq are asked for: the options of a connection and the schema, read from a URL.

libpq reads the URL itself, with several hosts, services and whatever else it knows. psycopg is imported when a state is
opened, not before: who uses SQLite need not have it. Called by ``postgresql`` alone.
"""

import re
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from watchdog.model.text import clean
from watchdog.state.database import StateError

SCHEMA = "certpack_watchdog"
"""Where the tables are when the URL names no schema: no other program's tables are there."""

CONNECTION: Mapping[str, Any] = {
    "application_name": "certpack-watchdog",
    "connect_timeout": 5,
    # Both, for cut off in the middle each alone waits for more than 25 s: the one while it sends, the others while it
    # waits for an answer.
    "tcp_user_timeout": 5000,
    "keepalives": 1,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 3,
}
"""What is asked of libpq where the URL says nothing of it: a connection that is cut is noticed within some 5 s."""


def connector(url: str) -> tuple[Callable[[], Any], Mapping[str, Any], str]:
    """What makes a connection, the options that the ``url`` names, and the schema. Raises ``StateError``."""
    try:
        psycopg = import_module("psycopg")
        connect = import_module("watchdog.state.patient").PatientConnection.connect
    except ImportError:
        raise StateError(
            "a state on PostgreSQL needs the extra `postgresql`: pip install certpack-watchdog[postgresql]"
        ) from None
    address, _, query = url.partition("?")
    rest = [each for each in query.split("&") if each and not each.startswith("schema=")]
    named = re.findall(r"(?:^|&)schema=([^&]*)", query)
    try:
        options = psycopg.conninfo.conninfo_to_dict(f"{address}?{'&'.join(rest)}" if rest else address)
    except psycopg.Error as error:
        raise StateError(f"state.url is not understood: {_without_excerpt(str(error))}") from None
    whole = {
        **CONNECTION,
        **options,
        "prepare_threshold": None,
    }  # behind a pooler another connection knows nothing of it
    return lambda: connect(**whole), options, named[0] if named else SCHEMA


def _without_excerpt(text: str) -> str:
    """What libpq says of a URL, without the part of it that comes last: that may be a password, however it is written.

    >>> _without_excerpt('invalid percent-encoded token: "s3%cret"')
    'invalid percent-encoded token'
    """
    said, found, _ = text.partition(': "')
    return clean(said) if found else "libpq cannot read it"
