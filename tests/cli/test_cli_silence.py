"""``silence add``, ``list`` and ``expire`` as an operator types them, without network or token."""

import re
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from tests.harness.builders import pack
from tests.harness.values import replace
from watchdog.commands import silencing
from watchdog.model.clock import Anchor
from watchdog.model.history import ZoneMemory
from watchdog.simulator.scenario import pack_id
from watchdog.state.changes import Changes
from watchdog.state.store import Store

FLEET = [
    {"name": "well.example", "packs": [{"status": "active"}, {"status": "active"}]},
    {"name": "late.example", "packs": [{"status": "validation_timed_out"}]},
]
LATE = pack_id("late.example", 0)


@pytest.fixture
def silence(command, cloudflare, configure):
    """``silence("list", …)`` over a state that has seen the fleet."""
    world = cloudflare(zones=FLEET)
    config = configure(world)
    command("once", "-c", config)

    def run(*arguments):
        return command("silence", *arguments, "-c", config)

    run.config, run.world = config, world
    return run


def test_a_silence_is_added_listed_shown_and_expired(silence, command):
    added = silence("add", "late.example", LATE[:6], "--for", "7d", "--comment", "moving house")
    assert added.code == 0
    assert re.fullmatch(rf"silence 1: nobody is told of pack {LATE} of late.example until \S+Z\n", added.out)
    [row] = silence("list", "--output", "json").json["silences"]
    assert (row["id"], row["zone"], row["pack_id"], row["comment"]) == (1, "late.example", LATE, "moving house")
    assert "moving house" in silence("list").out
    status = command("status", "-c", silence.config)
    assert "silenced until" in " ".join(status.out.split())
    rows = {each["zone"]: each for each in command("status", "-o", "json", "-c", silence.config).json["packs"]}
    assert rows["late.example"]["silenced_until"] == row["until"]
    assert rows["well.example"]["silenced_until"] is None
    explained = command("explain", "late.example", "-c", silence.config)
    assert "nobody is told before " in explained.out
    assert silence("expire", 1).out == "silence 1 of late.example has ended\n"
    assert silence("list").out == "no silence holds\n"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("add", "nowhere.example", "--for", "1h", "--comment", "x"), 1, "no zone nowhere.example is remembered"),
        (("add", "late.example", "ffff", "--for", "1h", "--comment", "x"), 1, "has no pack ffff"),
        (("add", "late.example", "abc", "--for", "1h", "--comment", "x"), 1, "at least 4 characters"),
        (("add", "late.example", "--for", "1h", "--comment", " "), 1, "say in --comment why"),
        (("add", "late.example", "--for", "soon", "--comment", "x"), 2, "a duration is"),
        (("add", "late.example", "--for", "", "--comment", "x"), 2, "a duration is"),
        (("add", "late.example", "--for", "1h"), 2, "--comment"),
        (("expire", "7"), 1, "there is no silence 7"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(silence, arguments, code, says):
    done = silence(*arguments)
    assert done.code == code
    assert says in done.err


AT = datetime(2026, 11, 24, 12, tzinfo=UTC)


def twice_watched(*packs):
    """A state in which two accounts watch a zone of one name; each pack is ``account:id``."""
    store = Store.in_memory()
    zones = [
        ZoneMemory(account=account, label="a.example", id=f"id-of-{account}", seen_at=AT, tried_at=AT)
        for account in ("one", "two")
    ]
    known = [
        pack(number, zone="a.example", account=account)[0] for account, number in (each.split(":") for each in packs)
    ]
    known = [
        replace(each, pack=replace(each.pack, zone_id=f"id-of-{each.account}", hosts=("a.example",))) for each in known
    ]
    store.save(Changes(zones=zones, packs=known), Anchor(AT, 0.0, "boot"))
    return store


def silenced(store, prefix):
    return [(each.account, each.pack_id) for each in silencing.add(store, "a.example", prefix, timedelta(1), "x", AT)]


def test_a_pack_is_found_in_the_account_that_has_it_though_another_watches_a_zone_of_that_name():
    with closing(twice_watched("one:aaaa1111", "two:bbbb2222")) as store:
        assert silenced(store, "bbbb") == [("two", "bbbb2222")]


def test_packs_of_two_accounts_whose_ids_begin_alike_are_named_with_their_accounts():
    with (
        closing(twice_watched("one:aaaa1111", "two:aaaa2222")) as store,
        pytest.raises(silencing.CannotSilence, match=re.escape("aaaa1111 (account one), aaaa2222 (account two)")),
    ):
        silenced(store, "aaaa")
