import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.dns import FULL, Responder, diagnose, names, pack
from watchdog.diagnose.caa import judge_records
from watchdog.diagnose.responses import CaaRecord
from watchdog.model.packs import ManualRecord

US = "letsencrypt.org"


def caa(*texts: str, wildcard: bool = False, issuer: str = US, method: str = "txt") -> object:
    records = []
    for text in texts:
        flags, tag, value = text.split(" ", 2)
        records.append(CaaRecord(flags == "128", tag, value))
    verdict = judge_records(records, issuer, wildcard=wildcard, method=method)
    return "restricted" if verdict.restricts else verdict.allowed


@pytest.mark.parametrize(
    ("texts", "host", "wildcard"),
    [
        ((), True, True),
        (("0 issue letsencrypt.org",), True, True),
        (("0 issue LetsEncrypt.ORG",), True, True),
        (("0 issue  letsencrypt.org ; policy=ev",), True, True),
        (("0 issue pki.goog",), False, False),
        (("0 issue notletsencrypt.org",), False, False),
        (("0 issue ;",), False, False),
        (("0 issue ;", "0 issue letsencrypt.org"), True, True),
        (("0 issuewild ;",), True, False),
        (("0 issue letsencrypt.org", "0 issuewild pki.goog"), True, False),
        (("0 issue pki.goog", "0 issuewild letsencrypt.org"), False, True),
        (("0 iodef mailto:a@b.example",), True, True),
        (("128 issue letsencrypt.org",), True, True),
        (("128 tbs unknown", "0 issue letsencrypt.org"), False, False),
        (("0 tbs unknown",), True, True),
        (("128 contactemail a@b.example",), True, True),
        (("0 issue letsencrypt.org; validationmethods=http-01",), "restricted", "restricted"),
        (("0 issue letsencrypt.org; validationmethods=http-01,dns-01",), True, True),
        (("0 issue letsencrypt.org;accounturi=https://ca/1", "0 issue letsencrypt.org"), True, True),
        (("0 issue letsencrypt.org;accounturi=https://ca/1",), "restricted", "restricted"),
    ],
)
def test_what_a_set_of_records_lets_lets_encrypt_do_for_a_host_and_for_a_wildcard(texts, host, wildcard):
    assert (caa(*texts), caa(*texts, wildcard=True)) == (host, wildcard)


def test_googles_parameter_for_signed_exchanges_restricts_nothing():
    assert caa("0 issue pki.goog; cansignhttpexchanges=yes", issuer="pki.goog") is True


records = st.lists(
    st.builds(CaaRecord, st.booleans(), st.sampled_from(["issue", "issuewild", "iodef", "x"]), st.text())
)


@given(records, st.booleans())
def test_a_plain_record_for_the_authority_mends_every_set_without_unknown_critical_tags(found, wildcard):
    found = [one for one in found if one.tag != "x"]
    tag = "issuewild" if wildcard and any(one.tag == "issuewild" for one in found) else "issue"
    assert caa_verdict([*found, CaaRecord(critical=False, tag=tag, value=US)], wildcard=wildcard)


def caa_verdict(found: list[CaaRecord], *, wildcard: bool) -> bool:
    verdict = judge_records(found, US, wildcard=wildcard)
    return verdict.allowed and not verdict.restricts


def test_no_caa_up_to_the_top_is_no_finding(resolver):
    assert diagnose(pack("www.example.com", "*.example.com"), resolver, facts=FULL) == ()
    assert resolver.asked["com", "CAA", "udp"] == 1


def test_the_nearest_parent_with_records_decides_and_none_above_it_is_asked(resolver):
    resolver.records["example.com"] += ['CAA 0 issue "pki.goog"']
    [found] = diagnose(pack("www.example.com"), resolver, facts=FULL)
    assert (found.name, found.certainty, found.host) == ("caa_forbids", "certain", "www.example.com")
    assert found.record == ManualRecord("CAA", "example.com", '0 issue "letsencrypt.org"')
    assert "pki.goog" in found.says
    assert ("com", "CAA", "udp") not in resolver.asked


