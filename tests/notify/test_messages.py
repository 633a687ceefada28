"""In which words, to whom: one message for one group."""

from datetime import timedelta

import pytest

from tests.harness.builders import T0, alert, notice
from watchdog.model.alerts import Kind, MessageStatus, Notice, Route
from watchdog.model.packs import ManualRecord
from watchdog.model.reasons import Reason, Severity
from watchdog.notify.messages import MOST_CHARACTERS, MOST_NOTICES, messages

EVERYTHING = Route()


def said(*notices, route=EVERYTHING):
    return messages(notices, "ops", route, T0)


def test_one_alert_is_a_message_with_all_that_is_known():
    [message] = said(notice(Kind.STARTED, body="Place this:\nTXT"))
    assert message.status is MessageStatus.FIRING
    assert message.title == "[critical] gave_up: p1: gave_up"
    assert message.body == ("Since 2026-11-24T12:00:00Z.\n\nPlace this:\nTXT\n\nRunbook: docs/runbooks/gave_up.md")


def test_what_lasts_is_said_to_last():
    assert said(notice(Kind.LASTING))[0].title == "[critical] still gave_up: p1: gave_up"


@pytest.mark.parametrize(
    ("reason", "restarts", "title"),
    [
        (Reason.GAVE_UP, 2, "[resolved] gave_up: p1.example: recovered after 3 h, 2 restarts"),
        (Reason.RECORDS_NEEDED, 1, "[resolved] records_needed: p1.example: recovered after 3 h, 1 restart"),
        (Reason.EXPIRING, 0, "[resolved] expiring: p1.example: renewed after 3 h"),
        (Reason.UNSEEN, 0, "[resolved] unseen: p1.example: seen again after 3 h"),
    ],
)
def test_the_end_says_how_long_it_took_and_how_many_restarts(reason, restarts, title):
    [message] = said(Notice(Kind.OVER, alert(reason=reason, restarts=restarts), T0 + timedelta(hours=3)))
    assert (message.status, message.title) == (MessageStatus.RESOLVED, title)


def test_what_is_about_no_zone_is_counted_and_listed_as_what_it_was():
    unheld = [
        alert(
            name,
            Reason.ACCOUNT_UNHELD,
            account="",
            zone="",
            pack_id="",
            summary=f"account {name} is worked by no replica",
        )
        for name in ("one", "two")
    ]
    [message] = said(*(Notice(Kind.OVER, each, T0 + timedelta(minutes=5)) for each in unheld))
    assert message.title == "[resolved] account_unheld: 2 alerts"
    assert "- account one is worked by no replica: a replica works the account again after 5 min" in message.body


def test_what_is_no_longer_watched_is_not_said_to_be_well():
    [message] = said(Notice(Kind.GONE, alert(), T0 + timedelta(minutes=5)))
    assert "no longer watched after 5 min" in message.title


def test_what_is_of_an_account_that_is_configured_no_more_says_so():
    [message] = said(Notice(Kind.GONE, alert(), T0 + timedelta(minutes=5), retired=True))
    assert "no longer configured after 5 min" in message.title


def test_many_packs_of_one_reason_and_account_are_one_message_that_lists_them():
    [message] = said(*(notice(Kind.STARTED, f"p{number:03}", body="b" * 900) for number in range(500)))
    assert message.title == "[critical] gave_up: 500 packs in 500 zones of account main"
    assert "p000: gave_up" in message.body
    assert "… and 485 more" in message.body
    assert (message.total, len(message.notices)) == (500, MOST_NOTICES)
    assert len(message.body) <= MOST_CHARACTERS


def test_many_packs_of_one_zone_name_it_once():
    [message] = said(*(notice(Kind.STARTED, f"p{number}", zone="example.com") for number in range(3)))
    assert message.title == "[critical] gave_up: 3 packs in zone example.com of account main"


def test_what_starts_and_what_is_over_are_two_messages_and_so_are_two_accounts():
    found = said(notice(Kind.STARTED), notice(Kind.OVER, "p2"), notice(Kind.STARTED, "p3", account="other"))
    assert sorted(message.status for message in found) == ["firing", "firing", "resolved"]


def test_the_gravest_message_comes_first_and_the_gravest_alert_first_in_it():
    expiring = [
        notice(Kind.STARTED, name, Reason.EXPIRING, severity=severity)
        for name, severity in [("p1", Severity.WARNING), ("p2", Severity.CRITICAL)]
    ]
    found = said(notice(Kind.STARTED, "p0", Reason.RECORDS_NEEDED), *expiring)
    assert [message.reason for message in found] == ["expiring", "records_needed"]
    assert found[0].severity is Severity.CRITICAL
    assert found[0].notices[0].alert.summary == "p2: expiring"


def test_records_to_place_are_in_the_list():
    record = ManualRecord("TXT", "_acme-challenge.p1.example", "token")
    [message] = said(*(notice(Kind.STARTED, f"p{n}", Reason.RECORDS_NEEDED, records=(record,)) for n in range(2)))
    assert "  _acme-challenge.p1.example TXT token" in message.body


def test_control_characters_from_outside_do_not_travel_on():
    [message] = said(notice(Kind.STARTED, summary="bad \x1b[31mnews\u202e", body="a\x07b\nc"))
    assert "\x1b" not in message.title + message.body
    assert "\u202e" not in message.title + message.body
    assert "a b\nc" in message.body


@pytest.mark.parametrize(
    ("route", "wanted"),
    [
        (Route(), True),
        (Route(Severity.CRITICAL), True),
        (Route(reasons=frozenset({"gave_up"})), True),
        (Route(reasons=frozenset({"expired"})), False),
        (Route(zones=("*.example",)), True),
        (Route(zones=("example.com", "*.test")), False),
    ],
)
def test_a_destination_hears_what_it_wants_to(route, wanted):
    assert bool(said(notice(Kind.STARTED, zone="P1.example"), route=route)) is wanted


@pytest.mark.parametrize("written", ["*.MÜNCHEN.example", "*.xn--mnchen-3ya.example"])
@pytest.mark.parametrize("zone", ["www.münchen.example", "www.xn--mnchen-3ya.example"])
def test_a_destination_hears_of_a_zone_in_whatever_form_either_is_written(written, zone):
    assert said(notice(Kind.STARTED, zone=zone), route=Route(zones=(written.lower(),)))


def test_a_destination_does_not_hear_what_is_less_severe():
    assert said(notice(Kind.STARTED, reason=Reason.UNSEEN), route=Route(Severity.CRITICAL)) == []


def test_what_concerns_no_zone_goes_to_every_destination():
    assert said(notice(Kind.STARTED, reason=Reason.CONFIG_REFUSED, zone="", pack_id=""), route=Route(zones=("a",)))
