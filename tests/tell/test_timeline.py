"""The picture of a pack: what was known of it when, from the lines of the journal."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from tests.harness.builders import NOW, pack
from tests.harness.values import replace
from watchdog.model.history import JournalLine
from watchdog.model.packs import KNOWN_STATUSES
from watchdog.tell.page.timeline import HEIGHT, SHOWN, WIDTH, by_pack, story

DAY = timedelta(days=1)


def line(ago, event="pack_changed", detail="", pack_id="p1"):
    return JournalLine(
        at=NOW - ago, event=event, account="main", zone="example.com", zone_id="z", pack_id=pack_id, detail=detail
    )


def changed(ago, before, status, **more):
    return line(ago, detail=f"before={before} status={status}", **more)


def told(*lines, status="active", since=90 * DAY):
    known, _ = pack("p1", status)
    found = story(replace(known, since=NOW - since), lines, NOW)
    return [(each.kind, (each.ends - each.begins) / DAY) for each in found.stretches]


def test_a_pack_that_has_not_changed_was_so_all_the_time():
    assert told() == [("well", 30)]


def test_each_change_ends_one_stretch_and_begins_another():
    lines = (changed(10 * DAY, "active", "validation_timed_out"), changed(4 * DAY, "validation_timed_out", "active"))
    assert told(*lines, since=4 * DAY) == [("well", 20), ("late", 6), ("well", 4)]


def test_what_nobody_wrote_down_is_not_known():
    assert told(status="validation_timed_out", since=3 * DAY) == [("blank", 27), ("late", 3)]


def test_what_a_pack_in_trouble_was_before_its_first_line_is_not_known():
    lines = (
        line(5 * DAY, "restart_intended", "attempt=1"),
        line(4 * DAY, "restart_sent", "attempt=1 status=initializing outcome=accepted"),
        changed(3 * DAY, "initializing", "validation_timed_out"),
    )
    found = told(*lines, status="validation_timed_out", since=3 * DAY)
    assert found == [("blank", 25), ("late", 1), ("busy", 1), ("late", 3)]


def test_a_pack_first_seen_within_the_month_is_blank_before():
    assert told(line(5 * DAY, detail="status=active")) == [("blank", 25), ("well", 5)]


def test_lines_from_before_the_picture_are_left_out():
    assert told(changed(40 * DAY, "active", "validation_timed_out")) == [("well", 30)]


def test_restarts_are_counted_where_cloudflare_took_them():
    known, _ = pack("p1")
    lines = [line(3 * DAY, "restart_intended"), line(3 * DAY, "restart_sent"), line(2 * DAY, "restart_failed")]
    found = story(replace(known, since=NOW - 60 * DAY), lines, NOW)
    assert (found.restarts, found.words()) == ([NOW - 3 * DAY], "The last 30 d: never timed out or expired, 1 restart.")


def test_what_a_pack_replaced_is_its_own_past():
    old = changed(9 * DAY, "active", "validation_timed_out", pack_id="old")
    new = line(2 * DAY, "pack_replaced", "old_pack_id=old before=validation_timed_out status=active", pack_id="new")
    assert by_pack(list(enumerate([old, new]))[::-1]) == {"new": [old, new]}


statuses = st.sampled_from([*sorted(KNOWN_STATUSES), "never_heard_of"])
minutes = st.integers(0, 50 * 24 * 60)


@given(st.lists(st.tuples(minutes, statuses, statuses, st.sampled_from(["pack_changed", "restart_sent", "recovered"]))))
def test_the_picture_covers_the_month_without_a_gap_and_keeps_within_its_frame(changes):
    lines = [
        line(timedelta(minutes=ago), event, f"before={before} status={status}")
        for ago, before, status, event in sorted(changes, reverse=True)
    ]
    known, _ = pack("p1")
    found = story(replace(known, since=NOW - DAY), lines, NOW)
    assert found.stretches[0].begins == NOW - SHOWN
    assert found.stretches[-1].ends == NOW
    assert all(one.ends == other.begins for one, other in zip(found.stretches, found.stretches[1:], strict=False))
    assert all(bar.y >= 0 and bar.y + bar.height <= HEIGHT and bar.width > 0 for bar in found.bars())
    assert all(-2 <= bar.x <= WIDTH for bar in found.bars())
