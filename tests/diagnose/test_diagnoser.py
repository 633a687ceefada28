import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.dns import FULL, NOW, PARTIAL, SHORT, TXT, Responder, diagnose, names, pack, story
from watchdog.decide.checks import Case, RestartRules
from watchdog.decide.policy import decide
from watchdog.diagnose import caa
from watchdog.diagnose.diagnoser import PackDiagnoser
from watchdog.diagnose.resolvers import system_resolvers
from watchdog.model.findings import Certainty, obstacle
from watchdog.model.history import UNTROUBLED
from watchdog.model.packs import HttpToken, ManualRecord, Pack, Validation, ZoneFacts


@pytest.mark.repeats
def test_a_pass_over_hundreds_of_packs_asks_each_resolver_each_question_once(resolver):
    packs = [pack(f"{n % 60}.example.com", f"*.{n % 60}.example.com", "www.example.com") for n in range(300)]
    other = Responder(resolver.records)

    async def tell(diagnoser: PackDiagnoser) -> object:
        return await asyncio.gather(*(diagnoser.diagnose(one, PARTIAL) for one in packs))

    found = story(tell, resolver, other, timeout=timedelta(seconds=20))
    assert all(findings for findings in found)
    for one in (resolver, other):
        assert one.asked.total() > 120
        assert set(Counter(one.asked).values()) == {1}


def test_the_next_pass_asks_anew(resolver):
    async def tell(diagnoser: PackDiagnoser) -> object:
        before = await diagnoser.diagnose(pack("www.example.com"), FULL)
        resolver.records["example.com"] += ['CAA 0 issue "pki.goog"']
        again = await diagnoser.diagnose(pack("www.example.com"), FULL)
        diagnoser.begin_pass()
        return before, again, await diagnoser.diagnose(pack("www.example.com"), FULL)

    before, again, anew = story(tell, resolver)
    assert before == again == ()
    assert [one.name for one in anew] == ["caa_forbids"]


def test_a_diagnosis_ends_at_its_deadline_with_what_was_found_by_then(resolver):
    # Every level of this host's name fails in its own time, one after the other: a climb that takes too long.
    deep = ".".join("abcdefghij") + ".example.com"
    resolver.records |= {deep: ["A 192.0.2.1"]}
    behind = Responder(resolver.records, {"example.com": "drop"})

    async def tell(diagnoser: PackDiagnoser) -> object:
        began = asyncio.get_running_loop().time()
        found = await diagnoser.diagnose(pack(deep, validation_errors=("boom",)), PARTIAL)
        assert asyncio.get_running_loop().time() - began == pytest.approx(diagnoser.deadline.total_seconds())
        return found

    found = story(tell, resolver, behind, timeout=SHORT)
    assert {"other", "delegation_missing", "incomplete"} <= {one.name.value for one in found}


def test_a_pack_whose_diagnosis_is_done_does_not_wait_for_one_that_hangs(resolver):
    resolver.records |= {"slow.test": ["SOA"]}
    resolver.odd["slow.test"] = "drop"

    async def tell(diagnoser: PackDiagnoser) -> object:
        slow = asyncio.create_task(diagnoser.diagnose(pack("slow.test")))
        quick = await diagnoser.diagnose(pack("www.example.com"), PARTIAL)
        return quick, slow.done(), await slow

    quick, slow_done, slow = story(tell, resolver, timeout=timedelta(seconds=1))
    assert not slow_done
    assert names(quick) == {("delegation_missing", "likely", "www.example.com")}
    assert names(slow) == {("dns_timeout", "hint", "slow.test")}


def test_a_diagnosis_that_is_cancelled_leaves_nothing_behind_and_the_others_their_questions(resolver):
    async def tell(diagnoser: PackDiagnoser) -> object:
        one = asyncio.create_task(diagnoser.diagnose(pack("www.example.com"), PARTIAL))
        two = asyncio.create_task(diagnoser.diagnose(pack("www.example.com"), PARTIAL))
        await asyncio.sleep(0)
        one.cancel()
        await asyncio.gather(one, return_exceptions=True)
        return await two

    assert names(story(tell, resolver)) == {("delegation_missing", "likely", "www.example.com")}


