"""When Cloudflare is asked to check a validation at once, with the method it has. That spends nothing.

Its own next check may be four hours away. So it is asked once all tokens are where they should be and nothing certain
is in the way; again at once when such an obstacle is gone; and more often in the last hours of a renewal. Of a
universal pack that timed out, which it restarts for nobody, it is asked a few times a day: that is the documented first
remedy (cloudflare-docs, universal-ssl/troubleshooting).
"""

from datetime import datetime, timedelta

from watchdog.decide.checks import last_chance
from watchdog.model.findings import Diagnosis, fingerprint, obstacle, placed
from watchdog.model.packs import UNIVERSAL, VALIDATION_TIMED_OUT, Pack
from watchdog.model.renewal import renewal

SAME_TOKENS_EVERY = timedelta(hours=1)
"""How often Cloudflare is asked to check the same tokens."""

LAST_CHANCE_EVERY = timedelta(minutes=20)
"""The same in the last hours of a renewal: an authority that comes back then must be asked before the window closes.
Three an hour leave two of Let's Encrypt's five failed authorizations to Cloudflare's own checks."""

ANEW_EVERY = timedelta(minutes=12)
"""How soon it is asked again where an obstacle has gone, or of other tokens: a check may cost a failed authorization,
and Let's Encrypt gives one back every 12 minutes. An obstacle may come and go, and a check that fails may bring other
tokens, which Cloudflare places within a minute where it is the DNS."""

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
    same = diagnosis.tokens == fingerprint(pack.validation.every_token)  # none are noted where something was in the way
    return not last <= now < (same_tokens_at(pack, last) if same else last + ANEW_EVERY)


def same_tokens_at(pack: Pack, last: datetime) -> datetime:
    """When to ask again of the tokens that were asked of ``last``."""
    hour_later = last + SAME_TOKENS_EVERY
    window = renewal(pack.expires_at, pack.uploaded_at, last)
    if window is None or last >= window.closes_at:
        return hour_later
    return min(hour_later, max(last + LAST_CHANCE_EVERY, last_chance(window)))


def is_as_it_was(fresh: Pack, pack: Pack) -> bool:
    """Whether a pack that was read again right before is still the one to ask about."""
    return (fresh.status, fresh.validation.method) == (pack.status, pack.validation.method)
