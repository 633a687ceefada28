"""How calls fail: what is tried again, how long is waited, and when a credential is left alone."""

import asyncio
import contextlib
from datetime import timedelta

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.cloudflare_client import ZONE, Sky, answer, by_hand, make_client, timed_out
from tests.harness.time import LoopClock, in_simulated_time
from watchdog.cloudflare.block import PATIENCE
from watchdog.cloudflare.credential import PROBE_EVERY, Credential, Sign
from watchdog.cloudflare.errors import (
    AccessDenied,
    Blocked,
    CloudflareError,
    CloudflareFault,
    CredentialRefused,
    Held,
    NetworkFault,
    NotFound,
    PermissionMissing,
    RateLimited,
    Refused,
    Unsettled,
)
from watchdog.cloudflare.rate_limit import Urgency
from watchdog.cloudflare.retries import GET_TRIES, WAITS_FOR_429
from watchdog.cloudflare.transport import MOST_BYTES
from watchdog.cloudflare.trust import REREAD_EVERY
from watchdog.model.clock import rfc3339
from watchdog.model.reasons import Reason
from watchdog.simulator.scenario import Fault, pack_id, zone_id

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
    "10001": ({"status": 403, "code": 10001, "message": "Method not allowed for token"}, PermissionMissing),
    "9103": ({"status": 403, "code": 9103}, CredentialRefused),
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
    sky.client.credential.note(Sign.SERVED)
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


@pytest.mark.parametrize("body", [b"", b"null"])
@in_simulated_time
async def test_a_429_without_words_says_what_it_means(body):
    failed = await raised_by(by_hand(httpx.Response(429, content=body)).restart_validation(ZONE, PACK), RateLimited)
    assert str(failed) == "restart_validation: HTTP 429: too many requests"


@in_simulated_time
async def test_a_page_in_place_of_json_says_its_ray_whatever_its_status():
    page = httpx.Response(200, headers={"cf-ray": "89ab-FRA"}, content=b"<h1>Sign in</h1>")
    failed = await raised_by(by_hand(page).get_pack(ZONE, PACK))
    assert str(failed) == "get_pack: HTTP 200, not the JSON expected: <h1>Sign in</h1> (cf-ray 89ab-FRA)"


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


@settings(max_examples=40)
@given(st.integers(1, int(PATIENCE)))
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
        ({"retry-after": "0"}, 300),
        ({"retry-after": "0", "ratelimit": '"default";r=0;t=42'}, 42),
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


YEAR = 365 * 86_400


@in_simulated_time
async def test_a_read_that_is_told_to_wait_for_a_year_says_until_when_nothing_is_sent():
    sky = Sky(timed_out(faults=[{"kind": "rate_limited", "retry_after": YEAR}]))
    began, until = sky.clock.monotonic(), sky.clock.now() + timedelta(hours=1)
    failed = await raised_by(sky.client.get_pack(ZONE, PACK), Blocked)
    said = f"get_pack: not sent: Cloudflare has told this credential to wait until {rfc3339(until)}"
    assert (str(failed), failed.sent, len(sky.asked)) == (said, False, 1)
    assert sky.clock.monotonic() == began


@in_simulated_time
async def test_who_is_told_to_wait_for_a_year_asks_again_after_an_hour():
    sky = Sky(timed_out(faults=[{"kind": "rate_limited", "retry_after": YEAR, "times": 1}]))
    await raised_by(sky.client.get_pack(ZONE, PACK), Blocked)
    await sky.clock.sleep(timedelta(hours=1))
    assert (await sky.client.get_pack(ZONE, PACK)).id == PACK


@in_simulated_time
async def test_a_restart_is_not_sent_into_a_long_wait():
    sky = Sky(timed_out(faults=[{"kind": "rate_limited", "retry_after": YEAR, "times": 1}]))
    await raised_by(sky.client.get_pack(ZONE, PACK), Blocked)
    async with sky.client.reserve(2) as reservation:
        await raised_by(sky.client.restart_validation(ZONE, PACK, reservation), Blocked)
    assert sky.patches() == []


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


# ── credentials that are certainly refused ───────────────────────────────────────────────────────────────────────────


