"""What a failing answer is a sign of: broken signatures, circles, name servers that do not know the zone, old ones."""

import asyncio
from datetime import UTC, datetime, timedelta

import dns.rcode
import dns.rdatatype
import pytest

from tests.harness.dns import FULL, NOW, PARTIAL, SHORT, Responder, diagnose, names, pack, story
from tests.harness.values import replace
from watchdog.diagnose import failures
from watchdog.diagnose.diagnoser import PackDiagnoser
from watchdog.diagnose.resolvers import TRIES, operator
from watchdog.diagnose.responses import Answer, ResponseStatus
from watchdog.model.findings import obstacle
from watchdog.model.packs import Validation

HOST = "www.example.com"
NAME = f"_acme-challenge.{HOST}"


def about(found):
    return {(one.name.value, one.certainty.value) for one in found}


def copy(resolver, **odd):
    return Responder(resolver.records, odd)


# ── broken signatures ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("ca", ["lets_encrypt", "google", "ssl_com", "brand_new"])
@pytest.mark.parametrize(("one", "other"), [("bogus", "bogus"), ("bogus-ede", "bogus-ede"), ("bogus", "bogus-ede")])
def test_broken_signatures_that_two_resolvers_see_are_certain_and_hold_a_restart_of_every_authority(
    resolver, ca, one, other
):
    pair = copy(resolver, **{"example.com": one}), copy(resolver, **{"example.com": other})
    found = diagnose(pack(HOST, ca=ca), *pair, facts=PARTIAL)
    assert names(found) == {("dnssec_bogus", "certain", HOST)}
    assert obstacle(found) is not None


def test_one_resolver_that_sees_broken_signatures_is_no_proof_even_if_another_does_not_look(resolver):
    found = diagnose(pack(HOST), copy(resolver, **{"example.com": "bogus"}), resolver, facts=FULL)
    assert ("dnssec_bogus", "likely", HOST) in names(found)
    assert obstacle(found) is None


def test_what_a_third_resolver_finds_good_is_not_certain(resolver):
    broken = [copy(resolver, **{"example.com": "bogus"}) for _ in range(2)]
    found = diagnose(pack(HOST), *broken, Responder(resolver.records, validated=True), facts=FULL)
    assert ("dnssec_bogus", "likely", HOST) in names(found)
    assert "Another resolver finds the signatures good" in found[0].says


def test_the_remedy_of_broken_signatures_says_which_resolver_sees_the_cure_late(resolver):
    [found] = diagnose(pack(HOST), copy(resolver, **{"example.com": "bogus-ede"}), facts=FULL)
    assert "PowerDNS Recursor keeps broken keys for up to an hour" in found.remedy


def test_a_resolver_that_calls_signatures_broken_and_does_not_answer_without_them_either_is_no_witness(resolver):
    broken = [copy(resolver, **{"example.com": "bogus-lame"}) for _ in range(2)]
    assert names(diagnose(pack(HOST), *broken, facts=PARTIAL)) == {("dnssec_bogus", "likely", HOST)}


def test_the_extended_error_is_shown_with_its_number(resolver):
    resolver.odd["example.com"] = "bogus-ede"
    [found] = diagnose(pack(HOST), resolver, facts=PARTIAL)
    assert "EDE 7, signature expired: sig <b>old</b>" in found.says


def test_a_failure_of_one_type_alone_is_not_taken_for_broken_signatures_by_a_cached_denial(resolver):
    # The servers refuse CAA, and the resolver makes an empty answer of another's proof once checking is off.
    resolver.odd |= {"example.com CAA": "bogus"}
    assert about(diagnose(pack(HOST), resolver, facts=FULL)) == {("caa_unreachable", "likely")}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("1.1.1.1", "1.0.0.1", True),
        ("1.1.1.1", "[2606:4700:4700::1111]:5353", True),
        ("8.8.8.8", "8.8.4.4", True),
        ("1.1.1.1", "8.8.8.8", False),
        ("127.0.0.1:53000", "127.0.0.1:53001", False),
        ("1.1.10.1", "1.1.1.1", False),
    ],
)
def test_two_addresses_of_one_operator_are_one_witness(one, other, same):
    assert (operator(one) == operator(other)) == same
    seen = [Answer(resolver=by, status=ResponseStatus.BOGUS, confirmed=True) for by in (one, other)]
    found = failures.bogus("h", "n", seen)
    assert found is not None
    assert found.certainty == ("likely" if same else "certain")


