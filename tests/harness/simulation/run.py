"""One history, lived: the real daemon over the simulator, killed and started again until the end, under the laws.

Each life of the process has a loop of its own, which a kill abandons in the middle of a turn; what the process leaves
behind are the files as they lay there, what Cloudflare has seen and what people were told.
"""

import asyncio
import io
import json
import shutil
import sqlite3
import sys
from contextlib import contextmanager, suppress

from tests.harness.builders import exposed
from tests.harness.fleet import pragma
from tests.harness.simulation import plan
from tests.harness.simulation.ending import Ending
from tests.harness.simulation.environment import (
    Killed,
    MachineClock,
    MortalLoop,
    Ticker,
    Wire,
)
from tests.harness.simulation.invariants import Broken
from tests.harness.simulation.surroundings import Ears, Surroundings
from tests.harness.values import rows_of
from watchdog.config.load import load
from watchdog.daemon import Daemon, new_metrics
from watchdog.notify.http import HttpSender
from watchdog.runtime import open_runtime
from watchdog.state.database import StateDamaged, StateError
from watchdog.state.store import Store
from watchdog.tell.gauges import Account, Snapshot

RESTART_AFTER = 10.0
"""Seconds until the service manager starts the process again, as the unit says."""
LOOK_AGAIN = 1800.0
"""Seconds from one look whether all is put right until the next."""


