"""The life of one alert: its phases, what a look can find of it, and where that leads. Arithmetic only.

An alert is *pending* until it has held for as long as it must (``Alert.patience``); then it *fires*. A look that does
not find it any more has not found its end yet:

- Its pack may not be well. Then it is *waiting*, and its end with it, until the pack is.
- It may come back, as it has before. Then it is *paused*, and counts as firing. The first end is believed at once. Each
  time it comes back within a day of its end, the next is believed only after it has stayed away for longer: 5 min,
  10 min, 20 min, … up to 12 h.
- Another alert about the same subject may have taken its place. Or nobody was ever told of it, nor of one in whose
  place it came. Then it is *closed* without a word.
- Else it is *over*, or *gone* with its zone or pack, until people are told of that. Then it is *closed* too.

A closed alert is remembered for a day, to know it when it comes back; then it is *inactive*, which is not being in the
log at all. ``TRANSITIONS`` is all of this as a table; ``advance`` is one step of one alert.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum, auto

from msgspec.structs import replace

from watchdog.model.alerts import Alert, AlertState, Phase

CALM = timedelta(minutes=5)
"""How long an alert that has come back once must stay away before its end is believed; twice as long each time."""

LONGEST_CALM = timedelta(hours=12)

REMEMBERED = timedelta(hours=24)
"""How long after its end an alert that comes back counts as flapping."""

GONE_FOR = timedelta(hours=1)
"""How long a zone or pack must be missing before it counts as no longer watched: discovery may not have run yet."""

_DOUBLINGS = 8


class Evidence(Enum):
    """What a look finds of one alert."""

    BRIEF = auto()  # it holds, and has not for as long as it must
    HOLDS = auto()
    UNWELL = auto()  # it does not hold, and its pack is not well yet
    AWAY = auto()  # it does not hold, and may come back
    ENDED = auto()  # it has stayed away for long enough
    UNWATCHED = auto()  # its zone or pack is no longer watched
    DROPPED = auto()  # it does not hold, and nobody is to be told of that
    NOTIFIED = auto()  # no look: people were told of it


_INACTIVE, _PENDING, _FIRING, _PAUSED = Phase.INACTIVE, Phase.PENDING, Phase.FIRING, Phase.PAUSED
_WAITING, _OVER, _GONE, _CLOSED = Phase.WAITING, Phase.OVER, Phase.GONE, Phase.CLOSED
_ROWS = {
    #          BRIEF     HOLDS    UNWELL     AWAY       ENDED      UNWATCHED  DROPPED    NOTIFIED
    _INACTIVE: (_PENDING, _FIRING, _INACTIVE, _INACTIVE, _INACTIVE, _INACTIVE, _INACTIVE, _INACTIVE),
    _PENDING: (_PENDING, _FIRING, _INACTIVE, _INACTIVE, _INACTIVE, _INACTIVE, _INACTIVE, _PENDING),
    _FIRING: (_FIRING, _FIRING, _WAITING, _PAUSED, _OVER, _GONE, _CLOSED, _FIRING),
    _PAUSED: (_FIRING, _FIRING, _WAITING, _PAUSED, _OVER, _GONE, _CLOSED, _PAUSED),
    _WAITING: (_FIRING, _FIRING, _WAITING, _PAUSED, _OVER, _GONE, _CLOSED, _WAITING),
    _OVER: (_FIRING, _FIRING, _OVER, _OVER, _OVER, _OVER, _OVER, _CLOSED),
    _GONE: (_FIRING, _FIRING, _GONE, _GONE, _GONE, _GONE, _GONE, _CLOSED),
    _CLOSED: (_PENDING, _FIRING, _CLOSED, _CLOSED, _INACTIVE, _CLOSED, _CLOSED, _CLOSED),
}
TRANSITIONS: Mapping[Phase, Mapping[Evidence, Phase]] = {
    phase: dict(zip(Evidence, row, strict=True)) for phase, row in _ROWS.items()
}
"""Where each evidence leads from each phase."""


def advance(
    state: AlertState | None,
    alert: Alert | None,
    now: datetime,
    *,
    replaced: bool = False,
    unwell: int | None = None,
    gone: bool = False,
    retired: bool = False,
    owed: bool = False,
) -> AlertState | None:
    """One alert after one look; ``None`` when it is inactive.

    ``alert`` is as it holds now, if it does. ``replaced``: another about its subject holds. ``unwell`` are the restarts
    so far of its pack, while that is not well. ``gone``: its zone or pack is not there; ``retired``: that is certain to
    stay so. ``owed``: people were told of another in whose place it came.
    """
    if state is not None:
        state = _not_ahead(state, now)
    if alert is not None:
        return _holding(state, alert, now)
    if state is None:
        return None
    return _away(state, now, replaced=replaced, unwell=unwell, gone=gone, retired=retired, owed=owed)


def notified(state: AlertState, now: datetime) -> AlertState:
    """The alert once people were told of it, or of its end."""
    worst = max(state.notified, state.alert.gravity)
    phase = TRANSITIONS[state.phase][Evidence.NOTIFIED]
    return replace(state, phase=phase, notified_at=now, notified=worst)


def unheard(state: AlertState) -> AlertState:
    """The alert as if nobody had been told of it."""
    return replace(state, notified_at=None, notified=(-1, -1))


def calm(flaps: int) -> timedelta:
    """How long an alert that came back so often must stay away before its end is believed."""
    if flaps == 0:
        return timedelta(0)
    times: int = 2 ** min(flaps - 1, _DOUBLINGS)
    return min(CALM * times, LONGEST_CALM)


def _holding(state: AlertState | None, alert: Alert, now: datetime) -> AlertState:
    if state is not None and _is_old(state, now):
        state = None
    before = state.phase if state is not None else Phase.INACTIVE
    came_back = before in (Phase.OVER, Phase.GONE, Phase.CLOSED)
    flaps = (state.flaps if state is not None else 0) + came_back
    if state is None or before is Phase.CLOSED:  # a new story
        first_at, kept = now, AlertState(alert=alert, phase=before, first_at=now)
    else:  # the same one, though its end was not told yet
        first_at, kept = state.first_at, state
        alert = replace(alert, since=min(alert.since, state.alert.since))
    evidence = Evidence.HOLDS if now - first_at >= alert.patience else Evidence.BRIEF
    phase = TRANSITIONS[before][evidence]
    return replace(kept, alert=alert, phase=phase, flaps=flaps, ceased_at=None, ended_at=None)


def _away(
    state: AlertState, now: datetime, *, replaced: bool, unwell: int | None, gone: bool, retired: bool, owed: bool
) -> AlertState | None:
    if state.ended_at is not None:
        phase = TRANSITIONS[state.phase][Evidence.ENDED if _is_old(state, now) else Evidence.AWAY]
        return None if phase is Phase.INACTIVE else state
    ceased_at = state.ceased_at or now
    evidence = Evidence.AWAY
    if replaced:
        evidence = Evidence.DROPPED
    elif unwell is not None:
        evidence = Evidence.UNWELL
    elif retired or now - ceased_at >= (GONE_FOR if gone else calm(state.flaps)):
        end = Evidence.UNWATCHED if gone or retired else Evidence.ENDED
        evidence = end if state.notified_at is not None or owed else Evidence.DROPPED
    phase = TRANSITIONS[state.phase][evidence]
    if phase is Phase.INACTIVE:
        return None
    if phase is Phase.WAITING:
        alert = replace(state.alert, restarts=max(state.alert.restarts, unwell or 0))
        return replace(state, phase=phase, alert=alert, ceased_at=now)
    return replace(state, phase=phase, ceased_at=ceased_at, ended_at=now if phase.ended else None)


def _is_old(state: AlertState, now: datetime) -> bool:
    return state.phase is Phase.CLOSED and state.ended_at is not None and now - state.ended_at >= REMEMBERED


def _not_ahead(state: AlertState, now: datetime) -> AlertState:
    """Times that lie ahead were written under a clock that was wrong: without this, all would wait for them."""

    def cut(at: datetime | None) -> datetime | None:
        return None if at is None else min(at, now)

    if all(at is None or at <= now for at in (state.first_at, state.notified_at, state.ceased_at, state.ended_at)):
        return state
    return replace(
        state,
        first_at=min(state.first_at, now),
        notified_at=cut(state.notified_at),
        ceased_at=cut(state.ceased_at),
        ended_at=cut(state.ended_at),
    )
