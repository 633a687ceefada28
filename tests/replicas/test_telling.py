"""Each account's alerts are told by its holder; the next one knows what was told, and goes on there."""

from datetime import timedelta
from itertools import count

import pytest

from tests.harness.alerting import Network, gave_up, living
from tests.harness.builders import NOW, pack, zone
from tests.harness.postgresql import postgresql
from tests.harness.time import in_simulated_time
from tests.harness.values import replace
from watchdog.model.leases import WATCHDOG, Fence, Replica
from watchdog.notify import writing
from watchdog.notify.rules import HealthReport
from watchdog.state import outbox
from watchdog.state.store import Store

pytestmark = pytest.mark.real
TTL = timedelta(minutes=5)  # by the real clock, which stands still beside the simulated one
_schemas = count(1)


class Holding:
    """The tenure of one replica: what it claimed, without the clock."""

    def __init__(self, store, name):
        self.store = store
        self.me = Replica(instance=name, name=name, expires=NOW, since=NOW)
        self.epochs = {}
        self.pipeline = None

    async def take(self, *accounts):
        self.epochs |= self.store.roster.claim(self.me, TTL, accounts)
        await self.pipeline.adopt(accounts)

    def give(self, *accounts):
        self.store.roster.release(self.fence().of(accounts))
        self.lost(accounts)

    def keeps(self, account):
        return account in self.epochs

    holds = may_send = keeps

    def fence(self):
        return Fence(self.me.instance, dict(self.epochs))

    def lost(self, accounts):
        for account in accounts:
            self.epochs.pop(account, None)
            self.pipeline.release([account])


@pytest.fixture(scope="module")
def server():
    with postgresql() as server:
        yield server


@pytest.fixture
def url(server):
    return server.url(f"telling_{next(_schemas)}")


class Two:
    """Two replicas, and the people whom they tell; ``a`` and ``b`` are a tenure with a household each."""

    def __init__(self, folder, url):
        self._folder, self._url = folder, url
        self.account_of_b, self.b_is_once = "main", False
        self.told_by_a, self.told_by_b = Network(), Network()

    async def __aenter__(self):
        self.a, self._life_of_a = await self._begin("a", self.told_by_a, "main")
        self.b, self._life_of_b = await self._begin("b", self.told_by_b, self.account_of_b, once=self.b_is_once)
        return self

    async def __aexit__(self, *_):
        await self._life_of_a.__aexit__(None, None, None)
        await self._life_of_b.__aexit__(None, None, None)

    async def _begin(self, name, network, account, *, once=False):
        store = Store.open(self._url, exclusive=True)
        tenure = Holding(store, name)
        life = living(self._folder, network, store=store, tenure=tenure, account=account, once=once)
        tenure.household = await life.__aenter__()
        tenure.pipeline = tenure.household.pipeline
        return tenure, life


@pytest.fixture
def two(tmp_path, url):
    return lambda: Two(tmp_path, url)


@pytest.fixture
def apart(two):
    """Two whose configurations have nothing in common: ``a`` has the account ``main``, ``b`` has ``other``."""

    def begin():
        found = two()
        found.account_of_b = "other"
        return found

    return begin


ONLY_B = HealthReport(configured=frozenset({"other"}))
OF_A = {"zones": [zone("a.example")]}
OF_B = {"zones": [zone("b.example", "other")], "health": ONLY_B}


def number(letter):
    """What a message is known by, but for its time."""
    return int(letter["id"].rpartition("-")[2])


@in_simulated_time
async def test_an_alert_is_told_by_the_holder_of_its_account_and_by_nobody_else(two):
    async with two() as found:
        await found.a.take("main")
        for each in (found.a, found.b):
            await each.household.passes(gave_up(), count=2)
        assert [title.split(":")[0] for title in found.told_by_a.titles()] == ["[critical] gave_up"]
        assert found.told_by_b.titles() == []


