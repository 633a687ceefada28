"""``once --alert``: people are alerted as by the daemon, from the same log of alerts and the same outbox.

What cannot be delivered within ``PATIENCE`` stays in the outbox: the next run takes it up, or a daemon.
"""

from datetime import timedelta

from watchdog.health import Health
from watchdog.model.event_names import EventName
from watchdog.model.leases import WATCHDOG
from watchdog.notify.http import HttpSender
from watchdog.notify.pipeline import Pipeline
from watchdog.runtime import Runtime
from watchdog.state.database import StateError
from watchdog.version import VERSION

PATIENCE = timedelta(seconds=60)
"""How long destinations have to take what there is for them: twice what the slowest but a mail server has for one."""


async def tell(runtime: Runtime) -> None:
    """After a pass: tell what is new, ping the heartbeat, and deliver. Raises nothing of its own."""
    components = runtime.components
    pipeline = Pipeline(
        runtime.config,
        runtime.store,
        components.memory.writer.ask,
        clock=components.clock,
        logs=runtime.telemetry.logs,
        journal=components.memory.journal,
        http=HttpSender(f"certpack-watchdog/{VERSION}"),
        tenure=components.tenure,
        once=True,
    )
    await pipeline.start()
    try:
        if (keeper := runtime.keeper) is not None:  # what was told of an account comes with its lease
            await pipeline.adopt([each for each in (WATCHDOG, *runtime.config.accounts) if keeper.held.holds(each)])
        await pipeline.after_pass(runtime.inventory(), Health(runtime).report())
        await pipeline.destinations.settled(PATIENCE)
    except StateError as error:  # then nobody knows what was told: the next run does
        runtime.telemetry.logs.write(EventName.ALERT_FAILED, "error", error=str(error))
    finally:
        await pipeline.close()
        await components.memory.writer.flush()
