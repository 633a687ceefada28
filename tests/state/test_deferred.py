"""SQLAlchemy says every statement, and an everyday start does without it all the same."""

import subprocess
import sys

import pytest

from watchdog.model.history import ZoneMemory
from watchdog.state import schema, texts
from watchdog.state.changes import Changes
from watchdog.state.deferred import key, real, sa


def table(*columns):
    return sa.Table("shelf", sa.MetaData(), *(sa.Column(name, sa.Text) for name in columns))


def test_what_is_noted_is_made_once_and_as_it_was_written():
    shelf = table("name", "height")
    wanted = sa.select(shelf.c.name).where(sa.or_(shelf.c.height > sa.bindparam("least"), ~(shelf.c.name == "top")))
    assert real(wanted) is real(wanted)
    assert str(real(wanted)) == (
        "SELECT shelf.name \nFROM shelf \nWHERE shelf.height > :least OR shelf.name != :name_1"
    )


def test_statements_that_differ_anywhere_have_different_keys():
    shelf = table("name", "height")
    statements = [
        sa.select(shelf),
        sa.select(table("name", "width")),
        sa.select(shelf.c.name),
        sa.select(shelf.c.height),
        sa.select(shelf).where(shelf.c.name == "a"),
        sa.select(shelf).where(shelf.c.name == "b"),
        sa.select(shelf).where(shelf.c.name != "a"),
        sa.delete(shelf),
    ]
    assert len(set(map(key, statements))) == len(statements)
    assert key(sa.select(table("name", "height"))) == key(statements[0])


def test_a_statement_whose_text_is_not_stored_is_said_by_core(store, kit):
    store.save(Changes(zones=[ZoneMemory(account="main", label="a.example", id="z1")]), kit.now)
    zones = schema.zones.c
    asked = sa.select(zones.label).where(zones.id.in_(["z1", "z2"]), zones.account == sa.bindparam("account"))
    with store.reading() as connection:
        assert connection.execute(asked, {"account": "main"}).all() == [("a.example",)]
        assert connection.execute(real(asked), {"account": "main"}).all() == [("a.example",)]


def test_the_tables_of_a_new_state_and_its_statements_are_stored_for_the_columns_there_are():
    assert len(texts.stored().tables) > len(real(schema.metadata).tables)
    said = {text.sql for text in texts.stored().statements.values()}
    assert any(all(column.name in each for column in real(schema.packs).columns) for each in said)


@pytest.mark.process
def test_a_state_is_made_opened_and_written_without_sqlalchemy(url):
    code = (
        "import sys; from datetime import UTC, datetime; from watchdog.model.clock import Anchor;"
        "from watchdog.state.changes import Changes; from watchdog.state.store import Store;"
        "now = Anchor(datetime.now(UTC), 1.0, 'boot')\n"
        "for _ in range(2):\n"
        "    store = Store.open(sys.argv[1], exclusive=True, mend_at=now.at)\n"
        "    store.load(); store.save(Changes(), now); store.booked('boot'); store.writable(); store.close()\n"
        "sys.exit('sqlalchemy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, url], check=False).returncode == 0