@in_simulated_time
async def test_a_revoked_token_is_asked_with_once_then_probed_slowly_until_it_is_taken_again():
    sky = Sky(timed_out())
    sky.world.revoke("main")
    failed = await raised_by(sky.client.get_pack(ZONE, PACK), CredentialRefused)
    assert (failed.code, failed.sent) == ("9109", True)
    for _ in range(60):  # an hour of one call a minute
        stopped = await raised_by(sky.client.get_pack(ZONE, PACK), CredentialRefused)
        await sky.clock.sleep(timedelta(minutes=1))
    assert not stopped.sent
    assert "put a new one in its place" in str(stopped)
    assert len(sky.asked) == 1 + 3  # the first, and the probes after 15, 30 and 45 minutes
    sky.world.restore("main")
    await sky.clock.sleep(timedelta(seconds=PROBE_EVERY))
    for _ in range(5):
        await sky.client.get_pack(ZONE, PACK)
    assert len(sky.asked) == 1 + 3 + 5
    assert sky.client.changes == [("credential_stopped", "stopped"), ("credential_resumed", "trusted")]


@in_simulated_time
async def test_a_call_that_is_not_made_is_not_heard_and_has_no_code():
    sky = Sky(timed_out())
    sky.world.revoke("main")
    await raised_by(sky.client.get_pack(ZONE, PACK))
    stopped = await raised_by(sky.client.restart_validation(ZONE, PACK), CredentialRefused)
    assert (stopped.code, stopped.sent) == ("", False)
    assert len(sky.client.calls) == 1


@in_simulated_time
async def test_a_credential_that_is_locked_out_is_left_alone_for_hours():
    locked = answer(status=403, errors=[{"code": 9109, "message": "Max auth failures reached"}])
    client = by_hand(locked)
    for _ in range(4 * 60 - 1):
        await raised_by(client.get_pack(ZONE, PACK), CredentialRefused)
        await asyncio.sleep(60)
    assert len(client.http.requests) == 1
    assert client.changes == [("credential_stopped", "locked_out")]


@in_simulated_time
async def test_an_address_filter_is_told_with_its_address_and_stops_at_once():
    tokens = [{"value": "simulated-token", "refused_from": "192.0.2.7"}]
    sky = Sky(timed_out(tokens=tokens))
    failed = await raised_by(sky.client.get_pack(ZONE, PACK), CredentialRefused)
    assert "192.0.2.7" in str(failed)
    assert sky.client.credential.stopped


@in_simulated_time
async def test_a_malformed_credential_is_told_as_one_and_stops_at_once():
    sky = Sky(timed_out())
    client = make_client(sky.http, sky.clock, credential=Credential.from_token("main", "two words", sky.clock))
    failed = await raised_by(client.get_pack(ZONE, PACK), CredentialRefused)
    assert (failed.code, client.credential.stopped) == ("6003", True)
    assert "Invalid format for Authorization header" in str(failed)
    assert "two words" not in str(failed)


# ── another credential in its file ───────────────────────────────────────────────────────────────────────────────────


def rereading(held):
    """A credential whose file holds this by now."""
    reread = held if callable(held) else lambda: held
    return Credential.from_token("main", "simulated-token", LoopClock(), reread)


@in_simulated_time
async def test_a_credential_that_was_replaced_in_its_file_is_taken_when_the_old_one_is_refused():
    sky = Sky(timed_out(tokens=[{"value": "second"}]), credential=rereading("second"))
    assert (await sky.client.get_pack(ZONE, PACK)).id == PACK
    assert [request.status for request in sky.world.ledger] == [403, 200]
    assert sky.client.changes == [("credential_resumed", "trusted")]


@in_simulated_time
async def test_one_that_is_replaced_while_it_is_stopped_resumes_once_and_not_before_it_is_served():
    held = ["simulated-token"]
    sky = Sky(timed_out(tokens=[{"value": "third"}]), credential=rereading(lambda: held[0]))
    for held[0] in ("simulated-token", "second", "third", "third"):
        await asyncio.sleep(REREAD_EVERY)
        with contextlib.suppress(CredentialRefused):
            await sky.client.get_pack(ZONE, PACK)
    told = [event for event, _ in sky.client.changes if event is not None]
    assert told == ["credential_stopped", "credential_resumed"]
    assert [request.status for request in sky.world.ledger] == [403, 403, 200, 200]


