from datetime import UTC, datetime, timedelta

import pytest

from tests.harness.values import replace
from watchdog.decide.rechecks import is_due
from watchdog.model.findings import Certainty, Diagnosis, Finding, FindingName, fingerprint
from watchdog.model.packs import HttpToken, ManualRecord, Pack, Validation
from watchdog.model.renewal import CLOSES_BEFORE, VALIDATION_TAKES

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
TOKEN = ManualRecord("TXT", "_acme-challenge.a.example", "t")
STUCK = Pack(
    id="p",
    zone_id="z",
    type="universal",
    status="validation_timed_out",
    hosts=("a.example",),
    validation=Validation("txt"),
)
WAITING = replace(STUCK, type="advanced", status="pending_validation", validation=Validation("txt", (TOKEN,)))
PLACED = Finding(
    name=FindingName.TOKENS_PLACED, certainty=Certainty.CERTAIN, host="", says="All are there.", remedy="Nothing."
)


def asked(ago: timedelta | None, *found: Finding, tokens: str = "") -> Diagnosis:
    return Diagnosis(NOW, found, tokens, None if ago is None else NOW - ago)


@pytest.mark.parametrize(
    ("ago", "due"), [(None, True), (SECOND, False), (8 * HOUR - SECOND, False), (8 * HOUR, True), (-HOUR, True)]
)
def test_a_universal_pack_that_timed_out_is_rechecked_at_once_and_every_eight_hours(ago, due):
    assert is_due(STUCK, asked(ago), NOW) == due
    assert is_due(STUCK, None, NOW)


@pytest.mark.parametrize(
    "pack",
    [
        replace(STUCK, type="advanced"),
        replace(STUCK, type="total_tls"),
        replace(STUCK, type="sni_custom"),
        replace(STUCK, status="active"),
        replace(STUCK, status="issuance_timed_out"),
        replace(STUCK, validation=Validation("")),  # another method would change the order, and none is known
    ],
)
def test_no_other_pack_is_rechecked_without_a_reason(pack):
    assert not is_due(pack, asked(None), NOW)


@pytest.mark.parametrize(("ago", "due"), [(None, True), (HOUR - SECOND, False), (HOUR, True), (-HOUR, True)])
def test_tokens_that_are_placed_are_rechecked_once_an_hour(ago, due):
    assert is_due(WAITING, asked(ago, PLACED, tokens=fingerprint((TOKEN,))), NOW) == due


@pytest.mark.parametrize(
    ("too_late_in", "ago", "due"),
    [
        (2 * HOUR, 20 * MINUTE - SECOND, False),
        (2 * HOUR, 20 * MINUTE, True),
        (3 * HOUR, 59 * MINUTE, True),
        (3 * HOUR + SECOND, 59 * MINUTE, False),
        (3 * HOUR + SECOND, HOUR, True),
        (-2 * HOUR, 59 * MINUTE, False),
    ],
)
def test_in_the_last_hours_of_a_renewal_they_are_rechecked_every_20_minutes(too_late_in, ago, due):
    expires = NOW + too_late_in + VALIDATION_TAKES + CLOSES_BEFORE
    pack = replace(WAITING, expires_at=expires, uploaded_at=expires - timedelta(days=90))
    assert is_due(pack, asked(ago, PLACED, tokens=fingerprint((TOKEN,))), NOW) == due


def test_no_pack_is_rechecked_whose_method_nobody_names():
    nameless = replace(WAITING, validation=Validation("", (TOKEN,)))  # another method would change the order
    assert not is_due(nameless, asked(None, PLACED), NOW)


def test_other_tokens_are_rechecked_when_they_are_placed_and_never_before():
    assert is_due(WAITING, asked(12 * MINUTE, PLACED, tokens="others"), NOW)
    assert not is_due(WAITING, asked(12 * MINUTE, tokens="others"), NOW)
    assert not is_due(WAITING, None, NOW)


def test_checks_that_each_fail_and_bring_other_tokens_are_five_an_hour_at_the_most():
    diagnosis, sent = asked(None, PLACED), []
    for minute in range(60):
        now = NOW + minute * MINUTE
        if is_due(WAITING, diagnosis, now):
            sent.append(now)
            diagnosis = Diagnosis(now, (PLACED,), f"those of {now}", now)
    assert len(sent) == 5


def test_nothing_is_rechecked_while_something_certain_is_in_its_way():
    forbids = replace(PLACED, name=FindingName.CAA_FORBIDS)
    assert not is_due(WAITING, asked(None, PLACED, forbids), NOW)


@pytest.mark.parametrize(("minutes", "due"), [(11, False), (12, True)])
def test_once_an_obstacle_has_gone_the_same_tokens_are_rechecked_before_the_hour_is_over(minutes, due):
    assert is_due(WAITING, asked(timedelta(minutes=minutes), PLACED), NOW) == due


def test_the_tokens_of_pages_count_as_those_of_records_do():
    page = replace(WAITING, validation=Validation("http", http_tokens=(HttpToken("http://a.example/x", "t"),)))
    same = fingerprint(page.validation.every_token)
    other = fingerprint(WAITING.validation.every_token)
    assert [is_due(page, asked(12 * MINUTE, PLACED, tokens=tokens), NOW) for tokens in (same, other)] == [False, True]
