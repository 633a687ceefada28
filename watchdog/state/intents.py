"""Intents: a restart is on the disk before it is sent, so that it counts whatever dies, and its outcome follows it.

An intent is written and synced before ``intend`` returns, for it cannot be made again. Those of zones that act at once
are written together: what comes while the disk syncs waits for the next time. Where the disk does not take it, or
another process has just restarted the pack, nothing may be sent. Only ``restarting`` calls this, from the loop's
thread; an intent that a dead process left open is settled at the next start by ``runtime``.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime

import msgspec

from watchdog.model.clock import NO_STEP, Anchor
from watchdog.model.history import History, Intent, NotIntended, Remembered, Sent
from watchdog.model.leases import ALONE, Tenure
from watchdog.model.pack_ids import PackKey
from watchdog.model.reasons import Reason
from watchdog.state.changes import Settled
from watchdog.state.database import StateError
from watchdog.state.leases import LeaseLost
from watchdog.state.memory import Memory
from watchdog.state.restarts import Stale, Wanted
from watchdog.state.store import Store


class Stored(msgspec.Struct, frozen=True):
    """An intent that is on the disk, with the history ``before`` it; its times are by the clock of ``moment``."""

    id: int
    intent: Intent
    before: History
    moment: Anchor

    @property
    def key(self) -> PackKey:
        """The pack's."""
        return (self.intent.zone_id, self.intent.pack_id)


class _Waiting(msgspec.Struct, frozen=True):
    """Who waits for an intent to be stored, planned by the clock of ``moment``; ``stored`` is its id then."""

    wanted: Wanted
    moment: Anchor
    stored: asyncio.Future[int]


class Intents:
    """The restarts that are about to be sent, or on their way."""

    def __init__(self, store: Store, memory: Memory, tenure: Tenure = ALONE) -> None:
        self._store = store
        self._tenure = tenure
        self._memory = memory
        self._writer = memory.writer
        self._waiting: list[_Waiting] = []
        self._storing: asyncio.Task[None] | None = None

    async def intend(self, intent: Intent, before: History, after: History, seen: Remembered | None = None) -> Stored:
        """Store the intent durably with the pack as it was ``seen``, and make ``after`` the pack's history.

        Raises ``NotIntended``.
        """
        key, moment = (intent.zone_id, intent.pack_id), self._writer.moment
        if self._writer.afresh and not await self._writer.flush():  # else what is stored makes the intent look stale
            raise self._follows_what_is_unwritten()
        unwritten = self._writer.changes.histories.pop(key, None) is not None  # ``after`` says all of it
        try:
            intent_id = await self._stored(Wanted(intent, before, after, seen), moment)
        except Stale as stale:
            if self._writer.afresh:  # what was on its way to the disk has failed meanwhile
                self._put_back(intent, unwritten)
                raise self._follows_what_is_unwritten() from stale
            self._recalled(intent, stale.history, moment)
            raise NotIntended(Reason.BACKING_OFF, "another process has just restarted this pack") from stale
        except LeaseLost as lost:
            self._tenure.lost(lost.epochs)
            raise NotIntended(Reason.ACCOUNT_UNHELD, f"the intent was not stored: {lost}") from lost
        except StateError as error:
            self._writer.error = str(error)
            self._put_back(intent, unwritten)
            raise NotIntended(Reason.STATE_UNWRITABLE, f"the intent could not be stored: {error}") from error
        self._recalled(intent, after, moment)
        return Stored(intent_id, intent, before, moment)

    def _follows_what_is_unwritten(self) -> NotIntended:
        reason = Reason.STATE_UNWRITABLE if self._writer.error else Reason.ACCOUNT_UNHELD
        return NotIntended(
            reason, f"what precedes the intent could not be stored: {self._writer.error or 'a lease was lost'}"
        )

    def _put_back(self, intent: Intent, unwritten: bool) -> None:
        """The history as it is known is to be written still, where it was."""
        if unwritten and self._tenure.keeps(intent.account):
            self._memory.write_history((intent.zone_id, intent.pack_id))

    async def _stored(self, wanted: Wanted, moment: Anchor) -> int:
        """The intent's id, once it is on the disk. One of which nobody waits any more is not written."""
        waiting = _Waiting(wanted, moment, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._storing is None:
            self._storing = asyncio.create_task(self._store_all())
        return await waiting.stored

    async def _store_all(self) -> None:
        """Store what waits, as much at once as was planned by one clock."""
        try:
            while left := [each for each in self._waiting if not each.stored.done()]:
                moment = left[0].moment
                batch = [each for each in left if each.moment.step_since(moment) == NO_STEP]
                batch = batch[:1] if self._store.shared else batch  # there each is a transaction of its own
                self._waiting = [each for each in left if each not in batch]
                await self._store_batch(batch, moment)
        finally:
            self._storing = None

    async def _store_batch(self, batch: list[_Waiting], moment: Anchor) -> None:
        store, wanted = self._store, [each.wanted for each in batch]
        first, fence = wanted[0], self._writer.fence(wanted[0].intent.account)
        results: Sequence[int | Exception]
        try:
            if store.shared:
                results = [
                    await self._writer.ask(
                        lambda: store.intend(first.intent, first.expected, first.after, moment, fence, first.seen)
                    )
                ]
            else:
                results = await self._writer.ask(lambda: store.intend_each(wanted, moment))
        except Exception as error:  # noqa: BLE001  whatever it is, it is told to everybody who waits
            results = [error] * len(batch)
        for each, result in zip(batch, results, strict=True):
            if each.stored.done():  # cancelled: it counts, as an attempt of which nobody knows what became
                continue
            if isinstance(result, Exception):
                each.stored.set_exception(result)
            else:
                each.stored.set_result(result)

    def settle(self, intent_id: int, outcome: Sent, error: str, at: datetime) -> None:
        """Note what became of a restart; it is written with the zone. Until then the intent counts as an attempt."""
        self._writer.changes.settled.append(Settled(intent_id, outcome, error, at))

    async def withdraw(self, stored: Stored) -> bool:
        """Nothing was sent after all: forget the intent and put the history back. If that fails, the attempt counts."""
        fence = self._writer.fence(stored.intent.account)
        if not await self._writer.attempt(lambda: self._store.withdraw(stored.id, stored.before, stored.moment, fence)):
            return False
        self._recalled(stored.intent, stored.before, stored.moment)
        return True

    def _recalled(self, intent: Intent, history: History, moment: Anchor) -> None:
        """What is stored by now holds here too, unless the account went to another meanwhile."""
        if self._tenure.keeps(intent.account):
            self._memory.recall_history((intent.zone_id, intent.pack_id), history, moment)
