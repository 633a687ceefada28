"""Two real daemons on a real PostgreSQL: how an account comes from the one to the other, and what goes with it."""

import signal
import time

import httpx
import pytest

from tests.harness.postgresql import pgbouncer, postgresql
from tests.harness.processes import until
from tests.harness.replicas import ACCOUNTS, Deployment, fleet

pytestmark = pytest.mark.real

LEASE = 3.0
POLL = LEASE / 10
ATTENTION = 0.2
SLACK = 2.0
"""Seconds that a machine under load may add."""
GRACE = 30.0
"""Seconds that systemd and Kubernetes give a process for its end (``deploy/``)."""


@pytest.fixture(scope="module")
def cluster():
    with postgresql() as server:
        yield server


@pytest.fixture
def server(cluster):
    cluster.execute("DROP SCHEMA IF EXISTS certpack_watchdog CASCADE")
    return cluster


@pytest.fixture
def two(machine, server):
    """Both at work, through PgBouncer."""
    tokens = [{"name": name, "value": f"token-of-{name}"} for name in ACCOUNTS]
    machine.cloudflare(fleet(), tokens=tokens, rate_limit={"requests": 10**9, "per_second": 0})
    with pgbouncer(server) as port, Deployment(machine, server, [port, port], lease=LEASE) as deployment:
        deployment.start()
        deployment.up()
        until(lambda: evenly(deployment), "an even share", 20)
        until(lambda: len(deployment.patches()) == len(ACCOUNTS) * 12, "a restart of every pack", 30)
        yield deployment


def evenly(deployment):
    held = list(deployment.holders().values())
    return sorted(map(held.count, ("replica-0", "replica-1"))) == [2, 2]


def knows(replica, accounts):
    """It has said that it holds them: what the database says of it may be news to itself."""
    return {line.get("account") for line in replica.process.lines("lease_acquired")} >= set(accounts)


def worked_again(deployment, since):
    """Each account's zones were looked at after that."""
    return all(at[-1] > since for at in map(deployment.looks, ACCOUNTS) if at)


def test_what_a_killed_replica_held_is_worked_by_the_other_within_a_lease_and_a_poll(two):
    victim = two.replicas[0]
    gone = [account for account, holder in two.holders().items() if holder == victim.name]
    two.kill(victim)
    killed = time.time()
    until(lambda: all(two.looks(account)[-1] > killed + 0.5 for account in gone), "a look at each", 20)
    longest = max(min(at for at in two.looks(account) if at > killed + 0.5) - killed for account in gone)
    assert longest < LEASE + POLL + ATTENTION + SLACK
    two.works()
    two.check_intents()
    assert not any(each.process.lines("state_unwritable") for each in two.replicas)


def test_what_a_replica_hands_over_when_it_stops_is_worked_at_once(two):
    leaving = two.replicas[0]
    gone = [account for account, holder in two.holders().items() if holder == leaving.name]
    assert two.stop(leaving) == 0
    stopped = time.time()
    until(lambda: worked_again(two, stopped), "a look at each account", 20)
    longest = max(min(at for at in two.looks(account) if at > stopped) - stopped for account in gone)
    assert longest < POLL + ATTENTION + SLACK < LEASE
    handed = leaving.process.lines("lease_handed_over")
    assert {line.get("account", "") for line in handed} >= set(gone)


def test_one_that_was_stopped_for_longer_than_its_lease_sends_nothing_when_it_wakes(two):
    sleeper = two.replicas[0]
    gone = [account for account, holder in two.holders().items() if holder == sleeper.name]
    until(lambda: knows(sleeper, gone), "its own word of what it holds", 20)
    sleeper.freeze()
    until(lambda: two.holders() == dict.fromkeys(ACCOUNTS, "replica-1"), "a takeover", 20)
    before = two.server.execute("SELECT account, max(epoch) FROM certpack_watchdog.leases GROUP BY account")
    sleeper.thaw()
    until(lambda: len(sleeper.process.lines("lease_lost")) >= len(gone), "the news of it", 20)
    until(lambda: evenly(two), "an even share again", 20)
    two.works()
    two.check_intents()
    assert {account for account, epoch in before if epoch > 1} >= set(gone)


