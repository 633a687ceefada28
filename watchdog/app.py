"""The composition root and the daemon's lifetime: builds the rooms from a ``Config``, starts, reloads and stops them.

Here is the one reader of real time. The order of a start: configuration, state (which is locked), rooms, listener,
signals, bell; READY is told once all of that stands. The order of a stop: no new looks, what is under way finishes,
the memory is flushed, the listener closes, the state is unlocked.
"""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Any, Protocol

from watchdog.cloudflare.client import Client, Heard, connect
from watchdog.cloudflare.credential import Credential
from watchdog.cloudflare.errors import KNOWN_CODES, Operation
from watchdog.cloudflare.quota import PER_ADDRESS, Allowance, Quota, Window
from watchdog.config.changes import changes, needs_restart
from watchdog.config.exposure import Exposed
from watchdog.config.load import ConfigError, load
from watchdog.config.schema import AccountConfig, Config, RestartPolicy
from watchdog.cycle import AT_ONCE, Cycle, Doctor, Policy, Rooms
from watchdog.decide.checks import Rules
from watchdog.model.clock import Clock, anchor
from watchdog.model.events import Event, rfc3339
from watchdog.model.history import Sent, cautious_until
from watchdog.model.packs import ZoneRef
from watchdog.model.reasons import Reason
from watchdog.model.report import Inventory, PassReport
from watchdog.observe.roster import Roster, Search
from watchdog.record.memory import Memory
from watchdog.record.store import Store
from watchdog.schedule.agenda import Agenda
from watchdog.tell.logs import Logs, configure
from watchdog.tell.systemd import Notifier

if TYPE_CHECKING:
    from watchdog.alerting import Alerting
    from watchdog.tell.alerts.conditions import Standing
    from watchdog.tell.alerts.post import Post
    from watchdog.tell.metrics import Metrics

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

PATIENCE = timedelta(seconds=20)
"""How long a stop waits for what is under way; systemd's own patience (``TimeoutStopSec=30``) is longer."""

GRACE = timedelta(seconds=60)
"""How much longer than its length a pass may take before the daemon calls itself stuck."""

OVERDUE = 20.0
"""Seconds after which a bell that should have rung is rung by hand: its scheduler goes by the wall clock, which can be
set back by hours."""

TIDY_EVERY = timedelta(hours=6)
"""How often old entries are forgotten."""


class RealClock:
    """Real time."""

    def __init__(self) -> None:
        self.boot = ""
        with suppress(OSError):  # elsewhere than on Linux
            self.boot = _BOOT_ID.read_text("ascii").strip()

    def now(self) -> datetime:
        """Wall time, in UTC."""
        return datetime.now(UTC)  # noqa: TID251  the one reader of real time

    def monotonic(self) -> float:
        """Seconds since some start."""
        return time.monotonic()  # noqa: TID251  the one reader of real time

    async def sleep(self, delay: timedelta) -> None:
        """Wait."""
        await asyncio.sleep(delay.total_seconds())  # noqa: TID251  the one reader of real time


def own_version() -> str:
    """The installed version, or ``unknown`` when run from a bare tree."""
    try:
        return version("certpack-watchdog")
    except PackageNotFoundError:
        return "unknown"


