"""The leases in the database: who is alive, who works which account, and the lock that keeps a late writer out.

Functions over the connection of a transaction that ``store`` has begun. Every time in here is the database's own, given
as the expression ``now`` (``Database.now``): no clock of a client is in any statement.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec

from watchdog.model.leases import LONGEST_LEASE, WATCHDOG, Fence, Lease, Replica, Roll, lasts
from watchdog.state import schema
from watchdog.state.database import StateError, execute_each, insert_missing
from watchdog.state.deferred import real, sa
from watchdog.state.rows import from_micros, maybe_from_micros, texts_from, texts_to, to_micros

FORGET_REPLICAS = timedelta(days=1)
"""How long a replica that is not heard of any more is kept."""

Now = sa.ColumnElement[int]

_l, _r = schema.leases.c, schema.replicas.c
_troubles_from = msgspec.json.Decoder(dict[str, str]).decode


class LeaseLost(StateError):
    """Somebody else may hold these accounts by now: nothing was written. ``epochs`` are those that are over."""

    def __init__(self, epochs: Mapping[str, int]) -> None:
        named = ", ".join(sorted(account or "the watchdog itself" for account in epochs))
        super().__init__(f"the lease of {named} is over: another replica may hold it")
        self.epochs = dict(epochs)


def micros(span: timedelta) -> int:
    """A span in microseconds, as it is added to stored times."""
    return span // timedelta(microseconds=1)


class _Statements(msgspec.Struct, frozen=True):
    """What every beat and every write says, made once for each ``now``."""

    time: sa.Select[Any]
    appear: sa.Update
    renew: Any
    leases: sa.Select[Any]
    replicas: sa.Select[Any]
    check: sa.Select[tuple[str]]


@lru_cache(maxsize=8)
def _statements(now: Now) -> _Statements:
    ttl: sa.BindParameter[int] = sa.bindparam("ttl", type_=_l.expires.type)
    mine = sa.and_(
        _l.instance == sa.bindparam("me"),
        sa.tuple_(_l.account, _l.epoch).in_(sa.bindparam("mine", expanding=True)),
    )
    seen = _l.account.in_(sa.bindparam("seen", expanding=True))
    names = ("name", "accounts", "troubles", "version", "config")
    described: dict[str, Any] = {name: sa.bindparam(f"my_{name}") for name in names}
    return _Statements(
        time=real(sa.select(now)),
        appear=real(
            sa.update(schema.replicas)
            .where(_r.instance == sa.bindparam("me"))
            .values({"expires": now + ttl, **described})
        ),
        renew=real(
            sa.update(schema.leases)
            .where(mine)
            .values(expires=now + ttl, seen_at=sa.case((seen, now), else_=_l.seen_at))
            .returning(_l.account, _l.clock_set)
        ),
        leases=real(sa.select(*(_l[name] for name in Lease.__struct_fields__))),
        replicas=real(sa.select(*(_r[name] for name in Replica.__struct_fields__))),
        check=real(sa.select(_l.account).where(mine, _l.expires > now).with_for_update(read=True, key_share=True)),
    )


def time(connection: sa.Connection, now: Now) -> int:
    """What the database's clock says."""
    micros: int = connection.execute(_statements(now).time).scalar_one()
    return micros


def appear(connection: sa.Connection, now: Now, me: Replica, ttl: timedelta) -> None:
    """A replica is alive. Those that have not been heard of for long are forgotten."""
    said = {
        "name": me.name,
        "accounts": texts_to(me.accounts),
        "troubles": msgspec.json.encode(dict(me.troubles)).decode(),
        "version": me.version,
        "config": me.config,
    }
    known = {"me": me.instance, "ttl": micros(ttl), **{f"my_{name}": value for name, value in said.items()}}
    if not connection.execute(_statements(now).appear, known).rowcount:
        born = {"instance": me.instance, "expires": now + micros(ttl), "since": now}
        connection.execute(sa.insert(schema.replicas).values({**born, **said}))
        connection.execute(sa.delete(schema.replicas).where(_r.expires < now - micros(FORGET_REPLICAS)))


def disappear(connection: sa.Connection, now: Now, instance: str) -> None:
    """A replica takes no more leases, and gives up all it has: also one that it took while it was told to stop."""
    connection.execute(_given_up(now).where(_l.instance == instance))
    connection.execute(sa.delete(schema.replicas).where(_r.instance == instance))


def renew(connection: sa.Connection, now: Now, fence: Fence, ttl: timedelta, seen: Iterable[str]) -> dict[str, int]:
    """Keep what is held; gives the accounts of which that is true, with the ``clock_set`` of their times.

    ``seen`` are those whose zones were seen lately.
    """
    if not fence.epochs:
        return {}
    known = {"me": fence.instance, "mine": list(fence.epochs.items()), "ttl": micros(ttl), "seen": list(seen)}
    return {account: int(by) for account, by in connection.execute(_statements(now).renew, known)}


