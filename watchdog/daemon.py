"""The daemon's lifetime: start, tick, reload, stop, in that order. It owns no part of the watch and asks ``Runtime``.

The order of a start: configuration, state (which is locked), components, listener, signals, ticker; READY is told once
all of that stands. The order of a stop: no new looks, what is under way finishes, the memory is flushed, the listener
closes, the state is unlocked. How it stands meanwhile is in ``health``, how it takes another configuration in
``reloading``.
"""

import asyncio
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from watchdog.cloudflare.errors import KNOWN_CODES
from watchdog.config.files import Files
from watchdog.daemon_sources import DaemonSources
from watchdog.handover import Handover
from watchdog.health import Health
from watchdog.model.event_names import EventName
from watchdog.model.report import PassReport
from watchdog.model.text import clean
from watchdog.notify.http import HttpSender
from watchdog.notify.pipeline import Pipeline
from watchdog.proxy import unreadable
from watchdog.reloading import Reloading
from watchdog.runtime import Runtime
from watchdog.schedule.ticker import Ticker, Ticking
from watchdog.tell.listener import Listener, bind
from watchdog.tell.metrics import Metrics
from watchdog.tell.page.site import prepare
from watchdog.tell.pages import application
from watchdog.tell.systemd import Notifier
from watchdog.version import VERSION

PATIENCE = timedelta(seconds=20)
"""How long a stop waits for what is under way; systemd's own patience (``TimeoutStopSec=30``) is longer."""

GRACE = timedelta(seconds=60)
"""How much longer than its length a pass may take before the daemon calls itself stuck."""

OVERDUE = 20.0
"""Seconds after which a tick that should have come is made by hand: the scheduler goes by the wall clock, which can be
set back by hours."""

TIDY_EVERY = timedelta(hours=6)
"""How often old rows are forgotten."""


def new_metrics() -> Metrics:
    """Counters that begin at zero."""
    return Metrics(VERSION, KNOWN_CODES)


