"""What is around the daemon in a history, and what befalls it: Cloudflare, people, DNS. No process is known here.

``run`` lets one process live in it, ``deployment`` several replicas.
"""

import hashlib
from collections import Counter
from contextlib import suppress
from random import Random

from tests.harness.simulation import plan
from tests.harness.simulation.environment import People, Resolver, Time, TrueClock
from tests.harness.simulation.invariants import Laws
from watchdog.simulator.scenario import Fault, Scenario, pack_id
from watchdog.simulator.world import World


class Surroundings:
    """The world of one fate, and its laws. ``left`` are the happenings that are still to come."""

    def __init__(self, fate, folder):
        self.fate, self.folder = fate, folder
        self.time = Time()
        self.world = World(Scenario.model_validate(fate.scenario), TrueClock(self.time), fate.seed)
        self.people = People(self.time)
        self.resolver = Resolver(self.world)
        self.laws = Laws(fate, self.time, self.world)
        self.dice = Random(fate.seed + 1)  # noqa: S311 - a history must be repeatable
        self.lives = 0
        self.config = fate.config
        self.left = list(fate.happenings)
        self._undo = []  # (when, what to do)
        self.tally = Counter()

    def counted(self):
        """The history itself, with what was lived through counted in its ``tally``."""
        self.tally["days"] = round(self.time.seconds / plan.DAY)
        self.tally["requests"] = sum(map(len, self.laws.asked_by.values()))
        self.tally["restarts"] = sum(map(len, self.laws.patches.values()))
        self.tally["messages"] = len(self.people.got)
        return self

    @property
    def digest(self):
        """The same for the same history."""
        here = str(self.folder).encode()
        told = [f"{at:.3f} {host} {body.replace(here, b'')!r}" for at, host, _, body in self.people.got]
        return hashlib.sha256("\n".join([*self.laws.trace, *told]).encode()).hexdigest()

    # ── what happens ─────────────────────────────────────────────────────────────────────────────────────────────

    def later(self, when, do, *args):
        """Let something be done then, if anything runs then."""
        raise NotImplementedError

    def _happen(self, each):
        if each not in self.left:
            return
        self.left.remove(each)
        self.laws.trace.append(f"{self.time.seconds:.3f} {each.what}")
        do = getattr(self, "_" + each.what.replace(" ", "_"))
        do(**each.with_)

    def _undone(self, at, undo):
        if (at, undo) in self._undo:
            self._undo.remove((at, undo))
            undo()

    def _for(self, seconds, undo):
        at = min(self.time.seconds + seconds, self.fate.calm)
        self._undo.append((at, undo))
        self.later(at, self._undone, at, undo)

    def _fault(self, fault):
        told = dict(fault)
        after = self.time.seconds
        until = min(after + told.pop("lasts"), self.fate.calm)
        if until > after:
            self.world.add_fault(Fault.model_validate({**told, "after": after, "until": until}))

    def _down(self, host, lasts):
        self.people.down.add(host)
        self._for(lasts, lambda: self.people.down.discard(host))

    def _forgetful(self, host, lasts):
        self.people.forgetful.add(host)
        self._for(lasts, lambda: self.people.forgetful.discard(host))

    def _slow(self, host, seconds, lasts):
        self.people.slow[host] = seconds
        self._for(lasts, lambda: self.people.slow.pop(host, None))

    def _revoked(self, token, lasts):
        self.world.revoke(token)
        self._for(lasts, lambda: self.world.restore(token))

    def _dns(self, odd, lasts):
        self.resolver.befall(odd)
        self._for(lasts, self.resolver.recover)

    def _set_status(self, zone, number, status):
        life = self.world.pack(self._zone_id(zone), self._id(zone, number))
        if life is not None and life.status != "deleted":  # what was deleted never comes back under its id
            self.world.set_status(life.id, status)

    def _deleted(self, zone, number):
        self._set_status(zone, number, "deleted")

    def _recreated(self, zone, number):
        with suppress(KeyError):
            self.world.recreate(self._id(zone, number))

    def _another_tool_restarts(self, zone, number):
        life = self.world.pack(self._zone_id(zone), self._id(zone, number))
        if life is not None and life.restartable:
            self.world.restart(life)

    def _id(self, zone, number):
        """The pack's newest id."""
        renamed = {each.pack_id: each.new_id for each in self.world.restarts if each.new_id != each.pack_id}
        found = pack_id(zone, number)
        while found in renamed:
            found = renamed[found]
        return found

    def _zone_id(self, name):
        return next(zone.id for zone in self.world.zones.values() if zone.name == name)


class Ears:
    """Hands everything on to the real telemetry, and says when a pack is given up and when a pass is over."""

    def __init__(self, real, gave_up, passed):
        self._real, self._gave_up, self._passed = real, gave_up, passed

    def __getattr__(self, name):
        return getattr(self._real, name)

    def happened(self, events):
        for event in events:
            if event.name == "gave_up":
                self._gave_up(event)
        self._real.happened(events)

    def passed(self, report):
        self._real.passed(report)
        self._passed()
