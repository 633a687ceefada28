"""Intents: a restart is on the disk before it is sent, so that it counts whatever dies, and its outcome follows it.

An intent is written and synced before ``intend`` returns, for it cannot be made again. Where the disk does not take it,
or another process has just restarted the pack, nothing may be sent. Only ``cycle`` calls this, from the loop's thread;
an intent that a dead process left open is settled at the next start by ``runtime``.
"""

from dataclasses import dataclass
from datetime import datetime

from watchdog.model.clock import Anchor
from watchdog.model.history import History, Intent, NotIntended, Sent
from watchdog.model.leases import ALONE, Tenure
from watchdog.model.packs import PackKey
from watchdog.model.reasons import Reason
from watchdog.state.changes import Settled
from watchdog.state.database import StateError
from watchdog.state.leases import LeaseLost
from watchdog.state.memory import Memory
from watchdog.state.restarts import Stale
from watchdog.state.store import Store


@dataclass(frozen=True, slots=True)
class Stored:
    """An intent that is on the disk, with the history ``before`` it; its times are by the clock of ``moment``."""

    id: int
    intent: Intent
    before: History
    moment: Anchor

    @property
    def key(self) -> PackKey:
        """The pack's."""
        return (self.intent.zone_id, self.intent.pack_id)


class Intents:
    """The restarts that are about to be sent, or on their way."""

    def __init__(self, store: Store, memory: Memory, tenure: Tenure = ALONE) -> None:
        self._store = store
        self._tenure = tenure
        self._memory = memory
        self._writer = memory.writer

    async def intend(self, intent: Intent, before: History, after: History) -> Stored:
        """Store the intent durably and make ``after`` the pack's history. Raises ``NotIntended``."""
        key, moment = (intent.zone_id, intent.pack_id), self._writer.moment
        if self._writer.afresh:
            await self._writer.flush()  # what is stored must have started afresh too, or the intent looks stale
        unwritten = self._writer.changes.histories.pop(key, None)  # ``after`` says all of it
        try:
            fence = self._writer.fence(intent.account)
            intent_id = await self._writer.ask(lambda: self._store.intend(intent, before, after, moment, fence))
        except Stale as stale:
            self._memory.recall_history(key, stale.history, moment)
            raise NotIntended(Reason.BACKING_OFF, "another process has just restarted this pack") from stale
        except LeaseLost as lost:
            self._tenure.lost(lost.accounts)
            raise NotIntended(Reason.ACCOUNT_UNHELD, f"the intent was not stored: {lost}") from lost
        except StateError as error:
            self._writer.error = str(error)
            if unwritten is not None:
                step = self._writer.moment.step_since(moment)
                self._writer.changes.histories.setdefault(key, unwritten.shifted(step))
            raise NotIntended(Reason.STATE_UNWRITABLE, f"the intent could not be stored: {error}") from error
        self._memory.recall_history(key, after, moment)
        return Stored(intent_id, intent, before, moment)

    def settle(self, intent_id: int, outcome: Sent, error: str, at: datetime) -> None:
        """Note what became of a restart; it is written with the zone. Until then the intent counts as an attempt."""
        self._writer.changes.settled.append(Settled(intent_id, outcome, error, at))

    async def withdraw(self, stored: Stored) -> bool:
        """Nothing was sent after all: forget the intent and put the history back. If that fails, the attempt counts."""
        fence = self._writer.fence(stored.intent.account)
        if not await self._writer.attempt(lambda: self._store.withdraw(stored.id, stored.before, stored.moment, fence)):
            return False
        self._memory.recall_history(stored.key, stored.before, stored.moment)
        return True