class Tellers:
    """Logs and, for the daemon, metrics as the one teller of the cycle, and the ears of the clients."""

    def __init__(self, logs: Logs, metrics: "Metrics | None", clock: Clock) -> None:
        self.logs = logs
        self.metrics = metrics
        self._clock = clock
        self.progress: Callable[[], None] = lambda: None

    def happened(self, events: list[Event]) -> None:
        """Log them, and count how long recoveries took."""
        for event in events:
            self.logs.happened(event)
            took = dict(event.facts).get("after_seconds") if event.name == "recovered" else None
            if isinstance(took, int) and self.metrics is not None:
                self.metrics.recovered(took)

    def restarted(self, zone: ZoneRef, sent: Sent) -> None:
        """Count it."""
        if self.metrics is not None:
            self.metrics.restarted(zone.account, zone.label, sent)

    def looked(self, zone: ZoneRef) -> None:  # noqa: ARG002  a teller may want to know which
        """Move the progress bar, where there is one."""
        self.progress()

    def passed(self, report: PassReport) -> None:
        """Log and count it."""
        if self.metrics is not None:
            self.metrics.passed(report, self._clock.now())
        self.logs.passed(report)

    def heard(self, call: Heard) -> None:
        """Count a call, and log it if it failed."""
        if self.metrics is not None:
            code = call.error.code if call.error else None
            self.metrics.called(call.account, call.operation, call.status, call.seconds, code)
        if call.error is not None:
            self.logs.failed(call.account, call.operation, call.error.code, str(call.error))

    def rate_limited(self, account: str, seconds: float) -> None:
        """Cloudflare told a credential to wait."""
        self.logs.say("warning", "rate_limited", account=account, wait_seconds=seconds)

    def exposed(self, files: Iterable[Exposed]) -> None:
        """Others can read these files, which hold credentials."""
        for each in files:
            fields = {"file": each.file, "mode": f"{each.mode:04o}", "remedy": each.remedy}
            self.logs.say("warning", "credential_exposed", **fields)


@dataclass(slots=True)
class House:
    """The rooms, built, with what is only needed to rebuild or close them."""

    config: Config
    rooms: Rooms
    tellers: Tellers
    address: Window
    http: Any
    store: Store

    def take(self, config: Config, busy: Mapping[str, int]) -> None:
        """Rebuild what another configuration changes; memory, learned quotas and turns stay.

        A credential that did not change keeps its standing, and a limit that did not change keeps what it has counted,
        whatever else is new. An account that is gone is kept while looks with it are under way.
        """
        old, self.config = self.config, config
        rooms = self.rooms
        leaving = {name: client for name, client in rooms.clients.items() if busy.get(name)}
        rooms.clients = {**leaving, **clients(config, self.http, self.address, rooms, self.tellers, old)}
        roster = make_roster(config)
        roster.inherit(rooms.roster)
        rooms.roster = roster
        rooms.policy = policies(config)
        if config.diagnosis != old.diagnosis:
            rooms.doctor = doctor(config)
        rooms.agenda.reschedule(config.schedule.interval, config.schedule.attention_interval)


def make_roster(config: Config) -> Roster:
    """The zones of the configuration, and what each account is to discover, asked anew every interval."""
    searches = {
        name: Search(tuple(account.discover.include), tuple(account.discover.exclude))
        for name, account in config.accounts.items()
        if account.discover is not None
    }
    return Roster(tuple(config.zone_refs()), searches, config.schedule.interval)


def policies(config: Config) -> Callable[[ZoneRef], Policy]:
    """What holds for a zone: its own ``restart`` overrides, else the global ones (for discovered zones too)."""
    usual = _policy(config.restart)
    special = {
        ref.key: _policy(zone.restart)
        for ref, zone in zip(config.zone_refs(), config.zones, strict=True)
        if zone.restart != config.restart
    }
    return lambda zone: special.get(zone.key, usual)


def doctor(config: Config) -> Doctor | None:
    """Who finds out why validations fail; nobody where that is turned off."""
    if not config.diagnosis.enabled:
        return None
    from watchdog.diagnose.examiner import Examiner  # noqa: PLC0415  dnspython costs 70 ms, and may be turned off

    return Examiner(config.diagnosis.addresses, config.diagnosis.timeout)


def _policy(restart: RestartPolicy) -> Policy:
    backoff = restart.backoff
    rules = Rules(restart.enabled, restart.max_attempts, backoff.initial, backoff.max)
    return Policy(
        rules, backoff.initial, backoff.factor, backoff.max, backoff.jitter, restart.max_per_hour, restart.recheck
    )


