"""Reports that tell a person what is not well, on a terminal and through a pipe."""

from dataclasses import replace
from io import StringIO

import pytest

from tests.harness.builders import NOW, Terminal, inventory, pack, troubled, zone
from watchdog.model.decisions import Decision, Do
from watchdog.model.reasons import Reason
from watchdog.tell.tables import report

GIVEN_UP = Decision(Do.GIVE_UP, Reason.GAVE_UP)
LOST = zone("lost.example", error="list_packs: HTTP 403, code 9109: Unauthorized", reason="credential_refused")


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)


def piped(found):
    stream = StringIO()
    report(found, stream)
    return stream.getvalue()


def on_a_terminal(found):
    stream = Terminal()
    report(found, stream)
    return stream.getvalue()


def test_a_fleet_that_is_well_is_one_line():
    assert piped(inventory(pack("p1"), pack("p2"))) == "1 zones (0 not seen), 2 packs: 2 healthy\n"


def test_nothing_at_all_is_one_line_too():
    assert piped(inventory(zones=())) == "0 zones (0 not seen), 0 packs: none\n"


def test_a_pipe_gets_plain_columns_under_a_heading():
    lines = piped(inventory(troubled("p1"), pack("p2"))).splitlines()
    assert lines[0].split() == ["ZONE", "PACK", "STATUS", "SINCE", "DECISION", "REASON", "ATTEMPTS", "NEXT_RESTART"]
    assert lines[1].split() == [
        "example.com",
        "p1",
        "validation_timed_out",
        "2026-11-24T12:00:00Z",
        "wait",
        "backing_off",
        "2",
        "2026-11-24T12:15:00Z",
    ]
    assert lines[-1] == "1 zones (0 not seen), 2 packs: 1 backing_off, 1 healthy"
    assert "\x1b" not in "".join(lines)


def test_columns_stand_under_their_heading():
    lines = piped(inventory(troubled("p1"), troubled("a-much-longer-id"))).splitlines()
    assert len({line.index(text) for line, text in zip(lines, ("STATUS", *["validation"] * 2), strict=False)}) == 1


def test_healthy_packs_are_counted_and_not_listed():
    assert "p2" not in piped(inventory(troubled("p1"), pack("p2")))


def test_zones_that_could_not_be_seen_are_listed_with_why():
    text = piped(inventory(zones=(zone(), LOST)))
    assert "lost.example" in text
    assert "credential_refused" in text
    assert LOST.error in text
    assert text.endswith("2 zones (1 not seen), 0 packs: none\n")


def test_a_terminal_gets_a_table():
    text = on_a_terminal(inventory(troubled("p1"), zones=(zone(), LOST)))
    assert "Packs" in text
    assert "Zones not seen" in text
    assert "next restart" in text
    assert "━" in text


def test_a_pack_that_was_given_up_stands_out_on_a_terminal():
    assert "\x1b[1;31m" in on_a_terminal(inventory(troubled("p1", decision=GIVEN_UP)))


def test_colours_come_from_the_decision_and_not_from_a_zone_of_that_name():
    text = on_a_terminal(
        inventory(pack("p1", "odd", zone="give_up", decision=Decision(Do.LEAVE, Reason.UNKNOWN_STATUS)))
    )
    assert "\x1b[1;31m" not in text


@pytest.mark.parametrize("write", [piped, on_a_terminal])
def test_markup_in_foreign_text_is_text(write):
    name = "[bold red]x[/bold red] [link=http://evil.example]y[/link] :skull:"
    assert name in write(inventory(troubled("p1", zone=name)))


@pytest.mark.parametrize("write", [piped, on_a_terminal])
def test_escapes_and_line_breaks_in_foreign_text_reach_nobody(write):
    known, history = troubled("p1")
    status = "odd\x1b[2J\x1b]0;title\x07\nFORGED  LINE\x9b"
    known = replace(known, pack=replace(known.pack, status=status))
    text = write(inventory((known, history)))
    assert "odd FORGED LINE" in text
    assert not any(escape in text for escape in ("\x1b[2J", "\x1b]0", "\x07", "\x9b", "\nFORGED"))


@pytest.mark.parametrize("columns", ["20", "80"])
def test_a_narrow_terminal_loses_no_text(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    text = on_a_terminal(inventory(troubled("p1")))
    assert "…" not in text


def test_columns_of_zero_count_as_unset(monkeypatch):
    monkeypatch.setenv("COLUMNS", "0")
    with_zero = on_a_terminal(inventory(troubled("p1")))
    monkeypatch.delenv("COLUMNS")
    assert with_zero == on_a_terminal(inventory(troubled("p1")))
    assert "decision" in with_zero


def test_a_pack_that_is_not_tried_again_shows_a_dash():
    known, history = pack("p1", "deployment_timed_out", decision=Decision(Do.LEAVE, Reason.OTHER_STAGE_TIMED_OUT))
    assert piped(inventory((known, replace(history, trouble_since=NOW)))).splitlines()[1].split()[-1] == "-"
