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
from watchdog.cloudflare.credential import PROBE_EVERY, REFUSALS_IN_A_ROW, Credential
from watchdog.cloudflare.errors import CloudflareError

SECRET = "s3cr3t-of-the-house"


def token(clock=None):
    return Credential.from_token("main", SECRET, clock or ManualClock())


def test_a_fresh_credential_may_call():
    credential = token()
    assert credential.may_call()
    assert credential.may_call()
    assert not credential.stopped
    assert credential.refusal == ""


def test_a_certain_refusal_stops_it_at_once_and_says_why():
    credential = token()
    credential.refused("Invalid access token", certain=True)
    assert credential.stopped
    assert credential.refusal == "Invalid access token"
    assert not credential.may_call()


def test_uncertain_refusals_stop_it_at_the_third_in_a_row_and_not_at_the_second():
    credential = token()
    for _ in range(REFUSALS_IN_A_ROW - 1):
        credential.refused("no", certain=False)
    assert not credential.stopped
    credential.refused("no", certain=False)
    assert credential.stopped


def test_a_probe_may_leave_when_its_time_has_come_and_not_a_second_before():
    clock = ManualClock()
    credential = token(clock)
    credential.refused("no", certain=True)
    clock.advance(seconds=PROBE_EVERY - 1)
    assert not credential.may_call()
    clock.advance(seconds=1)
    assert credential.may_call()
    assert not credential.may_call()
    assert credential.stopped


def test_a_probe_that_is_refused_begins_the_wait_anew_and_one_that_is_taken_ends_it():
    clock = ManualClock()
    credential = token(clock)
    credential.refused("no", certain=True)
    clock.advance(seconds=PROBE_EVERY)
    assert credential.may_call()
    credential.refused("still no", certain=False)
    assert credential.refusal == "still no"
    clock.advance(seconds=PROBE_EVERY - 1)
    assert not credential.may_call()
    clock.advance(seconds=1)
    assert credential.may_call()
    credential.accepted()
    assert (credential.stopped, credential.refusal) == (False, "")
    assert credential.may_call()


@in_simulated_time
async def test_restarts_that_are_refused_say_nothing_against_looking():
    client = by_hand(answer(status=403, errors=[{"code": 10000, "message": "Authentication error"}]))
    for _ in range(REFUSALS_IN_A_ROW + 1):
        with pytest.raises(CloudflareError):
            await client.restart_validation(ZONE, "p")
    assert not client.credential.stopped
    for _ in range(REFUSALS_IN_A_ROW):
        with pytest.raises(CloudflareError):
            await client.get_pack(ZONE, "p")
    assert client.credential.stopped


@given(st.lists(st.integers(0, 4000), max_size=60))
def test_a_refused_credential_is_never_used_more_often_than_the_probes_allow(pauses):
    clock = ManualClock()
    credential = token(clock)
    began = clock.now()
    credential.refused("no", certain=True)
    calls = 0
    for pause in pauses:
        clock.advance(seconds=pause)
        if credential.may_call():
            calls += 1
            credential.refused("no", certain=False)
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
