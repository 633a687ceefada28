"""The year of recovery is only worth something if it is the same for all, and if it would notice a worse daemon."""

import asyncio
import sys
from pathlib import Path

import pytest

from tests.harness.simulation.environment import Time
from tests.harness.values import replace

HERE = Path(__file__).parents[2] / "bench"
sys.path.insert(0, str(HERE))

import recovery  # noqa: E402  benches are scripts, and lie beside each other
from recovery_assumptions import read  # noqa: E402  beside it
from recovery_daemon import Cloudflare, daemon, pages  # noqa: E402  beside it
from recovery_fate import Fate  # noqa: E402  beside it


def unlucky(name, times, **changes):
    """A world in which so many times more renewals meet a trouble: a few packs and days show what a year would."""
    world = read(HERE / name, 40)
    kinds = {kind: replace(said, share=said.share * times) for kind, said in world.troubles.items()}
    return replace(world, troubles=kinds, **changes)


DAYS = 10.0
HASTY = unlucky("recovery-world-hasty.yaml", 4, packs=16, zones=6, accounts=2)
"""A world in which a validation that the authority refuses times out soon, so that restarts matter."""


@pytest.fixture(scope="module")
def lived():
    return recovery.run(HASTY, 1, DAYS, 1, list(recovery.NAMES))


def results(lived):
    return {name: recovery.Result(tally, lived["oracle"], HASTY, DAYS * 86400) for name, tally in lived.items()}


def test_every_strategy_meets_the_same_renewals_and_troubles(lived):
    met = [
        {what: count for what, count in tally.counts.items() if what == "renewals" or what.startswith("troubles")}
        for tally in lived.values()
    ]
    assert met[0]["renewals"] > 0
    assert all(each == met[0] for each in met)


def test_nobody_recovers_sooner_than_the_oracle(lived):
    found = results(lived)
    assert all(each.late >= found["oracle"].late for each in found.values())


def test_the_oracle_wastes_no_restart(lived):
    assert lived["oracle"].counts["restarts"] > 0
    assert lived["oracle"].counts["restarts that failed"] == 0


def test_the_daemon_hears_its_resolvers_so_it_asks_for_rechecks(lived):
    assert lived["daemon"].counts["rechecks"] > 0


def test_a_daemon_without_diagnosis_wastes_more(lived):
    blind = recovery.Tally()
    for account in range(HASTY.accounts):
        blind.add(daemon(Fate(HASTY, 1, DAYS), account, {"diagnosis": {"enabled": False}}))
    assert blind.counts["restarts that failed"] > lived["daemon"].counts["restarts that failed"]


def test_a_seed_is_the_same_year_every_time(lived):
    again = recovery.run(HASTY, 1, DAYS, 1, ["daemon"])["daemon"]
    assert again.trace
    assert (again.trace, again.counts) == (lived["daemon"].trace, lived["daemon"].counts)


def test_leaving_out_looks_that_can_find_nothing_changes_nothing():
    few = unlucky("recovery-world-hasty.yaml", 6, packs=60, zones=5, accounts=1)
    fast, exact = (daemon(Fate(few, 5, 0.4), 0, exact=exact) for exact in (False, True))
    assert len(exact.trace) > 10
    assert fast.trace == exact.trace
    assert fast.mails == exact.mails
    assert fast.counts["requests"] < exact.counts["requests"] / 2


def test_each_token_of_a_validation_by_http_has_its_own_page():
    by_http = replace(HASTY, validation={"http": 1.0}, authorities={"ssl_com": 1.0}, troubles={})
    world = Cloudflare(Fate(by_http, 1, DAYS), 0, Time(), recovery.Tally())
    pack, read = world.all[0], pages(world)
    assert len(pack.tokens()) == 2
    for host, token in pack.tokens():
        page = asyncio.run(read("192.0.2.1", 80, host, f"/.well-known/pki-validation/ca3-{token[:32]}.txt"))
        assert page.body == f"ca3-{token[32:]}"
