"""The daemon's lifetime: starts the components of ``runtime``, ticks the passes, reloads and stops.

The order of a start: configuration, state (which is locked), components, listener, signals, ticker; READY is told once
all of that stands. The order of a stop: no new looks, what is under way finishes, the memory is flushed, the listener
closes, the state is unlocked.
"""

import asyncio
import signal
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from watchdog.cloudflare.errors import KNOWN_CODES, Operation
from watchdog.config.changes import changes, needs_restart
from watchdog.config.load import ConfigError, load
from watchdog.config.permissions import Exposed
from watchdog.config.schema import Config
from watchdog.model.events import EventName
from watchdog.model.report import PassReport
from watchdog.model.text import clean
from watchdog.passes import Passes
from watchdog.proxy import unreadable
from watchdog.runtime import Runtime, caution, inventory, open_runtime, own_version
from watchdog.state.store import Store
from watchdog.tell.logs import configure
from watchdog.tell.systemd import Notifier

if TYPE_CHECKING:
    from watchdog.notify.http import HttpSender
    from watchdog.notify.pipeline import Pipeline
    from watchdog.notify.rules import Standing
    from watchdog.tell.metrics import Metrics

PATIENCE = timedelta(seconds=20)
"""How long a stop waits for what is under way; systemd's own patience (``TimeoutStopSec=30``) is longer."""

GRACE = timedelta(seconds=60)
"""How much longer than its length a pass may take before the daemon calls itself stuck."""

OVERDUE = 20.0
"""Seconds after which a tick that should have come is made by hand: the scheduler goes by the wall clock, which can be
set back by hours."""

TIDY_EVERY = timedelta(hours=6)
"""How often old entries are forgotten."""


async def watch(
    config: Config,
    store: Store,
    path: Path,
    environ: Mapping[str, str],
    exposed: Iterable[Exposed] = (),
    *,
    dry_run: bool,
) -> None:
    """``run``: the daemon, until it is told to stop. ``exposed`` is what the configuration warned of.

    Raises ``ListenError``.
    """
    metrics = new_metrics()
    async with open_runtime(config, store, dry_run=dry_run, metrics=metrics) as runtime:
        runtime.telemetry.exposed(exposed)
        await Daemon(runtime, metrics, path, environ).run()


def new_metrics() -> "Metrics":
    """Counters that begin at zero. Only the daemon is scraped, so only it pays for them."""
    from watchdog.tell.metrics import Metrics  # noqa: PLC0415

    return Metrics(own_version(), [str(operation) for operation in Operation], KNOWN_CODES)


class Ticking(Protocol):
    """What begins the passes; ``schedule.ticker`` is one."""

    def start(self) -> None:
        """Ring now, and go on ringing."""

    def retune(self, period: timedelta) -> None:
        """Ring every ``period`` from now on."""

    def tick_now(self) -> None:
        """Ring now, and every period from now on."""

    def stop(self) -> None:
        """Ring no more."""


