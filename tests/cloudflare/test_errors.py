"""Each error that Cloudflare was seen to give means one thing here: whose fault it is, and what may be done then."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchdog.cloudflare.errors import (
    KNOWN_CODES,
    CloudflareError,
    CloudflareFault,
    Complaint,
    CredentialRefused,
    NetworkFault,
    NotFound,
    Operation,
    RateLimited,
    Refused,
    Unsettled,
    translate,
)
from watchdog.model.text import clean

LIST, PATCH = Operation.LIST_PACKS, Operation.RESTART_VALIDATION


def said(code, message="no", *chain):
    return (Complaint(code, message, chain),)


@pytest.mark.parametrize(
    ("operation", "status", "complaints", "kind", "code"),
    [
        (LIST, 400, said(10000, "Authentication error"), CredentialRefused, "10000"),
        (LIST, 401, said(10000, "Authentication error"), CredentialRefused, "10000"),
        (PATCH, 403, said(10000, "Authentication error"), CredentialRefused, "10000"),
        (LIST, 403, said(9109, "Invalid access token"), CredentialRefused, "9109"),
        (LIST, 403, said(9109, "Cannot use the access token from location: 192.0.2.7"), CredentialRefused, "9109"),
        (LIST, 400, said(6003, "Invalid request headers", 6111), CredentialRefused, "6003"),
        (LIST, 400, said(6003, "Invalid request headers", 6103), CredentialRefused, "6003"),
        (LIST, 400, said(1, "Wrapped", 10000), CredentialRefused, "1"),
        (Operation.VERIFY_TOKEN, 401, said(1000, "Invalid API Token"), CredentialRefused, "1000"),
        (LIST, 401, (), CredentialRefused, "http_401"),
        (LIST, 400, said(7003, "Could not route"), NotFound, "7003"),
        (LIST, 404, said(7003, "Could not route"), NotFound, "7003"),
        (LIST, 404, said(7000, "No route"), NotFound, "7000"),
        (PATCH, 404, said(1408, "not found"), NotFound, "1408"),
        (LIST, 404, (), NotFound, "http_404"),
        (PATCH, 400, said(1406, "Bad response certificate service"), CloudflareFault, "1406"),
        (PATCH, 403, said(1450, "ACM"), Refused, "1450"),
        (PATCH, 400, said(1450, "ACM"), Refused, "1450"),
        (PATCH, 400, said(1499, "not timed out"), Refused, "1499"),
        (PATCH, 403, (), Refused, "http_403"),
        (PATCH, 409, (), Refused, "http_409"),
        (LIST, 429, said(971, "slow down"), RateLimited, "971"),
        (PATCH, 429, said(10000, "slow down"), RateLimited, "10000"),
        (PATCH, 429, (), RateLimited, "http_429"),
        (PATCH, 500, said(10000, "Authentication error"), CloudflareFault, "10000"),
        (PATCH, 499, (), Refused, "http_499"),
        (PATCH, 500, (), CloudflareFault, "http_500"),
        (LIST, 530, (), CloudflareFault, "http_530"),
        (LIST, 502, said(0, "oops"), CloudflareFault, "http_502"),
        (LIST, 301, (), CloudflareFault, "not_json"),
        (LIST, 200, said(1234, "odd"), CloudflareFault, "1234"),
        (LIST, 400, said(999_999), Refused, "999999"),
        (LIST, 400, said(1_000_000), Refused, "http_400"),
        (LIST, 400, said(-5), Refused, "http_400"),
    ],
)
def test_each_answer_of_the_table_means_one_thing(operation, status, complaints, kind, code):
    error = translate(operation, status, complaints)
    assert type(error) is kind
    assert (error.operation, error.code) == (operation, code)
    assert str(error).startswith(f"{operation}: HTTP {status}")


@pytest.mark.parametrize(
    ("status", "complaints", "certain"),
    [
        (400, said(10000), True),
        (401, said(10000), True),
        (403, said(10000), False),
        (403, said(9109, "Invalid access token"), True),
        (403, said(9109, "Unauthorized to access requested resource"), False),
        (403, said(6003, "x", 6111), True),
    ],
)
def test_a_plain_403_may_be_about_the_zone_and_everything_else_is_about_the_credential(status, complaints, certain):
    assert translate(LIST, status, complaints).certain is certain


@pytest.mark.parametrize(
    ("operation", "complaints", "remedy"),
    [
        (LIST, said(10000), "lacks the permission Zone / SSL and Certificates / Edit for this zone"),
        (PATCH, said(9109), "lacks the permission Zone / SSL and Certificates / Edit for this zone"),
        (Operation.FIND_ZONE, said(9109), "lacks the permission Zone / Zone / Read for this zone"),
        (Operation.LIST_ZONES, said(9109), "lacks the permission Zone / Zone / Read"),
        (Operation.VERIFY_TOKEN, said(10000), "the token is not valid: make a new one"),
        (LIST, said(6003, "Invalid request headers", 6111), "look for a stray character in it"),
    ],
)
def test_a_refused_credential_is_told_with_its_remedy(operation, complaints, remedy):
    assert str(translate(operation, 403, complaints)).endswith(remedy)


def test_a_zone_without_advanced_certificates_is_told_in_words():
    assert "Advanced Certificate Manager is not enabled" in str(translate(PATCH, 403, said(1450, "no")))


def test_the_first_complaint_is_the_one_that_counts():
    assert type(translate(LIST, 404, (*said(7003), *said(10000)))) is NotFound


@given(
    st.sampled_from(Operation),
    st.integers(100, 599),
    st.lists(st.builds(Complaint, st.integers(), st.text(), st.lists(st.integers()).map(tuple)), max_size=3),
    st.text(),
    st.text(),
)
def test_any_answer_translates_into_one_clean_line_and_a_bounded_label(operation, status, complaints, prefix, ray):
    error = translate(operation, status, tuple(complaints), prefix=prefix, ray=ray)
    assert isinstance(error, CloudflareError)
    assert str(error) == clean(str(error), 1000)
    assert len(str(error)) < 550
    assert error.code in KNOWN_CODES or error.code == f"http_{status}" or 0 < int(error.code) < 1_000_000
    if status == 429:
        assert type(error) is RateLimited
    if status >= 500:
        assert type(error) is CloudflareFault
    if not isinstance(error, Unsettled):
        assert status < 500


def test_only_faults_leave_open_what_happened():
    assert issubclass(CloudflareFault, Unsettled)
    assert issubclass(NetworkFault, Unsettled)
    for kind in (CredentialRefused, NotFound, Refused, RateLimited):
        assert not issubclass(kind, Unsettled)
