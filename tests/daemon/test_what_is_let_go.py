"""What comes and goes for years leaves nothing behind: each thing that remembers names forgets those that are gone."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from tests.harness.builders import NOW, exposed, inventory
from tests.harness.cloudflare_client import answer, by_hand
from tests.harness.fleet import as_a_daemon
from tests.harness.long_life import containers
from tests.harness.time import StandingClock, in_simulated_time
from watchdog.cloudflare.errors import KNOWN_CODES, Operation
from watchdog.decide.budget import Budget
from watchdog.model.history import Sent
from watchdog.model.observation import Seen
from watchdog.model.outcomes import DeliveryOutcome
from watchdog.model.packs import Pack, ZoneRef
from watchdog.notify.destinations import Destinations
from watchdog.notify.queue import DeliveryAttempt
from watchdog.observe.compare import compare
from watchdog.observe.facts import BELIEVED_FOR, Facts
from watchdog.schedule.agenda import Agenda
from watchdog.state.memory import FORGET_AFTER, Memory
from watchdog.state.store import Store
from watchdog.tell.gauges import Account, Snapshot
from watchdog.tell.logs import REMEMBERED_FOR, Logs, configure
from watchdog.tell.metrics import MOST_STATUSES, Metrics

MANY = 200
MINUTE = timedelta(minutes=1)


def held(thing):
    return sum(containers(thing).values())


@in_simulated_time
async def test_facts_of_zones_and_of_accounts_that_are_not_asked_for_any_more_go():
    facts, client, now = Facts(), by_hand(answer({"name": "z", "type": "full", "status": "active"})), NOW
    for number in range(MANY):
        now += MINUTE
        await facts.of(ZoneRef(f"a{number}", f"z{number}", f"id{number}"), client, now)
    assert held(facts) <= 2 * BELIEVED_FOR / MINUTE
    await facts.of(ZoneRef("main", "z", "id"), client, now - timedelta(days=1))  # the clock was ahead
    assert held(facts) == 2


@in_simulated_time
async def test_a_memory_forgets_zones_and_accounts_that_are_gone(tmp_path):
    store, worker = Store.open(f"sqlite:///{tmp_path}/state.db", exclusive=True), ThreadPoolExecutor(1)
    memory, now = Memory(store, worker), datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(MANY):
        zone = ZoneRef(f"a{number}", f"z{number}", f"id{number}")
        seen = Seen(
            zone,
            (
                Pack(
                    id="p",
                    zone_id=zone.id,
                    type="advanced",
                    status="active",
                    hosts=("h",),
                    certificate_authority="google",
                ),
            ),
        )
        memory.apply(compare(memory.of(zone), seen, now))
    await memory.tidy([ZoneRef(f"a{MANY - 1}", f"z{MANY - 1}")], now + FORGET_AFTER + MINUTE)
    assert list(memory.zones) == [(f"a{MANY - 1}", f"z{MANY - 1}")]
    assert held(memory) < 10
    worker.shutdown()
    store.close()


def test_a_budget_lets_go_of_accounts_that_are_gone_and_of_packs_that_nobody_looks_at():
    budget, now = Budget(), NOW
    for number in range(MANY):
        now += MINUTE
        budget.take(f"a{number}", now)
        budget.wait(f"a{number}", (f"z{number}", "p"), now, now)
    budget.tidy(now + timedelta(days=1))
    assert held(budget) == 0


def test_what_was_booked_for_accounts_that_are_gone_goes_and_what_counts_stays(tmp_path):
    store = Store.open(f"sqlite:///{tmp_path}/state.db", exclusive=True)
    week = FORGET_AFTER.total_seconds()
    store.book("idle", "boot", week * 1.5, 7, 0.0)
    for number in range(MANY):
        now = week + number * week / MANY
        store.book(f"a{number}", "boot", now, 1, now - 300)
    store.book("main", "boot", 2 * week, 1, 2 * week - 300)
    assert len(store.booked("boot")) <= MANY + 2
    store.book("main", "boot", 3 * week - 1, 1, 3 * week - 301)
    assert [account for account, _, _ in store.booked("boot")] == ["main"]
    store.book("main", "next boot", 1.0, 1, -299.0)
    assert store.booked("boot") == []
    store.close()


def test_an_agenda_keeps_no_queue_of_accounts_that_are_gone_and_no_turn_twice_however_often_it_is_reloaded():
    agenda = Agenda(15 * MINUTE, MINUTE)
    for number in range(MANY):
        zones = [ZoneRef(f"a{number}", f"z{place}", "") for place in range(3)]
        agenda = agenda.rescheduled(15 * MINUTE, MINUTE)
        agenda.enrol(zones, set(), NOW)
    for _ in range(MANY):
        agenda = agenda.rescheduled(15 * MINUTE, MINUTE)
        agenda.enrol(zones, set(), NOW)
    assert held(agenda) < 10
    assert agenda.take(zones[0].account, NOW, NOW + MINUTE) == zones[0]


def test_a_log_forgets_which_failures_it_did_not_repeat():
    clock = StandingClock()
    configure("error", "json", clock)  # else it is as the test before left it
    logs = Logs(clock)
    for number in range(MANY):
        clock.advance(seconds=REMEMBERED_FOR / 10)
        logs.failed("main", "list_packs", str(number), "no")
    assert held(logs) <= 11


@pytest.fixture
def metrics():
    return Metrics("1", KNOWN_CODES)


def test_metrics_forget_zones_accounts_and_destinations_that_are_gone(metrics):
    for number in range(MANY):
        metrics.restarted(f"a{number}", f"z{number}", Sent.ACCEPTED)
        metrics.called(f"a{number}", Operation.LIST_PACKS, 500, 0.1, "http_500")
        metrics.notified(f"hook{number}", DeliveryOutcome.FAILED)
    before = held(metrics)
    metrics.tidy({("a1", "z1")}, {"a1"}, {"hook1"})
    assert held(metrics) == before - 3 * (MANY - 1)
    body, _ = exposed(
        metrics, Snapshot(inventory=inventory(), accounts=(Account("a1", 1, 0.0),), destinations=("hook1",)), ""
    )
    assert b'failures_total{account="a1",error_code="http_500",operation="list_packs"} 1.0' in body
    assert b'notifications_total{destination="hook1",outcome="failed"} 1.0' in body


def test_statuses_beyond_those_that_exist_make_no_more_series(metrics):
    for status in range(100, 1000):
        metrics.called("main", Operation.LIST_PACKS, status, 0.1, None)
    body, _ = exposed(metrics, Snapshot(inventory=inventory(), accounts=()), "")
    counts = [line for line in body.splitlines() if b"request_duration_seconds_count" in line]
    assert len(counts) == MOST_STATUSES + 1
    assert any(b'status="other"} 860.0' in line for line in counts)


@in_simulated_time
async def test_what_last_failed_at_a_destination_goes_with_it(start):
    alerts = {"destinations": [{"name": "hook", "webhook": "http://127.0.0.1:1/"}]}
    async with start({"a.example": [{"status": "active"}]}, config={"alerts": alerts}) as fleet:
        said = []
        destinations = Destinations(
            http=None,
            clock=fleet.clock,
            logs=fleet.runtime.telemetry.logs,
            count=lambda *told: said.append(told),
            forget=None,
            log=None,
            journal=None,
        )
        destinations.prepare(fleet.runtime.config)([])
        failed = DeliveryAttempt(destination="hook", outcome=DeliveryOutcome.FAILED, title="a title", error="no")
        destinations._report(failed)  # noqa: SLF001 - as its queue does
        assert destinations._failing == {"hook": "no"}  # noqa: SLF001  what is let go shows nowhere else
        destinations.prepare(fleet.start.load({**fleet.settings, "alerts": {}}))([])
        assert destinations._failing == {}  # noqa: SLF001  what is let go shows nowhere else
        await asyncio.sleep(0)


@in_simulated_time
async def test_turns_of_accounts_that_are_gone_go_with_them(start):
    zones = {"a.example": [{"status": "active"}]}
    async with start(zones, other={"b.example": []}) as fleet, as_a_daemon(fleet) as daemon:
        await fleet.sleep(300)
        assert set(fleet.runtime.passes._slots) == {"main", "other"}  # noqa: SLF001  what is let go shows nowhere else
        accounts = {"main": fleet.settings["accounts"]["main"]}
        fleet.start.load({**fleet.settings, "accounts": accounts, "zones": fleet.settings["zones"][:1]})
        daemon.ask_to_reload()
        await fleet.sleep(300)
        assert set(fleet.runtime.passes._slots) == {"main"}  # noqa: SLF001  what is let go shows nowhere else
        assert not fleet.runtime.passes.busy