@in_simulated_time
async def test_a_file_that_still_has_the_refused_credential_stops_it():
    sky = Sky(timed_out(), credential=rereading("simulated-token"))
    sky.world.revoke("main")
    await raised_by(sky.client.get_pack(ZONE, PACK), CredentialRefused)
    assert sky.client.credential.stopped


@in_simulated_time
async def test_the_file_of_a_stopped_credential_is_read_again_twice_a_minute_and_not_at_every_call():
    held, read = ["simulated-token"], []

    def reread():
        read.append(1)
        return held[0]

    sky = Sky(
        timed_out(tokens=[{"value": "simulated-token"}, {"name": "next", "value": "second"}]),
        credential=rereading(reread),
    )
    sky.world.revoke("main")
    for _ in range(60):
        await raised_by(sky.client.get_pack(ZONE, PACK), CredentialRefused)
        await sky.clock.sleep(timedelta(seconds=1))
    assert len(read) == 1 + 2
    held[0] = "second"
    await sky.clock.sleep(timedelta(seconds=29))
    assert (await sky.client.get_pack(ZONE, PACK)).id == PACK


@in_simulated_time
async def test_a_restart_that_met_the_old_credential_is_no_restart_and_the_next_one_goes():
    sky = Sky(timed_out(tokens=[{"value": "second"}]), credential=rereading("second"))
    failed = await raised_by(sky.client.restart_validation(ZONE, PACK), AccessDenied)
    assert failed.reason is Reason.UNSEEN
    await sky.client.restart_validation(ZONE, PACK)
    assert [request.status for request in sky.world.ledger] == [403, 200]


@in_simulated_time
async def test_a_late_answer_to_the_old_credential_does_not_stop_the_new_one():
    scenario = timed_out(tokens=[{"value": "second"}], faults=[{"kind": "slow", "delay": "1s"}])
    sky = Sky(scenario, credential=rereading("second"))
    await asyncio.gather(sky.client.get_pack(ZONE, PACK), sky.client.get_pack(ZONE, PACK))
    assert [request.status for request in sky.world.ledger] == [403, 403, 200, 200]
    assert not sky.client.credential.stopped


# ── calls that are denied ────────────────────────────────────────────────────────────────────────────────────────────

BLIP = {"kind": "json_error", "code": 10000, "message": "Authentication error"}
GONE = {"kind": "json_error", "status": 403, "code": 9109, "message": "Unauthorized to access requested resource"}


def two_zones(**scenario):
    return {"zones": [{"name": "example.com"}, {"name": "other.com"}], **scenario}


@pytest.mark.parametrize("status", [400, 401, 403])
@in_simulated_time
async def test_a_single_denial_is_asked_again_and_costs_nothing_else(status):
    sky = Sky(timed_out())
    sky.world.add_fault(Fault(**BLIP, status=status, times=1))
    assert (await sky.client.get_pack(ZONE, PACK)).id == PACK
    assert (len(sky.asked), sky.client.changes) == (2, [])


@in_simulated_time
async def test_a_token_that_is_a_few_seconds_old_is_waited_for():
    sky = Sky(timed_out())
    sky.world.add_fault(Fault(**BLIP, status=403, until="5s"))
    assert (await sky.client.get_pack(ZONE, PACK)).id == PACK
    assert not sky.client.credential.stopped


@in_simulated_time
async def test_what_was_denied_is_asked_once_more_when_the_token_has_just_been_verified():
    sky = Sky(timed_out())
    sky.world.add_fault(Fault(**BLIP, status=400, times=4))
    assert (await sky.client.get_pack(ZONE, PACK)).id == PACK
    assert [path.rpartition("/")[2] for _, path in sky.asked] == [PACK] * 4 + ["verify", PACK]


@in_simulated_time
async def test_a_credential_that_is_denied_and_not_verified_is_stopped():
    sky = Sky(timed_out())
    sky.world.add_fault(Fault(**BLIP, status=403))
    await raised_by(sky.client.get_pack(ZONE, PACK), CredentialRefused)
    assert sky.client.changes == [("credential_doubted", "doubted"), ("credential_stopped", "stopped")]
    asked = len(sky.asked)
    await raised_by(sky.client.get_pack(ZONE, PACK), CredentialRefused)
    assert len(sky.asked) == asked <= 4 + 2 * 2


