import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.dns import pack
from watchdog.diagnose import validation_errors, zone
from watchdog.model.findings import FindingName
from watchdog.model.packs import Validation, ZoneFacts
from watchdog.model.reasons import VALIDATION_REASONS, Reason

CONTROL = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u202e]")


WORDS = """
ca_rate_limited
  - The authority has rate limited these domains. Please wait for the rate limit to expire or try another
    authority.
  - too many certificates (5) already issued for this exact set of identifiers in the last 168h0m0s, retry
    after 2026-11-30 09:13:16 UTC: see https://ca.test
  - too many failed authorizations (5) for "x.test" in the last 1h0m0s
  - Your account is temporarily prevented from requesting certificates for x.test and others
  - issuance for these identifiers is paused
  - urn:ietf:params:acme:error:rateLimited
  - too many currently pending authorizations
caa_forbids
  - CAA records block issuance. Please remove all CAA records or add records for this authority
  - The CA will not issue for x.test because of its CAA records
  - cannot issue for x.test due to a CAA record of its parent
  - While processing CAA for www.x.test: CAA record for x.test prevents issuance
  - issuance is forbidden by the CAA set of x.test
  - the CAA record does not list this authority
  - Your CAA record does not allow this authority
  - CAA doesn't authorise us
caa_unreachable
  - Certificate authority encountered a multiple perspective CAA check error, please ensure your DNS is
    configured to allow CAA queries from all geographic perspectives
  - Certificate authority was unable to verify domain ownership from multiple geographic locations (MPIC
    failure). Please ensure your DNS records are reachable from all geographic perspectives and try again.
  - Could not validate from multiple perspectives
  - MPIC: CAA could not be corroborated
  - the CAA check timed out
dns_failure
  - the Certificate Authority had trouble performing a DNS lookup: dns problem: looking up caa for x.test:
    dnssec: bogus
  - Certificate authority encountered a SERVFAIL during DNS lookup, please check your DNS reachability.
  - DNS problem: query timed out looking up CAA for x.test
  - SERVFAIL looking up CAA for app.example.com
  - DNS problem: NXDOMAIN looking up A for x.test - check that a DNS record exists for this domain
  - DNS problem: server failure at resolver looking up TXT for _acme-challenge.x.test
  - DNS problem: looking up TXT for _acme-challenge.x.test: DNSSEC: DNSKEY Missing
ca_refuses
  - The certificate authority will not issue for this domain. Please check your input or try another
    authority
  - refuses to issue a certificate for this name, because it is forbidden by policy
  - Cannot issue for x.test: Domain name has more than 10 labels
  - urn:ietf:params:acme:error:rejectedIdentifier
ca_internal
  - Internal error with Certificate Authority. Please check later
  - cannot issue now: internal error, try again later
  - the service is temporarily unavailable
  - urn:ietf:params:acme:error:serverInternal
  - During secondary validation: Secondary validation RPC failed
  - Could not communicate with VA
  - Error finalizing order :: Unable to meet CA SCT embedding requirements
  - Service busy; retry later.
  - The service is down for maintenance
other
  - the domain is on a blocklist; its CAA records are well
  - the domain is on a blocklist
  - Invalid response from http://x.test/.well-known/acme-challenge/x: 404
  - no valid A records found for x.test; no valid AAAA records found for x.test
  - Incorrect TXT record found at _acme-challenge.x.test
  - the Certificate Authority had trouble performing a DNS lookup: DNS problem: NXDOMAIN looking up TXT for
    _acme-challenge.x.test - check that a DNS record exists for this domain
  - During secondary validation: No TXT record found at _acme-challenge.x.test
  - 192.0.2.7: Fetching http://x.test/.well-known/acme-challenge/x: Timeout during connect (likely firewall problem)
  - a cat sat on the keyboard
"""
"""Cloudflare's own sentences in full (cloudflare-docs PR #30877, 2026-05-18), and what authorities say, by reason."""

MESSAGES = [
    (" ".join(message.split()), reason.strip())
    for reason, _, messages in (part.partition("\n") for part in re.split(r"\n(?=\w)", WORDS.strip()))
    for message in messages.removeprefix("  - ").split("\n  - ")
]


@pytest.mark.parametrize(("message", "reason"), MESSAGES)
def test_cloudflares_messages_are_sorted_by_their_few_telling_words(message, reason):
    assert validation_errors.reason_of(message) == reason


