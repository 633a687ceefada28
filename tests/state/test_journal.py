"""Claims about what is asked of the journal: which lines, and in which order."""

from datetime import timedelta

import pytest

from tests.state.conftest import NOW, T0, opened
from watchdog.model.history import JournalLine, JournalQuery
from watchdog.state.changes import Changes

LINES = [
    ("gave_up", "b.example", "0a0b0c0d-1111", -2),
    ("zone_unseen", "a.example", "", -1),
    ("restart_sent", "A.example", "ffff0000-2222", 0),
    ("recovered", "ab_example", "ffff0000-2222", 1),
]


@pytest.fixture
def asked(url):
    """``asked(**query)``: the events of the lines that are given."""
    lines = [
        JournalLine(at=T0 + timedelta(hours=hours), event=event, account="main", zone=zone, pack_id=pack)
        for event, zone, pack, hours in LINES
    ]
    with opened(url) as store:
        store.save(Changes(journal=lines), NOW)
        yield lambda **query: [line.event for _, line in store.journal(JournalQuery(**query))]


def test_the_newest_line_comes_first(asked):
    assert asked() == ["recovered", "restart_sent", "zone_unseen", "gave_up"]


def test_lines_before_a_time_are_left_out(asked):
    assert asked(since=T0) == ["recovered", "restart_sent"]


@pytest.mark.parametrize(
    ("pattern", "events"),
    [
        ("a.example", ["restart_sent", "zone_unseen"]),
        ("A*", ["recovered", "restart_sent", "zone_unseen"]),
        ("?b_example", ["recovered"]),
        ("a_example", []),
        ("%", []),
    ],
)
def test_a_zone_is_given_by_a_pattern_in_which_only_stars_and_question_marks_are_special(asked, pattern, events):
    assert asked(zone=pattern) == events


@pytest.mark.parametrize("prefix", ["ffff", "FFFF0000-2", "ffff00002"])
def test_a_pack_is_given_by_the_beginning_of_its_id_with_or_without_dashes(asked, prefix):
    assert asked(pack=prefix) == ["recovered", "restart_sent"]


def test_no_more_lines_are_given_than_were_asked_for(asked):
    assert asked(most=1) == ["recovered"]


def test_the_lines_after_a_page_are_those_before_its_last_number(asked):
    assert asked(before=3) == ["zone_unseen", "gave_up"]


@pytest.mark.parametrize("asked", ["xn--mnchen-3ya.example", "XN--MNCHEN-3YA.*", "MÜNCHEN.example.", "münchen.example"])
def test_a_zone_is_found_by_any_form_of_its_name_in_whatever_form_it_was_watched(url, asked):
    labels = ["xn--mnchen-3ya.example", "münchen.example", "München.example.", "b.example"]
    with opened(url) as store:
        lines = [JournalLine(at=T0, event="recovered", account="main", zone=label) for label in labels]
        store.save(Changes(journal=lines), NOW)
        assert [line.zone for _, line in store.journal(JournalQuery(zone=asked))] == labels[2::-1]