def clients(
    config: Config, http: Any, address: Window, rooms: Rooms, tellers: Tellers, old: Config | None = None
) -> dict[str, Client]:
    """One client per account; all of them under the one limit of our address.

    The credentials and quotas that the ``old`` configuration had as well are those of the present clients.
    """

    def credential(name: str, account: AccountConfig) -> Credential:
        before = old.accounts.get(name) if old else None
        if before is not None and _secrets(before) == _secrets(account):
            return rooms.clients[name].credential
        return _credential(name, account, rooms.clock)

    def quota(name: str, account: AccountConfig) -> Quota:
        if old and name in old.accounts:
            quota = rooms.clients[name].quota
            quota.allow(_allowance(account))
            return quota

        book = partial(rooms.memory.book, name)
        return Quota(_allowance(account), address, rooms.clock, book, rooms.memory.booked.get(name, ()))

    return {
        name: Client(
            http,
            base_url=config.api.base_url,
            timeout=config.api.timeout,
            credential=credential(name, account),
            quota=quota(name, account),
            clock=rooms.clock,
            dice=rooms.dice,
            user_agent=f"certpack-watchdog/{own_version()}",
            heard=tellers.heard,
            rate_limited=tellers.rate_limited,
        )
        for name, account in config.accounts.items()
    }


def _credential(name: str, account: AccountConfig, clock: Clock) -> Credential:
    if account.api_token is not None:
        return Credential.from_token(name, account.api_token.get_secret_value(), clock)
    key = account.api_key.get_secret_value() if account.api_key else ""
    return Credential.from_key(name, account.api_email or "", key, clock)


def _secrets(account: AccountConfig) -> tuple[object, ...]:
    return (account.api_token, account.api_email, account.api_key)


def _allowance(account: AccountConfig) -> Allowance:
    limit = account.rate_limit
    return Allowance(limit.requests, limit.per.total_seconds(), limit.share)


@asynccontextmanager
async def house(
    config: Config,
    store: Store,
    *,
    dry_run: bool = False,
    clock: Clock | None = None,
    agenda: Agenda | None = None,
    metrics: "Metrics | None" = None,
    http: Any = None,
    dice: Random | None = None,
) -> AsyncIterator[House]:
    """The rooms for a configuration and an open store, with everything recalled. Closes all it opened.

    ``http`` is another way to Cloudflare than ``connect`` gives, ``dice`` others than the system's. Who shares the
    store with a daemon leaves it to that one, which may be in the middle of a restart, to say what became of those
    without an outcome.
    """
    clock, dice = clock or RealClock(), dice or SystemRandom()
    configure(config.log.level, config.log.format, clock)
    tellers = Tellers(Logs(clock), metrics, clock)
    worker = ThreadPoolExecutor(1, thread_name_prefix="state")
    http = http or connect(config.api.base_url, 2 * AT_ONCE * max(1, len(config.accounts)))
    memory = Memory(store, worker)
    agenda = agenda or Agenda(config.schedule.interval, config.schedule.attention_interval)
    rooms = Rooms(
        agenda, make_roster(config), {}, memory, policies(config), tellers, clock, dice, dry_run, doctor(config)
    )
    address = Window(PER_ADDRESS, 1.0)
    try:
        await _recall(config, rooms, tellers, alone=store.exclusive)
        rooms.clients = clients(config, http, address, rooms, tellers)
        yield House(config, rooms, tellers, address, http, store)
    finally:
        if rooms.doctor is not None:
            await rooms.doctor.close()
        await http.aclose()
        worker.shutdown()


