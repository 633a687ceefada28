"""Which zone is due when, and whose turn comes next.

A calm zone is due every ``interval``, one in trouble every ``attention``, one that could not be seen after
``attention`` doubled by each failure in a row, at most ``interval``. When more is due than can be seen, the zone whose
wait is longest *in proportion to how often it should be seen* comes next: troubled zones go first, and since every wait
grows, none starves. A pure structure: it is handed the time.
"""

import heapq
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from itertools import count

import msgspec
from msgspec.structs import replace

from watchdog.model.packs import ZoneRef

START_STEP = timedelta(seconds=1)
"""Zones start at most this far apart, so a small fleet is seen at once and a large one over its whole interval."""


class _Turn(msgspec.Struct, kw_only=True):
    zone: ZoneRef
    due: datetime
    period: timedelta
    failures: int = 0
    taken: bool = False
    ticket: int = 0


class Agenda:
    """The turns of all zones, one queue of calm and one of urgent zones per account."""

    def __init__(self, interval: timedelta, attention: timedelta) -> None:
        self.interval = interval
        self.attention = attention
        self._turns: dict[tuple[str, str], _Turn] = {}
        self._queues: dict[tuple[str, bool], list[tuple[datetime, int, tuple[str, str]]]] = {}
        self._tickets = count()

    def enrol(
        self,
        zones: Iterable[ZoneRef],
        troubled: set[tuple[str, str]],
        now: datetime,
        accounts: Collection[str] | None = None,
    ) -> None:
        """Watch exactly these zones from now on, or exactly these of some ``accounts``.

        Those already enrolled keep their turn. Of the new ones, ``troubled`` are due at once, the others spread out.
        """
        wanted = {zone.key: zone for zone in zones}
        gone = self._turns.keys() - wanted.keys()
        for key in gone if accounts is None else [key for key in gone if key[0] in accounts]:
            del self._turns[key]
        fresh = [zone for key, zone in wanted.items() if key not in self._turns]
        step = min(START_STEP, self.interval / max(1, len(fresh)))
        for place, zone in enumerate(fresh):
            urgent = zone.key in troubled
            period = self.attention if urgent else self.interval
            turn = _Turn(zone=zone, due=now if urgent else now + place * step, period=period)
            self._turns[zone.key] = turn
            self._queue(turn)
        for key, zone in wanted.items():
            self._turns[key].zone = zone
        left = {account for account, _ in self._turns}
        self._queues = {key: queue for key, queue in self._queues.items() if key[0] in left}

    def take(self, account: str, now: datetime, horizon: datetime) -> ZoneRef | None:
        """The account's next zone that is due before ``horizon``; it is nobody else's until ``done``."""
        best: _Turn | None = None
        for urgent in (True, False):
            turn = self._head(account, urgent)
            if turn is None or turn.due >= horizon:
                continue
            if best is None or _lateness(turn, now) > _lateness(best, now):
                best = turn
        if best is None:
            return None
        best.taken = True
        return best.zone

    def done(self, zone: ZoneRef, now: datetime, *, troubled: bool, failed: bool) -> None:
        """The zone was looked at (or could not be); it takes its next turn."""
        turn = self._turns.get(zone.key)
        if turn is None:
            return
        turn.failures = turn.failures + 1 if failed else 0
        turn.period = self.attention if troubled else self.interval
        if failed and not troubled:
            turn.period = min(self.interval, self.attention * 2 ** min(turn.failures - 1, 20))
        turn.due = now + turn.period
        turn.taken = False
        self._queue(turn)

    def rescheduled(self, interval: timedelta, attention: timedelta) -> "Agenda":
        """An agenda of the same zones with other intervals; this one stays as it is.

        They hold from the next turn on; a turn already set never comes later than the new ones allow.
        """
        agenda = Agenda(interval, attention)
        for key, before in self._turns.items():
            period = min(before.period, interval)
            turn = agenda._turns[key] = replace(before, due=before.due - (before.period - period), period=period)
            if not turn.taken:
                agenda._queue(turn)
        return agenda

    def waiting(self, horizon: datetime) -> int:
        """How many zones are due before ``horizon`` and not being looked at."""
        return sum(1 for turn in self._turns.values() if not turn.taken and turn.due < horizon)

    def _queue(self, turn: _Turn) -> None:
        turn.ticket = next(self._tickets)
        queue = self._queues.setdefault((turn.zone.account, turn.period < self.interval), [])
        heapq.heappush(queue, (turn.due, turn.ticket, turn.zone.key))

    def _head(self, account: str, urgent: bool) -> _Turn | None:
        queue = self._queues.get((account, urgent), [])
        while queue:
            _, ticket, key = queue[0]
            turn = self._turns.get(key)
            if turn is not None and not turn.taken and turn.ticket == ticket:
                return turn
            heapq.heappop(queue)
        return None


def _lateness(turn: _Turn, now: datetime) -> float:
    return (now - turn.due + turn.period) / turn.period
