"""The resolvers that are asked: how they are written, which of them are independent, and which are there at all.

A resolver that brings no answer is not asked again in the same pass, so that one that cannot be reached costs one
deadline and not thousands. It is greeted for that with the question for the root's name servers. A resolver that
forwards a few domains may know no root, so silence then is believed only once real questions have met it too.
"""

import asyncio

import dns.exception

TRIES = 3
"""Domains that a resolver is asked about, with one question each, before it has answered anything."""

_OPERATORS = (
    ("1.1.1.", "1.0.0.", "2606:4700:4700:"),
    ("8.8.", "2001:4860:4860:"),
    ("9.9.9.", "149.112.112.", "2620:fe:"),
    ("208.67.", "2620:119:"),
)
"""Beginnings of the addresses of public resolvers that are one: what two of them say was found out once."""


def system_resolvers() -> tuple[tuple[str, int], ...]:
    """Those this machine is set up with; none when it has none."""
    from dns.resolver import Resolver  # noqa: PLC0415  needless where resolvers are configured

    try:
        found = Resolver(configure=True)
    except (dns.exception.DNSException, OSError):
        return ()
    return tuple((str(address), found.port) for address in found.nameservers)


def shown(resolver: tuple[str, int]) -> str:
    """A resolver as operators write it."""
    address, port = resolver
    if port == 53:  # noqa: PLR2004  the port of DNS
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def operator(resolver: str) -> str:
    """Who runs a resolver (as ``shown``), as far as it is known: two of one operator are no two witnesses.

    >>> operator("1.0.0.1") == operator("1.1.1.1")
    True
    """
    address = resolver.removeprefix("[")
    return next((known[0] for known in _OPERATORS if address.startswith(known)), resolver)


class Hearing:
    """What is known in this pass of whether a resolver answers at all."""

    def __init__(self) -> None:
        self.awake = False
        self._greeted = asyncio.Event()
        self._tried: dict[str, asyncio.Event] = {}

    async def may_ask(self, name: str) -> bool:
        """Whether to send it a question about this name. Waits where the first ones are still under way."""
        if self.awake:
            return True
        domain = _domain(name)
        if domain not in self._tried and len(self._tried) < TRIES:
            self._tried[domain] = asyncio.Event()
            return True
        await self._greeted.wait()
        for tried in [self._tried[domain]] if domain in self._tried else list(self._tried.values()):
            await tried.wait()
        return self.awake

    def greeted(self, *, answered: bool) -> None:
        """What became of the greeting."""
        self._greeted.set()
        self._heard(answered=answered)

    def asked(self, name: str, *, answered: bool) -> None:
        """What became of a question."""
        if self.awake:
            return
        if _domain(name) in self._tried:
            self._tried[_domain(name)].set()
        self._heard(answered=answered)

    def _heard(self, *, answered: bool) -> None:
        if answered and not self.awake:
            self.awake = True
            for waited_for in (self._greeted, *self._tried.values()):
                waited_for.set()

    @property
    def silent(self) -> bool:
        """Whether neither the greeting nor any question that was sent brought an answer."""
        return not self.awake and self._greeted.is_set() and all(tried.is_set() for tried in self._tried.values())


def _domain(name: str) -> str:
    return ".".join(name.split(".")[-2:])