def test_records_at_the_host_win_over_those_of_its_parent(resolver):
    resolver.records["example.com"] += ['CAA 0 issue ";"']
    resolver.records["www.example.com"] += ['CAA 0 issue "letsencrypt.org"']
    assert diagnose(pack("www.example.com"), resolver, facts=FULL) == ()


def test_the_wildcard_is_judged_by_issuewild_and_the_host_beside_it_by_issue(resolver):
    resolver.records["example.com"] += ['CAA 0 issue "letsencrypt.org"', 'CAA 0 issuewild ";"']
    [found] = diagnose(pack("example.com", "*.example.com"), resolver, facts=FULL)
    assert (found.name, found.certainty, found.host) == ("caa_forbids", "certain", "*.example.com")
    assert found.record == ManualRecord("CAA", "example.com", '0 issuewild "letsencrypt.org"')


def test_an_alias_brings_the_records_of_its_target(resolver):
    resolver.records["www.example.com"] = ["CNAME shop.example.net."]
    resolver.records["shop.example.net"] = ["A 192.0.2.9", 'CAA 0 issue "pki.goog"']
    assert ("caa_forbids", "certain", "www.example.com") in names(diagnose(pack("www.example.com"), resolver))


def test_an_alias_without_records_sends_the_climb_to_the_parents_of_the_host_and_not_of_its_target(resolver):
    resolver.records["www.example.com"] = ["CNAME shop.example.net."]
    resolver.records |= {"shop.example.net": ["A 192.0.2.9"], "example.net": ["SOA", 'CAA 0 issue ";"']}
    assert diagnose(pack("www.example.com"), resolver, facts=FULL) == ()


def test_an_authority_nobody_here_knows_is_not_judged(resolver):
    resolver.records["example.com"] += ['CAA 0 issue ";"']
    assert diagnose(pack("www.example.com", ca="brand_new"), resolver, facts=FULL) == ()


def test_an_unknown_critical_tag_is_to_be_taken_off_and_no_record_helps(resolver):
    resolver.records["example.com"] += ['CAA 128 tbs "Unknown"']
    [found] = diagnose(pack("www.example.com"), resolver, facts=FULL)
    assert (found.name, found.certainty, found.record) == ("caa_forbids", "certain", None)


def test_what_only_one_of_two_resolvers_forbids_is_likely_and_they_are_said_to_disagree(resolver):
    old = Responder({**resolver.records, "example.com": ["SOA", 'CAA 0 issue "pki.goog"']})
    found = names(diagnose(pack("www.example.com"), resolver, old, facts=FULL))
    assert found == {
        ("caa_forbids", "likely", "www.example.com"),
        ("resolvers_disagree", "hint", "www.example.com"),
    }


def test_what_one_forbids_while_the_other_fails_is_only_likely(resolver):
    resolver.records["example.com"] += ['CAA 0 issue "pki.goog"']
    broken = Responder(resolver.records, {"example.com CAA": "servfail"})
    assert ("caa_forbids", "likely", "www.example.com") in names(diagnose(pack("www.example.com"), resolver, broken))


def test_what_one_forbids_while_the_other_is_silent_stays_certain(resolver):
    resolver.records["example.com"] += ['CAA 0 issue "pki.goog"']
    dead = Responder({}, {".": "drop"})
    found = names(diagnose(pack("www.example.com"), resolver, dead))
    assert ("caa_forbids", "certain", "www.example.com") in found


@pytest.mark.parametrize("how", ["servfail", "refused", "lame"])
def test_caa_that_cannot_be_read_is_a_finding_of_its_own_and_never_no_caa(resolver, how):
    resolver.odd["example.com CAA"] = how
    resolver.records["com"] += ['CAA 0 issue "letsencrypt.org"']
    [found] = [one for one in diagnose(pack("www.example.com"), resolver, facts=FULL) if "caa" in one.name]
    assert (found.name, found.certainty) == ("caa_unreachable", "likely")
