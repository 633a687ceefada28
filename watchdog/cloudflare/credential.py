"""One credential: its headers, and whether Cloudflare still takes it.

A refused credential is not hammered: after a refusal that can only mean the credential itself, or after several 403 in
a row for whatever zone, nothing is sent with it but one slow probe at a time, until one succeeds or the configuration
brings another credential (then a new object is built). One that may read a zone and not change it is as little use to
its packs: after a restart there was refused, the next one is as slow a probe.
"""

import json
from collections.abc import Callable, Mapping

from watchdog.model.clock import Clock

PROBE_EVERY = 900.0
"""Seconds between probes of a refused credential: 96 a day, far below any limit, and mended tokens are noticed soon."""

REMOVED = b"(credential)"

REFUSALS_IN_A_ROW = 3
"""403 answers in a row, with no success between, after which it is the credential and not the zone."""


class Credential:
    """The headers of one account's credential and its standing. Printing it shows nothing secret."""

    def __init__(
        self,
        name: str,
        headers: Mapping[str, str],
        secret: str,
        clock: Clock,
        reread: Callable[[], str] | None = None,
    ) -> None:
        """``reread`` gives the secret as its file holds it now, and may block; it raises ``ValueError``, a sentence."""
        self.name = name
        self.reread = reread
        self._headers = dict(headers)
        self._spellings = {secret.encode(), json.dumps(secret)[1:-1].encode()}
        self._clock = clock
        self._in_a_row = 0
        self._next_probe: float | None = None
        self._only_reads: dict[str, tuple[float, str]] = {}  # by zone: when a restart is tried again, and why not now
        self.refusal = ""

    @classmethod
    def from_token(cls, name: str, token: str, clock: Clock, reread: Callable[[], str] | None = None) -> "Credential":
        """An API token."""
        return cls(name, {"authorization": f"Bearer {token}"}, token, clock, reread)

    @classmethod
    def from_key(
        cls, name: str, email: str, key: str, clock: Clock, reread: Callable[[], str] | None = None
    ) -> "Credential":
        """The older pair of e-mail address and global API key."""
        return cls(name, {"x-auth-email": email, "x-auth-key": key}, key, clock, reread)

    def __repr__(self) -> str:
        return f"Credential({self.name!r})"

    def headers(self) -> dict[str, str]:
        """The headers that carry the secret; for the request and nothing else."""
        return self._headers

    def taken_out_of(self, said: bytes) -> bytes:
        """What the other side said, without the secret where it was repeated: by a proxy that shows what it refuses."""
        for spelling in self._spellings:
            if spelling in said:
                said = said.replace(spelling, REMOVED)
        return said

    @property
    def stopped(self) -> bool:
        """Whether calls with it are refused by us, because Cloudflare refused them."""
        return self._next_probe is not None

    def may_call(self) -> bool:
        """Whether a call may be made now. While stopped, true once per ``PROBE_EVERY``: that call is the probe."""
        if self._next_probe is None:
            return True
        now = self._clock.monotonic()
        if now < self._next_probe:
            return False
        self._next_probe = now + PROBE_EVERY
        return True

    def accepted(self) -> None:
        """Cloudflare took it."""
        self._in_a_row = 0
        self._next_probe = None
        self.refusal = ""

    def refused(self, text: str, *, certain: bool) -> None:
        """Cloudflare refused it; ``certain`` when it cannot be a matter of the zone asked for."""
        self._in_a_row += 1
        if certain or self.stopped or self._in_a_row >= REFUSALS_IN_A_ROW:
            self.refusal = text
            self._next_probe = self._clock.monotonic() + PROBE_EVERY

    def only_reads(self, zone_id: str) -> str:
        """Why no restart is to be sent in this zone now, though it may be read; empty when one may."""
        again_at, refusal = self._only_reads.get(zone_id, (0.0, ""))
        return refusal if refusal and self._clock.monotonic() < again_at else ""

    def restart_refused(self, zone_id: str, text: str) -> None:
        """Cloudflare refused it a restart in this zone."""
        self._only_reads[zone_id] = (self._clock.monotonic() + PROBE_EVERY, text)

    def restart_accepted(self, zone_id: str) -> None:
        """Cloudflare let it restart in this zone."""
        self._only_reads.pop(zone_id, None)
