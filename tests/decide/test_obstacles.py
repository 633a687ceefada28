from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.values import replace
from watchdog.decide.checks import Case, RestartRules
from watchdog.decide.policy import decide
from watchdog.model import packs
from watchdog.model.decisions import Decision, Do
from watchdog.model.findings import OBSTACLES, Certainty, Finding, FindingName, Limit, obstacle, placed, to_place
from watchdog.model.history import UNTROUBLED, History
from watchdog.model.meanings import REASONS
from watchdog.model.packs import ManualRecord, Pack
from watchdog.model.reasons import VALIDATION_REASONS, Reason

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
RULES = RestartRules(max_attempts=3)
PACK = Pack(
    id="p",
    zone_id="z",
    type="advanced",
    status="validation_timed_out",
    hosts=("a.example",),
    certificate_authority="google",
)


def finding(name: FindingName, certainty: Certainty = Certainty.CERTAIN, record: ManualRecord | None = None) -> Finding:
    return Finding(name=name, certainty=certainty, host="a.example", says="It is so.", remedy="Do this.", record=record)


def case(
    *findings: Finding,
    failed_for: Reason | None = None,
    pack: Pack = PACK,
    history: History = UNTROUBLED,
    limit: Limit | None = None,
) -> Case:
    return Case(pack=pack, history=history, rules=RULES, now=NOW, failed_for=failed_for, findings=findings, limit=limit)


@pytest.mark.parametrize("name", FindingName)
def test_only_what_no_restart_can_pass_holds_one_and_only_where_it_is_certain(name):
    for certainty in Certainty:
        held = certainty is Certainty.CERTAIN and name in OBSTACLES | {FindingName.DNS_FAILURE}
        expected = Decision(Do.LEAVE, Reason.HELD_BY_DIAGNOSIS) if held else decide(case())
        assert decide(case(finding(name, certainty))) == expected


@pytest.mark.parametrize(("hours", "expected"), [(4, Do.LEAVE), (3, Do.RESTART), (1, Do.RESTART)])
def test_a_domain_whose_dns_fails_for_every_resolver_is_tried_shortly_before_a_restart_comes_too_late(hours, expected):
    late = timedelta(hours=24, minutes=5)  # before its end: then it is too late
    pack = replace(PACK, expires_at=NOW + late + timedelta(hours=hours), uploaded_at=NOW - timedelta(days=85))
    dark = finding(FindingName.DNS_FAILURE)
    assert decide(case(dark, pack=pack)).do is expected
    assert decide(case(finding(FindingName.CAA_FORBIDS), pack=pack)).do is Do.LEAVE


LATE = timedelta(hours=24, minutes=5)  # before its end: then a restart comes too late
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("left", "waited", "until"),
    [
        (20, 1, 12),  # a wait that is over in time stays as it is
        (10, 1, 7),  # three hours before it would be too late
        (2, 1, None),
        (2, 0.2, 0.05),  # the shortest wait is kept
        (0, 1, 12),  # it is too late
    ],
)
def test_no_wait_goes_past_the_last_chance_of_a_renewal(left, waited, until):
    tried = History(attempts=1, last_restart_at=NOW - waited * HOUR, next_restart_at=NOW + 12 * HOUR)
    pack = replace(PACK, expires_at=NOW + LATE + left * HOUR, uploaded_at=NOW - timedelta(days=85))
    expected = decide(case()) if until is None else Decision(Do.WAIT, Reason.BACKING_OFF, NOW + until * HOUR)
    assert decide(case(history=tried, pack=pack)) == expected


@pytest.mark.parametrize(
    ("authority", "limit", "hours"),
    [
        ("lets_encrypt", None, 32.6),
        ("google", Limit(refill=24 * HOUR), 23),
        ("google", Limit(retry_at=NOW + 5 * HOUR), 5),
    ],
)
def test_a_limit_of_which_the_authority_says_when_it_ends_is_waited_out_though_a_renewal_is_lost(
    authority, limit, hours
):
    tried = History(attempts=1, last_restart_at=NOW - HOUR, next_restart_at=NOW)
    pack = replace(
        PACK,
        certificate_authority=authority,
        expires_at=NOW + LATE + 4 * HOUR,
        uploaded_at=NOW - timedelta(days=85),
    )
    held = decide(case(failed_for=Reason.CA_RATE_LIMITED, history=tried, pack=pack, limit=limit))
    assert held == Decision(Do.WAIT, Reason.CA_RATE_LIMITED, NOW + hours * HOUR)


