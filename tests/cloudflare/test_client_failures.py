"""How calls fail: what is tried again, how long is waited, and when a credential is left alone."""

import asyncio
from datetime import timedelta

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.cloudflare_client import ZONE, Sky, answer, by_hand, make_client, timed_out
from tests.harness.time import in_simulated_time
from watchdog.cloudflare.client import GET_TRIES, MOST_BYTES, WAITS_FOR_429
from watchdog.cloudflare.credential import PROBE_EVERY, REFUSALS_IN_A_ROW, Credential
from watchdog.cloudflare.errors import (
    CloudflareError,
    CloudflareFault,
    CredentialRefused,
    NetworkFault,
    NotFound,
    RateLimited,
    Refused,
    Unsettled,
)
from watchdog.cloudflare.rate_limit import LONGEST_BLOCK, Urgency
from watchdog.simulator.scenario import Fault, pack_id

PACK = pack_id("example.com", 0)
HICCUPS = {
    "http_503": {"kind": "html_error", "status": 503},
    "http_522": {"kind": "text_error", "status": 522},
    "http_500": {"kind": "json_error", "status": 500},
    "1406": {"kind": "json_error", "status": 400, "code": 1406, "message": "Bad response certificate service"},
    "not_json": {"kind": "html_error", "status": 200},
    "disconnect": {"kind": "reset"},
    "timeout": {"kind": "slow", "delay": "31s"},
}
NOES = {
    "7003": ({"status": 400, "code": 7003}, NotFound),
    "1408": ({"status": 404, "code": 1408}, NotFound),
    "1450": ({"status": 403, "code": 1450}, Refused),
    "http_400": ({"status": 400}, Refused),
    "10000": ({"status": 403, "code": 10000}, CredentialRefused),
}


async def raised_by(call, kind=CloudflareError):
    try:
        await call
    except kind as error:
        failed = error.with_traceback(None)  # it would keep a body that was not read to its end
    else:
        pytest.fail("nothing was raised")
    await asyncio.sleep(0)
    return failed


LOOKS = {
    "list_packs": (ZONE, Urgency.CALM),
    "get_pack": (ZONE, PACK),
    "find_zone": ("example.com",),
    "list_zones": (),
    "verify_token": (),
}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("code", HICCUPS)
@in_simulated_time
async def test_a_read_bridges_two_hiccups_and_gives_up_at_the_third(code, look):
    sky = Sky()
    sky.world.add_fault(Fault(**HICCUPS[code], times=GET_TRIES - 1))
    await getattr(sky.client, look)(*LOOKS[look])
    assert [each.error.code if each.error else "" for each in sky.client.calls] == [code, code, ""]
    sky.world.clear_faults()
    sky.world.add_fault(Fault(**HICCUPS[code]))
    failed = await raised_by(getattr(sky.client, look)(*LOOKS[look]), Unsettled)
    assert (failed.operation, failed.code) == (look, code)
    assert len(sky.asked) == 2 * GET_TRIES


@in_simulated_time
async def test_the_waits_between_tries_grow_and_differ():
    sky = Sky(timed_out(faults=[{"kind": "reset"}]))
    for _ in range(20):
        await raised_by(sky.client.get_pack(ZONE, PACK))
    at = [request.at for request in sky.world.ledger]
    first = {at[n + 1] - at[n] for n in range(0, 60, 3)}
    second = {at[n + 2] - at[n + 1] for n in range(0, 60, 3)}
    assert len(first) == len(second) == 20
    assert all(timedelta(seconds=0.5) <= wait <= timedelta(seconds=1.5) for wait in first)
    assert all(timedelta(seconds=1) <= wait <= timedelta(seconds=3) for wait in second)


@pytest.mark.parametrize("code", NOES)
@in_simulated_time
async def test_a_no_is_taken_for_an_answer_at_once(code):
    fault, kind = NOES[code]
    sky = Sky(timed_out(faults=[{"kind": "json_error", **fault}]))
    assert (await raised_by(sky.client.list_packs(ZONE, Urgency.CALM), kind)).code == code
    assert (await raised_by(sky.client.restart_validation(ZONE, PACK), kind)).code == code
    assert [method for method, _ in sky.asked] == ["GET", "PATCH"]


