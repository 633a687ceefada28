"""Accounts that are configured no more: which alerts are theirs, and when people are told that those are over.

Where one process has the state for itself, that is within the pass. Of several replicas, none holds such an account:
whoever tells of the watchdog itself goes by ``Strangers``, and waits a while, as another may be on its way back.
Arithmetic: no I/O, no clock. ``pipeline`` alone calls this.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta

from watchdog.config.schema import Config
from watchdog.model.alerts import Alert, AlertLog
from watchdog.model.names import canonical
from watchdog.model.reasons import Reason
from watchdog.model.report import Inventory
from watchdog.notify.dedup import Deduplicated, deduplicate
from watchdog.notify.lifecycle import GONE_FOR
from watchdog.notify.rules import UNHELD_FOR, unheld_subject


def retired(alerts: Iterable[Alert], accounts: Collection[str], config: Config, inventory: Inventory) -> frozenset[str]:
    """The fingerprints of those whose account is none of ``accounts``, so that nobody looks whether they hold.

    Not those whose zone others watch: its account may only have got another name, and what there is to be told of it
    may be told on as soon as that was looked at.
    """
    orphans = [alert for alert in alerts if alert.account and alert.account not in accounts]
    if not orphans:
        return frozenset()
    labels = [*(zone.label for zone in config.zone_refs()), *(zone.label for zone in inventory.zones)]
    watched = {*map(canonical, labels)}
    return frozenset(alert.fingerprint for alert in orphans if canonical(alert.zone) not in watched)


def forsaken(alerts: Iterable[Alert], configured: Collection[str]) -> frozenset[str]:
    """The fingerprints of those that say of an account that nobody works it, and it is ``configured`` no more."""
    if not configured:  # nobody knows
        return frozenset()
    known = {*map(unheld_subject, configured)}
    return frozenset(
        alert.fingerprint for alert in alerts if alert.reason is Reason.ACCOUNT_UNHELD and alert.subject not in known
    )


def ended(log: AlertLog, now: datetime, repeat_every: timedelta, *, listening: bool) -> Deduplicated:
    """All that an account's log holds is over now."""
    return deduplicate(log, {}, {}, frozenset(), now, repeat_every, retired=log.states.keys(), listening=listening)


class Strangers:
    """Accounts that no replica is configured with and of which alerts are stored, and since when that is known."""

    def __init__(self, *, once: bool) -> None:
        """``once`` where there is a single pass: then only what may be renamed waits, since it was last worked."""
        self._once = once
        self._since: dict[str, datetime] = {}

    def due(
        self,
        log: AlertLog,
        accounts: Collection[str],
        certain: Collection[str],
        worked: Mapping[str, datetime],
        now: datetime,
    ) -> list[str]:
        """Those of ``accounts``, which are all there are, whose alerts in the ``log`` are to end now.

        ``certain`` are the fingerprints that are ``retired``; an account that has others may only have been renamed.
        ``worked`` is when an account was last worked, where that is known.
        """
        self._since = {account: self._since.get(account, now) for account in sorted(accounts)}
        renamed = {each.alert.account for name, each in log.states.items() if name not in certain}
        if self._once:
            waiting = {each for each in renamed if each in worked and now - worked[each] < GONE_FOR}
            return [account for account in self._since if account not in waiting]
        return [
            account
            for account, since in self._since.items()
            if now - since >= (GONE_FOR if account in renamed else UNHELD_FOR)
        ]
