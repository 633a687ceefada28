"""The law that no two replicas tell the same: what it allows an heir, and what it notices."""

import json

import pytest

from tests.harness.simulation import plan, plan_of_several
from tests.harness.simulation.environment import People, Time
from tests.harness.simulation.invariants import Broken
from tests.harness.simulation.laws_of_several import LawsOfSeveral

HOLDER, HEIR = 1, 2


def judged(*told, writing, taken=2):
    """The law on messages, of one alert each, as (life, fingerprint). ``writing`` are the lives that can write."""
    time, people = Time(), People(Time())
    laws = LawsOfSeveral(plan_of_several.draw(0, 2), time, world=None)
    laws.taken["main"] = taken
    laws.can_write(writing)
    for number, (life, fingerprint) in enumerate(told):
        alert = {"fingerprint": fingerprint, "kind": "started", "account": "main"}
        people.got.append((float(number), plan.HOOK, "POST", json.dumps({"alerts": [alert]}).encode()))
        people.senders.append(life)
    laws.told(people)
    if time.broken is not None:
        raise time.broken


BOTH_AGAIN = [(HOLDER, "one"), (HOLDER, "two"), (HEIR, "one"), (HEIR, "two")]


def test_an_heir_may_tell_again_all_that_who_could_write_nothing_down_had_told():
    judged(*BOTH_AGAIN, writing={HEIR})


def test_an_heir_that_tells_again_what_was_written_down_is_noticed():
    with pytest.raises(Broken, match="2 things were told twice"):
        judged(*BOTH_AGAIN, writing={HOLDER, HEIR})


def test_a_thing_told_again_more_often_than_its_lease_was_taken_is_noticed_though_nobody_could_write():
    with pytest.raises(Broken, match="2 things were told twice"):
        judged((HOLDER, "one"), (HEIR, "one"), (HOLDER, "one"), writing=())