class History(Surroundings):
    """A seed's history in a folder of its own."""

    def __init__(self, fate, folder):
        super().__init__(fate, folder)
        self.clock = MachineClock(self.time)
        self.unreachable = self.unwritable = self.damaged = ""
        self.loss = None
        self.life = None
        self.over = False

    # ── the whole ────────────────────────────────────────────────────────────────────────────────────────────────

    def live(self):
        """From the beginning to the end. Raises ``Broken``."""
        while not self.over and self.time.seconds < self.fate.end:
            down = self._one_life()
            self.time.seconds += down
            self._catch_up()
        return self.counted()

    def _one_life(self):
        """One process, from its start to its end; gives how long nothing runs then."""
        self.lives += 1
        self.tally["lives"] += 1
        loop = MortalLoop(self.time)
        loop.resolver = self.resolver
        life = self.life = Life(self, loop)
        said = self.said = io.StringIO()
        asyncio.set_event_loop(loop)
        try:
            with _stderr(said):
                loop.run_until_complete(life.run())
            life.copy_of_the_disk()
            down = life.down
        except Killed:
            self.tally["kills"] += 1
            down = life.down
            self._bury(life, loop)
        except StateError as error:
            if not (self.unwritable or life.disk_was_bad):
                raise Broken(f"the state cannot be opened: {error}") from error
            down = RESTART_AFTER
            life.lost()
        except BaseException:
            self._bury(life, loop)
            raise
        finally:
            asyncio.set_event_loop(None)
            loop.close()
            self.life = None
        return down

    def _bury(self, life, loop):
        """Nothing of the process may do anything any more; the next one finds the files as they lie there now."""
        life.copy_of_the_disk()
        life.wire.dead = self.people.dead = self.resolver.dead = True
        now, loop.doom, self.time.broken = self.time.seconds, None, None
        loop.set_exception_handler(lambda *_: None)
        others = asyncio.all_tasks(loop)
        for task in others:
            task.cancel()
        with suppress(BaseException), _stderr(io.StringIO()):
            loop.run_until_complete(asyncio.gather(*others, return_exceptions=True))
        life.lost()
        self.time.seconds = now
        self.people.dead = self.resolver.dead = False

    # ── what happens ─────────────────────────────────────────────────────────────────────────────────────────────

    def schedule(self, loop):
        """Let everything that is still to come happen at its moment of this life."""
        for each in list(self.left):
            loop.call_at(max(each.at, self.time.seconds), self._happen, each)
        for at, undo in list(self._undo):
            loop.call_at(max(at, self.time.seconds), self._undone, at, undo)
        if self.fate.may_end < self.fate.end:
            loop.call_at(max(self.fate.may_end, self.time.seconds), self._perhaps_the_end)
        loop.call_at(self.fate.end, self._the_end)

    def _catch_up(self):
        """What happens while no process runs."""
        for each in [each for each in self.left if each.at <= self.time.seconds]:
            self._happen(each)
        for at, undo in [each for each in self._undo if each[0] <= self.time.seconds]:
            self._undone(at, undo)

    def later(self, when, do, *args):
        if self.life is not None:
            self.life.loop.call_at(when, do, *args)

    def _the_end(self):
        self.life.check()
        self.over = True
        self.life.stop(0)

    def _perhaps_the_end(self):
        """What must be true at the end may be true long before, and then nothing new happens any more."""
        try:
            self._the_end()
        except Broken:
            self.later(self.time.seconds + LOOK_AGAIN, self._perhaps_the_end)

    def _kill(self, turns, down):
        if self.life is not None:
            self.life.down = down
            self.life.loop.doom = turns

    def _kill_at_a_patch(self, turns, down):
        life = self.life

        def armed():
            if life is not None and life is self.life:
                self._kill(turns, down)

        self.laws.armed.append(armed)

    def _damaged(self, how):
        """Something spoils the file while nobody uses it."""
        self._kill(0, RESTART_AFTER)
        self.damaged = how

    def damage(self, path):
        """What is to be done to the state before it is opened."""
        how, self.damaged = self.damaged, ""
        if how and path.exists():
            sqlite3.connect(path).execute("PRAGMA wal_checkpoint(TRUNCATE)").connection.close()  # all in one file
        size = path.stat().st_size if path.exists() else 0
        if how and size:
            with path.open("r+b") as file:
                if how == "cut":
                    file.truncate(size // 2)
                else:
                    file.seek(0 if how == "its head" else 4096)
                    file.write(b"\xff" * (100 if how == "its head" else size - 4096))

    def _stop(self, down):
        if self.life is not None:
            self.life.stop(down)

    def _clock(self, by):
        self.time.wrong += plan.delta(by)

    def _disk(self, how, lasts):
        self.unwritable, self.laws.unbookable = how, True
        if self.life is not None:
            self.life.spoil_the_disk()

        def undo():
            self.unwritable, self.laws.unbookable = "", False
            if self.life is not None:
                self.life.mend_the_disk()

        self._for(lasts, undo)

    def _unreachable(self, lasts):
        self._switch("unreachable", lasts)

    def _switch(self, name, lasts):
        setattr(self, name, "yes")
        if self.life is not None:
            self.life.wire.unreachable = True

        def undo():
            setattr(self, name, "")
            if self.life is not None:
                self.life.wire.unreachable = False

        self._for(lasts, undo)

    def _broken_file(self):
        self.path.write_text("accounts: [\n")
        if self.life is not None:
            self.life.reload()
        self.write_config()

    def _edited_file(self, restart, share):
        accounts = {
            name: {**each, "rate_limit": {**each["rate_limit"], "share": share}}
            for name, each in self.config["accounts"].items()
        }
        self.config = {**self.config, "restart": restart, "accounts": accounts}
        backoff = restart["backoff"]
        self.laws.edited(
            (_seconds(backoff["initial"]), backoff["factor"], _seconds(backoff["max"])), restart["max_per_hour"], share
        )
        self.write_config()
        if self.life is not None:
            self.life.reload()

    # ── files ────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def path(self):
        return self.folder / "config.yaml"

    def write_config(self):
        state = {"url": f"sqlite:///{self.state(self.lives)}"}
        self.path.write_text(json.dumps({**self.config, "state": state}))

    def state(self, life):
        return self.folder / str(life) / "state.db"


class Life:
    """One process."""

    def __init__(self, history, loop):
        self.history, self.loop = history, loop
        self.number = history.lives
        self.down = RESTART_AFTER
        self.wire = Wire(history.world, history.laws, self.number)
        self.wire.unreachable = bool(history.unreachable)
        self.daemon = self.store = self.runtime = None
        self.disk_was_bad = False
        self._stopping = False
        self._lock = None
        self._counted = {}
        self._passes = 0

    async def run(self):
        history = self.history
        history.schedule(self.loop)
        path = history.state(self.number)
        path.parent.mkdir(exist_ok=True)
        history.damage(path)
        history.write_config()
        config = load(history.path, {})
        self.store = Store.open(config.state.url.get_secret_value(), exclusive=True, mend_at=history.clock.now())
        loss = self.store.lost and self.store.lost.kept.name
        if loss != history.loss:
            history.loss = loss
            history.laws.lost()
            history.tally["states lost"] += 1
        pragma(self.store, "busy_timeout = 0")  # else a lock is waited for in real time
        self.spoil_the_disk()
        self.metrics = new_metrics()
        try:
            async with open_runtime(
                config,
                self.store,
                clock=history.clock,
                metrics=self.metrics,
                http=self.wire,
                dice=history.dice,
            ) as runtime:
                self.runtime = runtime
                runtime.components.telemetry = Ears(runtime.components.telemetry, self.gave_up, self.after_a_pass)
                self.daemon = Daemon(
                    runtime, self.metrics, history.path, {}, ticker=Ticker, sender=HttpSender("test", history.people)
                )
                await self.daemon.run()
            self.settled()  # while the state is open: packs may be on the disk still
        except StateDamaged:
            self.down = RESTART_AFTER
            self.store.set_aside(history.clock.now())
            return
        finally:
            self.mend_the_disk()
            self.store.close()

    # ── what is done to it ───────────────────────────────────────────────────────────────────────────────────────

    def stop(self, down):
        self.down = down or self.down
        if self.daemon is not None:
            self._stopping = True
            self.daemon.ask_to_stop()

    def reload(self):
        if self.daemon is not None:
            self.daemon.ask_to_reload()

    def spoil_the_disk(self):
        how = self.history.unwritable
        if not how or self.store is None:
            return
        self.disk_was_bad = True
        if how == "full":
            pragma(self.store, f"max_page_count = {pragma(self.store, 'page_count')}")
        elif how == "read-only":
            pragma(self.store, "query_only = ON")
        elif self._lock is None:
            self._lock = sqlite3.connect(self.history.state(self.number), isolation_level=None, timeout=0)
            with suppress(sqlite3.Error):
                self._lock.execute("BEGIN IMMEDIATE")

    def mend_the_disk(self):
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        with suppress(Exception):
            pragma(self.store, "max_page_count = 1073741823")
            pragma(self.store, "query_only = OFF")

    def copy_of_the_disk(self):
        """The files as they lie there. Those of this process stay with it."""
        here = self.history.state(self.number).parent
        shutil.copytree(here, self.history.state(self.number + 1).parent, ignore=shutil.ignore_patterns("*-shm"))

    def lost(self):
        """It ended without a goodbye."""
        if self.store is not None:
            self.mend_the_disk()
            self.store.close()
        if not self.history.state(self.number + 1).exists():
            self.copy_of_the_disk()

    # ── the laws of its own ──────────────────────────────────────────────────────────────────────────────────────

    def counters(self):
        components = self.runtime.components
        accounts = tuple(Account(n, c.quota.remaining, c.quota.waited) for n, c in components.clients.items())
        text = exposed(self.metrics, Snapshot(inventory=self.runtime.inventory(), accounts=accounts), "")[0].decode()
        return {
            line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1])
            for line in text.splitlines()
            if "_total{" in line and not line.startswith("#")
        }

    def gave_up(self, event):
        self.history.laws.gave_up(event.pack.id, noted=not self.history.unwritable)
        self.history.tally["gave up"] += 1

    def after_a_pass(self):
        """Counters never run backwards. Looked at now and then: a scrape costs more than a pass."""
        self._passes += 1
        if self._passes % 50:
            return
        counted = self.counters()
        back = [name for name, value in self._counted.items() if counted.get(name, 0) < value]
        if back:
            raise Broken(f"counters ran backwards: {back}")
        self._counted = counted

    def settled(self):
        """It was stopped in an orderly way: what it counted is what arrived."""
        counted = self.counters()
        sent = sum(value for name, value in counted.items() if name.startswith("certpack_watchdog_restarts_total"))
        arrived = [each.patch for each in self.history.laws.asked_by[self.number] if each.patch is not None]
        answered = [each for each in arrived if each.status]  # one that the stop cut off is not counted any more
        if not len(answered) <= sent <= len(arrived):
            raise Broken(f"{sent:.0f} restarts are counted, {len(arrived)} arrived and {len(answered)} were answered")
        failed = sum(value for name, value in counted.items() if name.startswith("certpack_watchdog_failures_total"))
        errors = [each for each in self.history.laws.asked_by[self.number] if (each.status or 0) >= 400]
        if failed < len(errors):
            raise Broken(f"{failed:.0f} failures are counted and {len(errors)} were answered")

    def check(self):
        """The end of all: everything that could be put right is, and everybody knows."""
        if self.runtime is None:
            raise Broken("nothing runs")
        Ending(self.history, self.store, rows_of(self.runtime.inventory())["packs"]).check()


def _seconds(text):
    return float(text.removesuffix("s"))


@contextmanager
def _stderr(stream):
    before, sys.stderr = sys.stderr, stream
    try:
        yield
    finally:
        sys.stderr = before


def play(seed, folder):
    """The history of a seed, in an empty folder. Raises ``Broken`` with the seed in it."""
    history = History(plan.draw(seed), folder)
    try:
        history.live()
    except Exception as error:
        kind = type(error).__name__
        raise Broken(f"seed {seed}, at {history.time.seconds:.0f} s, life {history.lives}: {kind}: {error}") from error
    return history
