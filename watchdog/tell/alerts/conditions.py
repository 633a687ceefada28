"""What is worth a word now: from everything remembered to the set of alerts that hold. Arithmetic only.

A pack has at most one alert about its trouble, the first in the list of ``_TROUBLES``, and at most one about its
expiry. Nothing here knows what was said before (``dedup``) or to whom it goes (``letters``).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from watchdog.model.alerts import ALERTS, Alert, Severity
from watchdog.model.events import rfc3339
from watchdog.model.findings import Certainty
from watchdog.model.history import History, Remembered, ZoneMemory
from watchdog.model.packs import EXPIRED, GOING_AWAY, HEALTHY, IN_PROGRESS, VALIDATION_TIMED_OUT, Pack
from watchdog.model.reasons import Reason
from watchdog.model.report import Inventory, next_step
from watchdog.model.text import clean
from watchdog.tell.alerts.about import about_pack, about_zone, named, who

LATE = 0.5
"""The part of a renewal window after which a certificate that is not renewed is worth a word. Cloudflare begins to
renew when the window opens, and an automatic renewal takes minutes; half a window still leaves a person the other."""

SHORTEST_VALIDITY = 14
"""Days; taken where a certificate's validity is not known: rather a word late than one every month about nothing."""

UNSEEN_FOR = timedelta(minutes=30)
"""How much longer than the usual interval a zone may go unseen: Cloudflare's own incidents are often shorter."""

TROUBLE, EXPIRY = "trouble", "expiry"
"""The two families of alerts about packs; the first part of their subjects."""

_HELD_BY_PEOPLE = frozenset({"holding_deployment", "staging_deployment"})


class Window(Protocol):
    """A renewal window, as ``decide.urgency`` reckons it."""

    @property
    def last_restart_at(self) -> datetime:
        """A restart after this comes too late for the renewal."""

    @property
    def used(self) -> float:
        """The part of the window that is gone."""


Renewal = Callable[[datetime | None, int, datetime], Window | None]
"""From expiry, validity in days and now to the window, if there is a certificate."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How the watchdog itself stands. ``discovery`` holds the accounts whose zones could not be listed, and why."""

    state_error: str = ""
    config_error: str = ""
    overdue_since: datetime | None = None
    discovery: Mapping[str, str] = field(default_factory=dict)


ALL_WELL = Standing()


@dataclass(frozen=True, slots=True)
class Limits:
    """How long things may take. ``interval`` is how often every zone is looked at."""

    pending_for: timedelta = timedelta(hours=24)
    interval: timedelta = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Holding:
    """What holds, by fingerprint; and the packs that are not well yet, by subject, with their restarts so far."""

    alerts: dict[str, Alert]
    unwell: dict[str, int]


def holding(
    inventory: Inventory, standing: Standing, limits: Limits, renewal: Renewal, started_at: datetime, now: datetime
) -> Holding:
    """Every alert that holds. ``started_at`` is when this process began to look."""
    found: dict[str, Alert] = {}
    unwell: dict[str, int] = {}
    for alert in _own(standing, now):
        found[alert.fingerprint] = alert
    for zone in inventory.zones:
        for alert in _of_zone(zone, limits, max(started_at, zone.seen_at or started_at), now):
            found[alert.fingerprint] = alert
    expiring: list[tuple[Remembered, History, Alert]] = []
    for known, history in inventory.packs:
        if known.pack.status in GOING_AWAY and known.decision.reason is not Reason.NOT_FOUND:
            continue
        trouble = _trouble(known, history, limits, now)
        if trouble is not None:
            _keep(found, trouble)
        if history.trouble_since is not None:
            unwell[f"{TROUBLE}/{subject(known.pack)}"] = history.attempts
        expiry = _expiry(known, history, renewal, now)
        if expiry is not None:
            expiring.append((known, history, expiry))
    if expiring:
        standins = _standins(inventory)
        for known, _, alert in expiring:
            if not _replaced(known.pack, standins):
                _keep(found, alert)
    return Holding(found, unwell)


def unwatched(alerts: Iterable[Alert], inventory: Inventory, standing: Standing) -> frozenset[str]:
    """The fingerprints of those whose zone or pack is gone, and which therefore cannot be said to be well.

    What an account whose zones could not be listed is about may still be there.
    """
    zones = {zone.key for zone in inventory.zones}
    packs = {subject(known.pack) for known, _ in inventory.packs if known.pack.status not in GOING_AWAY}
    return frozenset(
        alert.fingerprint
        for alert in alerts
        if alert.zone
        and alert.account not in standing.discovery
        and ((alert.account, alert.zone) not in zones or (alert.pack_id and alert.subject.split("/", 1)[1] not in packs))
    )


