"""Claims about the one screen about one pack: what is equal is said once, and it is plain which record is which."""

from datetime import timedelta

from tests.harness.builders import NOW
from watchdog.model.clock import rfc3339
from watchdog.tell.explain import explained

HOSTS = ["a.example", "b.example", "*.c.example", "d.example", "e.example", "f.example"]


def row(**more):
    return {
        "zone": "a.example",
        "pack_id": "3822ff90-ea29-44df-9e55-21300bb9419b",
        "type": "advanced",
        "hosts": HOSTS,
        "status": "pending_validation",
        "since": rfc3339(NOW - timedelta(hours=3)),
        "decision": "leave",
        "reason": "in_progress",
        "attempts": 0,
        "last_restart_at": None,
        "expires_at": None,
        "last_error": None,
        "why": None,
        "silenced_until": None,
        "severity": None,
        "next_step": "Nothing.",
        "next": "Nothing.",
        "renewal": None,
        "validation_method": "txt",
        "certificate_authority": "google",
        "findings": [],
        "records": [],
        "journal": [],
        **more,
    }


def missing(host, record):
    name = host.removeprefix("*.")
    says = f"The token is not at _acme-challenge.{name}."
    return {
        "name": "token_missing",
        "certainty": "likely",
        "host": host,
        "says": says,
        "remedy": "Add this TXT record.",
    } | ({"record": record})


def record(number, name="_acme-challenge.a.example"):
    return {"type": "TXT", "name": name, "value": f"{number}" * 64}


def said(width=80, **more):
    return explained(row(**more), NOW, width)


def test_findings_that_are_equal_but_for_their_host_are_said_once():
    text = " ".join(said(findings=[missing(host, None) for host in HOSTS]).split())
    assert text.count("The token is not at _acme-challenge.HOST.") == 1
    assert "likely a.example, b.example, *.c.example and 3 more:" in text


def test_a_finding_of_one_host_names_it_where_it_says_so():
    assert "The token is not at _acme-challenge.b.example." in " ".join(
        said(findings=[missing("b.example", None)]).split()
    )


def test_of_several_records_each_has_a_number_by_which_its_finding_calls_it():
    records = [record(1), record(2)]
    findings = [missing("a.example", records[0]), {**missing("*.a.example", records[1]), "says": "Another is missing."}]
    text = said(findings=findings, records=records)
    assert "Add this TXT record. (record 1 below)" in text
    assert "Add this TXT record. (record 2 below)" in text
    assert "  2  _acme-challenge.a.example\n     TXT  " + "2" * 64 + "\n     for *.a.example" in text


def test_what_is_to_be_copied_is_whole_and_fits_into_80_columns():
    text = said(findings=[missing("a.example", record(1))], records=[record(1)])
    assert f"  _acme-challenge.a.example\n  TXT  {'1' * 64}\n" in f"{text}\n"


def test_what_needs_somebody_stands_first_with_what_to_do():
    text = said(
        why="gave up after 8 restarts", severity="critical", next_step="Find out why.", next="Nothing until then."
    )
    assert text.split("\n\n")[1].startswith("  critical    Gave up after 8 restarts.\n  do          Find out why.\n")


def test_times_are_told_by_the_clock_and_how_far_they_are():
    assert "pending_validation since" in said()
    assert "(3 h ago)" in said()


def test_a_healthy_pack_is_a_screen_of_24_lines_at_most():
    lines = [{"at": rfc3339(NOW), "event": "pack_changed", "reason": None, "detail": "status=active"}] * 5
    assert len(said(status="active", reason="healthy", journal=lines).splitlines()) <= 24


def test_no_line_is_longer_than_the_terminal():
    detail = "attempt=1 next_restart_at=2026-11-24T17:12:29Z status=initializing outcome=accepted " * 3
    lines = [{"at": rfc3339(NOW), "event": "restart_sent", "reason": "restarted", "detail": detail}]
    text = said(findings=[missing(host, record(1)) for host in HOSTS], records=[record(1)], journal=lines)
    assert max(map(len, text.splitlines())) <= 80
