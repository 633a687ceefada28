"""What must be true of several replicas over one state, beside everything that must be true of one.

Looked at with every request that arrives, with every row of an intent or a lease at the moment it is written, and every
few seconds of simulated time.
"""

import json
import math
from bisect import bisect_right
from collections import Counter
from datetime import timedelta
from operator import itemgetter
from typing import NamedTuple

from tests.harness.simulation import plan
from tests.harness.simulation.invariants import JUST_BEFORE, Laws
from watchdog.cloudflare.sender import FRESH
from watchdog.model.leases import LONGEST_LEASE
from watchdog.replicas.keeper import HEARD, POLLS

SLACK = 5.0
"""Seconds that are not looked at so closely: what is asked of a database, and a turn, take some."""
CLOCKS = 6.0
"""Seconds by which two replicas may know the database's clock otherwise: half of the 12 s that an answer takes."""
LOOKED_AT_EVERY = 7.0


class LeaseRow(NamedTuple):
    """One lease as it lies in the database; times in microseconds by the database's clock."""

    account: str
    instance: str
    epoch: int
    expires: int

    def lasts(self, now):
        """Whether it is not over; one that lasts for too long was written by a clock that was set back since."""
        return now < self.expires <= now + LONGEST_LEASE // timedelta(microseconds=1)


