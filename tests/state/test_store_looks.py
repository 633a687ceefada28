"""What the commands that only look are given: the same by each door, and as the rows of whole values have it."""

import json
import sqlite3
from contextlib import closing
from datetime import timedelta
from itertools import combinations
from types import SimpleNamespace

import pytest

from tests.harness.builders import NOW, pack, troubled, zone
from tests.harness.values import replace, rows_of
from watchdog.commands import offline
from watchdog.model.findings import Certainty, Diagnosis, Finding, FindingName
from watchdog.model.history import UNTROUBLED, JournalLine, JournalQuery
from watchdog.model.needs import PENDING_FOR
from watchdog.model.pack_ids import short_length, short_length_in_zones
from watchdog.model.report import Inventory
from watchdog.model.silences import Silence
from watchdog.state.changes import Changes
from watchdog.state.glance import Glance, Unusual

CONFIG = SimpleNamespace(alerts=SimpleNamespace(pending_for=PENDING_FOR), state=SimpleNamespace(shared=True))
FOUND = Finding(name=FindingName.DNS_FAILURE, certainty=Certainty.HINT, host="", says="It fails.", remedy="Mend it.")


def of(pack_id, *, zone="example.com", **more):
    known, history = pack(pack_id, zone=zone)
    return replace(known, pack=replace(known.pack, **more)), history


FLEET = [
    of("plain"),
    of('odd"100%', hosts=("bücher.example", 'a"b.example')),
    of("no-certificate", expires_at=None),
    of("errors", validation_errors=("SERVFAIL",)),
    of("ends-soon", zone="ending.example", expires_at=NOW + timedelta(days=3), uploaded_at=NOW - timedelta(days=87)),
    of("stands-in", zone="ending.example", hosts=("*.ending.example", "ending.example")),
    of("silenced", zone="silenced.example"),
    troubled("late", zone="late.example"),
    troubled("found", zone="late.example"),
    pack("well-with-a-past", zone="past.example", history=troubled()[1]),
]
ZONES = ["example.com", "ending.example", "silenced.example", "late.example", "past.example", "empty.example"]


@pytest.fixture
def filled(store, kit):
    """A state of every kind of pack."""
    store.add_silence(
        Silence(
            account="main",
            zone="silenced.example",
            zone_id="id-of-silenced.example",
            at=NOW - timedelta(days=1),
            until=NOW + timedelta(days=1),
            comment="moves",
        )
    )
    known = [each for each, _ in FLEET]
    store.save(
        Changes(
            zones=[*map(zone, ZONES), zone("lost.example", error="HTTP 500", reason="unseen")],
            packs=known,
            histories={each.pack.key: history for each, history in FLEET if history != UNTROUBLED},
            diagnoses={each.pack.key: Diagnosis(NOW, (FOUND,)) for each in known if each.pack.id == "found"},
            journal=[line(each.pack, number) for number, each in enumerate(known)],
        ),
        kit.now,
    )
    return store


def line(of_pack, number):
    return JournalLine(
        at=NOW - timedelta(hours=number),
        event="pack_changed",
        account="main",
        zone=of_pack.zone_id.removeprefix("id-of-"),
        zone_id=of_pack.zone_id,
        pack_id=of_pack.id,
        detail="status=active",
    )


def looked(store, **wanted):
    rows = offline.rows(CONFIG, store, NOW, **wanted)
    return sorted(rows.packs), list(map(json.loads, rows.zones))


def test_the_rows_are_those_of_the_whole_values(filled):
    snapshot = filled.load()
    packs = [(known, snapshot.histories.get(key, UNTROUBLED)) for key, known in snapshot.packs.items()]
    whole = rows_of(Inventory.of(packs, list(snapshot.zones.values()), NOW, silences=snapshot.silences))
    found, zones = looked(filled)
    by_id = {row["pack_id"]: row for row in map(json.loads, found)}
    assert by_id == {row["pack_id"]: json.loads(json.dumps(row)) for row in whole["packs"]}
    assert {row["zone"]: row for row in zones} == {row["zone"]: row for row in whole["zones"]}


def test_every_line_of_rows_is_ascii(filled):
    found, _ = looked(filled)
    assert all(map(str.isascii, found))


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        ({"zone": "ending.*"}, {"ends-soon", "stands-in"}),
        ({"reason": "backing_off"}, {"late", "found"}),
        ({"reason": "healthy", "zone": "silenced.example"}, {"silenced"}),
    ],
)
def test_rows_can_be_narrowed(filled, wanted, ids):
    found, _ = looked(filled, **wanted)
    assert {json.loads(row)["pack_id"] for row in found} == ids


