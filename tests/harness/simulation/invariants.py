"""What must be true whatever happens, checked at every request that arrives and at every end of a process.

The laws know the world and not the daemon: they look at what reached Cloudflare and the people, at true times.
"""

import json
import re
from collections import defaultdict, deque
from dataclasses import dataclass
from datetime import timedelta

from tests.harness.simulation import plan
from watchdog.decide.backoff import Backoff
from watchdog.decide.checks import LAST_CHANCE
from watchdog.model.history import CAUTIOUS_FOR
from watchdog.model.pack_ids import canonical_id
from watchdog.model.renewal import CLOSES_BEFORE, VALIDATION_TAKES

HOUR = 3600.0
LEEWAY = 2.0
"""Seconds that are not looked at so closely: a wait counts from the intent, and its PATCH arrives a moment later."""
JUST_BEFORE = 2.0
"""Seconds between the answer to the read and the arrival of the PATCH, at most."""


_PACK = re.compile(r"/client/v4/zones/(?P<zone>[0-9a-f]{32})/ssl/certificate_packs/(?P<pack>[^/?]+)$")


class Broken(AssertionError):
    """A law was broken."""


@dataclass
class Asked:
    """One request that arrived."""

    at: float
    life: int
    method: str
    path: str
    account: str
    pack: str | None
    patch: "Patch | None" = None
    status: int | None = None


@dataclass
class Patch:
    """One restart request that arrived. ``counts`` unless Cloudflare turned it away before it looked at the pack."""

    at: float
    life: int
    account: str
    pack: str
    read_at: float
    done: bool = False
    counts: bool = True
    status: int = 0


