"""Zones in which all is well are told as one thing, and nothing of them is lost."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from tests.harness.builders import NOW, WAITING, pack, troubled, zone
from tests.harness.values import replace
from watchdog.model.decisions import Decision, Do
from watchdog.model.needs import Needs, worth_a_look
from watchdog.model.packs import KNOWN_STATUSES
from watchdog.model.reasons import Reason
from watchdog.model.renewal import LONGEST_WINDOW
from watchdog.model.report import Inventory
from watchdog.model.zone_packs import grouped
from watchdog.notify.rules import ALL_WELL, active_alerts
from watchdog.tell.fleet import EXPIRING_SHOWN, Fleet

DAY = timedelta(days=1)
ENDS = st.none() | st.integers(-3, 100).map(lambda days: NOW + days * DAY)
DECISIONS = st.sampled_from([pack()[0].decision, WAITING, Decision(Do.GIVE_UP, Reason.GAVE_UP)])


@st.composite
def packs(draw):
    """Packs in a few zones, mostly well."""
    found = []
    for number in range(draw(st.integers(0, 12))):
        name = draw(st.sampled_from(["a.example", "b.example", "c.example"]))
        well = draw(st.integers(0, 3)) > 0
        known, history = pack(f"p{number}", zone=name) if well else troubled(f"p{number}", zone=name)
        if not well:
            status = draw(st.sampled_from(sorted(KNOWN_STATUSES)))
            known = replace(known, decision=draw(DECISIONS), pack=replace(known.pack, status=status))
        found.append((replace(known, pack=replace(known.pack, expires_at=draw(ENDS))), history))
    return found


def of(found, now=NOW):
    return Inventory.of(found, [zone(name) for name in ("a.example", "b.example", "c.example")], now)


def needs_of(found, now):
    """What the packs ask, each looked at."""
    return Needs(grouped(found), now)


@given(packs(), st.integers(0, 40))
def test_whoever_asks_only_what_is_restless_hears_of_every_need(found, days):
    now = NOW + days * DAY
    every = needs_of(found, now)
    asked = [(known, history, need) for known, history in found if (need := every.of(known, history)) is not None]
    assert sorted(of(found, now).asking(), key=_by_id) == sorted(asked, key=_by_id)


@given(packs(), st.integers(0, 40))
def test_a_row_is_the_same_whatever_its_zone_is(found, days):
    now = NOW + days * DAY
    needs, inventory = needs_of(found, now), of(found, now)
    for known, history in found:
        assert inventory.needs.of(known, history) == needs.of(known, history)


@given(packs())
def test_the_alerts_know_of_each_pack_that_is_in_trouble(found):
    unwell = active_alerts(of(found), ALL_WELL, NOW, NOW).unwell
    troubles = [known for known, history in found if history.trouble_since is not None and worth_a_look(known)]
    assert {name.partition("/")[2] for name in unwell} == {known.pack.lasting_name for known in troubles}


@given(packs())
def test_the_certificates_shown_are_those_that_end_next(found):
    fleet = Fleet(of(found))
    serves = needs_of(found, NOW).serves
    ends = sorted(
        known.pack.expires_at
        for known, _ in found
        if known.pack.expires_at is not None and known.pack.expires_at > NOW and serves(known.pack)
    )
    assert [known.pack.expires_at for known in fleet.expiring] == ends[:EXPIRING_SHOWN]


@given(packs(), st.integers(0, 12))
def test_packs_are_given_in_their_order_from_any_place_on(found, number):
    fleet = Fleet(of(found))
    everything = list(fleet.after(None))
    keys = [(known.account, known.zone, known.pack.id) for known, _ in everything]
    assert keys == sorted((known.account, known.zone, known.pack.id) for known, _ in found)
    if keys:
        place = keys[number % len(keys)]
        assert list(fleet.after(place)) == everything[keys.index(place) + 1 :]


def test_a_pack_that_is_well_is_told_of_from_when_its_end_comes_near():
    well = pack("p1")
    (found,) = grouped([well])
    assert found.restless(found.ends - timedelta.resolution) == []
    assert found.restless(found.ends) == [well]


def test_a_pack_that_is_well_and_was_tried_is_none_of_those():
    tried = pack("p2", history=troubled()[1])
    (found,) = grouped([pack("p1"), tried])
    assert found.restless(NOW) == [tried]


def test_a_pack_that_stands_in_for_another_is_asked_even_under_another_name_of_their_zone():
    ending, other = pack("p1", zone="a.example"), pack("p2", zone="a.example")
    ending = (replace(ending[0], pack=replace(ending[0].pack, expires_at=NOW + DAY)), ending[1])
    other = (replace(other[0], zone="as another calls it"), other[1])
    assert other[0].pack.expires_at > NOW + LONGEST_WINDOW
    assert list(of([ending]).asking()) != []
    assert list(of([ending, other]).asking()) == []


def _by_id(asked):
    return asked[0].pack.id