@pytest.mark.parametrize("status", ["expired", "disabled"])
@in_simulated_time
async def test_a_credential_that_cloudflare_knows_as_over_is_told_as_that(status):
    denied = answer(status=403, errors=[{"code": 9109, "message": "Unauthorized to access requested resource"}])
    client = by_hand(denied, answer({"status": status}))
    refused = await raised_by(client.list_packs(ZONE, Urgency.CALM), CredentialRefused)
    assert str(refused).endswith(f"; Cloudflare says that the token is {status}: make a new one")
    assert client.credential.stopped


@in_simulated_time
async def test_a_zone_that_is_denied_to_a_token_that_is_verified_is_the_zones_matter():
    sky = Sky(two_zones())
    sky.world.add_fault(Fault(**GONE, zone="example.com"))
    denied = await raised_by(sky.client.list_packs(ZONE, Urgency.CALM), AccessDenied)
    assert denied.reason is Reason.UNSEEN
    assert [path.rpartition("/")[2] for _, path in sky.asked] == ["certificate_packs", "verify"]
    assert sky.client.changes == [("credential_doubted", "doubted"), (None, "trusted")]
    assert await sky.client.list_packs(zone_id("other.com"), Urgency.CALM)


@in_simulated_time
async def test_a_zone_that_is_denied_right_after_another_was_served_costs_no_second_request():
    sky = Sky(two_zones())
    sky.world.add_fault(Fault(**GONE, zone="example.com"))
    await sky.client.list_packs(zone_id("other.com"), Urgency.CALM)
    await raised_by(sky.client.list_packs(ZONE, Urgency.CALM), AccessDenied)
    assert (len(sky.asked), sky.client.changes) == (2, [])


@in_simulated_time
async def test_a_zone_that_stays_denied_is_asked_for_ever_more_rarely_and_told_as_not_found_at_the_third_look():
    sky = Sky(two_zones())
    sky.world.add_fault(Fault(**GONE, zone="example.com"))
    reasons = []
    for _ in range(24 * 60):
        await sky.client.list_packs(zone_id("other.com"), Urgency.CALM)
        before = len(sky.asked)
        failed = await raised_by(sky.client.list_packs(ZONE, Urgency.CALM))
        if len(sky.asked) > before:
            reasons.append(failed.reason)
        await sky.clock.sleep(timedelta(minutes=1))
    assert reasons[:3] == [Reason.UNSEEN, Reason.UNSEEN, Reason.NOT_FOUND]
    assert 27 <= len(reasons) <= 31  # after 1, 2, 4, … minutes, and every hour
    assert sky.client.changes == []


@in_simulated_time
async def test_a_zone_that_is_served_again_is_asked_for_as_often_as_any():
    sky = Sky(two_zones())
    sky.world.add_fault(Fault(**GONE, zone="example.com", times=2))
    for _ in range(2):
        await raised_by(sky.client.list_packs(ZONE, Urgency.CALM), AccessDenied)
        await sky.clock.sleep(timedelta(minutes=2))
    for _ in range(3):
        await sky.client.list_packs(ZONE, Urgency.CALM)


@in_simulated_time
async def test_where_nothing_else_is_served_a_zone_that_stays_denied_is_the_credentials_matter():
    sky = Sky(timed_out(tokens=[{"value": "simulated-token", "permissions": ["zone_read"]}]))
    reasons = []
    for _ in range(3):
        reasons.append((await raised_by(sky.client.list_packs(ZONE, Urgency.CALM), AccessDenied)).reason)
        await sky.clock.sleep(timedelta(minutes=5))
    assert reasons == [Reason.CREDENTIAL_REFUSED] * 3
    assert not sky.client.credential.stopped


@in_simulated_time
async def test_where_nothing_else_is_served_a_zone_that_left_is_the_credentials_matter_at_the_third_look():
    sky = Sky(timed_out(faults=[{**GONE, "zone": "example.com"}]))
    reasons = []
    for _ in range(3):
        reasons.append((await raised_by(sky.client.list_packs(ZONE, Urgency.CALM), AccessDenied)).reason)
        await sky.clock.sleep(timedelta(minutes=5))
    assert reasons == [Reason.UNSEEN, Reason.UNSEEN, Reason.CREDENTIAL_REFUSED]


