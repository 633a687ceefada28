"""How the reason of a failed validation moves the next restart, and why.

The wait after a restart is drawn and stored before anybody knows how the validation will end. Once its reason is known,
the stored wait is stretched in proportion: so its jitter stays, and no dice are thrown. Or a certificate authority's
limit is waited out, until the time that its message names, or else until one more fits in. That is counted from the
restart that ran into the limit, or else from when the trouble was seen:

    ================  =====  ==========  ====================================================================
    reason            × of   at least    why
    ================  =====  ==========  ====================================================================
    ca_rate_limited   1      34 h, 1 d   Let's Encrypt's limits are buckets that refill evenly: one certificate
                                         for an exact set of names every 34 h (5 in 7 days), one failed
                                         authorization every 12 min (5 an hour), one certificate of a domain
                                         every 202 min (50 in 7 days). Where the message does not say which,
                                         it is the first. Others publish none: a day
    ca_refuses        -                  never: it will refuse again, so a person is called (``checks``)
    caa_forbids       2                  a person edits CAA, and caches must forget the old records
    caa_unreachable   1                  name servers come back by themselves, or a person mends them
    dns_failure       1                  the same
    ca_internal       1      2 h × 1.5   its own hiccup, often of hours, and nothing shows its end but another try: 2 h,
                             per further  3 h, 4 h 30 m, ... spend fewer attempts in vain than 15 m, 30 m, 1 h, and
                             restart      are no later in the year of ``docs/recovery.md``
    other             1
    ================  =====  ==========  ====================================================================

No wait gets longer than the backoff's longest by this, only a CA's limit may. Where that ends too late for the
renewal, people are told at once; a day that nobody but this table names is not waited for then (``checks``).
"""

from datetime import datetime, timedelta

import msgspec

from watchdog.decide.backoff import Backoff
from watchdog.model.findings import Limit
from watchdog.model.history import History
from watchdog.model.reasons import Reason

LETS_ENCRYPT_REFILL = timedelta(days=7) / 5
"""5 certificates per exact set of names in 7 days, over all accounts (Let's Encrypt's page on limits, 2026-08-05)."""

OTHER_REFILL = timedelta(days=1)

OUTAGE = Backoff(initial=timedelta(hours=2), factor=1.5)
"""The shortest waits while an authority fails."""

LONGEST_LIMIT = timedelta(days=31)
"""A message that names a later time than this is not believed: no limit of any authority lasts so long."""


class Pace(msgspec.Struct, frozen=True):
    """How one reason moves the next restart: the wait times ``stretch``, no shorter than a wait of ``at_least``.

    ``waits_for_the_limit``: no shorter than the authority's limit asks for either.
    """

    stretch: float = 1.0
    at_least: Backoff | None = None
    waits_for_the_limit: bool = False

    def stretch_after(self, attempt: int, backoff: Backoff) -> float:
        """By how much the wait after this restart is stretched."""
        if self.at_least is None:
            return self.stretch
        return max(self.stretch, self.at_least.wait_after(attempt) / backoff.wait_after(attempt))


PACES = {
    Reason.CA_RATE_LIMITED: Pace(waits_for_the_limit=True),
    Reason.CAA_FORBIDS: Pace(stretch=2.0),
    Reason.CA_INTERNAL: Pace(at_least=OUTAGE),
}
"""Reasons that are not listed change nothing."""

_AS_DRAWN = Pace()
_UNSAID = Limit()


def next_restart_at(
    history: History, reason: Reason | None, authority: str, backoff: Backoff, limit: Limit | None = None
) -> datetime | None:
    """The earliest moment of the next restart once the last one failed for ``reason``; ``None`` when it may be now.

    No wait is stretched beyond the ``backoff``'s longest. ``limit`` is what the authority said of the
    limit, if that was the reason.
    """
    last, drawn = history.last_restart_at, history.next_restart_at
    pace = PACES.get(reason, _AS_DRAWN) if reason is not None else _AS_DRAWN
    due = drawn
    if last is not None and drawn is not None and drawn > last and history.attempts:
        wait = drawn - last
        due = last + min(wait * pace.stretch_after(history.attempts, backoff), max(wait, backoff.longest))
    ran_into_it = last or history.trouble_since
    if pace.waits_for_the_limit and ran_into_it is not None:
        free = _free_at(ran_into_it, authority, limit or _UNSAID)
        due = max(due or free, free)
    return due


def knows_the_limit(authority: str, limit: Limit | None) -> bool:
    """Whether the authority says when its limit ends, in its message or in its documents; else a day is our guess."""
    return authority == "lets_encrypt" or (limit is not None and limit != _UNSAID)


def _free_at(ran_into_it: datetime, authority: str, limit: Limit) -> datetime:
    """When the limit lets one more through. A time that the message names is the authority's own, and wins."""
    if limit.retry_at is not None and limit.retry_at <= ran_into_it + LONGEST_LIMIT:
        return limit.retry_at
    refill = LETS_ENCRYPT_REFILL if authority == "lets_encrypt" else OTHER_REFILL
    return ran_into_it + (refill if limit.refill is None else limit.refill)
