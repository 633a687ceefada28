"""What Cloudflare's ``validation_errors`` mean: each message is sorted into the closed set of reasons. Pure.

The wording is not promised and does change, so messages are matched loosely, on the few words that carry the meaning,
whatever their case and spacing; what nobody here knows is ``other``, and its text is shown as it came. The sentences
that Cloudflare's validation system has are those of cloudflare-docs PR #30877 (2026-05-18), and the certificate
authorities' own may follow after a colon: Let's Encrypt's (boulder, 2026-08-07) say when to come back, which
``limit_of`` reads.
"""

import re
import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from watchdog.model.findings import Certainty, Finding, FindingName, Limit
from watchdog.model.meanings import REASONS
from watchdog.model.reasons import VALIDATION_REASONS, Reason
from watchdog.model.text import clean

# Patterns, which ``re`` compiles at their first use: a start over a fleet that is well needs none of them.
_PAUSED = r"\bpaused\b|temporarily prevented"
_TOO_MANY = (
    r"rate.?limit|too many (certificates|requests|failed|(new )?orders|(currently )?pending)|retry.after.{0,3}\d"
)
_NOT_PLACED = r"nxdomain looking up txt"  # Let's Encrypt's words for a challenged name without a record
_LOOKED_UP = r"dns ?(look.?up|query|resolution|problem|error)|servfail|dnssec|\bbogus\b|nxdomain|looking up"
_FORBIDDEN = (
    r"\bcaa\b.*(\b(block(s|ed|ing)?|forbid\w*|prevent\w*|prohibit\w*|restrict\w*|den(y|ies|ied)|disallow\w*)\b"
    r"|(\bnot|n't) (\w+ )?(allow|permit|authori|includ|list)\w*)"
    r"|\b(block|forbid|prevent|prohibit|restrict|deni|disallow|authori[sz])\w* by\b.*\bcaa\b"
    r"|\b(because|account|view) of\b.*\bcaa\b|\bdue to\b.*\bcaa\b"
)
_UNREAD = r"\bcaa\b.*\b(fail\w*|time.?out|timed out|unreachable|could not|unable)\b"
_PASSING = (
    r"internal (server )?error|serverinternal|service is down|temporar|unavailable|(try|check|again) (again )?later"
    r"|validation rpc|communicate with va\b|sct embedding"
)
_REFUSED = (
    rf"^(?!.*({_PASSING})).*((will|can) ?not (be )?issue|(won't|can't) issue|refus\w* to issue"
    r"|rejected.?identifier|policy (forbids|prohibits)|forbidden by policy|high.?risk)"
)
_MEANINGS: tuple[tuple[Reason, str], ...] = (
    # In this order: a sentence about reaching CAA records speaks of CAA, and one about CAA says "will not issue".
    (Reason.CA_RATE_LIMITED, f"{_TOO_MANY}|{_PAUSED}"),
    (Reason.CAA_UNREACHABLE, r"perspective|\bmpic\b"),
    (Reason.OTHER, _NOT_PLACED),
    (Reason.DNS_FAILURE, _LOOKED_UP),
    (Reason.CAA_FORBIDS, _FORBIDDEN),
    (Reason.CAA_UNREACHABLE, _UNREAD),
    (Reason.CA_REFUSES, _REFUSED),
    (Reason.CA_INTERNAL, _PASSING),
)

_PAUSE_HELP = (
    "Order the pack from another certificate authority. Let's Encrypt has paused the name after many failures, and only"
    " the owner of its account can lift that: Cloudflare (ask its support)."
)

_DAY, _WEEK = timedelta(days=1), timedelta(days=7)
_BUCKETS: tuple[tuple[str, timedelta], ...] = (
    (_PAUSED, _DAY),  # 1,152 failures in a row, one back a day
    (r"exact set|duplicate certificate|identical set", _WEEK / 5),
    (r"failed (authorization|validation)", timedelta(hours=1) / 5),
    (r"(new|many) orders", timedelta(hours=3) / 300),
    (r"too many certificates.*(already issued|registered domain)", _WEEK / 50),
)
"""Let's Encrypt's limits by their words, and how long each takes to let one more through (its page, 2026-08-05)."""

_MOMENT = (
    r"(?:after|until|again (?:at|on)|expires? (?:at|on))\W{0,3}"
    r"(\d{4}-\d\d-\d\d)[t ](\d\d:\d\d(?::\d\d)?)(?:\.\d+)? ?([+-]\d\d:?\d\d)?"
)
_SPAN = r"(?:after|again in)\W{0,3}((?:\d+(?:\.\d+)? ?(?:d|h|m|s)[a-z]*,? ?)+|\d+\b)"
_PART = r"(\d+(?:\.\d+)?) ?([dhms])"
_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


@lru_cache(maxsize=1_000)
def reason_of(message: str) -> Reason:
    """What one message means; asked several times on the way to a restart."""
    text = _even(message)
    for reason, pattern in _MEANINGS:
        if re.search(pattern, text):
            return reason
    return Reason.OTHER


def main_reason(messages: Iterable[str]) -> Reason | None:
    """The reason that decides among all of a pack's messages; ``None`` when there are none."""
    found = {reason_of(message) for message in messages}
    return next((reason for reason in VALIDATION_REASONS if reason in found), None)


def limit_of(messages: Iterable[str]) -> Limit | None:
    """The limit of the authority that the last validation ran into, the longest; ``None`` when it was none."""
    texts = [_even(message) for message in messages if reason_of(message) is Reason.CA_RATE_LIMITED]
    if not texts:
        return None
    found = [_limit(text) for text in texts]
    moments = [limit.retry_at for limit in found if limit.retry_at is not None]
    spans = [limit.refill for limit in found if limit.refill is not None]
    paused = any(re.search(_PAUSED, text) for text in texts)
    return Limit(max(moments, default=None), max(spans, default=None), paused)


def said(messages: Iterable[str]) -> tuple[Finding, ...]:
    """Cloudflare's words as findings, each reason once; never certain, since they are about the last validation."""
    found: dict[Reason, Finding] = {}
    for message in messages:
        reason = reason_of(message)
        text = f"Cloudflare said of the last validation: {clean(message)}"
        paused = reason is Reason.CA_RATE_LIMITED and re.search(_PAUSED, _even(message))
        remedy = _PAUSE_HELP if paused else REASONS[reason].validation_remedy
        found.setdefault(
            reason, Finding(name=FindingName(reason), certainty=Certainty.LIKELY, host="", says=text, remedy=remedy)
        )
    return tuple(found.values())


def _even(message: str) -> str:
    """A message in one case, with one kind of space, dash and apostrophe, whoever typed it."""
    text = unicodedata.normalize("NFKC", message).casefold()
    return " ".join(re.sub(r"[\u2018\u2019\u02bc]", "'", re.sub(r"[\u2010-\u2015]", "-", text)).split())


def _limit(text: str) -> Limit:
    refill = next((span for pattern, span in _BUCKETS if re.search(pattern, text)), None)
    moment = re.search(_MOMENT, text)
    if moment:
        return Limit(_time(*moment.groups()), refill)
    span = re.search(_SPAN, text)
    if span:
        parts = re.findall(_PART, span[1]) or [(span[1], "s")]
        seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
        return Limit(None, timedelta(seconds=seconds) if 0 < seconds <= _WEEK.total_seconds() else refill)
    return Limit(None, refill)


def _time(day: str, clock: str, offset: str | None) -> datetime | None:
    """A moment as messages write it; without an offset it is UTC."""
    try:
        return datetime.fromisoformat(f"{day}T{clock}{offset or '+00:00'}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None