class Laws:
    """Watches one history."""

    def __init__(self, fate, time, world):
        self._fate, self._time, self._world = fate, time, world
        self.trace = []
        self.leeway = LEEWAY
        self.asked_by = defaultdict(list)  # life: requests
        self.patches = defaultdict(list)  # root pack: patches
        self._root = {}
        self._renamed = 0
        self._read = {}  # (life, account, pack): when it was last answered, and with which status
        self._windows = defaultdict(deque)  # account: arrivals
        self._gave_up = {}  # root pack: when, as the disk knows it
        self._ceased = {}  # root pack: when the daemon gave it up, whether or not the disk knows
        self.waits = [fate.backoff]
        self.most_per_hour = fate.config["restart"]["max_per_hour"]
        self.shares = {name: each["rate_limit"]["share"] for name, each in fate.config["accounts"].items()}
        self.armed = []
        self.unbookable = False  # the disk takes no writes
        self._lost_at = self._edited_at = -1.0

    # ── what happens ─────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def time(self):
        """Which a law that is broken ends."""
        return self._time

    def asked(self, life, request):
        """A request is about to arrive."""
        path = request.path
        account = request.headers["authorization"].removeprefix("Bearer token-of-")
        found = _PACK.match(path)
        pack = found["pack"] if found else None
        asked = Asked(self._time.seconds, life, request.method, path, account, pack)
        self.trace.append(f"{asked.at:.3f} {life} {account} {request.method} {path}")
        self.asked_by[life].append(asked)
        self._within_the_share(asked)
        if request.method == "PATCH" and pack is not None:
            asked.patch = self._patch(asked, request)
        return asked

    def answered(self, asked, status, body):
        """What came back; 0 when nothing did."""
        asked.status = status
        self.trace.append(f"{self._time.seconds:.3f} {asked.life} = {status} {len(body)}")
        if asked.patch is not None:
            patch = asked.patch
            patch.done, patch.status = True, status
            said = json.loads(body).get("errors") if body.startswith(b"{") and body.endswith(b"}") else None
            turned_away = bool(said) and said[0].get("code") in plan.TURNED_AWAY
            patch.counts = status != 429 and not turned_away
        elif asked.method == "GET" and asked.pack is not None:
            try:
                seen = json.loads(body)["result"]["status"] if status == 200 else None
            except (ValueError, KeyError, TypeError):
                seen = None
            self._read[asked.life, asked.account, canonical_id(asked.pack)] = (self._time.seconds, seen)

    def broken(self, why):
        """A law was broken: the history ends here."""
        if self._time.broken is None:
            self._time.broken = Broken(why)

    def gave_up(self, pack_id, *, noted):
        """The daemon says so. What a disk that takes no writes has not noted may be forgotten; attempts are not.

        Either way a pack that somebody else changes from then on may begin afresh.
        """
        self._ceased[self.root(pack_id)] = self._time.seconds
        if noted:
            self._gave_up[self.root(pack_id)] = self._time.seconds

    # ── the laws of restarts ─────────────────────────────────────────────────────────────────────────────────────

    def _patch(self, asked, request):
        if request.body != b"{}":
            self.broken(f"a PATCH with the body {request.body!r}")
        root = self.root(asked.pack)
        patch = Patch(asked.at, asked.life, asked.account, root, self._was_read(asked))
        self._waited(patch)
        self._within_the_hour(patch)
        self.patches[root].append(patch)
        for armed in self.armed:
            armed()
        self.armed.clear()
        return patch

    def _was_read(self, asked):
        at, seen = self._read.get((asked.life, asked.account, canonical_id(asked.pack)), (None, None))
        if seen != "validation_timed_out":
            self.broken(f"a PATCH to a pack that was read as {seen}")
            return asked.at
        if asked.at - at > self._between_read_and_patch():
            self.broken(f"a PATCH {asked.at - at:.0f} s after the pack was read")
        return at

    def _between_read_and_patch(self):
        return JUST_BEFORE

    def _waited(self, patch):
        earlier = [each for each in self.patches[patch.pack] if each.counts]
        if not earlier:
            return
        last = earlier[-1]
        life = self.life_of(patch.pack)
        issued = life.certificates[0].issued_at if life is not None and life.certificates else None
        if issued is not None and issued > self._at(last.at):
            return  # it was active in between
        if last.at < self._lost_at:
            if patch.at - self._lost_at < CAUTIOUS_FOR.total_seconds() - LEEWAY:
                self.broken(f"a PATCH {patch.at - self._lost_at:.0f} s after the state was lost")
            return
        since = self._gave_up.get(patch.pack)
        if since is not None and since >= last.at:
            # One killed before the disk knew of it gives up again, unless more attempts were allowed meanwhile.
            if life is not None and life.since <= self._at(since) and self._edited_at < since:
                self.broken("a PATCH to a pack that was given up and has not changed since")
            return
        attempts = self._attempts(patch.pack, earlier)
        tries = 1 if self._last_chance(life, patch) else attempts  # then only the first wait is kept
        allowed = min(self._wait(tries, *wait) for wait in self.waits) - self._passed_unseen(last)
        if patch.at - last.read_at < allowed - self.leeway:  # its intent is of then, or later
            self.broken(
                f"PATCHes {patch.at - last.at:.0f} s apart, at {last.at:.0f} and {patch.at:.0f}; after {attempts} "
                f"attempts {allowed:.0f} s are allowed"
            )

    def _passed_unseen(self, _patch):
        """Seconds that a wait after it may be shorter, as the clock that it counts by was set and nobody could know."""
        return 0.0

    def may_still_wait(self, _pack):
        """Whether the clock that its last restart's wait counts by was set back, and nobody could know."""
        return False

    def _last_chance(self, life, patch):
        """Whether a restart comes too late for the renewal soon; also by a clock that was set ahead: who knows?"""
        ends = [each.expires_at for each in life.certificates] if life is not None else []
        now = self._at(patch.at) + max(self._time.wrong, timedelta(0))
        return any(end - CLOSES_BEFORE - VALIDATION_TAKES - LAST_CHANCE <= now for end in ends)

    def _attempts(self, pack, earlier):
        """How many of these were made since the pack was last well, at least."""
        life = self.life_of(pack)
        well = life.certificates[0].issued_at if life is not None and life.certificates else None
        given_up = max(self._ceased.get(pack, -1.0), self._lost_at)
        return sum(1 for each in earlier if (well is None or self._at(each.at) > well) and each.at > given_up) or 1

    def _wait(self, attempts, initial, factor, longest):
        wait = Backoff(plan.delta(initial), factor, plan.delta(longest)).wait_after(attempts).total_seconds()
        return max(initial, wait / 2) if self._fate.config["diagnosis"]["enabled"] else wait

    def _within_the_hour(self, patch):
        sent = [
            each
            for patches in self.patches.values()
            for each in patches
            if each.account == patch.account
            and each.read_at > patch.at - HOUR + self.leeway
            and self._counts_for_the_hour(each)
        ]
        if len(sent) + 1 > self.most_per_hour:
            self.broken(f"restart number {len(sent) + 1} within an hour; {self.most_per_hour} are allowed")

    def _counts_for_the_hour(self, patch):
        return patch.counts

    # ── the law of the quota ─────────────────────────────────────────────────────────────────────────────────────

    def _within_the_share(self, asked):
        limit = self._fate.scenario["rate_limit"]
        ours = max(1, int(limit["requests"] * self.shares[asked.account]))
        window = self._windows[asked.account]
        window.append((asked.at, asked.life, self.unbookable))
        while window[0][0] <= asked.at - 300:
            window.popleft()
        # What was sent while the disk took no writes could not be booked: only the process that sent it counts it.
        counted = sum(1 for _, life, unbookable in window if life == asked.life or not unbookable)
        if counted > ours:
            self.broken(f"{counted} requests of {asked.account} within 5 minutes; {ours} are its share")

    # ── the world ────────────────────────────────────────────────────────────────────────────────────────────────

    def root(self, pack_id):
        """The id under which the pack was first known, whatever a restart made of it."""
        for restart in self._world.restarts[self._renamed :]:
            if restart.new_id != restart.pack_id:
                self._root[canonical_id(restart.new_id)] = self.root_of(restart.pack_id)
        self._renamed = len(self._world.restarts)
        return self.root_of(pack_id)

    def root_of(self, pack_id):
        return self._root.get(canonical_id(pack_id), canonical_id(pack_id))

    def life_of(self, root):
        """The pack as it is now, under its newest id."""
        names = {root} | {new for new, old in self._root.items() if old == root}
        lives = [
            life for zone in self._world.zones for life in self._world.packs(zone) if canonical_id(life.id) in names
        ]
        return max(lives, key=lambda life: life.since, default=None)

    def _at(self, seconds):
        return self._time.true() + plan.delta(seconds - self._time.seconds)

    def lost(self):
        """The daemon lost its memory, and knows it: what was tried and counted before is not known any more."""
        self._lost_at = self._time.seconds
        self._windows.clear()

    def edited(self, wait, most_per_hour, share):
        """Another configuration holds from now on. What was drawn under one may be obeyed under the next."""
        self._edited_at = self._time.seconds
        self.waits.append(wait)
        self.most_per_hour = max(self.most_per_hour, most_per_hour)
        self.shares = {name: max(share, before) for name, before in self.shares.items()}
