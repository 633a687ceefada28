"""One credential: its headers, and its standing with Cloudflare as a state machine.

A refused credential is not hammered, and one refusal proves nothing: a good token is refused now and then, for a
moment, and a zone that has left the account is refused for ever. So the standing changes by signs that ``client``
gathers, and by nothing else::

    TRUSTED ──denied──▶ DOUBTED ──refused──▶ STOPPED ──served, cleared──▶ TRUSTED
       ▲                   │                    │
       └──served, cleared──┘                    └──locked out──▶ LOCKED_OUT ──served──▶ TRUSTED

*Denied* is a refusal that stayed when the call was made again over some seconds; *served* a call that succeeded;
*cleared* that Cloudflare vouched for the credential where it was asked about it; *refused* that it certainly is not
taken. While it is stopped nothing is sent with it but one slow probe at a time. While it is locked out the probes are
hours apart, since each may prolong the lock.
"""

import json
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import NamedTuple

from watchdog.model.clock import Clock
from watchdog.model.event_names import EventName

PROBE_EVERY = 900.0
"""Seconds between probes of a refused credential: 96 a day, far below any limit, and mended tokens are noticed soon."""

PROBE_LOCKED_OUT_EVERY = 4 * 3600.0
"""Seconds between probes of one that is locked out ("Max auth failures reached"): the lock lasts for hours."""

READABLE_KEPT = 8
"""Zones that were read last and are remembered, to be asked when the credential is doubted."""

REMOVED = b"(credential)"

TOKEN_OF_A_USER, TOKEN_OF_AN_ACCOUNT, GLOBAL_KEY = "cfut_", "cfat_", "cfk_"
"""How credentials made since 2026 begin (Cloudflare's documentation, "Token formats"). Older ones begin anyhow."""


class Standing(StrEnum):
    """How a credential stands."""

    TRUSTED = "trusted"
    DOUBTED = "doubted"
    STOPPED = "stopped"
    LOCKED_OUT = "locked_out"


class Sign(StrEnum):
    """What was learned of it."""

    SERVED = "served"
    CLEARED = "cleared"
    DENIED = "denied"
    REFUSED = "refused"
    LOCKED_OUT = "locked_out"


_ALWAYS = {Sign.SERVED: Standing.TRUSTED, Sign.REFUSED: Standing.STOPPED, Sign.LOCKED_OUT: Standing.LOCKED_OUT}
TRANSITIONS: Mapping[Standing, Mapping[Sign, Standing]] = {
    Standing.TRUSTED: {**_ALWAYS, Sign.CLEARED: Standing.TRUSTED, Sign.DENIED: Standing.DOUBTED},
    Standing.DOUBTED: {**_ALWAYS, Sign.CLEARED: Standing.TRUSTED, Sign.DENIED: Standing.DOUBTED},
    Standing.STOPPED: {**_ALWAYS, Sign.CLEARED: Standing.TRUSTED, Sign.DENIED: Standing.STOPPED},
    Standing.LOCKED_OUT: {**_ALWAYS, Sign.CLEARED: Standing.TRUSTED, Sign.DENIED: Standing.LOCKED_OUT},
}
"""The whole of it: every standing knows every sign."""

SENDS_NOTHING = frozenset({Standing.STOPPED, Standing.LOCKED_OUT})


class Change(NamedTuple):
    """One standing gave way to another, or one secret to another."""

    before: Standing
    after: Standing
    why: str

    @property
    def event(self) -> EventName | None:
        """The log event of it; ``None`` where it is not worth a line: a doubt that was put aside.

        From one standing to the same another secret came in its place. One that is stopped is only to be tried then.
        """
        if self.before is self.after:
            return None if self.after in SENDS_NOTHING else EventName.CREDENTIAL_RESUMED
        if self.after in SENDS_NOTHING:
            return EventName.CREDENTIAL_STOPPED
        if self.after is Standing.DOUBTED:
            return EventName.CREDENTIAL_DOUBTED
        return EventName.CREDENTIAL_RESUMED if self.before in SENDS_NOTHING else None


