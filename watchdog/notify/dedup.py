"""Once: what to say now, given what holds and what was said before. Arithmetic only; ``now`` is handed in.

An alert is said when it starts, when it gets worse, every ``repeat_every`` while it lasts, and when it is over. Three
things keep that quiet:

- *Groups.* What has one reason and one account is one group, and a group is heard at most once in a while: after a
  message it is silent for 5 m, after the next for 15 m, then for 1 h, until it has been quiet for two hours. What comes
  up meanwhile waits and is said together. So 500 packs that fail one after the other are a handful of messages.
- *Flapping.* The first end is believed at once. Each time an alert comes back within a day of its end, the next end is
  believed only after it has stayed away for 5 m, 10 m, 20 m, … up to 12 h.
- *Other sides of one trouble.* An alert that gives way to another one about the same subject ends without a word, and
  one whose pack is not well yet waits with its end until it is.
"""

from collections import defaultdict
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from watchdog.model.alerts import Alert, AlertLog, AlertState, GroupHistory, Kind, Notice
from watchdog.model.reasons import Severity

GAPS = (timedelta(minutes=5), timedelta(minutes=15), timedelta(hours=1))
"""How long a group is silent after its first, second and any further message in a row."""

IN_A_ROW = timedelta(hours=2)
"""A silence longer than this ends the row."""

CALM = timedelta(minutes=5)
"""How long an alert that has come back once must stay away before its end is believed; twice as long each time."""

LONGEST_CALM = timedelta(hours=12)

REMEMBERED = timedelta(hours=24)
"""How long after its end an alert that comes back counts as flapping."""

GONE_FOR = timedelta(hours=1)
"""How long a zone or pack must be missing before it counts as no longer watched: discovery may not have run yet."""

_DOUBLINGS = 8
_SEVERITIES = tuple(Severity)


@dataclass(frozen=True, slots=True)
class Decided:
    """What to say now, and the log once it is said."""

    notices: tuple[Notice, ...]
    log: AlertLog


def settle(
    log: AlertLog,
    alerts: Mapping[str, Alert],
    unwell: Mapping[str, int],
    gone: AbstractSet[str],
    now: datetime,
    repeat_every: timedelta,
    *,
    heard: bool = True,
) -> Decided:
    """One step.

    ``alerts`` hold now; ``unwell`` are the subjects that are not well whatever holds, with their restarts; ``gone`` are
    the fingerprints of which nothing can be known any more. Unless anybody ``heard`` it, nothing counts as said, so
    whoever is the first to listen hears all of it.
    """
    held = {alert.subject for alert in alerts.values()}
    after: dict[str, AlertState] = {}
    for fingerprint in dict.fromkeys((*log.entries, *alerts)):
        entry = log.entries.get(fingerprint)
        entry = None if entry is None else _not_ahead(entry, now)
        alert = alerts.get(fingerprint)
        if alert is not None:
            after[fingerprint] = _held(entry, alert, now)
        elif entry is not None:
            kept = _missing(entry, held, unwell, now, gone=fingerprint in gone)
            if kept is not None:
                after[fingerprint] = kept
    voices = {group: voice for group, voice in log.voices.items() if timedelta(0) <= now - voice.said_at <= IN_A_ROW}
    notices = _say(after, voices, now, repeat_every) if heard else ()
    return Decided(notices, AlertLog(after, voices))


def _held(entry: AlertState | None, alert: Alert, now: datetime) -> AlertState:
    if entry is None:
        return AlertState(alert, now)
    if entry.over_at is not None and entry.owed is None:
        return AlertState(alert, now, flaps=entry.flaps + 1)
    came_back = entry.over_at is not None
    alert = replace(alert, since=min(alert.since, entry.alert.since))
    return replace(
        entry,
        alert=alert,
        missing_since=None,
        over_at=None,
        owed=None,
        waiting=False,
        flaps=entry.flaps + came_back,
    )