async def _recall(config: Config, rooms: Rooms, tellers: Tellers, *, alone: bool) -> None:
    """Load the memory. A restart whose outcome nobody noted was cut off by the end of the process: say so, once.

    Not ``alone``, it may as well be under way in the daemon, who will note it.
    """
    now, memory = rooms.clock.now(), rooms.memory
    unsettled = await memory.recall(anchor(rooms.clock))
    if alone and (held := _held_for_a_loss(config, memory, now)):
        kept, until = held
        tellers.logs.say("error", "state_lost", kept=str(kept), restarts_from=until)
    for intent_id, intent in unsettled if alone else ():
        error = "the process ended before the answer came"
        rooms.memory.settle(intent_id, Sent.UNKNOWN, error, now)
        zone = ZoneRef(intent.account, intent.zone, intent.zone_id)
        facts = (("attempt", intent.attempt), ("next_restart_at", intent.next_restart_at), ("error", error))
        event = Event("restart_failed", now, zone, None, Reason.OUTCOME_UNKNOWN, "warning", facts)
        rooms.memory.journal([event])
        tellers.logs.happened(event, pack_id=intent.pack_id)


def _held_for_a_loss(config: Config, memory: Memory, now: datetime) -> tuple[Path, datetime] | None:
    """Where the state that was lost is kept, and until when restarts are held for it; ``None`` while they are not."""
    if memory.lost is None or now >= (until := cautious_until(memory.lost.at, config.restart.backoff.initial)):
        return None
    return memory.lost.kept, until


def inventory(rooms: Rooms) -> Inventory:
    """All watched zones and their packs, as they are remembered now."""
    memory = rooms.memory
    zones = [memory.zone(zone) for zone in rooms.roster.zones()]
    packs = [(known, memory.history(known.pack)) for zone in zones for known in memory.packs_of(zone)]
    return Inventory(packs, zones)


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
    async with house(config, store, dry_run=dry_run, metrics=metrics) as home:
        home.tellers.exposed(exposed)
        await Daemon(home, metrics, path, environ).run()


def new_metrics() -> "Metrics":
    """Counters that begin at zero. Only the daemon is scraped, so only it pays for them."""
    from watchdog.tell.metrics import Metrics  # noqa: PLC0415

    return Metrics(own_version(), [str(operation) for operation in Operation], KNOWN_CODES)


class Ringing(Protocol):
    """What begins the passes; ``schedule.bell`` is one."""

    def start(self) -> None:
        """Ring now, and go on ringing."""

    def retune(self, period: timedelta) -> None:
        """Ring every ``period`` from now on."""

    def again(self) -> None:
        """Ring now, and every period from now on."""

    def stop(self) -> None:
        """Ring no more."""


