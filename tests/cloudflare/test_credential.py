"""A refused credential is probed slowly and believed again at once; and no secret is ever shown."""

import pickle
import pprint
import traceback

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.cloudflare_client import ZONE, answer, by_hand
from tests.harness.time import ManualClock, in_simulated_time
from watchdog.cloudflare.credential import (
    PROBE_EVERY,
    PROBE_LOCKED_OUT_EVERY,
    READABLE_KEPT,
    TRANSITIONS,
    Credential,
    Sign,
    Standing,
)
from watchdog.cloudflare.errors import CloudflareError
from watchdog.cloudflare.http import Headers, Request

SECRET = "s3cr3t-of-the-house"


def token(clock=None):
    return Credential.from_token("main", SECRET, clock or ManualClock())


def test_a_fresh_credential_may_call():
    credential = token()
    assert credential.may_call()
    assert credential.may_call()
    assert not credential.stopped
    assert credential.refusal == ""


def test_every_standing_knows_every_sign():
    assert set(TRANSITIONS) == set(Standing)
    assert all(set(signs) == set(Sign) for signs in TRANSITIONS.values())


@pytest.mark.parametrize(
    ("signs", "standing", "events"),
    [
        ([], "trusted", []),
        ([Sign.SERVED], "trusted", []),
        ([Sign.DENIED], "doubted", ["credential_doubted"]),
        ([Sign.DENIED, Sign.DENIED], "doubted", ["credential_doubted"]),
        ([Sign.DENIED, Sign.SERVED], "trusted", ["credential_doubted", None]),
        ([Sign.DENIED, Sign.CLEARED], "trusted", ["credential_doubted", None]),
        ([Sign.DENIED, Sign.REFUSED], "stopped", ["credential_doubted", "credential_stopped"]),
        ([Sign.REFUSED], "stopped", ["credential_stopped"]),
        ([Sign.REFUSED, Sign.DENIED], "stopped", ["credential_stopped"]),
        ([Sign.REFUSED, Sign.SERVED], "trusted", ["credential_stopped", "credential_resumed"]),
        ([Sign.REFUSED, Sign.CLEARED], "trusted", ["credential_stopped", "credential_resumed"]),
        ([Sign.REFUSED, Sign.LOCKED_OUT], "locked_out", ["credential_stopped", "credential_stopped"]),
        ([Sign.LOCKED_OUT, Sign.DENIED], "locked_out", ["credential_stopped"]),
        ([Sign.LOCKED_OUT, Sign.REFUSED], "stopped", ["credential_stopped", "credential_stopped"]),
        ([Sign.LOCKED_OUT, Sign.SERVED], "trusted", ["credential_stopped", "credential_resumed"]),
    ],
)
def test_the_standing_changes_by_signs_and_each_change_has_its_event(signs, standing, events):
    credential = token()
    changes = [credential.note(sign, "why") for sign in signs]
    assert credential.standing == standing
    assert [change.event for change in changes if change is not None] == events


def test_a_refusal_says_why_until_it_is_over():
    credential = token()
    credential.note(Sign.REFUSED, "Invalid access token")
    assert credential.refusal == "Invalid access token"
    credential.note(Sign.SERVED)
    assert credential.refusal == ""


def test_a_doubted_credential_is_used_on():
    credential = token()
    credential.note(Sign.DENIED, "no")
    assert credential.may_call()
    assert not credential.stopped


@pytest.mark.parametrize(("sign", "seconds"), [(Sign.REFUSED, PROBE_EVERY), (Sign.LOCKED_OUT, PROBE_LOCKED_OUT_EVERY)])
def test_a_probe_may_leave_when_its_time_has_come_and_not_a_second_before(sign, seconds):
    clock = ManualClock()
    credential = token(clock)
    credential.note(sign, "no")
    clock.advance(seconds=seconds - 1)
    assert not credential.may_call()
    clock.advance(seconds=1)
    assert credential.may_call()
    assert not credential.may_call()
    assert credential.stopped


def test_a_probe_that_is_refused_begins_the_wait_anew():
    clock = ManualClock()
    credential = token(clock)
    credential.note(Sign.REFUSED, "no")
    clock.advance(seconds=PROBE_EVERY)
    assert credential.may_call()
    credential.note(Sign.REFUSED, "still no")
    assert credential.refusal == "still no"
    clock.advance(seconds=PROBE_EVERY - 1)
    assert not credential.may_call()
    clock.advance(seconds=1)
    assert credential.may_call()


