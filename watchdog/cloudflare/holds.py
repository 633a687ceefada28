"""Calls of one operation and one zone that are not made for a while, because the last of them was refused.

A refusal that is one zone's matter must cost the other zones nothing: neither their looks, nor the account's requests.
So the zone's calls are held, the longer the more often they were refused in a row, and answered here meanwhile with
what Cloudflare said last. ``client`` alone calls this; nothing here is kept over a restart or a reload.
"""

from dataclasses import dataclass

from watchdog.cloudflare.errors import CloudflareError, Held, Operation
from watchdog.model.clock import Clock

FIRST = 60.0
"""Seconds of the first hold: most refusals that pass are over then."""

LONGEST = 3600.0
"""Seconds of the longest: 24 requests a day for a zone that has left the account, and its return is noticed."""


@dataclass(slots=True)
class _Hold:
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

    def succeeded(self, operation: Operation, of: str) -> None:
        """It was served: nothing of it is held or counted any more."""
        if self._held:
            self._held.pop((operation, of), None)
