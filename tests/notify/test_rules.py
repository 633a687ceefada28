"""What is worth a word, and what is not yet."""

from datetime import timedelta

import pytest

from tests.harness.builders import NOW, inventory, pack, troubled, zone
from tests.harness.values import replace
from watchdog.model.clock import rfc3339
from watchdog.model.decisions import Decision, Do
from watchdog.model.findings import Certainty, Diagnosis, Finding, FindingName
from watchdog.model.history import History
from watchdog.model.meanings import ALERTS, REASONS
from watchdog.model.packs import UNDEPLOYED, UPLOADED, ManualRecord
from watchdog.model.reasons import Reason, Severity
from watchdog.model.renewal import VALIDATION_TAKES
from watchdog.notify.rules import ALL_WELL, UNHELD_FOR, UNSEEN_FOR, HealthReport, active_alerts, unwatched

DAY = timedelta(days=1)
LONG_AGO = NOW - DAY
RECORD = ManualRecord("TXT", "_acme-challenge.example.com", "token")
MISSING = Finding(
    name=FindingName.TOKEN_MISSING,
    certainty=Certainty.LIKELY,
    host="example.com",
    says="The token is missing.",
    remedy="Add it.",
    record=RECORD,
)
FORBIDS = Finding(
    name=FindingName.CAA_FORBIDS,
    certainty=Certainty.CERTAIN,
    host="",
    says="CAA forbids google.",
    remedy="Allow pki.goog.",
)


PLACED = Finding(
    name=FindingName.TOKENS_PLACED, certainty=Certainty.CERTAIN, host="", says="All are there.", remedy="Nothing."
)


def held(*packs, zones=None, health=ALL_WELL, started_at=LONG_AGO, now=NOW):
    found = active_alerts(inventory(*packs, zones=zones), health, started_at, now)
    return sorted(found.alerts.values(), key=lambda alert: alert.reason)


def reasons(*packs, **more):
    return [str(alert.reason) for alert in held(*packs, **more)]


def decided(reason, status="validation_timed_out", do=Do.LEAVE, **more):
    return pack("p1", status, decision=Decision(do, reason), **more)


def changed(row, *, known=None, **of_pack):
    remembered, history = row
    return replace(remembered, pack=replace(remembered.pack, **of_pack), **(known or {})), history


def diagnosed(row, *findings, at=NOW):
    return changed(row, known={"diagnosis": Diagnosis(at, findings)})


def restarted(times, minutes_ago=10):
    last = NOW - timedelta(minutes=minutes_ago)
    return History(
        attempts=times,
        trouble_since=NOW - timedelta(hours=3),
        last_restart_at=last,
        next_restart_at=last + timedelta(minutes=15),
    )


def certificate(days_left, validity=90, status="active", **more):
    row = pack(more.pop("name", "p1"), status, **more)
    expires_at = NOW + timedelta(days=days_left)
    return changed(row, expires_at=expires_at, uploaded_at=expires_at - timedelta(days=validity) if validity else None)


# ── packs ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_is_said_of_a_fleet_that_is_well():
    assert held(pack("p1"), pack("p2", "pending_validation", decision=Decision(Do.LEAVE, Reason.IN_PROGRESS))) == []


def test_a_pack_that_waits_for_its_next_restart_needs_nobody():
    assert held(troubled()) == []


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (Reason.GAVE_UP, "validation_timed_out"),
        (Reason.CA_REFUSES, "validation_timed_out"),
        (Reason.HELD_BY_DIAGNOSIS, "validation_timed_out"),
        (Reason.NOT_RESTARTABLE, "validation_timed_out"),
        (Reason.CREDENTIAL_REFUSED, "validation_timed_out"),
        (Reason.OTHER_STAGE_TIMED_OUT, "issuance_timed_out"),
        (Reason.NOT_FOUND, "deleted"),
        (Reason.ORDERED_BY_CLOUDFLARE, "validation_timed_out"),
        (Reason.UNKNOWN_STATUS, "quarantined"),
    ],
)
def test_what_nothing_but_a_person_can_mend_is_an_alert(reason, status):
    assert reasons(decided(reason, status)) == [reason]