@in_simulated_time
async def test_a_key_pair_that_is_denied_everywhere_is_stopped():
    sky = Sky(timed_out(tokens=[{"email": "ops@example.com", "key": "k"}]))
    client = make_client(sky.http, sky.clock, credential=Credential.from_key("main", "ops@example.com", "k", sky.clock))
    sky.world.add_fault(Fault(**BLIP, status=403))
    await raised_by(client.get_pack(ZONE, PACK), CredentialRefused)
    assert client.credential.stopped


@in_simulated_time
async def test_a_token_of_an_account_is_verified_with_its_account():
    value = "cfat_0123456789"
    sky = Sky(two_zones(tokens=[{"value": value, "account_owned": True}]))
    client = make_client(sky.http, sky.clock, credential=Credential.from_token("main", value, sky.clock))
    assert (await client.verify_token()).status == "active"
    assert [path for _, path in sky.asked] == ["/zones", f"/accounts/{sky.world.zones[ZONE].account_id}/tokens/verify"]


@in_simulated_time
async def test_many_zones_that_are_gone_do_not_stop_a_token_that_nobody_can_ask_about():
    zones = [{"name": f"z{number}.com"} for number in range(7)]
    token = {"value": "simulated-token", "account_owned": True, "permissions": ["read", "write"]}
    sky = Sky({"zones": zones, "tokens": [token]})
    for zone in zones[:-1]:
        sky.world.add_fault(Fault(**GONE, zone=zone["name"]))
        await raised_by(sky.client.list_packs(zone_id(zone["name"]), Urgency.CALM), AccessDenied)
    assert await sky.client.list_packs(zone_id("z6.com"), Urgency.CALM)


@in_simulated_time
async def test_restarts_that_are_denied_say_nothing_against_looking():
    client = by_hand(answer(status=403, errors=[{"code": 10000, "message": "Authentication error"}]))
    for _ in range(8):
        await raised_by(client.restart_validation(ZONE, "p"), AccessDenied)
    assert (client.credential.standing, client.changes) == ("trusted", [])


@in_simulated_time
async def test_a_denied_restart_is_held_and_told_as_a_missing_permission_at_the_third():
    client = by_hand(answer(status=403, errors=[{"code": 10000, "message": "Authentication error"}]))
    reasons = []
    for _ in range(3):
        reasons.append((await raised_by(client.restart_validation(ZONE, "p"), AccessDenied)).reason)
        assert client.restart_held(ZONE).reason is reasons[-1]
        assert client.restart_held("another zone") is None
        await asyncio.sleep(60 * 2 ** len(reasons))
    assert reasons == [Reason.UNSEEN, Reason.UNSEEN, Reason.CREDENTIAL_REFUSED]


@in_simulated_time
async def test_a_restart_that_is_not_allowed_is_told_at_once_and_held_for_a_quarter_of_an_hour():
    client = by_hand(answer(status=403, errors=[{"code": 10001, "message": "Method not allowed for token"}]))
    failed = await raised_by(client.restart_validation(ZONE, "p"), PermissionMissing)
    assert failed.reason is Reason.CREDENTIAL_REFUSED
    assert "Zone / SSL and Certificates / Edit" in str(failed)
    await asyncio.sleep(899)
    assert client.restart_held(ZONE) is not None
    await asyncio.sleep(1)
    assert client.restart_held(ZONE) is None


# ── slow down, by any word ───────────────────────────────────────────────────────────────────────────────────────────

SLOW_DOWN = [{"code": 971, "message": "Please wait and consider throttling your request speed"}]


@pytest.mark.parametrize(
    "said",
    [
        answer(errors=SLOW_DOWN),
        answer(status=403, errors=[{"code": 10100, "message": "no"}]),
        answer(status=400, errors=[{"message": "You have exceeded the rate limit."}]),
        httpx.Response(429, content=b""),
        httpx.Response(429, content=b"null"),
    ],
)
@in_simulated_time
async def test_whatever_says_slow_down_is_waited_out_like_a_429(said):
    client = by_hand(said, answer({"id": PACK}))
    began = asyncio.get_running_loop().time()
    await client.get_pack(ZONE, PACK)
    assert asyncio.get_running_loop().time() - began == pytest.approx(300)
    assert client.limited == [("main", 300)]


@in_simulated_time
async def test_a_hint_in_the_body_is_obeyed_where_no_header_gives_one():
    body = b'{"type": "about:blank", "title": "Error 1015", "detail": "limited", "error_code": 1015, "retry_after": 42}'
    client = by_hand(httpx.Response(429, content=body), answer({"id": PACK}))
    began = asyncio.get_running_loop().time()
    await client.get_pack(ZONE, PACK)
    assert asyncio.get_running_loop().time() - began == pytest.approx(42)


