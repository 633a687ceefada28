"""Brings a database to the newest revision, or says why it is not one of ours. Called by ``store`` when it opens one.

Runs on the connection it is handed, inside the transaction that was begun on it: a kill in the middle leaves the old
tables whole.
"""

from pathlib import Path

import sqlalchemy as sa

from watchdog.state import schema

HEAD = "0007"
"""The newest revision. Kept here as well so that an ordinary start need not import Alembic (0.3 s of CPU). Revisions
are numbered and compare as texts."""


class UpgradeError(Exception):
    """What is the matter with the database, to be read after its name."""


def is_current(connection: sa.Connection) -> bool:
    """Whether the tables are those of ``HEAD``; ``UpgradeError`` where they are newer, or not ours."""
    names = _names(connection)
    if not names:
        return False
    ours = {"alembic_version", "histories"} <= names
    revision = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() if ours else None
    if revision is None:
        raise UpgradeError("is a database of something else: choose another path in state.url")
    if revision > HEAD:
        raise UpgradeError(
            f"was written by a newer version of this program (revision {revision}; this one knows {HEAD}):"
            " run that version, or restore a copy from before"
        )
    return bool(revision == HEAD)


def create(connection: sa.Connection) -> None:
    """Lay the tables of ``HEAD`` in an empty database.

    What every revision since the first would come to; a test holds the two together. It spares each new state, and
    with it every demo and every container's first start, Alembic's import.
    """
    schema.metadata.create_all(connection, checkfirst=False)
    connection.execute(schema.meta.insert().values(id=1, probes=0))
    connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
    connection.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", (HEAD,))


def upgrade(connection: sa.Connection) -> None:
    """Run every revision that is missing."""
    if not _names(connection):
        create(connection)
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


def _names(connection: sa.Connection) -> set[str]:
    return {row[0] for row in connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'")}
