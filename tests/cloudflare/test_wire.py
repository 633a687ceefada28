"""JSON from outside becomes packs, zones and complaints, or one kind of error, whatever it holds."""

import copy
import json
from datetime import UTC, datetime

import httpx
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.oracles import envelope, is_label, is_sound
from tests.harness.cloudflare_client import ZONE, by_hand
from tests.harness.time import ManualClock, in_simulated_time
from watchdog.cloudflare import validations, wire
from watchdog.cloudflare.envelope import MOST_ERRORS, MOST_ON_PAGE, complaints
from watchdog.cloudflare.errors import CloudflareError
from watchdog.cloudflare.rate_limit import Urgency
from watchdog.model.names import canonical
from watchdog.model.text import plain
from watchdog.simulator import shapes
from watchdog.simulator.envelope import failure, success
from watchdog.simulator.scenario import Scenario
from watchdog.simulator.world import World

T0 = datetime(2026, 11, 24, 12, tzinfo=UTC)


def real_packs():
    """Packs as they look on the wire, one of each kind of detail."""
    statuses = [{"status": "pending_validation", "story": {"outcomes": ["times_out"]}}, {"status": "active"}]
    packs = [*statuses, {"status": "validation_timed_out", "expires_in": "9d"}]
    world = World(Scenario.model_validate({"zones": [{"name": "example.com", "packs": packs}]}), ManualClock())
    return [shapes.pack(life) for life in world.packs(ZONE)]


REAL = json.loads(success(real_packs(), result_info={"page": 1, "per_page": 50, "total_pages": 1}).body)
ERROR = json.loads(failure(400, (6003, "Invalid request headers"), chain=((6111, "Invalid format"),)).body)

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-01-01T00:00:00", "2026-01-01"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
words = st.sampled_from(
    ["success", "result", "result_info", "errors", "code", "message", "error_chain", "id", "total_pages"]
)
envelopes = st.dictionaries(words, anything, max_size=6)


def places(value, path=()):
    """The path of every value in a JSON value."""
    yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, key))


@st.composite
def mutated(draw, original):
    """A real answer with a few of its values replaced, removed, doubled or wrapped."""
    value = copy.deepcopy(original)
    for _ in range(draw(st.integers(1, 3))):
        *above, last = draw(st.sampled_from([path for path in places(value) if path]))
        holder = value
        for key in above:
            holder = holder[key]
        match draw(st.sampled_from(["replace", "remove", "wrap", "double"])):
            case "replace":
                holder[last] = draw(anything)
            case "remove":
                del holder[last]
            case "wrap":
                holder[last] = [holder[last]]
            case "double" if isinstance(holder, list):
                holder.append(holder[last])
        if not value:
            break
    return json.dumps(value).encode()


