"""One history of several replicas over one state: whole daemons, each on a machine of its own, under the laws.

A machine may be stopped between any two turns of its loop and go on minutes later, be cut off from the database or from
Cloudflare, have clocks that are hours off, and lose its process. What all of them share is the database, Cloudflare and
the people, who are told.
"""

import asyncio
import io
import json
import math
import re
from contextlib import redirect_stderr, suppress
from datetime import timedelta
from random import Random
from unittest.mock import patch

from tests.harness.simulation import plan, plan_of_several
from tests.harness.simulation.ending import Ending
from tests.harness.simulation.environment import FromProcess, Ticker, TrueClock, Wire
from tests.harness.simulation.invariants import Broken
from tests.harness.simulation.laws_of_several import LOOKED_AT_EVERY, LawsOfSeveral
from tests.harness.simulation.shared_state import Connection, Server, Way
from tests.harness.simulation.surroundings import Ears, Surroundings
from tests.harness.simulation.turns import ReplicaLoop, Turns
from tests.harness.values import replace, rows_of
from watchdog.cloudflare.errors import KNOWN_CODES
from watchdog.config.load import load
from watchdog.daemon import Daemon
from watchdog.notify.http import HttpSender
from watchdog.runtime import open_runtime
from watchdog.state.database import StateError
from watchdog.state.store import Store
from watchdog.tell.metrics import Metrics

_VERSION = re.compile(r'_build_info\{.*version="([^"]*)"')
_CONFIG = re.compile(r'_config_info\{hash="([^"]*)"')
RESTART_AFTER = 10.0
"""Seconds until the service manager starts the process again, as the unit says."""


class Machine:
    """Where one replica runs. ``slept`` are the seconds for which it was suspended: its monotonic clock knows none."""

    def __init__(self, number, wrong, way, config):
        self.number, self.way = number, way
        self.config = self.usual = config
        self.name = f"replica-{number}"
        self.wrong = timedelta(seconds=wrong)
        self.slept = 0.0
        self.unreachable = False
        self.version = 0
        self.process = None

    @property
    def able(self):
        """Whether its replica can do all that it is there for."""
        return self.beats and self.config is self.usual and not self.unreachable

    @property
    def beats(self):
        """Whether its replica runs, and reaches the database."""
        return self.process is not None and not self.process.paused and not self.way.cut and not self.way.slow


class MachineClock(TrueClock):
    """The clocks of one machine."""

    def __init__(self, time, machine):
        super().__init__(time)
        self._machine = machine
        self.boot = f"the boot of {machine.name}"

    def now(self):
        return self._time.true() + self._machine.wrong

    def monotonic(self):
        return self._time.seconds - self._machine.slept

    def boottime(self):
        return self._time.seconds


