"""Write-behind: what changed is gathered here and written by one worker thread, so that no disk holds up the loop.

Looks are written in batches (they can be looked at again). What cannot be written is kept for the next time. Whoever
needs an answer from the disk asks through ``ask``, in the one thread the store is used in. ``memory`` and ``intents``
fill it; ``cycle`` and ``passes`` say when to write.
"""

import asyncio
from collections.abc import Callable, Collection
from concurrent.futures import Executor
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from watchdog.model.clock import Anchor
from watchdog.model.history import History
from watchdog.model.leases import ALONE, Fence, Tenure
from watchdog.model.pack_ids import PackKey
from watchdog.state.changes import Changes
from watchdog.state.database import StateError
from watchdog.state.leases import LeaseLost
from watchdog.state.store import Store

BATCH = 2_000
"""Changed packs that are gathered before they are written."""

SOON = timedelta(seconds=1)
"""How long what was seen may stay unwritten: it can be seen again. Each write costs a sync of the disk."""

NEVER = datetime.min.replace(tzinfo=UTC)

_Answer = TypeVar("_Answer")


class Writer:
    """What is to be written, and the way to the disk. ``error`` is why the last write failed, or empty."""

    def __init__(self, store: Store, worker: Executor, tenure: Tenure = ALONE) -> None:
        """``worker`` has one thread, and every use of ``store`` goes through it."""
        self._store = store
        self._tenure = tenure
        self._dropped: list[tuple[Collection[str], Collection[str], Collection[PackKey]]] = []
        self._worker = worker
        self.changes = Changes()
        self.afresh = False  # a history in ``changes`` has fewer attempts than the stored one
        self.writing = asyncio.Lock()
        self.error = ""
        self.moment = Anchor(NEVER, 0.0, "")  # the last look at the clock: the times in ``changes`` are by it
        self._flushed_at = NEVER

    def set_clock(self, now: Anchor, step: timedelta) -> None:
        """It is ``now``; the wall clock was set by ``step`` since this was last told."""
        self.moment = now
        if step:
            self._flushed_at = NEVER
            self.changes.histories = shifted(self.changes.histories, step)

    async def save(self, now: datetime) -> None:
        """Write what has gathered, if there is much of it or if ``SOON`` has gone by since the last time."""
        if len(self.changes.packs) >= BATCH or now - self._flushed_at >= SOON:
            self._flushed_at = now
            await self.flush()

    async def flush(self) -> bool:
        """Write what has gathered. What cannot be written is kept for the next time: then it is False.

        ``error`` says why, if it is not that a lease was lost.
        """
        async with self.writing:
            return await self.write()

    async def write(self) -> bool:
        """As ``flush``, for who holds ``writing``."""
        changes, self.changes, self.afresh = self.changes, Changes(), False
        if changes.empty():
            return True
        moment, fence = self.moment, self._tenure.fence()
        fence = None if fence is None else changes.fence(fence)
        self._dropped = []
        written = await self.attempt(lambda: self._store.save(changes, moment, fence))
        if not written:
            changes.histories = shifted(changes.histories, self.moment.step_since(moment))
            for dropped in self._dropped:
                changes.drop(*dropped)
            changes.merge(self.changes)
            self.changes, self.afresh = changes, True
            if self._dropped:
                return await self.write()  # what is left waits for no other time: its account may be about to go
        return written

    def drop(self, accounts: Collection[str], zones: Collection[str], keys: Collection[PackKey]) -> None:
        """What is of these accounts is somebody else's, and not to be written any more: as ``Changes.drop`` has it."""
        self.changes.drop(accounts, zones, keys)
        self._dropped.append((accounts, zones, keys))  # something may be on its way

    async def attempt(self, write: Callable[[], object]) -> bool:
        """Write to the disk; False where it does not take it, and ``error`` says why.

        Where it takes it no more because others hold the account by now, that is no error of the disk's.
        """
        try:
            await self.ask(write)
        except LeaseLost as lost:
            self._tenure.lost(lost.epochs)
            return False
        except StateError as error:
            self.error = str(error)
            return False
        self.error = ""
        return True

    def fence(self, account: str) -> Fence | None:
        """What has to hold when something of this account is written."""
        fence = self._tenure.fence()
        return None if fence is None else fence.of([account])

    async def ask(self, question: Callable[[], _Answer]) -> _Answer:
        """Put a question to the store, in the one thread it is used in. Raises ``StateError``."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, question)

    async def writable(self) -> bool:
        """Whether the disk takes writes now."""
        return await self.ask(self._store.writable)


def shifted(histories: dict[PackKey, History], step: timedelta) -> dict[PackKey, History]:
    """Histories by a wall clock that was set by ``step`` since."""
    return {key: history.shifted(step) for key, history in histories.items()} if step else histories
