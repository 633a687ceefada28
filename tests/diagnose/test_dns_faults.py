from contextlib import asynccontextmanager

import pytest

from tests.harness.dns import FULL, PARTIAL, TXT, Responder, diagnose, names, pack
from watchdog.model.packs import Validation, ZoneFacts

HOST = "www.example.com"


def about(found):
    return {(one.name.value, one.certainty.value) for one in found}


@pytest.mark.parametrize("how", ["servfail", "refused", "lame"])
def test_dns_that_fails_is_said_to_fail_and_nothing_is_said_to_be_absent(resolver, how):
    resolver.odd["example.com"] = how
    found = diagnose(pack(HOST), resolver, facts=PARTIAL)
    assert about(found) == {("caa_unreachable", "likely"), ("dns_failure", "likely")}
    assert to_words(found, "dns_failure").count("refused" if how == "refused" else "servfail") == 1


def to_words(found, name):
    return next(one.says for one in found if one.name == name)


def test_the_resolvers_own_explanation_is_passed_on(resolver):
    resolver.odd["example.com"] = "lame"
    assert "no reachable authority" in to_words(diagnose(pack(HOST), resolver), "dns_failure")


@pytest.mark.parametrize("how", ["bogus", "bogus-ede"])
def test_broken_dnssec_is_told_from_a_failure_by_the_resolvers_code_or_by_asking_without_checking(resolver, how):
    resolver.odd["example.com"] = how
    assert names(diagnose(pack(HOST), resolver, facts=PARTIAL)) == {("dnssec_bogus", "likely", HOST)}
    assert resolver.asked[HOST, "CAA", "unchecked"] == 1


def test_what_the_resolver_says_is_cleaned(resolver):
    resolver.odd["example.com"] = "bogus-ede"
    says = to_words(diagnose(pack(HOST), resolver), "dnssec_bogus")
    assert "signature expired" in says
    assert says.isprintable()


def test_no_answer_in_time_is_a_hint_and_not_an_absence(resolver):
    resolver.odd["example.com"] = "drop"
    assert names(diagnose(pack(HOST), resolver, facts=PARTIAL)) == {("dns_timeout", "hint", HOST)}


def test_packets_that_are_no_answer_are_passed_over_and_count_as_none(resolver):
    resolver.odd["example.com"] = "garbage"
    assert names(diagnose(pack(HOST), resolver, facts=PARTIAL)) == {("dns_timeout", "hint", HOST)}


def test_a_port_where_nobody_listens_is_a_silent_resolver():
    found = diagnose(pack(*(f"{n}.example.com" for n in range(5))), Refusing(), facts=PARTIAL, sockets=True)
    assert about(found) == {("resolver_silent", "hint")}


class Refusing(Responder):
    """A port that was closed again."""

    @asynccontextmanager
    async def serving(self):
        async with Responder.serving(self):
            pass
        yield self


def test_one_silent_resolver_does_not_hide_what_the_other_says(resolver):
    found = diagnose(pack(HOST), resolver, Responder({}, {".": "drop"}), facts=PARTIAL)
    assert {("delegation_missing", "likely"), ("resolver_silent", "hint")} <= about(found)


def test_aliases_in_a_circle_are_a_finding(resolver):
    resolver.records |= {
        HOST: ["CNAME b.example.com."],
        "b.example.com": [f"CNAME {HOST}."],
        f"_acme-challenge.{HOST}": ["CNAME c.example.com."],
        "c.example.com": ["CNAME c.example.com."],
    }
    found = names(diagnose(pack(HOST), resolver, facts=FULL))
    assert found == {("cname_loop", "likely", HOST), ("delegated_elsewhere", "likely", HOST)}