def test_another_secret_is_tried_at_once():
    credential = token()
    credential.note(Sign.REFUSED, "no")
    assert credential.renew("another")
    assert credential.may_call()
    assert credential.headers() == {"authorization": "Bearer another"}


def test_the_same_secret_again_changes_nothing():
    credential = token()
    credential.note(Sign.REFUSED, "no")
    assert not credential.renew(SECRET)
    assert (credential.may_call(), credential.edition) == (False, 0)


def test_what_was_said_of_the_secret_before_is_still_taken_out():
    credential = token()
    credential.renew("another")
    assert credential.taken_out_of(f"{SECRET} another".encode()) == b"(credential) (credential)"


def test_a_secret_that_was_replaced_long_ago_is_kept_nowhere():
    credential = token()
    credential.renew("second")
    credential.renew("third")
    assert SECRET not in repr(vars(credential))


def test_the_zones_that_were_read_last_are_remembered():
    credential = token()
    for number in range(READABLE_KEPT + 2):
        credential.read(f"z{number}")
    assert credential.readable(but="z9") == "z8"
    for number in range(2, READABLE_KEPT + 2):
        credential.could_not_read(f"z{number}")
    assert credential.readable(but="") == ""


@given(st.lists(st.integers(0, 4000), max_size=60))
def test_a_refused_credential_is_never_used_more_often_than_the_probes_allow(pauses):
    clock = ManualClock()
    credential = token(clock)
    began = clock.now()
    credential.note(Sign.REFUSED, "no")
    calls = 0
    for pause in pauses:
        clock.advance(seconds=pause)
        if credential.may_call():
            calls += 1
            credential.note(Sign.REFUSED, "no")
    assert calls <= (clock.now() - began).total_seconds() // PROBE_EVERY


def test_each_kind_has_the_headers_of_its_kind():
    assert token().headers() == {"authorization": f"Bearer {SECRET}"}
    pair = Credential.from_key("old", "ops@example.com", SECRET, ManualClock())
    assert pair.headers() == {"x-auth-email": "ops@example.com", "x-auth-key": SECRET}


@pytest.mark.parametrize("make", [token, lambda: Credential.from_key("main", "ops@example.com", SECRET, ManualClock())])
def test_printing_a_credential_shows_its_name_alone(make):
    credential = make()
    for shown in (repr(credential), str(credential), f"{credential}", pprint.pformat([credential])):
        assert shown in ("Credential('main')", "[Credential('main')]")


def test_printing_a_request_shows_nothing_of_its_headers():
    request = Request("GET", "/zones", Headers([(b"authorization", f"Bearer {SECRET}".encode())]))
    assert SECRET not in f"{request!r} {request} {pprint.pformat(request)}"


@pytest.mark.parametrize("value", [b"a\r\nx-more: b", b"a\nb", b"a\x00b"])
def test_a_value_that_would_end_its_line_makes_no_header(value):
    with pytest.raises(ValueError, match="control character"):
        Headers([(b"authorization", value)])


@pytest.mark.parametrize(
    "said",
    [
        httpx.Response(403, content=b"<html>"),
        httpx.Response(200, content=b"not json"),
        httpx.ReadError("reset"),
        httpx.InvalidURL("what"),
        answer(status=403, errors=[{"code": 9109, "message": "Invalid access token"}]),
    ],
)
@pytest.mark.parametrize("kind", ["token", "key"])
@in_simulated_time
async def test_no_error_shows_a_secret_nor_do_its_causes(said, kind):
    made = token if kind == "token" else lambda: Credential.from_key("main", "ops@example.com", SECRET, ManualClock())
    client = by_hand(said, credential=made())
    with pytest.raises(CloudflareError) as failed:
        await client.restart_validation(ZONE, "p")
    shown = "".join(traceback.format_exception(failed.value)) + repr(failed.value) + str(vars(failed.value))
    shown += repr(client) + repr(client.calls) + repr(pickle.dumps(failed.value.args))
    assert SECRET not in shown