@pytest.mark.parametrize("tried", [History(trouble_since=NOW - HOUR), History(attempts=1, last_restart_at=NOW - HOUR)])
def test_a_limit_of_which_nobody_says_when_it_ends_is_tried_in_the_last_hours_of_a_renewal(tried):
    pack = replace(PACK, expires_at=NOW + LATE + 4 * HOUR, uploaded_at=NOW - timedelta(days=85))
    limited = case(failed_for=Reason.CA_RATE_LIMITED, history=tried, pack=pack)
    assert decide(limited) == Decision(Do.WAIT, Reason.CA_RATE_LIMITED, NOW + HOUR)
    assert decide(replace(limited, now=NOW + HOUR)).do is Do.RESTART


def test_the_obstacle_is_found_among_others():
    caa = finding(FindingName.CAA_FORBIDS)
    assert obstacle((finding(FindingName.OTHER), finding(FindingName.CAA_FORBIDS, Certainty.LIKELY), caa)) is caa
    assert obstacle(()) is None


def test_a_refusal_of_the_authority_is_for_a_person_at_once():
    assert decide(case(failed_for=Reason.CA_REFUSES)) == Decision(Do.LEAVE, Reason.CA_REFUSES)


def test_a_rate_limit_is_waited_out_before_any_restart():
    first = History(trouble_since=NOW)
    assert decide(case(failed_for=Reason.CA_RATE_LIMITED, history=first)).until == NOW + timedelta(days=1)
    tried = History(attempts=1, last_restart_at=NOW - timedelta(hours=23), next_restart_at=NOW - timedelta(hours=22))
    held = decide(case(failed_for=Reason.CA_RATE_LIMITED, history=tried))
    assert held == Decision(Do.WAIT, Reason.BACKING_OFF, NOW + timedelta(hours=1))


@pytest.mark.parametrize(
    ("left", "reason"),
    [
        (timedelta(days=3), Reason.BACKING_OFF),  # the wait of a day ends in time for the renewal
        (timedelta(days=2, minutes=5), Reason.BACKING_OFF),
        (timedelta(days=2, minutes=4, seconds=59), Reason.CA_RATE_LIMITED),
        (timedelta(days=1), Reason.CA_RATE_LIMITED),
        (None, Reason.BACKING_OFF),
    ],
)
def test_a_limit_that_is_waited_for_until_it_is_too_late_for_the_renewal_needs_a_person_now(left, reason):
    first = History(trouble_since=NOW)
    pack = replace(PACK, expires_at=None if left is None else NOW + left)
    limit = Limit(refill=timedelta(days=1))
    decided = decide(case(failed_for=Reason.CA_RATE_LIMITED, history=first, pack=pack, limit=limit))
    assert decided == Decision(Do.WAIT, reason, NOW + timedelta(days=1))
    assert REASONS[Reason.CA_RATE_LIMITED].needs_a_person


def test_a_pause_which_no_wait_ends_needs_a_person_at_once_however_much_time_is_left():
    first, pack = History(trouble_since=NOW), replace(PACK, expires_at=NOW + timedelta(days=29))
    limit = Limit(refill=timedelta(days=1), paused=True)
    decided = decide(case(failed_for=Reason.CA_RATE_LIMITED, history=first, pack=pack, limit=limit))
    assert decided == Decision(Do.WAIT, Reason.CA_RATE_LIMITED, NOW + timedelta(days=1))


findings = st.lists(
    st.builds(
        Finding,
        name=st.sampled_from(FindingName),
        certainty=st.sampled_from(Certainty),
        host=st.text(max_size=5),
        says=st.text(max_size=5),
        remedy=st.text(max_size=5),
        record=st.none() | st.just(ManualRecord("TXT", "a", "b")),
    )
).map(tuple)
statuses = st.sampled_from(sorted(packs.KNOWN_STATUSES)) | st.text(max_size=20)
kinds = st.sampled_from(["advanced", "universal"])
reasons = st.none() | st.sampled_from(VALIDATION_REASONS)


@given(findings, statuses, kinds, reasons)
def test_no_combination_of_findings_makes_a_pack_restart_that_would_not_without_them(found, status, kind, reason):
    pack = replace(PACK, status=status, type=kind)
    with_them, without = decide(case(*found, failed_for=reason, pack=pack)), decide(case(pack=pack))
    assert with_them == without or (without.do is Do.RESTART and with_them.do is not Do.RESTART)
    if status in packs.HEALTHY:
        assert with_them.do is Do.LEAVE


@given(findings)
def test_records_to_place_are_told_once_each(found):
    assert to_place(found) in ((), (ManualRecord("TXT", "a", "b"),))
    assert placed(found) == (FindingName.TOKENS_PLACED in {one.name for one in found})
