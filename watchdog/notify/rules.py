"""Which alerts hold now: from everything remembered to the set of alerts that hold. Arithmetic only.

Nothing here knows what was sent before (``dedup``) or to whom it goes (``messages``).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import chain

import msgspec
from msgspec.structs import replace

from watchdog.model.alerts import RUNBOOKS, Alert
from watchdog.model.clock import rfc3339
from watchdog.model.history import ZoneMemory
from watchdog.model.meanings import REASONS, listing_remedy, meaning
from watchdog.model.needs import Needs, worth_a_look
from watchdog.model.packs import GOING_AWAY
from watchdog.model.reasons import Reason
from watchdog.model.renewal import LONGEST_WINDOW
from watchdog.model.report import Inventory
from watchdog.model.trouble import TROUBLE
from watchdog.notify.pack_alerts import pack_alert

UNSEEN_FOR = timedelta(minutes=30)
"""How much longer than the usual interval a zone may go unseen, and how long all of them together: Cloudflare's own
incidents are often shorter."""


UNHELD_FOR = timedelta(minutes=2)
"""How long an account may be worked by nobody: a takeover takes a lease, which is half a minute unless configured."""


class HealthReport(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to be alerted of about the watchdog itself. Texts are empty where all is well.

    ``discovery`` holds the accounts whose zones could not be listed, and why: a reason, and an error. ``state_lost``
    says what became of a state that was lost, while restarts are held for it. ``overdue_since`` is since when a pass
    does not end here, ``overdue_elsewhere`` what another replica says of such a pass of its own.

    Where several replicas share a state, ``unheld`` are the accounts that none of them works, and since when;
    ``configured`` all that any of them is configured with (empty: not known), ``worked`` when each was last worked.
    """

    state_error: str = ""
    config_error: str = ""
    overdue_since: datetime | None = None
    overdue_elsewhere: str = ""
    discovery: Mapping[str, tuple[Reason, str]] = msgspec.field(default_factory=dict)
    state_lost: str = ""
    unheld: Mapping[str, datetime] = msgspec.field(default_factory=dict)
    configured: frozenset[str] = frozenset()
    worked: Mapping[str, datetime] = msgspec.field(default_factory=dict)


ALL_WELL = HealthReport()


class ActiveAlerts(msgspec.Struct, frozen=True):
    """What holds, by fingerprint; and the packs that are not well yet, by subject, with their restarts so far."""

    alerts: dict[str, Alert]
    unwell: dict[str, int]


def active_alerts(
    inventory: Inventory,
    health: HealthReport,
    started_at: datetime,
    now: datetime,
    *,
    interval: timedelta = timedelta(minutes=15),
    runbooks: str = RUNBOOKS,
    own: bool = True,
) -> ActiveAlerts:
    """Every alert that holds. ``started_at`` is when this process began to look, every ``interval`` at every zone.

    Unless those about the watchdog itself are its ``own`` to tell, there is none, nor one in place of its zones'.
    """
    found: dict[str, Alert] = {}
    unwell: dict[str, int] = {}
    of_zones = _of_zones(inventory.zones, health, interval, started_at, now, own=own)
    for alert in chain(_own(health, now) if own else (), of_zones):
        _keep(found, alert)
    needs, soon = Needs(inventory.by_zone, now, inventory.pending_for), now + LONGEST_WINDOW
    for known, history in (tracked for each in inventory.by_zone for tracked in each.restless(soon)):
        for need in needs.all_of(known, history):
            _keep(found, pack_alert(known, history, need, now))
        if history.trouble_since is not None and worth_a_look(known):
            unwell[f"{TROUBLE}/{known.pack.lasting_name}"] = history.attempts
    return ActiveAlerts({name: replace(alert, runbooks=runbooks) for name, alert in found.items()}, unwell)


def nothing_seen(zones: Sequence[ZoneMemory], health: HealthReport) -> bool:
    """Whether every zone that was ever looked at was not seen at its last look; or no zone is known for that reason."""
    looked_at = [zone for zone in zones if zone.tried_at is not None]
    return all(zone.error for zone in looked_at) if looked_at else not zones and bool(health.discovery)


