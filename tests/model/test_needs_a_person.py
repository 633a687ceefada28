"""When ``once`` ends with exit code 1: a person is needed, and not for what nobody is served."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.harness.builders import NOW, inventory, pack, troubled, zone
from watchdog.model.decisions import Decision, Do
from watchdog.model.reasons import Reason

EXPIRED = Decision(Do.LEAVE, Reason.EXPIRED)


def ending(days, row):
    known, history = row
    return replace(known, pack=replace(known.pack, expires_at=NOW + timedelta(days=days))), history


def test_a_healthy_fleet_needs_nobody():
    assert not inventory(pack()).needs_a_person(NOW)


def test_a_zone_that_was_not_seen_needs_a_person():
    assert inventory(zones=[zone(error="list_packs: HTTP 502")]).needs_a_person(NOW)


@pytest.mark.parametrize(("days", "needed"), [(1, False), (0, True), (-1, True)])
def test_a_certificate_in_use_that_has_run_out_needs_a_person_though_a_restart_is_to_come(days, needed):
    assert inventory(ending(days, troubled())).needs_a_person(NOW) is needed


def test_an_expired_pack_that_a_deployed_one_has_replaced_needs_nobody():
    old, new = ending(-1, pack("p1", "expired", decision=EXPIRED)), ending(80, pack("p2"))
    assert inventory(old).needs_a_person(NOW)
    assert not inventory(old, new).needs_a_person(NOW)


@pytest.mark.parametrize("status", ["backup_issued", "staging_active", "pending_deployment"])
def test_an_undeployed_pack_stands_in_for_no_expired_one(status):
    old, new = ending(-1, pack("p1", "expired", decision=EXPIRED)), ending(80, pack("p2", status))
    assert inventory(old, new).needs_a_person(NOW)


def test_a_backup_that_has_run_out_needs_nobody():
    assert not inventory(ending(-1, pack("p1", "backup_issued"))).needs_a_person(NOW)


def test_a_pack_that_needs_a_person_for_another_reason_needs_one_though_it_was_replaced():
    gave_up = Decision(Do.GIVE_UP, Reason.GAVE_UP)
    assert inventory(ending(-1, troubled("p1", decision=gave_up)), ending(80, pack("p2"))).needs_a_person(NOW)