def test_every_reason_that_needs_a_person_has_an_alert():
    assert {reason for reason in Reason if REASONS[reason].needs_a_person} <= set(ALERTS)


def test_an_alert_says_what_is_known_and_what_to_do():
    row = diagnosed(decided(Reason.HELD_BY_DIAGNOSIS, history=restarted(2)), MISSING, FORBIDS)
    [alert] = held(row)
    assert alert.summary == "example.com: not restarted, since that is certain to fail: CAA forbids google"
    for text in (
        "p1",
        "2 restarts",
        "Allow pki.goog.",
        "You: mend what is named above.",
        "_acme-challenge.example.com TXT token",
        "explain example.com",
    ):
        assert text in alert.body
    assert (alert.records, alert.restarts, alert.since) == ((RECORD,), 2, NOW - timedelta(hours=3))
    assert alert.runbook == "docs/runbooks/held_by_diagnosis.md"


def test_a_restart_that_is_held_since_dns_fails_for_everybody_says_so():
    dark = replace(FORBIDS, name=FindingName.DNS_FAILURE, says="DNS fails for example.com.")
    [alert] = held(diagnosed(decided(Reason.HELD_BY_DIAGNOSIS), dark))
    assert alert.summary == "example.com: not restarted, since that is certain to fail: DNS fails for example.com"


def test_a_validation_that_goes_on_while_dns_fails_for_everybody_needs_nobody_yet():
    dark = replace(FORBIDS, name=FindingName.DNS_FAILURE, says="DNS fails for example.com.")
    assert held(waiting(20, dark)) == []


def test_a_restart_whose_records_a_person_places_is_said_with_the_records():
    row = diagnosed(changed(troubled(history=restarted(2)), status="pending_validation"), MISSING)
    [alert] = held(row)
    assert (alert.reason, alert.stage, alert.records) == (Reason.RECORDS_NEEDED, 2, (RECORD,))
    assert alert.summary == "example.com: needs records placed after 2 restarts"


@pytest.mark.parametrize("minutes", [11, 10])  # what is found at the moment of the restart was looked for before it
@pytest.mark.parametrize("restarts", [1, 2])
def test_a_restart_is_not_said_to_need_records_before_its_own_are_known(minutes, restarts):
    before = NOW - timedelta(minutes=minutes)
    assert held(diagnosed(troubled(history=restarted(restarts)), MISSING, at=before)) == []


def test_the_message_of_another_trouble_does_not_hand_on_records_from_before_the_last_restart():
    row = decided(Reason.HELD_BY_DIAGNOSIS, history=restarted(2))
    [alert] = held(diagnosed(row, MISSING, FORBIDS, at=NOW - timedelta(minutes=11)))
    assert alert.records == ()
    assert RECORD.name not in alert.body


def waiting(minutes, *findings, **more):
    """A pack that waits for its first validation for so long, with what was found of it."""
    row = decided(Reason.IN_PROGRESS, "pending_validation", **more)
    return diagnosed(changed(row, known={"since": NOW - timedelta(minutes=minutes)}), *findings)


@pytest.mark.parametrize(("minutes", "said"), [(14, []), (15, ["records_needed"])])
def test_records_that_a_renewal_waits_for_are_said_once_whoever_places_them_by_a_program_had_the_time(minutes, said):
    alerts = held(waiting(minutes, MISSING))
    assert [alert.reason for alert in alerts] == said
    assert all(alert.records == (RECORD,) for alert in alerts)


@pytest.mark.parametrize(("minutes", "said"), [(14, []), (15, ["held_by_diagnosis"])])
def test_a_validation_that_is_certain_to_fail_is_said_while_it_goes_on(minutes, said):
    alerts = held(waiting(minutes, PLACED, FORBIDS))
    assert [alert.reason for alert in alerts] == said
    assert all("certain to fail: CAA forbids google" in alert.summary for alert in alerts)


def test_it_is_the_same_alert_once_that_validation_has_timed_out():
    [before], [after] = held(waiting(20, FORBIDS)), held(diagnosed(decided(Reason.HELD_BY_DIAGNOSIS), FORBIDS))
    assert before.fingerprint == after.fingerprint


