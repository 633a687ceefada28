"""By which clock the stored times were noted, and how they follow one that is set.

Every write begins with ``align``. Functions over the connection of a transaction that ``store`` has begun; the present
moment is handed in.
"""

from datetime import timedelta

from watchdog.model.clock import Anchor
from watchdog.state import schema
from watchdog.state.deferred import sa
from watchdog.state.rows import from_micros, to_micros

_h, _i, _m = schema.histories.c, schema.intents.c, schema.meta.c
_STEP, _NOW = sa.bindparam("step", type_=_i.at.type), sa.bindparam("now", type_=_i.at.type)

_ANCHOR = sa.select(_m.anchor_at, _m.anchor_monotonic, _m.anchor_boot)
_SET_ANCHOR = sa.update(schema.meta)
_SHIFTED = (
    sa.update(schema.histories).values(
        {each: each + _STEP for each in (_h.trouble_since, _h.last_restart_at, _h.next_restart_at, _h.gave_up_at)}
    ),
    # All of them: one that stays behind when the clock is set back lies ahead then, and counts as just made.
    sa.update(schema.intents).values({each: each + _STEP for each in (_i.at, _i.next_restart_at)}),
)
# Times ahead of now come from a clock that was wrong: as if it were now, so that no wait is lost, or lasts for years.
_NONE_AHEAD = (
    sa.update(schema.histories)
    .where(_h.last_restart_at > _NOW)
    .values(next_restart_at=_h.next_restart_at - _h.last_restart_at + _NOW, last_restart_at=_NOW),
    sa.update(schema.intents).where(_i.at > _NOW).values(next_restart_at=_i.next_restart_at - _i.at + _NOW, at=_NOW),
)


def anchor(connection: sa.Connection) -> Anchor | None:
    """The moment at which the stored times were right; ``None`` before the first of them."""
    at, monotonic, boot = connection.execute(_ANCHOR).one()
    return None if at is None else Anchor(from_micros(at), monotonic, boot)


def align(connection: sa.Connection, now: Anchor) -> None:
    """Bring the times of histories and intents to the clock of ``now``, if it was set since they were noted."""
    then = anchor(connection)
    if then is not None and then.boot == now.boot and now.boot:
        step = now.step_since(then)
        if not step:
            return
        shift(connection, step)
    else:
        _execute(connection, _NONE_AHEAD, {"now": to_micros(now.at)})
    connection.execute(
        _SET_ANCHOR, {"anchor_at": to_micros(now.at), "anchor_monotonic": now.monotonic, "anchor_boot": now.boot}
    )


def shift(connection: sa.Connection, step: timedelta) -> None:
    """Move the times of histories and intents by ``step``, by which the clock was set."""
    _execute(connection, _SHIFTED, {"step": step // timedelta(microseconds=1)})


def _execute(connection: sa.Connection, statements: tuple[sa.Update, ...], values: dict[str, int]) -> None:
    for statement in statements:
        connection.execute(statement, values)
