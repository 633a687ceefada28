import pytest

from tests.harness.dns import FULL, NOW, PARTIAL, TXT, Responder, diagnose, names, pack
from tests.harness.values import replace
from watchdog.model.findings import placed, to_place
from watchdog.model.packs import HttpToken, ManualRecord, Validation, ZoneFacts

NAME = "_acme-challenge.www.example.com"
HOST = "www.example.com"
TARGET = "www.example.com.0123456789abcdef.dcv.cloudflare.com"
DELEGATION = ManualRecord("CNAME", NAME, TARGET)
TOKEN = ManualRecord("TXT", NAME, "t0ken")


def waiting(*tokens: ManualRecord, **more):
    return pack(HOST, status="pending_validation", validation=replace(TXT, tokens=tokens), **more)


def about(found):
    """What is found, without the host."""
    return {(one.name.value, one.certainty.value) for one in found}


# ── delegated ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_delegation_to_the_expected_target_is_well_even_while_the_target_is_empty(resolver):
    resolver.records[NAME] = [f"CNAME {TARGET}."]
    assert diagnose(pack(HOST, status="pending_validation"), resolver, facts=PARTIAL) == ()
    assert diagnose(waiting(TOKEN), resolver, facts=PARTIAL) == ()


def test_where_a_right_delegation_timed_out_the_cause_that_cannot_be_seen_is_named(resolver):
    resolver.records[NAME] = [f"CNAME {TARGET}."]
    [found] = diagnose(pack(HOST), resolver, facts=PARTIAL)
    assert (found.name, found.certainty, found.record) == ("txt_shadows_delegation", "hint", None)
    assert "another Cloudflare account" in found.remedy


def test_the_pack_says_the_expected_target_before_the_zone_does(resolver):
    resolver.records[NAME] = ["CNAME other.fedcba9876543210.dcv.cloudflare.com."]
    offered = ManualRecord("CNAME", NAME, "other.fedcba9876543210.dcv.cloudflare.com")
    told = pack(HOST, status="pending_validation", validation=replace(TXT, delegations=(offered,)))
    assert diagnose(told, resolver, facts=PARTIAL) == ()


def test_a_delegation_to_another_zones_target_is_wrong_and_the_right_record_is_named(resolver):
    resolver.records[NAME] = ["CNAME www.example.com.ffffffffffffffff.dcv.cloudflare.com."]
    [found] = diagnose(pack(HOST), resolver, facts=PARTIAL)
    assert (found.name, found.certainty, found.record) == ("delegation_wrong", "likely", DELEGATION)


def test_without_a_known_target_any_delegation_to_cloudflare_is_taken_for_right(resolver):
    resolver.records[NAME] = ["CNAME www.example.com.ffffffffffffffff.dcv.cloudflare.com."]
    assert diagnose(waiting(), resolver, facts=ZoneFacts(name="example.com", type="partial", status="active")) == ()


def test_a_delegation_whose_target_lacks_its_final_dot_is_told_so(resolver):
    resolver.records[NAME] = [f"CNAME {TARGET}.example.com."]
    [found] = diagnose(pack(HOST), resolver, facts=PARTIAL)
    assert (found.name, found.certainty, found.record) == ("delegation_wrong", "likely", DELEGATION)
    assert "final dot" in found.remedy


def test_an_alias_to_elsewhere_hides_the_tokens(resolver):
    resolver.records[NAME] = ["CNAME validation.other.example."]
    [found] = diagnose(pack(HOST), resolver, facts=FULL)
    assert (found.name, found.certainty, found.host) == ("delegated_elsewhere", "likely", HOST)
    assert "validation.other.example" in found.says


def test_an_alias_to_elsewhere_is_well_where_the_tokens_are_at_its_end(resolver):
    resolver.records |= {NAME: ["CNAME v.other.example."], "v.other.example": ["TXT t0ken"]}
    assert about(diagnose(waiting(TOKEN), resolver, facts=PARTIAL)) == {("tokens_placed", "certain")}


