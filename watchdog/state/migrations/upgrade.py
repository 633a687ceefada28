"""Brings a database to the newest revision, or says why it is not one of ours. Called when a database is opened.

Runs on the connection it is handed, inside the transaction that was begun on it: a kill in the middle leaves the old
tables whole.
"""

from pathlib import Path

from watchdog.state import schema
from watchdog.state.deferred import real, sa
from watchdog.state.migrations import HEAD

_version = sa.Table("alembic_version", sa.MetaData(), sa.Column("version_num", sa.String(32), primary_key=True))


VERSION = sa.select(_version.c.version_num)
_FIRST_ROW, _NEWEST = sa.insert(schema.meta), sa.insert(_version)
OURS = frozenset({"alembic_version", "histories"})
"""Tables without which a database is somebody else's."""


class UpgradeError(Exception):
    """What is the matter with the database, to be read after its name."""


class TooNew(UpgradeError):
    """The tables are of a revision that is not known here."""


def revision_of(connection: sa.Connection) -> str:
    """The revision of the tables, empty where there are none. ``UpgradeError`` where they are newer, or not ours."""
    names = set(real(sa.inspect)(connection).get_table_names())
    return judged(names, connection.execute(VERSION).scalar() if names >= OURS else None)


def judged(names: set[str], revision: str | None) -> str:
    """The revision of a database that has tables of these ``names``; raises as ``revision_of``."""
    if not names:
        return ""
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
    real(schema.metadata).create_all(connection, checkfirst=False)
    real(_version).create(connection, checkfirst=False)
    fill(connection)


def fill(connection: sa.Connection) -> None:
    """The first rows of new tables."""
    connection.execute(_FIRST_ROW, {"id": 1, "probes": 0})
    connection.execute(_NEWEST, {"version_num": HEAD})


def creation(dialect: "sa.Dialect") -> list[str]:
    """The statements that lay the tables."""
    tables = [*schema.metadata.sorted_tables, real(_version)]
    laid = [real(sa).schema.CreateTable(table) for table in tables]
    laid += [real(sa).schema.CreateIndex(index) for table in tables for index in table.indexes]
    return [str(each.compile(dialect=dialect)).strip() for each in laid]