def test_one_that_starts_takes_its_share_within_two_leases(two):
    two.stop(two.replicas[0])
    until(lambda: two.holders() == dict.fromkeys(ACCOUNTS, "replica-1"), "all with one", 20)
    two.start(two.replicas[0])
    two.up(two.replicas[0])
    began = time.time()
    until(lambda: evenly(two), "an even share", 20)
    assert time.time() - began < 2 * LEASE


def ask(replica, path):
    """A page of its own listener."""
    [started] = replica.process.lines("started")
    return httpx.get(started["listen"] + path, timeout=20, trust_env=False)


def test_of_five_replicas_for_four_accounts_one_stands_by_and_says_so(machine, server):
    tokens = [{"name": name, "value": f"token-of-{name}"} for name in ACCOUNTS]
    machine.cloudflare(fleet(), tokens=tokens, rate_limit={"requests": 10**9, "per_second": 0})
    with Deployment(machine, server, [server.port] * 5, lease=LEASE) as five:
        five.start()
        five.up()
        until(lambda: len(set(five.holders().values())) == len(ACCOUNTS), "an even share", 30)
        [standby] = [each for each in five.replicas if each.name not in five.holders().values()]
        until(lambda: ask(standby, "readyz").status_code == 200, "that it is ready", 20)
        assert "standby: works no account, ready to take over" in ask(standby, "readyz").text
        page = ask(standby, "").text
        assert all(f"Account <bdi>{account}</bdi>" in page for account in ACCOUNTS)
        held = ask(standby, "metrics").text
        assert 'certpack_watchdog_account_held{account="alpha"} 0.0' in held


def test_while_the_database_is_away_readyz_says_so_nothing_is_restarted_and_it_comes_back_by_itself(
    machine, two, server
):
    server.stop("immediate")
    try:
        one = two.replicas[0]
        until(lambda: "the state cannot be used" in ask(one, "readyz").text, "the news of it", 20)
        assert ask(one, "readyz").status_code == 503
        time.sleep(LEASE + 1)
        sent = len(machine.patches())
        looked = {account: len(two.looks(account)) for account in ACCOUNTS}
        time.sleep(1.5)
        assert len(machine.patches()) == sent
        assert {account: len(two.looks(account)) for account in ACCOUNTS} == looked
    finally:
        server.start()
    two.all_held(40)
    two.works(40)
    two.check_intents()


def test_one_that_is_told_to_stop_while_the_database_is_away_behind_its_pooler_stops(two, server):
    server.stop("immediate")
    try:
        two.replicas[0].signal(signal.SIGTERM)
        until(lambda: not two.replicas[0].runs, "its end", GRACE)
        assert two.replicas[0].process.ended() == 0
    finally:
        server.start()


def test_status_shows_who_works_what(machine, two):
    (machine.folder / "config.yaml").write_text((machine.folder / "replica-0.json").read_text())
    said = machine.command("status")
    assert (said.returncode, said.stderr) == (0, "")
    assert "Who works what" in said.stdout
    for account, holder in two.holders().items():
        assert f"{account}: {holder}, since " in said.stdout
    assert '"leases": [' in machine.command("status", "--output", "json").stdout


def test_a_restart_by_hand_and_a_single_pass_meet_the_replicas(machine, two):
    (machine.folder / "config.yaml").write_text((machine.folder / "replica-0.json").read_text())
    refused = machine.command("once")
    assert refused.returncode == 75
    assert "is worked by replica" in refused.stderr
    done = machine.command("restart", "alpha0.example", "--force")
    assert done.returncode in (0, 1), done.stderr  # the zone has several packs: one must be named
    two.check_intents()


def test_once_works_all_accounts_where_no_daemon_runs(machine, two):
    for replica in two.replicas:
        two.stop(replica)
    (machine.folder / "config.yaml").write_text((machine.folder / "replica-0.json").read_text())
    done = machine.command("once")
    assert done.returncode in (0, 1), done.stderr
    assert "16 zones" in done.stdout
    assert two.holders() == {}
