"""What is asked of Cloudflare and what comes back while all is well, however the answers are paged."""

import json
from datetime import UTC, datetime

import pytest

from tests.harness.cloudflare_client import SECRET, ZONE, Sky, answer, by_hand, make_client, timed_out
from tests.harness.time import in_simulated_time
from watchdog.cloudflare.credential import Credential
from watchdog.cloudflare.errors import AccessDenied, Ambiguous, CloudflareFault, NotFound
from watchdog.cloudflare.paging import MOST_PAGES
from watchdog.cloudflare.rate_limit import Urgency
from watchdog.model.pack_ids import canonical_id
from watchdog.model.packs import KNOWN_STATUSES, NOTHING_KNOWN
from watchdog.simulator.scenario import pack_id, zone_id

PACK = pack_id("example.com", 0)


def raw(*ids):
    return [{"id": name, "status": "active", "type": "advanced", "hosts": ["example.com"]} for name in ids]


@in_simulated_time
async def test_packs_of_every_status_are_listed_the_deleted_too():
    packs = [{"status": status} for status in sorted(KNOWN_STATUSES)]
    sky = Sky({"zones": [{"name": "example.com", "packs": packs}]})
    found = await sky.client.list_packs(ZONE, Urgency.CALM)
    assert {pack.status for pack in found} == KNOWN_STATUSES
    assert {pack.zone_id for pack in found} == {ZONE}
    assert [request.query for request in sky.world.ledger] == ["status=all&page=1&per_page=50"]


@pytest.mark.parametrize(
    ("count", "unknowns", "requests"),
    [
        (0, {}, 1),
        (50, {}, 1),
        (51, {}, 2),
        (120, {}, 3),
        (20, {"result_info": False}, 2),
        (49, {"result_info": False}, 1),
        (50, {"result_info": False}, 2),
        (120, {"result_info": False}, 3),
        (120, {"page_ignored": True}, 1),
        (120, {"page_ignored": True, "result_info": False}, 2),
    ],
)
@in_simulated_time
async def test_every_pack_comes_once_however_the_list_is_paged(count, unknowns, requests):
    sky = Sky(timed_out(count, unknowns=unknowns))
    found = await sky.client.list_packs(ZONE, Urgency.CALM)
    assert [pack.id for pack in found] == [pack_id("example.com", number) for number in range(count)]
    assert len(sky.asked) == requests


@in_simulated_time
async def test_a_pack_that_shifts_to_the_next_page_meanwhile_is_listed_once():
    info = {"total_pages": 2, "per_page": 2}
    client = by_hand(
        answer(raw("a", "b"), result_info=info),
        answer(raw("b", "c"), result_info=info),
    )
    assert [pack.id for pack in await client.list_packs(ZONE, Urgency.CALM)] == ["a", "b", "c"]


@in_simulated_time
async def test_no_pack_is_missed_because_another_is_deleted_while_the_list_is_read():
    listed = [["a", "b", "c"], ["b", "c"]]  # at each request; the last stays

    def page(request):
        there, number = listed.pop(0) if len(listed) > 1 else listed[0], int(request.url.params["page"])
        info = {"total_pages": 2, "per_page": 2, "total_count": len(there)}
        return answer(raw(*there[(number - 1) * 2 : number * 2]), result_info=info)

    assert [pack.id for pack in await by_hand(page).list_packs(ZONE, Urgency.CALM)] == ["b", "c"]


@in_simulated_time
async def test_a_list_that_never_stays_as_long_as_it_was_is_read_twice_and_no_more():
    def page(request):
        number = int(request.url.params["page"])
        info = {"total_pages": 2, "per_page": 2, "total_count": 4 + len(client.http.requests)}
        return answer(raw(*(f"p{number}{each}" for each in range(2))), result_info=info)

    client = by_hand(page)
    assert len(await client.list_packs(ZONE, Urgency.CALM)) == 4
    assert len(client.http.requests) == 4


@in_simulated_time
async def test_an_entry_that_is_no_pack_does_not_hide_the_pages_after_it():
    info = {"total_pages": 2, "per_page": 2}
    client = by_hand(
        answer([*raw("a"), "what is this"], result_info=info),
        answer(raw("c"), result_info=info),
    )
    assert [pack.id for pack in await client.list_packs(ZONE, Urgency.CALM)] == ["a", "c"]


