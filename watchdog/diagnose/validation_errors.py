"""What Cloudflare's ``validation_errors`` mean: each message is sorted into the closed set of reasons. Pure.

The wording is not promised and does change, so messages are matched loosely, on the few words that carry the meaning;
what nobody here knows is ``other``, and its text is shown as it came.
"""

import re
from collections.abc import Iterable

from watchdog.model.findings import Certainty, Finding, FindingName
from watchdog.model.reasons import REASONS, VALIDATION_REASONS, Reason
from watchdog.model.text import clean

_MEANINGS: tuple[tuple[Reason, re.Pattern[str]], ...] = tuple(
    (reason, re.compile(pattern, re.IGNORECASE))
    for reason, pattern in (
        # In this order: "SERVFAIL looking up CAA" is about reaching CAA records, not about what they say.
        (Reason.CA_RATE_LIMITED, r"rate.?limit|too many (certificates|requests|failed)"),
        (Reason.CA_REFUSES, r"(will|can) ?not (be )?issue|refus\w* to issue|policy forbids|high.?risk"),
        (Reason.CAA_UNREACHABLE, r"perspective|\bMPIC\b"),
        (Reason.DNS_FAILURE, r"DNS ?(look.?up|query|resolution|problem)|SERVFAIL|DNSSEC|bogus|NXDOMAIN"),
        (Reason.CAA_FORBIDS, r"\bCAA\b.*(block|forbid|prevent|prohibit|restrict|not (allow|permit))"),
        (Reason.CA_INTERNAL, r"internal (server )?error|temporar|unavailable|try again later"),
    )
)


def reason_of(message: str) -> Reason:
    """What one message means."""
    for reason, pattern in _MEANINGS:
        if pattern.search(message):
            return reason
    return Reason.OTHER


def main_reason(messages: Iterable[str]) -> Reason | None:
    """The reason that decides among all of a pack's messages; ``None`` when there are none."""
    found = {reason_of(message) for message in messages}
    return next((reason for reason in VALIDATION_REASONS if reason in found), None)


def said(messages: Iterable[str]) -> tuple[Finding, ...]:
    """Cloudflare's words as findings, each reason once; never certain, since they are about the last validation."""
    found: dict[Reason, Finding] = {}
    for message in messages:
        reason = reason_of(message)
        text = f"Cloudflare said of the last validation: {clean(message)}"
        found.setdefault(
            reason, Finding(FindingName(reason), Certainty.LIKELY, "", text, REASONS[reason].validation_remedy)
        )
    return tuple(found.values())