class Replicas(Surroundings):
    """A deployment's history, in a folder of its own."""

    def __init__(self, deployment, folder):
        super().__init__(deployment.fate, folder)
        self.deployment = deployment
        self.turns = Turns(self.time, self.dice)
        self.laws = LawsOfSeveral(deployment, self.time, self.world)
        self.server = Server(self.time, self.laws)
        self.server.wrong = timedelta(seconds=deployment.wrong[-1])
        self._lives = {}  # machine: the last process there
        self._beating = {}  # machine: since when its replica can say what it runs
        self._compared = -math.inf
        self._database_clock_set = -math.inf, 0.0  # when last, and by how much
        self.machines = [
            Machine(number, wrong, Way(self.dice), self.config) for number, wrong in enumerate(deployment.wrong[:-1])
        ]

    # ── the whole ────────────────────────────────────────────────────────────────────────────────────────────────

    def live(self):
        """From the beginning to the end. Raises ``Broken``."""
        for each in self.left:
            self.later(each.at, self._happen, each)
        for number, machine in enumerate(self.machines):
            self.later(number * self.dice.uniform(0, 20), self._start, machine)
        self.later(0.0, self._look)
        try:
            # Most of a history's cost are beats.
            with patch("watchdog.replicas.keeper.LONGEST_POLL", timedelta.max), redirect_stderr(io.StringIO()):
                self.turns.go_on(self.fate.end)
            EndOfSeveral(self).check()
        finally:
            for machine in self.machines:
                if machine.process is not None:
                    machine.process.bury()
            self.server.close()
        self.counted()
        del self.tally["days"]
        self.tally["hours"] = round(self.fate.end / plan.HOUR)
        self.tally["takeovers"] = self.laws.taken.total()
        return self

    def later(self, when, do, *args):
        self.turns.at(when, do, *args)

    # ── processes ────────────────────────────────────────────────────────────────────────────────────────────────

    def _start(self, machine):
        if machine.process is None:
            if self.time.seconds < self._database_clock_set[0] + self.deployment.lease:  # it may begin another era
                self.laws.database_clock_set_unseen(*self._database_clock_set)
            self.lives += 1
            self.tally["lives"] += 1
            machine.process = Process(self, machine)
            self._lives[machine.number] = machine.process.number
            self.noted()

    def ended(self, process, down):
        """A process is there no more; the service manager starts another after ``down``."""
        process.machine.process = None
        self.noted()
        now = self.time.seconds
        self.later(min(now + down, max(now + RESTART_AFTER, self.fate.calm)), self._start, process.machine)

    def noted(self):
        """Something has changed: who can work now?"""
        there = [] if self.server.trouble or self.server.full else self.machines
        beats = {each.number for each in there if each.beats}
        for number in self._beating.keys() - {each.number for each in self.machines if each.beats}:
            self.laws.gone(self._lives[number], self.server.leases())
        self._beating = {each: self._beating.get(each, self.time.seconds) for each in beats}
        self.laws.can_write({each.process.number for each in there if each.process is not None and not each.way.cut})
        able = {each.number for each in there if each.able}
        self.laws.able(able, any(each.unreachable or each.way.slow for each in self.machines))

    def _happen(self, each):
        super()._happen(each)
        self.noted()

    def _undone(self, at, undo):
        super()._undone(at, undo)
        self.noted()

    def _look(self):
        self.laws.look_at(self.server.leases(), self.server.micros())
        self._compare()
        self.later(self.time.seconds + LOOKED_AT_EVERY, self._look)

    def _compare(self):
        """What the replicas run, what the database says of it, and what their metrics say where it differs."""
        there = [each for each in self.machines if each.number in self._beating and each.process.daemon is not None]
        said, runs = self.server.replicas(), {machine.process.runs for machine in there}
        for machine in there:
            self.laws.says(machine.process, max(self._beating[machine.number], machine.process.configured_at), said)
        if len(runs) > 1:
            self.tally["looks at replicas that differ"] += 1
            if self.time.seconds >= self._compared + 600:
                self._compared = self.time.seconds
                shown = {machine.process.shows() for machine in there}
                if shown != runs:
                    self.laws.broken(f"replicas run {runs}, and their metrics say {shown}")

    # ── what happens to replicas ─────────────────────────────────────────────────────────────────────────────────

    def _process(self, replica):
        return self.machines[replica].process

    def _kill(self, replica, turns, down):
        if (process := self._process(replica)) is not None:
            process.in_turns(turns, process.kill, down)

    def _pause(self, replica, turns, lasts, asleep):
        if (process := self._process(replica)) is not None:
            process.in_turns(turns, process.pause, lasts, asleep)

    def _kill_at_a_patch(self, turns, down):
        self.laws.at_a_patch.append(lambda life: self._doing(life, turns, "kill", down))

    def _pause_at_a_patch(self, turns, lasts, asleep):
        self.laws.at_a_patch.append(lambda life: self._doing(life, turns, "pause", lasts, asleep))

    def _kill_at_an_intent(self, turns, down):
        self.laws.at_an_intent.append(lambda life: self._doing(life, turns, "kill", down))

    def _pause_at_an_intent(self, turns, lasts, asleep):
        self.laws.at_an_intent.append(lambda life: self._doing(life, turns, "pause", lasts, asleep))

    def _pause_at_a_read(self, turns, lasts, asleep):
        self.laws.at_a_read.append(lambda life: self._doing(life, turns, "pause", lasts, asleep))

    def _cut_off_at_an_intent(self, turns, lasts):
        self.laws.at_an_intent.append(lambda life: self._doing(life, turns, "cut_off", lasts))

    def _doing(self, life, turns, what, *args):
        if self.time.seconds >= self.fate.calm:
            return
        for machine in self.machines:
            process = machine.process
            if process is not None and process.number == life:
                process.in_turns(turns, getattr(process, what), *args)

    def _cut_off(self, replica, lasts):
        way = self.machines[replica].way
        way.sever()
        self._for(lasts, way.mend)

    def cut_off(self, machine, lasts):
        """The way to the database is cut in the middle of something."""
        self._cut_off(machine.number, lasts)
        self.noted()

    def _slow_way(self, replica, lasts, seconds):
        way = self.machines[replica].way
        way.slow = seconds
        self._for(lasts, lambda: setattr(way, "slow", 0.0))

    def _slow_database(self, lasts, seconds):
        for machine in self.machines:
            self._slow_way(machine.number, lasts, seconds)

    def _database(self, trouble, lasts):
        if trouble == "full":
            self.server.full = True
        else:
            self.server.trouble = trouble

        def undo():
            self.server.full, self.server.trouble = False, ""

        self._for(lasts, undo)

    def _no_Cloudflare(self, replica, lasts):  # noqa: N802  as the plan spells it
        machine = self.machines[replica]
        machine.unreachable = True
        self._for(lasts, lambda: setattr(machine, "unreachable", False))

    def _stop(self, replica, down):
        if (process := self._process(replica)) is not None:
            process.stop(down)

    def _rolling(self, gap, down):
        for machine in self.machines:
            self.later(self.time.seconds + machine.number * (gap + down), self._upgrade, machine, down)

    def _upgrade(self, machine, down):
        machine.version += 1
        self._stop(machine.number, down)

    def _clock(self, replica, by):
        self.machines[replica].wrong += plan.delta(by)

    def _database_clock(self, by):
        self.server.wrong += plan.delta(by)
        self._database_clock_set = self.time.seconds, by
        if self.server.trouble or self.server.full or not any(each.able for each in self.machines):
            self.laws.database_clock_set_unseen(*self._database_clock_set)

    def _differing(self, replica, restart, share, lasts):
        machine = self.machines[replica]
        accounts = {
            name: {**each, "rate_limit": {**each["rate_limit"], "share": share}}
            for name, each in machine.config["accounts"].items()
        }
        backoff = restart["backoff"]
        wait = plan.seconds(backoff["initial"]), backoff["factor"], plan.seconds(backoff["max"])
        self.laws.edited(wait, restart["max_per_hour"], share)
        self._configured(machine, lasts, restart=restart, accounts=accounts)

    def _without_an_account(self, replica, account, lasts):
        machine = self.machines[replica]
        accounts = {name: each for name, each in machine.config["accounts"].items() if name != account}
        zones = [each for each in machine.config["zones"] if each["account"] != account]
        if accounts and zones:
            self._configured(machine, lasts, accounts=accounts, zones=zones)

    def _configured(self, machine, lasts, **differing):
        def take(config):
            machine.config = config
            if machine.process is not None:
                machine.process.reload()

        take({**machine.config, **differing})
        self._for(lasts, lambda: take(self.config))


