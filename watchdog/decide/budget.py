"""The hourly budget of restarts: how many an account has sent within an hour, and whose turn it is where that is short.

Where the budget is short, the pack that has been due for longest goes first; else whoever is looked at first would take
it hour after hour, and another starve. A pack that nobody has looked at lately has lost its place in the queue.

Arithmetic, like all of this room: the time is handed in, nothing is stored. ``restarting`` tells it of each restart
before the first await (two restarts must not share the last place of the hour) and of every decision; at a start it is
told what ``state`` knows of the last hour.
"""

from collections import Counter, deque
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import islice

import msgspec

from watchdog.model.history import History
from watchdog.model.pack_ids import PackKey

HOUR = timedelta(hours=1)


class Place(msgspec.Struct, eq=False):
    """One restart's place in its account's hour."""

    account: str
    at: datetime


class _Waiting(msgspec.Struct):
    due: datetime
    seen_at: datetime


def due_since(history: History, now: datetime) -> datetime:
    """Since when a pack that waits for the budget has been due for a restart."""
    return history.next_restart_at or history.trouble_since or now


class Budget:
    """The restarts of the last hour, and the packs that wait for the next, of every account."""

    def __init__(self) -> None:
        self._sent: dict[str, deque[Place]] = {}
        self._queues: dict[str, dict[PackKey, _Waiting]] = {}

    def free_at(
        self, account: str, key: PackKey, *, due: datetime, per_hour: int, now: datetime, fresh: timedelta
    ) -> datetime | None:
        """When a pack that is ``due`` since then may be restarted; ``None`` when it may be now.

        Those that have been due for longer come first, unless nobody has looked at them for ``fresh``.
        """
        sent = self._hour(account, now)
        ahead = self._ahead(account, (due, *key), per_hour - len(sent), now - fresh)
        short = len(sent) + ahead - per_hour
        if short < 0:
            return None
        return (sent[short].at if short < len(sent) else now) + HOUR

    def take(self, account: str, at: datetime) -> Place:
        """A restart is about to be sent: it takes its place in the hour."""
        place = Place(account, at)
        self._sent.setdefault(account, deque()).append(place)
        return place

    def give_back(self, place: Place) -> None:
        """Nothing was sent after all."""
        sent = self._sent.get(place.account)
        if sent is not None and place in sent:
            sent.remove(place)

    def wait(self, account: str, key: PackKey, due: datetime, now: datetime) -> None:
        """A pack was looked at ``now`` and waits for the budget, ``due`` since then."""
        self._queues.setdefault(account, {})[key] = _Waiting(due, now)

    def leave(self, account: str, key: PackKey) -> None:
        """A pack was looked at and does not wait for the budget."""
        self.leave_all(account, (key,))

    def leave_all(self, account: str, keys: Iterable[PackKey]) -> None:
        """Packs were looked at and do not wait for the budget. Of nearly all accounts none ever does."""
        if queue := self._queues.get(account):
            for key in keys:
                queue.pop(key, None)

    def forget(self, key: PackKey) -> None:
        """There is no such pack any more."""
        for queue in self._queues.values():
            queue.pop(key, None)

    def merge(self, restarts: Iterable[tuple[str, datetime]]) -> None:
        """Restarts of the last hour as they are stored, by account: those of other processes take places as well."""
        known = Counter((account, place.at) for account, sent in self._sent.items() for place in sent)
        for account, at in (Counter(restarts) - known).elements():
            self.take(account, at)
        for account, sent in self._sent.items():
            self._sent[account] = deque(sorted(sent, key=lambda place: place.at))

    def shift(self, step: timedelta) -> None:
        """The clock was set by ``step``: the hour goes on, and so do the waits."""
        for sent in self._sent.values():
            for place in sent:
                place.at += step
        for queue in self._queues.values():
            for waiting in queue.values():
                waiting.due += step
                waiting.seen_at += step

    def tidy(self, now: datetime) -> None:
        """Let go of accounts that have sent nothing for an hour and of packs that have waited unseen for a day."""
        self._sent = {account: sent for account in list(self._sent) if (sent := self._hour(account, now))}
        queues = (
            (account, {key: each for key, each in queue.items() if each.seen_at > now - 24 * HOUR})
            for account, queue in self._queues.items()
        )
        self._queues = {account: queue for account, queue in queues if queue}

    def _hour(self, account: str, now: datetime) -> deque[Place]:
        """The account's restarts of the last hour, oldest first."""
        sent = self._sent.setdefault(account, deque())
        while sent and sent[0].at <= now - HOUR:
            sent.popleft()
        return sent

    def _ahead(self, account: str, mine: tuple[datetime, str, str], free: int, seen_since: datetime) -> int:
        """How many packs come first, as far as that matters: there are ``free`` places."""
        queue = self._queues.get(account)
        if not queue or free <= 0:
            return 0
        for key in [key for key, waiting in queue.items() if waiting.seen_at < seen_since]:
            del queue[key]
        earlier = (1 for key, waiting in queue.items() if (waiting.due, *key) < mine)
        return sum(islice(earlier, free))
