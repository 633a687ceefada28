"""``once --alert``: what people get from a cron job, run after run."""

import json
import sqlite3
from contextlib import closing

import pytest

from tests.harness.alerting import Receiver
from tests.harness.postgresql import postgresql
from watchdog.simulator.scenario import pack_id

FLEET = [{"name": "stuck.example", "packs": [{"status": "deployment_timed_out"}]}]
STUCK = pack_id("stuck.example", 0)


@pytest.fixture
def hook():
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def cron(command, cloudflare, configure, hook):
    """``cron()``: one run; with the world it watches."""
    world = cloudflare(zones=FLEET)
    config = configure(world, more=f"alerts: {json.dumps({'destinations': [{'name': 'hook', 'webhook': hook.url}]})}\n")

    def run(*arguments):
        return command("once", "--alert", *arguments, "-c", config)

    run.world, run.config = world, config
    return run


def told(hook):
    return [(got.json["status"], got.json["reason"], got.json["alerts"][0]["kind"]) for got in hook.got]


def test_people_are_told_once_over_all_runs(cron, hook):
    codes = [cron().code for _ in range(3)]
    assert (codes, told(hook)) == ([1, 1, 1], [("firing", "other_stage_timed_out", "started")])


def test_what_people_get_names_the_zone_and_what_to_do(cron, hook):
    cron()
    [letter] = [got.json for got in hook.got]
    assert letter["title"].startswith("[warning] other_stage_timed_out: stuck.example: deployment_timed_out, which no")
    assert "You: delete the pack and order it anew" in letter["alerts"][0]["body"]


def test_the_end_is_told_too(cron, hook, tmp_path):
    cron()
    cron.world.set_status(STUCK, "active")
    with closing(sqlite3.connect(tmp_path / "state.db")) as state, state:
        state.execute("UPDATE alert_groups SET said_at = said_at - 6 * 60 * 1000000")  # six minutes go by
    assert [cron().code for _ in range(2)] == [0, 0]
    assert [(status, kind) for status, _, kind in told(hook)] == [("firing", "started"), ("resolved", "over")]


def test_what_was_not_accepted_is_told_by_the_next_run_and_said_in_the_log(cron, hook):
    hook.answers.append((503, {}, b""))
    failed = cron()
    assert [line["reason"] for line in failed.lines if line["event"] == "alert_failed"] == ["other_stage_timed_out"]
    assert len(hook.got) == 1
    assert "alert_sent" in cron().events
    assert len(hook.got) == 2
    assert hook.got[0].json["id"] == hook.got[1].json["id"]


def test_a_run_without_it_tells_nobody(cron, command, hook):
    assert command("once", "-c", cron.config).code == 1
    assert hook.got == []


def test_whom_a_run_told_a_daemons_screen_shows(cron, command):
    cron()
    events = command("events", "-o", "json", "-c", cron.config).json["events"]
    assert [each["reason"] for each in events if each["event"] == "alert_sent"] == ["other_stage_timed_out"]


def test_the_heartbeat_is_called(command, cloudflare, configure, hook):
    config = configure(cloudflare(zones=FLEET), more=f"alerts: {{heartbeat_url: '{hook.url}/ping'}}\n")
    command("once", "--alert", "-c", config)
    assert [(got.method, got.path) for got in hook.got] == [("GET", "/ping")]


def test_with_nobody_to_tell_it_says_so_and_does_nothing(command, cloudflare, configure):
    world = cloudflare(zones=FLEET)
    config = configure(world)
    said = command("once", "--alert", "-c", config).failed(78)
    assert said == f"{config}: alerts.destinations: --alert would tell nobody; add one, or leave --alert out"
    assert world.ledger == []


def test_a_dry_run_tells_nobody_since_it_could_not_note_it(cron, hook):
    assert "--dry-run writes nothing" in cron("--dry-run").failed(2)
    assert hook.got == []


@pytest.fixture(scope="module")
def server():
    with postgresql() as server:
        yield server


@pytest.fixture
def shared(cron, server, tmp_path, request):
    """``cron``, over a state in PostgreSQL."""
    own = server.url(f"cron_{abs(hash(request.node.name))}")
    cron.config.write_text(cron.config.read_text().replace(f"sqlite:///{tmp_path / 'state.db'}", own))
    return cron


@pytest.mark.real
def test_people_are_told_once_over_all_runs_where_the_state_is_shared(shared, hook):
    codes = [shared().code for _ in range(3)]
    assert (codes, told(hook)) == ([1, 1, 1], [("firing", "other_stage_timed_out", "started")])


@pytest.mark.real
def test_what_was_not_accepted_is_told_by_the_next_run_where_the_state_is_shared(shared, hook):
    hook.answers.append((503, {}, b""))
    shared()
    shared()
    assert [got.json["id"] for got in hook.got] == [hook.got[0].json["id"]] * 2
