"""Calls of one operation and one zone that are not made for a while, because the last of them was refused.

A refusal that is one zone's matter must cost the other zones nothing: neither their looks, nor the account's requests.
So the zone's calls are held, the longer the more often they were refused in a row, and answered here meanwhile with
what Cloudflare said last. ``retries`` looks here before a GET, ``client`` before a restart; these two, ``doubts`` and
``throttling`` hold. Nothing here is kept over a restart or a reload.
"""

import msgspec

from watchdog.cloudflare.errors import (
    AccessDenied,
    CloudflareError,
    Held,
    Operation,
    PassingFault,
    PermissionMissing,
    TurnedAway,
)
from watchdog.model.clock import Clock
from watchdog.model.reasons import Reason

FIRST = 60.0
"""Seconds of the first hold: most refusals that pass are over then."""

LONGEST = 3600.0
"""Seconds of the longest: 24 requests a day for a zone that has left the account, and its return is noticed."""

LONGEST_HINT = 3600.0
"""Seconds that a body of no 429 may ask to wait: a slip in it must not end all looks at a zone for ever."""

DENIED_IN_A_ROW = 3
"""Looks in a row at which a zone must be denied before that is told as more than a look that failed. The holds between
them make that three minutes."""

FORBIDDEN_FOR = 900.0
"""Seconds after which a call is tried again that needs a permission that is missing."""


class _Hold(msgspec.Struct):
    until: float
    refused: Held  # and not what was raised, which keeps a whole call alive
    in_a_row: int


class Holds:
    """What is held, by operation and zone (or whatever else stands for the object of the call)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: dict[tuple[Operation, str], _Hold] = {}

    def held(self, operation: Operation, of: str) -> Held | None:
        """What is to be raised in place of this call now, if anything is."""
        hold = self._held.get((operation, of))
        if hold is None or self._clock.monotonic() >= hold.until:
            return None
        return Held(hold.refused)

    def refusals(self, operation: Operation, of: str) -> int:
        """How often in a row this call was refused."""
        hold = self._held.get((operation, of))
        return hold.in_a_row if hold else 0

    def hold(
        self, operation: Operation, of: str, error: CloudflareError, first: float = FIRST, longest: float = LONGEST
    ) -> None:
        """It was refused with ``error``: hold it for ``first`` seconds, doubled by each refusal in a row."""
        in_a_row = self.refusals(operation, of) + 1
        seconds = max(first, min(longest, first * 2 ** min(in_a_row - 1, 30)))
        now = self._clock.monotonic()
        self._held = {key: held for key, held in self._held.items() if now < held.until + LONGEST}
        self._held[operation, of] = _Hold(now + seconds, Held(error), in_a_row)

    def hold_restarts(self, zone_id: str, refused: CloudflareError) -> None:
        """No restart is sent in this zone for a while, where the last was refused and nothing was done.

        ``refused.reason`` is set where it was denied so often in a row that a person is needed.
        """
        operation, first = Operation.RESTART_VALIDATION, FIRST
        if isinstance(refused, PermissionMissing):
            first = FORBIDDEN_FOR
        elif isinstance(refused, AccessDenied):
            if self.refusals(operation, zone_id) + 1 >= DENIED_IN_A_ROW:
                refused.reason, first = Reason.CREDENTIAL_REFUSED, FORBIDDEN_FOR
        elif not isinstance(refused, PassingFault | TurnedAway):
            return
        self.hold(operation, zone_id, refused, min(refused.retry_after or first, LONGEST_HINT), FORBIDDEN_FOR)

    def succeeded(self, operation: Operation, of: str) -> None:
        """It was served: nothing of it is held or counted any more."""
        if self._held:
            self._held.pop((operation, of), None)
