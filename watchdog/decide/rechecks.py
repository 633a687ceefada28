"""When Cloudflare is asked to check a validation at once, with the method it has. That spends nothing.

Its own next check may be four hours away. So it is asked once a person has placed the records it waits for, and, of a
universal pack that timed out, which it restarts for nobody, a few times a day: that is the documented first remedy
(cloudflare-docs, universal-ssl/troubleshooting).
"""

from datetime import datetime, timedelta

from watchdog.model.findings import Diagnosis, fingerprint, placed
from watchdog.model.packs import UNIVERSAL, VALIDATION_TIMED_OUT, Pack

SAME_TOKENS_EVERY = timedelta(hours=1)
"""How often Cloudflare is asked to check the same tokens."""

UNIVERSAL_EVERY = timedelta(hours=8)
"""How often it is asked to check a universal pack that timed out: three times a day."""


def is_stuck_universal(pack: Pack) -> bool:
    """Whether a recheck is the one thing that can be done here for a pack: universal, timed out, its method known."""
    return pack.type == UNIVERSAL and pack.status == VALIDATION_TIMED_OUT and bool(pack.validation.method)


def is_due(pack: Pack, diagnosis: Diagnosis | None, now: datetime) -> bool:
    """Whether to ask now. ``diagnosis`` is the last one, which says what was asked before."""
    last = diagnosis.rechecked_at if diagnosis is not None else None
    if is_stuck_universal(pack):
        return last is None or not last <= now < last + UNIVERSAL_EVERY
    if diagnosis is None or not placed(diagnosis.findings):
        return False
    same = diagnosis.tokens == fingerprint(pack.validation.tokens)
    return not same or last is None or now >= last + SAME_TOKENS_EVERY
