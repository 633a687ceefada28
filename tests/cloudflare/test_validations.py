import json
import re

from hypothesis import given
from hypothesis import strategies as st

from watchdog.cloudflare import wire
from watchdog.model.packs import NO_VALIDATION, HttpToken, ManualRecord, Validation

CONTROL = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u202e]")


def page(*packs: dict[str, object]) -> bytes:
    return json.dumps({"success": True, "result": list(packs)}).encode()


def read(**fields: object) -> Validation:
    [pack], _ = wire.packs(page({"id": "p", "status": "pending_validation", **fields}), "z")
    return pack.validation


TXT = {"status": "pending", "txt_name": "_acme-challenge.Example.com.", "txt_value": "t0ken"}


def test_tokens_and_delegations_are_read():
    found = read(
        validation_method="txt",
        validation_records=[TXT, TXT, {"http_url": "http://a/.well-known/x", "http_body": "b"}, {"emails": ["a@b"]}],
        dcv_delegation_records=[{"cname": "_acme-challenge.a", "cname_target": "A.dcv.cloudflare.com."}],
    )
    assert found == Validation(
        "txt",
        (ManualRecord("TXT", "_acme-challenge.example.com", "t0ken"),),
        (HttpToken("http://a/.well-known/x", "b"),),
        (ManualRecord("CNAME", "_acme-challenge.a", "A.dcv.cloudflare.com"),),
    )


def test_a_cname_beside_a_token_is_a_delegation():
    found = read(validation_records=[{**TXT, "cname": "_acme-challenge.a", "cname_target": "b"}])
    assert found.delegations == (ManualRecord("CNAME", "_acme-challenge.a", "b"),)
    assert len(found.tokens) == 1


def test_healthy_packs_share_one_validation_whatever_records_they_have():
    shape = {"status": "active", "validation_method": "txt", "validation_records": [TXT]}
    packs, _ = wire.packs(page(*({"id": str(n), "validity_days": n, **shape} for n in range(3))), "z")
    assert {id(pack.validation) for pack in packs} == {id(packs[0].validation)}
    assert packs[0].validation == Validation("txt")
    assert [pack.validity_days for pack in packs] == [0, 1, 2]


def test_a_pack_that_says_nothing_of_its_validation_has_none():
    assert read() is NO_VALIDATION
    assert read(validation_records=None, dcv_delegation_records=[], validation_method=None) is NO_VALIDATION


def test_what_is_remembered_equals_what_is_seen_whatever_the_tokens():
    [one], _ = wire.packs(page({"id": "p", "status": "x", "validation_records": [TXT]}), "z")
    [two], _ = wire.packs(page({"id": "p", "status": "x"}), "z")
    assert one == two
    assert one.validation != two.validation


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
records = json_values | st.lists(
    st.dictionaries(
        st.sampled_from(["txt_name", "txt_value", "cname", "cname_target", "http_url", "http_body"]), json_values
    )
)


@given(json_values, json_values, records, records, st.sampled_from(["active", "validation_timed_out"]))
def test_no_shape_of_these_fields_hides_a_pack_or_brings_unprintable_text(method, days, tokens, delegations, status):
    found, _ = wire.packs(
        page(
            {
                "id": "p",
                "status": status,
                "validation_method": method,
                "validity_days": days,
                "validation_records": tokens,
                "dcv_delegation_records": delegations,
            }
        ),
        "z",
    )
    [pack] = found
    assert pack.status == status
    assert isinstance(pack.validity_days, int)
    assert 0 <= pack.validity_days <= wire.MOST_DAYS
    for record in (*pack.validation.tokens, *pack.validation.delegations):
        assert not CONTROL.search(record.name + record.value)
