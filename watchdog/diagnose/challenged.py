"""The challenged name of one host as a value: what is wanted there, and the sentences that go with it. Pure.

What is there is asked and judged by ``challenge`` and ``tokens``.
"""

import msgspec

from watchdog.model.findings import Certainty, Finding, FindingName
from watchdog.model.packs import PENDING_VALIDATION, UNIVERSAL, ManualRecord, Pack, ZoneFacts

PREFIX = "_acme-challenge."
DELEGATED = ".dcv.cloudflare.com"
"""What every delegation of Cloudflare's ends in."""

PROXIED = ".cdn.cloudflare.net"
"""What every name ends in under which Cloudflare stands in for a host whose DNS it does not run."""


class ChallengedName(msgspec.Struct, frozen=True, kw_only=True):
    """One challenged name: what is wanted there. ``target`` is empty where no delegation is possible, or none known.

    ``lies`` says in a sentence why it is another name than the host's own; it is empty where it is not. ``first`` says
    what has to be done before anything is placed there. ``astray`` says that its record stands under a doubled name,
    and ``shorter`` what to do about that.
    """

    name: str
    base: str
    target: str
    tokens: tuple[ManualRecord, ...]
    lies: str = ""
    first: str = ""
    astray: str = ""
    shorter: str = ""

    @property
    def delegation(self) -> ManualRecord | None:
        """The CNAME record by which Cloudflare places all tokens itself."""
        return ManualRecord("CNAME", self.name, self.target) if self.target else None

    @property
    def for_good(self) -> str:
        """The one CNAME that ends the work by hand, as a sentence; empty where it is not possible."""
        if not self.target:
            return ""
        return (
            f" To end this work for good, put the CNAME record {self.name} → {self.target} there in place of any TXT"
            " record: then Cloudflare places all tokens itself."
        )

    def wants_delegation(self, name: FindingName, says: str, remedy: str) -> Finding:
        """What is likely wrong here, with the delegation that would mend it, where one is possible."""
        return Finding(
            name=name,
            certainty=Certainty.LIKELY,
            host=self.base,
            says=says,
            remedy=remedy,
            record=self.delegation,
        )


def challenged(pack: Pack, zone: ZoneFacts, base: str) -> ChallengedName:
    """The name that is challenged for a host, with the tokens and the delegation that would serve it."""
    name = PREFIX + base
    offered = (record.value for record in pack.validation.delegations if record.name == name)
    made = f"{base}.{zone.delegation}{DELEGATED}" if zone.delegation else ""
    target = "" if pack.type == UNIVERSAL else next(offered, made).lower()
    tokens = pack.validation.tokens if pack.status == PENDING_VALIDATION else ()
    return ChallengedName(
        name=name, base=base, target=target, tokens=tuple(token for token in tokens if token.name == name)
    )
