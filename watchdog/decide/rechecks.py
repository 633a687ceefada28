"""When Cloudflare is asked to check a validation at once, with the method it has. That spends nothing.

Its own next check may be four hours away. So it is asked once all tokens are where they should be and nothing certain
is in the way, again at once when such an obstacle is gone, and, of a universal pack that timed out, which it restarts
for nobody, a few times a day: that is the documented first remedy (cloudflare-docs, universal-ssl/troubleshooting).
"""

from datetime import datetime, timedelta

from watchdog.model.findings import Diagnosis, fingerprint, obstacle, placed
from watchdog.model.packs import UNIVERSAL, VALIDATION_TIMED_OUT, Pack

SAME_TOKENS_EVERY = timedelta(hours=1)
"""How often Cloudflare is asked to check the same tokens."""

MENDED_EVERY = timedelta(minutes=12)
"""How soon it is asked again of the same tokens where an obstacle has gone: each check may cost a failed authorization,
of which Let's Encrypt gives one back every 12 minutes, and an obstacle may come and go."""

UNIVERSAL_EVERY = timedelta(hours=8)
"""How often it is asked to check a universal pack that timed out: three times a day."""


def is_stuck_universal(pack: Pack) -> bool:
    """Whether a recheck is the one thing that can be done here for a pack: universal, timed out, its method known."""
    return pack.type == UNIVERSAL and pack.status == VALIDATION_TIMED_OUT and bool(pack.validation.method)


def is_due(pack: Pack, diagnosis: Diagnosis | None, now: datetime) -> bool:
    """Whether to ask now. ``diagnosis`` is the last one, which says what was asked before.

    Never of a pack whose method is not known: it has to be named, and another one changes the order.
    """
    last = diagnosis.rechecked_at if diagnosis is not None else None
    if is_stuck_universal(pack):
        return last is None or not last <= now < last + UNIVERSAL_EVERY
    if not pack.validation.method or diagnosis is None:
        return False
    if not placed(diagnosis.findings) or obstacle(diagnosis.findings) is not None:
        return False
    if last is None:
        return True
    if not diagnosis.tokens:  # whatever was asked before, something was in the way
        return now >= last + MENDED_EVERY
    return diagnosis.tokens != fingerprint(pack.validation.every_token) or now >= last + SAME_TOKENS_EVERY


def is_as_it_was(fresh: Pack, pack: Pack) -> bool:
    """Whether a pack that was read again right before is still the one to ask about."""
    return (fresh.status, fresh.validation.method) == (pack.status, pack.validation.method)
