"""A real Alertmanager takes what it is told, sends it on to a real receiver, and resolves it: when it ends, and when
the daemon dies."""

import asyncio
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from tests.harness.alerting import Receiver, gave_up, living
from tests.harness.builders import alert, firing, inventory, pack, zone
from tests.harness.servers import ALERTMANAGER, alertmanager, asked, eventually
from watchdog.model.alerts import AlertLog, Phase, Route
from watchdog.model.reasons import Reason
from watchdog.notify import alertmanager as kind
from watchdog.notify.alertmanager import Alertmanager
from watchdog.notify.http import HttpSender

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not ALERTMANAGER, reason="alertmanager not installed (Debian: prometheus-alertmanager)"),
]


@pytest.fixture
def hook():
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def manager(hook, tmp_path):
    """The address of an Alertmanager that sends on to ``hook``."""
    with ExitStack() as stack:
        yield f"http://{alertmanager(stack, tmp_path, hook.url)}"


def held(manager):
    """What the Alertmanager says it holds, by name."""
    return {each["labels"]["alertname"]: each for each in msgspec.json.decode(asked(f"{manager}/api/v2/alerts"))}


def notified(hook, status):
    return [
        each["labels"]["alertname"] for got in list(hook.got) for each in got.json["alerts"] if each["status"] == status
    ]


def described(hook):
    return {each["annotations"].get("description") for got in list(hook.got) for each in got.json["alerts"]}


def now():
    return datetime.now(UTC)


async def told(manager, *states, route=None):
    post = HttpSender("certpack-watchdog/test")
    try:
        await Alertmanager(manager, post, route or Route(), heartbeat=True).refresh(
            AlertLog({each.alert.fingerprint: each for each in states}), now()
        )
    finally:
        await post.close()


def state(*, ended_at=None):
    began = now() - timedelta(minutes=1)
    phase = Phase.CLOSED if ended_at else Phase.FIRING
    return firing(alert(body="what to do"), phase=phase, first_at=began, ended_at=ended_at)


def test_what_holds_reaches_the_receiver_and_its_end_does_too(manager, hook):
    asyncio.run(told(manager, state()))
    eventually(lambda: "CertpackWatchdogGaveUp" in notified(hook, "firing"))
    there = held(manager)
    assert there["CertpackWatchdogGaveUp"]["labels"]["zone"] == "p1.example"
    assert there["CertpackWatchdogGaveUp"]["annotations"]["description"] == "what to do"
    assert "CertpackWatchdogHeartbeat" in there
    asyncio.run(told(manager, state(ended_at=now())))
    eventually(lambda: "CertpackWatchdogGaveUp" in notified(hook, "resolved"))
    assert "CertpackWatchdogGaveUp" not in held(manager)


def test_records_that_are_new_reach_the_receiver_though_the_alert_is_the_same(manager, hook):
    for restarts in (1, 2):
        needed = alert(reason=Reason.RECORDS_NEEDED, stage=restarts, body=f"token {restarts}")
        asyncio.run(told(manager, firing(needed, first_at=now() - timedelta(minutes=5))))
        eventually(lambda: f"token {restarts}" in described(hook))  # noqa: B023  awaited at once


def test_when_the_daemon_dies_its_alerts_resolve(manager, hook, monkeypatch):
    monkeypatch.setattr(kind, "VALID_FOR", timedelta(seconds=2))
    asyncio.run(told(manager, state()))
    eventually(lambda: {"CertpackWatchdogGaveUp", "CertpackWatchdogHeartbeat"} <= set(notified(hook, "firing")))
    eventually(lambda: {"CertpackWatchdogGaveUp", "CertpackWatchdogHeartbeat"} <= set(notified(hook, "resolved")))


def test_many_alerts_at_once_are_taken(manager):
    states = [firing(alert(f"p{number}", body="x" * 500), first_at=now()) for number in range(1200)]
    asyncio.run(told(manager, *states))
    there = msgspec.json.decode(asked(f"{manager}/api/v2/alerts"))
    assert len(there) == 1201


class RealTime:
    def now(self):
        return now()

    def monotonic(self):
        return time.monotonic()

    async def sleep(self, delay):
        await asyncio.sleep(delay.total_seconds())


def test_from_a_pack_that_gives_up_to_the_receiver_and_back(manager, hook, tmp_path, monkeypatch):
    monkeypatch.setattr("tests.harness.alerting.LoopClock", RealTime)
    alerts = f"  destinations: [{{name: am, alertmanager: '{manager}'}}]\n"

    async def life():
        async with living(tmp_path, None, alerts) as runtime:
            for packs, status in (([gave_up()], "firing"), ([pack("p1")], "resolved")):
                await runtime.pipeline.after_pass(inventory(*packs, zones=[zone()]))
                await asyncio.to_thread(eventually, lambda: "CertpackWatchdogGaveUp" in notified(hook, status))  # noqa: B023  awaited at once

    began = time.monotonic()
    asyncio.run(life())
    assert time.monotonic() - began < 20
