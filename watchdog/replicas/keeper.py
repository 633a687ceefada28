"""Takes and gives the leases of one replica, so that each account is worked by one, and by one that can.

One beat every ``poll``: say that this replica is alive, keep what it holds, see who else is there, give what is theirs
and take what nobody holds. Each beat is a question to the database in a thread of its own, so that a slow one holds up
nothing; it must come from the loop, so that a loop that hangs loses its accounts. What we hold, and until when, is
noted in ``held``, which everybody else asks.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import Executor
from datetime import datetime, timedelta
from typing import Protocol, TypeVar, runtime_checkable

from msgspec.structs import replace

from watchdog.model.clock import Clock
from watchdog.model.leases import Fence, Lease, Replica, Roll
from watchdog.model.text import defect
from watchdog.replicas.holding import Holding
from watchdog.replicas.spread import share
from watchdog.replicas.unloadable import Unloadable
from watchdog.replicas.untaken import Untaken
from watchdog.state.database import StateError
from watchdog.state.roster import Roster

_T = TypeVar("_T")

LONGEST_POLL = timedelta(seconds=3)
"""The longest time between two beats: so long an account that was handed over may lie idle."""

POLLS = 10
"""The least number of beats within a lease: a few may fail before it is over."""

HEARD = 3
"""A replica that was not heard of for so many beats is given nothing: it may be gone."""

PATIENCE = timedelta(seconds=20)
"""How long an account that is to be handed over may take to finish what is under way."""

LEAVING = timedelta(seconds=5)
"""How long a stop waits for the database, so that others take over at once."""


@runtime_checkable
class Following(Protocol):
    """A clock that goes by the database's."""

    def follow(self, at: datetime, before: float) -> None:
        """The database said ``at`` just now, asked at ``before`` (monotonic)."""