def test_a_wildcard_record_is_not_taken_for_something_at_the_challenged_name(resolver):
    resolver.records["*.www.example.com"] = ["CNAME shop.example.net."]
    resolver.records["shop.example.net"] = ["A 192.0.2.7", 'TXT "v=spf1 -all"']
    assert diagnose(pack(HOST), resolver, facts=FULL) == ()
    assert about(diagnose(pack(HOST), resolver, facts=PARTIAL)) == {("delegation_missing", "likely")}


def test_text_of_a_wildcard_record_is_not_taken_for_an_old_token(resolver):
    resolver.records["*.www.example.com"] = ['TXT "v=spf1 -all"']
    assert about(diagnose(pack(HOST), resolver, facts=PARTIAL)) == {("delegation_missing", "likely")}


@pytest.mark.parametrize("record", ["A 192.0.2.1", "CNAME www.example.com.cdn.cloudflare.net."])
@pytest.mark.parametrize("asked", [waiting(TOKEN), pack(HOST)])
def test_who_places_a_record_is_warned_where_the_host_lives_by_a_wildcard(resolver, record, asked):
    del resolver.records[HOST]
    resolver.records |= {"*.example.com": [record], "www.example.com.cdn.cloudflare.net": ["A 192.0.2.1"]}
    [found] = diagnose(asked, resolver, facts=PARTIAL)
    assert f"First give {HOST} an A, AAAA or CNAME record of its own" in found.remedy


@pytest.mark.parametrize("wildcard", ["*.example.com", "*.www.example.com"])
def test_nobody_is_warned_of_a_wildcard_that_the_host_does_not_live_by(resolver, wildcard):
    resolver.records[wildcard] = ["A 192.0.2.1"]
    [found] = diagnose(waiting(TOKEN), resolver, facts=PARTIAL)
    assert "First give" not in found.remedy


def test_where_it_is_signed_that_a_token_is_not_there_proofs_that_are_too_old_are_named(resolver):
    resolver.validated = True
    [found] = diagnose(waiting(TOKEN), resolver, facts=PARTIAL)
    assert "rectify-zone" in found.remedy
    resolver.validated = False
    [found] = diagnose(waiting(TOKEN), resolver, facts=PARTIAL)
    assert "rectify-zone" not in found.remedy


def test_the_domain_itself_lives_by_no_wildcard(resolver):
    resolver.records["*.example.com"] = ["A 192.0.2.1"]
    assert all("First give" not in one.remedy for one in diagnose(pack("example.com"), resolver, facts=PARTIAL))


def test_a_delegation_whose_target_fails_is_still_seen_and_the_failure_is_told(resolver):
    resolver.records[NAME] = [f"CNAME {TARGET}."]
    resolver.odd[f"{NAME} TXT"] = "servfail"
    assert about(diagnose(pack(HOST), resolver, facts=PARTIAL)) == {("dns_failure", "likely")}
    resolver.records[NAME] = ["CNAME elsewhere.example."]
    found = about(diagnose(pack(HOST), resolver, facts=PARTIAL))
    assert found == {("dns_failure", "likely"), ("delegated_elsewhere", "likely")}


class Asked:
    """Gives the delegation id, and counts how often."""

    def __init__(self):
        self.times = 0

    async def __call__(self):
        self.times += 1
        return PARTIAL.delegation


@pytest.mark.parametrize(
    ("records", "odd"),
    [
        ({NAME: [f"CNAME {TARGET}."]}, {}),
        ({NAME: ["CNAME www.example.com.another0label000.dcv.cloudflare.com."]}, {}),
        ({NAME: ["CNAME validation.other.example."]}, {}),
        ({NAME: ["NS ns1.elsewhere.example."]}, {}),
        ({HOST: ["SOA", "A 192.0.2.1"]}, {}),
        ({NAME: [f"CNAME {TARGET}."]}, {f"{NAME} TXT": "servfail"}),
        ({"*.www.example.com": ["CNAME shop.example.net."], "shop.example.net": ["A 192.0.2.7"]}, {}),
    ],
)
@pytest.mark.parametrize("waits", [False, True])
def test_of_a_full_zone_is_found_what_its_delegation_id_shows_though_that_comes_last(resolver, records, odd, waits):
    resolver.records |= records
    resolver.odd |= odd
    which, asked = waiting(TOKEN) if waits else pack(HOST), Asked()
    known = diagnose(which, resolver, facts=replace(FULL, delegation=PARTIAL.delegation))
    assert (diagnose(which, resolver, facts=FULL, delegation=asked), asked.times) == (known, 1)