@in_simulated_time
async def test_the_next_holder_knows_what_was_told_and_tells_its_end(two):
    async with two() as found:
        await found.a.take("main")
        await found.a.household.passes(gave_up(), count=2)
        found.a.give("main")
        await found.b.take("main")
        await found.b.household.passes(gave_up(), count=2)
        assert found.told_by_b.titles() == []
        await found.b.household.passes(pack("p1", "active"), count=90)
        assert [title.split(":")[0] for title in found.told_by_b.titles()] == ["[resolved] gave_up"]
        await found.a.household.passes(gave_up(), count=2)
        assert len(found.told_by_a.titles()) == 1


@in_simulated_time
async def test_what_could_not_be_delivered_is_delivered_by_the_next_holder(two):
    async with two() as found:
        found.told_by_a.down.add("hook.test")
        await found.a.take("main")
        await found.a.household.passes(gave_up(), count=2)
        found.a.give("main")
        await found.b.take("main")
        await found.b.household.passes(gave_up(), count=2)
        assert [title.split(":")[0] for title in found.told_by_b.titles()] == ["[critical] gave_up"]


@in_simulated_time
async def test_what_concerns_the_watchdog_itself_is_told_by_one_of_all(two):
    async with two() as found:
        await found.a.take("main")
        await found.b.take(WATCHDOG)
        health = HealthReport(config_error="x.yaml:1: wrong")
        for each in (found.a, found.b):
            await each.household.passes(count=2, health=health)
        assert found.told_by_a.titles() == []
        assert [title.split(":")[0] for title in found.told_by_b.titles()] == ["[warning] config_refused"]


@in_simulated_time
async def test_an_outage_of_all_its_zones_is_told_also_by_who_does_not_tell_of_the_watchdog(two):
    async with two() as found:
        await found.a.take("main")
        away = replace(zone(), error="timeout", reason="unseen", tried_at=NOW, seen_at=NOW - timedelta(hours=1))
        await found.a.household.passes(zones=[away], count=60)
        assert [title.split(":")[0] for title in found.told_by_a.titles()] == ["[warning] unseen"]


@in_simulated_time
async def test_no_two_letters_ever_have_one_number(two):
    async with two() as found:
        await found.a.take("main")
        await found.a.household.passes(gave_up(), count=2)
        first = {number(letter) for letter in found.told_by_a.told()}
        found.a.give("main")
        await found.b.take("main")
        await found.b.household.passes(pack("p1", "active"), count=90)
        assert first
        assert min(number(letter) for letter in found.told_by_b.told()) > max(first)


@in_simulated_time
async def test_what_is_lost_while_numbers_are_asked_for_fires_here_no_more(two, monkeypatch):
    monkeypatch.setattr(writing, "IDS", 0)
    number, refused = outbox.number, HealthReport(config_error="config.yaml:1: no")
    async with two() as found:
        await found.a.take("main", WATCHDOG)
        await found.a.household.passes(gave_up(), count=5)

        def slow(store, letters):
            found.a.give("main")
            return number(store, letters)

        monkeypatch.setattr(outbox, "number", slow)
        await found.a.household.passes(gave_up(), health=refused)
        assert [alert["reason"] for alert in found.a.pipeline.rows()["alerts"]] == ["config_refused"]


@in_simulated_time
async def test_who_was_taken_over_from_writes_nothing_of_the_account_any_more(two):
    async with two() as found:
        await found.a.take("main")
        await found.a.household.passes(gave_up(), count=2)
        found.a.store.roster.release(found.a.fence())  # behind its back
        await found.b.take("main")
        await found.a.household.passes(pack("p1", "active"), count=90)
        assert found.a.epochs == {}
        assert len(found.b.pipeline.rows()["alerts"]) == 1