PLENTY = {"ratelimit": '"default";r=1100;t=1', "ratelimit-policy": '"default";q=1200;w=300'}


@in_simulated_time
async def test_a_429_with_plenty_left_holds_that_call_of_that_zone_alone():
    client = by_hand(answer(status=429, errors=SLOW_DOWN, headers=PLENTY), answer([]))
    failed = await raised_by(client.list_packs(ZONE, Urgency.CALM), RateLimited)
    assert (failed.everything, client.limited) == (False, [])
    await raised_by(client.list_packs(ZONE, Urgency.CALM), Held)
    began = asyncio.get_running_loop().time()
    await client.list_packs("other", Urgency.CALM)
    assert asyncio.get_running_loop().time() == began
    await asyncio.sleep(300)
    await client.list_packs(ZONE, Urgency.CALM)
    assert len(client.http.requests) == 3


@pytest.mark.parametrize(
    "headers", [{**PLENTY, "retry-after": "60"}, {**PLENTY, "ratelimit": '"default";r=119;t=1'}, {}]
)
@in_simulated_time
async def test_a_429_that_names_a_time_or_leaves_little_or_says_nothing_holds_everything(headers):
    client = by_hand(answer(status=429, errors=SLOW_DOWN, headers=headers), answer([]))
    await raised_by(client.restart_validation(ZONE, PACK), RateLimited)
    assert len(client.limited) == 1
    assert client.quota.blocked_for > 0


@in_simulated_time
async def test_an_exhausted_list_of_zones_holds_that_list_and_no_restart():
    headers = {"ratelimit": '"list_zones";r=0;t=60', "retry-after": "60"}
    client = by_hand(answer(status=429, errors=SLOW_DOWN, headers=headers), answer({"id": PACK}), answer([]))
    await raised_by(client.list_zones(), RateLimited)
    began = asyncio.get_running_loop().time()
    await client.restart_validation(ZONE, PACK)
    assert asyncio.get_running_loop().time() == began
    await raised_by(client.list_zones(), Held)
    await asyncio.sleep(60)
    await client.list_zones()


@in_simulated_time
async def test_three_zones_in_a_row_that_are_told_to_slow_down_are_no_matter_of_theirs():
    client = by_hand(answer(status=429, errors=SLOW_DOWN, headers=PLENTY))
    for zone in "abc":
        assert client.limited == []
        await raised_by(client.restart_validation(zone, PACK), RateLimited)
    assert client.limited == [("main", 300)]


@in_simulated_time
async def test_an_edges_error_with_a_hint_is_not_asked_again_before_that():
    body = b'{"title": "Error 502: Bad gateway", "detail": "d", "error_code": 502, "retry_after": 60}'
    client = by_hand(httpx.Response(502, content=body), answer([]))
    failed = await raised_by(client.list_packs(ZONE, Urgency.CALM), CloudflareFault)
    assert (failed.code, "Error 502: Bad gateway: d" in str(failed)) == ("edge_502", True)
    await asyncio.sleep(59)
    await raised_by(client.list_packs(ZONE, Urgency.CALM), Held)
    await asyncio.sleep(1)
    await client.list_packs(ZONE, Urgency.CALM)


@in_simulated_time
async def test_a_fault_with_a_retry_after_is_not_asked_again_before_that():
    client = by_hand(httpx.Response(503, headers={"retry-after": "60"}, content=b"<html>"), answer([]))
    await raised_by(client.list_packs(ZONE, Urgency.CALM), CloudflareFault)
    await asyncio.sleep(59)
    await raised_by(client.list_packs(ZONE, Urgency.CALM), Held)
    await asyncio.sleep(1)
    await client.list_packs(ZONE, Urgency.CALM)


@in_simulated_time
async def test_a_fault_with_a_short_retry_after_is_bridged_by_waiting_that_long():
    client = by_hand(httpx.Response(503, headers={"retry-after": "4"}, content=b"<html>"), answer([]))
    began = asyncio.get_running_loop().time()
    assert await client.list_packs(ZONE, Urgency.CALM) == []
    assert 4 <= asyncio.get_running_loop().time() - began <= 12


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
