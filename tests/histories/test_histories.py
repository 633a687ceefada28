"""A history is the same for ever, and the laws would notice. That they are kept whatever happens, ``make test`` and
``make soak`` find in hundreds of histories (``python -m tests.histories``)."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from tests.harness.simulation import plan
from tests.harness.simulation.environment import MortalLoop
from tests.harness.simulation.invariants import Broken, Laws
from tests.harness.simulation.run import History, play
from watchdog.decide import checks, policy
from watchdog.model.history import History as Tried


@pytest.mark.repeats
def test_a_seed_is_the_same_history_every_time(tmp_path_factory):
    first, second = (play(5, tmp_path_factory.mktemp("life")) for _ in range(2))
    assert first.laws.trace == second.laws.trace
    assert first.digest == second.digest


DIGEST = """
import pathlib, sys
from tests.harness.simulation.run import play
print(play(5, pathlib.Path(sys.argv[1])).digest)
"""


@pytest.mark.process
def test_nor_does_it_depend_on_the_process(tmp_path):
    digests = set()
    for seed in "12":
        folder = tmp_path / seed
        folder.mkdir()
        environ = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": "."}
        command = [sys.executable, "-c", DIGEST, str(folder)]
        root = Path(__file__).parents[2]
        done = subprocess.run(command, env=environ, cwd=root, capture_output=True, text=True, check=True)
        digests.add(done.stdout)
    assert len(digests) == 1


def small(folder, **happenings):
    """A history of a small world whose pack always times out."""
    fate = plan.draw(0)
    zones = [{"name": "z.example", "packs": [plan.restless("h.z.example")]}]
    scenario = {**fate.scenario, "zones": zones, "unknowns": {}, "rate_limit": {"requests": 1200, "per": "5m"}}
    config = {**fate.config, "zones": [{"name": "z.example", "account": next(iter(fate.config["accounts"]))}]}
    config["restart"] = {
        "backoff": {"initial": "600s", "factor": 2.0, "max": "3600s", "jitter": 0},
        "max_attempts": 8,
        "max_per_hour": 60,
        **happenings.pop("restart", {}),
    }
    config["diagnosis"] = happenings.pop("diagnosis", {"enabled": False})
    fate = plan.Fate(0, scenario, config, tuple(happenings.pop("happen", ())), 6 * plan.HOUR, 12 * plan.HOUR)
    return History(fate, folder)


def broken_by(folder, **happenings):
    """What is broken in it."""
    try:
        small(folder, **happenings).live()
    except Broken as broken:
        return str(broken)
    return ""


def test_the_laws_are_kept_where_nothing_is_wrong(tmp_path):
    assert broken_by(tmp_path) == ""


ASKING = {"enabled": True, "resolvers": ["127.0.0.53"], "timeout": "2s"}


def test_what_resolvers_say_is_heard_in_a_history(tmp_path):
    forbidden = [plan.Happening(0.0, "dns", {"odd": "caa", "lasts": 5 * plan.HOUR})]
    history = small(tmp_path, happen=forbidden, diagnosis=ASKING)
    history.live()
    restarts = [each.at for patches in history.laws.patches.values() for each in patches]
    assert restarts
    assert min(restarts) >= 5 * plan.HOUR


def test_a_defect_of_the_simulated_resolvers_does_not_pass_for_an_answer(tmp_path, monkeypatch):
    monkeypatch.setattr(MortalLoop, "takes", lambda *_: {}["nothing"])
    with pytest.raises(KeyError, match="nothing"):
        small(tmp_path, diagnosis=ASKING).live()


def test_a_defect_of_a_law_does_not_pass_for_a_fault_of_the_network(tmp_path, monkeypatch):
    monkeypatch.setattr(Laws, "_waited", lambda *_: {}["nothing"])
    with pytest.raises(KeyError, match="nothing"):
        small(tmp_path).live()


def without(monkeypatch, check):
    """The daemon as it would be without one of its checks."""
    monkeypatch.setattr(policy, "CHAIN", tuple(each for each in policy.CHAIN if each is not check))


def test_a_daemon_that_does_not_wait_is_noticed(tmp_path, monkeypatch):
    without(monkeypatch, checks.is_backing_off)
    assert "are allowed" in broken_by(tmp_path)


def test_a_daemon_that_forgets_what_it_tried_at_a_kill_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(Tried, "intended", lambda self, _now, _wait: self)
    kills = [plan.Happening(at * plan.HOUR / 4, "kill", {"turns": 3, "down": 1}) for at in range(1, 20)]
    assert broken_by(tmp_path, happen=kills) != ""


def test_a_daemon_that_never_gives_a_word_of_a_give_up_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr("watchdog.notify.evaluation.deduplicate", lambda log, *_, **__: _Silence(log))
    assert "not in the alert log" in broken_by(tmp_path, restart={"max_attempts": 1})


class _Silence:
    notices = ()

    def __init__(self, log):
        self.log = log


def test_a_daemon_that_heeds_no_clock_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr("watchdog.model.clock.SMALLEST_STEP", timedelta(days=365))
    steps = [plan.Happening(plan.HOUR * at, "clock", {"by": 1800}) for at in range(1, 6)]
    assert "are allowed" in broken_by(tmp_path, happen=steps)
