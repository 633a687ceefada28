"""Which packs visitors are served, and which may run out because they are not."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.harness.values import replace
from watchdog.model.packs import DEPLOYED, GOING_AWAY, KNOWN_STATUSES, UNDEPLOYED, Pack
from watchdog.model.serving import Serving

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
OLD = Pack(
    id="p1",
    zone_id="z",
    type="universal",
    status="active",
    hosts=("a.example",),
    certificate_authority="google",
    expires_at=NOW,
)
NEW = replace(OLD, id="p2", expires_at=NOW + 80 * DAY)


def uses(pack, *others):
    return Serving(lambda zone_id: [each for each in (pack, *others) if each.zone_id == zone_id], NOW).uses(pack)


def test_a_pack_that_a_deployed_one_of_later_expiry_replaces_is_not_used():
    assert not uses(OLD, NEW)
    assert uses(NEW, OLD)


@pytest.mark.parametrize("status", sorted(KNOWN_STATUSES - DEPLOYED))
def test_only_a_deployed_pack_replaces_another(status):
    assert uses(OLD, replace(NEW, status=status))


@pytest.mark.parametrize("status", sorted(UNDEPLOYED | GOING_AWAY))
def test_what_is_not_deployed_or_goes_away_is_not_used(status):
    assert not uses(replace(OLD, status=status))


def test_a_pack_of_fewer_hosts_replaces_none_of_more():
    more = ("a.example", "b.example")
    assert uses(replace(OLD, hosts=more), NEW)
    assert not uses(OLD, replace(NEW, hosts=more))


def test_the_host_that_branding_adds_needs_nobody_to_serve_it():
    assert not uses(replace(OLD, hosts=("a.example", "sni.cloudflaressl.com")), NEW)


def test_a_host_is_served_by_the_wildcard_of_another_pack():
    wildcard = replace(NEW, hosts=("*.shop.example", "shop.example"))
    assert not uses(replace(OLD, hosts=("www.shop.example", "shop.example")), wildcard)


@pytest.mark.parametrize("host", ["shop.example", "a.www.shop.example", "*.www.shop.example", "www.other.example"])
def test_a_wildcard_is_for_the_names_right_below_it_alone(host):
    assert uses(replace(OLD, hosts=(host,)), replace(NEW, hosts=("*.shop.example",)))


def test_a_wildcard_that_runs_out_first_serves_nobody_for_longer():
    assert uses(replace(OLD, hosts=("www.shop.example",)), replace(NEW, hosts=("*.shop.example",), expires_at=NOW))


def test_several_packs_may_serve_the_hosts_of_one():
    others = replace(NEW, hosts=("a.example",)), replace(NEW, id="p3", hosts=("b.example",))
    assert not uses(replace(OLD, hosts=("a.example", "b.example")), *others)
    assert uses(replace(OLD, hosts=("a.example", "b.example", "c.example")), *others)


def test_a_pack_of_another_zone_replaces_none():
    assert uses(OLD, replace(NEW, zone_id="other"))


def test_an_expired_pack_without_a_date_is_replaced_by_any_that_is_deployed():
    expired = replace(OLD, status="expired", expires_at=None)
    assert uses(expired)
    assert not uses(expired, NEW)


def test_packs_without_hosts_replace_nothing_and_are_replaced_by_nothing():
    assert uses(replace(OLD, hosts=()), replace(NEW, hosts=()))