@pytest.mark.parametrize("records", [{}, {NAME: ["TXT t0ken"]}, {NAME: ["TXT spent"]}])
def test_the_delegation_id_of_a_full_zone_is_not_asked_for_where_it_shows_nothing(resolver, records):
    resolver.records |= records
    for which in (waiting(TOKEN), pack(HOST)):
        asked = Asked()
        known = diagnose(which, resolver, facts=replace(FULL, delegation=PARTIAL.delegation))
        assert (diagnose(which, resolver, facts=FULL, delegation=asked), asked.times) == (known, 0)


# ── by hand ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_partial_zone_with_nothing_there_is_told_the_cname_that_ends_the_manual_work(resolver):
    [found] = diagnose(pack(HOST), resolver, facts=PARTIAL)
    assert (found.name, found.certainty, found.record) == ("delegation_missing", "likely", DELEGATION)


def test_old_text_at_the_name_of_a_partial_zone_shadows_the_delegation(resolver):
    resolver.records[NAME] = ["TXT spent"]
    [found] = diagnose(pack(HOST), resolver, facts=PARTIAL)
    assert (found.name, found.certainty, found.record) == ("txt_shadows_delegation", "likely", DELEGATION)


def test_a_full_zone_with_nothing_there_is_well_since_cloudflare_places_tokens_itself(resolver):
    assert diagnose(pack(HOST), resolver, facts=FULL) == ()


def test_a_missing_token_of_a_partial_zone_is_named_to_the_letter(resolver):
    [found] = diagnose(waiting(TOKEN), resolver, facts=PARTIAL)
    assert (found.name, found.certainty, found.record) == ("token_missing", "likely", TOKEN)


def test_a_missing_token_of_a_full_zone_is_a_hint_and_nothing_to_place(resolver):
    found = diagnose(waiting(TOKEN), resolver, facts=FULL)
    assert about(found) == {("token_missing", "hint")}
    assert to_place(found) == ()


def test_an_old_token_in_place_of_the_new_one_is_told_apart_from_none(resolver):
    resolver.records[NAME] = ["TXT spent"]
    [found] = diagnose(waiting(TOKEN), resolver, facts=PARTIAL)
    assert (found.name, found.record) == ("token_stale", TOKEN)


def test_quotation_marks_inside_the_value_are_recognised(resolver):
    resolver.records[NAME] = [r'TXT "\"t0ken\""']
    [found] = diagnose(waiting(TOKEN), resolver, facts=PARTIAL)
    assert found.name == "token_stale"
    assert "quotation marks" in found.says


def test_a_token_beside_old_ones_and_split_into_strings_is_seen(resolver):
    resolver.records[NAME] = ["TXT spent", 'TXT "t0" "ken"']
    assert about(diagnose(waiting(TOKEN), resolver, facts=PARTIAL)) == {("tokens_placed", "certain")}


def test_ssl_coms_two_tokens_are_both_wanted(resolver):
    other = ManualRecord("TXT", NAME, "t0ken-ecdsa")
    resolver.records[NAME] = ["TXT t0ken"]
    found = diagnose(waiting(TOKEN, other, certificate_authority="ssl_com"), resolver, facts=PARTIAL)
    assert to_place(found) == (other,)
    assert not placed(found)
    resolver.records[NAME] = ["TXT t0ken", "TXT t0ken-ecdsa"]
    assert placed(diagnose(waiting(TOKEN, other, certificate_authority="ssl_com"), resolver, facts=PARTIAL))


def test_a_wildcard_shares_the_name_of_the_host_it_stands_under(resolver):
    whole = pack("example.com", "*.example.com")
    found = names(diagnose(whole, resolver, facts=PARTIAL))
    assert found == {("delegation_missing", "likely", "example.com")}
    assert resolver.asked["_acme-challenge.example.com", "TXT", "udp"] == 1