@pytest.mark.parametrize("takes_effect", [False, True])
@pytest.mark.parametrize("code", HICCUPS)
@in_simulated_time
async def test_a_patch_is_sent_once_whatever_becomes_of_it(code, takes_effect):
    sky = Sky(timed_out(faults=[{**HICCUPS[code], "takes_effect": takes_effect}]))
    failed = await raised_by(sky.client.restart_validation(ZONE, PACK), Unsettled)
    assert failed.code == code
    assert not isinstance(failed, NetworkFault) or failed.sent
    await sky.clock.sleep(timedelta(hours=1))
    assert len(sky.patches()) == 1


@in_simulated_time
async def test_a_body_that_ends_in_the_middle_is_a_broken_connection():
    sky = Sky(timed_out(faults=[{"kind": "truncated"}]))
    failed = await raised_by(sky.client.get_pack(ZONE, PACK), NetworkFault)
    assert (failed.code, failed.sent) == ("disconnect", True)


@in_simulated_time
async def test_a_huge_body_is_read_up_to_a_bound_and_no_further():
    sky = Sky(timed_out(faults=[{"kind": "huge"}]))
    failed = await raised_by(sky.client.restart_validation(ZONE, PACK), CloudflareFault)
    assert failed.code == "too_large"
    assert str(MOST_BYTES) in str(failed)


@pytest.mark.parametrize("kind", ["missing_fields", "nulls", "unknown_words", "odd_primary"])
@in_simulated_time
async def test_packs_with_strange_or_missing_fields_are_shown_with_gaps(kind):
    sky = Sky(timed_out(2, faults=[{"kind": kind}]))
    found = await sky.client.list_packs(ZONE, Urgency.CALM)
    assert [pack.id for pack in found] == [pack_id("example.com", 0), pack_id("example.com", 1)]
    expected = {"unknown_words": "pending_moonrise", "odd_primary": "validation_timed_out"}.get(kind, "")
    assert [pack.status for pack in found] == [expected, expected]


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (b"", "not_json", "an empty body"),
        (b"<html>\x1b[31mhi\r\n", "not_json", "<html>hi"),
        (b"[1]", "malformed", "no object"),
        (b"{}", "malformed", "`result`"),
        (b'{"success": true}', "malformed", "`result`"),
        (b'{"success": true, "result": null}', "malformed", "`result`"),
        (b'{"success": false, "result": []}', "malformed", "`success` is false"),
        (b'{"success": true, "result": [{"id": "a", "status": "\xff"}]}', "not_json", "success"),
        (b"[" * 100_000, "not_json", "[[["),
        (b"\x00" * 1000, "not_json", "an empty body"),
    ],
)
@in_simulated_time
async def test_a_success_that_is_none_is_a_fault_that_quotes_a_little_of_it(content, code, said):
    failed = await raised_by(by_hand(httpx.Response(200, content=content)).list_packs(ZONE, Urgency.CALM))
    assert type(failed) is CloudflareFault
    assert failed.code == code
    assert said in str(failed)
    assert len(str(failed)) < 250


@in_simulated_time
async def test_an_error_says_the_ray_and_a_short_clean_beginning_of_the_body():
    page = httpx.Response(502, headers={"cf-ray": "89ab\x1b[0m-FRA"}, content=b"<h1>\nBad\tgateway</h1>" + b"x" * 9000)
    failed = await raised_by(by_hand(page).get_pack(ZONE, PACK))
    assert str(failed).startswith("get_pack: HTTP 502: <h1> Bad gateway</h1>xxx")
    assert str(failed).endswith("(cf-ray 89ab-FRA)")
    assert len(str(failed)) < 250


@in_simulated_time
async def test_errors_in_an_answer_of_status_200_count_as_what_they_say():
    errors = [{"code": 1408, "message": "Certificate pack not found"}]
    failed = await raised_by(by_hand(answer(None, errors=errors)).get_pack(ZONE, PACK))
    assert (type(failed), failed.code) == (NotFound, "1408")


@pytest.mark.parametrize("status", [301, 302, 307, 308, 204])
@in_simulated_time
async def test_an_answer_that_is_neither_success_nor_error_settles_nothing(status):
    client = by_hand(httpx.Response(status, headers={"location": "http://other.example/"}))
    assert (await raised_by(client.restart_validation(ZONE, PACK), CloudflareFault)).code == "not_json"
    assert [request.url.host for request in client.http.requests] == ["sim"]


