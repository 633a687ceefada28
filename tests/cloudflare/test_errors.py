"""Each error that Cloudflare was seen to give means one thing here: whose fault it is, and what may be done then."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchdog.cloudflare.errors import (
    KNOWN_CODES,
    AccessDenied,
    CloudflareError,
    CloudflareFault,
    CredentialRefused,
    Held,
    NetworkFault,
    NotEnabled,
    NotFound,
    Operation,
    PassingFault,
    PermissionMissing,
    RateLimited,
    Refused,
    TurnedAway,
    Unsettled,
    Why,
)
from watchdog.cloudflare.translate import Complaint, Problem, translate
from watchdog.model.text import clean

LIST, PATCH = Operation.LIST_PACKS, Operation.RESTART_VALIDATION


def said(code, message="no", *chain):
    return (Complaint(code, message, chain),)


@pytest.mark.parametrize(
    ("operation", "status", "complaints", "kind", "code"),
    [
        (LIST, 400, said(10000, "Authentication error"), AccessDenied, "10000"),
        (LIST, 401, said(10000, "Authentication error"), AccessDenied, "10000"),
        (PATCH, 403, said(10000, "Authentication error"), AccessDenied, "10000"),
        (LIST, 403, said(9109, "Unauthorized to access requested resource"), AccessDenied, "9109"),
        (LIST, 403, said(9109, "Max auth failures reached, please check your credentials"), CredentialRefused, "9109"),
        (LIST, 400, said(9103, "Unknown X-Auth-Key or X-Auth-Email"), CredentialRefused, "9103"),
        (LIST, 400, said(9106, "Missing X-Auth-Key, X-Auth-Email or Authorization headers"), CredentialRefused, "9106"),
        (LIST, 400, said(6003, "Invalid request headers"), AccessDenied, "6003"),
        (LIST, 400, said(6003, "Invalid request headers", 6102), CredentialRefused, "6003"),
        (LIST, 403, said(9109, "Invalid access token"), CredentialRefused, "9109"),
        (LIST, 403, said(9109, "Cannot use the access token from location: 192.0.2.7"), CredentialRefused, "9109"),
        (LIST, 400, said(6003, "Invalid request headers", 6111), CredentialRefused, "6003"),
        (LIST, 400, said(6003, "Invalid request headers", 6103), CredentialRefused, "6003"),
        (LIST, 400, said(1, "Wrapped", 10000), AccessDenied, "1"),
        (Operation.VERIFY_TOKEN, 401, said(1000, "Invalid API Token"), CredentialRefused, "1000"),
        (LIST, 400, said(1000, "Invalid API token"), CredentialRefused, "1000"),
        (PATCH, 400, said(1000, "Request timeout"), PassingFault, "1000"),
        (PATCH, 200, said(1000, "internal server error"), PassingFault, "1000"),
        (PATCH, 500, said(1000, "Internal Server Error"), PassingFault, "1000"),
        (PATCH, 400, said(1000, "something else"), Refused, "1000"),
        (LIST, 401, said(1000, "something else"), AccessDenied, "1000"),
        (PATCH, 403, said(10001, "Method not allowed for token"), PermissionMissing, "10001"),
        (PATCH, 405, said(10001, "method not allowed for this authentication scheme"), PermissionMissing, "10001"),
        (LIST, 403, said(10001, "Unable to authenticate request"), PassingFault, "10001"),
        (PATCH, 400, said(10001, "Internal error"), PassingFault, "10001"),
        (PATCH, 403, said(10001, "no"), AccessDenied, "10001"),
        (LIST, 401, (), AccessDenied, "http_401"),
        (LIST, 400, said(7003, "Could not route"), NotFound, "7003"),
        (LIST, 404, said(7003, "Could not route"), NotFound, "7003"),
        (LIST, 404, said(7000, "No route"), NotFound, "7000"),
        (PATCH, 404, said(1408, "not found"), NotFound, "1408"),
        (LIST, 404, (), NotFound, "http_404"),
        (PATCH, 400, said(1406, "Bad response certificate service"), CloudflareFault, "1406"),
        (PATCH, 403, said(1450, "ACM"), NotEnabled, "1450"),
        (PATCH, 400, said(1450, "ACM"), NotEnabled, "1450"),
        (PATCH, 400, said(1499, "not timed out"), Refused, "1499"),
        (PATCH, 403, (), TurnedAway, "http_403"),
        (PATCH, 403, said(0, "no"), Refused, "http_403"),
        (LIST, 403, said(0, "Authentication error"), AccessDenied, "http_403"),
        (PATCH, 403, said(0, "You do not have permission to do this"), AccessDenied, "http_403"),
        (PATCH, 408, (), CloudflareFault, "http_408"),
        (PATCH, 409, (), Refused, "http_409"),
        (LIST, 429, said(971, "slow down"), RateLimited, "971"),
        (PATCH, 429, said(10000, "slow down"), RateLimited, "10000"),
        (PATCH, 429, (), RateLimited, "http_429"),
        (LIST, 200, said(971, "Please wait and consider throttling your request speed"), RateLimited, "971"),
        (PATCH, 503, said(971, "no"), RateLimited, "971"),
        (LIST, 400, said(10100, "no"), RateLimited, "10100"),
        (LIST, 403, said(10500, "no"), RateLimited, "10500"),
        (LIST, 400, said(1, "no", 971), RateLimited, "1"),
        (LIST, 400, (*said(1), *said(971)), RateLimited, "1"),
        (LIST, 403, said(0, "Rate limit exceeded"), RateLimited, "http_403"),
        (PATCH, 400, said(2, "You have been rate-limited"), RateLimited, "2"),
        (PATCH, 400, said(2, "Too many requests, slow down"), RateLimited, "2"),
        (PATCH, 400, said(2, "the rate is fine"), Refused, "2"),
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


@pytest.mark.parametrize("status", [400, 401, 404, 405, 410])
@pytest.mark.parametrize("page", ["<html><head><title>Not Found</title>", "404 page not found"])
def test_a_page_in_place_of_an_envelope_says_nothing_of_a_zone_or_a_credential(status, page):
    assert type(translate(LIST, status, (), prefix=page)) is TurnedAway


@pytest.mark.parametrize(("status", "kind"), [(401, AccessDenied), (404, NotFound)])
def test_json_without_a_complaint_is_judged_by_its_status(status, kind):
    assert type(translate(LIST, status, (), prefix='{"success": false, "errors": []}')) is kind


def test_a_404_that_is_a_page_says_that_the_address_may_be_wrong():
    assert "`api.base_url`" in str(translate(LIST, 404, (), prefix="<html>"))


@pytest.mark.parametrize(
    ("complaints", "why"),
    [
        (said(9103, "Unknown X-Auth-Key or X-Auth-Email"), Why.INVALID),
        (said(9109, "Invalid access token"), Why.INVALID),
        (said(1000, "Invalid API Token"), Why.INVALID),
        (said(9109, "Cannot use the access token from location: 192.0.2.7"), Why.ADDRESS),
        (said(9109, "Max auth failures reached, please check your Authorization header."), Why.LOCKED_OUT),
        (said(10000, "Too many authentication failures. Please try again later."), Why.LOCKED_OUT),
        (said(6003, "Invalid request headers", 6111), Why.MALFORMED),
        (said(6003, "Invalid request headers", 6103), Why.MALFORMED),
        ((Complaint(6003, "Invalid request headers", (), ("Invalid format for X-Auth-Email header",)),), Why.MALFORMED),
    ],
)
def test_a_credential_that_is_certainly_refused_says_why(complaints, why):
    assert translate(LIST, 403, complaints).why is why


@pytest.mark.parametrize(
    ("complaints", "lasts"),
    [
        (said(10000, "Authentication error"), False),
        (said(9109, "Unauthorized to access requested resource"), True),
        (said(10001, "Method not allowed for token"), True),
    ],
)
def test_a_denial_that_asking_again_cannot_change_says_so(complaints, lasts):
    assert translate(LIST, 403, complaints).lasts is lasts


def test_the_messages_of_the_chain_are_shown():
    chained = (Complaint(6003, "Invalid request headers", (6111,), ("Invalid format for Authorization header",)),)
    assert "Invalid request headers; Invalid format for Authorization header" in str(translate(LIST, 400, chained))


def test_a_sentence_about_an_authoritys_rates_holds_one_call_and_not_the_account():
    limited = translate(PATCH, 400, said(2, "The certificate authority has rate limited these domains"))
    assert (type(limited), limited.everything) == (RateLimited, False)


@pytest.mark.parametrize(
    ("status", "problem", "kind", "code"),
    [
        (403, Problem("Error 1010: Access denied: blocked by its signature", 1010), TurnedAway, "edge_1010"),
        (429, Problem("Error 1015: You are being rate limited", 1015, 30), RateLimited, "edge_1015"),
        (403, Problem("Error 1015: You are being limited", 1015), RateLimited, "edge_1015"),
        (502, Problem("Error 502: Bad gateway", 0, 60), CloudflareFault, "http_502"),
        (522, Problem("Error 522: Connection timed out", 522), CloudflareFault, "edge_522"),
        (400, Problem("Bad request"), TurnedAway, "http_400"),
    ],
)
def test_problem_details_are_told_with_title_detail_and_number(status, problem, kind, code):
    error = translate(PATCH, status, (), prefix='{"type":"https://...', problem=problem)
    assert (type(error), error.code, error.retry_after) == (kind, code, problem.retry_after)
    assert problem.text in str(error)


@pytest.mark.parametrize(
    ("operation", "complaints", "remedy"),
    [
        (LIST, said(10000), "lacks the permission Zone / SSL and Certificates / Edit for this zone"),
        (PATCH, said(9109), "lacks the permission Zone / SSL and Certificates / Edit for this zone"),
        (Operation.FIND_ZONE, said(9109), "lacks the permission Zone / Zone / Read for this zone"),
        (Operation.LIST_ZONES, said(9109), "lacks the permission Zone / Zone / Read"),
        (Operation.VERIFY_TOKEN, said(10000), "the token is not valid: make a new one"),
        (
            LIST,
            said(6003, "Invalid request headers", 6111),
            "look for a stray character in it, or for a key given as a token",
        ),
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
    if not isinstance(error, Unsettled | RateLimited):
        assert status < 500


def test_only_faults_leave_open_what_happened():
    assert issubclass(CloudflareFault, Unsettled)
    assert issubclass(NetworkFault, Unsettled)
    for kind in (CredentialRefused, AccessDenied, NotFound, Refused, RateLimited, Held):
        assert not issubclass(kind, Unsettled)
