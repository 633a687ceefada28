"""The clock of a database that several replicas share: who finds that it was set says so, and stored times follow.

Each beat holds the database's clock against the process's own monotonic one. Whoever is the first to find that it was
set notes by how much (``meta.clock_set``) and moves all leases along, so that none is over too early or too late. The
times of an account are by the clock as its holder knows it (``leases.clock_set``): they follow in the transaction in
which the holder learns of it, or in which another takes the account over. Where no replica lived while the clock was
set, nobody can know: who comes to find nobody begins another era, and who was there before and comes back says nothing
of the clock of an earlier one. Functions over the connection of a transaction that ``store`` has begun.
"""

from collections.abc import Callable, Collection
from datetime import timedelta

import msgspec
from msgspec.structs import replace

from watchdog.model.leases import LONGEST_LEASE
from watchdog.state import restarts, schema
from watchdog.state.bookings import SHARED
from watchdog.state.deferred import real, sa
from watchdog.state.leases import Now, micros, time

LEAST = timedelta(seconds=10)
"""A clock that was set by less is followed and not noted: a lease or a share of the quota is not off by more."""

LONGEST_ANSWER = 2.0
"""Seconds within which the time must be answered: of a later answer nobody knows what moment it is about."""

_l, _r, _m = schema.leases.c, schema.replicas.c, schema.meta.c
_SECOND = 1_000_000
_SET = sa.select(_m.clock_set)
_SET_AND_ERA = sa.select(_m.clock_set, _m.clock_era)


class Moment(msgspec.Struct, frozen=True):
    """When the database's clock said ``at`` (microseconds), by a process's ``monotonic`` one.

    ``set_by`` are the microseconds by which it was set until then, as far as anybody noticed.
    """

    at: int
    monotonic: float
    set_by: int
    era: int

    def known(self, set_by: int) -> "Moment":
        """The same, now that it is known that the clock was set."""
        return replace(self, at=self.at + set_by - self.set_by, set_by=set_by)

    def step_until(self, at: int, monotonic: float) -> int:
        """By how much the clock was set until it said ``at``: 0 where that is too little to be said."""
        step = at - self.at - round((monotonic - self.monotonic) * _SECOND)
        return step if abs(step) >= micros(LEAST) else 0


def look(connection: sa.Connection, now: Now, monotonic: Callable[[], float], before: Moment | None) -> Moment:
    """The present moment; as ``before``, with what others have noted, where the answer came too late to know."""
    asked = monotonic()
    at = time(connection, now)
    answered = monotonic()
    set_by, era = map(int, connection.execute(_SET_AND_ERA).one())
    if before is None and not connection.execute(real(sa.select(_r.instance).where(_lasts(_r.expires, now)))).first():
        begun = sa.update(schema.meta).values(clock_era=_m.clock_era + 1).returning(_m.clock_era)
        era = int(connection.execute(real(begun)).scalar_one())
        # Of a clock that was set back since: they would seem to live once it has caught up, and be left accounts to.
        connection.execute(real(sa.delete(schema.replicas).where(sa.not_(_lasts(_r.expires, now)))))
    if before is None or era != before.era:
        return Moment(at, answered, set_by, era)
    if answered - asked > LONGEST_ANSWER:
        return before.known(set_by)
    if before.known(set_by).step_until(at, answered):
        set_by = int(connection.execute(real(sa.select(_m.clock_set).with_for_update())).scalar_one())
        if step := before.known(set_by).step_until(at, answered):  # nobody noted it meanwhile
            set_by += step
            connection.execute(real(sa.update(schema.meta).values(clock_set=set_by)))
            _move_leases(connection, now, step)
    return Moment(at, answered, set_by, era)


def noted(connection: sa.Connection) -> int:
    """Microseconds by which the clock was set, as far as anybody noticed."""
    return int(connection.execute(_SET).scalar_one())


def follow(connection: sa.Connection, by: dict[str, int], set_by: int) -> None:
    """The stored times of these accounts, which are by a clock that was set so far, are by the present one from now on.

    Their leases are held by who calls this.
    """
    for account, was in by.items():
        if was != set_by:
            _shift(connection, [account], set_by - was)
            connection.execute(real(sa.update(schema.leases).where(_l.account == account).values(clock_set=set_by)))


def _lasts(expires: sa.ColumnElement[int], now: Now) -> sa.ColumnElement[bool]:
    return sa.and_(expires > now, expires <= now + micros(LONGEST_LEASE))


def _move_leases(connection: sa.Connection, now: Now, step: int) -> None:
    most = now + micros(LONGEST_LEASE)  # one that was renewed since it was set must not last for hours

    def moved(column: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
        return sa.case((column + step < most, column + step), else_=most)

    leases = {"expires": moved(_l.expires), "since": _l.since + step, "seen_at": _l.seen_at + step}
    connection.execute(real(sa.update(schema.leases).where(_l.instance != "").values(leases)))
    connection.execute(real(sa.update(schema.replicas).values(expires=moved(_r.expires), since=_r.since + step)))


def _shift(connection: sa.Connection, accounts: Collection[str], step: int) -> None:
    h, i, b = schema.histories.c, schema.intents.c, schema.bookings.c
    tried = (h.trouble_since, h.last_restart_at, h.next_restart_at, h.gave_up_at)
    for table, mine, columns in (
        (schema.histories, restarts.of_accounts(accounts), tried),
        (schema.intents, i.account.in_(accounts), (i.at, i.next_restart_at)),
    ):
        connection.execute(real(sa.update(table).where(mine).values({each: each + step for each in columns})))
    booked = sa.and_(b.account.in_(accounts), b.boot == SHARED)
    connection.execute(real(sa.update(schema.bookings).where(booked).values(until=b.until + step / _SECOND)))
