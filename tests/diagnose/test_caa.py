from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.dns import FULL, NOW, PARTIAL, Responder, diagnose, names, pack
from tests.harness.values import replace
from watchdog.diagnose.caa_records import ISSUERS, judge_records
from watchdog.diagnose.responses import CaaRecord
from watchdog.model.packs import ManualRecord

US = "letsencrypt.org"
HOST = "www.example.com"


def caa(*texts: str, wildcard: bool = False, issuer: str = US, method: str = "txt", binds: bool = True) -> object:
    records = []
    for text in texts:
        flags, tag, value = text.split(" ", 2)
        records.append(CaaRecord(flags == "128", tag, value, flags == "1"))
    verdict = judge_records(records, issuer, wildcard=wildcard, methods=(method,), binds=binds)
    return "restricted" if verdict.restricts else verdict.allowed


@pytest.mark.parametrize(
    ("texts", "host", "wildcard"),
    [
        ((), True, True),
        (("0 issue letsencrypt.org",), True, True),
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
        (("0 issue letsencrypt.org; validationmethods=http-01",), False, False),
        (("0 issue letsencrypt.org; validationmethods=http-01,dns-01",), True, True),
        (("0 issue letsencrypt.org;accounturi=https://ca/1", "0 issue letsencrypt.org"), True, True),
        (("0 issue letsencrypt.org;accounturi=https://ca/1",), False, False),
    ],
)
def test_what_a_set_of_records_lets_lets_encrypt_do_for_a_host_and_for_a_wildcard(texts, host, wildcard):
    assert (caa(*texts), caa(*texts, wildcard=True)) == (host, wildcard)


@pytest.mark.parametrize(
    ("text", "lets_encrypt", "google"),
    [
        ("0 issue CA.EXAMPLE", False, True),
        ("0 issue ca.example.", False, True),
        ("0 issue ca.example;", True, True),
        ("0 issue ca.example; ;", False, True),
        ("0 issue ca.example; policy=ev;", False, True),
        ("0 issue ca.example; policy", False, True),
        ("0 issue ca.example; policy=e v", False, True),
        ("0 issue ca.example; my-policy=ev", False, True),
        ("0 issue ca.example; validationmethods=http-01, dns-01", False, True),
        ("0 issue ca.example; validationmethods=DNS-01", False, True),
        ("0 issue ca.example; validationmethods=,dns-01", False, True),
        ("0 issue ca.example; validationmethods=dns-01; validationmethods=dns-01", False, True),
        ("0 issue ca.example; AccountURI=https://ca/1", True, True),
        ("1 tbs unknown", False, True),
        ("128 contactemail a@b.example", False, True),
        ("128 issuemail ca.example", True, True),
        ("128 issuevmc ca.example", True, True),
        ("128 iodef mailto:a@b.example", True, True),
    ],
)
def test_lets_encrypt_reads_to_the_letter_and_of_the_others_only_what_no_reading_allows_is_forbidden(
    text, lets_encrypt, google
):
    letter = caa(text.replace("ca.example", US).replace("CA.EXAMPLE", US.upper()))
    generous = caa(text.replace("ca.example", "pki.goog").replace("CA.EXAMPLE", "PKI.GOOG"), issuer="pki.goog")
    assert (letter, generous) == (lets_encrypt, google)


def test_a_record_that_means_lets_encrypt_and_is_not_read_by_it_is_told_as_such(resolver):
    resolver.records["example.com"] += ['CAA 0 issue "LetsEncrypt.org."']
    [found] = [one for one in diagnose(pack(HOST), resolver, facts=PARTIAL) if one.name == "caa_forbids"]
    assert found.certainty == "likely"
    assert "issue names it as 'LetsEncrypt.org.', which it does not read" in found.says
    assert found.record == ManualRecord("CAA", "example.com", '0 issue "letsencrypt.org"')


@pytest.mark.parametrize(("tag", "told"), [("isue", True), ("contactemail", False)])
def test_a_record_with_a_misspelt_tag_is_told_to_be_in_vain(resolver, tag, told):
    resolver.records["example.com"] += ['CAA 0 issue "pki.goog"', f'CAA 0 {tag} "letsencrypt.org"']
    [found] = [one for one in diagnose(pack(HOST), resolver, facts=PARTIAL) if one.name == "caa_forbids"]
    assert ("'isue', which no authority knows, is in vain" in found.says) is told