@st.composite
def damaged(draw, original):
    """The bytes of a real answer, cut or with a few of them replaced."""
    body = bytearray(json.dumps(original).encode())
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(body) - 1))
        body[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(body[: draw(st.integers(0, len(body)) | st.just(len(body)))])


bodies = st.one_of(
    mutated(REAL),
    mutated(ERROR),
    mutated({**REAL, "result": REAL["result"][0]}),
    damaged(REAL),
    damaged(ERROR),
    st.binary(max_size=40),
    (anything | envelopes).map(lambda value: json.dumps(value).encode()),
)


@settings(max_examples=400)
@given(bodies)
def test_whatever_a_body_holds_it_is_decoded_or_refused_as_one_kind_of_error(body):
    envelope(body)


printable = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
headers_of_any_kind = st.dictionaries(st.sampled_from(["retry-after", "ratelimit", "cf-ray"]), printable)
CALLS = (("list_packs", (ZONE, Urgency.ACT)), ("restart_validation", (ZONE, "p")), ("list_zones", ()))


@settings(max_examples=150)
@given(st.integers(100, 599), bodies, headers_of_any_kind)
def test_whatever_is_answered_a_call_ends_in_a_value_or_a_cloudflare_error(status, body, headers):
    @in_simulated_time
    async def works():
        for call, arguments in CALLS:
            client = by_hand(httpx.Response(status, headers=headers, content=body))
            try:
                await getattr(client, call)(*arguments)
            except CloudflareError as error:
                failed = error
            else:
                continue
            is_label(failed, status)
            assert "simulated-token" not in str(failed)

    works()


def one(**fields):
    return json.dumps({"success": True, "result": {"id": "p", **fields}}).encode()


@pytest.mark.parametrize(
    ("expiries", "expected"),
    [
        (["2026-03-01T00:00:00Z", "2026-02-01T00:00:00Z"], datetime(2026, 2, 1, tzinfo=UTC)),
        (["2026-02-01T02:00:00+02:00"], datetime(2026, 2, 1, tzinfo=UTC)),
        (["2026-02-01T00:00:00"], datetime(2026, 2, 1, tzinfo=UTC)),
        (["2026-02-01T00:00:00", "2026-03-01T00:00:00Z"], datetime(2026, 2, 1, tzinfo=UTC)),
        (["2026-02-01T00:00:00.123456Z"], datetime(2026, 2, 1, 0, 0, 0, 123456, tzinfo=UTC)),
        (["soon", "2026-02-01T00:00:00Z", None], datetime(2026, 2, 1, tzinfo=UTC)),
        (["0001-01-01T00:00:00+14:00"], None),
        (["9999-12-31T23:59:59-14:00", "soon"], None),
        ([None], None),
        ([1790000000], None),
        ([], None),
    ],
)
def test_the_earliest_expiry_counts_and_is_utc_however_it_is_written(expiries, expected):
    found = wire.pack(one(certificates=[{"expires_on": at} for at in expiries]), ZONE).expires_at
    assert found == expected
    assert found is None or found.tzinfo is UTC


SOON, LATE = "2026-02-01T00:00:00Z", "2026-05-01T00:00:00Z"


@pytest.mark.parametrize("status", ["deleted", "pending_deletion", "pending_cleanup", "inactive", "expired"])
@pytest.mark.parametrize("beside", [{}, {"id": 7, "status": 1}])
def test_a_certificate_that_is_over_is_not_the_packs_expiry_once_another_is_in_its_place(status, beside):
    old, new = {"expires_on": SOON, "status": status}, {"expires_on": LATE, "status": "active", **beside}
    assert wire.pack(one(certificates=[old, new]), ZONE).expires_at == datetime.fromisoformat(LATE)


def test_an_expired_certificate_is_replaced_by_one_of_its_signature_alone():
    old = {"expires_on": SOON, "status": "expired", "signature": "SHA256WithRSA"}
    new = {"expires_on": LATE, "status": "active", "signature": "ECDSAWithSHA256"}
    assert wire.pack(one(certificates=[old, new]), ZONE).expires_at == datetime.fromisoformat(SOON)


@pytest.mark.parametrize("status", ["deleted", "expired"])
def test_where_all_certificates_are_over_the_earliest_expiry_stays(status):
    over = [{"expires_on": at, "status": status} for at in (LATE, SOON)]
    assert wire.pack(one(certificates=over), ZONE).expires_at == datetime.fromisoformat(SOON)


@pytest.mark.parametrize("status", ["active", "pending_deployment", "a status of tomorrow", None])
def test_a_certificate_of_any_other_status_counts(status):
    both = [{"expires_on": SOON, "status": status}, {"expires_on": LATE, "status": "active"}]
    assert wire.pack(one(certificates=both), ZONE).expires_at == datetime.fromisoformat(SOON)


def test_a_strange_pack_is_shown_with_gaps_and_hides_no_neighbour():
    strange = {"id": "s", "status": 7, "type": ["x"], "hosts": ["b", None, "a"], "certificates": "none"}
    body = json.dumps({"success": True, "result": [strange, {"status": "no id"}, None, *REAL["result"]]}).encode()
    first, *others = wire.packs(body, ZONE)[0]
    assert (first.id, first.status, first.type, first.hosts, first.expires_at) == ("s", "7", "['x']", ("a", "b"), None)
    assert others == wire.packs(json.dumps(REAL).encode(), ZONE)[0]


def test_a_page_reads_the_same_with_types_and_field_by_field():
    plain, _ = wire.packs(json.dumps(REAL).encode(), ZONE)
    with_a_stranger = {**REAL, "result": [*REAL["result"], {"id": "x", "status": 1}]}
    by_field, info = wire.packs(json.dumps(with_a_stranger).encode(), ZONE)
    assert by_field[:-1] == plain
    assert (info.total_pages, info.per_page) == (1, 50)


def test_new_statuses_and_types_are_carried_as_they_are():
    pack = wire.pack(one(status="pending_moonrise", type="quantum", certificate_authority="moon"), ZONE)
    assert (pack.status, pack.type, pack.certificate_authority) == ("pending_moonrise", "quantum", "moon")


def test_texts_are_cleaned_and_cut():
    nasty = "a\x1b[31m\n\u202eb" + "x" * 10_000
    body = one(status=nasty, hosts=[nasty, "a.example"], validation_errors=[{"message": nasty}] * 50)
    pack = wire.pack(body, ZONE)
    is_sound(pack)
    assert len(pack.status) == 80
    assert max(map(len, pack.hosts)) == 255
    assert len(pack.validation_errors) == MOST_ERRORS
    assert len(wire.pack(json.dumps({"success": True, "result": {"id": "i" * 500}}).encode(), ZONE).id) == 80


@given(st.lists(st.text("aB.,*-é \n\x1b", max_size=6) | st.sampled_from(["A.example.", "x" * 300]), max_size=6))
def test_hosts_are_each_cleaned_and_in_one_form_however_many_of_them_are_plain(hosts):
    one_by_one = tuple(sorted(canonical(plain(host, 255)) for host in hosts))
    assert wire.pack(one(hosts=hosts), ZONE).hosts == one_by_one


def test_hosts_are_sorted_so_that_their_order_makes_no_difference():
    assert wire.pack(one(hosts=["b", "*.a", "a"]), ZONE).hosts == ("*.a", "a", "b")


def test_words_are_one_object_for_all_packs_until_there_are_too_many_of_them(monkeypatch):
    monkeypatch.setattr(wire, "_words", {})  # what other tests have said is forgotten
    body = json.dumps({"success": True, "result": [{"id": name, "status": "active"} for name in "ab"]}).encode()
    (first, other), _ = wire.packs(body, ZONE)
    assert first.status is other.status
    for number in range(2000):
        assert wire.pack(one(status=f"status {number}"), ZONE).status == f"status {number}"
    assert len(wire._words) <= 500  # noqa: SLF001 - a bound that shows nowhere else


EMPTY = {"success": True, "errors": [], "messages": [], "result": None, "result_info": {"page": 1, "total_count": 0}}


@pytest.mark.parametrize("read", [lambda body: wire.packs(body, ZONE), wire.zones])
def test_null_is_an_empty_list_where_the_answer_says_that_there_are_no_entries(read):
    assert read(json.dumps(EMPTY).encode())[0] == []


@pytest.mark.parametrize("but", [{"result_info": None}, {"result_info": {"total_count": 3}}, {"success": False}])
def test_null_is_no_list_where_nothing_says_that_it_is_empty(but):
    with pytest.raises(msgspec.ValidationError):
        wire.packs(json.dumps(EMPTY | but).encode(), ZONE)


def test_complaints_keep_their_codes_and_chains_and_only_numbers_are_codes():
    errors = [
        {"code": 6003, "message": "Invalid\nheaders", "error_chain": [{"code": 6111}, {"code": "x"}, None]},
        {"code": True, "message": None},
        {"code": "10000"},
        "what",
    ]
    found = complaints(json.dumps({"errors": errors}).encode())
    assert [(each.code, each.message, each.chain) for each in found] == [
        (6003, "Invalid headers", (6111,)),
        (0, "", ()),
        (0, "", ()),
    ]
    assert complaints(b"<html>") == complaints(b"[]") == complaints(b'{"errors": 7}') == ()


# ── what a stranger sends ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("year", ["0001", "1970", "9999"])
def test_an_expiry_outside_of_any_certificates_years_is_none(year):
    assert wire.pack(one(certificates=[{"expires_on": f"{year}-12-30T00:00:00Z"}]), ZONE).expires_at is None


def test_the_upload_is_that_of_the_certificate_that_expires_first():
    dates = [("2026-12-20", "2026-09-21"), ("2026-12-01", "2026-09-02"), ("2026-12-24", "2026-09-25")]
    pack = wire.pack(
        one(
            certificates=[
                {"expires_on": f"{to}T00:00:00Z", "uploaded_on": f"{since}T02:00:00+02:00"} for to, since in dates
            ]
        ),
        ZONE,
    )
    assert (pack.expires_at, pack.uploaded_at) == (datetime(2026, 12, 1, tzinfo=UTC), datetime(2026, 9, 2, tzinfo=UTC))


@pytest.mark.parametrize("uploaded", [None, 7, "", "yesterday", "0001-01-01T00:00:00Z", {"a": "b"}])
def test_an_upload_that_is_no_date_is_not_known_and_the_expiry_stays(uploaded):
    pack = wire.pack(one(certificates=[{"expires_on": "2026-12-01T00:00:00Z", "uploaded_on": uploaded}]), ZONE)
    assert (pack.expires_at, pack.uploaded_at) == (datetime(2026, 12, 1, tzinfo=UTC), None)


@pytest.mark.parametrize(("days", "kept"), [(90, 90), (3660, 3660), (3661, 0), (10**30, 0), (-1, 0)])
def test_a_validity_is_a_number_of_days_that_the_store_can_hold(days, kept):
    assert wire.pack(one(validity_days=days), ZONE).validity_days == kept


def test_hosts_are_bounded_in_number_and_length():
    pack = wire.pack(one(hosts=["0" * 100_000, *(f"{n}.example" for n in range(2 * wire.MOST_HOSTS))]), ZONE)
    assert (len(pack.hosts), max(map(len, pack.hosts))) == (wire.MOST_HOSTS, 255)


def test_the_hosts_that_are_kept_of_far_too_many_are_the_same_in_whatever_order_they_come():
    hosts = [f"{n}.example" for n in range(2 * wire.MOST_HOSTS)]
    assert wire.pack(one(hosts=hosts), ZONE).identity == wire.pack(one(hosts=hosts[::-1]), ZONE).identity


@pytest.mark.parametrize("strange", [{}, {"status": 7}], ids=["typed", "field-by-field"])
def test_a_page_with_far_more_packs_than_were_asked_for_is_none(strange):
    def page(count):
        return json.dumps({"success": True, "result": [{"id": "p", **strange}] * count}).encode()

    assert len(wire.packs(page(MOST_ON_PAGE), ZONE)[0]) == MOST_ON_PAGE
    with pytest.raises(msgspec.ValidationError):
        wire.packs(page(MOST_ON_PAGE + 1), ZONE)


def test_what_is_kept_of_words_and_methods_is_bounded_in_length_too(monkeypatch):
    monkeypatch.setattr(wire, "_words", {})
    monkeypatch.setattr(validations, "_shared", {})
    wire.pack(one(status="s" * 100_000, validation_method="m" * 100_000), ZONE)
    assert wire._words.keys() | validations._shared.keys() <= {None, (None, None)}  # noqa: SLF001 - what shows nowhere else


def test_a_code_that_is_no_code_stays_out_of_the_message():
    [complaint] = complaints(b'{"errors": [{"code": 1' + b"0" * 3999 + b', "message": "no"}]}')
    assert (complaint.code, complaint.message) == (0, "no")


@pytest.mark.parametrize("field", ["status", "validation_records", "validation_errors"])
@pytest.mark.parametrize("depth", [900, 985, 1000, 100_000])
def test_brackets_without_end_are_shown_with_gaps_or_refused(field, depth):
    envelope(
        b'{"success":true,"result":{"id":"p","status":1,"%s":%s%s}}' % (field.encode(), b"[" * depth, b"]" * depth)
    )
