"""After the state was lost: nothing is known of what was restarted just before, so nothing is restarted for an hour."""

import json
from datetime import timedelta
from itertools import pairwise

import pytest

from tests.cycle.test_blast_radius import within_an_hour
from tests.harness.fleet import as_a_daemon, timed_out
from tests.harness.time import in_simulated_time
from tests.state.conftest import confuse
from watchdog.state.database import StateDamaged, StatePutBack

ZONES = {f"z{n}.example": [timed_out(after="1m")] for n in range(5)}
CONFIG = {
    "restart": {"max_per_hour": 4, "backoff": {"jitter": 0}},
    "schedule": {"interval": "2m", "attention_interval": "2m"},
}


def lose(start):
    (start.folder / "state.db").write_bytes(b"nonsense" * 1000)


@in_simulated_time
async def test_backoff_and_budget_hold_over_the_loss_and_over_a_kill_in_the_hour_after_it_and_then_it_goes_on(start):
    async with start(ZONES, config=CONFIG) as fleet:
        await fleet.watch(minutes=4)
        assert len(fleet.patches()) == 4
    lose(start)
    async with start(ZONES, config=CONFIG, world=fleet.world) as fleet:
        await fleet.watch(minutes=20)
        assert len(fleet.patches()) == 4
        rows = [row for zone in ZONES for row in fleet.rows(zone)]
        assert {(row["reason"], row["next_restart_at"]) for row in rows} == {("state_lost", "2026-11-24T13:04:00Z")}
        assert [event.reason for event in fleet.events("restart_held", "z0.example")] == ["state_lost"]
    async with start(ZONES, config=CONFIG, world=fleet.world) as fleet:
        await fleet.watch(hours=3)
        for zone in ZONES:
            assert all(later - earlier >= 15 for earlier, later in pairwise(fleet.patches(zone)))
            assert len(fleet.patches(zone)) >= 1
        assert within_an_hour(fleet.asked("PATCH")) == 4
        assert len(fleet.patches()) == 4 * 4
        assert 64 <= sorted(fleet.patches())[4] <= 66


@in_simulated_time
async def test_people_are_told_while_restarts_are_held_and_when_that_is_over(start, capsys):
    lose(start)
    (start.folder / "state.db.lock").touch()  # a watchdog was here
    async with start(ZONES, config=CONFIG) as fleet, as_a_daemon(fleet) as daemon:
        await fleet.sleep(120)
        [alert] = daemon.pipeline.rows()["alerts"]
        assert (alert["reason"], alert["severity"]) == ("state_lost", "warning")
        assert "state.db.damaged-20261124T120000Z" in alert["body"]
        assert fleet.patches() == []
        await fleet.sleep(3600)
        assert daemon.pipeline.rows()["alerts"] == []
        assert len(fleet.patches()) == 4
    [line] = [json.loads(line) for line in capsys.readouterr().err.splitlines() if '"state_lost"' in line[:90]]
    assert (line["level"], line["restarts_from"]) == ("error", "2026-11-24T13:00:00Z")
    assert line["kept"] == f"{start.folder}/state.db.damaged-20261124T120000Z"


@in_simulated_time
async def test_people_are_told_of_the_longer_wait_where_the_first_backoff_is_longer(start, capsys):
    lose(start)
    (start.folder / "state.db.lock").touch()
    config = {"restart": {"backoff": {"initial": "3h", "jitter": 0}}, "schedule": {"attention_interval": "10m"}}
    async with start({"a.example": [timed_out(after="1m")]}, config=config) as fleet, as_a_daemon(fleet) as daemon:
        await fleet.sleep(2 * 3600)
        [alert] = daemon.pipeline.rows()["alerts"]
        assert "restarted before 2026-11-24T15:00:00Z" in alert["body"]
        assert fleet.patches() == []
        await fleet.sleep(2 * 3600)
        assert len(fleet.patches()) == 1
    assert '"restarts_from": "2026-11-24T15:00:00' in capsys.readouterr().err


@in_simulated_time
async def test_damage_found_while_it_runs_ends_the_daemon_so_that_the_next_start_sets_it_aside(start, capsys):
    async with start(ZONES, config=CONFIG) as fleet:
        with pytest.raises(StateDamaged):  # noqa: PT012 - it ends somewhere in the hour
            async with as_a_daemon(fleet):
                await fleet.sleep(60)
                before = len(fleet.patches())
                confuse(start.folder / "state.db")
                await fleet.sleep(timedelta(hours=1).total_seconds())
        assert len(fleet.patches()) == before == 4
    assert '"event": "state_unwritable", "error": "the state' in capsys.readouterr().err


@in_simulated_time
async def test_a_state_that_is_removed_while_it_runs_ends_the_daemon_and_the_next_start_has_forgotten_nothing(start):
    async with start(ZONES, config=CONFIG) as fleet:
        with pytest.raises(StatePutBack):  # noqa: PT012 - it ends at the next write
            async with as_a_daemon(fleet):
                await fleet.sleep(60)
                before = len(fleet.patches())
                for part in ("", "-wal", "-shm"):
                    (start.folder / f"state.db{part}").unlink()
                await fleet.sleep(timedelta(hours=1).total_seconds())
        assert len(fleet.patches()) == before == 4
    async with start(ZONES, config=CONFIG, world=fleet.world) as fleet:
        await fleet.watch(minutes=10)
        assert sum(row["attempts"] for zone in ZONES for row in fleet.rows(zone)) == 4 + 4