@pytest.mark.parametrize("parameter", ["accounturi=https://ca/1", "validationmethods=http-01"])
def test_a_parameter_that_does_not_bind_an_authority_yet_restricts_and_one_that_does_forbids(parameter):
    text = f"0 issue pki.goog; {parameter}"
    assert caa(text, issuer="pki.goog", binds=False) == "restricted"
    assert caa(text, issuer="pki.goog", binds=True) is False


BEFORE, SINCE = datetime(2027, 3, 14, 23, 59, 59, tzinfo=UTC), datetime(2027, 3, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("authority", "now", "expected"),
    [
        ("lets_encrypt", NOW, {("caa_forbids", "certain", HOST)}),
        ("google", BEFORE, {("caa_restricts", "hint", HOST)}),
        ("google", SINCE, {("caa_forbids", "certain", HOST)}),
        ("ssl_com", BEFORE, {("caa_restricts", "hint", HOST)}),
        ("ssl_com", SINCE, {("caa_forbids", "certain", HOST)}),
    ],
)
def test_an_account_of_the_customers_own_keeps_cloudflare_out_from_when_it_binds_the_authority(
    resolver, authority, now, expected
):
    resolver.records["example.com"] += [f'CAA 0 issue "{ISSUERS[authority]}; accounturi=https://ca.test/acct/1"']
    found = diagnose(pack(HOST, ca=authority), resolver, now=now)
    assert names(found) == expected
    assert "not Cloudflare's" in found[0].says


def test_a_method_that_the_pack_does_not_use_is_forbidden_but_for_a_renewal_that_is_tried_by_http_first(resolver):
    resolver.records["example.com"] += ['CAA 0 issue "letsencrypt.org; validationmethods=http-01"']
    assert ("caa_forbids", "certain", HOST) in names(diagnose(pack(HOST), resolver, facts=PARTIAL))
    renewed = pack(HOST, f"*.{HOST}", expires_at=NOW)
    found = {one.host for one in diagnose(renewed, resolver, facts=PARTIAL) if one.name == "caa_forbids"}
    assert found == {f"*.{HOST}"}


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
    [found] = diagnose(pack("www.example.com"), resolver)
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
    [found] = diagnose(pack("example.com", "*.example.com"), resolver)
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


# ── whose records they are, and what helps ───────────────────────────────────────────────────────────────────────────


def forbids(resolver, facts, *hosts, **more):
    [found] = [
        one for one in diagnose(pack(*(hosts or (HOST,)), **more), resolver, facts=facts) if one.name == "caa_forbids"
    ]
    assert found.certainty == "certain"
    return found


def test_records_at_the_end_of_an_alias_are_their_owners_and_none_is_asked_for_beside_the_alias(resolver):
    resolver.records[HOST] = ["CNAME shop.example.net."]
    resolver.records["shop.example.net"] = ["A 192.0.2.9", 'CAA 0 issue "pki.goog"']
    found = forbids(resolver, PARTIAL)
    assert "at shop.example.net (where the CNAME record of www.example.com leads)" in found.says
    assert "whoever runs shop.example.net" in found.remedy
    assert found.record is None


def test_the_end_of_an_alias_that_is_in_the_same_zone_takes_the_record(resolver):
    resolver.records[HOST] = ["CNAME shop.example.com."]
    resolver.records["shop.example.com"] = ["A 192.0.2.9", 'CAA 0 issue "pki.goog"']
    assert forbids(resolver, PARTIAL).record == ManualRecord("CAA", "shop.example.com", '0 issue "letsencrypt.org"')


def test_records_of_an_alias_at_a_parent_are_those_of_its_end_too(resolver):
    resolver.records["b.example.com"] = ["CNAME shop.example.net."]
    resolver.records["a.b.example.com"] = ["A 192.0.2.9"]
    resolver.records["shop.example.net"] = ["A 192.0.2.9", 'CAA 0 issue "pki.goog"']
    found = forbids(resolver, PARTIAL, "a.b.example.com")
    assert "at shop.example.net (where the CNAME record of b.example.com leads)" in found.says


def test_records_below_a_dname_are_told_with_the_dname(resolver):
    resolver.records["old.example.com"] = ["DNAME example.net."]
    resolver.records["a.example.net"] = ["A 192.0.2.9", 'CAA 0 issue "pki.goog"']
    found = forbids(resolver, PARTIAL, "a.old.example.com")
    assert "at a.example.net (by the DNAME record of old.example.com, for a.old.example.com)" in found.says
    assert found.record is None