def subject(pack: Pack) -> str:
    """A pack's name for as long as it lives, even if a restart changes its id."""
    zone_id, hosts, authority, kind = pack.identity
    return " ".join((zone_id, *hosts, authority, kind)) if hosts else f"{zone_id} {pack.id}"


def _keep(found: dict[str, Alert], alert: Alert) -> None:
    """Two packs of one identity have one alert: the graver."""
    other = found.get(alert.fingerprint)
    if other is None or alert.gravity > other.gravity:
        found[alert.fingerprint] = alert


# ── the watchdog itself ──────────────────────────────────────────────────────────────────────────────────────────


def _own(standing: Standing, now: datetime) -> Iterator[Alert]:
    if standing.state_error:
        text = "the state cannot be written, so nothing is restarted"
        yield _plain(Reason.STATE_UNWRITABLE, text, f"{standing.state_error}.", now)
    if standing.config_error:
        text = "the configuration was refused; the last good one goes on"
        yield _plain(Reason.CONFIG_REFUSED, text, standing.config_error, now)
    if standing.overdue_since is not None:
        text = f"no pass was completed since {rfc3339(standing.overdue_since)}"
        yield _plain(Reason.PASS_OVERDUE, text, "Restart the daemon, and report it with its log.", now)
    for account, error in standing.discovery.items():
        yield Alert(
            Reason.UNSEEN,
            Severity.WARNING,
            f"discovery/{account}",
            f"account {account}: its zones cannot be listed",
            now,
            f"{error}. The zones found last are still watched; new ones are not.",
            account,
            patience=UNSEEN_FOR,
        )


def _plain(reason: Reason, summary: str, body: str, now: datetime) -> Alert:
    return Alert(reason, ALERTS[reason][0], "watchdog", summary, now, body)


# ── zones ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _of_zone(zone: ZoneMemory, limits: Limits, last_good: datetime, now: datetime) -> Iterator[Alert]:
    reason, patience = Reason.UNSEEN, timedelta(0)
    if zone.error and zone.reason in (Reason.NOT_FOUND, Reason.CREDENTIAL_REFUSED):
        reason = Reason(zone.reason)
        summary = "Cloudflare has no such zone" if reason is Reason.NOT_FOUND else "Cloudflare refuses the credential"
    elif zone.error and zone.seen_at is None:
        summary, patience = "it was never seen", limits.interval + UNSEEN_FOR
    else:
        last = zone.seen_at if zone.error and zone.seen_at else last_good
        if now - last < limits.interval + UNSEEN_FOR:
            return
        summary = f"not seen since {rfc3339(last)}"
    yield Alert(
        reason,
        ALERTS[reason][0],
        f"zone/{zone.account}/{zone.label}",
        f"{zone.label}: {summary}",
        zone.seen_at or last_good,
        about_zone(zone),
        zone.account,
        zone.label,
        zone.id,
        patience=patience,
    )


# ── packs ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _trouble(known: Remembered, history: History, limits: Limits, now: datetime) -> Alert | None:
    reason = known.decision.reason
    if reason is Reason.HEALTHY:
        return None
    if reason in _TROUBLES:
        return _about(known, history, reason, _TROUBLES[reason](known, history))
    stage = _waits_for_records(known, history)
    if stage:
        count = f"{stage} restart{'s' if stage > 1 else ''}"
        return _about(known, history, Reason.RECORDS_NEEDED, f"needs records placed after {count}", stage=stage)
    waits = known.pack.status in IN_PROGRESS - _HELD_BY_PEOPLE
    if waits and now - known.since >= limits.pending_for:
        return _about(known, history, Reason.PENDING_TOO_LONG, f"{known.pack.status} since {rfc3339(known.since)}")
    return None


def _gave_up(_: Remembered, history: History) -> str:
    return f"gave up after {history.attempts} restarts"


def _held(known: Remembered, _: History) -> str:
    found = known.diagnosis.findings if known.diagnosis is not None else ()
    says = [finding.says for finding in found if finding.certainty is Certainty.CERTAIN]
    return f"not restarted, since that is certain to fail: {says[0] if says else known.pack.status}"


