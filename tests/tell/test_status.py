"""Reports for somebody who is tired: what needs them first, in words, with no word cut."""

from datetime import timedelta

import pytest

from tests.harness.builders import HEALTHY, NOW, inventory, pack, troubled, zone
from tests.harness.values import replace
from watchdog.model.decisions import Decision, Do
from watchdog.model.history import UNTROUBLED
from watchdog.model.reasons import Reason
from watchdog.tell.overview import Overview
from watchdog.tell.status import View, lines

GIVEN_UP = Decision(Do.GIVE_UP, Reason.GAVE_UP)
STUCK = Decision(Do.LEAVE, Reason.OTHER_STAGE_TIMED_OUT)
LOST = zone("lost.example", error="list_packs: HTTP 403, code 9109: Unauthorized", reason="credential_refused")


def told(*packs, zones=None, **view):
    return list(lines(Overview.of(inventory(*packs, zones=zones)), View(**view)))


def text(*packs, **view):
    return "\n".join(told(*packs, **view))


def stuck(name="p1", **more):
    known, history = pack(name, "deployment_timed_out", decision=STUCK, **more)
    return known, replace(history, trouble_since=NOW - timedelta(hours=3))


def test_a_fleet_that_is_well_is_one_line():
    assert told(pack("p1"), pack("p2")) == ["2 packs in 1 zone; none needs you; last look just now"]


def test_where_no_zone_was_ever_seen_nobody_is_told_that_none_needs_them():
    assert "No zone was seen yet" in told(zones=())[0]
    assert "none needs you" not in "".join(told(zones=()))


def test_the_first_line_says_how_many_need_somebody():
    first = told(stuck(), pack("p2"), zones=[zone(), LOST])[0]
    assert first == "2 packs in 2 zones; 1 needs you; 1 zone not seen; last look just now"


def test_what_is_graver_comes_first_and_of_that_what_lasts_longest():
    packs = [stuck("p1", zone="warning.example"), troubled("p2", zone="critical.example", decision=GIVEN_UP)]
    older = stuck("p3", zone="older.example")
    packs.append((older[0], replace(older[1], trouble_since=NOW - timedelta(days=3))))
    heads = [line.split()[:2] for line in told(*packs) if line.startswith(("  critical", "  warning"))]
    assert heads == [["critical", "critical.example"], ["warning", "older.example"], ["warning", "warning.example"]]


def test_what_needs_somebody_says_why_since_when_and_what_to_do():
    said = " ".join(text(stuck()).split())
    assert "example.com p1: deployment_timed_out, which no restart can mend; in trouble for 3 h." in said
    assert "→ Delete the pack and order it anew, or ask Cloudflare's support." in said


def test_what_is_held_says_so_in_words_with_when_it_goes_on():
    said = " ".join(text(troubled("p1")).split())
    assert "example.com p1: validation_timed_out for 0 s; 2 restarts so far." in said
    assert "Backing off. It is restarted at the first look after" in said
    assert "(in 15 min)" in said


def test_zones_that_could_not_be_seen_say_why_and_what_to_do():
    said = " ".join(text(zones=[zone(), LOST]).split())
    assert "critical lost.example is not seen (credential refused, account main; last seen just now):" in said
    assert LOST.error in said
    assert "→ Put another token into its file" in said


def test_zones_that_could_not_be_seen_for_one_reason_are_told_together():
    lost = [zone(f"{number}.example", error="no answer", reason="unseen") for number in range(30)]
    said = " ".join(text(zones=lost).split())
    assert said.count("no answer") == 1
    assert "29.example" in said


def test_healthy_packs_are_counted_and_not_listed():
    assert "p2" not in text(troubled("p1"), pack("p2"))


def test_all_lists_the_healthy_packs_too_each_once():
    said = text(troubled("p1"), pack("p2"), everything=True)
    assert (said.count("example.com p1"), said.count("example.com p2")) == (1, 1)
    assert "example.com p2: active, expires" in said


