"""Claims about the one table of reasons: it leaves nobody without a word."""

import pytest

from watchdog.model.decisions import Do
from watchdog.model.meanings import ALERTS, REASONS, meaning
from watchdog.model.reasons import VALIDATION_REASONS, Reason


def test_every_reason_has_a_meaning_and_nothing_else_has():
    assert set(REASONS) == set(Reason)


def test_what_is_decided_is_a_kind_of_decision():
    assert {REASONS[reason].decided for reason in Reason} - {""} == set(Do)


def test_the_severities_of_an_alert_rise():
    for severities in ALERTS.values():
        ranks = [severity.rank for severity in severities]
        assert ranks == sorted(set(ranks))


@pytest.mark.parametrize("reason", Reason)
def test_whoever_is_told_what_is_wrong_is_told_what_to_do(reason):
    found = REASONS[reason]
    assert not found.pack or found.pack_remedy
    assert not found.zone or found.zone_remedy


@pytest.mark.parametrize("reason", [Reason.CA_RATE_LIMITED, Reason.CA_REFUSES])
def test_whoever_is_told_to_go_to_another_authority_is_told_how_cloudflare_takes_that_order(reason):
    assert "no second order for exactly the same hosts" in REASONS[reason].pack_remedy


@pytest.mark.parametrize("reason", VALIDATION_REASONS)
def test_every_failure_of_a_validation_has_a_remedy(reason):
    assert REASONS[reason].validation_remedy


def test_a_reason_of_another_version_means_nothing():
    assert (meaning("of_tomorrow").needs_a_person, meaning("of_tomorrow").zone) == (False, "")
