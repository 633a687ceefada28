"""The real process under a hundred kills: what it promised holds, counted from outside, and it always comes back."""

import json
import signal
import sqlite3
import time
from collections import defaultdict
from contextlib import closing
from itertools import pairwise
from random import Random, SystemRandom

import pytest

from tests.harness.alerting import Receiver
from tests.harness.fleet import timed_out
from tests.harness.forkserver import Nursery
from tests.harness.processes import until
from watchdog.simulator.scenario import Fault, pack_id

pytestmark = pytest.mark.process

KILLS = 100
UNBORN, START, LIFE = 0.25, 0.2, 0.4
"""The part of them that dies before or while it starts; seconds, of the longest start and the longest life after it."""
BACKOFF = 2.0
SMALL_BUDGET, NO_BUDGET = 25, 1000
ACCOUNTS = ("main", "partner")

SOON = {"initializing": "0.1s", "timing_out": "0.1s"}


ODD = {
    ("status", "issuance_timed_out"): "other_stage_timed_out",
    ("status", "pending_moonrise"): "unknown_status",
    ("status", "expired"): "expired",
}


def fleet_under_load():
    """Two accounts of restless packs, and in each one pack for each alert that comes at once."""
    zones = {}
    for account in ACCOUNTS:
        for number in range(10):
            packs = [timed_out(hosts=[f"h{each}.example"], story={"stages": SOON}) for each in range(4)]
            zones[f"{account}{number}.example"] = packs
        odd = enumerate(ODD)  # each for a host of its own: what is about the same hosts is told as one
        zones[f"{account}-odd.example"] = [
            {"type": "advanced", "hosts": [f"h{n}.example"], **dict([e])} for n, e in odd
        ]
    return zones


@pytest.fixture
def nursery(tmp_path):
    with Nursery(tmp_path) as nursery:
        yield nursery


def configured(machine, hook, budget):
    config = machine.config(
        schedule={"interval": "0.5s", "attention_interval": "0.2s"},
        restart={
            "backoff": {"initial": f"{BACKOFF}s", "factor": 1.0, "max": f"{BACKOFF}s", "jitter": 0.1},
            "max_attempts": 100,
            "max_per_hour": budget,
        },
        accounts={
            name: {"api_token": f"token-of-{name}", "rate_limit": {"requests": 10**6, "share": 1.0}}
            for name in ACCOUNTS
        },
        alerts={"destinations": [{"name": "hook", "webhook": hook.url}]},
    )
    for zone in config["zones"]:
        zone["account"] = zone["name"].partition(".")[0].rstrip("0123456789").removesuffix("-odd")
    path = machine.folder / "config.yaml"
    path.write_text(json.dumps(config))
    return path


ALERTS = {(reason, account) for reason in ODD.values() for account in ACCOUNTS}


def told(letters):
    """Of which alerts."""
    accepted = [got.json for got in letters]
    return {(each["reason"], alert["account"]) for each in accepted for alert in each["alerts"]}


def patches_by_pack(machine):
    """When each pack's PATCHes arrived, in seconds."""
    found = defaultdict(list)
    for request in machine.patches():
        found[request.path.rpartition("/")[2]].append(request.at.timestamp())
    return found


def intents(machine):
    """Every intent that was ever stored, by pack: when, and when the next might follow; microseconds."""
    found = defaultdict(list)
    with closing(sqlite3.connect(machine.folder / "state.db")) as state:
        assert state.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        for row in state.execute("SELECT pack_id, at, next_restart_at FROM intents ORDER BY id"):
            found[row[0]].append(row[1:])
    return found


def killed_again_and_again(nursery, config, dice, kills):
    """Start it, and kill it at any moment; gives how often it had begun to work."""
    started = 0
    for number in range(kills):
        daemon = nursery.run("run", "--config", config)
        if dice.random() < UNBORN:
            time.sleep(dice.uniform(0, START))
        else:
            until(lambda: daemon.lines("started") or daemon.poll() is not None, "a start")  # noqa: B023  called here
            time.sleep(dice.uniform(0, LIFE))
        assert daemon.poll() is None, f"start {number}: it has ended by itself: {daemon.output}"
        daemon.signal(signal.SIGKILL)
        assert daemon.ended() == -signal.SIGKILL
        started += bool(daemon.lines("started"))
    return started


def under_load(machine):
    tokens = [{"name": name, "value": f"token-of-{name}"} for name in ACCOUNTS]
    world = machine.cloudflare(fleet_under_load(), tokens=tokens, rate_limit={"requests": 10**9, "per_second": 0})
    world.add_fault(Fault.model_validate({"kind": "slow", "method": "PATCH", "delay": "0.1s"}))
    return world


def test_killed_again_and_again_it_never_sends_more_than_the_hourly_budget_of_an_account(machine, nursery):
    packs = {
        account: [pack_id(f"{account}{zone}.example", number) for zone in range(10) for number in range(4)]
        for account in ACCOUNTS
    }

    def spent():
        stored = intents(machine)
        return {account: sum(len(stored[pack]) for pack in packs[account]) for account in ACCOUNTS}

    under_load(machine)
    all_of_it = dict.fromkeys(ACCOUNTS, SMALL_BUDGET)
    with Receiver() as hook:
        config = configured(machine, hook, SMALL_BUDGET)
        killed_again_and_again(nursery, config, Random(), 30)  # noqa: S311  any moments
        last = nursery.run("run", "--config", config)
        until(lambda: spent() == all_of_it, "the whole budget", 30)
        more = len(last.lines("pass_completed")) + 5
        until(lambda: len(last.lines("pass_completed")) >= more, "some passes more")
        last.signal(signal.SIGKILL)
        last.ended()
    assert spent() == all_of_it
    for account in ACCOUNTS:
        assert len([request for request in machine.patches() if request.credential == account]) <= SMALL_BUDGET


def test_killed_a_hundred_times_under_load_it_keeps_its_promises(machine, nursery):
    seed = SystemRandom().randrange(10**9)
    print("seed", seed)  # noqa: T201  pytest shows it when this fails
    dice = Random(seed)  # noqa: S311  so that a seed gives the same moments
    world = under_load(machine)
    busy = {pack_id(f"main{zone}.example", number) for zone in range(10) for number in range(4)}
    with Receiver() as hook:
        config = configured(machine, hook, NO_BUDGET)
        hook.answers += [(503, {}, b"")] * 10_000  # what is to be said waits on disk, from kill to kill
        started = killed_again_and_again(nursery, config, dice, KILLS)
        killed = len(machine.patches())

        refused = len(hook.got)
        hook.answers.clear()
        last = nursery.run("run", "--config", config)
        try:
            until(lambda: busy <= {restart.pack_id for restart in world.restarts}, "a restart of every pack", 30)
            until(lambda: told(hook.got[refused:]) >= ALERTS, "every alert", 30)
            last.signal(signal.SIGTERM)
            assert last.ended() == 0
        except AssertionError as error:
            raise AssertionError(f"{error}: {last.output[-3000:]}") from None
    stored, seen = intents(machine), patches_by_pack(machine)
    assert seen.keys() <= stored.keys()
    for pack, arrived in seen.items():
        kept = stored[pack]
        assert len(arrived) <= len(kept), f"{pack} has PATCHes that nobody counted"
        for (_, due), (later, _) in pairwise(kept):
            assert later >= due, f"{pack} has intents closer than its backoff"
        # What lies between an intent and its PATCH's arrival differs from one to the next.
        assert all(later - earlier > BACKOFF / 2 for earlier, later in pairwise(arrived)), pack
    assert (started > KILLS / 2, killed > KILLS) == (True, True), "that was no load"
