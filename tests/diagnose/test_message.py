"""A DNS message is read as dnspython reads it, though it makes values only of what is asked for."""

import struct

import dns.edns
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchdog.diagnose.message import MOST_RECORDS, parse, text_of
from watchdog.diagnose.responses import read
from watchdog.diagnose.transport import question

NAMES = ("www.example.com.", "Example.com.", "a.b.example.net.", ".", "x\\.y.example.org.", f"{'l' * 63}.test.")
ASKED = dns.name.from_text("_acme-challenge.www.example.com.")
VALUES = {
    "TXT": ('"token"', '"one" "two"', '"\\000\\255"'),
    "CAA": ('0 issue "pki.goog"', '128 iodef "mailto:a@example.com"'),
    "CNAME": NAMES,
    "DNAME": NAMES,
    "NS": NAMES,
    "A": ("192.0.2.1", "192.0.2.2"),
    "AAAA": ("2001:db8::1",),
    "SOA": ("ns.example.com. a.example.com. 1 2 3 4 5",),
    "DS": ("1 13 2 " + "ab" * 32,),
}
records = st.sampled_from(list(VALUES)).flatmap(
    lambda kind: st.tuples(st.sampled_from((*NAMES, ASKED.to_text())), st.just(kind), st.sampled_from(VALUES[kind]))
)
errors = st.tuples(st.integers(0, 60), st.sampled_from(["", "signature expired", "é"]))


def written(answers, authority, rcode, errors):
    message = dns.message.make_response(dns.message.make_query(ASKED, "TXT"))
    for section, some in ((message.answer, answers), (message.authority, authority)):
        for owner, kind, text in some:
            name, rdtype = dns.name.from_text(owner), dns.rdatatype.from_text(kind)
            message.find_rrset(section, name, dns.rdataclass.IN, rdtype, create=True).add(
                dns.rdata.from_text(dns.rdataclass.IN, rdtype, text)
            )
    message.use_edns(0, options=[dns.edns.EDEOption(code, text) for code, text in errors])
    message.set_rcode(rcode)
    return message.to_wire(max_size=65535)


@given(
    st.lists(records, max_size=12), st.lists(records, max_size=4), st.integers(0, 4000), st.lists(errors, max_size=3)
)
def test_what_is_read_of_a_message_is_what_dnspython_reads(answers, authority, rcode, errors):
    wire = written(answers, authority, rcode, errors)
    ours, theirs = parse(wire), dns.message.from_wire(wire)
    assert (ours.asked, ours.flags & 0xFFF0, ours.rcode) == (ASKED, theirs.flags & 0xFFF0, theirs.rcode())
    for rrset in theirs.answer:
        assert ours.data(rrset.name, rrset.rdtype, MOST_RECORDS) == list(rrset)
        assert rrset.name in ours.owners(rrset.rdtype)
    zones = [each.name for each in theirs.authority if each.rdtype == dns.rdatatype.SOA]
    assert ours.zone == (text_of(zones[0]) if zones else "")
    assert list(ours.errors) == errors
    assert not ours.data(dns.name.from_text("elsewhere.example."), dns.rdatatype.TXT, MOST_RECORDS)


@given(st.data())
def test_a_message_that_is_cut_off_anywhere_is_no_message(data):
    wire = written([(ASKED.to_text(), "TXT", '"token"')], [("example.com.", "SOA", VALUES["SOA"][0])], 0, [(6, "x")])
    with pytest.raises((ValueError, IndexError, struct.error)):
        parse(wire[: data.draw(st.integers(0, len(wire) - 1))])


def test_of_two_cnames_of_one_name_the_last_is_read_as_dnspython_has_it():
    message = dns.message.make_response(dns.message.make_query(ASKED, "CNAME"))
    message.answer += [dns.rrset.from_text(ASKED, 60, "IN", "CNAME", target) for target in ("a.example.", "b.example.")]
    wire = message.to_wire()
    [theirs] = dns.message.from_wire(wire).answer
    assert read(parse(wire), dns.rdatatype.CNAME, "1.1.1.1").values == ("b.example",)
    assert [rdata.to_text() for rdata in theirs] == ["b.example."]


@pytest.mark.parametrize("name", ["example.com", "_acme-challenge.example.com", "xn--bcher-kva.example", "a" * 63, "."])
def test_a_question_is_written_as_dnspython_writes_it(name):
    asked = question(name, "CAA")
    message = dns.message.from_wire(asked.packet)
    [only] = message.question
    assert (only.name, only.rdtype, only.rdclass) == (dns.name.from_text(name), dns.rdatatype.CAA, dns.rdataclass.IN)
    assert message.edns == 0


@pytest.mark.parametrize("name", ["a" * 64, "a..b", f"{'a.' * 127}a"])
def test_what_is_no_name_of_dns_is_not_asked_for(name):
    with pytest.raises((dns.exception.DNSException, ValueError)):
        question(name, "CAA")