def test_records_of_cloudflares_own_target_are_cloudflares_to_mend(resolver):
    resolver.records[HOST] = [f"CNAME {HOST}.cdn.cloudflare.net."]
    resolver.records[f"{HOST}.cdn.cloudflare.net"] = ["A 192.0.2.9", 'CAA 0 issue "pki.goog"']
    found = forbids(resolver, PARTIAL)
    assert (found.record, "Universal SSL" in found.remedy) == (None, True)


def test_a_delegated_subdomain_takes_the_record_on_its_own_name_servers(resolver):
    resolver.records["dept.example.com"] = ["SOA", "NS ns1.elsewhere.test.", 'CAA 0 issue "pki.goog"']
    resolver.records["www.dept.example.com"] = ["A 192.0.2.9"]
    found = forbids(resolver, FULL, "www.dept.example.com")
    assert found.record == ManualRecord("CAA", "dept.example.com", '0 issue "letsencrypt.org"')
    assert "on the name servers of dept.example.com" in found.remedy


def test_in_a_zone_that_cloudflare_runs_universal_ssl_is_turned_on_and_no_record_added(resolver):
    resolver.records["example.com"] += ['CAA 0 issue "pki.goog"']
    found = forbids(resolver, FULL)
    assert (found.record, "Turn Universal SSL on" in found.remedy) == (None, True)


def test_records_of_a_parent_zone_are_outweighed_by_ones_of_our_own(resolver):
    resolver.records["example.com"] += ['CAA 0 issue "pki.goog"']
    resolver.records["sub.example.com"] = ["SOA", "A 192.0.2.9"]
    found = forbids(resolver, replace(PARTIAL, name="sub.example.com"), "sub.example.com")
    assert found.record == ManualRecord("CAA", "sub.example.com", '0 issue "letsencrypt.org"')


def test_another_authority_that_the_records_allow_is_named(resolver):
    resolver.records["example.com"] += ['CAA 0 issue "pki.goog"', 'CAA 0 issue "ssl.com"']
    assert "these records let pki.goog and ssl.com issue" in forbids(resolver, PARTIAL).remedy
    resolver.records["example.com"][-2:] = ['CAA 0 issue ";"']
    assert "Or order" not in forbids(resolver, PARTIAL).remedy


def test_an_authority_nobody_here_knows_is_not_judged(resolver):
    resolver.records["example.com"] += ['CAA 0 issue ";"']
    assert diagnose(pack("www.example.com", ca="brand_new"), resolver, facts=FULL) == ()


def test_an_unknown_critical_tag_is_to_be_taken_off_and_no_record_helps(resolver):
    resolver.records["example.com"] += ['CAA 128 tbs "Unknown"']
    [found] = diagnose(pack("www.example.com"), resolver, facts=FULL)
    assert (found.name, found.certainty, found.record) == ("caa_forbids", "certain", None)


def test_an_authority_with_the_word_critical_in_its_name_makes_no_record_critical(resolver):
    resolver.records["example.com"] += ['CAA 0 issue "critical.example"']
    assert forbids(resolver, PARTIAL).remedy.startswith("Add the CAA record for")


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


@pytest.mark.parametrize(
    ("authority", "said"),
    [
        ("lets_encrypt", "Let's Encrypt (this pack's) refuses then; others may"),
        ("google", "Let's Encrypt refuses then; others may"),
    ],
)
@pytest.mark.parametrize("how", ["servfail", "drop"])
def test_of_records_that_cannot_be_read_it_is_said_who_refuses(resolver, authority, said, how):
    resolver.odd["example.com CAA"] = how
    [found] = [one for one in diagnose(pack(HOST, ca=authority), resolver, facts=FULL) if one.host == HOST]
    assert said in found.says


def test_in_a_signed_zone_everybody_refuses_where_records_cannot_be_read(resolver):
    resolver.odd["example.com CAA"] = "servfail"
    resolver.records["example.com"] += ["DS 1 13 2 " + "ab" * 32]
    [found] = [one for one in diagnose(pack(HOST, ca="google"), resolver, facts=FULL) if "caa" in one.name]
    assert "every authority must refuse" in found.says
