"""Who needs a person: one rule for alerts, rows and the exit code of ``once``; and not for what nobody is served."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.builders import NOW, TROUBLED, inventory, pack, troubled, zone
from tests.harness.values import replace, rows_of
from watchdog.model.decisions import Decision, Do
from watchdog.model.findings import Certainty, Diagnosis, Finding, FindingName
from watchdog.model.history import UNTROUBLED
from watchdog.model.meanings import REASONS
from watchdog.model.reasons import Reason, Severity
from watchdog.notify.rules import ALL_WELL, active_alerts

EXPIRED = Decision(Do.LEAVE, Reason.EXPIRED)


def ending(days, row):
    known, history = row
    return replace(known, pack=replace(known.pack, expires_at=NOW + timedelta(days=days))), history


def test_a_healthy_fleet_needs_nobody():
    assert not inventory(pack()).needs_a_person()


def test_a_zone_that_was_not_seen_needs_a_person():
    assert inventory(zones=[zone(error="list_packs: HTTP 502")]).needs_a_person()


@pytest.mark.parametrize(("days", "needed"), [(60, False), (1, True), (0, True), (-1, True)])
def test_a_certificate_in_use_that_cannot_be_renewed_any_more_needs_a_person_though_a_restart_is_to_come(days, needed):
    assert inventory(ending(days, troubled())).needs_a_person() is needed


def test_an_expired_pack_that_a_deployed_one_has_replaced_needs_nobody():
    old, new = ending(-1, pack("p1", "expired", decision=EXPIRED)), ending(80, pack("p2"))
    assert inventory(old).needs_a_person()
    assert not inventory(old, new).needs_a_person()


@pytest.mark.parametrize("status", ["backup_issued", "staging_active", "pending_deployment"])
def test_an_undeployed_pack_stands_in_for_no_expired_one(status):
    old, new = ending(-1, pack("p1", "expired", decision=EXPIRED)), ending(80, pack("p2", status))
    assert inventory(old, new).needs_a_person()


def test_a_backup_that_has_run_out_needs_nobody():
    assert not inventory(ending(-1, pack("p1", "backup_issued"))).needs_a_person()


def test_a_pack_that_needs_a_person_for_another_reason_needs_one_though_it_was_replaced():
    gave_up = Decision(Do.GIVE_UP, Reason.GAVE_UP)
    assert inventory(ending(-1, troubled("p1", decision=gave_up)), ending(80, pack("p2"))).needs_a_person()


DECISIONS = [Decision(Do(REASONS[reason].decided or "leave"), reason) for reason in Reason]
STATUSES = ("active", "backup_issued", "validation_timed_out", "pending_validation", "expired", "deleted")
fleets = st.lists(
    st.tuples(
        st.sampled_from(STATUSES),
        st.sampled_from(DECISIONS),
        st.sampled_from([UNTROUBLED, TROUBLED]),
        st.sampled_from([-1, 0.5, 3, 10, 29, 60]),
        st.sampled_from(["advanced", "universal", "sni_custom"]),
        st.sampled_from([0, 23, 25]),
    ),
    min_size=1,
    max_size=6,
)


@given(fleets)
def test_a_row_needs_a_person_exactly_while_an_alert_of_at_least_warning_holds_about_its_pack(fleet):
    rows, universal = [], 0
    for number, (status, decision, tried, days, kind, hours) in enumerate(fleet):
        universal += kind == "universal"
        known, history = ending(days, pack(f"p{number}", status, decision=decision, history=tried))
        since = NOW - timedelta(hours=hours)
        # An authority of its own, and one universal pack alone: packs of one identity share one alert.
        kind = "total_tls" if kind == "universal" and universal > 1 else kind  # noqa: PLW2901  as said
        found = replace(known.pack, type=kind, certificate_authority=f"authority {number}")
        rows.append((replace(known, pack=found, since=since), history))
    found = inventory(*rows)
    alerts = active_alerts(found, ALL_WELL, NOW, NOW).alerts.values()
    grave = {alert.pack_id for alert in alerts if alert.severity is not Severity.INFO}
    assert {row["pack_id"] for row in rows_of(found)["packs"] if row["needs_person"]} == grave


@given(fleets)
def test_a_row_has_the_severity_of_the_gravest_alert_about_its_pack(fleet):
    rows = [
        ending(days, pack(f"p{number}", status, decision=decision, history=history))
        for number, (status, decision, history, days, *_) in enumerate(fleet[:1])
    ]
    found = inventory(*rows)
    gravest = max(
        (alert.severity.rank for alert in active_alerts(found, ALL_WELL, NOW, NOW).alerts.values()),
        default=None,
    )
    [row] = rows_of(found)["packs"]
    assert (row["severity"] and Severity(row["severity"]).rank) == gravest


def test_a_row_says_what_a_person_does_next_where_one_is_needed_and_what_the_watchdog_does_where_none_is():
    gave_up = Decision(Do.GIVE_UP, Reason.GAVE_UP)
    mine, its = rows_of(inventory(troubled("p1", decision=gave_up), troubled("p2")))["packs"]
    assert mine["next_step"].startswith("Find out why its validation fails")
    assert (
        its["next_step"]
        == "It is restarted at the first look after 2026-11-24T12:15:00Z, if it is still timed out then."
    )


@pytest.mark.parametrize(
    ("minutes", "says"),
    [(15, "A restart of it has begun; the next one follows after 2026-11-24T12:15:00Z at the earliest."), (0, None)],
)
def test_a_row_says_that_a_restart_has_begun_though_its_process_may_have_been_killed_since(minutes, says):
    known, history = troubled("p1", decision=Decision(Do.RESTART, Reason.VALIDATION_TIMED_OUT))
    [row] = rows_of(inventory((known, replace(history, next_restart_at=NOW + timedelta(minutes=minutes)))))["packs"]
    assert row["next_step"] == (says or REASONS[Reason.VALIDATION_TIMED_OUT].next_step)


def test_a_row_says_how_to_mend_what_holds_a_restart():
    known, history = troubled("p1", decision=Decision(Do.LEAVE, Reason.HELD_BY_DIAGNOSIS))
    forbids = Finding(
        name=FindingName.CAA_FORBIDS,
        certainty=Certainty.CERTAIN,
        host="",
        says="CAA forbids.",
        remedy="Allow pki.goog.",
    )
    [row] = rows_of(inventory((replace(known, diagnosis=Diagnosis(NOW, (forbids,))), history)))["packs"]
    assert row["next_step"] == "Allow pki.goog."


@pytest.mark.parametrize(("name", "said"), [(FindingName.CA_RATE_LIMITED, True), (FindingName.CA_INTERNAL, False)])
def test_a_row_says_that_it_is_a_limit_of_the_authority_that_is_waited_for(name, said):
    known, history = troubled("p1")
    limit = Finding(name=name, certainty=Certainty.LIKELY, host="", says="Rate limited.", remedy="Wait.")
    [row] = rows_of(inventory((replace(known, diagnosis=Diagnosis(NOW, (limit,))), history)))["packs"]
    assert row["next_step"].endswith("It waits for a limit of its authority; another one would issue at once.") is said


@pytest.mark.parametrize("reason", [reason for reason in Reason if REASONS[reason].pack])
def test_the_table_of_reasons_calls_a_person_for_what_is_at_least_a_warning(reason):
    meaning = REASONS[reason]
    assert meaning.needs_a_person is (meaning.severities[-1] is not Severity.INFO)