@in_simulated_time
async def test_a_smaller_page_than_asked_for_is_no_last_page_when_the_answer_says_its_size():
    def page(request):
        number = int(request.url.params["page"])
        return answer(
            raw(*(f"p{number}{each}" for each in range(20 if number < 3 else 5))), result_info={"per_page": 20}
        )

    assert len(await by_hand(page).list_packs(ZONE, Urgency.CALM)) == 45


@in_simulated_time
async def test_a_page_of_the_usual_size_is_no_last_page_when_the_answer_says_nothing_of_pages():
    def page(request):
        number = int(request.url.params["page"])
        return answer(raw(*(f"p{number}{each}" for each in range(20 if number < 3 else 5))))

    assert len(await by_hand(page).list_packs(ZONE, Urgency.CALM)) == 45


@pytest.mark.parametrize(("total", "second"), [(2.0, "what is this"), (-1, *raw("b"))])
@in_simulated_time
async def test_a_number_of_pages_is_believed_in_whatever_form_unless_it_is_none(total, second):
    info = {"total_pages": total, "per_page": 2}
    client = by_hand(answer([*raw("a"), second], result_info=info), answer(raw("c"), result_info=info))
    assert [pack.id for pack in await client.list_packs(ZONE, Urgency.CALM)][-1] == "c"


@pytest.mark.repeats
@in_simulated_time
async def test_a_list_without_an_end_is_a_fault_and_not_a_life_sentence():
    client = by_hand(lambda request: answer(raw(request.url.params["page"]), result_info={"per_page": 1}))
    with pytest.raises(CloudflareFault, match="does not end") as endless:
        await client.list_packs(ZONE, Urgency.CALM)
    assert endless.value.code == "malformed"
    assert len(client.http.requests) == MOST_PAGES


@pytest.mark.parametrize("info", [{"total_pages": 10**12}, {"total_pages": 10**12, "per_page": 1}, {"per_page": 1}])
@in_simulated_time
async def test_a_page_that_brings_nothing_new_is_the_last_whatever_it_says(info):
    client = by_hand(answer(raw("a", "b"), result_info=info))
    assert len(await client.list_packs(ZONE, Urgency.CALM)) == 2
    assert len(client.http.requests) == 2


@pytest.mark.parametrize("spelling", [PACK, PACK.upper(), canonical_id(PACK)])
@in_simulated_time
async def test_one_pack_is_read_under_any_spelling_of_its_id(spelling):
    sky = Sky(timed_out())
    pack = await sky.client.get_pack(ZONE, spelling)
    assert (pack.id, pack.status, pack.type) == (PACK, "validation_timed_out", "advanced")
    assert pack.hosts == ("*.example.com", "example.com")


@in_simulated_time
async def test_a_pack_that_was_deleted_lately_reads_as_deleted_and_later_as_not_found():
    sky = Sky()
    sky.world.delete_pack(PACK)
    assert (await sky.client.get_pack(ZONE, PACK)).status == "deleted"
    await sky.clock.sleep(sky.world.scenario.deleted_shows)
    with pytest.raises(NotFound) as gone:
        await sky.client.get_pack(ZONE, PACK)
    assert gone.value.code == "1408"


@pytest.mark.parametrize("status", ["initializing", "pending_validation"])
@in_simulated_time
async def test_a_restart_is_one_patch_with_an_empty_object_and_returns_the_pack_as_it_is_now(status):
    sky = Sky(timed_out(unknowns={"status_after_restart": status}))
    pack = await sky.client.restart_validation(ZONE, PACK)
    assert (pack.id, pack.status) == (PACK, status)
    assert [(request.method, request.body) for request in sky.world.ledger] == [("PATCH", "{}")]
    assert len(sky.world.restarts_of(PACK)) == 1


@in_simulated_time
async def test_requests_say_who_asks_and_what_they_take():
    client = by_hand(answer(raw("a")[0]))
    await client.get_pack(ZONE, "a")
    await client.restart_validation(ZONE, "a")
    get, patch = client.http.requests
    for request in (get, patch):
        assert request.headers["authorization"] == f"Bearer {SECRET}"
        assert request.headers["user-agent"] == "certpack-watchdog/test"
        assert request.headers["accept"] == "application/json"
    assert "content-type" not in get.headers
    assert patch.headers["content-type"] == "application/json"
    assert patch.content == b"{}"