def claim(
    connection: sa.Connection, now: Now, me: Replica, ttl: timedelta, accounts: Collection[str], set_by: int
) -> dict[str, tuple[int, int]]:
    """Take over those of ``accounts`` that nobody holds; gives their epochs, and the ``clock_set`` of their times.

    ``set_by`` is that of an account that is new here. One whose holder is in the middle of a write is left for the next
    time.
    """
    if not accounts:
        return {}
    taken = free(connection, now, accounts, set_by)
    if not taken:
        return {}
    values = {
        "holder": me.name,
        "instance": me.instance,
        "epoch": _l.epoch + 1,
        "expires": now + micros(ttl),
        "since": now,
        "seen_at": None,
        "version": me.version,
        "config": me.config,
    }
    took = sa.update(schema.leases).where(_l.account.in_(taken)).values(values)
    took = took.returning(_l.account, _l.epoch, _l.clock_set)
    return {account: (int(epoch), int(by)) for account, epoch, by in connection.execute(took)}


def free(connection: sa.Connection, now: Now, accounts: Collection[str], set_by: int) -> list[str]:
    """Those that nobody holds, and that nobody takes before this transaction ends; as ``claim`` has it."""
    known = set(connection.execute(sa.select(_l.account).where(_l.account.in_(list(accounts)))).scalars())
    for account in sorted(set(accounts) - known):
        _make(connection, account, set_by)
    found = (
        sa.select(_l.account)
        .where(_l.account.in_(list(accounts)), sa.or_(_l.expires < now, _l.expires > now + micros(LONGEST_LEASE)))
        .order_by(_l.account)
        .with_for_update(skip_locked=True)
    )
    return list(connection.execute(found).scalars())


def release(connection: sa.Connection, now: Now, fence: Fence) -> None:
    """Give up what is held, for others to take at once."""
    if fence.epochs:
        connection.execute(_given_up(now).where(_mine(fence)))


def _given_up(now: Now) -> sa.Update:
    """It was worked until now, also where it was taken long ago and none of its zones could be seen: see ``forget``."""
    return sa.update(schema.leases).values(instance="", expires=0, since=now)


def forget(connection: sa.Connection, before: datetime) -> list[str]:
    """Forget the leases of accounts that nobody has worked since then; gives those. One that comes back has a new one.

    One that was never worked is none of those: a command beside the replicas may have just made its lease. Who takes
    one over at this moment is waited for, and keeps it.
    """
    at = to_micros(before)
    worked = sa.and_(_l.since > 0, _l.account != WATCHDOG)
    idle = sa.and_(worked, _l.expires < at, _l.since < at, sa.func.coalesce(_l.seen_at, 0) < at)
    return list(connection.execute(sa.delete(schema.leases).where(idle).returning(_l.account)).scalars())


def roll(connection: sa.Connection, now: Now) -> Roll:
    """All leases, and all replicas that live."""
    at, said = from_micros(time(connection, now)), _statements(now)
    leases = {
        account: Lease(
            account=account,
            holder=holder,
            instance=instance,
            epoch=epoch,
            expires=from_micros(expires),
            since=from_micros(since),
            seen_at=maybe_from_micros(seen),
            version=version,
            config=config,
        )
        for account, holder, instance, epoch, expires, since, seen, version, config in connection.execute(said.leases)
    }
    replicas = {
        instance: Replica(
            instance=instance,
            name=name,
            expires=from_micros(expires),
            since=from_micros(since),
            accounts=texts_from(accounts),
            troubles=_troubles_from(troubles),
            version=version,
            config=config,
        )
        for instance, name, expires, since, accounts, troubles, version, config in connection.execute(said.replicas)
        if lasts(from_micros(expires), at)
    }
    return Roll(at, leases, replicas)


def check(connection: sa.Connection, now: Now, fence: Fence) -> None:
    """See that all of it is still held, and that nobody takes it over before this transaction ends.

    Raises ``LeaseLost``. Renewals are not held up.
    """
    if not fence.epochs:
        return
    known = {"me": fence.instance, "mine": list(fence.epochs.items())}
    if missing := fence.epochs.keys() - set(connection.execute(_statements(now).check, known).scalars()):
        raise LeaseLost(fence.of(missing).epochs)


def held(now: Now, fence: Fence, account: str) -> sa.CTE:
    """One row while the account is held, and locked for who acts on it; none otherwise. To be selected from."""
    found = sa.select(_l.account).where(_mine(fence.of([account])), _l.expires > now).with_for_update()
    return found.cte("mine")


def lock(connection: sa.Connection, account: str) -> None:
    """Let nobody act on the account until this transaction ends: for who acts on it without its lease."""
    if connection.execute(sa.select(_l.account).where(_l.account == account).with_for_update()).first() is None:
        _make(connection, account, connection.execute(sa.select(schema.meta.c.clock_set)).scalar_one())
        connection.execute(sa.select(_l.account).where(_l.account == account).with_for_update())


def _make(connection: sa.Connection, account: str, set_by: int) -> None:
    """A lease that nobody holds, unless there is one."""
    row = {"account": account, "holder": "", "instance": "", "epoch": 0, "expires": 0, "since": 0, "clock_set": set_by}
    execute_each(
        connection,
        insert_missing(connection.dialect.name, schema.leases),
        [row | {"seen_at": None, "version": "", "config": ""}],
    )


def _mine(fence: Fence) -> sa.ColumnElement[bool]:
    return sa.and_(_l.instance == fence.instance, sa.tuple_(_l.account, _l.epoch).in_(list(fence.epochs.items())))