# ── 429 ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=40, deadline=None)
@given(st.integers(1, int(LONGEST_BLOCK)))
def test_a_read_waits_a_429_out_for_exactly_as_long_as_it_says(seconds):
    @in_simulated_time
    async def works():
        sky = Sky(timed_out(faults=[{"kind": "rate_limited", "retry_after": seconds, "times": 1}]))
        began = sky.clock.monotonic()
        await sky.client.get_pack(ZONE, PACK)
        assert sky.clock.monotonic() - began == pytest.approx(seconds, abs=0.001)
        assert sky.client.limited == [("main", seconds)]
        assert len(sky.asked) == 2

    works()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT", "ratelimit": '"default";r=0;t=42'}, 42),
        ({"retry-after": "-5"}, 300),
        ({"retry-after": ""}, 300),
        ({"retry-after": "٣"}, 300),
        ({"retry-after": "0"}, 0),
        ({"ratelimit": '"default";r=0;t=17'}, 17),
        ({}, 300),
    ],
)
@in_simulated_time
async def test_a_429_without_a_usable_retry_after_is_waited_out_as_well(headers, seconds):
    headers = httpx.Headers([(name.encode(), value.encode()) for name, value in headers.items()])
    errors = [{"code": 971, "message": "Please wait"}]
    client = by_hand(answer(status=429, errors=errors, headers=headers), answer({"id": PACK}))
    began = asyncio.get_running_loop().time()
    await client.get_pack(ZONE, PACK)
    assert asyncio.get_running_loop().time() - began == pytest.approx(seconds)
    assert client.limited == [("main", seconds)]


@in_simulated_time
async def test_a_read_that_meets_only_429s_gives_up_after_the_last_wait():
    sky = Sky(timed_out(faults=[{"kind": "rate_limited", "retry_after": 60}]))
    began = sky.clock.monotonic()
    failed = await raised_by(sky.client.get_pack(ZONE, PACK), RateLimited)
    assert failed.code == "971"
    assert len(sky.asked) == WAITS_FOR_429 + 1
    assert sky.clock.monotonic() - began == pytest.approx(60 * WAITS_FOR_429)


@in_simulated_time
async def test_a_patch_that_meets_a_429_is_given_back_and_not_sent_again():
    sky = Sky(timed_out(faults=[{"kind": "rate_limited", "retry_after": 60, "times": 1}]))
    await raised_by(sky.client.restart_validation(ZONE, PACK), RateLimited)
    await sky.clock.sleep(timedelta(hours=1))
    assert len(sky.patches()) == 1
    assert sky.world.restarts == []


@in_simulated_time
async def test_while_a_429_is_waited_out_nothing_is_sent_with_that_credential_and_others_go_on():
    tokens = [{"name": "main", "value": "simulated-token"}, {"name": "other", "value": "o"}]
    sky = Sky(timed_out(tokens=tokens, faults=[{"kind": "rate_limited", "retry_after": 100, "times": 1}]))
    other = make_client(sky.http, sky.clock, credential=Credential.from_token("other", "o", sky.clock))
    began = sky.clock.now()
    await raised_by(sky.client.restart_validation(ZONE, PACK), RateLimited)
    waiting = asyncio.create_task(sky.client.restart_validation(ZONE, PACK))
    await other.get_pack(ZONE, PACK)
    await waiting
    sent = [(request.credential, round((request.at - began).total_seconds())) for request in sky.world.ledger]
    assert sent == [("main", 0), ("other", 0), ("main", 100)]


@pytest.mark.repeats
@in_simulated_time
async def test_a_client_in_a_hurry_never_meets_cloudflares_limits():
    sky = Sky(timed_out(), requests=1200)
    for _ in range(1500):
        await sky.client.get_pack(ZONE, PACK)
    assert {request.status for request in sky.world.ledger} == {200}


# ── credentials ──────────────────────────────────────────────────────────────────────────────────────────────────────


