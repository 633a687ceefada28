from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from tests.harness.values import replace
from watchdog.decide.backoff import Backoff
from watchdog.decide.checks import Case, RestartRules
from watchdog.decide.policy import decide
from watchdog.model import packs
from watchdog.model.decisions import Decision, Do
from watchdog.model.history import CAUTIOUS_FOR, UNTROUBLED, History
from watchdog.model.packs import Pack
from watchdog.model.reasons import Reason

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
RULES = RestartRules(max_attempts=3)
PACK = Pack(
    id="p",
    zone_id="z",
    type="advanced",
    status="validation_timed_out",
    hosts=("a.example",),
    certificate_authority="google",
)


def case(
    pack: Pack = PACK, history: History = UNTROUBLED, rules: RestartRules = RULES, free_at: datetime | None = None
) -> Case:
    return Case(pack=pack, history=history, rules=rules, now=NOW, budget_free_at=free_at)


def test_the_first_restart_goes_at_once():
    assert decide(case()) == Decision(Do.RESTART, Reason.VALIDATION_TIMED_OUT)


@pytest.mark.parametrize(("since_due", "does"), [(-1, Do.WAIT), (0, Do.RESTART)])
def test_a_later_one_goes_when_its_wait_is_over_and_not_a_second_earlier(since_due, does):
    history = History(attempts=1, last_restart_at=NOW - MINUTE, next_restart_at=NOW - timedelta(seconds=since_due))
    assert decide(case(history=history)).do is does


@pytest.mark.parametrize(
    ("initial", "lost", "does"),
    [(15, 60, Do.RESTART), (15, 59, Do.WAIT), (15, 0, Do.WAIT), (90, 89, Do.WAIT), (90, 90, Do.RESTART)],
)
def test_after_a_loss_of_the_state_an_hour_passes_or_the_first_wait_where_that_is_longer(initial, lost, does):
    rules = replace(RULES, backoff=Backoff(initial=initial * MINUTE))
    decision = decide(structs.replace(case(rules=rules), lost_at=NOW - lost * MINUTE))
    assert decision.do is does
    if does is Do.WAIT:
        until = NOW - lost * MINUTE + max(CAUTIOUS_FOR, initial * MINUTE)
        assert decision == Decision(Do.WAIT, Reason.STATE_LOST, until)


def test_a_wait_says_until_when():
    due = NOW + MINUTE
    decision = decide(case(history=History(attempts=1, last_restart_at=NOW, next_restart_at=due)))
    assert decision == Decision(Do.WAIT, Reason.BACKING_OFF, due)


@pytest.mark.parametrize(("attempts", "does"), [(2, Do.RESTART), (3, Do.GIVE_UP)])
def test_after_the_last_attempt_it_gives_up(attempts, does):
    history = History(attempts=attempts, last_restart_at=NOW - 60 * MINUTE, next_restart_at=NOW - MINUTE)
    assert decide(case(history=history)).do is does


@pytest.mark.parametrize(("minutes", "does"), [(14, Do.WAIT), (15, Do.GIVE_UP)])
def test_the_last_restart_is_given_its_time_to_show_before_giving_up(minutes, does):
    history = History(attempts=3, last_restart_at=NOW - minutes * MINUTE, next_restart_at=NOW + 600 * MINUTE)
    assert decide(case(history=history)).do is does


def test_given_up_stays_given_up_even_if_attempts_were_raised():
    history = History(attempts=3, gave_up_at=NOW - MINUTE)
    assert decide(case(history=history, rules=replace(RULES, max_attempts=99))).reason is Reason.GAVE_UP


def test_the_hourly_budget_holds_a_restart_back():
    assert decide(case(free_at=NOW + MINUTE)) == Decision(Do.WAIT, Reason.OVER_BUDGET, NOW + MINUTE)
    assert decide(case(free_at=NOW)).do is Do.RESTART


def test_hands_off_when_disabled():
    assert decide(case(rules=replace(RULES, enabled=False))).reason is Reason.DISABLED


def test_a_pack_that_is_not_advanced_is_left_to_a_person():
    assert decide(case(replace(PACK, type="universal"))) == Decision(Do.LEAVE, Reason.NOT_RESTARTABLE)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("active", Reason.HEALTHY),
        ("pending_validation", Reason.IN_PROGRESS),
        ("issuance_timed_out", Reason.OTHER_STAGE_TIMED_OUT),
        ("deleted", Reason.GOING_AWAY),
        ("expired", Reason.EXPIRED),
        ("pending_expiration", Reason.EXPIRING),
        ("something_new", Reason.UNKNOWN_STATUS),
        ("", Reason.UNKNOWN_STATUS),
    ],
)
def test_every_other_status_has_its_reason_to_be_left(status, reason):
    assert decide(case(replace(PACK, status=status))) == Decision(Do.LEAVE, reason)


@pytest.mark.parametrize(("expires_in", "reason"), [(0, Reason.EXPIRED), (1, Reason.HEALTHY)])
def test_an_active_pack_whose_certificate_has_run_out_is_expired(expires_in, reason):
    pack = replace(PACK, status="active", expires_at=NOW + timedelta(seconds=expires_in))
    assert decide(case(pack)).reason is reason


@pytest.mark.parametrize("status", ["backup_issued", "staging_active"])
def test_an_undeployed_certificate_may_run_out(status):
    assert decide(case(replace(PACK, status=status, expires_at=NOW))).reason is Reason.HEALTHY


times = st.none() | st.integers(-10_000, 10_000).map(lambda s: NOW + timedelta(seconds=s))
histories = st.builds(
    History,
    attempts=st.integers(0, 12),
    trouble_since=times,
    last_restart_at=times,
    next_restart_at=times,
    gave_up_at=times,
)
statuses = st.sampled_from(sorted(packs.KNOWN_STATUSES)) | st.text(max_size=30)
types = st.sampled_from(["advanced", "universal", "keyless", ""]) | st.text(max_size=20)
rules = st.builds(RestartRules, enabled=st.booleans(), max_attempts=st.integers(1, 10))


@given(statuses, types, histories, rules, times)
def test_nothing_but_an_advanced_pack_in_validation_timed_out_is_ever_restarted(status, kind, history, rule, free_at):
    decision = decide(case(replace(PACK, status=status, type=kind), history, rule, free_at))
    if decision.do is Do.RESTART:
        assert (status, kind) == ("validation_timed_out", "advanced")
        assert rule.enabled
        assert history.gave_up_at is None
        assert history.attempts < rule.max_attempts
        assert history.next_restart_at is None or history.next_restart_at <= NOW
        assert free_at is None or free_at <= NOW


@given(statuses, types, histories, rules, times)
def test_a_wait_is_always_until_a_moment_to_come(status, kind, history, rule, free_at):
    decision = decide(case(replace(PACK, status=status, type=kind), history, rule, free_at))
    assert (decision.do is Do.WAIT) == (decision.until is not None)
    if decision.until is not None:
        assert decision.until > NOW
