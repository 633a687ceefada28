"""The whole chain in simulated time: the simulated Cloudflare, the watchdog's components, alerts, a receiver."""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

from tests.harness.alerting import Logs, Network
from tests.harness.fleet import Start
from watchdog.notify.http import HttpSender
from watchdog.notify.pipeline import Pipeline
from watchdog.notify.rules import Standing
from watchdog.runtime import inventory

HOOK = {"name": "hook", "webhook": "http://hook.test/"}


class Diagnoser:
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

    def __init__(self, fleet, pipeline, network, logs):
        self.fleet, self.pipeline, self.network, self.logs = fleet, pipeline, network, logs

    async def watch(self, *, own=None, **duration):
        """Passes by the ticker for so long, each told; ``own`` is what else is wrong with the watchdog itself."""
        fleet = self.fleet
        length = fleet.runtime.config.schedule.attention_interval.total_seconds()
        end = fleet.clock.monotonic() + timedelta(**duration).total_seconds()
        while (began := fleet.clock.monotonic()) < end:
            report = await fleet.look()
            components = fleet.components
            standing = Standing(components.memory.error, discovery=dict(components.watched.failures), **(own or {}))
            await self.pipeline.after_pass(inventory(components), report, standing)
            await asyncio.sleep(max(0.0, min(end, began + length) - fleet.clock.monotonic()))


@asynccontextmanager
async def chain(folder, main, *, config=None, network=None, **more):
    """One life of a watchdog that tells a webhook at ``hook.test``, over ``folder``."""
    network, logs = network or Network(), Logs()
    alerts = {"destinations": [HOOK], **(config or {}).pop("alerts", {})}
    async with Start(folder)(main, config={**(config or {}), "alerts": alerts}, **more) as fleet:
        asking = fleet.components.memory.ask
        http = HttpSender("certpack-watchdog/test", network)
        pipeline = Pipeline(fleet.runtime.config, fleet.store, asking, clock=fleet.clock, logs=logs, http=http)
        await pipeline.start()
        try:
            yield Chain(fleet, pipeline, network, logs)
        finally:
            await pipeline.close()
