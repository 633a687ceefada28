"""The whole chain in simulated time: the simulated Cloudflare, the watchdog's rooms, its alerting, and a receiver."""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

from tests.alerts.household import Logs, Network
from tests.fleet import Start
from watchdog.alerting import Alerting
from watchdog.house import inventory
from watchdog.tell.alerts.conditions import Standing
from watchdog.tell.alerts.post import Post

HOOK = {"name": "hook", "webhook": "http://hook.test/"}


class Doctor:
    """Says ``findings`` of a zone's packs, and nothing of the others."""

    def __init__(self, findings=None):
        self.findings = findings or {}

    def begin_pass(self):
        pass

    async def diagnose(self, pack, _facts):
        return tuple(self.findings.get(pack.hosts[0], ()))

    async def close(self):
        pass


class Chain:
    """A fleet, and the people who are told of it."""

    def __init__(self, fleet, alerting, network, logs):
        self.fleet, self.alerting, self.network, self.logs = fleet, alerting, network, logs

    async def watch(self, *, own=None, **duration):
        """Passes by the bell for so long, each of them told; ``own`` is what else is wrong with the watchdog itself."""
        fleet = self.fleet
        length = fleet.home.config.schedule.attention_interval.total_seconds()
        end = fleet.clock.monotonic() + timedelta(**duration).total_seconds()
        while (began := fleet.clock.monotonic()) < end:
            report = await fleet.look()
            rooms = fleet.rooms
            standing = Standing(rooms.memory.error, discovery=dict(rooms.roster.failures), **(own or {}))
            await self.alerting.after_pass(inventory(rooms), report, standing)
            await asyncio.sleep(max(0.0, min(end, began + length) - fleet.clock.monotonic()))


@asynccontextmanager
async def chain(folder, main, *, config=None, network=None, **more):
    """One life of a watchdog that tells a webhook at ``hook.test``, over ``folder``."""
    network, logs = network or Network(), Logs()
    alerts = {"destinations": [HOOK], **(config or {}).pop("alerts", {})}
    async with Start(folder)(main, config={**(config or {}), "alerts": alerts}, **more) as fleet:
        asking = fleet.rooms.memory.ask
        post = Post("certpack-watchdog/test", network)
        alerting = Alerting(fleet.home.config, fleet.store, asking, clock=fleet.clock, logs=logs, post=post)
        await alerting.start()
        try:
            yield Chain(fleet, alerting, network, logs)
        finally:
            await alerting.close()
