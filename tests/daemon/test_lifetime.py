"""The daemon as its own process: killed, stopped, started twice, on a taken port, to a server that is nowhere."""

import signal
import socket
import time
from datetime import timedelta

import pytest

from tests.harness.fleet import timed_out
from tests.harness.processes import until
from watchdog.simulator.scenario import Fault, pack_id, zone_id
from watchdog.state.store import Store

pytestmark = pytest.mark.process

ZONE = "a.example"
SOON = {"initializing": "0.1s", "timing_out": "0.1s"}


def again_and_again():
    return timed_out("times_out", story={"stages": SOON})


def stored(machine):
    return Store.open(f"sqlite:///{machine.folder}/state.db", exclusive=False)


def test_killed_while_its_patch_is_answered_it_sends_no_second_one_within_the_backoff(machine):
    world = machine.cloudflare({ZONE: [again_and_again()]})
    world.add_fault(Fault(kind="slow", method="PATCH", delay=timedelta(seconds=5), times=1))
    first = machine.run()
    until(lambda: world.restarts, "the PATCH")
    first.signal(signal.SIGKILL)
    assert first.ended() == -signal.SIGKILL

    second = machine.run()
    failed = second.until("restart_failed")
    assert (failed["reason"], failed["pack_id"], failed["attempt"]) == ("outcome_unknown", pack_id(ZONE, 0), 1)
    until(lambda: len(machine.patches()) == 2, "the second PATCH")
    earlier, later = machine.patches()
    assert later.at - earlier.at >= timedelta(seconds=3)
    assert second.until("restart_sent")["attempt"] == 2
    assert second.stop() == 0


def test_sigterm_lets_a_restart_under_way_finish_and_stores_what_became_of_it(machine):
    world = machine.cloudflare({ZONE: [timed_out("succeeds")]})
    world.add_fault(Fault(kind="slow", method="PATCH", delay=timedelta(seconds=1.5)))
    daemon = machine.run()
    until(machine.patches, "the PATCH")
    began = time.monotonic()
    assert daemon.stop() == 0
    assert 1 <= time.monotonic() - began < 20
    assert [line["outcome"] for line in daemon.lines("restart_sent")] == ["accepted"]
    assert [len(daemon.lines(event)) for event in ("stopping", "stopped")] == [1, 1]
    store = stored(machine)
    assert store.open_intents() == []
    assert store.history_of(zone_id(ZONE), pack_id(ZONE, 0)).attempts == 1
    assert "restart_sent" in {line.event for line in store.journal_of(zone_id(ZONE), pack_id(ZONE, 0), 10)}
    store.close()
    assert len(machine.patches()) == 1


def test_a_second_instance_on_the_same_state_ends_with_75_and_one_sentence_and_the_first_goes_on_until_sigint(machine):
    machine.cloudflare({ZONE: [{"status": "active"}]})
    first = machine.run()
    first.until("pass_completed")
    second = machine.run()
    assert second.ended() == 75
    [sentence] = second.output.splitlines()
    assert "only one instance may use it" in sentence
    assert str(first.process.pid) in sentence
    first.until("pass_completed", len(first.lines("pass_completed")) + 2)
    first.signal(signal.SIGINT)
    assert first.ended() == 0


def test_a_port_that_is_taken_ends_it_with_74_and_one_sentence_and_a_later_start_has_it(machine):
    machine.cloudflare({ZONE: [timed_out()]})
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        daemon = machine.run(machine.config(web={"listen": f"127.0.0.1:{port}"}))
        assert daemon.ended() == 74
    [sentence] = daemon.output.splitlines()
    assert sentence.startswith(f"web.listen: cannot listen on 127.0.0.1:{port}: Address already in use")
    assert machine.patches() == []
    machine.run(machine.config(web={"listen": f"127.0.0.1:{port}"})).until("started")


def test_with_a_server_that_is_nowhere_it_goes_on_and_says_which_zones_it_cannot_see(machine):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound and not listening: every connection is refused
        zones = [{"name": ZONE, "id": zone_id(ZONE)}]
        base_url = f"http://127.0.0.1:{nobody.getsockname()[1]}/client/v4"
        daemon = machine.run(machine.config(zones=zones, api={"base_url": base_url}))
        unseen = daemon.until("zone_unseen")
        assert (unseen["zone"], unseen["reason"], unseen["level"]) == (ZONE, "unseen", "error")
        assert "could not connect" in unseen["error"]
        daemon.until("pass_completed", 3)
        assert len(daemon.lines("zone_unseen")) == 1
        assert daemon.get("/readyz").status_code == 200  # it is the watchdog that is ready, not Cloudflare
        failures = 'failures_total{account="main",error_code="connect",operation="list_packs"}'
        [line] = [line for line in daemon.get("/metrics").text.splitlines() if failures in line]
        assert float(line.split()[-1]) >= 1


def test_the_restart_command_takes_a_given_up_pack_up_again_under_the_running_daemon(machine):
    world = machine.cloudflare({ZONE: [again_and_again()]})
    quick = {"backoff": {"initial": "0.5s", "max": "0.5s", "jitter": 0}, "max_attempts": 1}
    daemon = machine.run(machine.config(restart=quick))
    daemon.until("gave_up")
    assert len(machine.patches()) == 1

    held = machine.command("restart", ZONE, pack_id(ZONE, 0))
    assert (held.returncode, held.stderr.strip()) == (1, "held: gave_up; --force overrides this")
    forced = machine.command("restart", ZONE, pack_id(ZONE, 0), "--force")
    assert forced.returncode == 0, forced.stderr
    assert "attempt 1" in forced.stdout
    assert len(world.restarts) == 2
    daemon.until("gave_up", 2)  # the daemon noticed: it counts from one again, and gives up anew
    assert daemon.stop() == 0


def test_the_restart_command_does_not_call_the_daemons_restart_under_way_a_dead_one(machine):
    world = machine.cloudflare({ZONE: [timed_out("succeeds")], "b.example": [{"status": "active"}]})
    world.add_fault(Fault(kind="slow", method="PATCH", zone=ZONE, delay=timedelta(seconds=1.5)))
    daemon = machine.run()
    until(machine.patches, "the PATCH")
    other = machine.command("restart", "b.example", pack_id("b.example", 0))
    assert "can be restarted" in other.stderr
    assert "outcome_unknown" not in other.stderr
    daemon.until("restart_sent")
    assert daemon.stop() == 0
    store = stored(machine)
    assert [line.event for line in store.journal_of(zone_id(ZONE), pack_id(ZONE, 0), 10)].count("restart_failed") == 0
    store.close()
