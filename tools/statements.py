"""Every statement that a state on SQLite is asked, as Core says it: made into ``watchdog/state/statements.json``.

Each method of ``Store`` is called once with values for every column, and what had to be said by Core is noted. What
is put together anew at each call (a search in the journal) is left out: no text of it would be asked for twice.
"""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from sqlalchemy.dialects.sqlite import dialect

from watchdog.model.clock import Anchor
from watchdog.model.decisions import Decision, Do
from watchdog.model.findings import Diagnosis
from watchdog.model.history import History, Intent, JournalLine, Remembered, Sent, ZoneMemory
from watchdog.model.packs import Pack
from watchdog.model.reasons import Reason
from watchdog.model.silences import Silence
from watchdog.state import deferred, outbox, schema, texts
from watchdog.state.changes import Changes, Settled
from watchdog.state.database import upsert_each
from watchdog.state.migrations.upgrade import creation
from watchdog.state.store import Store

_AT = datetime(2026, 1, 1, tzinfo=UTC)
_LATER = Anchor(_AT + timedelta(hours=9), 60.0, "boot")
_KEY = ("z1", "p1")


def statements() -> str:
    """The file."""
    texts._made.cache_clear()  # noqa: SLF001  all of them are to be made
    texts.made.clear()
    nothing = texts.Stored(creation(dialect()), {})
    with patch.object(texts, "stored", lambda: nothing), TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder).resolve()}/state.db"
        _use_all_of(Store.open(url, exclusive=True))
        Store.open(url, exclusive=True).close()
    found = {name: [" ".join(text.sql.split()), text.places, text.fixed] for name, text in sorted(texts.made.items())}
    rows = ",\n".join(f"    {json.dumps(name)}: {json.dumps(text)}" for name, text in found.items())
    tables = ",\n".join(f"    {json.dumps(' '.join(each.split()))}" for each in nothing.tables)
    texts._made.cache_clear()  # noqa: SLF001  from now on those of the file serve
    return f'{{\n  "tables": [\n{tables}\n  ],\n  "statements": {{\n{rows}\n  }}\n}}\n'


def _use_all_of(store: Store) -> None:
    now = Anchor(_AT, 0.0, "boot")
    pack = Pack(id="p1", zone_id="z1", type="advanced", status="active", hosts=("a.example",))
    known = Remembered(
        account="main", zone="a.example", pack=pack, since=_AT, seen_at=_AT, decision=Decision(Do.LEAVE, Reason.HEALTHY)
    )
    history = History(attempts=1, trouble_since=_AT)
    for moment in (now, _LATER, Anchor(_AT, 0.0, "another boot")):
        store.align(moment)
    intent = Intent(
        account="main", zone="a.example", zone_id="z1", pack_id="p1", attempt=1, at=_AT, next_restart_at=_AT
    )
    line = JournalLine(at=_AT, event="gave_up", account="main", zone="a.example")
    store.save(
        Changes(
            zones=[ZoneMemory(account="main", label="a.example", id="z1")],
            packs=[known],
            histories={_KEY: history, ("z1", "p2"): History()},
            diagnoses={_KEY: Diagnosis(_AT, ()), ("z1", "p2"): None},
            forgotten=[("z1", "p3")],
            journal=[line],
            settled=[Settled(1, Sent.ACCEPTED, "", _AT)],
        ),
        now,
    )
    number = store.intend(intent, history, History(attempts=2, last_restart_at=_AT), now)
    store.withdraw(number, history, now)
    store.withdraw(store.intend(intent, history, history, now), History(), now)
    store.book("main", "boot", 1.0, 4, 0.0)
    silence = store.add_silence(
        Silence(
            id=0, account="main", zone="a.example", zone_id="z1", pack_id="", pack="", at=_AT, until=_AT, comment=""
        )
    )
    store.end_silences([silence], _AT)
    outbox.save(store, outbox.Unwritten({"f": None}, {"g": None}, {1: None}))
    outbox.load(store)
    with store.writing() as connection:
        for table in (schema.alert_log, schema.alert_groups, schema.outbox):
            columns = deferred.real(table).columns
            upsert_each(connection, table, [{column.name: 7 for column in columns}])
    for read in (store.load, store.zones, store.pack_ids, store.listed, store.open_intents, store.silences):
        read()
    store.restarts_since(_AT)
    store.history_of(*_KEY)
    store.booked("boot")
    store.journal_of(*_KEY, 1)
    store.writable()
    store.prune(_AT, _AT)
    store.close()
