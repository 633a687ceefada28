"""What of the alert log and of the outbox is still to be written, and the numbers that messages are known by.

``pipeline`` alone calls this. It notes here what changed and waits for the disk a while, never for long. What cannot be
written is kept for the next time, and is delivered all the same. What is of an account that another replica holds by
now is not written any more.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from datetime import timedelta
from functools import partial
from typing import Protocol, TypeVar

from msgspec.structs import replace

from watchdog.model.alerts import Message, account_of_group
from watchdog.model.event_names import EventName
from watchdog.model.leases import Tenure
from watchdog.notify.destinations import Logs
from watchdog.state import outbox
from watchdog.state.database import StateError
from watchdog.state.leases import LeaseLost
from watchdog.state.outbox import Kept, Unwritten
from watchdog.state.store import Store

_T = TypeVar("_T")

PATIENCE_WITH_DISK = timedelta(seconds=5)
"""How long a message waits to be on the disk before it goes out all the same: a disk that hangs is news itself, and the
worst that can come of it is a message that arrives twice."""

IDS = 1_000
"""So many numbers of messages a replica sets aside at once, so that it has some while the database is away."""


class Ask(Protocol):
    """Runs a question to the store in the store's one thread."""

    def __call__(self, question: Callable[[], _T], /) -> Awaitable[_T]:
        """What it answers."""


class AlertWriter:
    """Writes what ``note`` and ``forget`` gather. ``keeps`` is whether the disk took the last of it, and in time."""

    def __init__(self, store: Store, ask: Ask, logs: Logs, tenure: Tenure) -> None:
        """``ask`` runs what it is given in the thread that ``store`` belongs to."""
        self._store = store
        self._ask = ask
        self._logs = logs
        self._tenure = tenure
        self._unwritten = Unwritten()
        self._writing: asyncio.Task[bool] | None = None
        self.keeps = True
        self._last_id = self._ids_until = 0

    # ── what was written before ──────────────────────────────────────────────────────────────────────────────────

    async def load(self, accounts: Collection[str] | None) -> Kept:
        """What was stored, or what is of some ``accounts``. Raises ``StateError``."""
        kept = await self._ask(lambda: outbox.load(self._store, accounts))
        self._last_id = kept.last_id
        return kept

    async def take_over(self, accounts: Collection[str]) -> tuple[Kept, int]:
        """What was stored of some ``accounts``, and a number to ``go_on_from``. Raises ``StateError``."""
        return await self._ask(lambda: (outbox.load(self._store, accounts), outbox.number(self._store, IDS)))

    # ── numbers ──────────────────────────────────────────────────────────────────────────────────────────────────

    def go_on_from(self, last_id: int) -> None:
        """Messages have higher numbers than this from now on: ``IDS`` of them are set aside."""
        self._last_id, self._ids_until = last_id, last_id + IDS

    async def see_to_numbers(self, messages: int) -> None:
        """See that there are numbers for so many messages, which no other replica gives: some are kept in store."""
        if self._last_id + messages <= self._ids_until:
            return
        try:
            self._last_id = await self._ask(partial(outbox.number, self._store, IDS + messages))
            self._ids_until = self._last_id + IDS + messages
        except StateError as error:  # they go out all the same, perhaps under numbers that are given twice
            self._logs.write(EventName.ALERT_FAILED, "error", error=str(error))

    def numbered(self, messages: Iterable[Message]) -> list[Message]:
        """The messages with the next numbers."""
        numbered = [replace(message, id=number) for number, message in enumerate(messages, self._last_id + 1)]
        self._last_id += len(numbered)
        return numbered

    # ── what is to be written ────────────────────────────────────────────────────────────────────────────────────

    def note(self, changes: Unwritten, messages: Iterable[Message]) -> None:
        """Another log holds, and these messages are to be delivered."""
        for message in messages:
            changes.messages[message.id], changes.accounts[message.id] = message, message.owner
        self._unwritten.merge(changes)

    def forget(self, messages: Iterable[Message]) -> None:
        """They were delivered, or nobody is there to take them any more."""
        for message in messages:
            self._unwritten.messages[message.id], self._unwritten.accounts[message.id] = None, message.owner

    def release(self, account: str) -> None:
        """Another replica writes what there is of this account."""
        self._unwritten.drop(account)

    async def write_soon(self) -> None:
        """Write what has gathered, and be back after ``PATIENCE_WITH_DISK`` at the latest."""
        if self._writing is None or self._writing.done():
            if self._unwritten.empty():  # as after most passes
                self.keeps = True
                return
            self._writing = asyncio.create_task(self._write())
        await asyncio.wait([self._writing], timeout=PATIENCE_WITH_DISK.total_seconds())
        self.keeps = self._writing.done() and self._writing.result()

    async def _write(self) -> bool:
        """Write until nothing is left; False where the disk does not take it."""
        while not self._unwritten.empty():
            changes, self._unwritten = self._unwritten, Unwritten()
            fence = self._tenure.fence()
            if fence is not None:
                fence = fence.of({*changes.accounts.values(), *map(account_of_group, changes.groups)})
            try:
                await self._ask(partial(outbox.save, self._store, changes, fence))
            except LeaseLost as lost:
                changes.merge(self._unwritten)
                self._unwritten = changes
                self._tenure.lost(lost.epochs)
                for account in lost.epochs:
                    self._unwritten.drop(account)
            except StateError:  # the state says so itself, and it is an alert
                changes.merge(self._unwritten)
                self._unwritten = changes
                return False
        return True