@in_simulated_time
async def test_a_revoked_token_is_asked_with_once_then_probed_slowly_until_it_is_taken_again():
    sky = Sky(timed_out())
    sky.world.revoke("main")
    failed = await raised_by(sky.client.get_pack(ZONE, PACK), CredentialRefused)
    assert (failed.code, failed.certain) == ("9109", True)
    for _ in range(60):  # an hour of one call a minute
        stopped = await raised_by(sky.client.get_pack(ZONE, PACK), CredentialRefused)
        await sky.clock.sleep(timedelta(minutes=1))
    assert stopped.certain
    assert "Zone / SSL and Certificates / Edit" in str(stopped)
    assert len(sky.asked) == 1 + 3  # the first, and the probes after 15, 30 and 45 minutes
    sky.world.restore("main")
    await sky.clock.sleep(timedelta(seconds=PROBE_EVERY))
    for _ in range(5):
        await sky.client.get_pack(ZONE, PACK)
    assert len(sky.asked) == 1 + 3 + 5


@in_simulated_time
async def test_a_call_that_is_not_made_is_not_heard_and_has_no_code():
    sky = Sky(timed_out())
    sky.world.revoke("main")
    await raised_by(sky.client.get_pack(ZONE, PACK))
    stopped = await raised_by(sky.client.restart_validation(ZONE, PACK), CredentialRefused)
    assert stopped.code == ""
    assert len(sky.client.calls) == 1


@pytest.mark.parametrize("status", [400, 401])
@in_simulated_time
async def test_a_missing_permission_told_as_400_or_401_stops_the_credential_at_once(status):
    tokens = [{"value": "simulated-token", "permissions": ["read"]}]
    sky = Sky(timed_out(tokens=tokens, unknowns={"authentication_error_status": status}))
    failed = await raised_by(sky.client.restart_validation(ZONE, PACK), CredentialRefused)
    assert (failed.code, failed.certain, sky.client.credential.stopped) == ("10000", True, True)


@in_simulated_time
async def test_plain_403s_stop_the_credential_only_when_they_come_in_a_row():
    sky = Sky(timed_out())
    denied = {"kind": "json_error", "status": 403, "code": 10000, "message": "Authentication error"}
    for number in range(1, 10):
        if number % REFUSALS_IN_A_ROW:
            sky.world.add_fault(Fault(**denied, times=1))
            await raised_by(sky.client.get_pack(ZONE, PACK), CredentialRefused)
        else:
            await sky.client.get_pack(ZONE, PACK)
    assert not sky.client.credential.stopped
    sky.world.add_fault(Fault(**denied))
    for _ in range(10):
        await raised_by(sky.client.get_pack(ZONE, PACK), CredentialRefused)
    assert sky.client.credential.stopped
    assert len(sky.asked) == 9 + REFUSALS_IN_A_ROW


@in_simulated_time
async def test_an_address_filter_is_told_with_its_address():
    tokens = [{"value": "simulated-token", "refused_from": "192.0.2.7"}]
    sky = Sky(timed_out(tokens=tokens))
    failed = await raised_by(sky.client.get_pack(ZONE, PACK), CredentialRefused)
    assert "192.0.2.7" in str(failed)


@in_simulated_time
async def test_a_malformed_credential_is_told_as_one_and_stops_at_once():
    sky = Sky(timed_out())
    client = make_client(sky.http, sky.clock, credential=Credential.from_token("main", "two words", sky.clock))
    failed = await raised_by(client.get_pack(ZONE, PACK), CredentialRefused)
    assert (failed.code, failed.certain) == ("6003", True)
    assert "stray character" in str(failed)
    assert "two words" not in str(failed)


@in_simulated_time
async def test_a_call_that_is_cancelled_gives_its_turn_back():
    sky = Sky(timed_out(faults=[{"kind": "slow", "delay": "20s", "times": 1}]), requests=1)
    call = asyncio.create_task(sky.client.get_pack(ZONE, PACK))
    await asyncio.sleep(1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.sleep(301)
    began = sky.clock.monotonic()
    await sky.client.get_pack(ZONE, PACK)
    assert sky.clock.monotonic() == began


@in_simulated_time
async def test_a_window_of_one_request_ends_no_restart_in_a_wait_for_itself():
    client = by_hand(answer(status=503), answer({"id": PACK, "status": "active"}), requests=1)
    async with asyncio.timeout(1000), client.reserve(2) as reservation:
        await client.get_pack(ZONE, PACK, reservation)
        await client.restart_validation(ZONE, PACK, reservation)
    assert [request.method for request in client.http.requests] == ["GET", "GET", "PATCH"]