def test_an_authority_that_will_not_issue_is_said_while_the_validation_goes_on():
    assert reasons(waiting(20, replace(MISSING, name=FindingName.CA_REFUSES, host="", record=None))) == ["ca_refuses"]


@pytest.mark.parametrize("name", [FindingName.HTTP_CHALLENGED, FindingName.CA_REFUSES])
def test_what_is_likely_in_the_way_and_stays_until_a_person_mends_it_is_said_before_pending_for(name):
    guarded = replace(MISSING, name=name, says="The page is guarded.", record=None)
    assert reasons(waiting(14, guarded)) == []
    [alert] = held(waiting(15, guarded))
    assert (alert.reason, "The page is guarded" in alert.summary) == (Reason.PENDING_TOO_LONG, True)


def test_what_may_go_away_by_itself_is_not_said_before_pending_for():
    failing = replace(MISSING, name=FindingName.DNS_FAILURE, record=None)
    hint = replace(MISSING, name=FindingName.HTTP_CHALLENGED, certainty=Certainty.HINT, record=None)
    assert reasons(waiting(600, failing, hint)) == []


def test_a_timed_out_pack_has_no_records_to_be_placed():
    assert held(diagnosed(troubled(history=History(trouble_since=NOW)), MISSING)) == []


@pytest.mark.parametrize(("hours", "said"), [(23.9, []), (24, ["pending_too_long"])])
def test_a_pack_that_is_pending_for_pending_for_is_worth_a_word(hours, said):
    row = decided(Reason.IN_PROGRESS, "pending_validation")
    assert reasons(changed(row, known={"since": NOW - timedelta(hours=hours)})) == said


def test_a_deployment_that_people_hold_is_not_pending_too_long():
    row = decided(Reason.IN_PROGRESS, "holding_deployment")
    assert reasons(changed(row, known={"since": NOW - timedelta(days=9)})) == []


def test_two_packs_of_one_identity_are_one_alert():
    two = decided(Reason.GAVE_UP), changed(decided(Reason.GAVE_UP), id="p2")
    assert len(held(*two)) == 1


def test_a_pack_is_the_same_when_a_restart_changed_its_id():
    [before], [after] = held(decided(Reason.GAVE_UP)), held(changed(decided(Reason.GAVE_UP), id="another"))
    assert before.fingerprint == after.fingerprint


def test_a_pack_in_trouble_is_unwell_whatever_is_said_of_it():
    found = active_alerts(inventory(troubled(history=restarted(3))), ALL_WELL, LONG_AGO, NOW)
    assert (found.alerts, list(found.unwell.values())) == ({}, [3])


# ── certificates that run out ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("validity", "days_left", "severity"),
    [
        (90, 16, None),
        (90, 15, "warning"),
        (90, 1.01, "warning"),
        (90, 1, "critical"),
        (14, 2.1, None),
        (14, 1.9, "warning"),
        (30, 4.1, None),
        (30, 3.9, "warning"),
        (0, 2.1, None),  # not known: as the shortest, for a false alarm each month teaches not to listen
        (0, 1.9, "warning"),
    ],
)
def test_a_certificate_is_worth_a_word_in_the_second_half_of_its_own_renewal_window(validity, days_left, severity):
    found = held(certificate(days_left, validity))
    assert [(alert.reason, alert.severity) for alert in found] == ([("expiring", severity)] if severity else [])


@pytest.mark.parametrize(
    ("life", "days_left", "warned"), [(64, 6.5, True), (64, 7.5, False), (200, 15.4, True), (200, 16, False)]
)
def test_of_a_life_whose_window_nobody_documents_it_is_said_late_rather_than_early(life, days_left, warned):
    assert bool(held(certificate(days_left, life))) == warned


@pytest.mark.parametrize(("hours", "said"), [(47, []), (49, ["expiring"])])
def test_a_wait_that_ends_too_late_for_the_renewal_is_critical_at_once_and_names_another_authority(hours, said):
    waits = Decision(Do.WAIT, Reason.BACKING_OFF, NOW + timedelta(hours=hours))
    dates = {"expires_at": NOW + timedelta(days=3), "uploaded_at": NOW - timedelta(days=11)}  # its window just opens
    row = changed(decided(Reason.BACKING_OFF), known={"decision": waits}, **dates)
    alerts = held(row)
    assert [alert.reason.value for alert in alerts] == said
    for alert in alerts:
        assert alert.severity is Severity.CRITICAL
        assert "comes too late" in alert.summary
        assert "another certificate authority now" in alert.body