class LawsOfSeveral(Laws):
    """Watches a deployment."""

    def __init__(self, deployment, time, world):
        super().__init__(deployment.fate, time, world)
        self.lease = deployment.lease
        self.leeway += CLOCKS
        self._poll = deployment.lease / POLLS
        self.stormy = deployment.stormy
        # What happens at the next one, called with the number of the life: a pack is read to be restarted, and so on.
        self.at_a_read, self.at_an_intent, self.at_a_patch = [], [], []
        self.instances = {}  # the name of a process in the leases: its life
        self.taken = Counter()  # account: how often somebody took its lease
        self.intents = 0
        self._unseen = {}  # when the database's clock was set with nobody who could notice: when that ended, how far
        self.doubles = Counter()  # account: messages with what another process had told and could write down
        self._again = Counter()  # (account, fingerprint): how often a process told what another had told
        self._writing = [(0.0, frozenset())]  # since when: the lives that the database takes something from
        schedule = deployment.fate.config["schedule"]
        self._interval, self._attention = (plan.seconds(schedule[key]) for key in ("interval", "attention_interval"))
        self._able_since = {}  # machine: since when its replica can do all it is there for
        self._lost = []  # when one could not any more, or came
        self._blind_until = 0.0
        self._worked = {}  # account: when a request of it arrived last
        self._unheld = {}  # account: since when nobody holds it
        self._gone = {}  # account: when its holder went

    def asked(self, life, request):
        asked = super().asked(life, request)
        self._worked[asked.account] = asked.at
        if asked.pack is not None and asked.method == "GET":
            happening, self.at_a_read = self.at_a_read, []
            for each in happening:
                each(life)
        return asked

    # ── restarts ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _patch(self, asked, request):
        patch = super()._patch(asked, request)
        happening, self.at_a_patch = self.at_a_patch, []
        for each in happening:
            each(asked.life)
        return patch

    def _between_read_and_patch(self):
        """A process may be stopped between the two, or the database be slow."""
        return JUST_BEFORE + FRESH

    def database_clock_set_unseen(self, at, by):
        """It was set at ``at`` by so many seconds, and nobody could notice until now.

        What was sent until now counts as longer ago by as much, or less long (docs/reliability.md).
        """
        self._unseen[at] = self._time.seconds, by
        for window in self._windows.values():
            window.clear()

    def _counts_for_the_hour(self, patch):
        return super()._counts_for_the_hour(patch) and all(patch.at > until for until, _ in self._unseen.values())

    def _passed_unseen(self, patch):
        """Only what the clock was set forward: set back, it makes waits longer."""
        return sum(by for until, by in self._unseen.values() if by > 0 and patch.at <= until)

    def may_still_wait(self, pack):
        if not self.patches[pack]:
            return False
        last = self.patches[pack][-1]
        longer = sum(-by for until, by in self._unseen.values() if by < 0 and last.at <= until)
        jitter = 1 + self._fate.config["restart"]["backoff"]["jitter"]
        return self._time.seconds < last.at + jitter * max(longest for *_, longest in self.waits) + longer

    # ── leases and intents, as they are written ──────────────────────────────────────────────────────────────────

    def intended(self, life, account, lease, now):
        """An intent was written."""
        self.intents += 1
        holder = None if lease is None else self.instances.get(lease.instance)
        if lease is None or holder != life or lease.expires <= now:
            self.broken(
                f"life {life} wrote an intent of {account} under the lease {lease}, at {now}: {holder} holds it"
            )
        happening, self.at_an_intent = self.at_an_intent, []
        for each in happening:
            each(life)

    def leased(self, life, before, after, now):
        """A lease was written: taken, renewed, given back."""
        self.trace.append(f"{self._time.seconds:.3f} {life} lease {after}")
        if after is not None and after.instance:
            self.instances.setdefault(after.instance, life)
            self._unheld.pop(after.account, None)  # also where it is given back before anybody looks again
        if before is None or after is None:
            return
        if after.epoch < before.epoch:
            self.broken(f"the epoch of {after.account} ran backwards: {before}, {after}")
        if after.instance == before.instance:
            return
        if after.instance:
            self.taken[after.account] += 1
        mine = self.instances.get(before.instance) == life
        if before.instance and before.lasts(now) and not mine:
            self.broken(f"life {life} took the lease of {after.account} from a holder who has it: {before}, {after}")
        if after.instance and after.epoch <= before.epoch:
            self.broken(f"the lease of {after.account} changed hands under one epoch: {before}, {after}")

    # ── nobody is left alone ─────────────────────────────────────────────────────────────────────────────────────

    def able(self, machines, blind):
        """Whose replicas can do all that they are there for from now on, and whether one cannot see Cloudflare."""
        now = self._time.seconds
        if machines != self._able_since.keys():
            self._lost.append(now)
        self._able_since = {each: self._able_since.get(each, now) for each in machines}
        if blind:
            self._blind_until = math.inf
        elif self._blind_until == math.inf:
            self._blind_until = now

    def gone(self, life, leases):
        """A process is there no more, or does nothing for a while: another is to work what it held."""
        for account, row in leases.items():
            if account in self.shares and self.instances.get(row.instance) == life:
                self._gone[account] = self._time.seconds, row.epoch

    def look_at(self, leases, now):
        """The leases are so now, by the database's clock: somebody holds each, and works it."""
        seconds = self._time.seconds
        able_since = min(self._able_since.values(), default=math.inf)
        for account in self.shares:
            row = leases.get(account)
            if row is not None and row.lasts(now):
                self._unheld.pop(account, None)
                continue
            idle = seconds - max(self._unheld.setdefault(account, seconds), able_since)
            if idle > (2 + HEARD) * self._poll + SLACK + LOOKED_AT_EVERY:
                self.broken(f"nobody took the lease of {account} for {idle:.0f} s: {row}")
        if self.stormy or self._blind_until == math.inf:
            return
        since = max(able_since, self._blind_until)
        self._worked_again(max(since, self._lost[-1]), leases)
        for account in self.shares:
            allowed = self._interval + self._attention + SLACK
            idle = seconds - max(self._worked.get(account, 0.0), since)
            while True:
                times = 1 + len(self._lost) - bisect_right(self._lost, seconds - allowed)
                longer = self._interval + self._attention + SLACK + times * (self.lease + (1 + HEARD) * self._poll)
                if longer <= allowed:
                    break
                allowed = longer
            if idle > allowed:
                self.broken(f"{account} was not worked for {idle:.0f} s; {allowed:.0f} s are allowed")

    def says(self, process, since, said):
        """What the replicas say they run: whoever could beat for long enough says what is true."""
        if self._time.seconds - since < (1 + HEARD) * self._poll + SLACK:
            return
        found = [said.get(instance) for instance, life in self.instances.items() if life == process.number]
        if found and process.runs not in found:
            self.broken(f"life {process.number} runs {process.runs}, and the database says {found}")

    def _worked_again(self, since, leases):
        """Once its holder is gone, and nobody else has gone or come ``since``: within the issue's own words.

        One that was only stopped for a while and still has the lease goes on with its usual turns.
        """
        allowed = self.lease + self._poll + self._attention + SLACK + LOOKED_AT_EVERY
        for account, (at, epoch) in list(self._gone.items()):
            kept = leases[account].epoch == epoch and self._time.seconds - at > self.lease + HEARD * self._poll
            if kept or self._worked.get(account, 0.0) > at:
                del self._gone[account]
            elif (idle := self._time.seconds - max(at, since)) > allowed:
                self.broken(f"{account} is not worked {idle:.0f} s after its holder went; {allowed:.0f} s are allowed")

    # ── told once ────────────────────────────────────────────────────────────────────────────────────────────────

    def can_write(self, lives):
        """From now on the database takes what these write, and of no other."""
        self._writing.append((self._time.seconds, frozenset(lives)))

    def told(self, people):
        """What the people of the webhook were told, and by whom: the same thing by two only where a lease changed.

        A message counts once, however many alerts are in it. Who could write nothing down leaves its heir to tell all
        of it again, in as many messages as that takes: then each thing counts by itself.
        """
        last = {}  # fingerprint: kind, life, whether that could write it down
        for (at, host, _, body), life in zip(people.got, people.senders, strict=True):
            if host != plan.HOOK or not body:
                continue
            doubled = set[str]()
            _, writing = self._writing[bisect_right(self._writing, at, key=itemgetter(0)) - 1]
            for alert in json.loads(body)["alerts"]:
                name, kind, account = alert["fingerprint"], alert["kind"], alert["account"] or ""
                before = last.get(name)
                last[name] = kind, life, life in writing
                if before is None or before[1] == life or kind == "lasting" or before[0] != kind:
                    continue
                self._again[account, name] += 1
                if before[2]:
                    doubled.add(account)
            self.doubles.update(doubled)
        for account, doubles in [*self.doubles.items(), *((each[0], many) for each, many in self._again.items())]:
            if doubles > max(0, self.taken[account] - 1):
                self.broken(f"{account}: {doubles} things were told twice, and its lease changed hands less often")
