"""A state made by an older release is brought up to date by the next one, whole or not at all.

The next release is made here: a copy of the program with one revision more.
"""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

import watchdog
from tests.harness.values import replace
from watchdog.model.alerts import Phase
from watchdog.model.clock import Anchor, rfc3339
from watchdog.model.decisions import Decision, Do
from watchdog.model.findings import Certainty, Diagnosis, Finding, FindingName
from watchdog.model.history import History, Remembered, ZoneMemory
from watchdog.model.packs import ManualRecord, Pack
from watchdog.model.reasons import Reason
from watchdog.state import migrations, outbox
from watchdog.state.changes import Changes, Snapshot
from watchdog.state.database import StateTooNew
from watchdog.state.migrations import upgrade
from watchdog.state.rows import from_micros
from watchdog.state.store import Store

NEXT = "9000"
AT = 1_772_366_400_000_000
TABLES = (
    "zones",
    "packs",
    "histories",
    "intents",
    "journal",
    "diagnoses",
    "alert_log",
    "alert_groups",
    "outbox",
    "bookings",
    "silences",
    "meta",
)
REVISION = f"""
import sqlalchemy as sa
from alembic import op

revision, down_revision = "{NEXT}", "{upgrade.HEAD}"


def upgrade():
    op.add_column("meta", sa.Column("mood", sa.Text))
    {{then}}
"""
OPENS = """
import sys
from watchdog.state.database import StateError
from watchdog.state.store import Store
try:
    store = Store.open(sys.argv[1], exclusive=sys.argv[2] == "daemon")
except StateError as error:
    sys.exit(str(error))
print(store.history_of("z1", "p1").attempts)
store.close()
"""


