from datetime import UTC, datetime, timedelta

import pytest

from tests.harness.values import replace
from watchdog.model.history import UNTROUBLED, History
from watchdog.model.pack_ids import canonical_id
from watchdog.model.packs import Pack
from watchdog.model.text import clean

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
PACK = Pack(id="p", zone_id="z", type="advanced", status="validation_timed_out", hosts=("a.example",))
TRIED = History(attempts=2, trouble_since=NOW, last_restart_at=NOW, next_restart_at=NOW + timedelta(hours=1))


def test_a_pack_that_turns_active_starts_afresh():
    assert TRIED.after_look(replace(PACK, status="active"), NOW) is UNTROUBLED


def test_a_pack_being_worked_on_keeps_its_attempts():
    assert TRIED.after_look(replace(PACK, status="pending_validation"), NOW) == TRIED


def test_a_pack_given_up_starts_afresh_once_its_status_changes_by_itself():
    given_up = TRIED.gave_up(NOW)
    assert given_up.after_look(PACK, NOW) == given_up
    afresh = given_up.after_look(replace(PACK, status="pending_validation"), NOW)
    assert (afresh.attempts, afresh.gave_up_at) == (0, None)


@pytest.mark.parametrize("garbled", ["", "pending_moonrise"])
def test_a_status_that_nobody_knows_is_no_change_that_takes_a_give_up_back(garbled):
    given_up = TRIED.gave_up(NOW)
    assert given_up.after_look(replace(PACK, status=garbled), NOW) == given_up


def test_a_history_is_moved_whole_by_a_step_of_the_clock_and_back():
    step = timedelta(hours=5)
    moved = TRIED.gave_up(NOW).shifted(step)
    assert (moved.trouble_since, moved.last_restart_at, moved.gave_up_at) == (NOW + step,) * 3
    assert moved.shifted(-step) == TRIED.gave_up(NOW)
    assert UNTROUBLED.shifted(step) is UNTROUBLED


def test_trouble_begins_when_it_is_first_seen_and_is_not_moved():
    first = UNTROUBLED.after_look(PACK, NOW)
    assert first.trouble_since == NOW
    assert first.after_look(PACK, NOW + timedelta(hours=1)).trouble_since == NOW


def test_an_intent_counts_as_an_attempt_and_sets_the_next_moment():
    after = UNTROUBLED.intended(NOW, timedelta(minutes=15))
    assert (after.attempts, after.last_restart_at, after.next_restart_at) == (1, NOW, NOW + timedelta(minutes=15))


@pytest.mark.parametrize(
    ("dirty", "line"),
    [
        ("two\nlines", "two lines"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x", "x"),
        ("right\u202eleft", "right left"),
        ("a" * 400, "a" * 299 + "…"),
        (None, "None"),
        ("\ud800", ""),
    ],
)
def test_text_from_outside_becomes_one_harmless_line(dirty, line):
    assert clean(dirty) == line


def test_a_pack_id_is_the_same_with_and_without_dashes():
    assert canonical_id("3822FF90-ea29-44df-9e55-21300bb9419b") == canonical_id("3822ff90ea2944df9e5521300bb9419b")
