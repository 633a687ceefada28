"""One name is one name, in whatever form it is written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchdog.model.names import both, canonical, forms, readable

MUNICH = "xn--mnchen-3ya.example"


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("example.com", "example.com"),
        ("Example.COM.", "example.com"),
        ("*.example.com", "*.example.com"),
        ("_acme-challenge.example.com", "_acme-challenge.example.com"),
        ("münchen.example", MUNICH),
        ("MÜNCHEN.example.", MUNICH),
        ("mu\u0308nchen.example", MUNICH),
        ("XN--MNCHEN-3YA.example", MUNICH),
        ("*.münchen.example", f"*.{MUNICH}"),
        ("münchen。example", MUNICH),
        ("straße.example", "xn--strae-oqa.example"),  # IDNA 2003 would say strasse
        ("💩.example", "xn--ls8h.example"),
        ("", ""),
        ("a b.example", "a b.example"),
    ],
)
def test_a_name_has_one_form_for_comparing(name, form):
    assert canonical(name) == form


@pytest.mark.parametrize("name", ["münchen.example", "straße.example", "💩.example", "*.例え.テスト"])
def test_people_are_shown_the_letters_and_the_ascii_form(name):
    assert readable(canonical(name)) == name
    assert both(name) == both(canonical(name)) == f"{name} ({canonical(name)})"
    assert forms(name) == (canonical(name), name)


@pytest.mark.parametrize("name", ["xn--.example", "xn--\x7f.example", "xn--99999999.example"])
def test_what_is_no_encoded_name_is_shown_as_it_is(name):
    assert both(name) == name.lower()


@given(st.text(max_size=80))
def test_any_text_has_a_form_that_stays_and_is_shown_in_one_that_means_the_same(text):
    form = canonical(text)
    assert canonical(form) == form
    assert canonical(readable(text)) == form
