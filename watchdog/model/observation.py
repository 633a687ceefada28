"""What a look at a zone brought: all its packs, or why it could not be seen. A zone is never silently dropped."""

from dataclasses import dataclass

from watchdog.model.packs import Pack, ZoneRef
from watchdog.model.reasons import Reason


@dataclass(frozen=True, slots=True)
class Seen:
    """The zone was seen whole. ``missing`` are ids the configuration asks for and Cloudflare does not have."""

    zone: ZoneRef
    packs: tuple[Pack, ...]
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unseen:
    """The zone could not be seen whole. ``error`` is one cleaned line that says what happened and what to do."""

    zone: ZoneRef
    reason: Reason
    error: str


Observation = Seen | Unseen
