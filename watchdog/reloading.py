"""Taking a changed configuration: when it is asked for, and by itself once a file has changed.

``daemon`` calls ``reload`` at a turn of its loop. ``follow`` looks at the files and asks for that. What a reload
changes is the matter of ``Runtime.apply``; here it is refused or taken, and said.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

from watchdog.config.document import DocumentError
from watchdog.config.files import Files
from watchdog.config.load import load
from watchdog.config.permissions import Exposed, Warn
from watchdog.config.schema import Config
from watchdog.health import Health
from watchdog.model.event_names import EventName
from watchdog.model.text import defect
from watchdog.notify.routing import unusable
from watchdog.runtime import CannotReload, Runtime
from watchdog.tell.metrics import Metrics
from watchdog.tell.systemd import Notifier

EVERY = timedelta(seconds=30)
"""How often the files are looked at."""

SETTLED = timedelta(seconds=5)
"""How long a change must have stayed as it is: a file may be half-written, or one of several that belong together."""


class Reloading:
    """Takes the configuration at ``path`` anew, or goes on with the one there is."""

    def __init__(
        self,
        runtime: Runtime,
        health: Health,
        *,
        metrics: Metrics,
        manager: Notifier,
        path: Path,
        environ: Mapping[str, str],
        files: Files,
    ) -> None:
        """``files`` is what the configuration was read from that runs."""
        self._runtime = runtime
        self._health = health
        self._metrics = metrics
        self._manager = manager
        self._path = path
        self._environ = environ
        self._files = files
        self._clock = runtime.components.clock
        self._taken = asyncio.Event()

    async def reload(self) -> None:
        """Take it whole or not at all. ``systemctl reload`` waits for READY, whatever comes of it."""
        self._manager.send(RELOADING=1, MONOTONIC_USEC=int(self._clock.monotonic() * 1e6))
        exposed: list[Exposed] = []
        self._files = Files()
        try:
            changes = self._runtime.apply(await self._read(exposed.append))
        except (DocumentError, CannotReload) as error:
            self._refuse(str(error))
        except Exception as surprise:  # noqa: BLE001  a fault of ours in one part must not end the watch
            self._refuse(defect(surprise))
        else:
            self._taken.set()
            self._health.configuration_taken()
            self._metrics.reloaded(self._clock.now(), successful=True)
            said = [str(change) for change in changes]
            self._runtime.telemetry.logs.write(EventName.CONFIG_RELOADED, changes=said)
            self._runtime.telemetry.exposed(exposed)
        finally:
            self._manager.send(READY=1)  # alone: whatever follows may fail
        found = self._runtime.inventory()
        self._manager.send(STATUS=self._health.summary(found))

    async def follow(self, changed: Callable[[], None]) -> None:
        """Call ``changed`` once the files hold something else than was read last, and stay so; until cancelled.

        What was read last may have been refused: then it is not tried again before it changes.
        """
        while True:
            if self._runtime.config.config.auto_reload:
                await self._clock.sleep(EVERY)
            if not self._runtime.config.config.auto_reload:
                self._taken.clear()  # until a configuration is taken that wants it
                await self._taken.wait()
                continue
            files, found = self._files, await asyncio.to_thread(self._files.changed)
            while found is not None and files is self._files:
                await self._clock.sleep(SETTLED)
                before, found = found, await asyncio.to_thread(files.changed)
                if found == before and files is self._files:
                    changed()
                    break

    async def _read(self, warn: Warn) -> Config:
        """What the files say, as ``check-config`` judges it. Raises ``DocumentError`` and ``CannotReload``."""
        config = load(self._path, self._environ, warn, opened=self._files.opened)
        if faults := await unusable(config):
            raise CannotReload("\n".join(f"{self._path}: {fault}" for fault in faults))
        return config

    def _refuse(self, error: str) -> None:
        self._health.refusal = error
        self._metrics.reloaded(self._clock.now(), successful=False)
        kept = "the configuration that was running"
        self._runtime.telemetry.logs.write(EventName.CONFIG_REFUSED, error=error.replace("\n", "; "), kept=kept)