class Credential:
    """The headers of one account's credential and its standing. Printing it shows nothing secret."""

    def __init__(
        self,
        name: str,
        headers: Callable[[str], dict[str, str]],
        secret: str,
        clock: Clock,
        reread: Callable[[], str] | None = None,
    ) -> None:
        """``headers`` makes the headers of a secret.

        ``reread`` gives the secret as its file holds it now, and may block; it raises ``ValueError``, a sentence.
        """
        self.name = name
        self._clock = clock
        self.reread = reread
        self._make_headers = headers
        self._headers: dict[str, str] = {}
        self._spellings: set[bytes] = set()  # of this secret and the one before: answers to that may still come
        self._secret = ""
        self._probe_at = 0.0
        self.standing = Standing.TRUSTED
        self.edition = 0  # grows with every other secret that takes the place of this one
        self.refusal = ""
        self.served_at = float("-inf")
        self._readable: dict[str, float] = {}  # zones by when they were last read, the oldest first
        self._carry(secret)

    @classmethod
    def from_token(cls, name: str, token: str, clock: Clock, reread: Callable[[], str] | None = None) -> "Credential":
        """An API token."""
        return cls(name, lambda secret: {"authorization": f"Bearer {secret}"}, token, clock, reread)

    @classmethod
    def from_key(
        cls, name: str, email: str, key: str, clock: Clock, reread: Callable[[], str] | None = None
    ) -> "Credential":
        """The older pair of e-mail address and global API key."""
        return cls(name, lambda secret: {"x-auth-email": email, "x-auth-key": secret}, key, clock, reread)

    def __repr__(self) -> str:
        return f"Credential({self.name!r})"

    def headers(self) -> dict[str, str]:
        """The headers that carry the secret; for the request and nothing else."""
        return self._headers

    @property
    def is_token(self) -> bool:
        """Whether it is an API token, which can be verified; a global key cannot."""
        return "authorization" in self._headers

    @property
    def form(self) -> str:
        """How it begins, where that tells whose it is: ``cfut_``, ``cfat_``; empty for older forms."""
        return next((form for form in (TOKEN_OF_A_USER, TOKEN_OF_AN_ACCOUNT) if self._secret.startswith(form)), "")

    def taken_out_of(self, said: bytes) -> bytes:
        """What the other side said, without the secret where it was repeated: by a proxy that shows what it refuses."""
        for spelling in self._spellings:
            if spelling in said:
                said = said.replace(spelling, REMOVED)
        return said

    def renew(self, secret: str) -> bool:
        """Use this secret from now on; True if it is another. A credential that is stopped is tried at once then."""
        if secret == self._secret:
            return False
        self._carry(secret)
        self.edition += 1
        self._probe_at = self._clock.monotonic()
        return True

    def _carry(self, secret: str) -> None:
        both = filter(None, (self._secret, secret))
        self._spellings = {said.encode() for each in both for said in (each, json.dumps(each)[1:-1])}
        self._headers, self._secret = self._make_headers(secret), secret

    # ── its standing ─────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def stopped(self) -> bool:
        """Whether calls with it are refused by us, because Cloudflare refused them."""
        return self.standing in SENDS_NOTHING

    def may_call(self) -> bool:
        """Whether a call may be made now. While stopped, true once in a while: that call is the probe."""
        if not self.stopped:
            return True
        now = self._clock.monotonic()
        if now < self._probe_at:
            return False
        self._probe_at = now + self._probe_after()
        return True

    def note(self, sign: Sign, why: str = "") -> Change | None:
        """One sign more; gives the change it made, if it made one. ``why`` are Cloudflare's words and the remedy."""
        before, self.standing = self.standing, TRANSITIONS[self.standing][sign]
        if sign is Sign.SERVED:
            self.served_at = self._clock.monotonic()
        if self.standing is Standing.TRUSTED:
            self.refusal = ""
        elif sign in {Sign.REFUSED, Sign.LOCKED_OUT}:
            self.refusal = why
            self._probe_at = self._clock.monotonic() + self._probe_after()
        return Change(before, self.standing, why) if before is not self.standing else None

    def _probe_after(self) -> float:
        return PROBE_LOCKED_OUT_EVERY if self.standing is Standing.LOCKED_OUT else PROBE_EVERY

    # ── what it could read lately ────────────────────────────────────────────────────────────────────────────────

    def read(self, zone_id: str) -> None:
        """It read this zone a moment ago."""
        self._readable.pop(zone_id, None)
        self._readable[zone_id] = self._clock.monotonic()
        if len(self._readable) > READABLE_KEPT:
            del self._readable[next(iter(self._readable))]

    def could_not_read(self, zone_id: str) -> None:
        """It was denied this zone."""
        self._readable.pop(zone_id, None)

    def readable(self, but: str) -> str:
        """The zone it read last, ``but`` that one; empty when there is none."""
        return next((zone_id for zone_id in reversed(self._readable) if zone_id != but), "")