class Daemon:
    """Passes by the ticker until asked to stop."""

    def __init__(
        self,
        runtime: Runtime,
        metrics: Metrics,
        path: Path,
        environ: Mapping[str, str],
        *,
        files: Files | None = None,
        ticker: Callable[[timedelta, Callable[[], None]], Ticking] = Ticker,
        sender: HttpSender | None = None,
    ) -> None:
        """``files`` is what the configuration was read from, to be followed.

        ``ticker`` makes another than APScheduler's, which goes by real time; ``sender`` sends alerts another way.
        """
        self._runtime = runtime
        self._metrics = metrics
        self._environ = environ
        self._clock = runtime.components.clock
        self.health = Health(runtime)
        self.pipeline = runtime.pipeline = Pipeline(
            runtime.config,
            runtime.store,
            runtime.components.memory.writer.ask,
            clock=self._clock,
            logs=runtime.telemetry.logs,
            count=metrics.notified,
            journal=runtime.components.memory.journal,
            http=sender or HttpSender(f"certpack-watchdog/{VERSION}"),
            tenure=runtime.components.tenure,
            worked=lambda account: account in runtime.passes.worked,
        )
        self.handover = Handover(runtime, self._arrived)
        self._keeping: asyncio.Task[None] | None = None
        self.sources = DaemonSources(runtime, self.health, self.pipeline, metrics, self.handover.transitions)
        self._ticker = ticker(self._length, self._tick)
        self._notify = Notifier(environ)
        self._reloading = Reloading(
            runtime,
            self.health,
            metrics=metrics,
            manager=self._notify,
            path=path,
            environ=environ,
            files=files or Files(),
        )
        self._following: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._ticked = self._reload_asked = self._stop_asked = False
        self._ticked_at = self._clock.monotonic()
        self._pass: asyncio.Task[PassReport] | None = None
        self._tidied_at = self._clock.monotonic()
        self._state_error = ""
        self._listener: Listener | None = None
        self._listening: asyncio.Task[None] | None = None
        self._prepared = False

    async def run(self) -> None:
        """Watch until ``ask_to_stop`` or a signal.

        Raises ``ListenError``, ``StateDamaged``, and ``OSError`` where the listener can go on no more.
        """
        await self._start()
        try:
            while not self._stop_asked:
                await self._turn()
        finally:
            await self._stop()

    def ask_to_stop(self) -> None:
        """Stop at the next turn."""
        self._stop_asked = True
        self._wake.set()

    def ask_to_reload(self) -> None:
        """Reload the configuration at the next turn."""
        self._reload_asked = True
        self._wake.set()

    async def reload(self) -> None:
        """Take the configuration anew, or go on with the one there is."""
        self._reload_asked = False
        await self._reloading.reload()

    # ── start ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _start(self) -> None:
        runtime, config = self._runtime, self._runtime.config
        sock = bind(config.web.listen) if config.web.listen else None
        self._metrics.reloaded(self._clock.now(), successful=True)
        for entry in unreadable(self._environ):
            self._log(EventName.NO_PROXY_IGNORED, entry=clean(entry, 100))
        await self.pipeline.start()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.ask_to_stop)
        loop.add_signal_handler(signal.SIGINT, self.ask_to_stop)
        loop.add_signal_handler(signal.SIGHUP, self.ask_to_reload)
        if sock is not None:
            self._listener = Listener(application(self.sources.sources()), sock)
            self._listening = self._listener.start()
            self._listening.add_done_callback(lambda _: self._wake.set())
        runtime.passes.enrol()
        watched = runtime.components.watched
        self._log(
            EventName.STARTED,
            version=VERSION,
            zones=len(watched.zones()) or None,
            discovering=list(watched.unsearched) or None,
            listen=self._listener.url if self._listener is not None else None,
            state=str(config.state.url),
            dry_run=runtime.components.dry_run or None,
        )
        self._notify.send(READY=1, STATUS="Started; the first pass is under way.")
        self._following = asyncio.create_task(self._reloading.follow(self.ask_to_reload))
        self._ticker.start()
        if (keeper := runtime.keeper) is not None:
            keeper.held.attendant, keeper.describe = self.handover, self.health.described
            self._keeping = asyncio.create_task(keeper.run())

    # ── tick ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _turn(self) -> None:
        """One turn of the loop that does the work; the service manager's watchdog is fed here and nowhere else."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience()):
                await self._wake.wait()
        self._wake.clear()
        if (damage := self._runtime.store.damage) is not None:
            self._log(EventName.STATE_UNWRITABLE, error=str(damage))
            raise damage  # it is set aside, and the service manager starts us anew
        if self._listening is not None and self._listening.done():
            self._listening.result()  # with no listener nobody would know how we are; a new start may have one
        if self.health.healthy()[0]:
            self._notify.send(WATCHDOG=1)
        if self.health.newly_overdue():
            await self._alert()
        if self._reload_asked:
            await self.reload()
        self._ticker.retune(self._length)
        if self._clock.monotonic() >= self._tick_due:
            self._ticker.tick_now()
        if self._pass is not None and self._pass.done():
            report, self._pass = self._pass.result(), None
            await self._after_pass(report)
        if self._ticked and self._pass is None and not self._stop_asked:
            self._ticked = False
            self.health.pass_begun(self._clock.monotonic() + (self._length + GRACE).total_seconds())
            self._pass = asyncio.create_task(self._runtime.passes.run_pass(self._length))
            self._pass.add_done_callback(lambda _: self._wake.set())

    def _arrived(self) -> None:
        """There are accounts to watch that were not ours before."""
        if self._stop_asked:  # the ticker may be gone
            return
        self._runtime.passes.begin_parts()
        self._ticker.tick_now()

    def _tick(self) -> None:
        self._ticked, self._ticked_at = True, self._clock.monotonic()
        self._wake.set()

    @property
    def _length(self) -> timedelta:
        return self._runtime.config.schedule.attention_interval

    @property
    def _tick_due(self) -> float:
        return self._ticked_at + self._length.total_seconds() + OVERDUE

    def _patience(self) -> float:
        """Seconds until the next turn, if nothing happens before: a sign of life, a tick, or a pass's end is due."""
        due = self._tick_due
        if self.health.pass_due is not None and self.health.overdue_since is None:
            due = min(due, self.health.pass_due)
        wait = max(0.0, due - self._clock.monotonic())
        watched = self._notify.watchdog_seconds
        return min(wait, watched / 3) if watched else wait

    async def _after_pass(self, report: PassReport) -> None:
        components, writer = self._runtime.components, self._runtime.components.memory.writer
        self.health.pass_ended(report)
        found = await asyncio.to_thread(self._runtime.inventory)
        if self._notify.heard:
            self._notify.send(STATUS=self.health.summary(found))
        heartbeat = True
        if (keeper := self._runtime.keeper) is not None:
            keeper.saw(self.health.seeing(found))
            heartbeat = self.health.all_seen()
        await self.pipeline.after_pass(found, self.health.report(), heartbeat=heartbeat)
        if not self._prepared:
            self._prepared = True
            if self._listener is not None:
                await asyncio.to_thread(prepare)
            await asyncio.to_thread(components.memory.read_ahead)
        if writer.error != self._state_error:
            self._state_error = writer.error
            if self._state_error:
                self._log(EventName.STATE_UNWRITABLE, error=self._state_error)
            else:
                self._log(EventName.STATE_WRITABLE)
        if self._clock.monotonic() - self._tidied_at >= TIDY_EVERY.total_seconds():
            self._tidied_at = self._clock.monotonic()
            zones = {zone.key for zone in components.watched.zones()}
            await self._runtime.passes.tidy()
            self._metrics.tidy(zones, components.clients, self.pipeline.destinations.names)

    async def _alert(self) -> None:
        """Something is wrong with the watchdog itself, and no pass will end soon to say so."""
        await self.pipeline.consider(self._runtime.inventory(), self.health.report())

    # ── stop ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _stop(self) -> None:
        self._log(EventName.STOPPING)
        self._notify.send(STOPPING=1, STATUS="Stopping: letting what is under way finish.")
        self._ticker.stop()
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        for client in self._runtime.components.clients.values():
            client.quota.end(PATIENCE.total_seconds())
        await self._runtime.passes.stop(PATIENCE)
        if self._pass is not None:
            await asyncio.wait([self._pass], timeout=1)
        await self.pipeline.close()
        if self._keeping is not None and self._runtime.keeper is not None:
            self._keeping.cancel()
            await self._runtime.keeper.leave()
            if not self._runtime.keeper.error:
                await self._runtime.components.memory.writer.flush()  # what was handed over
        if self._listener is not None:
            await self._listener.stop()
        self._log(EventName.STOPPED)

    def _log(self, event: EventName, **fields: object) -> None:
        self._runtime.telemetry.logs.write(event, **fields)