def test_an_expired_certificate_is_critical():
    [alert] = held(certificate(-0.1))
    assert (alert.reason, alert.severity) == (Reason.EXPIRED, Severity.CRITICAL)
    assert reasons(decided(Reason.EXPIRED, "expired")) == ["expired"]


def test_a_pack_whose_renewal_fails_is_said_for_both():
    row = changed(decided(Reason.GAVE_UP), expires_at=NOW + timedelta(days=5), uploaded_at=NOW - timedelta(days=85))
    assert reasons(row) == ["expiring", "gave_up"]


def test_a_certificate_that_another_pack_has_replaced_may_run_out():
    old = certificate(-1)
    assert reasons(old, certificate(80, name="p2")) == []
    other_hosts = changed(certificate(80, name="p2"), hosts=("www.example.com",))
    assert reasons(old, other_hosts) == ["expired"]
    more_hosts = changed(certificate(80, name="p2"), hosts=("example.com", "www.example.com"))
    assert reasons(old, more_hosts) == []
    assert reasons(old, certificate(80, name="p2", status="pending_deployment")) == ["expired"]


@pytest.mark.parametrize("status", sorted(UNDEPLOYED))
def test_a_pack_that_is_not_deployed_replaces_none(status):
    assert reasons(certificate(-1), certificate(80, name="p2", status=status)) == ["expired"]


@pytest.mark.parametrize("status", sorted(UNDEPLOYED))
def test_a_pack_that_is_not_deployed_may_run_out(status):
    assert reasons(certificate(-1, status=status), certificate(0.5, name="p2", status=status)) == []


def line(alert, name):
    """The line of an alert's body that begins so."""
    return next(each for each in alert.body.split("\n") if each.startswith(f"{name}: "))


def test_a_certificate_that_cloudflare_may_still_renew_is_said_with_until_when():
    [alert] = held(certificate(10))
    assert line(alert, "Next") == f"Next: Nothing: Cloudflare renews it by itself, until {rfc3339(NOW + 9 * DAY)}."
    assert line(alert, "You").endswith(f"Order another after {rfc3339(NOW + 9 * DAY - VALIDATION_TAKES)}.")


def test_once_it_is_too_late_for_a_renewal_no_deadline_is_named_and_nothing_is_called_well():
    [alert] = held(certificate(0.5))
    assert line(alert, "Next") == "Next: Nothing: Cloudflare renews no certificate in its last 24 hours."
    assert line(alert, "You").startswith("You: order another certificate now")
    assert "healthy" not in alert.body


def test_what_has_run_out_was_valid_and_is_to_be_ordered_now():
    [alert] = held(changed(certificate(-1), known={"decision": Decision(Do.LEAVE, Reason.EXPIRED)}))
    assert "Its certificate was valid until" in alert.body
    assert line(alert, "You").startswith("You: order another certificate now")


@pytest.mark.parametrize("days_left", [0.5, -1])
def test_whoever_is_told_to_order_the_same_hosts_again_is_told_that_cloudflare_takes_no_second_order(days_left):
    [alert] = held(certificate(days_left))
    assert "no second order for exactly the same hosts" in line(alert, "You")


@pytest.mark.parametrize("kind", sorted(UPLOADED))
@pytest.mark.parametrize(
    ("days_left", "severity"), [(31, None), (30, "warning"), (15, "warning"), (14, "critical"), (0.5, "critical")]
)
def test_an_uploaded_certificate_is_said_a_month_ahead_and_critical_for_two_weeks(kind, days_left, severity):
    found = held(changed(certificate(days_left, 365), type=kind))
    assert [(alert.reason, alert.severity) for alert in found] == ([("expiring", severity)] if severity else [])


