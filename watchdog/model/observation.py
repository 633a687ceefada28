"""What a look at a zone brought, and what is new in it.

A zone is never silently dropped: an observation is all of its packs, or why it could not be seen. ``observe.compare``
holds it against what was ``Known`` and gives the ``Difference``, which ``state`` keeps.
"""

from collections.abc import Mapping

import msgspec

from watchdog.model.events import Event
from watchdog.model.history import History, Remembered, ZoneMemory
from watchdog.model.pack_ids import PackKey
from watchdog.model.packs import Pack, ZoneRef
from watchdog.model.reasons import Reason


class Seen(msgspec.Struct, frozen=True):
    """The zone was seen whole.

    ``missing`` are the ids, or the hosts in one text, of packs that the configuration names and Cloudflare does not
    have.
    """

    zone: ZoneRef
    packs: tuple[Pack, ...]
    missing: tuple[str, ...] = ()


class Unseen(msgspec.Struct, frozen=True):
    """The zone could not be seen whole. ``error`` is one cleaned line that says what happened and what to do."""

    zone: ZoneRef
    reason: Reason
    error: str


Observation = Seen | Unseen


class Known(msgspec.Struct, frozen=True):
    """What was known of a zone before a look. A pack that is not among the ``histories`` is ``UNTROUBLED``.

    ``packs`` are all that are remembered under the zone's id, by their ids, whoever watches them.
    """

    zone: ZoneMemory
    packs: Mapping[str, Remembered]
    histories: Mapping[PackKey, History]


class Difference(msgspec.Struct, kw_only=True):
    """What a look changes in what is known. ``zone`` is ``None`` where it says nothing of the zone as a whole.

    ``histories`` are those that are other than before. ``packs`` are those that vanished or never were, as they are
    remembered from now on (of the others that is known once they are decided); ``forgotten`` are not remembered at all.
    """

    zone: ZoneMemory | None = None
    events: list[Event] = msgspec.field(default_factory=list)
    histories: dict[PackKey, History] = msgspec.field(default_factory=dict)
    packs: list[Remembered] = msgspec.field(default_factory=list)
    forgotten: list[PackKey] = msgspec.field(default_factory=list)
