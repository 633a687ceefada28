"""Claims about PagerDuty's events, against a receiver that keeps to what Events API v2 takes."""

import asyncio
import json

import pytest

from tests.harness.alerting import Receiver
from tests.harness.builders import T0, alert, message, notice
from watchdog.model.alerts import Kind
from watchdog.model.packs import ManualRecord
from watchdog.model.reasons import Reason, Severity
from watchdog.notify.channel import Undelivered
from watchdog.notify.http import HttpSender
from watchdog.notify.messages import trial_message
from watchdog.notify.pagerduty import MOST_BYTES, PagerDuty

KEY = "planted0planted0planted0planted0"
INVALID = {"status": "invalid event", "message": "Event object is invalid", "errors": [f"bad {KEY}"]}
BAD = (400, {}, json.dumps(INVALID).encode())
TAKEN = (202, {}, b'{"status":"success"}')


@pytest.fixture
def pager():
    with Receiver() as receiver:
        yield receiver


def sent(pager, *messages, path=""):
    """Why each was not delivered, or nothing."""

    async def sending():
        post = HttpSender("certpack-watchdog/test")
        channel, refusals = PagerDuty(KEY, pager.url + path, post), []
        for each in messages:
            try:
                await channel.send(each)
            except Undelivered as why:
                refusals.append(why)
            else:
                refusals.append(None)
        await post.close()
        return refusals

    return asyncio.run(sending())


def told(pager):
    return [(got.json["event_action"], got.json["dedup_key"]) for got in pager.got]


@pytest.mark.parametrize("path", ["", "/", "/v2/enqueue"])
def test_an_alert_opens_an_incident_with_all_that_is_known_of_it(pager, path):
    record = ManualRecord("TXT", "_acme-challenge.p1.example", "token")
    runbooks = "https://wiki.example/dog/"
    news = notice(
        Kind.STARTED, body="what to do", records=(record,), restarts=2, hosts=("p1.example",), runbooks=runbooks
    )
    pager.answers = [TAKEN]
    assert sent(pager, message(1, "pager", news), path=path) == [None]
    [got] = pager.got
    assert (got.method, got.path, got.headers["content-type"]) == ("POST", "/v2/enqueue", "application/json")
    assert got.json == {
        "routing_key": KEY,
        "event_action": "trigger",
        "dedup_key": news.alert.fingerprint,
        "client": "certpack-watchdog",
        "payload": {
            "summary": "p1: gave_up",
            "source": "p1.example",
            "severity": "critical",
            "timestamp": "2026-11-24T12:00:00Z",
            "group": "main",
            "class": "gave_up",
            "component": "id-of-p1",
            "custom_details": {
                "reason": "gave_up",
                "kind": "started",
                "since": "2026-11-24T12:00:00Z",
                "restarts": 2,
                "hosts": ["p1.example"],
                "records": ["_acme-challenge.p1.example TXT token"],
                "text": "what to do",
                "runbook": "https://wiki.example/dog/gave_up.md",
            },
        },
        "links": [
            {"href": "https://wiki.example/dog/gave_up.md", "text": "Runbook: gave_up"},
            {
                "href": "https://dash.cloudflare.com/?to=/:account/:zone/ssl-tls/edge-certificates",
                "text": "Cloudflare's dashboard: certificates of p1.example",
            },
        ],
    }


@pytest.mark.parametrize("kind", [Kind.OVER, Kind.GONE])
def test_its_end_closes_the_same_incident(pager, kind):
    sent(pager, message(1, "pager", notice(Kind.STARTED)), message(2, "pager", notice(kind)))
    assert told(pager) == [("trigger", alert().fingerprint), ("resolve", alert().fingerprint)]
    assert "payload" not in pager.got[1].json


def test_each_alert_of_a_message_is_an_incident_of_its_own(pager):
    news = [notice(Kind.STARTED, f"p{number}") for number in range(3)]
    sent(pager, message(1, "pager", *news))
    assert told(pager) == [("trigger", each.alert.fingerprint) for each in news]


@pytest.mark.parametrize("severity", Severity)
def test_severity_is_pagerdutys(pager, severity):
    sent(pager, message(1, "pager", notice(Kind.WORSE, severity=severity)))
    assert pager.got[0].json["payload"]["severity"] == str(severity)


def test_a_summary_is_never_longer_than_pagerduty_takes(pager):
    sent(pager, message(1, "pager", notice(Kind.STARTED, summary="x" * 5000)))
    assert len(pager.got[0].json["payload"]["summary"]) == 1024


def test_an_event_is_never_larger_than_pagerduty_takes(pager):
    huge = ManualRecord("TXT", "_acme-challenge.p1.example", "x" * 20_000)
    sent(pager, message(1, "pager", notice(Kind.STARTED, records=(huge,) * 500)))
    assert len(pager.got[0].body) <= MOST_BYTES
    assert told(pager) == [("trigger", alert().fingerprint)]


def test_what_pagerduty_calls_invalid_is_hopeless_with_its_reason_and_without_the_key(pager):
    pager.answers = [BAD]
    [refusal] = sent(pager, message(1, "pager", notice(Kind.STARTED)))
    assert refusal.hopeless
    assert str(refusal) == "HTTP 400 Bad Request: Event object is invalid; bad (key)"


def test_an_event_that_is_refused_holds_up_no_other_and_those_are_not_sent_again(pager):
    news = [notice(Kind.STARTED, f"p{number}") for number in range(3)]
    pager.answers = [TAKEN, BAD, TAKEN, BAD]
    told_twice = message(1, "pager", *news)
    refusals = sent(pager, told_twice, told_twice)
    assert [refusal.hopeless for refusal in refusals] == [True, True]
    keys = [each.alert.fingerprint for each in news]
    assert [key for _, key in told(pager)] == [*keys, keys[1]]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_is_refused_for_a_while_goes_on_where_it_stopped(pager, status):
    news = [notice(Kind.STARTED, f"p{number}") for number in range(3)]
    pager.answers = [TAKEN, (status, {"Retry-After": "9"}, b"")]
    told_twice = message(1, "pager", *news)
    refusal, none = sent(pager, told_twice, told_twice)
    assert (refusal.hopeless, refusal.retry_after.total_seconds(), none) == (False, 9, None)
    keys = [each.alert.fingerprint for each in news]
    assert [key for _, key in told(pager)] == [keys[0], keys[1], keys[1], keys[2]]


def test_a_test_opens_an_incident_and_closes_it(pager):
    sent(pager, trial_message("pager", T0))
    name = "certpack-watchdog-test-pager"
    assert told(pager) == [("trigger", name), ("resolve", name)]
    assert pager.got[0].json["payload"]["summary"] == "[TEST] certpack-watchdog: this is a test"


def test_an_alert_about_no_zone_names_the_account_or_the_program(pager):
    own = notice(Kind.STARTED, reason=Reason.CONFIG_REFUSED, account="", zone="", pack_id="")
    sent(pager, message(1, "pager", own))
    payload = pager.got[0].json["payload"]
    assert (payload["source"], "component" in payload, pager.got[0].json["links"]) == ("certpack-watchdog", False, [])
