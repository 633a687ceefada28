"""Claims about what a pass comes to: who needs a person."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.harness.builders import NOW, inventory, pack
from watchdog.model.decisions import Decision, Do
from watchdog.model.reasons import Reason

EXPIRED = Decision(Do.LEAVE, Reason.EXPIRED)
AT_WORK = Decision(Do.LEAVE, Reason.IN_PROGRESS)


def ending(days_left, name="p1", status="active", **more):
    known, history = pack(name, status, **more)
    return replace(known, pack=replace(known.pack, expires_at=NOW + timedelta(days=days_left))), history


def test_a_fleet_that_is_well_needs_nobody():
    assert not inventory(pack("p1")).needs_a_person()


@pytest.mark.parametrize("status", ["pending_validation", "validation_timed_out", "holding_validation"])
def test_a_certificate_in_use_that_has_expired_needs_a_person_whatever_is_decided(status):
    assert inventory(ending(-1, status=status, decision=AT_WORK)).needs_a_person()


def test_an_expired_certificate_that_another_pack_has_replaced_needs_nobody():
    assert not inventory(ending(-1, decision=EXPIRED), pack("p2")).needs_a_person()


@pytest.mark.parametrize("status", ["backup_issued", "staging_active"])
def test_a_backup_replaces_no_expired_certificate(status):
    assert inventory(ending(-1, decision=EXPIRED), pack("p2", status)).needs_a_person()


@pytest.mark.parametrize("status", ["backup_issued", "staging_active", "holding_deployment"])
def test_a_certificate_that_nobody_serves_may_expire(status):
    assert not inventory(ending(-1, status=status)).needs_a_person()
