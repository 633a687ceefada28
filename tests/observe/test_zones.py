"""Which zones are watched: the configured as they are, and those that discovery found last."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.harness.cloudflare_client import answer, by_hand
from tests.harness.time import in_simulated_time
from watchdog.model.packs import ZoneRef
from watchdog.model.reasons import Reason
from watchdog.observe.zones import Search, WatchedZones

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
EVERY = timedelta(minutes=15)
ALL = Search(("*",), ())


def row(name, number, status="active", kind="full", account="a" * 32):
    """A zone as Cloudflare lists it."""
    return {"id": f"{number:032x}", "name": name, "status": status, "type": kind, "account": {"id": account}}


def discovering(*rows, **refusal):
    """A client that lists these zones, or is refused."""
    return by_hand(answer(list(rows), **refusal))


def labels(watched):
    return [zone.label for zone in watched.zones()]


@in_simulated_time
async def test_what_is_included_and_not_excluded_is_found():
    watched = WatchedZones((), {"main": Search(("*.example",), ("test.*",))}, EVERY)
    rows = (row("a.example", 1), row("test.example", 2), row("a.other", 3))
    assert await watched.refresh("main", discovering(*rows), NOW)
    assert labels(watched) == ["a.example"]


@in_simulated_time
async def test_a_glob_may_be_written_in_either_form_of_a_name():
    watched = WatchedZones((), {"main": Search(("münchen.*",), ())}, EVERY)
    await watched.refresh("main", discovering(row("xn--mnchen-3ya.example", 1)), NOW)
    assert labels(watched) == ["xn--mnchen-3ya.example"]


@in_simulated_time
async def test_a_configured_zone_is_watched_once_whatever_discovery_says():
    configured = ZoneRef("main", "A.Example.", "")
    watched = WatchedZones((configured,), {"main": ALL}, EVERY)
    await watched.refresh("main", discovering(row("a.example", 1), row("b.example", 2)), NOW)
    assert labels(watched) == ["A.Example.", "b.example"]


@in_simulated_time
async def test_a_discovery_that_fails_leaves_what_it_found_last_and_says_why():
    watched = WatchedZones((), {"main": ALL}, EVERY)
    await watched.refresh("main", discovering(row("a.example", 1)), NOW)
    refused = discovering(status=400, errors=[{"code": 9103, "message": "Unknown X-Auth-Key or X-Auth-Email"}])
    assert not await watched.refresh("main", refused, NOW + EVERY)
    assert labels(watched) == ["a.example"]
    assert watched.failures["main"][0] is Reason.CREDENTIAL_REFUSED


@in_simulated_time
async def test_a_discovery_that_succeeds_again_takes_the_failure_back():
    watched = WatchedZones((), {"main": ALL}, EVERY)
    await watched.refresh("main", discovering(status=400, errors=[{"code": 9103, "message": "Unknown key"}]), NOW)
    await watched.refresh("main", discovering(row("a.example", 1)), NOW + EVERY)
    assert watched.failures == {}


@pytest.mark.parametrize(
    ("search", "rows", "says"),
    [
        (ALL, [], "the credential sees no zone: give it Zone / Zone / Read for the zones that are to be watched"),
        (
            Search(("*.test",), ()),
            [row("a.example", 1)],
            "the credential sees 1 zone, of which `discover` takes none",
        ),
        (ALL, [row("a.example", 1)], None),
    ],
)
@in_simulated_time
async def test_an_account_that_has_no_zone_to_watch_is_a_failure_of_its_discovery(search, rows, says):
    watched = WatchedZones((), {"main": search}, EVERY)
    await watched.refresh("main", discovering(*rows), NOW)
    assert watched.failures == ({"main": (Reason.NOT_FOUND, says)} if says else {})


@in_simulated_time
async def test_an_account_whose_zones_are_configured_need_not_have_others_to_be_found():
    watched = WatchedZones((ZoneRef("main", "a.example"),), {"main": ALL}, EVERY)
    await watched.refresh("main", discovering(), NOW)
    assert watched.failures == {}


@in_simulated_time
async def test_it_is_asked_once_in_each_interval_and_not_a_second_earlier():
    watched, client = WatchedZones((), {"main": ALL}, EVERY), discovering(row("a.example", 1))
    moments = (NOW, NOW + EVERY - timedelta(seconds=1), NOW + EVERY)
    assert [bool(await watched.refresh("main", client, at)) for at in moments] == [True, False, True]


@in_simulated_time
async def test_where_nothing_was_found_yet_a_discovery_that_cloudflare_failed_is_asked_again_at_once():
    watched = WatchedZones((), {"main": ALL}, EVERY)
    await watched.refresh("main", discovering(status=502), NOW)
    assert await watched.refresh("main", discovering(row("a.example", 1)), NOW + timedelta(minutes=1))
    await watched.refresh("main", discovering(status=502), NOW + 2 * EVERY)
    assert not await watched.refresh("main", discovering(row("b.example", 2)), NOW + 2 * EVERY + timedelta(minutes=1))


@in_simulated_time
async def test_an_account_without_discovery_asks_nothing():
    client = discovering(row("a.example", 1))
    assert not await WatchedZones((), {}, EVERY).refresh("main", client, NOW)


@in_simulated_time
async def test_an_internal_zone_is_left_out_and_hides_no_public_one():
    watched = WatchedZones((), {"main": ALL}, EVERY)
    await watched.refresh("main", discovering(row("a.example", 1, kind="internal"), row("a.example", 2)), NOW)
    assert [zone.id for zone in watched.zones()] == [f"{2:032x}"]


@in_simulated_time
async def test_of_two_zones_of_one_name_the_active_one_is_watched():
    watched = WatchedZones((), {"main": ALL}, EVERY)
    await watched.refresh("main", discovering(row("a.example", 1, "moved"), row("a.example", 2)), NOW)
    assert [zone.id for zone in watched.zones()] == [f"{2:032x}"]


@in_simulated_time
async def test_a_zone_that_moved_stands_back_for_the_active_one_of_another_account():
    watched = WatchedZones((), {"old": ALL, "new": ALL}, EVERY)
    await watched.refresh("old", discovering(row("a.example", 1, "moved")), NOW)
    await watched.refresh("new", discovering(row("a.example", 2)), NOW)
    assert [(zone.account, zone.id) for zone in watched.zones()] == [("new", f"{2:032x}")]


@in_simulated_time
async def test_a_reload_keeps_what_was_found_as_far_as_it_is_still_searched_for():
    before = WatchedZones((), {"main": ALL}, EVERY)
    await before.refresh("main", discovering(row("a.example", 1), row("b.example", 2)), NOW)
    after = WatchedZones((), {"main": Search(("a.*",), ())}, EVERY)
    after.inherit(before)
    assert labels(after) == ["a.example"]
