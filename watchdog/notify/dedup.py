"""Once: which alerts to notify people of now, given those that hold and the log. Arithmetic only; ``now`` is handed in.

People are told of an alert when it starts, when it gets worse, every ``repeat_every`` while it lasts, and when it is
over; what that means for one alert is its ``lifecycle``. Of several about one pack they are told as of one ``story``.
What is repeated takes along those of its group whose turn is near.

Many alerts are kept quiet by their *group*: what has one reason and one account. After a message a group is silent for
5 min, after the next for 15 min, then for 1 h, until it has been quiet for two hours. What comes up meanwhile waits and
is told together, so 500 packs that fail one after the other are a handful of messages.

A critical that is new does not wait for that: its group speaks as soon as its last message is ``critical_within`` old,
and tells all that waits. It may do so three times, and once more for each hour, so that a storm stays a handful.

Of what is *silenced* people are told only the end, where they know of its start, and once that it has ``expired``. What
still holds when the silence ends is told then.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta

import msgspec
from msgspec.structs import replace

from watchdog.model.alerts import Alert, AlertLog, AlertState, GroupHistory, Kind, Notice, Phase
from watchdog.model.reasons import Reason, Severity
from watchdog.notify import lifecycle, story

GAPS = (timedelta(minutes=5), timedelta(minutes=15), timedelta(hours=1))
"""How long a group is silent after its first, second and any further message in a row."""

IN_A_ROW = timedelta(hours=2)
"""A silence longer than this ends the row."""

CRITICAL_WITHIN = timedelta(minutes=1)
"""How long a new critical waits for others of its group, where the configuration says nothing."""

EARLY = 3
"""How many messages in a row of one group may come early."""

EARLY_AGAIN = timedelta(hours=1)
"""After how long one more may."""

NEAR = 0.75
"""The part of ``repeat_every`` after which one is said again along with others of its group."""

_SEVERITIES = tuple(Severity)
_ENDS = {Phase.OVER: Kind.OVER, Phase.GONE: Kind.GONE}


class Deduplicated(msgspec.Struct, frozen=True):
    """What to notify people of now, and the log once that is done."""

    notices: tuple[Notice, ...]
    log: AlertLog


def deduplicate(
    log: AlertLog,
    active: Mapping[str, Alert],
    unwell: Mapping[str, int],
    gone: AbstractSet[str],
    now: datetime,
    repeat_every: timedelta,
    critical_within: timedelta = CRITICAL_WITHIN,
    *,
    silenced: Collection[str] = (),
    retired: AbstractSet[str] = frozenset(),
    listening: bool = True,
    kept: bool = True,
    heard: Callable[[Notice], bool] = lambda notice: not notice.instead,
) -> Deduplicated:
    """One step.

    ``active`` alerts hold now, by fingerprint. ``unwell`` are the subjects that are not well whatever holds, with their
    restarts. ``gone`` are the fingerprints of which nothing can be known any more. ``retired`` are those whose account
    is configured no more: these end at once, and wait for nobody. Unless somebody is ``listening``, nothing counts as
    told, so whoever is the first to listen is told all of it. While the log cannot be ``kept`` no end is told: the next
    process would not know of it, and say nothing should that alert hold then. ``heard`` is whether anybody is told of a
    notice though others are told of another in its place.
    """
    subjects = {alert.subject for alert in active.values()}
    owed = story.owed(log.states.values())
    lasting = {each.alert.subject for each in log.states.values() if each.phase is not Phase.CLOSED}
    after: dict[str, AlertState] = {}
    for fingerprint in dict.fromkeys((*log.states, *active)):
        before = log.states.get(fingerprint)
        subject = before.alert.subject if before is not None else ""
        state = lifecycle.advance(
            before,
            active.get(fingerprint),
            now,
            replaced=subject in subjects,
            unwell=unwell.get(subject),
            gone=fingerprint in gone,
            retired=fingerprint in retired,
            owed=subject in owed,
        )
        if state is None and before is not None and before.phase is Phase.CLOSED and subject in lasting:
            state = before  # who was told of it waits for the end of what came in its place
        if state is not None:
            after[fingerprint] = state
    over = {log.states[fingerprint].alert.group for fingerprint in retired}
    groups = {
        name: group
        for name, group in log.groups.items()
        if timedelta(0) <= now - group.notified_at <= IN_A_ROW and name not in over
    }
    notices: tuple[Notice, ...] = ()
    if listening:
        notices = _notify(after, groups, now, repeat_every, critical_within, silenced, heard, ends=kept)
    notices = tuple(
        replace(notice, retired=True) if notice.alert.fingerprint in retired else notice for notice in notices
    )
    return Deduplicated(notices, AlertLog(after, groups))


def unsilenced(log: AlertLog, silenced: Collection[str]) -> AlertLog:
    """What a destination that is told all that fires is told: without what is silenced, but for what has expired."""
    if not silenced:
        return log
    kept = {
        name: each
        for name, each in log.states.items()
        if name not in silenced or each.phase.ended or each.alert.reason is Reason.EXPIRED
    }
    return AlertLog(kept, log.groups)


def replaced(before: AlertLog, decided: Deduplicated) -> tuple[Notice, ...]:
    """The ends in this step of alerts that gave way to another: people are told of that one, and not of these."""
    told = {notice.alert.fingerprint for notice in decided.notices}
    return tuple(
        _end(state, Kind.OVER)
        for fingerprint, state in decided.log.states.items()
        if state.phase is Phase.CLOSED and state.notified_at is not None and fingerprint not in told
        if (was := before.states.get(fingerprint)) is not None and not was.phase.ended
    )


def _notify(
    states: dict[str, AlertState],
    groups: dict[str, GroupHistory],
    now: datetime,
    repeat_every: timedelta,
    critical_within: timedelta,
    silenced: Collection[str],
    heard: Callable[[Notice], bool],
    *,
    ends: bool,
) -> tuple[Notice, ...]:
    """What to notify people of; notes it in ``states`` and ``groups``."""
    members: dict[str, list[str]] = defaultdict(list)
    stories: dict[str, list[str]] = defaultdict(list)
    for fingerprint, state in states.items():
        members[state.alert.group].append(fingerprint)
        stories[story.about(state.alert)].append(fingerprint)

    def others(fingerprint: str) -> dict[str, AlertState]:
        return {each: states[each] for each in stories[story.about(states[fingerprint].alert)] if each != fingerprint}

    found: list[tuple[str, Notice]] = []
    speaking: dict[str, GroupHistory] = {}
    for name, fingerprints in members.items():
        told = [each for each in fingerprints if _is_told(each, states[each], silenced, ends=ends)]
        group = groups.get(name)
        early_until = group.early_until if group is not None else None
        if group is not None and now - group.notified_at < GAPS[min(group.in_a_row, len(GAPS)) - 1]:
            early_until = max(early_until or now, now) + EARLY_AGAIN
            spent = early_until - now > EARLY * EARLY_AGAIN
            if spent or now - group.notified_at < critical_within:
                continue
            if not any(_is_new_critical(states[each]) for each in told):
                continue
        near = [each for each in told if _is_due(states[each], now, repeat_every * NEAR)]
        near = [each for each in near if story.is_repeated(states[each], others(each).values(), now, repeat_every)]
        instead = {each: story.says_more(states[each], others(each).values()) for each in near}
        near = [each for each in near if not instead[each] or heard(_lasting(states[each], instead[each]))]
        again = {*near} if any(_is_due(states[each], now, repeat_every) for each in near) else set()
        new = [
            (each, notice)
            for each in told
            if (notice := _notice(states[each], repeat=each in again, instead=instead.get(each, ())))
        ]
        speaking[name] = GroupHistory(now, group.in_a_row + 1 if group is not None else 1, early_until)
        found += new
    found.sort(key=lambda each: story.weight(each[1].alert), reverse=True)  # the graver is told, others join it
    notices: list[Notice] = []
    for each, notice in found:
        notices.append(_told(states, each, others(each), notice, now, repeat_every))
        if heard(notices[-1]):  # a group of which all is told with others has said nothing
            groups[notice.alert.group] = speaking[notice.alert.group]
        if notices[-1].kind.ends and not notices[-1].instead:
            told_now = {name for name, _ in found} | {*silenced}
            notices += _reminded(states, story.going_on(states[each], others(each)), told_now, now)
    return tuple(notices)


def _reminded(
    states: dict[str, AlertState], names: Iterable[str], told_now: Collection[str], now: datetime
) -> list[Notice]:
    """Note in ``states`` that people are reminded of some, unless these are ``told_now`` or not to be told.

    Of what may end without a word they hear should it come back.
    """
    notices = []
    for name in names:
        if states[name].phase is not Phase.FIRING:
            states[name] = lifecycle.unheard(states[name])
        elif name not in told_now and states[name].notified_at != now:
            notices.append(Notice(Kind.LASTING, states[name].alert))
            states[name] = lifecycle.notified(states[name], now)
    return notices


def _told(
    states: dict[str, AlertState],
    fingerprint: str,
    others: Mapping[str, AlertState],
    notice: Notice,
    now: datetime,
    repeat_every: timedelta,
) -> Notice:
    """Note in ``states`` that people are told of one, unless they know enough by ``others`` about the same pack."""
    if notice.kind.ends:
        known = story.known_end(states[fingerprint], others.values(), now)
        formerly = story.gave_way(states[fingerprint], others.values())
        notice = replace(notice, formerly=tuple(map(_at_worst, formerly)))
        if not known:  # the end of those is told with it: should one come back, that is news
            states |= {name: replace(other, notified_at=now) for name, other in others.items() if other in formerly}
        states[fingerprint] = lifecycle.notified(states[fingerprint], now)
    elif notice.kind is Kind.STARTED and (
        known := story.known_start(states[fingerprint], others.values(), now, repeat_every)
    ):
        told_at = max(other.notified_at for other in known if other.notified_at is not None)
        states[fingerprint] = lifecycle.notified(states[fingerprint], told_at)
    elif notice.instead:  # most are told of another, and none of the others is told with it
        states[fingerprint] = lifecycle.notified(states[fingerprint], now)
        return notice
    else:
        known = ()
        told = states[fingerprint] = lifecycle.notified(states[fingerprint], now)
        states |= {each: story.heard_too(other, told, now) for each, other in others.items()}
    return replace(notice, instead=tuple(other.alert for other in known))


def _is_new_critical(state: AlertState) -> bool:
    """Whether people do not know yet that it is critical; what comes back while it flaps is not new."""
    critical = state.phase is Phase.FIRING and state.alert.severity is Severity.CRITICAL
    return critical and not state.flaps and state.notified[0] < Severity.CRITICAL.rank


def _is_told(fingerprint: str, state: AlertState, silenced: Collection[str], *, ends: bool) -> bool:
    """Whether people may be told of it, though it may be silenced; of an end, where ``ends`` are told."""
    if state.phase in _ENDS:
        return ends
    breaks_through = state.alert.reason is Reason.EXPIRED and state.notified_at is None
    return fingerprint not in silenced or breaks_through


def _is_due(state: AlertState, now: datetime, repeat_every: timedelta) -> bool:
    lasts = state.phase is Phase.FIRING and state.notified_at is not None
    return lasts and state.notified_at is not None and now - state.notified_at >= repeat_every


def _notice(state: AlertState, *, repeat: bool, instead: tuple[Alert, ...]) -> Notice | None:
    """What is new of one alert now that its group may be told; ``repeat`` when it is to be said again.

    That is said to whoever is not told of one that says more, ``instead``.
    """
    if state.phase in _ENDS:
        return _end(state, _ENDS[state.phase])
    if state.phase is not Phase.FIRING:
        return None
    if state.notified_at is None:
        return Notice(Kind.STARTED, state.alert)
    if state.alert.gravity > state.notified:
        return Notice(Kind.WORSE, state.alert)
    return _lasting(state, instead) if repeat else None


def _lasting(state: AlertState, instead: tuple[Alert, ...]) -> Notice:
    return Notice(Kind.LASTING, state.alert, instead=instead)


def _end(state: AlertState, kind: Kind) -> Notice:
    """Whoever was told of it at its worst is told of its end."""
    return Notice(kind, _at_worst(state), state.ceased_at)


def _at_worst(state: AlertState) -> Alert:
    return replace(state.alert, severity=_SEVERITIES[max(state.notified[0], 0)])
