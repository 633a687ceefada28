"""Brings a database to the newest revision, or says why it is not one of ours. Called when a database is opened.

Runs on the connection it is handed, inside the transaction that was begun on it: a kill in the middle leaves the old
tables whole.
"""

from pathlib import Path

import sqlalchemy as sa

from watchdog.state import schema
from watchdog.state.migrations import HEAD

_version = sa.Table("alembic_version", sa.MetaData(), sa.Column("version_num", sa.String(32), primary_key=True))


class UpgradeError(Exception):
    """What is the matter with the database, to be read after its name."""


class TooNew(UpgradeError):
    """The tables are of a revision that is not known here."""


def revision_of(connection: sa.Connection) -> str:
    """The revision of the tables, empty where there are none. ``UpgradeError`` where they are newer, or not ours."""
    names = set(sa.inspect(connection).get_table_names())
    if not names:
        return ""
    ours = {_version.name, schema.histories.name} <= names
    revision: str | None = connection.execute(sa.select(_version.c.version_num)).scalar() if ours else None
    if revision is None:
        raise UpgradeError("is a database of something else: choose another path in state.url")
    if revision > HEAD:
        raise TooNew(f"was written by a newer version of this program (revision {revision}; this one knows {HEAD})")
    return revision


def upgrade(connection: sa.Connection) -> None:
    """Run every revision that is missing; in an empty database, lay the tables of ``HEAD``."""
    if not revision_of(connection):
        _create(connection)
        return
    from alembic import command  # noqa: PLC0415 - 0.3 s of CPU, needed once in the life of a release
    from alembic.config import Config  # noqa: PLC0415 - as above
    from alembic.util import CommandError  # noqa: PLC0415 - as above

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise UpgradeError(f"cannot be brought up to date: {error}") from error


def _create(connection: sa.Connection) -> None:
    """What every revision since the first would come to; a test holds the two together.

    It spares each new state, and with it every demo and every container's first start, Alembic's import.
    """
    schema.metadata.create_all(connection, checkfirst=False)
    _version.create(connection, checkfirst=False)
    connection.execute(sa.insert(schema.meta), {"id": 1, "probes": 0})
    connection.execute(sa.insert(_version), {"version_num": HEAD})
