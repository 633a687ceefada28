"""Looking back: which lines of the journal somebody gets who asks for some of them."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.state.conftest import T0
from watchdog.model.history import JournalLine, JournalQuery
from watchdog.state.changes import Changes

LINE = JournalLine(
    at=T0,
    event="pack_changed",
    account="main",
    zone="a.example",
    zone_id="z1",
    pack_id="aaaa1111",
    detail="status=active",
)
LINES = [
    LINE,
    replace(LINE, at=T0 + timedelta(hours=1), zone="Shop_1.Example", zone_id="z2", pack_id="bbbb2222"),
    replace(LINE, at=T0 + timedelta(hours=2), zone="shop-1.example", zone_id="z3", pack_id="bbbb3333"),
    replace(LINE, at=T0 + timedelta(hours=3), account="partner", pack_id=""),
]


@pytest.fixture
def found(store, kit):
    store.save(Changes(journal=LINES), kit.now)

    def numbers(**query):
        """Which of the lines, newest first."""
        return [LINES.index(line) for _, line in store.journal(JournalQuery(**query))]

    return numbers


def test_with_no_wish_all_lines_come_newest_first(found):
    assert found() == [3, 2, 1, 0]


@pytest.mark.parametrize(
    ("query", "lines"),
    [
        ({"since": T0 + timedelta(hours=2)}, [3, 2]),
        ({"account": "partner"}, [3]),
        ({"zone": "a.example"}, [3, 0]),
        ({"zone": "SHOP?1.example"}, [2, 1]),
        ({"zone": "shop_1.example"}, [1]),
        ({"zone": "*.example"}, [3, 2, 1, 0]),
        ({"zone": "shop%"}, []),
        ({"zone_id": "z3"}, [2]),
        ({"pack": "bbbb"}, [2, 1]),
        ({"pack": "bbbb2"}, [1]),
        ({"zone": "a.example", "account": "main"}, [0]),
    ],
)
def test_lines_are_chosen_by_time_account_zone_and_pack(found, query, lines):
    assert found(**query) == lines


def test_who_goes_on_before_the_last_number_sees_every_line_once(store, found):
    seen, before = [], None
    while lines := store.journal(JournalQuery(before=before, most=1)):
        [(before, line)] = lines
        seen.append(LINES.index(line))
    assert seen == found()
