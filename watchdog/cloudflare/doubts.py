"""Whose matter it is that a call was denied: nobody's, the credential's, or that of the zone which was asked for.

One refusal proves nothing (see ``credential``), and a whole account must not stop for it, nor a person be woken. So a
GET that is denied is made again over some seconds. If it stays denied, and nothing else was served meanwhile,
Cloudflare is asked about the credential: it verifies a token; else a zone is read that was readable lately. Only what
that shows stops an account. A zone that is denied while others are served is that zone's matter, and is asked for ever
more rarely. ``client`` alone calls this, once for each GET that was denied.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from watchdog.cloudflare.calls import Decoded
from watchdog.cloudflare.credential import Sign
from watchdog.cloudflare.errors import AccessDenied, CloudflareError, CredentialRefused, PermissionMissing
from watchdog.cloudflare.holds import DENIED_IN_A_ROW, FORBIDDEN_FOR, LONGEST, Holds
from watchdog.cloudflare.introspection import Introspection
from watchdog.cloudflare.trust import Trust
from watchdog.model.clock import Clock
from watchdog.model.reasons import Reason

AGAIN_AFTER = (1.0, 2.0, 5.0)
"""Seconds before a GET that was denied is made again, and again. Good tokens are denied under concurrency, new ones for
some seconds after they were made (see ``docs/cloudflare.md``)."""

VERIFIED_FOR = 60.0
"""Seconds for which it is believed what was found out of a doubted credential."""

UNSURE_OF = 8
"""Zones that are denied, with none served between, after which it is the credential that nobody can ask about."""


class Doubts:
    """What was found out of one credential lately, and how to find out more."""

    def __init__(
        self,
        *,
        trust: Trust,
        introspection: Introspection,
        holds: Holds,
        clock: Clock,
        pause: Callable[[float], Awaitable[None]],
    ) -> None:
        """``pause`` waits for about so many seconds."""
        self._trust = trust
        self._introspection = introspection
        self._holds = holds
        self._clock = clock
        self._pause = pause
        self._finding_out: asyncio.Event | None = None
        self._found_out_at = float("-inf")
        self._vouched_for: bool | None = None
        self._known_as = ""

    async def denied(self, denied: AccessDenied, call: Callable[[], Awaitable[Decoded]], of: str) -> Decoded:
        """Find out whose matter it is that a GET was denied: nobody's, the credential's, or that of what was asked for.

        Gives the answer if asking again brought one. Raises ``CredentialRefused``, or the ``AccessDenied`` that stayed,
        with what it means as its ``reason``; then the same call is held for a while.
        """
        since, known = self._clock.monotonic(), self._holds.refusals(denied.operation, of) >= DENIED_IN_A_ROW
        try:
            if self._trust.credential.stopped:  # this was the probe
                await self._find_out(denied, of, since)
            elif denied.lasts and not known and not isinstance(denied, PermissionMissing):
                await self._find_out(denied, of, since - VERIFIED_FOR)
            elif not denied.lasts and not known:
                return await self._ask_again(denied, call, of, since)
        except AccessDenied as still:
            denied = still
        self._hold_denied(denied, of)
        raise denied

    def _hold_denied(self, denied: AccessDenied, of: str) -> None:
        self._trust.credential.could_not_read(of)
        others = bool(of and self._trust.credential.readable(but=of))
        in_a_row = self._holds.refusals(denied.operation, of) + 1
        certain = isinstance(denied, PermissionMissing) or (not others and not denied.lasts)
        if certain or in_a_row >= DENIED_IN_A_ROW:
            denied.reason = Reason.NOT_FOUND if others else Reason.CREDENTIAL_REFUSED
        self._holds.hold(denied.operation, of, denied, longest=LONGEST if others else FORBIDDEN_FOR)

    async def _ask_again(
        self, denied: AccessDenied, call: Callable[[], Awaitable[Decoded]], of: str, since: float
    ) -> Decoded:
        """Ask again over some seconds. Where another call is at that already, wait for what it finds out."""
        if (other := self._finding_out) is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(2 * sum(AGAIN_AFTER)):
                    await other.wait()
            return await call()
        self._finding_out = over = asyncio.Event()
        edition = self._trust.credential.edition
        try:
            for seconds in AGAIN_AFTER:
                await self._pause(seconds)
                try:
                    return await call()
                except AccessDenied as again:
                    denied = again
            await self._find_out(denied, of, since)
        finally:
            self._finding_out = None
            over.set()
        vouched_for_now = self._vouched_for is True and self._found_out_at >= since
        if self._trust.credential.edition != edition or vouched_for_now:
            return await call()  # a new token is taken everywhere some seconds after it was made: now it is
        raise denied

    async def _find_out(self, denied: AccessDenied, of: str, since: float) -> None:
        """Whether the credential is refused, after one call stayed denied. Raises ``CredentialRefused`` if it is.

        Whatever was served since clears it; else Cloudflare is asked about it. An answer holds for a minute.
        """
        credential, now = self._trust.credential, self._clock.monotonic()
        if credential.served_at >= since:
            return
        if now >= self._found_out_at + VERIFIED_FOR:
            self._trust.note(Sign.DENIED, str(denied))
            edition = credential.edition
            await self._trust.reread()
            if credential.edition != edition:
                return
            self._vouched_for = await self._ask_about_it(denied, of)
            self._found_out_at = self._clock.monotonic()
        if self._vouched_for is None:
            self._trust.unsure_of.add(of)
        if self._vouched_for:
            self._trust.unsure_of.clear()
            self._trust.note(Sign.CLEARED)
        elif self._vouched_for is False or len(self._trust.unsure_of) >= UNSURE_OF:
            self._found_out_at = float("-inf")
            said = "asked again and elsewhere, Cloudflare does not take this credential"
            if self._known_as:
                said = f"Cloudflare says that the token is {self._known_as}: make a new one"
            text = f"{denied}; {said}"
            self._trust.note(Sign.REFUSED, text)
            raise CredentialRefused(denied.operation, denied.code, text)

    async def _ask_about_it(self, denied: AccessDenied, of: str) -> bool | None:
        """Whether Cloudflare vouches for the credential; ``None`` where it cannot be asked, or does not answer.

        A token is verified; else a zone is asked for that was readable lately, ``but`` the one that was denied.
        """
        unknown, self._known_as = False, ""
        if self._introspection.may_verify():
            for last in (False, True):
                try:
                    seen = await self._introspection.verify()
                    self._known_as = seen.status if seen.refused else ""
                    return None if seen.refused is None else not seen.refused
                except AccessDenied:
                    if not last:
                        await self._pause(AGAIN_AFTER[1])
                except CredentialRefused:
                    break
                except CloudflareError:
                    return None
            if self._introspection.verifies_surely():
                return False
            unknown = True
        return await self._served_elsewhere(of, unknown=unknown and not denied.lasts)

    async def _served_elsewhere(self, of: str, *, unknown: bool) -> bool | None:
        """As above; ``unknown`` where a token is not known to its user, and what was denied is no zone that left."""
        other = self._trust.credential.readable(but=of)
        try:
            if not other:
                await self._introspection.see_zones()
                return True
            await self._introspection.read(other)
        except AccessDenied:  # a global key may see the zones of its user; a token need not
            return None if self._trust.credential.is_token and not other and not unknown else False
        except CredentialRefused:
            return False
        except CloudflareError:
            return None
        return True