@pytest.mark.parametrize("days_left", [20, 10, -1])
def test_an_uploaded_certificate_is_to_be_uploaded_anew_by_its_owner(days_left):
    [alert] = held(changed(certificate(days_left, 365), type="sni_custom"))
    assert line(alert, "You").startswith("You: upload a new certificate")
    assert "order" not in alert.body
    assert days_left < 0 or "renewed by its owner" in line(alert, "Next")


@pytest.mark.parametrize(
    ("days_left", "said"), [(10, "proxied"), (0.5, "advanced certificate"), (-1, "no TLS meanwhile")]
)
def test_a_universal_certificate_is_nudged_and_never_restarted(days_left, said):
    [alert] = held(changed(certificate(days_left), type="universal"))
    assert said in line(alert, "You")
    assert "proxy of its records off and on" in line(alert, "You")
    assert "restart" not in line(alert, "You")


def test_what_is_going_away_may_run_out():
    assert reasons(certificate(-1, status="deleted", decision=Decision(Do.LEAVE, Reason.GOING_AWAY))) == []


# ── zones ────────────────────────────────────────────────────────────────────────────────────────────────────────


def unseen(minutes, reason="unseen"):
    return replace(zone(error="list_packs: HTTP 502", reason=reason), seen_at=NOW - timedelta(minutes=minutes))


SEEN = zone("other.example")


@pytest.mark.parametrize(("minutes", "said"), [(14, []), (15, [("unseen", timedelta(minutes=30))])])
def test_a_zone_is_said_when_it_is_unseen_half_an_hour_longer_than_usual(minutes, said):
    assert [(alert.reason, alert.patience) for alert in held(zones=[unseen(minutes), SEEN])] == said


@pytest.mark.parametrize(("minutes", "said"), [(29, ["unseen", "unseen"]), (30, ["cloudflare_failing"])])
def test_when_no_zone_at_all_is_seen_that_is_one_alert_about_cloudflare(minutes, said):
    zones = [unseen(minutes), replace(unseen(minutes + 9), label="b.example"), unseen(1, "credential_refused")]
    found = held(zones=zones[:2], health=HealthReport(discovery={"main": (Reason.UNSEEN, "list_zones: HTTP 502")}))
    assert [str(alert.reason) for alert in found if not alert.subject.startswith("discovery")] == said
    assert reasons(zones=zones) == sorted(["credential_refused", *said])  # whose zone says nothing of the others


def test_an_alert_about_cloudflare_says_since_when_why_and_what_to_do():
    [alert] = held(zones=[unseen(45)])
    assert alert.summary == "no zone was seen since 2026-11-24T11:15:00Z: Cloudflare's API cannot be reached, or fails"
    assert alert.since == NOW - timedelta(minutes=45)
    for text in ("None of 1 zones", "list_packs: HTTP 502", "tried again by itself", "name resolution"):
        assert text in alert.body


def test_one_zone_that_is_seen_or_was_not_asked_for_yet_speaks_for_cloudflare():
    assert reasons(zones=[unseen(60), replace(unseen(40), label="b.example", error="")]) == ["unseen"]


def test_a_refused_credential_and_a_missing_zone_are_said_at_once():
    [alert] = held(zones=[unseen(99, "credential_refused")])
    assert (alert.reason, alert.severity) == (Reason.CREDENTIAL_REFUSED, Severity.CRITICAL)
    assert "list_packs: HTTP 502" in alert.body  # Cloudflare's refusal names the permission
    assert reasons(zones=[unseen(99, "not_found")]) == ["not_found"]


def test_a_start_after_a_long_stop_does_not_find_every_zone_unseen():
    old = replace(zone(), seen_at=NOW - timedelta(days=3))
    assert reasons(zones=[old], started_at=NOW - timedelta(minutes=44)) == []
    assert reasons(zones=[old], started_at=NOW - timedelta(minutes=45)) == ["unseen"]


def test_a_zone_that_was_never_seen_has_its_time():
    never = replace(unseen(1), seen_at=None)
    [alert] = held(zones=[never], started_at=NOW)
    assert alert.patience == timedelta(minutes=45)


# ── the watchdog itself ──────────────────────────────────────────────────────────────────────────────────────────