# ── aliases ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_circle_that_a_resolver_fails_at_without_a_word_is_found_link_by_link(resolver):
    resolver.records |= {HOST: ["CNAME b.example.com."], "b.example.com": [f"CNAME {HOST}."]}
    resolver.odd |= {f"{HOST} CAA": "servfail"}
    [found] = [one for one in diagnose(pack(HOST), resolver, facts=FULL) if one.name == "cname_loop"]
    assert f"in a circle: {HOST} → b.example.com → {HOST}." in found.says


def test_a_circle_that_begins_behind_the_name_is_named_without_what_leads_to_it(resolver):
    resolver.records |= {
        HOST: ["CNAME b.example.com."],
        "b.example.com": ["CNAME c.example.com."],
        "c.example.com": ["CNAME b.example.com."],
    }
    resolver.odd |= {f"{HOST} CAA": "servfail"}
    [found] = [one for one in diagnose(pack(HOST), resolver, facts=FULL) if one.name == "cname_loop"]
    assert "b.example.com → c.example.com → b.example.com." in found.says
    assert "CNAME record of b.example.com" in found.remedy


@pytest.mark.parametrize(("links", "name"), [(15, "caa_unreachable"), (16, "cname_loop")])
def test_a_chain_that_a_resolver_gives_up_on_is_walked_as_far_as_authorities_would(resolver, links, name):
    resolver.records[HOST] = ["CNAME n1.example.com."]
    resolver.records |= {f"n{n}.example.com": [f"CNAME n{n + 1}.example.com."] for n in range(1, links)}
    resolver.odd |= {f"{HOST} CAA": "servfail"}
    assert (name, "likely") in about(diagnose(pack(HOST), resolver, facts=FULL))


def test_the_end_of_an_alias_that_fails_is_named(resolver):
    resolver.records[HOST] = ["CNAME b.example.com."]
    resolver.records |= {"b.example.com": ["CNAME dead.example.net."], NAME: ["CNAME dead.example.net."]}
    resolver.odd |= {f"{HOST} CAA": "servfail", f"{NAME} TXT": "servfail", "dead.example.net": "servfail"}
    found = {one.name.value: one.says for one in diagnose(pack(HOST), resolver, facts=FULL)}
    assert f"CAA records of dead.example.net, where the alias {HOST} ends, cannot be read" in found["caa_unreachable"]
    assert f"DNS fails for dead.example.net, where the alias {NAME} ends," in found["dns_failure"]


@pytest.mark.parametrize("how", ["servfail", "refused"])
def test_a_domain_whose_dns_fails_for_two_independent_resolvers_fails_for_certain(resolver, how):
    pair = [copy(resolver, **{"example.com": how}) for _ in range(2)]
    assert ("dns_failure", "certain") in about(diagnose(pack(HOST), *pair, facts=FULL))


def test_that_dns_fails_is_not_certain_where_one_resolver_gets_an_answer(resolver):
    pair = copy(resolver, **{"example.com": "servfail"}), resolver
    assert ("dns_failure", "certain") not in about(diagnose(pack(HOST), *pair, facts=FULL))


def test_that_dns_fails_is_not_certain_where_a_resolver_gets_no_answer_for_the_top_of_the_name_either(resolver):
    pair = copy(resolver, com="servfail"), copy(resolver, com="servfail")
    assert ("dns_failure", "certain") not in about(diagnose(pack(HOST), *pair, facts=FULL))


def test_that_dns_fails_at_the_end_of_an_alias_is_not_certain(resolver):
    resolver.records[NAME] = ["CNAME dead.example.net."]
    resolver.odd |= {f"{NAME} TXT": "servfail", "dead.example.net": "servfail"}
    found = diagnose(pack(HOST), copy(resolver, **resolver.odd), copy(resolver, **resolver.odd), facts=FULL)
    assert ("dns_failure", "likely") in about(found)


