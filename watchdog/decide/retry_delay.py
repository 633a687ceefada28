"""How the reason of a failed validation moves the next restart, and why.

The wait after a restart is drawn and stored before anybody knows how the validation will end. Once its reason is known,
the stored wait is stretched or shortened in proportion (so its jitter stays, and no dice are thrown), or a certificate
authority's own window is waited out, counted from the restart that ran into it or else from when the trouble was seen:

    ================  =====  ==========  ====================================================================
    reason            × of   at least    why
    ================  =====  ==========  ====================================================================
    ca_internal       1/2                the CA's own hiccup: nothing here has to be mended first
    ca_rate_limited   1      7 d, 1 d    every try counts against the limit. Let's Encrypt's longest window
                                         (5 certificates per set of names) is 7 days; others publish none
    ca_refuses        -                  never: it will refuse again, so a person is called (``checks``)
    caa_forbids       2                  a person edits CAA, and caches must forget the old records
    caa_unreachable   1                  name servers come back by themselves, or a person mends them
    dns_failure       1                  the same
    other             1
    ================  =====  ==========  ====================================================================

No wait gets longer than the backoff's longest by this, only a CA's window may.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from watchdog.model.history import History
from watchdog.model.reasons import Reason

LETS_ENCRYPT_WINDOW = timedelta(days=7)
OTHER_WINDOW = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Pace:
    """How one reason moves the next restart: the wait times ``stretch``, no shorter than the CA's window."""

    stretch: float = 1.0
    waits_the_window_out: bool = False


PACES = {
    Reason.CA_INTERNAL: Pace(stretch=0.5),
    Reason.CA_RATE_LIMITED: Pace(waits_the_window_out=True),
    Reason.CAA_FORBIDS: Pace(stretch=2.0),
}
"""Reasons that are not listed change nothing."""

_AS_DRAWN = Pace()


def next_restart_at(
    history: History, reason: Reason | None, authority: str, initial: timedelta, longest: timedelta
) -> datetime | None:
    """The earliest moment of the next restart once the last one failed for ``reason``; ``None`` when it may be now.

    ``initial`` and ``longest`` are the backoff's: no wait is shortened below the first nor stretched beyond the last.
    """
    last, drawn = history.last_restart_at, history.next_restart_at
    pace = PACES.get(reason, _AS_DRAWN) if reason is not None else _AS_DRAWN
    due = drawn
    if last is not None and drawn is not None and drawn > last and pace.stretch != 1.0:
        wait = drawn - last
        due = last + min(max(wait * pace.stretch, min(wait, initial)), max(wait, longest))
    ran_into_it = last or history.trouble_since
    if pace.waits_the_window_out and ran_into_it is not None:
        window = LETS_ENCRYPT_WINDOW if authority == "lets_encrypt" else OTHER_WINDOW
        due = max(due or ran_into_it, ran_into_it + window)
    return due
