"""The demo, as a person sees it on a terminal of 80 columns."""

import re
import socket

import pytest

from watchdog.demo.stories import SHOWN, STORIES

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def told():
    """What a whole demo shows; it is run once, four times as fast as usual."""
    return {}


@pytest.fixture
def whole(told, screen):
    if not told:
        told["screen"], told["code"] = screen("demo", "--speed", "4", "--port", "0")
    assert told["code"] == 0, told["screen"]
    return told["screen"]


def test_each_story_is_told_in_one_line_and_ends_as_it_should(whole):
    lines = {line.split()[0]: line for line in whole.splitlines() if re.match(r"\S+\.example .*\b(s|min|h) ", line)}
    assert {zone: line.split()[-1] for zone, line in lines.items()} == {
        zone: story.ends for zone, story in STORIES.items()
    }
    assert all(whole.count(f"\n{zone} ") == 1 for zone in STORIES)


def test_80_columns_are_enough(whole):
    assert max(map(len, whole.splitlines())) <= 80


def test_no_log_line_is_shown_unasked(whole):
    assert not re.search(r"(?m)^\d\d:\d\d:\d\d ", whole)
    assert "Traceback" not in whole


def test_one_alert_is_shown_as_it_reaches_the_chat_and_so_is_its_end(whole):
    alert, end = re.findall(r"(?ms)^The chat gets, .+? after the start:\n(.+?)\n\n(?!  \|)", whole)
    assert alert.startswith(f"  | [warning] held_by_diagnosis: {SHOWN}: not restarted")
    assert f'  |   {SHOWN} CAA 0 issue "pki.goog"' in alert
    assert end.startswith(f"  | [resolved] held_by_diagnosis: {SHOWN}: recovered after ")


def test_the_address_of_the_page_is_told(whole):
    assert re.search(r"(?m)^  http://127\.0\.0\.1:\d+/$", whole)


def test_what_is_held_is_not_restarted_before_it_was_mended(whole):
    assert re.search(rf"(?m)^{SHOWN} .* held, restart\b", whole)


def test_it_sums_up_even_where_its_port_is_taken(shell):
    with socket.create_server(("127.0.0.1", 0)) as other:
        done = shell("demo", "--for", "1s", "--port", other.getsockname()[1])
    assert done.code == 0
    assert "Nothing leaves this machine" in done.out
    assert re.search(r"(?m)^[0-9]+ packs in 15 zones", done.out)
    assert done.err == ""


def test_log_lines_are_shown_to_who_wants_them(shell):
    done = shell("demo", "--for", "1s", "--port", "0", "--verbose")
    assert (done.code, "Traceback" in done.err) == (0, False)
    assert " started " in done.err
