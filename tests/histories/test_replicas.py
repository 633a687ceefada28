"""Some histories of several replicas over one state, and that the laws would notice. ``make test`` lives through more
(``python -m tests.histories --replicas 3``)."""

import pytest

from tests.harness.simulation import plan, plan_of_several
from tests.harness.simulation.deployment import Replicas, play
from tests.harness.simulation.invariants import Broken


@pytest.mark.repeats
@pytest.mark.parametrize(("seed", "replicas"), [(0, 2), (1, 3), (2, 3), (3, 2)])
def test_whatever_happens_to_several_replicas_every_law_is_kept(seed, replicas, tmp_path):
    play(seed, replicas, tmp_path)


@pytest.mark.repeats
def test_a_seed_is_the_same_history_every_time(tmp_path_factory):
    first, second = (play(1, 2, tmp_path_factory.mktemp("life")) for _ in range(2))
    assert first.laws.trace == second.laws.trace
    assert first.digest == second.digest


def broken_by(folder, *happen, restart=None, wrong=(0.0, 0.0, 0.0)):
    """What is broken in a small world of two replicas and two accounts, whose packs always time out."""
    drawn = plan_of_several.draw(0, 2)
    names = ("main", "other")
    zones = [{"name": f"{name}.example", "packs": [plan.restless(f"h.{name}.example")]} for name in names]
    limit = {"requests": 1200, "per": "5m"}
    scenario = {
        **drawn.fate.scenario,
        "tokens": [{"name": name, "value": f"token-of-{name}"} for name in names],
        "zones": zones,
        "unknowns": {},
        "rate_limit": limit,
    }
    config = {
        **drawn.fate.config,
        "accounts": {name: {"api_token": f"token-of-{name}", "rate_limit": {**limit, "share": 0.5}} for name in names},
        "zones": [{"name": f"{name}.example", "account": name} for name in names],
        "schedule": {"interval": "120s", "attention_interval": "60s"},
        "restart": {
            "backoff": {"initial": "600s", "factor": 1.0, "max": "600s", "jitter": 0},
            "max_attempts": 20,
            "max_per_hour": 60,
            **(restart or {}),
        },
        "diagnosis": {"enabled": False},
        "replica": {"lease": "30s"},
    }
    fate = plan.Fate(0, scenario, config, happen, 1.5 * plan.HOUR, 2 * plan.HOUR)
    try:
        Replicas(plan_of_several.Deployment(fate, 2, 30.0, wrong, stormy=False), folder).live()
    except Broken as broken:
        return str(broken)
    return ""


def test_the_laws_are_kept_where_nothing_is_wrong(tmp_path):
    assert broken_by(tmp_path) == ""


def again_and_again(what, **with_):
    """The same, every ten minutes, at each replica in turn."""
    return [plan.Happening(600.0 * number + 7, what, {"replica": number % 2, **with_}) for number in range(1, 9)]