@pytest.fixture
def next_release(tmp_path):
    """``next_release(then)`` makes it, its revision ending with ``then``; gives a way to open a state with it."""

    def make(then):
        copy = tmp_path / "release" / "watchdog"
        shutil.copytree(Path(watchdog.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
        folder = copy / "state" / "migrations"
        (folder / "versions" / f"{NEXT}_next.py").write_text(REVISION.format(then=then))
        module = folder / "__init__.py"
        module.write_text(module.read_text().replace(f'HEAD = "{upgrade.HEAD}"', f'HEAD = "{NEXT}"'))

        def opened(url, how):
            command = [sys.executable, "-c", OPENS, url, how]
            environment = {**os.environ, "PYTHONPATH": str(copy.parent)}
            return subprocess.run(
                command, check=False, env=environment, cwd=copy.parent, capture_output=True, text=True
            )

        return opened

    return make


def an_old_state(url, kit):
    with kit.opened(url) as store:
        store.save(Changes(histories={("z1", "p1"): History(attempts=3)}), kit.now)


def look(path, question):
    database = sqlite3.connect(path)
    try:
        return database.execute(question).fetchall()
    finally:
        database.close()


@pytest.mark.process
def test_an_older_state_is_brought_up_to_date_by_the_daemon_alone_and_keeps_what_it_holds(url, path, kit, next_release):
    an_old_state(url, kit)
    opened = next_release("pass")
    assert "is not up to date yet: the daemon brings it up to date" in opened(url, "command").stderr
    assert look(path, "SELECT version_num FROM alembic_version") == [(upgrade.HEAD,)]
    assert opened(url, "daemon").stdout == "3\n"
    assert look(path, "SELECT version_num FROM alembic_version") == [(NEXT,)]
    assert look(path, "SELECT mood FROM meta") == [(None,)]
    assert opened(url, "command").stdout == "3\n"


@pytest.mark.process
def test_a_copy_of_the_older_state_is_kept_and_named_to_whoever_goes_back(url, path, kit, next_release):
    an_old_state(url, kit)
    kept = path.with_name(f"state.db.revision-{upgrade.HEAD}")
    assert next_release("pass")(url, "daemon").stdout == "3\n"
    assert kept.stat().st_mode & 0o777 == 0o600
    with (
        pytest.raises(StateTooNew, match=rf"\(revision {NEXT}; this one knows {upgrade.HEAD}\)") as refused,
        kit.opened(url),
    ):
        pass
    assert str(refused.value).endswith(f": run that version, or put {kept} in its place, a copy from before")
    kept.replace(path)
    with kit.opened(url) as store:
        assert store.history_of("z1", "p1") == History(attempts=3)


@pytest.mark.process
def test_a_release_that_dies_in_its_revision_leaves_the_old_state_whole(url, path, kit, next_release):
    an_old_state(url, kit)
    died = next_release("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")(url, "daemon")
    assert died.returncode == -signal.SIGKILL
    assert look(path, "SELECT version_num FROM alembic_version") == [(upgrade.HEAD,)]
    with kit.opened(url) as store:
        assert store.history_of("z1", "p1") == History(attempts=3)


def revised(path, revision):
    """A state as the release of this revision made it."""
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", migrations.__path__[0])
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


def test_a_copy_in_memory_of_an_older_state_is_brought_up_to_date_alone(url, path):
    revised(path, "0009")
    before = path.read_bytes()
    copy = Store.open_copy(url)
    assert copy.writable()
    copy.close()
    assert ([file.name for file in path.parent.iterdir()], path.read_bytes()) == ([path.name], before)


# As the release before this one wrote them.
ROWS = {
    "zones": [("main", "a.example", "z1", AT, AT + 5, "", "")],
    "packs": [
        (
            *(
                "z1",
                "p1",
                "main",
                "a.example",
                "advanced",
                "validation_timed_out",
                '["*.a.example", "a.example"]',
                "google",
            ),
            *(AT + 7, '["caa: \\u201cno\\u201d", "twice"]', AT, AT + 5, "wait", "backing_off", AT + 9, 90),
        )
    ],
    "histories": [("z1", "p1", 2, AT, AT + 1, AT + 2, None, "HTTP 500")],
    "intents": [(7, "main", "a.example", "z1", "p1", 2, AT + 1, AT + 2, None, "", None)],
    "journal": [(3, AT, "restart_sent", "main", "a.example", "z1", "p1", "restarted", "attempt=2")],
    "diagnoses": [
        (
            *("z1", "p1", AT),
            '[["caa_forbids", "certain", "a.example", "CAA forbids it.", "Allow.", ["CAA", "a.example", "0 issue x"]]]',
            *("abc", AT + 3),
        )
    ],
    "bookings": [(1, "main", "boot", 12.5, 37)],
}


def test_a_state_of_the_release_before_is_taken_over_as_it_is(url, path, kit):
    revised(path, "0005")
    database = sqlite3.connect(path)
    with database:
        for table, rows in ROWS.items():
            database.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)  # noqa: S608 - marks
        database.execute("UPDATE meta SET anchor_at = ?, anchor_monotonic = 5.5, anchor_boot = 'boot'", (AT,))
        database.execute("INSERT INTO outbox VALUES (41, 'ops', 1, '{}')")
        database.execute("DELETE FROM outbox")
    database.close()
    at, step = from_micros(AT), timedelta(microseconds=1)
    with kit.opened(url) as store:
        assert store.load() == Snapshot(
            anchor=Anchor(at, 5.5, "boot"),
            zones={
                ("main", "a.example"): ZoneMemory(
                    account="main", label="a.example", id="z1", seen_at=at, tried_at=at + 5 * step
                )
            },
            packs={
                ("z1", "p1"): Remembered(
                    account="main",
                    zone="a.example",
                    pack=Pack(
                        id="p1",
                        zone_id="z1",
                        type="advanced",
                        status="validation_timed_out",
                        hosts=("*.a.example", "a.example"),
                        certificate_authority="google",
                        expires_at=at + 7 * step,
                        validation_errors=("caa: “no”", "twice"),
                        validity_days=90,
                    ),
                    since=at,
                    seen_at=at + 5 * step,
                    decision=Decision(Do.WAIT, Reason.BACKING_OFF, at + 9 * step),
                    diagnosis=Diagnosis(
                        at,
                        (
                            Finding(
                                name=FindingName.CAA_FORBIDS,
                                certainty=Certainty.CERTAIN,
                                host="a.example",
                                says="CAA forbids it.",
                                remedy="Allow.",
                                record=ManualRecord("CAA", "a.example", "0 issue x"),
                            ),
                        ),
                        "abc",
                        at + 3 * step,
                    ),
                )
            },
            histories={
                ("z1", "p1"): History(
                    attempts=2,
                    trouble_since=at,
                    last_restart_at=at + step,
                    next_restart_at=at + 2 * step,
                    gave_up_at=None,
                    last_error="HTTP 500",
                )
            },
        )
        assert [number for number, _ in store.open_intents()] == [7]
        assert [line.detail for line in store.journal_of("z1", "p1", 9)] == ["attempt=2"]
        assert store.booked("boot") == [("main", 12.5, 37)]
        assert outbox.load(store).last_id == 41


def test_a_state_that_knew_no_validities_and_uploads_keeps_its_packs_and_learns_them(url, path, kit):
    revised(path, "0003")
    database = sqlite3.connect(path)
    row = ("z1", "p1", "main", "a.example", "advanced", "active", '["a.example"]', "google", 10**15, "[]")
    with database:
        marks = ", ".join("?" * 15)
        database.execute(f"INSERT INTO packs VALUES ({marks})", (*row, 1, 2, "leave", "healthy", None))  # noqa: S608 - marks
    database.close()
    with kit.opened(url) as store:
        [known] = store.load().packs.values()
        assert (known.pack.hosts, known.pack.validity_days, known.decision.until) == (("a.example",), 0, None)
        assert known.pack.uploaded_at is None
        learnt = replace(known.pack, validity_days=14, uploaded_at=datetime(2026, 9, 2, 12, tzinfo=UTC))
        store.save(Changes(packs=[replace(known, pack=learnt)]), kit.now)
    with kit.opened(url) as store:
        assert store.load().packs["z1", "p1"].pack == learnt


FIRST, THEN, LATER = "2026-11-24T12:00:00Z", "2026-11-24T13:00:00Z", "2026-11-24T14:00:00Z"


@pytest.mark.parametrize(
    ("phase", "flags"),
    [
        (Phase.PENDING, {}),
        (Phase.FIRING, {"said_at": THEN}),
        (Phase.PAUSED, {"said_at": THEN, "missing_since": LATER}),
        (Phase.WAITING, {"said_at": THEN, "missing_since": LATER, "waiting": True}),
        (Phase.OVER, {"said_at": THEN, "missing_since": LATER, "over_at": LATER, "owed": "over"}),
        (Phase.GONE, {"said_at": THEN, "missing_since": LATER, "over_at": LATER, "owed": "gone"}),
        (Phase.CLOSED, {"said_at": THEN, "missing_since": LATER, "over_at": LATER}),
    ],
)
def test_an_alert_of_a_state_that_knew_no_phases_goes_on_where_it_was(path, kit, url, phase, flags):
    revised(path, "0006")
    alert = {"reason": "gave_up", "severity": "critical", "subject": "trouble/p1", "summary": "p1", "since": FIRST}
    unset = dict.fromkeys(("said_at", "missing_since", "over_at", "owed"))
    entry = {"alert": alert, "first_at": FIRST, **unset, "said": [2, 0], "flaps": 1, "waiting": False, **flags}
    database = sqlite3.connect(path)
    with database:
        database.execute("INSERT INTO alert_log VALUES ('f', ?)", (json.dumps(entry),))
        database.execute("INSERT INTO alert_log VALUES ('of another version', '{}')")
    database.close()
    with kit.opened(url) as store:
        [state] = outbox.load(store).log.states.values()
    times = [at and rfc3339(at) for at in (state.notified_at, state.ceased_at, state.ended_at)]
    assert state.phase is phase
    assert times == [entry["said_at"], entry["missing_since"], entry["over_at"]]
    assert (state.alert.subject, state.notified, state.flaps) == ("trouble/p1", (2, 0), 1)


def test_a_fresh_state_has_the_tables_that_all_revisions_lead_to(tmp_path, path, store):
    store.close()
    revised(tmp_path / "revised.db", "head")
    for question in (
        "SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY name",
        *(f"PRAGMA table_xinfo({table})" for table in TABLES),
        *(f"PRAGMA index_xinfo({index})" for index in ("journal_by_pack", "sqlite_autoindex_histories_1")),
        "SELECT name, wr FROM pragma_table_list WHERE schema = 'main' ORDER BY name",
        "SELECT * FROM meta",
        "SELECT * FROM alembic_version",
        "SELECT count(*) FROM sqlite_sequence",
    ):
        assert look(path, question) == look(tmp_path / "revised.db", question), question