def test_that_dns_fails_for_the_challenge_is_not_certain_to_matter_where_http_comes_first(resolver):
    resolver.odd[NAME] = "servfail"
    renewed = replace(pack(HOST), expires_at=NOW)
    found = diagnose(renewed, copy(resolver, **resolver.odd), copy(resolver, **resolver.odd), facts=PARTIAL)
    assert ("dns_failure", "likely") in about(found)


# ── resolvers ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_resolver_that_knows_no_root_and_answers_for_the_domain_is_not_silent(resolver):
    rootless = Responder({**resolver.records, "example.com": ["SOA", 'CAA 0 issue "pki.goog"']}, {" NS": "drop"})
    found = diagnose(pack(HOST), rootless, timeout=timedelta(seconds=1))
    assert about(found) == {("caa_forbids", "certain")}


def test_a_resolver_that_knows_no_root_may_fail_at_a_first_domain_and_is_asked_for_the_next(resolver):
    rootless = Responder(
        {**resolver.records, "example.com": ["SOA", 'CAA 0 issue "pki.goog"']}, {" NS": "drop", "dead.test": "drop"}
    )

    async def tell(diagnoser: PackDiagnoser) -> object:
        await diagnoser.diagnose(pack("dead.test"))
        return await diagnoser.diagnose(pack(HOST))

    assert about(story(tell, rootless, timeout=SHORT)) == {("caa_forbids", "certain")}


def test_one_that_never_answers_is_asked_a_handful_of_times_in_a_pass(resolver):
    dead = Responder({}, {".": "drop"})
    hosts = [f"{n}.example.com" for n in range(30)]
    found = diagnose(pack(*hosts), resolver, dead, facts=FULL, timeout=timedelta(seconds=2))
    assert ("resolver_silent", "hint") in about(found)
    assert len(dead.asked) == 3  # the greeting, the domain and what is above it
    hosts = [f"www.{n}.test" for n in range(30)]
    again = Responder({}, {".": "drop"})
    diagnose(pack(*hosts), resolver, again, facts=FULL, timeout=timedelta(seconds=2))
    assert len(again.asked) == TRIES + 1


def test_an_empty_answer_that_names_no_zone_is_no_absence_where_the_resolver_names_others(resolver):
    resolver.odd["example.com"] = "no-soa"
    resolver.records["example.com"].remove("SOA")
    resolver.records[NAME] = []
    found = diagnose(pack(HOST), resolver, facts=PARTIAL)
    assert about(found) == {("dns_failure", "likely")}
    assert "names no zone" in found[0].says


def test_one_that_names_no_zone_for_the_host_alone_has_data_of_its_own_for_it(resolver):
    resolver.odd[f"{HOST} CAA"] = "no-soa"
    [found] = [one for one in diagnose(pack(HOST), resolver, facts=PARTIAL) if one.name != "delegation_missing"]
    assert (found.name, found.certainty) == ("incomplete", "hint")
    assert "data of its own" in found.says


def test_a_resolver_that_never_names_a_zone_is_believed_without(resolver):
    resolver.odd["."] = "no-soa"
    assert about(diagnose(pack(HOST), resolver, facts=PARTIAL)) == {("delegation_missing", "likely")}


def test_two_resolvers_that_ask_different_name_servers_are_said_to(resolver):
    old, new = (Responder({**resolver.records}) for _ in range(2))
    for one, server in ((old, "ns.old.test"), (new, "ns.new.test")):
        one.records["example.com"] = ["SOA", f"NS {server}."]
    new.records[NAME] = ["TXT spent"]
    [found] = [one for one in diagnose(pack(HOST), old, new, facts=PARTIAL) if one.name == "resolvers_disagree"]
    assert "different name servers of example.com" in found.says
    assert {"ns.old.test", "ns.new.test"} <= set(found.says.replace(".;", " ").replace(";", " ").rstrip(".").split())
    new.records["example.com"] = old.records["example.com"]
    [found] = [one for one in diagnose(pack(HOST), old, new, facts=PARTIAL) if one.name == "resolvers_disagree"]
    assert "different name servers" not in found.says