class Daemon:
    """Passes by the bell until told to stop."""

    def __init__(
        self,
        home: House,
        metrics: "Metrics",
        path: Path,
        environ: Mapping[str, str],
        *,
        bell: Callable[[timedelta, Callable[[], None]], Ringing] | None = None,
        post: "Post | None" = None,
    ) -> None:
        """``bell`` makes another than APScheduler's, which goes by real time; ``post`` is another way to people."""
        self._make_bell, self._post = bell, post
        self._home = home
        self._metrics = metrics
        self._path = path
        self._environ = environ
        self._clock = home.rooms.clock
        self.cycle = Cycle(home.rooms)
        self._notify = Notifier(environ)
        self._wake = asyncio.Event()
        self._rung = self._reload_asked = self._stop_asked = False
        self._pass: asyncio.Task[PassReport] | None = None
        self._pass_due = self._rang_at = self._clock.monotonic()
        self._last: PassReport | None = None
        self._tidied = self._clock.now()
        self._state_error = self._refusal = ""
        self._overdue_since: datetime | None = None
        self._alerting: Alerting | None = None
        self._listening: asyncio.Task[None] | None = None

    # ── lifetime ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Watch until ``ask_to_stop`` or a signal."""
        from watchdog.alerting import Alerting  # noqa: PLC0415  only the daemon tells people
        from watchdog.schedule.bell import Bell  # noqa: PLC0415  only the daemon needs APScheduler
        from watchdog.tell.alerts.post import Post  # noqa: PLC0415  as above
        from watchdog.tell.web import Web, bind  # noqa: PLC0415  only the daemon listens

        config, home = self._home.config, self._home
        self._alerting = alerting = Alerting(
            *(config, home.store, home.rooms.memory.ask),
            clock=self._clock,
            logs=home.tellers.logs,
            count=self._metrics.notified,
            post=self._post or Post(f"certpack-watchdog/{own_version()}"),
        )
        self._metrics.per_pack = config.metrics.per_pack
        self._metrics.reloaded(self._clock.now(), successful=True)
        sock = bind(config.web.listen) if config.web.listen else None
        web = Web(self, sock, alerting.rows) if sock is not None else None
        await alerting.start()
        bell = (self._make_bell or Bell)(self._length(), self._ring)
        self._catch_signals()
        if web is not None:
            self._listening = web.start()
            self._listening.add_done_callback(lambda _: self._wake.set())
        self.cycle.enrol()
        self._say_started(sock.getsockname()[:2] if sock is not None else None)
        self._notify.tell(READY=1, STATUS="Started; the first pass is under way.")
        bell.start()
        try:
            while not self._stop_asked:
                await self._turn(bell)
        finally:
            await self._stop(bell.stop, web.stop if web is not None else None)

    async def _turn(self, bell: Ringing) -> None:
        """One turn of the loop that does the work; the service manager's watchdog is fed here and nowhere else."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._beat()):
                await self._wake.wait()
        self._wake.clear()
        if (damage := self._home.store.damage) is not None:
            self._log("state_unwritable", "error", error=str(damage))
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
            self._reload(bell.retune)
        if self._clock.monotonic() >= self._bell_due():
            bell.again()
        if self._pass is not None and self._pass.done():
            self._last, self._pass = self._pass.result(), None
            await self._after_pass()
        if self._rung and self._pass is None and not self._stop_asked:
            self._rung = False
            self._pass_due = self._clock.monotonic() + (self._length() + GRACE).total_seconds()
            self._pass = asyncio.create_task(self.cycle.run_pass(self._length()))
            self._pass.add_done_callback(lambda _: self._wake.set())

    def _beat(self) -> float:
        """Seconds until the next turn, if nothing happens before: a sign of life is due, the bell, or a pass's end."""
        due = [self._bell_due()]
        if self._pass is not None and self._overdue_since is None:
            due.append(self._pass_due)
        beat = max(0.0, min(due) - self._clock.monotonic())
        watched = self._notify.watchdog_seconds
        return min(beat, watched / 3) if watched else beat

    def _bell_due(self) -> float:
        return self._rang_at + self._length().total_seconds() + OVERDUE

    async def _after_pass(self) -> None:
        memory = self._home.rooms.memory
        self._notify.tell(STATUS=self.sentence())
        if self._alerting is not None and self._last is not None:
            await self._alerting.after_pass(inventory(self._home.rooms), self._last, self._standing())
        if memory.error != self._state_error:
            self._state_error = memory.error
            if memory.error:
                self._log("state_unwritable", "error", error=memory.error)
            else:
                self._log("state_writable")
        if self._clock.now() - self._tidied >= TIDY_EVERY:
            self._tidied = self._clock.now()
            zones = {zone.key for zone in self._home.rooms.roster.zones()}
            await memory.tidy(zones, self._clock.now())
            destinations = self._alerting.destinations() if self._alerting is not None else ()
            self._metrics.tidy(zones, self._home.rooms.clients, destinations)

    async def _stop(self, stop_bell: Callable[[], None], stop_web: Callable[[], Any] | None) -> None:
        self._log("stopping")
        self._notify.tell(STOPPING=1, STATUS="Stopping: letting what is under way finish.")
        stop_bell()
        await self.cycle.stop(PATIENCE)
        if self._pass is not None:
            await asyncio.wait([self._pass], timeout=1)
        if self._alerting is not None:
            await self._alerting.close()
        if stop_web is not None:
            await stop_web()
        self._log("stopped")

    def _reload(self, retune: Callable[[timedelta], None]) -> None:
        self._notify.tell(RELOADING=1, MONOTONIC_USEC=int(self._clock.monotonic() * 1e6))
        now = self._clock.now()
        exposed: list[Exposed] = []
        try:
            config = load(self._path, self._environ, exposed.append)
            fixed = needs_restart(self._home.config, config)
            if fixed:
                raise CannotReload(f"{', '.join(fixed)} cannot change while running: restart the daemon")  # noqa: TRY301  one way out
        except (ConfigError, CannotReload) as error:
            self._refusal = str(error)
            self._metrics.reloaded(now, successful=False)
            self._log("config_refused", level="error", error=str(error), kept="the configuration that was running")
        else:
            found = changes(self._home.config, config)
            self._home.take(config, self.cycle.busy)
            self._metrics.per_pack = config.metrics.per_pack
            configure(config.log.level, config.log.format, self._clock)
            retune(self._length())
            self.cycle.enrol()
            self._refusal = ""
            if self._alerting is not None:
                self._alerting.reload(config)
            self._metrics.reloaded(now, successful=True)
            self._log("config_reloaded", changes=[str(change) for change in found])
            self._home.tellers.exposed(exposed)
        self._notify.tell(READY=1, STATUS=self.sentence())

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
        from watchdog.tell.alerts.conditions import Standing  # noqa: PLC0415  the daemon has it loaded

        rooms, lost = self._home.rooms, ""
        if held := _held_for_a_loss(self._home.config, rooms.memory, self._clock.now()):
            kept, until = held
            lost = f"The damaged one is kept as {kept}. Restarts begin again at {rfc3339(until)}, by themselves."
        return Standing(rooms.memory.error, self._refusal, self._overdue_since, dict(rooms.roster.failures), lost)

    async def _tell_people(self) -> None:
        """Something is wrong with the watchdog itself, and no pass will end soon to say so."""
        if self._alerting is not None:
            await self._alerting.consider(inventory(self._home.rooms), self._standing())

    def _ring(self) -> None:
        self._rung, self._rang_at = True, self._clock.monotonic()
        self._wake.set()

    def _length(self) -> timedelta:
        return self._home.config.schedule.attention_interval

    def _say_started(self, listening: tuple[str, int] | None) -> None:
        config = self._home.config
        host, port = listening or ("", 0)
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._log(
            "started",
            version=own_version(),
            zones=len(self._home.rooms.roster.zones()),
            listen=f"http://{address}/" if listening else None,
            state=config.state.url,
            dry_run=self._home.rooms.dry_run or None,
        )

    def _log(self, event: str, level: str = "info", **fields: object) -> None:
        self._home.tellers.logs.say(level, event, **fields)

    # ── answers to those who ask ─────────────────────────────────────────────────────────────────────────────────

    def sentence(self) -> str:
        """How things stand, for ``systemctl status``."""
        last = self._last
        if last is None:
            return "The first pass is under way."
        found = inventory(self._home.rooms)
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
        if not await self._home.rooms.memory.writable():
            return False, f"the state cannot be written: {self._home.rooms.memory.error or 'the disk refuses'}"
        return True, "ok"

    def exposition(self) -> Callable[[str], tuple[bytes, str]]:
        """A snapshot of the metrics."""
        from watchdog.tell.metrics import Account, Snapshot  # noqa: PLC0415  the daemon has it loaded

        rooms = self._home.rooms
        accounts = tuple(
            Account(name, client.quota.remaining, client.quota.waited)
            for name, client in rooms.clients.items()
            if name in self._home.config.accounts
        )
        alerting = self._alerting
        told = (alerting.firing(), alerting.destinations()) if alerting is not None else ({}, ())
        snapshot = Snapshot(inventory(rooms), accounts, *told)
        return lambda accept: self._metrics.expose(snapshot, accept)

    def packs(self) -> Callable[[], dict[str, Any]]:
        """A snapshot of all rows."""
        return inventory(self._home.rooms).rows


class CannotReload(Exception):
    """The new configuration is valid, but needs a restart of the daemon."""