def _missing(
    entry: AlertState, held: AbstractSet[str], unwell: Mapping[str, int], now: datetime, *, gone: bool
) -> AlertState | None:
    """What becomes of an alert that does not hold; ``None`` when it is forgotten."""
    if entry.over_at is not None:
        return entry if entry.owed is not None or now - entry.over_at < REMEMBERED else None
    subject = entry.alert.subject
    since = entry.missing_since or now
    entry = replace(entry, missing_since=since)
    if not entry.ripe(since):
        return None  # it was only a blip
    if subject in held:
        return replace(entry, over_at=now, waiting=False)
    if subject in unwell:
        restarts = max(entry.alert.restarts, unwell[subject])
        return replace(entry, waiting=True, missing_since=now, alert=replace(entry.alert, restarts=restarts))
    if now - since < (GONE_FOR if gone else _calm(entry.flaps)):
        return entry
    end = Kind.GONE if gone else Kind.OVER
    # What was never said need not be taken back.
    return replace(entry, over_at=now, waiting=False, owed=end if entry.said_at is not None else None)


def _calm(flaps: int) -> timedelta:
    if flaps == 0:
        return timedelta(0)
    times: int = 2 ** min(flaps - 1, _DOUBLINGS)
    return min(CALM * times, LONGEST_CALM)


def _not_ahead(entry: AlertState, now: datetime) -> AlertState:
    """Times that lie ahead were written under a clock that was wrong: without this, all would wait for them."""
    times = (entry.first_at, entry.said_at, entry.missing_since, entry.over_at)
    if all(at is None or at <= now for at in times):
        return entry

    def cut(at: datetime | None) -> datetime | None:
        return None if at is None else min(at, now)

    return replace(
        entry,
        first_at=min(entry.first_at, now),
        said_at=cut(entry.said_at),
        missing_since=cut(entry.missing_since),
        over_at=cut(entry.over_at),
    )


# ── what to say ──────────────────────────────────────────────────────────────────────────────────────────────────


def _say(
    entries: dict[str, AlertState], voices: dict[str, GroupHistory], now: datetime, repeat_every: timedelta
) -> tuple[Notice, ...]:
    """What to say; notes it in ``entries`` and ``voices``."""
    groups: dict[str, list[str]] = defaultdict(list)
    for fingerprint, entry in entries.items():
        groups[entry.alert.group].append(fingerprint)
    notices: list[Notice] = []
    for group, members in groups.items():
        voice = voices.get(group)
        if voice is not None and now - voice.said_at < GAPS[min(voice.in_a_row, len(GAPS)) - 1]:
            continue
        repeat = any(_is_due(entries[member], now, repeat_every) for member in members)
        found = [(member, notice) for member in members if (notice := _notice(entries[member], now, repeat=repeat))]
        for member, notice in found:
            notices.append(notice)
            entries[member] = _once_said(entries[member], now)
        if found:
            voices[group] = GroupHistory(now, voice.in_a_row + 1 if voice is not None else 1)
    return tuple(notices)


def _lasts(entry: AlertState) -> bool:
    return entry.over_at is None and entry.missing_since is None and entry.said_at is not None


def _is_due(entry: AlertState, now: datetime, repeat_every: timedelta) -> bool:
    return _lasts(entry) and entry.said_at is not None and now - entry.said_at >= repeat_every


def _notice(entry: AlertState, now: datetime, *, repeat: bool) -> Notice | None:
    """What there is to say of one alert now that its group may speak; ``repeat`` when one of the group is due again."""
    if entry.owed is not None:
        # Whoever heard it at its worst hears of its end.
        worst = _SEVERITIES[max(entry.said[0], 0)]
        return Notice(entry.owed, replace(entry.alert, severity=worst), entry.missing_since)
    if entry.over_at is not None or entry.missing_since is not None or not entry.ripe(now):
        return None
    if entry.said_at is None:
        return Notice(Kind.STARTED, entry.alert)
    if entry.alert.gravity > entry.said:
        return Notice(Kind.WORSE, entry.alert)
    return Notice(Kind.LASTING, entry.alert) if repeat else None


def _once_said(entry: AlertState, now: datetime) -> AlertState:
    return replace(entry, said_at=now, said=max(entry.said, entry.alert.gravity), owed=None)