@pytest.mark.parametrize(("links", "well"), [(15, True), (16, False)])
def test_a_chain_of_aliases_may_be_long_but_not_without_end(resolver, links, well):
    resolver.records[HOST] = ["CNAME n1.example.com."]
    resolver.records |= {f"n{n}.example.com": [f"CNAME n{n + 1}.example.com."] for n in range(1, links)}
    resolver.records[f"n{links}.example.com"] = ["A 192.0.2.1"]
    assert (diagnose(pack(HOST), resolver, facts=FULL) == ()) == well


def test_a_truncated_answer_is_fetched_by_tcp(resolver):
    resolver.records[HOST] += ['CAA 0 issue "pki.goog"']
    resolver.odd[HOST] = "truncate"
    assert ("caa_forbids", "certain", HOST) in names(diagnose(pack(HOST), resolver, facts=FULL, sockets=True))
    assert resolver.asked[HOST, "CAA", "tcp"] == 1


def test_a_huge_answer_is_read_in_part_and_stays_cheap(resolver):
    resolver.records[f"_acme-challenge.{HOST}"] = [f'TXT "{n:05}{"x" * 200}"' for n in range(250)]
    found = diagnose(pack(HOST), resolver, facts=PARTIAL, sockets=True)
    assert about(found) == {("txt_shadows_delegation", "likely")}
    assert resolver.asked[f"_acme-challenge.{HOST}", "TXT", "tcp"] == 1


def test_nothing_a_stranger_writes_into_dns_reaches_a_finding_uncleaned(resolver):
    evil = r'"\027[31m\010<script>alert(1)</script>\226\128\174' + "y" * 100 + '"'
    resolver.records["example.com"] += [f"CAA 0 issue {evil}"]
    resolver.records[f"_acme-challenge.{HOST}"] = [f"TXT {evil}", r"TXT \000\255"]
    found = diagnose(pack(HOST), resolver, facts=PARTIAL)
    assert {"caa_forbids", "txt_shadows_delegation"} <= {one.name.value for one in found}
    for one in found:
        assert one.says.isprintable()
        assert len(one.says) < 1000


# ── the host ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("facts", "validation", "certainty"),
    [
        (FULL, TXT, "hint"),  # Cloudflare can place a token below a name that does not exist
        (PARTIAL, TXT, "likely"),
        (ZoneFacts(), TXT, "hint"),
        (FULL, Validation("http"), "certain"),
    ],
)
def test_a_host_that_does_not_exist_is_certain_to_fail_only_where_nobody_can_place_a_token(
    resolver, facts, validation, certainty
):
    found = names(diagnose(pack("gone.example.com", validation=validation), resolver, facts=facts))
    assert ("host_missing", certainty, "gone.example.com") in found


@pytest.mark.parametrize("host", ["gone.test", "a.gone.test", "*.gone.test"])
def test_a_domain_that_does_not_exist_is_certain_to_fail(resolver, host):
    facts = ZoneFacts(name="gone.test", type="full", status="active")
    assert ("host_missing", "certain", host.removeprefix("*.")) in names(diagnose(pack(host), resolver, facts=facts))


def test_a_host_that_one_resolver_knows_is_not_missing(resolver):
    behind = Responder({"com": ["SOA"], "example.com": ["SOA"]})
    found = {one.name.value for one in diagnose(pack(HOST), resolver, behind, facts=PARTIAL)}
    assert "host_missing" not in found
    assert "resolvers_disagree" in found


def test_a_host_is_not_called_missing_while_a_resolver_fails(resolver):
    broken = Responder(resolver.records, {"gone.example.com": "servfail"})
    found = {one.name.value for one in diagnose(pack("gone.example.com"), resolver, broken, facts=PARTIAL)}
    assert "host_missing" not in found


def test_an_alias_of_a_name_that_is_gone_does_not_make_the_domain_missing(resolver):
    resolver.records["example.com"] = ["SOA", "CNAME gone.example.net."]
    [found] = [one for one in diagnose(pack("example.com"), resolver, facts=FULL) if one.name == "host_missing"]
    assert found.certainty == "hint"
    assert "alias of gone.example.net" in found.says