def unwatched(alerts: Iterable[Alert], inventory: Inventory) -> frozenset[str]:
    """The fingerprints of those whose zone or pack is not there, and which therefore cannot be said to be well."""
    asked = list(alerts)
    zones, of_these = {zone.key for zone in inventory.zones}, {(alert.account, alert.zone) for alert in asked}
    packs = {
        known.pack.lasting_name
        for each in inventory.by_zone
        if each.key in of_these
        for known, _ in each.packs
        if known.pack.status not in GOING_AWAY
    }

    def watched(alert: Alert) -> bool:
        name = alert.subject.partition("/")[2]
        return (alert.account, alert.zone) in zones and (not alert.pack_id or name in packs)

    return frozenset(alert.fingerprint for alert in asked if alert.zone and not watched(alert))


def unknown(alerts: Iterable[Alert], inventory: Inventory, health: HealthReport) -> dict[str, int]:
    """The subjects of which nobody knows anything, with their restarts: their zones are yet to be listed anew.

    After a start the zones of an account are not known before discovery has succeeded once.
    """
    unlisted = {account for account, (reason, _) in health.discovery.items() if reason is not Reason.NOT_FOUND}
    if not unlisted:
        return {}
    zones = {zone.key for zone in inventory.zones}
    return {
        alert.subject: alert.restarts
        for alert in alerts
        if alert.zone and alert.account in unlisted and (alert.account, alert.zone) not in zones
    }


def _keep(found: dict[str, Alert], alert: Alert) -> None:
    """Two packs of one identity have one alert: the graver."""
    other = found.get(alert.fingerprint)
    if other is None or alert.gravity > other.gravity:
        found[alert.fingerprint] = alert


# ── the watchdog itself ──────────────────────────────────────────────────────────────────────────────────────────


def _own(health: HealthReport, now: datetime) -> Iterator[Alert]:
    if health.state_error:
        text = "the state cannot be written, so nothing is restarted"
        remedy = "see that its disk is not full or read-only, or that its database can be reached"
        body = f"{health.state_error}.\nYou: {remedy}. It goes on by itself then."
        yield _own_alert(Reason.STATE_UNWRITABLE, text, body, now)
    if health.state_lost:
        text = "the state was lost, so nothing is restarted for a while"
        body = f"{health.state_lost}\nYou: find out what damaged it (the disk, a copy made while it was written)."
        yield _own_alert(Reason.STATE_LOST, text, body, now)
    if health.config_error:
        text = "the configuration was refused; the last good one goes on"
        body = (
            f"{health.config_error}\n"
            "You: mend it, run `certpack-watchdog check-config`, then reload. The daemon does not start with this file."
        )
        yield _own_alert(Reason.CONFIG_REFUSED, text, body, now)
    for account, since in health.unheld.items():
        text = f"account {account} is worked by no replica"
        body = (
            f"It has had no holder since {rfc3339(since)}; its zones are not watched, and nothing of it is restarted.\n"
            "You: see which replicas run (`certpack-watchdog status`), whether their configurations have this account,"
            " and what their logs say of it."
        )
        found = _own_alert(Reason.ACCOUNT_UNHELD, text, body, since)
        yield replace(found, subject=unheld_subject(account), patience=UNHELD_FOR)
    if health.overdue_since is not None:
        text = "a pass does not end, and until it does nothing is watched or restarted"
        body = "You: restart the daemon (systemd does that by itself), and report this with its log."
        yield _own_alert(Reason.PASS_OVERDUE, text, body, health.overdue_since)
    elif health.overdue_elsewhere:
        text = "a pass of another replica does not end, and until it does its accounts are not watched"
        body = f"{health.overdue_elsewhere}.\nYou: restart that one, as its log should be reported; others take over."
        yield _own_alert(Reason.PASS_OVERDUE, text, body, now)


def _of_discovery(health: HealthReport, now: datetime) -> Iterator[Alert]:
    for account, (reason, error) in health.discovery.items():
        found, goes_on = REASONS[reason], "The zones found last are still watched; new ones are not.\n"
        what, patience = found.zone or "its zones cannot be listed", timedelta(0) if found.zone else UNSEEN_FOR
        if reason is Reason.NOT_FOUND:  # it was listed, and nothing is there
            what, patience, goes_on = "it has no zone to watch", UNSEEN_FOR, ""
        yield Alert(
            reason=reason,
            severity=found.severities[0],
            subject=f"discovery/{account}",
            summary=f"account {account}: {what}",
            since=now,
            body=f"{error}.\n{goes_on}You: {listing_remedy(reason)}",
            account=account,
            patience=patience,
        )


