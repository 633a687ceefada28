"""What a 429 stops: everything of the credential, or one call of one zone.

Cloudflare answers 429 for more than the account's allowance. Where the headers show that the allowance is not used up,
only that call of that zone is held; when several zones are slowed down and none is served between, everything is.
``sender`` alone calls this, for each answer.
"""

from collections.abc import Mapping

from watchdog.cloudflare.block import BLOCKED_WITHOUT_A_WORD, LONGEST_BLOCK
from watchdog.cloudflare.calls import Observer
from watchdog.cloudflare.errors import RateLimited
from watchdog.cloudflare.holds import Holds
from watchdog.cloudflare.rate_limit import Quota
from watchdog.cloudflare.ratelimit_headers import names_others_alone, retry_after

SLOWED_DOWN_EVERYWHERE = 3
"""Zones that are told to slow down, with none served between, after which everything is, whatever the headers say."""


class Throttling:
    """The 429s of one credential."""

    def __init__(self, account: str, quota: Quota, holds: Holds, observer: Observer) -> None:
        self._account = account
        self._quota = quota
        self._holds = holds
        self._observer = observer
        self._slowed_down: set[str] = set()

    def served(self) -> None:
        """A call succeeded."""
        self._slowed_down.clear()

    def slow_down(self, limited: RateLimited, headers: Mapping[str, str], of: str) -> None:
        """Wait as long as it says: with everything, or where it is no matter of the allowance with this call alone.

        ``limited.everything`` says afterwards which of the two it is.
        """
        asked = retry_after(headers)
        asked = limited.retry_after if asked is None else asked
        another = names_others_alone(headers)
        if not limited.everything or another or (asked is None and self._quota.has_plenty(headers)):
            self._slowed_down.add(of)
            if another or len(self._slowed_down) < SLOWED_DOWN_EVERYWHERE:
                limited.everything = False
                seconds = BLOCKED_WITHOUT_A_WORD if asked is None else min(asked, LONGEST_BLOCK)
                self._holds.hold(limited.operation, of, limited, seconds)
                return
        limited.everything = True
        self._observer.rate_limited(self._account, self._quota.block(headers, limited.retry_after))
