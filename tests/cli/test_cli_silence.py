"""``silence add``, ``list`` and ``expire`` as an operator types them, without network or token."""

import re

import pytest

from watchdog.simulator.scenario import pack_id

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
