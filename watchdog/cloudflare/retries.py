"""A GET, made again where that may help: a hiccup, a 429 that is waited out, a credential that was replaced.

``client`` and ``introspection`` read through this. A PATCH never comes here: it is sent once. What is to be made of a
refusal that stays is not decided here either (``doubts``).
"""

from datetime import timedelta
from random import Random

from watchdog.cloudflare.calls import ApiRequest, Decoded
from watchdog.cloudflare.errors import Blocked, CredentialRefused, RateLimited, Unsettled
from watchdog.cloudflare.holds import LONGEST_HINT, Holds
from watchdog.cloudflare.rate_limit import Reservation
from watchdog.cloudflare.sender import Sender
from watchdog.model.clock import Clock

GET_TRIES = 3
"""Tries of a GET whose answer was lost or a 5xx: a hiccup is bridged, an outage is left to the next pass."""

WAITED_OUT = 5.0
"""Seconds that a fault may ask to be left alone for within one look; for longer, the next look asks again."""

WAITS_FOR_429 = 3
"""How often one GET waits a 429 out. The wait itself is as long as Cloudflare says."""


class Retries:
    """The GETs of one credential."""

    def __init__(self, sender: Sender, holds: Holds, clock: Clock, dice: Random) -> None:
        self._sender = sender
        self._holds = holds
        self._clock = clock
        self._dice = dice

    async def get(self, request: ApiRequest[Decoded], reservation: Reservation | None = None) -> Decoded:
        """The answer, decoded. Raises the last ``CloudflareError``, and ``Held`` without asking.

        ``reservation`` serves the first try alone.
        """
        if (held := self._holds.held(request.operation, request.of)) is not None:
            raise held
        lost = waited = 0
        edition = self._sender.credential.edition
        while True:
            ahead, reservation = reservation, None
            try:
                return await self._sender.send(request, ahead)
            except Blocked:
                raise
            except RateLimited as limited:
                waited += 1
                if not limited.everything or waited > WAITS_FOR_429:
                    raise
            except CredentialRefused:
                if self._sender.credential.edition == edition:
                    raise
                edition = self._sender.credential.edition  # another one was in its file
            except Unsettled as fault:
                lost += 1
                if self._held_by_a_hint(fault, request.of) or lost >= GET_TRIES:
                    raise
                await self.pause(max(float(lost), 2 * (fault.retry_after or 0.0)))  # at least as long as it says

    async def pause(self, seconds: float) -> None:
        """Wait for about so long, so that those who failed together do not try together."""
        await self._clock.sleep(timedelta(seconds=self._dice.uniform(0.5, 1.5) * seconds))

    def _held_by_a_hint(self, fault: Unsettled, of: str) -> bool:
        if fault.retry_after is None or fault.retry_after <= WAITED_OUT:
            return False
        seconds = min(fault.retry_after, LONGEST_HINT)
        self._holds.hold(fault.operation, of, fault, seconds, seconds)
        return True
