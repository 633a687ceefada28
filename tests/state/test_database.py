"""What is said to the database is said in no dialect of its own."""

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from watchdog.state import bookings, clocks, database, journal, outbox, packs, restarts, schema, store
from watchdog.state.deferred import real

ROOMS = (bookings, clocks, journal, outbox, packs, restarts, store)
KEYED = [table for table in real(schema.metadata).tables.values() if "id" not in table.primary_key.columns]


def statements():
    for module in ROOMS:
        for found in vars(module).values():
            yield from (
                each for each in map(real, found if isinstance(found, tuple) else [found]) if is_statement(each)
            )
    for table in (*KEYED, real(schema.outbox)):
        yield database.deletion(table)


def is_statement(found):
    return isinstance(found, sa.Executable) and isinstance(found, sa.ClauseElement)


@pytest.mark.parametrize("dialect", [sqlite.dialect(), postgresql.dialect()], ids=lambda dialect: dialect.name)
def test_every_statement_can_be_said_in_each_dialect(dialect):
    said = [str(each.compile(dialect=dialect)) for each in statements()]
    assert len(said) > 20
    for table in real(schema.metadata).tables.values():
        assert str(sa.schema.CreateTable(table).compile(dialect=dialect))


@pytest.mark.parametrize("dialect", [sqlite.dialect(), postgresql.dialect()], ids=lambda dialect: dialect.name)
def test_a_whole_row_is_replaced_in_each_dialect_but_its_key(dialect):
    said = str(database.upsert(dialect.name, real(schema.histories), "last_restart_at").compile(dialect=dialect))
    assert "ON CONFLICT (zone_id, pack_id) DO UPDATE SET attempts = excluded.attempts, trouble_since" in said
    assert "zone_id = excluded" not in said
    assert "WHERE coalesce(excluded.last_restart_at, " in said


def test_nothing_is_run_for_no_rows(store):
    with store.writing() as connection:
        database.upsert_each(connection, schema.zones, [])
        database.delete_each(connection, schema.zones, [])
    assert store.load().zones == {}