@in_simulated_time
async def test_the_older_pair_of_email_and_key_is_taken_as_well():
    sky = Sky(
        {"zones": [{"name": "example.com"}], "tokens": [{"name": "old", "email": "ops@example.com", "key": "k-1"}]}
    )
    credential = Credential.from_key("old", "ops@example.com", "k-1", sky.clock)
    client = make_client(sky.http, sky.clock, credential=credential)
    assert len(await client.list_packs(ZONE, Urgency.CALM)) == 1
    assert [request.credential for request in sky.world.ledger] == ["old"]


@in_simulated_time
async def test_a_zone_is_found_by_its_exact_name_in_any_case():
    sky = Sky({"zones": [{"name": "example.com"}, {"name": "sub.example.com"}]})
    assert await sky.client.find_zone("example.com") == ZONE
    client = by_hand(answer([{"id": "1", "name": "notexample.com"}, {"id": "2", "name": "Example.COM"}]))
    assert await client.find_zone("example.com") == "2"


def seen(zone, status, name="shop.example", **more):
    return {"id": zone, "name": name, "status": status, "type": "full", **more}


@pytest.mark.parametrize("status", ["moved", "deactivated", "pending", "initializing", "deleted", ""])
@pytest.mark.parametrize("first", [True, False])
@in_simulated_time
async def test_of_two_zones_of_one_name_the_active_one_is_meant_and_that_is_said(status, first):
    zones = [seen("old", status, account={"id": "1", "name": "old agency"}), seen("own", "active")]
    client = by_hand(answer(zones if first else zones[::-1]))
    for _ in range(2):
        assert await client.find_zone("shop.example") == "own"
    [(chosen, says)] = client.chosen
    assert chosen == "own"
    assert "own (active), not old" in says


@pytest.mark.parametrize("statuses", [("active", "active"), ("moved", "moved"), ("pending", "initializing", "moved")])
@in_simulated_time
async def test_zones_of_which_none_is_rather_meant_are_ambiguous(statuses):
    zones = [seen(f"z{number}", status) for number, status in enumerate(statuses)]
    with pytest.raises(Ambiguous, match=r"z0 .*, z1 .*write the id") as failed:
        await by_hand(answer(zones)).find_zone("shop.example")
    assert failed.value.reason == "ambiguous_zone"


@in_simulated_time
async def test_an_internal_zone_never_stands_for_a_public_one():
    zones = [seen("in", "active", type="internal"), seen("pub", "pending")]
    assert await by_hand(answer(zones)).find_zone("shop.example") == "pub"
    with pytest.raises(NotFound):
        await by_hand(answer(zones[:1])).find_zone("shop.example")


@pytest.mark.parametrize("asked", ["münchen.example", "MÜNCHEN.example.", "xn--mnchen-3ya.example"])
@pytest.mark.parametrize("known_as", ["münchen.example", "xn--mnchen-3ya.example"])
@in_simulated_time
async def test_a_zone_is_found_in_whatever_form_either_side_writes_its_name(asked, known_as):
    def cloudflare(request):
        return answer([seen("m", "active", known_as)] if request.url.params["name"] == known_as else [])

    assert await by_hand(cloudflare).find_zone(asked) == "m"


@in_simulated_time
async def test_a_name_that_is_not_found_is_shown_in_both_forms():
    with pytest.raises(NotFound, match=r"no zone is called münchen\.example \(xn--mnchen-3ya\.example\)"):
        await by_hand(answer([])).find_zone("xn--mnchen-3ya.example")


@in_simulated_time
async def test_a_zone_that_is_not_found_names_the_permission_it_would_take():
    sky = Sky()
    with pytest.raises(NotFound, match=r"no zone is called other\.com, .*Zone / Zone / Read"):
        await sky.client.find_zone("other.com")


@in_simulated_time
async def test_names_and_ids_cannot_leave_their_place_in_the_address():
    client = by_hand(answer([]))
    with pytest.raises(NotFound):
        await client.find_zone("a&page=9#x/../y\n")
    with pytest.raises(CloudflareFault):
        await client.restart_validation("../../user", "x?status=all/..")
    looked, patched = (request.url.raw_path for request in client.http.requests)
    assert looked == b"/client/v4/zones?name=a%26page%3D9%23x%2F..%2Fy%0A"
    assert patched == b"/client/v4/zones/..%2F..%2Fuser/ssl/certificate_packs/x%3Fstatus%3Dall%2F.."


@in_simulated_time
async def test_all_zones_are_listed_over_all_pages():
    sky = Sky({"zones": [{"name": f"z{number}.example", "packs": []} for number in range(101)]})
    found = await sky.client.list_zones()
    assert [(zone.id, zone.name) for zone in found] == [
        (zone_id(f"z{number}.example"), f"z{number}.example") for number in range(101)
    ]
    assert len(sky.asked) == 3