def test_a_zone_is_chosen_by_a_pattern_and_shows_what_is_well_there():
    said = text(pack("p1", zone="a.example"), troubled("p2", zone="b.example"), zone="A.*")
    assert ("a.example p1" in said, "b.example" in said) == (True, False)


def test_a_zone_is_found_in_whatever_form_its_name_is_given():
    assert "münchen.example p1" in text(pack("p1", zone="münchen.example"), zone="xn--mnchen-3ya.example")


def test_a_reason_chooses_what_is_so_for_that_reason():
    said = text(stuck("p1"), troubled("p2"), pack("p3"), reason="backing_off")
    assert [name in said for name in ("p1", "p2", "p3")] == [False, True, False]


def test_where_nothing_fits_that_is_said():
    assert told(pack("p1"), zone="other.example")[-1] == "Nothing else is remembered that fits."


def test_ids_are_as_short_as_tells_them_apart():
    ids = ["3822ff90-ea29-44df-9e55-21300bb9419b", "3822fa90-ea29-44df-9e55-21300bb9419b"]
    said = text(*(stuck(each, zone=f"{each[5]}.example") for each in ids))
    assert "f.example 3822ff:" in said
    assert "a.example 3822fa:" in said


@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_line_is_longer_than_the_terminal_and_no_word_is_cut(width):
    packs = [stuck("p1"), troubled("p2"), troubled("p3", decision=GIVEN_UP)]
    shown = {"zones": [zone(), LOST], "everything": True}
    narrow, one_line_each = told(*packs, width=width, **shown), told(*packs, width=10_000, **shown)
    assert max(map(len, narrow)) <= width
    assert " ".join(narrow).split() == " ".join(one_line_each).split()


def test_a_word_that_is_longer_than_the_terminal_is_not_cut_either():
    name = f"{'very-' * 20}long.example"
    assert f"{name}" in text(stuck("p1", zone=name))


def test_wide_is_one_line_a_pack_with_its_whole_id_under_a_heading():
    name = "3822ff90-ea29-44df-9e55-21300bb9419b"
    heading, row, *_, last = told(stuck(name), pack("p2"), wide=True)
    assert heading.split()[:4] == ["SEVERITY", "ZONE", "PACK", "STATUS"]
    assert row.split()[:4] == ["warning", "example.com", name, "deployment_timed_out"]
    assert last == "2 packs in 1 zone; 1 needs you; last look just now"


def test_columns_stand_under_their_heading():
    rows = told(stuck("p1"), stuck("a-much-longer-id"), wide=True)[:3]
    assert len({row.index(word) for row, word in zip(rows, ("STATUS", *["deployment"] * 2), strict=True)}) == 1


def test_colours_are_for_terminals_that_take_them_and_mark_the_severity_alone():
    coloured = told(stuck("p1", zone="warning.example"), colours=True)
    assert coloured[3].startswith("  \x1b[33mwarning\x1b[0m   warning.example")
    assert "\x1b" not in text(stuck("p1"))


@pytest.mark.parametrize("wide", [False, True])
def test_escapes_and_line_breaks_in_foreign_text_reach_nobody(wide):
    known, history = troubled("p1")
    status = "odd\x1b[2J\x1b]0;title\x07\nFORGED  LINE\x9b"
    said = told((replace(known, pack=replace(known.pack, status=status)), history), wide=wide)
    assert "odd FORGED LINE" in " ".join(said)
    assert all(line.isprintable() for line in said)


def test_what_goes_away_is_shown_only_with_all():
    gone = pack("p1", "deleted", decision=Decision(Do.LEAVE, Reason.GOING_AWAY), history=UNTROUBLED)
    assert "p1" not in text(gone)
    assert "example.com p1: deleted" in text(gone, everything=True)


def test_a_pack_whose_certificate_runs_out_needs_somebody_though_it_is_active():
    known, history = pack("p1", decision=HEALTHY)
    known = replace(known, pack=replace(known.pack, expires_at=NOW + timedelta(hours=30)))
    said = " ".join(text((known, history)).split())
    assert "1 needs you" in said
    assert "(in 30 h)" in said