# ── CAA first ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Caching(Responder):
    """Answers CAA questions from the proof that came with any other question, as RFC 8198 has it."""

    def answer(self, wire, transport):
        others = [kind for (name, kind, _) in self.asked if name.endswith("example.com") and kind != "CAA"]
        if others:
            self.odd.pop("example.com CAA", None)
        return super().answer(wire, transport)


def test_what_is_learnt_from_other_questions_hides_no_failure_of_caa(resolver):
    cache = Caching(resolver.records, {"example.com CAA": "servfail"}, validated=True)
    assert about(diagnose(pack(HOST), cache, facts=FULL)) == {("caa_unreachable", "likely")}
    assert cache.asked[HOST, "CAA", "udp"] == 1


@pytest.mark.parametrize(
    ("validated", "after", "stands"),
    [
        (True, timedelta(minutes=59), True),
        (True, timedelta(hours=1), False),
        (False, timedelta(minutes=1), False),  # no proof that could have been kept: the servers do answer again
    ],
)
def test_a_failure_of_caa_stands_in_later_passes_while_only_kept_proofs_say_otherwise(
    resolver, validated, after, stands
):
    resolver.validated = validated
    resolver.odd["example.com CAA"] = "servfail"
    at = [NOW]

    async def whole(diagnoser: PackDiagnoser) -> object:
        first = await diagnoser.diagnose(pack(HOST), FULL)
        resolver.odd.clear()
        at[0] = NOW + after
        diagnoser.begin_pass()
        return first, await diagnoser.diagnose(pack(HOST), FULL)

    first, second = story(whole, resolver, now=lambda: at[0])
    assert about(first) == {("caa_unreachable", "likely")}
    assert (about(second) == about(first)) == stands


def test_a_record_that_is_found_ends_a_failure_at_once(resolver):
    resolver.validated = True
    resolver.odd["example.com CAA"] = "servfail"

    async def whole(diagnoser: PackDiagnoser) -> object:
        await diagnoser.diagnose(pack(HOST), FULL)
        resolver.odd.clear()
        resolver.records[HOST] += ['CAA 0 issue "letsencrypt.org"']
        diagnoser.begin_pass()
        return await diagnoser.diagnose(pack(HOST), FULL)

    assert story(whole, resolver) == ()


# ── what is certain on a date ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("ca", "host", "refused"),
    [
        ("google", "xn--bcher-kva.example.com", True),
        ("google", "bücher.example.com", True),
        ("google", "*.XN--bcher-kva.example.com", True),
        ("google", "axn--b.example.com", False),
        ("lets_encrypt", "xn--bcher-kva.example.com", False),
        ("ssl_com", "xn--bcher-kva.example.com", False),
        ("lets_encrypt", "a.b.c.d.e.f.g.h.example.com", False),
        ("lets_encrypt", "*.a.b.c.d.e.f.g.h.example.com", False),
        ("lets_encrypt", "a.b.c.d.e.f.g.h.i.example.com", True),
        ("google", "a.b.c.d.e.f.g.h.i.example.com", False),
    ],
)
def test_names_that_an_authority_issues_for_nobody_are_certain_to_fail(resolver, ca, host, refused):
    found = [one for one in diagnose(pack(host, ca=ca), resolver) if one.name == "ca_refuses"]
    assert [(one.certainty, one.host) for one in found] == ([("certain", host)] if refused else [])
    assert (obstacle(found) is not None) == refused


def test_a_pack_that_holds_a_certificate_for_such_a_name_is_the_better_witness(resolver):
    which = replace(pack("xn--bcher-kva.example.com", ca="google"), expires_at=datetime(2027, 1, 1, tzinfo=UTC))
    [found] = [one for one in diagnose(which, resolver) if one.name == "ca_refuses"]
    assert found.certainty == "likely"