def test_tokens_are_placed_only_when_every_resolver_sees_them(resolver):
    resolver.records[NAME] = ["TXT t0ken"]
    behind = Responder({**resolver.records, NAME: []})
    found = diagnose(waiting(TOKEN), resolver, behind, facts=PARTIAL)
    assert not placed(found)
    assert ("token_missing", "hint") in about(found)
    assert ("resolvers_disagree", "hint") in about(found)
    assert to_place(found) == ()
    assert placed(diagnose(waiting(TOKEN), resolver, Responder(resolver.records), facts=PARTIAL))


def test_the_tokens_of_a_validation_that_timed_out_are_spent_and_not_asked_for(resolver):
    spent = pack(HOST, validation=Validation("txt", (TOKEN,)))
    assert to_place(diagnose(spent, resolver, facts=PARTIAL)) == (DELEGATION,)


# ── one record that ends the work ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("zone_type", ["partial", "secondary"])
@pytest.mark.parametrize("there", [[], ["TXT spent"]])
def test_whoever_is_to_place_a_token_is_told_the_one_cname_that_ends_that_work(resolver, zone_type, there):
    resolver.records[NAME] = there
    [found] = diagnose(waiting(TOKEN), resolver, facts=replace(PARTIAL, type=zone_type))
    assert f"{NAME} → {TARGET}" in found.remedy
    assert found.record == TOKEN


@pytest.mark.parametrize(
    ("more", "facts"), [({"type": "universal"}, PARTIAL), ({}, replace(PARTIAL, delegation="")), ({}, FULL)]
)
def test_no_delegation_is_advised_where_there_can_be_none_or_nobody_places_anything(resolver, more, facts):
    [found] = diagnose(waiting(TOKEN, **more), resolver, facts=facts)
    assert "→" not in found.remedy


def test_a_universal_pack_is_never_told_to_delegate(resolver):
    [found] = diagnose(pack(HOST, type="universal"), resolver, facts=PARTIAL)
    assert (found.name, found.record) == ("delegation_missing", None)


# ── below a DNAME ────────────────────────────────────────────────────────────────────────────────────────────────────

AT = "_acme-challenge.www.old.example.com"
THERE = "_acme-challenge.www.example.net"


@pytest.fixture
def renamed(resolver):
    resolver.records["old.example.com"] = ["DNAME example.net."]
    resolver.records["www.example.net"] = ["A 192.0.2.1"]
    return resolver


def below_dname(*tokens, status="pending_validation"):
    return pack("www.old.example.com", status=status, validation=replace(TXT, tokens=tokens))


def test_below_a_dname_the_token_is_asked_for_at_its_target(renamed):
    [found] = diagnose(below_dname(ManualRecord("TXT", AT, "t0ken")), renamed, facts=PARTIAL)
    assert (found.name, found.record) == ("token_missing", ManualRecord("TXT", THERE, "t0ken"))
    assert f"{AT} lies below the DNAME record of old.example.com, where no record can stand" in found.says


def test_below_a_dname_a_token_at_its_target_is_seen(renamed):
    renamed.records[THERE] = ["TXT t0ken"]
    found = diagnose(below_dname(ManualRecord("TXT", AT, "t0ken")), renamed, facts=PARTIAL)
    assert about(found) == {("tokens_placed", "certain")}


def test_below_a_dname_the_delegation_is_asked_for_at_its_target_and_seen_there(renamed):
    target = "www.old.example.com.0123456789abcdef.dcv.cloudflare.com"
    [found] = diagnose(below_dname(status="validation_timed_out"), renamed, facts=PARTIAL)
    assert (found.name, found.record) == ("delegation_missing", ManualRecord("CNAME", THERE, target))
    renamed.records[THERE] = [f"CNAME {target}."]
    assert diagnose(below_dname(), renamed, facts=PARTIAL) == ()
    renamed.records[THERE] = ["CNAME other.test."]
    [found] = diagnose(below_dname(), renamed, facts=PARTIAL)
    assert (found.name, found.record) == ("delegated_elsewhere", ManualRecord("CNAME", THERE, target))


