"""Which replica is to work which account. Arithmetic: each replica comes to the same plan from the same roll.

Accounts are spread evenly, and none is moved that need not be: one moves only from a replica that has at least two more
than another that could work it. What nobody holds goes to whoever has the fewest.
"""

from collections.abc import Collection, Mapping
from datetime import timedelta

import msgspec

from watchdog.model.leases import WATCHDOG, Roll


class Share(msgspec.Struct, frozen=True):
    """What one replica is to do: accounts to ``take``, which nobody holds, and to ``give`` away, which it holds."""

    take: frozenset[str]
    give: frozenset[str]


def share(roll: Roll, instance: str, left: timedelta = timedelta(0)) -> Share:
    """What the replica of this ``instance`` is to do now.

    Another that will be forgotten in less than ``left`` was not heard of for some beats: it keeps what it has while its
    leases last, and gets nothing. The lease of the watchdog itself weighs nothing, and stays where it is.
    """
    holders = {name: lease.instance for name, lease in roll.leases.items() if lease.held(roll.at)}
    able = {
        each: frozenset(replica.accounts)
        for each, replica in roll.replicas.items()
        if each == instance or replica.expires - roll.at >= left
    }
    wanted = plan(able, {account: holder for account, holder in holders.items() if account != WATCHDOG})
    mine = {account for account, holder in holders.items() if holder == instance}
    take = {account for account, holder in wanted.items() if holder == instance and account not in holders}
    give = {account for account in mine if wanted.get(account, instance) != instance}
    give |= mine - able.get(instance, frozenset()) - {WATCHDOG}
    if WATCHDOG not in holders:
        take.add(WATCHDOG)
    return Share(frozenset(take), frozenset(give))


def plan(able: Mapping[str, Collection[str]], holders: Mapping[str, str]) -> dict[str, str]:
    """The replica that is to work each account. ``able`` has each replica's accounts, ``holders`` who works which now.

    What is held by a replica that is not heard of any more stays out: it is free once its lease is over.
    """
    accounts = sorted({account for each in able.values() for account in each})
    wanted = {account: holders[account] for account in accounts if account in holders}
    counts = dict.fromkeys(sorted(able), 0)
    for holder in wanted.values():
        if holder in counts:
            counts[holder] += 1
    for account in accounts:
        if wanted.get(account) in counts and account not in able[wanted[account]]:  # its configuration has lost it
            counts[wanted.pop(account)] -= 1
        if account not in wanted:
            to = min((each for each in counts if account in able[each]), key=lambda each: (counts[each], each))
            wanted[account] = to
            counts[to] += 1
    while (move := _move(able, wanted, counts)) is not None:
        account, to = move
        counts[wanted[account]] -= 1
        counts[to] += 1
        wanted[account] = to
    return wanted


def _move(
    able: Mapping[str, Collection[str]], wanted: Mapping[str, str], counts: Mapping[str, int]
) -> tuple[str, str] | None:
    """An account to move, and to whom: from whoever has most to whoever has least, if that is two apart."""
    if not counts or max(counts.values()) < min(counts.values()) + 2:
        return None
    for least in sorted(counts, key=lambda each: (counts[each], each)):
        from_most = sorted(
            (account for account, holder in wanted.items() if holder in counts and account in able[least]),
            key=lambda account: (-counts[wanted[account]], wanted[account], account),
        )
        if from_most and counts[wanted[from_most[0]]] >= counts[least] + 2:
            return from_most[0], least
    return None
