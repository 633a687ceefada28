"""What Cloudflare said of its policies in the answers to one credential, and how long a request waits for that.

It can only make the account's own limit stricter: a policy with fewer requests, or one that other users of the same
token have eaten from. Each policy has a name, and holds for the operations whose answers name it: what ``GET /zones``
says of ``"list_zones"`` is no word about restarts. ``rate_limit`` alone calls this, and hands in the time (monotonic).
"""

import math
from collections.abc import Mapping

import msgspec

from watchdog.cloudflare import ratelimit_headers
from watchdog.cloudflare.ratelimit_headers import DEFAULT
from watchdog.cloudflare.sliding_window import Allowance, SlidingWindow

SHORTEST_RESET = 10.0
"""Seconds to a reset that are believed. Recorded answers say ``t=1`` whatever is left (130 of 131 answers of one
account in 2026), so less is no word about when there is room again."""


LONGEST_WINDOW = 3_600
"""Seconds that ``Ratelimit`` and ``Ratelimit-Policy`` may speak of; Cloudflare's windows have 300. They are obeyed
without a line in the log, so that they may cost an hour at most."""

MOST_POLICIES = 20
"""Policies that are told apart; Cloudflare names one or two."""


class _Policy(msgspec.Struct, kw_only=True):
    """What Cloudflare said of one policy. ``left`` is what it said is left, less what was sent since.

    ``headroom`` is what looks leave to the others of the same user. ``window`` is that of a policy besides the default
    one, once its size is known.
    """

    left: int | None = None
    until: float = -math.inf
    heard_at: float = -math.inf
    headroom: int = 0
    window: SlidingWindow | None = None


class Policies:
    """The policies of one credential. The default one's window is the account's own."""

    def __init__(self, allowance: Allowance, window: SlidingWindow) -> None:
        """``window`` is given the allowance, and a stricter one as soon as Cloudflare says so."""
        self._window = window
        self._policies = {DEFAULT: _Policy()}
        self._named: dict[str, tuple[_Policy, ...]] = {}  # by operation: those that its last answer named
        self.allow(allowance)

    def allow(self, allowance: Allowance) -> None:
        """Another allowance holds from now on, until an answer says that it is less."""
        self.allowance = allowance
        self._set(allowance)

    def remaining(self, now: float) -> int | None:
        """Requests left of the default policy, for everyone, as was said within its last window; else ``None``."""
        default = self._policies[DEFAULT]
        return default.left if now < default.heard_at + self._window.seconds else None

    def wait(self, operation: str, number: int, now: float, *, acts: bool) -> float:
        """Seconds until ``number`` more requests may start, as far as the policies of this operation are concerned.

        ``acts`` may use what looks leave to the others of the same user.
        """
        wait = 0.0
        for policy in self._of(operation):
            if policy.window is not None:
                wait = max(wait, policy.window.wait(now))
            headroom = 0 if acts else policy.headroom
            if policy.left is not None and policy.left < headroom + number:
                wait = max(wait, policy.until - now)
        return wait

    def started(self, operation: str, number: int, now: float) -> None:
        """So many requests are on their way."""
        for policy in self._of(operation):
            if policy.left is None:
                continue
            policy.left -= number
            if policy.left <= policy.headroom and policy.until <= now:  # one asks how things are, not all who wait
                policy.until = now + self._shortest(policy)

    def learn(self, headers: Mapping[str, str], operation: str, now: float) -> None:
        """An answer to this operation came with these headers."""
        sizes = {name: (q, w) for name, q, w in ratelimit_headers.sizes(headers) if q > 0 < w}
        said = ratelimit_headers.left(headers)
        named: dict[str, _Policy] = {}
        for name in (*sizes, *(name for name, _, _ in said)):
            if name in self._policies or len(self._policies) < MOST_POLICIES:
                named[name] = self._policies.setdefault(name, _Policy())
        if not named:
            return
        self._named[operation] = tuple(named.values())
        for name, policy in named.items():
            if name in sizes:
                self._obey(name, policy, *sizes[name])
            if policy.window is not None:
                policy.window.recall((now,))
        for name, left, reset in said:
            if name not in named:
                continue
            policy = named[name]
            policy.left = left - (self._window.in_flight if name == DEFAULT else 0)
            policy.until = now + min(max(reset, self._shortest(policy)), LONGEST_WINDOW)
            policy.heard_at = now

    def _shortest(self, policy: _Policy) -> float:
        """``SHORTEST_RESET``, or a thirtieth of a window that is shorter than Cloudflare's, and over sooner."""
        return min(SHORTEST_RESET, (policy.window or self._window).seconds / 30)

    def _obey(self, name: str, policy: _Policy, requests: int, per: int) -> None:
        mine, said = self.allowance, Allowance(requests, min(per, LONGEST_WINDOW), self.allowance.share)
        if name == DEFAULT:
            self._set(said if requests / per < mine.requests / mine.per else mine)
            return
        policy.headroom = requests // 50
        if policy.window is None:
            policy.window = SlidingWindow(said.ours, said.per)
        policy.window.limit, policy.window.seconds = said.ours, said.per

    def _set(self, allowance: Allowance) -> None:
        self._window.limit, self._window.seconds = allowance.ours, allowance.per
        self._policies[DEFAULT].headroom = allowance.requests // 50

    def _of(self, operation: str) -> tuple[_Policy, ...]:
        return self._named.get(operation) or (self._policies[DEFAULT],)
