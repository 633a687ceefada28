"""What ``explain`` says of a pack: its row as everywhere, what comes next, its renewal and its past.

``explain --offline`` is whole here, from the state alone, as the last look found it; with a fresh look, ``one_pack``
makes the same of what it finds. Values only: ``cli`` prints them.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from watchdog.commands.offline import inventory_of
from watchdog.model.clock import maybe_rfc3339, rfc3339
from watchdog.model.history import JournalLine, Remembered
from watchdog.model.names import canonical
from watchdog.model.pack_ids import SHORTEST_PREFIX, canonical_id, meant, short_length, shortened
from watchdog.model.packs import Pack
from watchdog.model.renewal import renewal
from watchdog.model.report import Inventory, event_row, next_step

if TYPE_CHECKING:
    from watchdog.config.schema import Config
    from watchdog.state.store import Store

MOST_LINES = 20
"""Lines of the journal that ``explain`` shows: more than the restarts of one trouble."""


class NotThere(Exception):
    """The zone or pack that is asked about is not there, or there are several; ``str()`` says which."""


def explain_offline(config: "Config", store: "Store", zone: str, pack_id: str, now: datetime) -> list[dict[str, Any]]:
    """Why each pack of a zone (or one of them) is as it is, as the last look found it. Raises ``NotThere``."""
    wanted = canonical(zone)
    found = [each for each in store.zones() if wanted in (canonical(each.label), each.id)]
    if not found:
        raise NotThere(f"nothing is remembered of a zone {zone}; zones are named as in `status --all`")
    rows = []
    for each in found:
        inventory = inventory_of(config, store.load(each.id), now)
        of_zone = {known.pack.id: known for known, _ in inventory.packs if known.zone == each.label}
        for pack in chosen([known.pack for known in of_zone.values()], zone, pack_id):
            known = of_zone[pack.id]
            lines = store.journal_of(pack.zone_id, pack.id, MOST_LINES)
            rows.append(explanation(inventory, known, lines) | {"seen_at": rfc3339(each.tried_at or known.seen_at)})
    return rows


def explanation(inventory: Inventory, known: Remembered, lines: Iterable[JournalLine]) -> dict[str, Any]:
    """The row of a pack as in all JSON, and ``next``, ``renewal``, ``journal`` and what validation says."""
    pack, now = known.pack, inventory.at
    history = next(history for each, history in inventory.packs if each is known)
    window = renewal(pack.expires_at, pack.uploaded_at, now)
    return {
        **inventory.row(known, history),
        "next": next_step(known, history, now),
        "validation_method": pack.validation.method or None,
        "certificate_authority": pack.certificate_authority or None,
        "validation_errors": list(pack.validation_errors),
        "renewal": window
        and {
            "opens_at": maybe_rfc3339(window.opens_at),
            "closes_at": rfc3339(window.closes_at),
            "last_restart_at": rfc3339(window.last_restart_at),
            "used": round(window.used, 3),
        },
        "journal": [
            {name: value for name, value in event_row(line).items() if name in ("at", "event", "reason", "detail")}
            for line in lines
        ],
    }


def listed(packs: Sequence[Pack]) -> str:
    """The packs of one zone as they are told apart, with their statuses."""
    length = short_length(pack.id for pack in packs)
    return ", ".join(f"{shortened(pack.id, length)} ({pack.status or 'no status'})" for pack in packs)


def chosen(packs: list[Pack], zone: str, pack_id: str) -> list[Pack]:
    """The one pack that is meant by the beginning of its id, or all where none is named. Raises ``NotThere``."""
    if not pack_id:
        return packs
    found = set(meant([pack.id for pack in packs], pack_id))
    if not found:
        few = len(canonical_id(pack_id)) < SHORTEST_PREFIX
        hint = f"give at least {SHORTEST_PREFIX} characters of its id" if few else f"it has {listed(packs) or 'none'}"
        raise NotThere(f"zone {zone} has no watched pack {pack_id}: {hint}")
    if len(found) > 1:
        raise NotThere(f"zone {zone} has {len(found)} packs whose ids begin so: {', '.join(sorted(found))}")
    return [pack for pack in packs if pack.id in found]