# ── more tokens than one packet holds ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("how", "name"), [("servfail", "dns_failure"), ("drop", "dns_timeout")])
def test_where_nothing_but_txt_fails_at_the_name_old_records_and_tcp_are_named(resolver, how, name):
    resolver.records |= {HOST: ["A 192.0.2.1"], NAME: ["TXT old"]}
    resolver.odd[f"{NAME} TXT"] = how
    [found] = diagnose(waiting(TOKEN), resolver, facts=PARTIAL)
    assert found.name == name
    assert "take old records off" in found.remedy


def test_where_all_fails_at_the_name_tcp_is_not_to_blame(resolver):
    resolver.records |= {HOST: ["A 192.0.2.1"], NAME: ["TXT old"]}
    resolver.odd[NAME] = "servfail"
    [found] = diagnose(waiting(TOKEN), resolver, facts=PARTIAL)
    assert found.name == "dns_failure"
    assert "TCP" not in found.remedy


# ── a doubled name ───────────────────────────────────────────────────────────────────────────────────────────────────

DOUBLED = f"{NAME}.example.com"


def test_a_token_that_was_placed_under_a_doubled_name_is_found_there(resolver):
    resolver.records |= {HOST: ["A 192.0.2.1"], DOUBLED: ["TXT t0ken"]}
    [found] = diagnose(waiting(TOKEN), resolver, facts=PARTIAL)
    assert (found.name, found.record) == ("token_missing", TOKEN)
    assert f"A TXT record is at {DOUBLED} instead" in found.says
    assert "Give it the name _acme-challenge.www alone" in found.remedy


def test_a_delegation_under_a_doubled_name_is_found_there(resolver):
    resolver.records |= {HOST: ["A 192.0.2.1"], DOUBLED: [f"CNAME {TARGET}.example.com."]}
    [found] = diagnose(pack(HOST), resolver, facts=PARTIAL)
    assert (found.name, found.record) == ("delegation_missing", DELEGATION)
    assert f"A CNAME record is at {DOUBLED} instead" in found.says


def test_a_wildcard_record_is_not_taken_for_something_under_a_doubled_name(resolver):
    resolver.records |= {HOST: ["A 192.0.2.1"], NAME: ["TXT old"], "*.example.com": ["TXT anything"]}
    [found] = diagnose(waiting(TOKEN), resolver, facts=PARTIAL)
    assert "instead" not in found.says
    assert resolver.asked[DOUBLED, "TXT", "udp"]


def test_no_doubled_name_is_asked_for_while_the_token_is_there(resolver):
    resolver.records |= {HOST: ["A 192.0.2.1"], NAME: ["TXT t0ken"]}
    assert about(diagnose(waiting(TOKEN), resolver, facts=PARTIAL)) == {("tokens_placed", "certain")}
    assert not any(name == DOUBLED for name, _, _ in resolver.asked)


# ── HTTP first ───────────────────────────────────────────────────────────────────────────────────────────────────────

PROXIED = f"{HOST}.cdn.cloudflare.net"
PAGE = HttpToken(f"http://{HOST}/.well-known/acme-challenge/x", "t0ken")


@pytest.fixture
def proxied(resolver):
    resolver.records |= {HOST: [f"CNAME {PROXIED}."], PROXIED: []}
    return resolver


def renewal(*hosts, pages=(), expires_at=NOW, **more):
    validation = replace(TXT, tokens=(TOKEN,), http_tokens=tuple(pages))
    return pack(*(hosts or (HOST,)), status="pending_validation", validation=validation, expires_at=expires_at, **more)


def test_the_renewal_of_a_proxied_host_asks_for_no_record(proxied):
    found = diagnose(renewal(), proxied, facts=PARTIAL)
    assert about(found) == {("token_missing", "hint")}
    assert to_place(found) == ()
    assert "HTTP first" in found[0].remedy