@in_simulated_time
async def test_a_valid_token_is_active_though_its_answer_carries_code_10000():
    sky = Sky()
    assert (await sky.client.verify_token()).status == "active"
    assert sky.client.calls[0].error is None
    assert (await by_hand(answer({"id": "1", "status": "expired"})).verify_token()).status == "expired"
    assert (await by_hand(answer([])).verify_token()).status == "unknown"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("2026-12-01T00:00:00Z", datetime(2026, 12, 1, tzinfo=UTC)),
        ("2026-12-01T02:00:00+02:00", datetime(2026, 12, 1, tzinfo=UTC)),
        ("soon", None),
        ("0001-01-01T00:00:00+14:00", None),
        (None, None),
        (7, None),
    ],
)
@in_simulated_time
async def test_the_end_of_a_token_is_read_where_it_has_one(said, expected):
    seen = await by_hand(answer({"status": "active", "expires_on": said})).verify_token()
    assert seen.expires_at == expected


@in_simulated_time
async def test_every_call_is_heard_with_its_operation_status_and_duration():
    sky = Sky(timed_out(faults=[{"kind": "slow", "delay": "2s", "method": "GET", "nth": 1}]))
    await sky.client.list_packs(ZONE, Urgency.CALM)
    await sky.client.restart_validation(ZONE, PACK)
    heard = [(each.account, each.operation, each.status, round(each.seconds), each.error) for each in sky.client.calls]
    assert heard == [("main", "list_packs", 200, 2, None), ("main", "restart_validation", 200, 0, None)]


@in_simulated_time
async def test_the_facts_of_a_zone_are_its_type_status_and_delegation_id():
    sky = Sky({"zones": [{"name": "example.com", "type": "partial", "status": "pending"}]})
    facts = await sky.client.zone_facts(ZONE, "example.com")
    assert (facts.name, facts.type, facts.status, facts.paused) == ("example.com", "partial", "pending", False)
    assert len(facts.delegation) == 16


@in_simulated_time
async def test_the_facts_of_a_full_zone_take_one_request_as_its_delegation_id_is_hardly_ever_wanted():
    sky = Sky({"zones": [{"name": "example.com"}]})
    facts = await sky.client.zone_facts(ZONE, "example.com")
    assert (facts.type, facts.delegation, len(sky.asked)) == ("full", "", 1)


@pytest.mark.parametrize("zones", [[], [{"id": "another", "name": "example.com"}]])
@in_simulated_time
async def test_of_a_zone_that_the_name_does_not_lead_to_nothing_is_known(zones):
    client = by_hand(answer(zones))
    assert await client.zone_facts(ZONE, "example.com") == NOTHING_KNOWN
    assert len(client.http.requests) == 1


@pytest.mark.parametrize("result", [None, [], {}, {"uuid": 7}, {"uuid": None}])
@in_simulated_time
async def test_a_zone_without_a_delegation_id_has_an_empty_one(result):
    zone = {"id": ZONE, "name": "example.com", "type": ["odd"], "status": None, "paused": True}
    facts = await by_hand(answer([zone]), answer(result)).zone_facts(ZONE, "example.com")
    assert (facts.type, facts.status, facts.paused, facts.delegation) == ("['odd']", "", True, "")


@in_simulated_time
async def test_facts_that_may_not_be_read_never_stop_the_credential():
    tokens = [{"value": SECRET, "permissions": ["read", "write"]}]
    sky = Sky({"zones": [{"name": "example.com"}], "tokens": tokens})
    for _ in range(5):
        with pytest.raises(AccessDenied, match="Zone / Zone / Read"):
            await sky.client.zone_facts(ZONE, "example.com")
    assert not sky.client.credential.stopped


@in_simulated_time
async def test_a_recheck_is_one_patch_with_the_method_the_pack_has():
    packs = [{"status": "pending_validation", "validation_method": "http"}]
    sky = Sky({"zones": [{"name": "example.com", "packs": packs}]})
    await sky.client.recheck_validation(ZONE, PACK, "http")
    (request,) = sky.world.ledger
    assert (request.method, request.path) == ("PATCH", f"/zones/{ZONE}/ssl/verification/{PACK}")
    assert json.loads(request.body) == {"validation_method": "http"}
    with pytest.raises(CloudflareFault):
        await by_hand(answer({}, success=False)).recheck_validation(ZONE, PACK, "http")