def unheld_subject(account: str) -> str:
    """What the alert is about that no replica works an account."""
    return f"watchdog/{Reason.ACCOUNT_UNHELD}/{account}"


def _own_alert(reason: Reason, summary: str, body: str, since: datetime) -> Alert:
    severity, subject = REASONS[reason].severities[0], f"watchdog/{reason}"
    return Alert(reason=reason, severity=severity, subject=subject, summary=summary, since=since, body=body)


# ── zones ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _of_zones(
    zones: Sequence[ZoneMemory],
    health: HealthReport,
    interval: timedelta,
    started_at: datetime,
    now: datetime,
    *,
    own: bool,
) -> Iterator[Alert]:
    outage = _outage(zones, now) if own else None
    each = (_of_zone(zone, interval, max(started_at, zone.seen_at or started_at), now) for zone in zones)
    for alert in chain(_of_discovery(health, now), *each):
        if outage is None or alert.reason is not Reason.UNSEEN:
            yield alert
    if outage is not None:
        yield outage


def _of_zone(zone: ZoneMemory, interval: timedelta, last_good: datetime, now: datetime) -> Iterator[Alert]:
    reason, patience = Reason.UNSEEN, timedelta(0)
    if zone.error and meaning(zone.reason).zone:
        reason, summary = Reason(zone.reason), meaning(zone.reason).zone
    elif zone.error and zone.seen_at is None:
        summary, patience = "it was never seen", interval + UNSEEN_FOR
    elif zone.error and zone.seen_at is not None:
        if now - zone.seen_at < interval:
            return
        # Patience and no longer limit: after an outage of all zones, each has its time to be seen again.
        summary, patience = f"not seen since {rfc3339(zone.seen_at)}", UNSEEN_FOR
    else:
        if now - last_good < interval + UNSEEN_FOR:
            return
        summary = f"not looked at since {rfc3339(last_good)}"
    yield Alert(
        reason=reason,
        severity=REASONS[reason].severities[0],
        subject=f"zone/{zone.account}/{zone.label}",
        summary=f"{zone.label}: {summary}",
        since=zone.seen_at or last_good,
        body=_zone_body(zone, reason),
        account=zone.account,
        zone=zone.label,
        zone_id=zone.id,
        patience=patience,
    )


def _zone_body(zone: ZoneMemory, reason: Reason) -> str:
    """A refusal's own text names the permission that is missing."""
    lines = [f"Account {zone.account}, zone {zone.label}" + (f" ({zone.id})." if zone.id else ".")]
    lines += [f"{zone.error}."] if zone.error else []
    lines += [f"It was last seen whole at {rfc3339(zone.seen_at)}."] if zone.seen_at else ["It was never seen whole."]
    return "\n".join((*lines, f"You: {REASONS[reason].zone_remedy}"))


def _outage(zones: Sequence[ZoneMemory], now: datetime) -> Alert | None:
    """The one alert in place of many, when no zone can be seen that Cloudflare does not refuse."""
    asked = [zone for zone in zones if not (zone.error and meaning(zone.reason).zone)]
    last = max((zone.seen_at for zone in asked if zone.seen_at is not None), default=None)
    if last is None or now - last < UNSEEN_FOR or not all(zone.error for zone in asked):
        return None
    newest = max(asked, key=lambda zone: zone.tried_at or last)
    body = (
        f"None of {len(asked)} zones could be seen. The last error, of {newest.label}: {newest.error}.\n"
        "Next: everything is tried again by itself; nothing is restarted meanwhile.\n"
        "You: see whether this machine reaches Cloudflare's API (name resolution, firewall, proxy), then look at"
        " Cloudflare's status page."
    )
    summary = f"no zone was seen since {rfc3339(last)}: Cloudflare's API cannot be reached, or fails"
    return _own_alert(Reason.CLOUDFLARE_FAILING, summary, body, last)
