"""Three real processes on a real PostgreSQL, two of them through a real PgBouncer, and everything that befalls them."""

import signal
import time
from contextlib import suppress
from itertools import pairwise
from random import Random, SystemRandom

import pytest

from tests.harness.postgresql import little_room, needs_pgbouncer, pgbouncer, postgresql, standby
from tests.harness.processes import until
from tests.harness.replicas import ACCOUNTS, Deployment, fleet

pytestmark = pytest.mark.real

STORM = 120.0
"""Seconds."""
QUOTA = (150, 10.0)
"""Requests of each account, in so many seconds: less than they would like."""


@pytest.fixture
def server():
    with postgresql(
        client_connection_check_interval="2s", tcp_keepalives_idle="5", tcp_keepalives_interval="1"
    ) as server:
        yield server


def under_load(machine):
    tokens = [{"name": name, "value": f"token-of-{name}"} for name in ACCOUNTS]
    return machine.cloudflare(fleet(), tokens=tokens, rate_limit={"requests": 10**9, "per_second": 0})


class Storm:
    """Something befalls one of them every second or so; what has an end, ends."""

    def __init__(self, deployment, dice):
        self._deployment, self._dice = deployment, dice
        self._ends = []
        self.counts = {}

    def blow(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._end(time.monotonic())
            what = self._dice.choice(
                [self._kill, self._kill, self._stop, self._freeze, self._freeze, self._cut, self._refuse, self._mute]
            )
            what(self._dice.choice(self._deployment.replicas))
            self.counts[what.__name__[1:]] = self.counts.get(what.__name__[1:], 0) + 1
            time.sleep(self._dice.uniform(0.1, 1.5))
        self._end(float("inf"))
        self._deployment.start()

    def _end(self, now):
        for each in [each for each in self._ends if each[0] <= now]:
            self._ends.remove(each)
            each[1]()

    def _later(self, longest, do):
        self._ends.append((time.monotonic() + self._dice.uniform(0, longest), do))

    def _kill(self, replica):
        if replica.runs:
            self._deployment.kill(replica)
        self._later(4, lambda: self._deployment.start(replica))

    def _stop(self, replica):
        replica.thaw()
        replica.signal(signal.SIGTERM)
        self._later(6, lambda: self._deployment.start(replica))

    def _freeze(self, replica):
        replica.freeze()
        self._later(8, replica.thaw)

    def _cut(self, replica):
        replica.way.cut()

    def _refuse(self, replica):
        replica.way.refuse()
        self._later(6, replica.way.mend)

    def _mute(self, replica):
        replica.way.freeze()
        self._later(6, replica.way.mend)


def test_killed_stopped_and_cut_off_for_two_minutes_three_replicas_keep_every_promise(machine, server):
    needs_pgbouncer()
    seed = SystemRandom().randrange(10**9)
    print("seed", seed)  # noqa: T201  pytest shows it when this fails
    under_load(machine)
    with (
        pgbouncer(server, pool_size=10) as port,
        Deployment(machine, server, [port, port, server.port], quota=QUOTA) as deployment,
    ):
        deployment.begin()
        storm = Storm(deployment, Random(seed))  # noqa: S311  so that a seed gives the same moments
        storm.blow(STORM)
        try:
            deployment.all_held(30)
            deployment.works(40)
            until(lambda: told(deployment) == set(ACCOUNTS), "every alert", 40)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}\n{deployment.output()}") from None
        changes, patches = deployment.check(), sum(map(len, deployment.patches().values()))
    print(f"{storm.counts}, {changes} leases changed hands, {patches} PATCHes")  # noqa: T201  for whoever reads how it went
    assert (changes > 20, patches > 100) == (True, True), "that was no storm"


def told(deployment):
    """The accounts of whose expired pack somebody was told."""
    return {alert["account"] for got in deployment.hook.got for alert in got.json["alerts"]} & set(ACCOUNTS)


def running(machine, server, ports=None, **settings):
    """Three of them at work."""
    under_load(machine)
    deployment = Deployment(machine, server, ports or [server.port] * 3, **settings)
    deployment.begin()
    until(lambda: len(deployment.patches()) >= 48, "a restart of every pack", 30)
    return deployment


def longest_gap(deployment, account, since):
    """Seconds for which nobody looked at its zones."""
    looks = [since, *(at for at in deployment.looks(account) if at > since), time.time()]
    return max(later - earlier for earlier, later in pairwise(looks))


def test_in_a_rolling_restart_under_load_no_account_waits_for_a_lease_to_end(machine, server):
    lease = 10.0
    with running(machine, server, lease=lease) as deployment:
        began = time.time()
        for replica in deployment.replicas:
            assert deployment.stop(replica) == 0
            deployment.start(replica)
            deployment.up(replica)
        deployment.all_held()
        deployment.works()
        gaps = {account: longest_gap(deployment, account, began) for account in ACCOUNTS}
        deployment.check()
    assert max(gaps.values()) < lease / 2, gaps


def test_a_database_that_is_restarted_is_found_again_and_nothing_is_sent_twice(machine, server):
    with running(machine, server) as deployment:
        server.restart()
        deployment.all_held(40)
        deployment.works(40)
        deployment.check()


def test_after_a_failover_to_a_standby_no_intent_is_lost_and_work_goes_on(machine, server):
    with standby(server) as other, running(machine, server) as deployment:
        server.stop("immediate")
        time.sleep(1)
        other.ctl("promote")
        deployment.fail_over(other)
        deployment.all_held(40)
        deployment.works(40)
        deployment.check()


def test_on_a_database_that_is_full_nothing_is_restarted_and_with_room_again_everything_goes_on(machine, server):
    with little_room(server, "6m") as disk, running(machine, server) as deployment:
        filler = disk / "filler"
        with filler.open("ab", buffering=0) as file, suppress(OSError):
            while file.write(bytes(4096)) == 4096:
                pass
        until(lambda: any(each.process.lines("state_unwritable") for each in deployment.replicas), "the news of it", 40)
        began = time.time()
        time.sleep(2 * deployment.backoff)
        counted = deployment.check_intents()
        assert {account for account in ACCOUNTS if deployment.looks(account)[-1] > began} == set(ACCOUNTS)
        filler.unlink()
        deployment.all_held(40)
        deployment.works(40)
        deployment.check()
        assert counted
