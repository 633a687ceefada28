"""What people know of one pack: several alerts may be about it, and they are told once. Arithmetic only.

The alerts about one pack are one *story*. That a validation lasts too long, or that the certificate is not renewed yet,
is no news where people were told of the pack a while ago: they know what is the matter, and until when. It is said in
place of the next reminder, if it is the gravest by then. What is critical, and what asks for something else, is told
whatever was told before. A reminder is left out where something graver is to be told soon. A story that several alerts
leave has one end.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from msgspec.structs import replace

from watchdog.model.alerts import Alert, AlertState, Phase
from watchdog.model.reasons import Reason, Severity

SAYS_NO_MORE = frozenset({Reason.PENDING_TOO_LONG, Reason.EXPIRING})
"""What asks for nothing that the trouble of the pack does not ask for, unless it is critical."""

_LASTS = frozenset({Phase.FIRING, Phase.PAUSED, Phase.WAITING})


def about(alert: Alert) -> str:
    """The pack that an alert is about, whatever of it; what is about no pack is a story of its own."""
    return alert.subject.partition("/")[2] if alert.pack_id else alert.fingerprint


def weight(alert: Alert) -> tuple[tuple[int, int], str, str]:
    """Compares: the highest speaks for its pack. Of two that are as grave the trouble does: its remedy comes first."""
    return alert.gravity, alert.subject.partition("/")[0], alert.reason


def is_repeated(state: AlertState, others: Collection[AlertState], now: datetime, repeat_every: timedelta) -> bool:
    """Whether it is said again when its time has come.

    It is not where something graver is to be told within half of ``repeat_every``. Where people are reminded once a day
    or less often, neither is it on a day (UTC) on which they were told, or on which something graver is to be told.
    """
    daily = repeat_every >= timedelta(days=1)
    if daily and state.notified_at is not None and state.notified_at.date() == now.date():
        return False
    coming = [at for alert in (state.alert, *_firing(others)) if (at := alert.worse_at) is not None and at > now]
    return not any(at <= now + repeat_every / 2 or (daily and at.date() == now.date()) for at in coming)


def says_more(state: AlertState, others: Collection[AlertState]) -> tuple[Alert, ...]:
    """Of the ``others`` that fire those that say more of its pack, since what was found is in the text of each.

    Whoever is told of one of those is not reminded of it.
    """
    return tuple(alert for alert in _firing(others) if weight(alert) > weight(state.alert))


def known_start(
    state: AlertState, others: Collection[AlertState], now: datetime, repeat_every: timedelta
) -> tuple[AlertState, ...]:
    """Of the ``others`` about its pack those from which people know of one that starts; none where it is news.

    Whatever is said at this very moment says what was found of both.
    """
    if state.alert.severity is Severity.CRITICAL:
        return ()
    since = now - repeat_every if state.alert.reason in SAYS_NO_MORE else now - timedelta.resolution
    over = max((at for other in others if (at := _end_told(other)) is not None), default=None)
    known = tuple(other for other in others if other.notified >= state.alert.gravity and _is_known(other, over))
    return known if any(other.notified_at is not None and other.notified_at > since for other in known) else ()


def known_end(state: AlertState, others: Collection[AlertState], now: datetime) -> tuple[AlertState, ...]:
    """Of the ``others`` about its pack those whose own end is, or will be, enough to know of the end of this one."""
    return tuple(
        other
        for other in others
        if other.notified_at is not None
        and other.notified >= state.notified
        and (other.phase in _LASTS or _end_told(other) == now)
    )


def owed(states: Collection[AlertState]) -> frozenset[str]:
    """The subjects of alerts that people were told of and that gave way to another: their end is still to be told."""
    closed = [state for state in states if state.phase is Phase.CLOSED and state.notified_at is not None]
    over: dict[str, datetime] = {}
    for state in closed:
        if (at := _end_told(state)) is not None:
            over[state.alert.subject] = max(at, over.get(state.alert.subject, at))
    return frozenset(state.alert.subject for state in closed if _is_known(state, over.get(state.alert.subject)))


def gave_way(state: AlertState, others: Collection[AlertState]) -> tuple[AlertState, ...]:
    """Of the ``others`` those that people were told of, and in whose place it came: their end was not told."""
    same = [other for other in others if other.alert.subject == state.alert.subject]
    over = max((at for other in same if (at := _end_told(other)) is not None), default=None)
    return tuple(other for other in same if other.phase is Phase.CLOSED and _is_known(other, over))


def heard_too(other: AlertState, state: AlertState, now: datetime) -> AlertState:
    """Another about the pack once people were told of one: they need no reminder of it now, if it is no graver."""
    same = other.phase in _LASTS and other.notified_at is not None and other.notified[0] == state.notified[0]
    return replace(other, notified_at=now) if same else other


def going_on(ended: AlertState, others: Mapping[str, AlertState]) -> list[str]:
    """Of the ``others`` about its pack those to remind people of who were told that this graver one is over.

    They may think that all is well, and know of the others by this one alone.
    """
    return [
        name
        for name, other in others.items()
        if other.phase in _LASTS and other.notified_at is not None and other.notified < ended.notified
    ]


def _firing(others: Collection[AlertState]) -> list[Alert]:
    return [other.alert for other in others if other.phase is Phase.FIRING]


def _is_known(state: AlertState, over: datetime | None) -> bool:
    """Whether people were told of it, and not that all is well since: another may have taken its place."""
    if state.notified_at is None or state.phase in _LASTS:
        return state.notified_at is not None
    return state.phase is Phase.CLOSED and _end_told(state) is None and (over is None or state.notified_at >= over)


def _end_told(state: AlertState) -> datetime | None:
    """When people were told that it is over."""
    told, ended = state.notified_at, state.ended_at
    return told if state.phase is Phase.CLOSED and told is not None and ended is not None and told >= ended else None