class Process:
    """One daemon on a machine, from its start to its end."""

    def __init__(self, history, machine):
        self.history, self.machine = history, machine
        self.number = history.lives
        self.loop = ReplicaLoop(history.time, machine)
        self.loop.resolver = history.resolver
        self.wire = MachinesWire(history.world, history.laws, self.number, machine)
        self.database = Connection(history.server, machine.way, self.number)
        self.people = FromProcess(history.people, self.number)
        self.dice = Random(history.fate.seed * 1000 + self.number)  # noqa: S311 - a history must be repeatable
        self.version = plan_of_several.VERSIONS[machine.version % 2]
        self.configured_at = history.time.seconds
        self.daemon = self.runtime = self.store = None
        self.down = RESTART_AFTER
        self._awaited = []  # [turns, what to do then]
        self._task = self.loop.create_task(self._run())
        self._task.add_done_callback(lambda _: history.later(history.time.seconds, self._over))
        history.turns.loops[self.loop] = self._may_turn

    async def _run(self):
        history, machine = self.history, self.machine
        self._write_config()
        config = load(self._path, {})
        self.store = Store(self.database)
        self.metrics = Metrics(self.version, KNOWN_CODES)
        async with open_runtime(
            config,
            self.store,
            clock=MachineClock(history.time, machine),
            metrics=self.metrics,
            http=self.wire,
            dice=self.dice,
            replica=True,
        ) as runtime:
            self.runtime = runtime
            runtime.components.telemetry = Ears(runtime.components.telemetry, self.gave_up, lambda: None)
            self.daemon = Daemon(
                runtime, self.metrics, self._path, {}, ticker=Ticker, sender=HttpSender("test", self.people)
            )
            described = self.daemon.health.described
            self.daemon.health.described = lambda me: replace(described(me), version=self.version)
            await self.daemon.run()

    @property
    def runs(self):
        """Version and configuration."""
        return self.version, self.runtime.config.digest

    def shows(self):
        """The same, as its metrics have it."""
        text = b"".join(self.daemon.sources.metrics("")[0]).decode()
        return _VERSION.search(text)[1], _CONFIG.search(text)[1]

    def gave_up(self, event):
        """Whether it comes to the database is not known here, so nothing is built on it but patience."""
        self.history.laws.gave_up(event.pack.id, noted=False)
        self.history.tally["gave up"] += 1

    # ── turns ────────────────────────────────────────────────────────────────────────────────────────────────────

    def in_turns(self, turns, do, *args):
        """Do something to it once it has made so many more turns."""
        self._awaited.append([turns, do, args])

    def _may_turn(self):
        if not self._awaited:
            return True
        for each in list(self._awaited):
            each[0] -= 1
            if each[0] < 0:
                self._awaited.remove(each)
                _, do, args = each
                do(*args)
                if self.machine.process is not self:  # it was killed: nothing else can be done to it
                    return False
        return self.loop in self.history.turns.loops and self.loop not in self.history.turns.stopped

    def _over(self):
        if self.machine.process is not self:
            return
        error = self._task.exception()
        self.bury()
        if error is None:
            self.history.ended(self, self.down)
        elif isinstance(error, StateError):
            self.history.tally["could not start"] += 1
            self.history.ended(self, RESTART_AFTER)
        else:
            raise error

    # ── what is done to it ───────────────────────────────────────────────────────────────────────────────────────

    @property
    def paused(self):
        return self.loop in self.history.turns.stopped

    def pause(self, lasts, asleep):
        """SIGSTOP, or its machine is suspended."""
        history, began = self.history, self.history.time.seconds
        until = min(began + lasts, history.fate.calm)
        if self.loop in history.turns.stopped or until <= began:
            return
        history.tally["pauses"] += 1
        history.turns.stopped.add(self.loop)
        history.noted()

        def go_on():
            if self.loop not in history.turns.stopped:  # it was killed meanwhile: the next one's clock knows no gap
                return
            if asleep:
                self.machine.slept += history.time.seconds - began
            history.turns.stopped.discard(self.loop)
            history.noted()

        history.later(until, go_on)

    def kill(self, down):
        """SIGKILL."""
        self.history.tally["kills"] += 1
        self.bury()
        self.history.ended(self, down)

    def stop(self, down):
        """SIGTERM."""
        self.down = down
        if self.daemon is not None:
            self.daemon.ask_to_stop()

    def cut_off(self, lasts):
        self.history.cut_off(self.machine, lasts)

    def reload(self):
        self.configured_at = self.history.time.seconds
        if self.daemon is not None:
            self._write_config()
            self.daemon.ask_to_reload()

    def bury(self):
        """Nothing of it may do anything any more."""
        history, loop = self.history, self.loop
        history.turns.loops.pop(loop, None)
        history.turns.stopped.discard(loop)
        self.wire.dead = self.database.dead = self.people.dead = True
        broken = history.time.broken
        loop.set_exception_handler(lambda *_: None)
        for task in asyncio.all_tasks(loop):
            task.cancel()
        for _ in range(50):
            if not loop._ready:  # noqa: SLF001  nobody else says whether it has something to do
                break
            with suppress(BaseException):
                loop.turn()
        history.time.broken = broken
        loop.close()
        self.machine.process = None

    @property
    def _path(self):
        return self.history.folder / f"{self.machine.name}.yaml"

    def _write_config(self):
        machine = self.machine
        state = {"url": "postgresql://nobody@database.test/none"}
        replica = {**machine.config["replica"], "name": machine.name}
        self._path.write_text(json.dumps({**machine.config, "state": state, "replica": replica}))