def test_a_certificate_for_which_another_stands_in_needs_nobody(filled):
    found, _ = looked(filled)
    assert {row["pack_id"] for row in map(json.loads, found) if row["needs_person"]} == set()


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        (JournalQuery(since=NOW - timedelta(hours=1)), ["plain", 'odd"100%']),
        (JournalQuery(zone="ENDING.*"), ["ends-soon", "stands-in"]),
        (JournalQuery(zone_id="id-of-silenced.example", since=NOW - timedelta(hours=9)), ["silenced"]),
        (JournalQuery(pack="ends-so"), ["ends-soon"]),
        (JournalQuery(pack="%"), []),
        (JournalQuery(most=1), ["well-with-a-past"]),
        (JournalQuery(account="other"), []),
    ],
)
def test_the_journal_is_searched(filled, query, ids):
    assert [each.pack_id for _, each in reversed(filled.journal(query))] == ids


def test_the_journal_goes_on_from_a_line(filled):
    (number, last), *_ = filled.journal(JournalQuery(most=1))
    (_, before), *_ = filled.journal(JournalQuery(most=1, before=number))
    assert (last.pack_id, before.pack_id) == ("well-with-a-past", "found")


def test_ids_can_be_had_of_all_packs_and_of_those_in_the_zones_of_some(filled):
    assert len(filled.pack_ids()) == len(FLEET)
    assert {pack_id for _, pack_id in filled.alike([("id-of-late.example", "late")], 0)} >= {"found"}


ALIKE = {
    "x": ["3822ff90-1", "3822ff91-1", "3822ff9", "4822"],
    "y": ["3822ff90-1", "3", "38220"],
    "z": ["9911aa", "9911ab"],
}
KEYS = [(zone_id, pack_id) for zone_id, ids in ALIKE.items() for pack_id in ids]


@pytest.mark.parametrize("door", ["store", "glance"])
@pytest.mark.parametrize("shown", [*combinations(KEYS, 1), *combinations(KEYS, 2), KEYS])
def test_by_so_many_characters_each_pack_shown_is_meant_alone_in_its_zone(store, path, kit, door, shown):
    known, _ = pack()
    packs = [replace(known, pack=replace(known.pack, zone_id=zone_id, id=pack_id)) for zone_id, pack_id in KEYS]
    store.save(Changes(packs=packs), kit.now)
    with closing(Glance.open(f"sqlite:///{path}")) as glance:
        length = short_length(pack_id for _, pack_id in shown)
        alike = {"store": store, "glance": glance}[door].alike(shown, length)
    length = max(length, short_length_in_zones([*shown, *alike]))
    for zone_id, pack_id in shown:
        assert [each for each in ALIKE[zone_id] if each[:length] == pack_id[:length]] == [pack_id]


def test_a_glance_gives_what_the_store_gives(filled, path):
    glance = Glance.open(f"sqlite:///{path}")
    assert looked(glance) == looked(filled)
    ending_by = NOW + timedelta(days=30)
    assert glance.survey(ending_by) == filled.survey(ending_by)
    assert glance.listed() == filled.listed()
    assert sorted(glance.pack_ids()) == sorted(filled.pack_ids())
    assert glance.journal(JournalQuery()) == filled.journal(JournalQuery())
    assert glance.silences() == filled.silences()
    glance.close()


def test_a_glance_changes_nothing(filled, path):
    filled.close()
    before = path.read_bytes()
    glance = Glance.open(f"sqlite:///{path}")
    looked(glance)
    glance.close()
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "address", ["postgresql:///x", "sqlite:///{path}-none", "sqlite:///{path}?x=1", "sqlite://", "sqlite:///:memory:"]
)
def test_what_is_no_file_of_ours_is_unusual(address, tmp_path):
    with pytest.raises(Unusual):
        Glance.open(address.format(path=tmp_path / "state.db"))


@pytest.mark.parametrize("revision", ["0001", "9999"])
def test_a_state_of_another_revision_is_unusual(filled, path, revision):
    filled.close()
    with sqlite3.connect(path) as other:
        other.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    other.close()
    with pytest.raises(Unusual):
        Glance.open(f"sqlite:///{path}")


def test_damage_that_shows_while_it_is_read_is_unusual(filled, path):
    filled.close()
    with sqlite3.connect(path) as other:
        other.execute("UPDATE packs SET hosts = '{' WHERE pack_id = 'late'")
    other.close()
    glance = Glance.open(f"sqlite:///{path}")
    with pytest.raises(Unusual):
        glance.survey(NOW)
    glance.close()