def _refused(known: Remembered, _: History) -> str:
    return f"{known.pack.certificate_authority or 'the certificate authority'} will not issue for these names"


def _stuck(known: Remembered, _: History) -> str:
    return f"{known.pack.status}, which no restart can mend"


def _of_another_type(known: Remembered, _: History) -> str:
    return f"timed out, and packs of type {known.pack.type or 'none'} cannot be restarted"


def _missing(_known: Remembered, _: History) -> str:
    return "Cloudflare has no such pack"


def _strange(known: Remembered, _: History) -> str:
    return f"has the status {clean(known.pack.status, 60) or 'none'}, which this version does not know"


_TROUBLES: Mapping[Reason, Callable[[Remembered, History], str]] = {
    Reason.GAVE_UP: _gave_up,
    Reason.CA_REFUSES: _refused,
    Reason.HELD_BY_DIAGNOSIS: _held,
    Reason.OTHER_STAGE_TIMED_OUT: _stuck,
    Reason.NOT_RESTARTABLE: _of_another_type,
    Reason.NOT_FOUND: _missing,
    Reason.UNKNOWN_STATUS: _strange,
}
"""What is said of a pack that was decided so."""


def _waits_for_records(known: Remembered, history: History) -> int:
    """After how many restarts a person is to place records; 0 while there is nothing to place.

    Records found before the last restart are of tokens that it has spent, so they say nothing of it.
    """
    found, last = known.diagnosis, history.last_restart_at
    if found is None or last is None or not found.records:
        return 0
    if known.pack.status != VALIDATION_TIMED_OUT and known.pack.status not in IN_PROGRESS:
        return 0
    return history.attempts if found.at >= last else history.attempts - 1


def _expiry(known: Remembered, history: History, renewal: Renewal, now: datetime) -> Alert | None:
    pack = known.pack
    if pack.status == EXPIRED or (pack.expires_at is not None and pack.expires_at <= now):
        at = f" at {rfc3339(pack.expires_at)}" if pack.expires_at is not None else ""
        return _about(known, history, Reason.EXPIRED, f"expired{at}", family=EXPIRY)
    window = renewal(pack.expires_at, pack.validation.validity_days or SHORTEST_VALIDITY, now)
    if pack.expires_at is None or window is None or window.used < LATE:
        return None
    late = now >= window.last_restart_at
    text = f"expires at {rfc3339(pack.expires_at)}, and " + (
        "it is too late for Cloudflare to renew it" if late else "is not renewed yet"
    )
    severity = Severity.CRITICAL if late else Severity.WARNING
    return _about(known, history, Reason.EXPIRING, text, severity=severity, family=EXPIRY)


def _standins(inventory: Inventory) -> dict[tuple[str, str], list[tuple[datetime, frozenset[str]]]]:
    """By zone and host: the packs that serve it, with their expiry."""
    found: dict[tuple[str, str], list[tuple[datetime, frozenset[str]]]] = defaultdict(list)
    for known, _ in inventory.packs:
        pack = known.pack
        if pack.status in HEALTHY and pack.expires_at is not None:
            for host in pack.hosts:
                found[pack.zone_id, host].append((pack.expires_at, frozenset(pack.hosts)))
    return found


def _replaced(pack: Pack, standins: Mapping[tuple[str, str], list[tuple[datetime, frozenset[str]]]]) -> bool:
    """Whether a healthy pack of later expiry serves all the hosts of this one."""
    if not pack.hosts or pack.expires_at is None:
        return False
    others = standins.get((pack.zone_id, pack.hosts[0]), ())
    return any(expires_at > pack.expires_at and hosts >= set(pack.hosts) for expires_at, hosts in others)


def _about(
    known: Remembered,
    history: History,
    reason: Reason,
    what: str,
    *,
    stage: int = 0,
    severity: Severity | None = None,
    family: str = TROUBLE,
) -> Alert:
    pack, found = known.pack, known.diagnosis
    return Alert(
        reason,
        severity or ALERTS[reason][0],
        f"{family}/{subject(pack)}",
        f"{who(known)}: {what}",
        history.trouble_since or known.since,
        about_pack(known, history, next_step(known, history)),
        *named(known),
        hosts=pack.hosts,
        records=found.records if found is not None and family == TROUBLE else (),
        restarts=history.attempts,
        stage=stage,
    )