class EndOfSeveral:
    """What must be true when all was calm for long enough."""

    def __init__(self, history):
        self._history = history

    def check(self):
        """Raises ``Broken``."""
        history = self._history
        rows = []
        for machine in history.machines:
            process = machine.process
            if process is None or process.runtime is None:
                raise Broken(f"{machine.name} does not run")
            held, instances = history.server.leases().values(), history.laws.instances
            mine = {lease.account for lease in held if instances.get(lease.instance) == process.number}
            rows += [row for row in rows_of(process.runtime.inventory())["packs"] if row["account"] in mine]
        store = Store(Connection(history.server, Way(history.dice), 0))
        Ending(history, store, rows).check()
        history.laws.told(history.people)
        if history.time.broken is not None:
            raise history.time.broken


class MachinesWire(Wire):
    """The way from one machine to Cloudflare."""

    def __init__(self, world, laws, life, machine):
        super().__init__(world, laws, life)
        self._machine = machine

    async def answer(self, asked):
        self.unreachable = self._machine.unreachable
        return await super().answer(asked)


def play(seed, replicas, folder):
    """The history of a seed, in an empty folder. Raises ``Broken`` with the seed in it."""
    history = Replicas(plan_of_several.draw(seed, replicas), folder)
    try:
        history.live()
    except Exception as error:
        kind = type(error).__name__
        raise Broken(f"seed {seed}, at {history.time.seconds:.0f} s, {kind}: {error}") from error
    return history
