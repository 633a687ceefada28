import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.dns import pack
from watchdog.diagnose import validation_errors, zone
from watchdog.model.findings import FindingName
from watchdog.model.packs import Validation, ZoneFacts
from watchdog.model.reasons import VALIDATION_REASONS, Reason

CONTROL = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u202e]")


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("The authority has rate limited these domains. Please wait for its window to expire.", "ca_rate_limited"),
        ("the CA RATE-LIMITED these names", "ca_rate_limited"),
        ("CAA records block issuance, please remove them or add one for the authority", "caa_forbids"),
        ("Your CAA record does not allow this authority", "caa_forbids"),
        ("Could not validate from multiple perspectives", "caa_unreachable"),
        ("MPIC: CAA could not be corroborated", "caa_unreachable"),
        ("The authority had trouble performing a DNS lookup: looking up caa for x.test: dnssec: bogus", "dns_failure"),
        ("SERVFAIL looking up CAA", "dns_failure"),
        ("The certificate authority will not issue for this domain", "ca_refuses"),
        ("Internal error with Certificate Authority. Please check later.", "ca_internal"),
        ("a cat sat on the keyboard", "other"),
        ("", "other"),
    ],
)  # fmt: skip
def test_cloudflares_messages_are_sorted_by_their_few_telling_words(message, reason):
    assert validation_errors.reason_of(message) == reason


def test_the_reason_that_lasts_longest_decides():
    messages = ("Internal error with Certificate Authority", "will not issue for this domain", "SERVFAIL")
    assert validation_errors.main_reason(messages) is Reason.CA_REFUSES
    assert validation_errors.main_reason(messages[::2]) is Reason.DNS_FAILURE
    assert validation_errors.main_reason(()) is None


@given(st.lists(st.text(max_size=400)))
def test_every_message_has_a_reason_a_finding_and_clean_text(messages):
    assert all(validation_errors.reason_of(message) in VALIDATION_REASONS for message in messages)
    found = validation_errors.said(messages)
    assert bool(found) == bool(messages)
    assert len({one.name for one in found}) == len(found)
    assert all(not CONTROL.search(one.says) and one.remedy and one.certainty != "certain" for one in found)


def test_every_reason_of_a_failed_validation_is_the_name_of_a_finding_too():
    assert {reason.value for reason in VALIDATION_REASONS} <= {name.value for name in FindingName}


@pytest.mark.parametrize(
    ("facts", "method", "expected"),
    [
        (ZoneFacts(), "txt", set()),
        (ZoneFacts(status="active"), "txt", set()),
        (ZoneFacts(status="moved"), "txt", {("zone_not_active", "certain")}),
        (ZoneFacts(status="pending"), "txt", {("zone_not_active", "certain")}),
        (ZoneFacts(status="brand new"), "txt", {("zone_not_active", "hint")}),
        (ZoneFacts(status="active", paused=True), "txt", {("zone_paused", "hint")}),
        (ZoneFacts(status="active", paused=True), "http", {("zone_paused", "likely")}),
        (ZoneFacts(status="active"), "email", {("email_waits", "hint")}),
    ],
)
def test_what_cloudflare_says_of_the_zone_is_judged(facts, method, expected):
    found = zone.judge(pack("www.example.com", validation=Validation(method)), facts)
    assert {(one.name.value, one.certainty.value) for one in found} == expected