def test_the_watchdogs_own_troubles_are_alerts():
    health = HealthReport(
        state_error="the disk is full",
        config_error="x.yaml:1: is wrong",
        overdue_since=LONG_AGO,
        discovery={"main": (Reason.UNSEEN, "list_zones: HTTP 502")},
        state_lost="kept",
    )
    found = held(health=health)
    assert [str(alert.reason) for alert in found] == [
        "config_refused",
        "pass_overdue",
        "state_lost",
        "state_unwritable",
        "unseen",
    ]
    assert len({alert.subject for alert in found}) == len(found)  # or the end of one would be taken for the other


def test_an_account_that_no_replica_works_is_one_critical_alert_after_a_while():
    [alert] = held(health=HealthReport(unheld={"main": LONG_AGO}))
    assert (alert.reason, alert.severity, alert.patience) == ("account_unheld", "critical", UNHELD_FOR)
    assert (alert.account, "account main" in alert.summary) == ("", True)  # it is told by who tells of the watchdog


def test_a_pass_that_hangs_in_another_replica_is_a_critical_alert_and_one_of_our_own_comes_first():
    elsewhere = "replica two: a pass has not ended since 2026-11-24T12:00:00Z"
    [alert] = held(health=HealthReport(overdue_elsewhere=elsewhere))
    assert (alert.reason, alert.severity, alert.account) == ("pass_overdue", "critical", "")
    assert alert.body.startswith(elsewhere)
    [own] = held(health=HealthReport(overdue_elsewhere=elsewhere, overdue_since=LONG_AGO))
    assert "another" not in own.summary


def test_who_does_not_tell_of_the_watchdog_tells_of_each_zone_that_is_not_seen():
    found = inventory(zones=[unseen(45)])
    health = HealthReport(state_error="full")
    told = active_alerts(found, health, LONG_AGO, NOW, own=False).alerts.values()
    assert [str(alert.reason) for alert in told] == ["unseen"]


def test_a_credential_that_may_not_list_zones_is_refused_and_the_text_names_the_permission():
    error = "list_zones: HTTP 403; the credential lacks the permission Zone / Zone / Read"
    [alert] = held(health=HealthReport(discovery={"main": (Reason.CREDENTIAL_REFUSED, error)}))
    assert (alert.reason, alert.severity, alert.patience) == ("credential_refused", "critical", timedelta(0))
    assert "Zone / Zone / Read" in alert.body


def test_an_account_without_a_zone_to_watch_is_told_once_that_has_lasted():
    error = "the credential sees no zone"
    [alert] = held(health=HealthReport(discovery={"main": (Reason.NOT_FOUND, error)}))
    assert (alert.summary, alert.patience) == ("account main: it has no zone to watch", UNSEEN_FOR)
    assert alert.body.startswith("the credential sees no zone.\nYou: give its credential access to the zones")


def test_a_credential_that_may_read_and_not_restart_is_refused_and_the_text_names_the_permission():
    error = "restart_validation: HTTP 403; the credential lacks the permission Zone / SSL and Certificates / Edit"
    row = decided(Reason.CREDENTIAL_REFUSED, do=Do.WAIT, history=History(trouble_since=LONG_AGO, last_error=error))
    [alert] = held(row)
    assert alert.summary == "example.com: Cloudflare does not let this credential restart it"
    assert "Zone / SSL and Certificates / Edit" in alert.body
    assert (alert.severity, alert.since) == ("critical", LONG_AGO)


def test_what_is_not_in_the_inventory_cannot_be_said_to_be_well():
    gave_up = decided(Reason.GAVE_UP)
    alerts = [*held(gave_up), *held(zones=[unseen(99), SEEN])[-1:], *held(health=HealthReport(state_error="full"))]
    assert unwatched(alerts, inventory(gave_up)) == frozenset()
    assert unwatched(alerts, inventory()) == {alerts[0].fingerprint}
    assert unwatched(alerts, inventory(zones=[])) == {alerts[0].fingerprint, alerts[1].fingerprint}
    going = changed(gave_up, status="deleted")
    assert unwatched(alerts, inventory(going)) == {alerts[0].fingerprint}