@pytest.mark.parametrize("ca", ["google", "lets_encrypt", "ssl_com", ""])
@pytest.mark.parametrize(
    "host", ["my_shop.example.com", "*.a_b.example.com", "ab--cd.example.com", "R3--X.EXAMPLE.COM"]
)
def test_a_name_that_no_authority_may_issue_for_is_a_likely_cause_and_holds_nothing(resolver, ca, host):
    found = [one for one in diagnose(pack(host, ca=ca), resolver) if one.name == "ca_refuses"]
    assert [(one.certainty, one.host) for one in found] == [("likely", host)]
    assert obstacle(found) is None


@pytest.mark.parametrize(
    "host", ["a--b.example.com", "abc--d.example.com", "xn--bcher-kva.example.com", "*.example.com"]
)
def test_other_hyphens_keep_nobody_from_issuing(resolver, host):
    assert [one for one in diagnose(pack(host, ca="ssl_com"), resolver) if one.name == "ca_refuses"] == []


# ── HTTP ─────────────────────────────────────────────────────────────────────────────────────────────────────────

BY_HTTP = pack(HOST, validation=Validation("http"))


@pytest.fixture
def pair(resolver):
    """Two resolvers of two operators that know the same."""
    return Responder({**resolver.records}), Responder({**resolver.records})


def test_a_timed_out_pack_validated_by_http_is_certain_to_fail_where_its_host_has_no_address(pair):
    for resolver in pair:
        resolver.records[HOST] = ["TXT something"]
    [found] = [one for one in diagnose(BY_HTTP, *pair, facts=FULL) if one.name == "host_missing"]
    assert found.certainty == "certain"
    assert found.says == f"{HOST} has no address in DNS, neither A nor AAAA: it can serve no page."


@pytest.mark.parametrize("kept", ["A 192.0.2.1", "AAAA 2001:db8::1"])
def test_a_host_that_one_resolver_has_an_address_for_is_not_without_one(pair, kept):
    pair[0].records[HOST] = ["TXT something"]
    pair[1].records[HOST] = [kept]
    assert "host_missing" not in {name for name, _ in about(diagnose(BY_HTTP, *pair, facts=FULL))}


def test_a_host_without_an_address_by_one_operator_alone_is_only_likely_to_have_none(resolver):
    resolver.records[HOST] = ["TXT something"]
    assert about(diagnose(BY_HTTP, resolver, facts=FULL)) == {("host_missing", "likely")}


def test_a_timed_out_pack_validated_by_http_is_certain_to_fail_where_dns_fails_for_all_its_addresses(pair):
    for resolver in pair:
        resolver.odd |= {f"{HOST} A": "servfail", f"{HOST} AAAA": "servfail"}
    assert ("dns_failure", "certain") in about(diagnose(BY_HTTP, *pair, facts=FULL))


def test_a_host_whose_dns_fails_for_one_kind_of_address_alone_is_not_certain_to_fail(pair):
    for resolver in pair:
        resolver.odd |= {f"{HOST} AAAA": "servfail"}
    assert ("dns_failure", "certain") not in about(diagnose(BY_HTTP, *pair, facts=FULL))


def test_addresses_are_not_looked_up_for_a_pack_that_is_validated_by_txt(resolver):
    diagnose(pack(HOST), resolver, facts=FULL)
    assert {kind for name, kind, _ in resolver.asked if name == HOST}.isdisjoint({"A", "AAAA"})


class GivesUp(Responder):
    """A resolver behind whom questions for CAA are dropped: it waits for seconds, and then fails all for one."""

    until = 0.0

    def reply(self, query, way):
        now = asyncio.get_running_loop().time()
        reply = super().reply(query, way)
        self.takes = 0.02
        if query.question[0].rdtype == dns.rdatatype.CAA and now >= self.until:
            self.takes, self.until = 2.0, now + 3.0
        if query.question[0].rdtype == dns.rdatatype.CAA or self.until - 1.0 <= now < self.until:
            reply.set_rcode(dns.rcode.SERVFAIL)
            reply.answer.clear()
        return reply


def test_what_a_resolver_fails_for_a_moment_after_it_gave_up_on_another_question_is_no_failure_of_dns(resolver):
    weary = GivesUp(resolver.records)
    assert about(diagnose(pack(HOST), weary, facts=PARTIAL)) == {
        ("caa_unreachable", "likely"),
        ("delegation_missing", "likely"),
    }