class Daemon:
    """Passes by the ticker until told to stop."""

    def __init__(
        self,
        runtime: Runtime,
        metrics: "Metrics",
        path: Path,
        environ: Mapping[str, str],
        *,
        ticker: Callable[[timedelta, Callable[[], None]], Ticking] | None = None,
        post: "HttpSender | None" = None,
    ) -> None:
        """``ticker`` makes another than APScheduler's, which goes by real time; ``post`` is another way to people."""
        self._make_ticker, self._post = ticker, post
        self._runtime = runtime
        self._metrics = metrics
        self._path = path
        self._environ = environ
        self._clock = runtime.components.clock
        self.passes = Passes(runtime.components)
        self._notify = Notifier(environ)
        self._wake = asyncio.Event()
        self._ticked = self._reload_asked = self._stop_asked = False
        self._pass: asyncio.Task[PassReport] | None = None
        self._pass_due = self._ticked_at = self._clock.monotonic()
        self._last: PassReport | None = None
        self._tidied = self._clock.now()
        self._state_error = self._refusal = ""
        self._overdue_since: datetime | None = None
        self._pipeline: Pipeline | None = None
        self._listening: asyncio.Task[None] | None = None

    # ── lifetime ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Watch until ``ask_to_stop`` or a signal."""
        from watchdog.notify.http import HttpSender  # noqa: PLC0415  as above
        from watchdog.notify.pipeline import Pipeline  # noqa: PLC0415  only the daemon tells people
        from watchdog.schedule.ticker import Ticker  # noqa: PLC0415  only the daemon needs APScheduler
        from watchdog.tell.web import Web, bind  # noqa: PLC0415  only the daemon listens

        config, runtime = self._runtime.config, self._runtime
        self._pipeline = pipeline = Pipeline(
            *(config, runtime.store, runtime.components.memory.writer.ask),
            clock=self._clock,
            logs=runtime.telemetry.logs,
            count=self._metrics.notified,
            http=self._post or HttpSender(f"certpack-watchdog/{own_version()}"),
        )
        self._metrics.per_pack = config.metrics.per_pack
        self._metrics.reloaded(self._clock.now(), successful=True)
        sock = bind(config.web.listen) if config.web.listen else None
        web = Web(self, sock, pipeline.rows) if sock is not None else None
        for entry in unreadable(self._environ):
            self._log(EventName.NO_PROXY_IGNORED, entry=clean(entry, 100))
        await pipeline.start()
        ticker = (self._make_ticker or Ticker)(self._length(), self._tick)
        self._catch_signals()
        if web is not None:
            self._listening = web.start()
            self._listening.add_done_callback(lambda _: self._wake.set())
        self.passes.enrol()
        self._say_started(sock.getsockname()[:2] if sock is not None else None)
        self._notify.tell(READY=1, STATUS="Started; the first pass is under way.")
        ticker.start()
        try:
            while not self._stop_asked:
                await self._turn(ticker)
        finally:
            await self._stop(ticker.stop, web.stop if web is not None else None)

    async def _turn(self, ticker: Ticking) -> None:
        """One turn of the loop that does the work; the service manager's watchdog is fed here and nowhere else."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._beat()):
                await self._wake.wait()
        self._wake.clear()
        if (damage := self._runtime.store.damage) is not None:
            self._log(EventName.STATE_UNWRITABLE, error=str(damage))
            raise damage  # it is set aside, and the service manager starts us anew
        if self._listening is not None and self._listening.done():
            self._listening.result()  # with no listener nobody would know how we are; a new start may have one
        if self.healthy()[0]:
            self._overdue_since = None
            self._notify.tell(WATCHDOG=1)
        elif self._overdue_since is None:
            self._overdue_since = self._clock.now()
            await self._tell_people()
        if self._reload_asked:
            self._reload_asked = False
            self._reload(ticker.retune)
        if self._clock.monotonic() >= self._tick_due():
            ticker.tick_now()
        if self._pass is not None and self._pass.done():
            self._last, self._pass = self._pass.result(), None
            await self._after_pass()
        if self._ticked and self._pass is None and not self._stop_asked:
            self._ticked = False
            self._pass_due = self._clock.monotonic() + (self._length() + GRACE).total_seconds()
            self._pass = asyncio.create_task(self.passes.run_pass(self._length()))
            self._pass.add_done_callback(lambda _: self._wake.set())

    def _beat(self) -> float:
        """Seconds until the next turn, if nothing happens before: a sign of life, a tick, or a pass's end is due."""
        due = [self._tick_due()]
        if self._pass is not None and self._overdue_since is None:
            due.append(self._pass_due)
        beat = max(0.0, min(due) - self._clock.monotonic())
        watched = self._notify.watchdog_seconds
        return min(beat, watched / 3) if watched else beat

    def _tick_due(self) -> float:
        return self._ticked_at + self._length().total_seconds() + OVERDUE

    async def _after_pass(self) -> None:
        writer = self._runtime.components.memory.writer
        self._notify.tell(STATUS=self.sentence())
        if self._pipeline is not None and self._last is not None:
            await self._pipeline.after_pass(inventory(self._runtime.components), self._last, self._standing())
        if writer.error != self._state_error:
            self._state_error = writer.error
            if writer.error:
                self._log(EventName.STATE_UNWRITABLE, error=writer.error)
            else:
                self._log(EventName.STATE_WRITABLE)
        if self._clock.now() - self._tidied >= TIDY_EVERY:
            self._tidied = self._clock.now()
            zones = {zone.key for zone in self._runtime.components.watched.zones()}
            await self.passes.tidy()
            destinations = self._pipeline.destinations() if self._pipeline is not None else ()
            self._metrics.tidy(zones, self._runtime.components.clients, destinations)

    async def _stop(self, stop_ticker: Callable[[], None], stop_web: Callable[[], Any] | None) -> None:
        self._log(EventName.STOPPING)
        self._notify.tell(STOPPING=1, STATUS="Stopping: letting what is under way finish.")
        stop_ticker()
        await self.passes.stop(PATIENCE)
        if self._pass is not None:
            await asyncio.wait([self._pass], timeout=1)
        if self._pipeline is not None:
            await self._pipeline.close()
        if stop_web is not None:
            await stop_web()
        self._log(EventName.STOPPED)

    def _reload(self, retune: Callable[[timedelta], None]) -> None:
        """Take the configuration anew. ``systemctl reload`` waits for READY, whatever becomes of it."""
        self._notify.tell(RELOADING=1, MONOTONIC_USEC=int(self._clock.monotonic() * 1e6))
        try:
            self._take_configuration(retune)
        finally:
            self._notify.tell(READY=1, STATUS=self.sentence())

    def _take_configuration(self, retune: Callable[[timedelta], None]) -> None:
        now = self._clock.now()
        exposed: list[Exposed] = []
        try:
            config = load(self._path, self._environ, exposed.append)
            fixed = needs_restart(self._runtime.config, config)
            if fixed:
                raise CannotReload(f"{', '.join(fixed)} cannot change while running: restart the daemon")  # noqa: TRY301  one way out
        except (ConfigError, CannotReload) as error:
            self._refusal = str(error)
            self._metrics.reloaded(now, successful=False)
            said = self._refusal.replace("\n", "; ")
            self._log(EventName.CONFIG_REFUSED, error=said, kept="the configuration that was running")
        else:
            found = changes(self._runtime.config, config)
            self._runtime.apply(config, self.passes.busy)
            self._metrics.per_pack = config.metrics.per_pack
            configure(config.log.level, config.log.format, self._clock)
            retune(self._length())
            self.passes.enrol()
            self._refusal = ""
            if self._pipeline is not None:
                self._pipeline.reload(config)
            self._metrics.reloaded(now, successful=True)
            self._log(EventName.CONFIG_RELOADED, changes=[str(change) for change in found])
            self._runtime.telemetry.exposed(exposed)

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.ask_to_stop)
        loop.add_signal_handler(signal.SIGINT, self.ask_to_stop)
        loop.add_signal_handler(signal.SIGHUP, self.ask_to_reload)

    def ask_to_stop(self) -> None:
        """Stop at the next turn."""
        self._stop_asked = True
        self._wake.set()

    def ask_to_reload(self) -> None:
        """Reload the configuration at the next turn."""
        self._reload_asked = True
        self._wake.set()

    def _standing(self) -> "Standing":
        from watchdog.notify.rules import Standing  # noqa: PLC0415  the daemon has it loaded

        components = self._runtime.components
        lost = caution(components.memory.lost, self._runtime.config.restart.backoff.initial, self._clock.now())
        return Standing(
            components.memory.writer.error, self._refusal, self._overdue_since, dict(components.watched.failures), lost
        )

    async def _tell_people(self) -> None:
        """Something is wrong with the watchdog itself, and no pass will end soon to say so."""
        if self._pipeline is not None:
            await self._pipeline.consider(inventory(self._runtime.components), self._standing())

    def _tick(self) -> None:
        self._ticked, self._ticked_at = True, self._clock.monotonic()
        self._wake.set()

    def _length(self) -> timedelta:
        return self._runtime.config.schedule.attention_interval

    def _say_started(self, listening: tuple[str, int] | None) -> None:
        config = self._runtime.config
        host, port = listening or ("", 0)
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._log(
            EventName.STARTED,
            version=own_version(),
            zones=len(self._runtime.components.watched.zones()),
            listen=f"http://{address}/" if listening else None,
            state=config.state.url,
            dry_run=self._runtime.components.dry_run or None,
        )

    def _log(self, event: EventName, **fields: object) -> None:
        self._runtime.telemetry.logs.write(event, **fields)

    # ── answers to those who ask ─────────────────────────────────────────────────────────────────────────────────

    def sentence(self) -> str:
        """How things stand, for ``systemctl status``."""
        last = self._last
        if last is None:
            return "The first pass is under way."
        found = inventory(self._runtime.components)
        troubled = sum(1 for _, history in found.packs if history.trouble_since is not None)
        given_up = sum(1 for _, history in found.packs if history.gave_up_at is not None)
        unseen = len(found.lost())
        parts = [f"Watching {len(found.packs)} packs in {len(found.zones)} zones: {troubled} in trouble"]
        parts += [f"{given_up} given up"] if given_up else []
        parts += [f"{unseen} zones unseen"] if unseen else []
        return ", ".join(parts) + f". Last pass {last.started_at:%H:%M:%S} UTC."

    def healthy(self) -> tuple[bool, str]:
        """Whether the loop turns and no pass hangs."""
        if self._pass is not None and self._clock.monotonic() >= self._pass_due:
            return False, "a pass does not end"
        return True, "ok"

    async def ready(self) -> tuple[bool, str]:
        """Whether the first pass is done and the state can be written."""
        if self._last is None:
            return False, "the first pass is not done"
        writer = self._runtime.components.memory.writer
        if not await writer.writable():
            return False, f"the state cannot be written: {writer.error or 'the disk refuses'}"
        return True, "ok"

    def exposition(self) -> Callable[[str], tuple[bytes, str]]:
        """A snapshot of the metrics."""
        from watchdog.tell.metrics import Account, Snapshot  # noqa: PLC0415  the daemon has it loaded

        components = self._runtime.components
        accounts = tuple(
            Account(name, client.quota.remaining, client.quota.waited)
            for name, client in components.clients.items()
            if name in self._runtime.config.accounts
        )
        pipeline = self._pipeline
        told = (pipeline.firing(), pipeline.destinations()) if pipeline is not None else ({}, ())
        snapshot = Snapshot(inventory(components), accounts, *told)
        return lambda accept: self._metrics.expose(snapshot, accept)

    def packs(self) -> Callable[[], dict[str, Any]]:
        """A snapshot of all rows."""
        return inventory(self._runtime.components).rows


class CannotReload(Exception):
    """The new configuration is valid, but needs a restart of the daemon."""
