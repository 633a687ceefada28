"""The door to the leases: who is alive, who works which account. Each method is one transaction.

Called by ``replicas.keeper``, and by the commands that say who works what; ``store`` has it. What the rows mean stands
beside their statements, in ``leases``, and what is done about a clock that was set in ``server_clock``.
"""

from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta

from msgspec.structs import replace

from watchdog.model.leases import Fence, Replica, Roll
from watchdog.state import leases, server_clock
from watchdog.state.database import Database, StateError
from watchdog.state.deferred import sa
from watchdog.state.rows import from_micros


class Roster:
    """The leases of one state that several replicas share. Of another everything is a ``StateError``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._moment: server_clock.Moment | None = None  # of the last beat

    @property
    def now(self) -> leases.Now:
        """The database's own time, as a statement has it."""
        if self._database.now is None:
            raise StateError("this state has no clock of its own: nobody shares it")
        return self._database.now

    def beat(
        self, me: Replica, ttl: timedelta, fence: Fence, seen: Iterable[str], monotonic: Callable[[], float]
    ) -> tuple[Roll, frozenset[str]]:
        """A replica is alive, and keeps what it holds: gives the roll, and the accounts it still holds.

        ``seen`` are those whose zones were seen since the last beat. By ``monotonic`` seconds it shows whether the
        database's clock was set since; then what is stored of these accounts follows.
        """
        clock = self.now
        with self._database.writing() as connection:
            moment = server_clock.look(connection, clock, monotonic, self._moment)
            leases.appear(connection, clock, me, ttl)
            renewed = leases.renew(connection, clock, fence, ttl, seen)
            server_clock.follow(connection, renewed, moment.set_by)
            roll = leases.roll(connection, clock)
        exact = self._moment is None or moment.monotonic != self._moment.monotonic
        self._moment = moment
        return replace(roll, exact=exact), frozenset(renewed)

    def claim(self, me: Replica, ttl: timedelta, accounts: Collection[str]) -> dict[str, int]:
        """Take over those of ``accounts`` that nobody holds; gives their epochs.

        None where another has found since the last beat that the clock was set: their times would be taken wrongly.
        """
        with self._database.writing() as connection:
            set_by = server_clock.noted(connection)
            if self._moment is not None and self._moment.set_by != set_by:
                return {}
            taken = leases.claim(connection, self.now, me, ttl, accounts, set_by)
            server_clock.follow(connection, {account: by for account, (_, by) in taken.items()}, set_by)
            return {account: epoch for account, (epoch, _) in taken.items()}

    def unheld(self, connection: sa.Connection, accounts: Collection[str]) -> frozenset[str]:
        """Those of ``accounts`` that nobody holds, nor takes before the transaction of this ``connection`` ends."""
        return frozenset(leases.free(connection, self.now, accounts, server_clock.noted(connection)))

    def release(self, fence: Fence, *, leaving: bool = False) -> None:
        """Give up what is held; all of it, whatever the epoch, by a replica that is ``leaving``."""
        with self._database.writing() as connection:
            if leaving:
                leases.disappear(connection, self.now, fence.instance)
            else:
                leases.release(connection, self.now, fence)

    def roll(self) -> Roll:
        """Who holds what, and who is there."""
        with self._database.reading() as connection:
            return leases.roll(connection, self.now)

    def time(self) -> datetime:
        """What the database's clock says."""
        with self._database.reading() as connection:
            return from_micros(leases.time(connection, self.now))
