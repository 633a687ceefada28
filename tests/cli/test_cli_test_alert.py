"""``test-alert`` as a person uses it: does what I have configured reach anybody?"""

import pytest

from tests.harness.alerting import Receiver
from watchdog.model.exit_codes import CONFIG_ERROR, NEEDS_A_PERSON, USAGE

NOWHERE = "http://127.0.0.1:1/client/v4"


@pytest.fixture
def hook():
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def config(configure, hook):
    """Four destinations, the last of which nobody is at."""
    port = hook.port
    more = f"""
alerts:
  destinations:
    - {{name: ops, url: "json://127.0.0.1:{port}/s3cr3t"}}
    - {{name: am, alertmanager: "http://127.0.0.1:{port}/am"}}
    - {{name: hook, webhook: "http://127.0.0.1:{port}/s3cr3t", min_severity: critical, reasons: [expired]}}
    - {{name: gone, webhook: "http://127.0.0.1:1/s3cr3t"}}
"""
    return configure(NOWHERE, zones=[{"name": "example.com"}], more=more)


def test_a_test_goes_to_every_destination_whatever_it_wants_to_hear_and_each_is_told_about(command, config, hook):
    done = command("test-alert", "-c", config)
    assert done.code == NEEDS_A_PERSON
    lines = done.out.splitlines()
    assert lines[:3] == ["ok      ops", "ok      am", "ok      hook"]
    assert lines[3].startswith("FAILED  gone: could not connect")
    assert sorted(got.path for got in hook.got) == ["/am/api/v2/alerts", "/s3cr3t", "/s3cr3t"]
    assert "s3cr3t" not in done.out + done.err
    assert all(b"[TEST]" in got.body for got in hook.got)


def test_a_test_may_go_to_one_destination(command, config, hook):
    done = command("test-alert", "hook", "-c", config)
    assert (done.code, done.out) == (0, "ok      hook\n")
    [got] = hook.got
    assert (got.json["status"], got.json["alerts"]) == ("test", [])


def test_a_destination_that_refuses_is_a_failure_that_names_the_status(command, config, hook):
    hook.answers = [(403, {}, b"s3cr3t")]
    done = command("test-alert", "hook", "-c", config)
    assert (done.code, done.out) == (NEEDS_A_PERSON, "FAILED  hook: HTTP 403 Forbidden\n")


def test_a_destination_that_is_not_there_is_wrong_usage(command, config, configure):
    assert "there is ops, am, hook, gone" in command("test-alert", "opps", "-c", config).failed(USAGE)
    none = configure(NOWHERE, zones=[{"name": "example.com"}])
    assert "none is configured under alerts.destinations" in command("test-alert", "-c", none).failed(USAGE)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mailto://s3cr3t:s3cr3t@mail.example?to=a@x.example,b@x.example", "its URL names 2 targets"),
        ("jsons://hooks.example/s3cr3t?verify=no", "turns the check of certificates off"),
        ("nonsense://s3cr3t", "Apprise knows no service for this URL"),
        ("https://api.squadcast.com/v2/incidents/api/s3cr3t", "Apprise cannot close what it opens at Squadcast"),
        ("opsgenie://s3cr3t", "Apprise cannot close what it opens at Opsgenie"),
    ],
)
def test_a_check_of_the_configuration_refuses_what_nothing_could_be_sent_to(command, configure, url, said):
    more = f"\nalerts:\n  destinations: [{{name: ops, url: '{url}'}}]\n"
    config = configure(NOWHERE, zones=[{"name": "example.com"}], more=more)
    error = command("check-config", "-c", config).failed(CONFIG_ERROR)
    assert said in error
    assert "s3cr3t" not in error


def test_a_check_of_the_configuration_sends_nothing(command, config, hook):
    assert command("check-config", "-c", config).code == 0
    assert hook.got == []
