"""What the calls show of one credential: noted, told when it changes, and its file read again.

``credential`` is the state machine; here it is fed, and its changes reach the observer. ``sender`` asks here before it
sends and tells what came of it; ``doubts`` tells what asking again and elsewhere showed.
"""

import asyncio

from watchdog.cloudflare.calls import Observer
from watchdog.cloudflare.credential import Change, Credential, Sign
from watchdog.cloudflare.errors import OPTIONAL, CredentialRefused, Operation, Why
from watchdog.model.clock import Clock

REREAD_EVERY = 30.0
"""Seconds after which the file of a credential that is stopped is read again, besides when it is refused."""


class Trust:
    """One credential, and the signs of how it stands."""

    def __init__(self, credential: Credential, observer: Observer, clock: Clock) -> None:
        self.credential = credential
        self.unsure_of: set[str] = set()  # zones that were denied, with none served between, and nobody could be asked
        self._observer = observer
        self._clock = clock
        self._reread_at = float("-inf")

    async def admit(self, operation: Operation) -> None:
        """Raises ``CredentialRefused``, not sent, unless a call may be made with it now."""
        if self.credential.stopped:
            await self._reread_now_and_then()
            if not self.credential.may_call():
                raise self.refusal(operation)

    def refusal(self, operation: Operation) -> CredentialRefused:
        """What is raised in place of a call with a credential that is stopped."""
        return CredentialRefused(operation, "", self.credential.refusal, sent=False)

    def note(self, sign: Sign, why: str = "") -> None:
        """One sign more of how the credential stands."""
        change = self.credential.note(sign, why)
        if change is not None:
            self._observer.credential_changed(self.credential.name, change)

    def served(self, operation: Operation, of: str, edition: int) -> None:
        """A call succeeded that was made with this ``edition`` of it."""
        if operation in OPTIONAL or operation is Operation.VERIFY_TOKEN or edition != self.credential.edition:
            return
        self.unsure_of.clear()
        if operation is Operation.LIST_PACKS:
            self.credential.read(of)
        self.note(Sign.SERVED)

    async def refused(self, refused: CredentialRefused, edition: int) -> None:
        """It is certainly refused: stop, unless its file has another one by now."""
        await self.reread()
        if self.credential.edition == edition:
            self.note(Sign.LOCKED_OUT if refused.why is Why.LOCKED_OUT else Sign.REFUSED, str(refused))

    async def reread(self) -> None:
        """Look whether the credential's file has another one by now; that is used from then on."""
        if self.credential.reread is None:
            return
        try:
            secret = await asyncio.to_thread(self.credential.reread)
        except ValueError:  # it is being written, or gone: what was read last stands
            return
        if self.credential.renew(secret):
            standing, why = self.credential.standing, "another one was read from its file"
            self._observer.credential_changed(self.credential.name, Change(standing, standing, why))

    async def _reread_now_and_then(self) -> None:
        now = self._clock.monotonic()
        if now >= self._reread_at:
            self._reread_at = now + REREAD_EVERY
            await self.reread()