class Keeper:
    """Keeps the leases of this process."""

    def __init__(
        self,
        roster: Roster,
        worker: Executor,
        clock: Clock,
        me: Replica,
        ttl: timedelta,
    ) -> None:
        """``worker`` has a thread of its own. ``me`` says who this is; ``describe`` may change what it says."""
        self._roster, self._worker, self._clock, self.me, self.ttl = roster, worker, clock, me, ttl
        self._following = clock if isinstance(clock, Following) else None
        self.held = Holding(me.instance, clock, ttl)
        self.describe: Callable[[Replica], Replica] = lambda me: me
        self.poll = min(ttl / POLLS, LONGEST_POLL)
        self.roll: Roll | None = None
        self.error = ""
        """Why the last beat failed; empty when it did not."""
        self._heard = clock.monotonic()
        self._seen: set[str] = set()
        self._untaken = Untaken(ttl.total_seconds())
        self._unloadable = Unloadable(ttl.total_seconds())
        self._leaving = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._beating = asyncio.Lock()

    def saw(self, accounts: Collection[str]) -> None:
        """Zones of these accounts were seen."""
        self._seen.update(accounts)

    @property
    def trouble(self) -> str:
        """Why the leases cannot be kept; empty while they can.

        The last beat failed, or none has ended for so long: behind a pooler a database that is away lets others wait.
        Or an account is left to others, as it could not be loaded here.
        """
        if not self.error and self._clock.monotonic() - self._heard > self.ttl.total_seconds():
            return "the database has not answered for as long as a lease lasts"
        left = self._unloadable.left(self._clock.monotonic()).items()
        return self.error or next((f"account {name} could not be loaded: {why}" for name, why in left), "")

    # ── beats ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            try:
                await self.beat()
            except Exception as surprise:  # noqa: BLE001  a fault of ours: what is held runs out, unless the next works
                self.error = defect(surprise)
            await self._clock.sleep(self.poll)

    async def beat(self) -> None:
        """Beat once. A database that does not answer is no error: what is held runs out by itself."""
        async with self._beating:
            self.me = self.describe(self.me)
            before, fence, seen = self._clock.monotonic(), self.held.fence(), set(self._seen)
            me = self._announced(before)
            try:
                roll, renewed = await self._ask(
                    lambda: self._roster.beat(me, self.ttl, fence, seen, self._clock.monotonic)
                )
            except StateError as error:
                self.error = str(error)
                return
            self.error, self._heard = "", self._clock.monotonic()
            self._seen -= seen
            if self._following is not None and roll.exact:
                self._following.follow(roll.at, before)
            self.roll = roll
            self.held.renewed(renewed, before)
            self.held.lose(fence.epochs.keys() - renewed, given=False)
            self._return_unused(roll)
            if not self._leaving:
                wanted = share(roll, self.me.instance, self.ttl - HEARD * self.poll)
                for account in sorted(wanted.give & self.held.settled):
                    if account not in self.me.accounts or not self._untaken.stays(account, before):
                        self._start(self._give(account))
                await self._take(wanted.take - self.held.fence().epochs.keys())

    async def leave(self) -> None:
        """Hand everything over, at once. What is under way has ended before this is called."""
        self._leaving = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        fence = self.held.fence()
        try:
            async with asyncio.timeout(LEAVING.total_seconds()):
                await self._ask(lambda: self._roster.release(fence, leaving=True))
        except (StateError, TimeoutError) as error:  # then they run out
            self.error = str(error)
        self.held.lose(self.held.fence().epochs, given=True)

    async def settled(self) -> None:
        """Wait until what the last beat began is done."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def close(self) -> None:
        """Ask nothing any more."""
        self._worker.shutdown(wait=False)

    def _announced(self, now: float) -> Replica:
        """Who we are, without the accounts that we cannot load while another that lives can work them."""
        left, replicas = self._unloadable.left(now), self.roll.replicas.values() if self.roll is not None else ()
        others = {account for each in replicas if each.instance != self.me.instance for account in each.accounts}
        return replace(self.me, accounts=tuple(name for name in self.me.accounts if name not in left.keys() & others))

    def _return_unused(self, roll: Roll) -> None:
        """Give back what the database takes for ours and we do not: we let go of it, or never heard that we have it."""
        mine = {account: lease.epoch for account, lease in roll.leases.items() if lease.instance == self.me.instance}
        if unused := {account: epoch for account, epoch in mine.items() if self.held.of(account) is None}:
            self._start(self._release(Fence(self.me.instance, unused)))

    async def _take(self, accounts: Collection[str]) -> None:
        if not accounts:
            return
        before = self._clock.monotonic()
        try:
            taken = await self._ask(lambda: self._roster.claim(self.me, self.ttl, accounts))
        except StateError as error:
            self.error = str(error)
            return
        now = self._clock.now()
        leases = {
            account: Lease(
                account=account,
                holder=self.me.name,
                instance=self.me.instance,
                epoch=epoch,
                expires=now + self.ttl,
                since=now,
            )
            for account, epoch in sorted(taken.items())
        }
        self.held.took(leases.values(), before)
        for lease in leases.values():
            self._untaken.took(lease.account, lease.epoch, before)
        for group in self._unloadable.apart(leases):
            self._start(self._take_in([leases[account] for account in group]))

    async def _take_in(self, leases: Collection[Lease]) -> None:
        try:
            await self.held.attendant.take_in(leases)
        except Exception as error:  # noqa: BLE001  it cannot be worked without what is known of it: the next may know
            self.error = why = str(error) if isinstance(error, StateError) else defect(error)
            for lease in leases:
                self._unloadable.failed(lease.account, why, self._clock.monotonic())
                await self._give_back(lease.account)
            return
        for lease in leases:
            self._unloadable.loaded(lease.account)
        self.held.load(leases)

    async def _give(self, account: str) -> None:
        self.held.finish(account)
        try:
            async with asyncio.timeout(PATIENCE.total_seconds()):
                await self.held.attendant.finish(account)
        except TimeoutError:  # what is under way goes on, and is noted no more
            pass
        except Exception as surprise:  # noqa: BLE001  a fault of ours: nobody works it until it is somebody else's
            self.error = defect(surprise)
        if (lease := self.held.of(account)) is not None:
            self._untaken.gave(account, lease.epoch)
        await self._give_back(account)

    async def _give_back(self, account: str) -> None:
        lease = self.held.of(account)
        if lease is None:
            return
        self.held.close(account)
        try:
            await self._release(Fence(self.me.instance, {account: lease.epoch}))
        finally:
            self.held.lose([account], given=True)

    async def _release(self, fence: Fence) -> None:
        try:
            await self._ask(lambda: self._roster.release(fence))
        except StateError as error:  # then it runs out, unless a later beat finds it
            self.error = str(error)

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(self, question: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._worker, question)
