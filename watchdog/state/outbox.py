"""The alert log and the outbox on disk: what was said, and what no destination has accepted yet.

Functions over an open ``Store``, to be run in its one thread. What the log says and the messages that say it are
written in one transaction: after a kill at any moment, an alert is either not said yet or its messages are there. Rows
of a newer program that cannot be read are left out: then something is said twice, and nothing is lost.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from watchdog.model.alerts import AlertLog, AlertState, GroupHistory, Message, account_of_group
from watchdog.model.leases import WATCHDOG, Fence
from watchdog.state import schema
from watchdog.state.database import delete_each, upsert_each
from watchdog.state.deferred import sa
from watchdog.state.rows import Row, from_micros, maybe_from_micros, maybe_to_micros, to_micros
from watchdog.state.store import Store

_l, _g = schema.alert_log.c, schema.alert_groups.c
_STATES = sa.select(_l.fingerprint, _l.entry)
_GROUPS = sa.select(_g.name, _g.said_at, _g.in_a_row, _g.early_until)
_o, _last = schema.outbox.c, schema.meta.c.last_message
_given = sa.bindparam("given", type_=_last.type)
_MESSAGES = sa.select(_o.id, _o.destination, _o.message).order_by(_o.id)
_LAST = sa.select(_last)
_ACCOUNTS = sa.union(*(sa.select(each.account) for each in (_l, _g, _o)))
_SET_ASIDE = sa.update(schema.meta).values(last_message=_last + sa.bindparam("more", type_=_last.type))
_GIVEN = sa.update(schema.meta).where(_last < _given).values(last_message=_given)

_Value = TypeVar("_Value")


class Kept(msgspec.Struct, frozen=True):
    """What was stored: the log, the messages in their order, and the highest id ever given to one."""

    log: AlertLog
    messages: list[Message]
    last_id: int


class Unwritten(msgspec.Struct):
    """What is to be written. ``None`` in place of a value deletes it."""

    states: dict[str, AlertState | None] = msgspec.field(default_factory=dict)
    groups: dict[str, GroupHistory | None] = msgspec.field(default_factory=dict)
    messages: dict[int, Message | None] = msgspec.field(default_factory=dict)
    accounts: dict[str | int, str] = msgspec.field(default_factory=dict)
    """Whose they are, by fingerprint and by the id of a message."""

    def drop(self, account: str) -> None:
        """Forget what is of one account: somebody else writes it now."""
        owner = self.accounts.get
        self.states = {name: each for name, each in self.states.items() if owner(name) != account}
        self.messages = {number: each for number, each in self.messages.items() if owner(number) != account}
        self.groups = {name: each for name, each in self.groups.items() if account_of_group(name) != account}
        self.accounts = {key: each for key, each in self.accounts.items() if each != account}

    def empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.states or self.groups or self.messages)

    def merge(self, newer: "Unwritten") -> None:
        """Add what changed later; of what changed twice the later stands."""
        self.states.update(newer.states)
        self.groups.update(newer.groups)
        self.messages.update(newer.messages)
        self.accounts.update(newer.accounts)


def difference(before: AlertLog, after: AlertLog) -> Unwritten:
    """What has to be written to get from one log to the next."""
    states = _changed(before.states, after.states)
    both = {**before.states, **after.states}
    owners: dict[str | int, str] = {name: both[name].alert.account for name in states}
    return Unwritten(states, _changed(before.groups, after.groups), accounts=owners)


def _changed(before: Mapping[str, _Value], after: Mapping[str, _Value]) -> dict[str, _Value | None]:
    changed: dict[str, _Value | None] = {key: value for key, value in after.items() if before.get(key) != value}
    return changed | dict.fromkeys(before.keys() - after.keys())


def load(store: Store, accounts: Collection[str] | None = None) -> Kept:
    """Everything, or what belongs to some ``accounts``, as of one moment."""

    def theirs(account: "sa.Column[str]") -> sa.ColumnElement[bool]:
        return sa.true() if accounts is None else account.in_(accounts)

    with store.reading() as connection:
        states = connection.execute(_STATES.where(theirs(_l.account))).all()
        messages = _messages(connection.execute(_MESSAGES.where(theirs(_o.account))))
        groups = connection.execute(_GROUPS.where(theirs(_g.account))).all()
        last_id = connection.execute(_LAST).scalar_one()
    log = AlertLog(
        {fingerprint: state for fingerprint, text in states if (state := _read(text, AlertState)) is not None},
        {
            name: GroupHistory(from_micros(at), in_a_row, maybe_from_micros(early_until))
            for name, at, in_a_row, early_until in groups
        },
    )
    return Kept(log, messages, last_id)


def accounts(store: Store) -> set[str]:
    """The accounts of which anything is stored."""
    with store.reading() as connection:
        return set(connection.execute(_ACCOUNTS).scalars())


def retire(store: Store, account: str, ends: Iterable[Message], fence: Fence | None) -> list[Message]:
    """Keep nothing of an account that nobody holds; gives what is still to be delivered of it, with its ``ends``.

    That is told under the lease of the watchdog itself, which ``fence`` is about. Does nothing, and gives nothing,
    where somebody holds the account by now.
    """
    with store.writing(fence) as connection:
        if account not in store.roster.unheld(connection, [account]):
            return []
        waiting = _messages(connection.execute(_MESSAGES.where(_o.account == account)))
        messages = [*(replace(each, told_under=WATCHDOG) for each in waiting), *ends]
        for table in (schema.alert_log, schema.alert_groups, schema.outbox):
            connection.execute(sa.delete(table).where(table.c.account == account))
        upsert_each(connection, schema.outbox, [_row(message) for message in messages])
        if messages:
            connection.execute(_GIVEN, {"given": max(message.id for message in messages)})
    return messages


def number(store: Store, messages: int) -> int:
    """Reserve ids for so many ``messages``, higher than any before; gives the last id before the first of them."""
    with store.writing() as connection:
        connection.execute(_SET_ASIDE, {"more": messages})
        return int(connection.execute(_LAST).scalar_one()) - messages


def save(store: Store, changes: Unwritten, fence: Fence | None = None) -> None:
    """All of it or, with a ``StateError``, nothing. ``LeaseLost`` where the ``fence`` does not hold."""
    states, groups, messages = changes.states.items(), changes.groups.items(), changes.messages.items()
    with store.writing(fence) as connection:
        upsert_each(
            connection,
            schema.alert_log,
            [
                {"fingerprint": key, "entry": _written(state), "account": state.alert.account}
                for key, state in states
                if state is not None
            ],
        )
        delete_each(connection, schema.alert_log, [(key,) for key, state in states if state is None])
        upsert_each(
            connection,
            schema.alert_groups,
            [
                {
                    "name": key,
                    "said_at": to_micros(each.notified_at),
                    "in_a_row": each.in_a_row,
                    "early_until": maybe_to_micros(each.early_until),
                    "account": account_of_group(key),
                }
                for key, each in groups
                if each is not None
            ],
        )
        delete_each(connection, schema.alert_groups, [(key,) for key, each in groups if each is None])
        upsert_each(connection, schema.outbox, [_row(message) for _, message in messages if message is not None])
        delete_each(connection, schema.outbox, [(key,) for key, message in messages if message is None])
        if messages:
            connection.execute(_GIVEN, {"given": max(changes.messages)})


def _messages(rows: Iterable[Sequence[Any]]) -> list[Message]:
    found = ((number, destination, _read(text, Message)) for number, destination, text in rows)
    return [replace(each, id=number, destination=to) for number, to, each in found if each is not None]


def _row(message: Message) -> Row:
    return {
        "id": message.id,
        "destination": message.destination,
        "at": to_micros(message.at),
        "message": _written(message),
        "account": message.owner,
    }


def _written(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _read(text: str, kind: Callable[..., _Value]) -> _Value | None:
    try:
        value: _Value = msgspec.json.decode(text, type=kind)
    except msgspec.MsgspecError:
        return None
    return value