@pytest.mark.parametrize(
    ("which", "facts"),
    [
        (renewal(expires_at=None), PARTIAL),
        (renewal(HOST, f"*.{HOST}"), PARTIAL),
        (renewal(), replace(PARTIAL, type="secondary")),
    ],
)
def test_a_record_is_asked_for_where_http_does_not_come_first(proxied, which, facts):
    assert to_place(diagnose(which, proxied, facts=facts)) == (TOKEN,)


def test_a_record_is_asked_for_where_the_host_is_not_proxied(resolver):
    assert to_place(diagnose(renewal(), resolver, facts=PARTIAL)) == (TOKEN,)


def test_a_token_page_that_is_seen_to_be_wrong_makes_the_record_needed(proxied):
    proxied.records[PROXIED] = ["A 127.0.0.1"]
    found = diagnose(renewal(pages=[PAGE]), proxied, facts=PARTIAL)
    assert ("http_address_private", "likely") in about(found)
    assert to_place(found) == (TOKEN,)


def test_of_a_pack_that_is_issued_for_the_first_time_no_page_is_looked_at(proxied):
    proxied.records[PROXIED] = ["A 127.0.0.1"]
    assert about(diagnose(renewal(pages=[PAGE], expires_at=None), proxied, facts=PARTIAL)) == {
        ("token_missing", "likely")
    }


# ── cut off ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_name_servers_at_the_challenged_name_cut_it_off(resolver):
    resolver.records[NAME] = ["NS ns1.elsewhere.example."]
    found = [one for one in diagnose(pack(HOST), resolver, facts=FULL) if one.name == "ns_cut"]
    assert [(one.certainty, one.host) for one in found] == [("likely", HOST)]
    assert "ns1.elsewhere.example" in found[0].says


def test_a_zone_of_its_own_between_the_name_and_ours_cuts_it_off(resolver):
    resolver.records[HOST] = ["SOA", "A 192.0.2.1"]
    assert ("ns_cut", "likely", HOST) in names(diagnose(pack(HOST), resolver, facts=FULL))


def test_the_name_servers_of_that_zone_are_named(resolver):
    resolver.records[HOST] = ["SOA", "NS localhost.", "A 192.0.2.1"]
    [found] = [one for one in diagnose(pack(HOST), resolver, facts=FULL) if one.name == "ns_cut"]
    assert "other name servers: localhost" in found.says


def test_name_servers_are_not_asked_for_where_the_answer_for_txt_says_which_zone_it_comes_from(resolver):
    diagnose(pack(HOST), resolver, facts=FULL)
    assert resolver.asked[f"_acme-challenge.{HOST}", "TXT", "udp"] == 1
    assert resolver.asked[f"_acme-challenge.{HOST}", "NS", "udp"] == 0


def test_name_servers_are_asked_for_where_a_resolver_names_no_zone(resolver):
    silent = Responder(resolver.records, {".": "no-soa"})
    diagnose(pack(HOST), resolver, silent, facts=FULL)
    assert silent.asked[f"_acme-challenge.{HOST}", "NS", "udp"] == 1


def test_that_the_zone_itself_lies_in_another_zone_cuts_nothing_off(resolver):
    resolver.records |= {"a.example.com": ["SOA", "A 192.0.2.1"]}
    assert (
        diagnose(pack("a.example.com"), resolver, facts=ZoneFacts(name="a.example.com", type="full", status="active"))
        == ()
    )


def test_nothing_is_found_of_the_host_that_branding_adds_which_is_cloudflares_own(resolver):
    own = "sni.cloudflaressl.com"
    resolver.records[own] = ['CAA 0 issue "digicert.com"']
    branded = pack(HOST, own, status="pending_validation", validation=replace(TXT, tokens=(TOKEN,)))
    resolver.records[NAME] = ["TXT t0ken"]
    found = diagnose(branded, resolver, facts=PARTIAL)
    assert [one.name for one in found] == ["tokens_placed"]
    theirs = ManualRecord("TXT", f"_acme-challenge.{own}", "t")
    shown = replace(branded, validation=replace(TXT, tokens=(TOKEN, theirs)))
    assert [one.name for one in diagnose(shown, resolver, facts=PARTIAL)] == ["tokens_placed"]