@in_simulated_time
async def test_who_tells_of_the_watchdog_tells_the_end_of_what_no_replica_is_configured_with(apart):
    async with apart() as found:
        await found.a.take("main")
        await found.a.household.passes(gave_up(zone="a.example"), **OF_A, count=2)
        found.a.give("main")
        await found.b.household.passes(**OF_B, count=5)
        assert found.told_by_b.titles() == []  # somebody else may tell of the watchdog, and does this as well
        await found.b.take(WATCHDOG)
        await found.b.household.passes(**OF_B, count=5)
        [title] = found.told_by_b.titles()
        assert title.startswith("[resolved] gave_up: a.example: no longer configured after")
        assert number(found.told_by_b.told()[0]) > number(found.told_by_a.told()[0])
        kept = outbox.load(found.b.store)
        assert (kept.log.states, kept.log.groups, kept.messages) == ({}, {}, [])


@in_simulated_time
async def test_what_somebody_still_holds_or_is_configured_with_is_left_alone(apart):
    async with apart() as found:
        await found.a.take("main")
        await found.b.take(WATCHDOG)
        await found.a.household.passes(gave_up(zone="a.example"), **OF_A, count=2)
        await found.b.household.passes(**OF_B, count=5)
        found.a.give("main")
        health = HealthReport(configured=frozenset({"main", "other"}))
        await found.b.household.passes(**OF_B | {"health": health}, count=5)
        assert found.told_by_b.titles() == []
        assert len(outbox.load(found.b.store).log.states) == 1


@in_simulated_time
async def test_what_could_not_be_delivered_of_such_an_account_is_delivered_by_whoever_tells_of_the_watchdog(apart):
    async with apart() as found:
        found.told_by_a.down.add("hook.test")
        found.told_by_b.down.add("hook.test")
        await found.a.take("main")
        await found.a.household.passes(gave_up(zone="a.example"), **OF_A, count=2)
        found.a.give("main")
        await found.b.take(WATCHDOG)
        await found.b.household.passes(**OF_B, count=5)
        found.b.give(WATCHDOG)
        found.told_by_a.down.clear()
        await found.a.take(WATCHDOG)
        await found.a.household.passes(zones=[zone("a.example")], count=20)
        assert [title.split(":")[0] for title in found.told_by_a.titles()] == [
            "[critical] gave_up",
            "[resolved] gave_up",
        ]
        assert outbox.load(found.a.store).messages == []


@in_simulated_time
async def test_a_single_pass_tells_such_ends_at_once_as_there_may_be_no_later(apart):
    begun = apart()
    begun.b_is_once = True
    async with begun as found:
        await found.a.take("main")
        await found.a.household.passes(gave_up(zone="a.example"), **OF_A, count=2)
        found.a.give("main")
        await found.b.take("other", WATCHDOG)
        await found.b.household.passes(**OF_B)
        assert [title.split(":")[0] for title in found.told_by_b.titles()] == ["[resolved] gave_up"]


@pytest.mark.parametrize("minutes", [59, 61])
@pytest.mark.parametrize(
    ("zones", "discovery"),
    [([zone("a.example", "other")], {}), ([zone("b.example", "other")], {"other": ("unseen", "it failed")})],
)
@in_simulated_time
async def test_a_single_pass_waits_an_hour_where_an_account_may_only_have_got_another_name(
    apart, zones, discovery, minutes
):
    begun = apart()
    begun.b_is_once = True
    async with begun as found:
        await found.a.take("main")
        await found.a.household.passes(gave_up(zone="a.example"), **OF_A, count=2)
        found.a.give("main")
        await found.b.take("other", WATCHDOG)
        worked = {"main": found.b.household.clock.now() - timedelta(minutes=minutes)}
        health = HealthReport(configured=frozenset({"other"}), discovery=discovery, worked=worked)
        await found.b.household.passes(zones=zones, health=health)
        ended = [title for title in found.told_by_b.titles() if title.startswith("[resolved]")]
        assert len(ended) == (minutes > 60)