spaces = st.sampled_from([" ", "  ", "\n", "\u00a0", "\t"])


@given(st.sampled_from(MESSAGES), st.sampled_from([str.upper, str.lower, str.title, str.swapcase]), spaces)
def test_neither_case_nor_spacing_changes_what_a_message_means(known, cased, space):
    message, reason = known
    assert validation_errors.reason_of(f"{space}{cased(message).replace(' ', space)}{space}") == reason


@pytest.mark.parametrize("joint", ["-", "\u2010", "\u2011", "\u2013", " ", ""])
def test_a_rate_limit_is_known_by_whatever_joins_its_two_words(joint):
    assert validation_errors.reason_of(f"RATE{joint}LIMITED these names") == "ca_rate_limited"


LIMITED = "too many certificates (5) already issued for this exact set of identifiers in the last 168h0m0s"
HOUR = timedelta(hours=1)
AT = datetime(2026, 11, 30, 9, 13, 16, tzinfo=UTC)


@pytest.mark.parametrize(
    ("message", "retry_at"),
    [
        (f"{LIMITED}, retry after 2026-11-30 09:13:16 UTC: see the page", AT),
        (f"{LIMITED}, Retry After 2026-11-30T09:13:16Z", AT),
        (f"{LIMITED}, retry after: 2026-11-30 09:13:16.123 +0200 CEST", datetime(2026, 11, 30, 7, 13, 16, tzinfo=UTC)),
        (f"{LIMITED}, try again at 2026-11-30 09:13", datetime(2026, 11, 30, 9, 13, tzinfo=UTC)),
        (f"{LIMITED}, retry after 2026-02-30 09:13:16 UTC", None),
        (f"{LIMITED}, retry after 0001-01-01 00:00 +2359", None),
        (f"{LIMITED}, retry after a while", None),
    ],
)  # fmt: skip
def test_the_time_in_the_message_is_read(message, retry_at):
    assert validation_errors.limit_of((message,)).retry_at == retry_at


@pytest.mark.parametrize(
    ("message", "refill"),
    [
        (LIMITED, timedelta(hours=33, minutes=36)),
        ("too many failed authorizations (5) for x.test", timedelta(minutes=12)),
        ("too many certificates (50) already issued for x.test", timedelta(minutes=201, seconds=36)),
        ("too many new orders (300) from this account in the last 3h0m0s", timedelta(seconds=36)),
        ("temporarily prevented from requesting certificates for x.test", timedelta(days=1)),
        ("The authority has rate limited these domains.", None),
        ("rate limited, retry after 3600", HOUR),
        ("rate limited, retry after 3600 seconds", HOUR),
        ("rate limited, try again in 2 hours", 2 * HOUR),
        ("rate limited, retry after 34h12m0s", 34 * HOUR + timedelta(minutes=12)),
        ("rate limited, retry after 0 seconds", None),
        ("rate limited, retry after 99999999999999999999 seconds", None),
    ],
)
def test_the_words_say_how_long_the_limit_takes_to_let_one_more_through(message, refill):
    assert validation_errors.limit_of((message,)).refill == refill


def test_what_is_no_limit_has_none_and_of_several_the_longest_counts():
    assert validation_errors.limit_of(("SERVFAIL, retry later", "will not issue")) is None
    both = validation_errors.limit_of((LIMITED, "too many failed authorizations (5)"))
    assert both.refill == timedelta(hours=33, minutes=36)


@pytest.mark.parametrize(("message", "paused"), [("issuance for these identifiers is paused", True), (LIMITED, False)])
def test_a_pause_is_told_from_limits_that_end_by_themselves(message, paused):
    assert validation_errors.limit_of((message,)).paused is paused
    assert validation_errors.limit_of((message, LIMITED)).paused is paused


def test_for_a_pause_only_another_authority_is_advised():
    [found] = validation_errors.said(("Your account is temporarily prevented from requesting certificates",))
    assert found.name == "ca_rate_limited"
    assert "another certificate authority" in found.remedy
    assert "Wait" not in found.remedy


@given(st.text(max_size=300))
def test_no_message_breaks_the_reading_of_its_time(text):
    limit = validation_errors.limit_of((f"rate limit, retry after {text}",))
    assert limit.retry_at is None or limit.retry_at.tzinfo is UTC


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
    found = zone.check_zone(pack("www.example.com", validation=Validation(method)), facts)
    assert {(one.name.value, one.certainty.value) for one in found} == expected