def test_closing_drops_what_is_still_being_asked(resolver):
    resolver.odd["."] = "drop"

    async def tell(diagnoser: PackDiagnoser) -> object:
        under_way = asyncio.create_task(diagnoser.diagnose(pack("www.example.com"), PARTIAL))
        await asyncio.sleep(0.05)
        began = asyncio.get_running_loop().time()
        await diagnoser.close()
        return await under_way, asyncio.get_running_loop().time() - began

    found, took = story(tell, resolver, timeout=timedelta(seconds=30))
    assert took == 0
    assert obstacle(found) is None


def test_a_defect_in_here_is_a_hint_and_not_an_exception(resolver, monkeypatch):
    async def broken(*_: object) -> list:
        raise KeyError("no \x1b[31msuch thing")

    monkeypatch.setattr(caa, "check_caa", broken)
    found = diagnose(pack("www.example.com"), resolver, facts=PARTIAL)
    assert [(one.name, one.certainty) for one in found] == [("delegation_missing", "likely"), ("incomplete", "hint")]
    assert found[-1].says.isprintable()


def test_without_any_resolver_only_what_needs_none_is_found(monkeypatch):
    monkeypatch.setattr("watchdog.diagnose.diagnoser.system_resolvers", tuple)
    diagnoser = PackDiagnoser((), SHORT, now=lambda: NOW)
    found = asyncio.run(diagnoser.diagnose(pack("www.example.com"), ZoneFacts(status="pending")))
    assert {one.name for one in found} == {"zone_not_active", "incomplete"}


def test_the_systems_resolvers_are_taken_when_none_is_configured():
    for address, port in system_resolvers():
        assert ip_address(address)
        assert port == 53


def test_the_certain_comes_first(resolver):
    resolver.records["example.com"] += ['CAA 0 issue "pki.goog"']
    found = diagnose(pack("gone.example.com", validation_errors=("what?",)), resolver, facts=PARTIAL)
    order = [one.certainty for one in found]
    assert order == sorted(order, key=list(Certainty).index)
    assert len(set(order)) > 1


text = st.text(max_size=30)
names_of_hosts = st.lists(text | st.sampled_from(["*.x.test", "x.test", "x." * 130 + "test", "*.", ".", "ä.test"]))
records = st.lists(st.builds(ManualRecord, st.sampled_from(["TXT", "CNAME"]), text, text)).map(tuple)
validations = st.builds(
    Validation,
    st.sampled_from(["txt", "http", "email", ""]) | text,
    records,
    st.lists(st.builds(HttpToken, text | st.just("http://x.test/.well-known/a"), text)).map(tuple),
    records,
)
packs = st.builds(
    Pack,
    id=text,
    zone_id=text,
    type=text,
    status=st.sampled_from(["validation_timed_out", "pending_validation", "active"]),
    hosts=names_of_hosts.map(tuple),
    certificate_authority=st.sampled_from(["google", "lets_encrypt", "ssl_com", "new"]),
    expires_at=st.none(),
    validation_errors=st.lists(text).map(tuple),
    validity_days=st.integers(0, 400),
    validation=validations,
)
facts = st.builds(
    ZoneFacts,
    name=text | st.just("x.test"),
    type=st.sampled_from(["full", "partial", ""]),
    status=text,
    paused=st.booleans(),
    delegation=text,
)


@settings(max_examples=60)
@given(packs, facts)
def test_no_pack_however_strange_makes_a_diagnosis_raise_or_say_something_unprintable(which, zone):
    found = diagnose(which, Responder({"test": ["SOA"]}), facts=zone, timeout=timedelta(seconds=5))
    assert all(one.says for one in found)
    assert not [one for one in found if "defect" in one.says]


def test_a_certain_obstacle_holds_the_restart_and_its_end_ends_the_hold(resolver):
    which = pack("www.example.com", validation=TXT)

    def decided(found):
        return decide(
            Case(
                pack=which,
                history=UNTROUBLED,
                rules=RestartRules(),
                now=datetime(2026, 1, 1, tzinfo=UTC),
                findings=found,
            )
        )

    resolver.records["example.com"] += ['CAA 0 issue "pki.goog"']
    assert decided(diagnose(which, resolver, facts=FULL)).reason == "held_by_diagnosis"
    resolver.records["example.com"][-1] = 'CAA 0 issue "letsencrypt.org"'
    assert decided(diagnose(which, resolver, facts=FULL)).reason == "validation_timed_out"
