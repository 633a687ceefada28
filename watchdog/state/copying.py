"""Everything that one database holds, into another that has the same tables. Called by ``store``."""

from watchdog.state import schema
from watchdog.state.database import Database
from watchdog.state.deferred import real, sa


def copy_rows(source: Database, target: Database) -> None:
    """As of one moment, in place of whatever ``target`` has, which gets all of it or nothing."""
    tables = schema.made().sorted_tables
    with source.reading() as connection:
        found = {table.name: connection.execute(real(sa).select(table)).mappings().all() for table in tables}
    with target.writing() as connection:
        for table in reversed(tables):
            connection.execute(real(sa).delete(table))
        for table in tables:
            if found[table.name]:
                connection.execute(real(sa).insert(table), [dict(row) for row in found[table.name]])
