"""What ``status`` reads: counts of everything, and whole packs only of the zones in which something is not well.

Functions over the connection of a transaction that ``store`` has begun. A fleet of 100,000 packs that are well is
counted by the database and never becomes 100,000 values.
"""

from collections.abc import Iterator
from datetime import datetime

from watchdog.model.reasons import Reason
from watchdog.state import packs, restarts, schema, silences
from watchdog.state.changes import Snapshot, Survey
from watchdog.state.deferred import sa
from watchdog.state.schema import maybe_from_micros, to_micros

_p, _z = schema.packs.c, schema.zones.c
_COUNTS = sa.select(sa.func.count(), sa.func.max(_z.tried_at)).select_from(schema.zones)
_PACKS = sa.select(sa.func.count()).select_from(schema.packs)
_IDS = sa.select(_p.pack_id)
_LISTED = sa.select(_p.account, _p.zone, _p.pack_id, _p.status, _p.expires_at).order_by(_p.zone, _p.account, _p.pack_id)


def survey(connection: sa.Connection, ending_by: datetime) -> Survey:
    """All that is not well, or has a certificate that ends by then, with whatever else is in those zones."""
    zones, last_look = connection.execute(_COUNTS).one()
    found = sa.select(_p.zone_id).where(sa.or_(_p.reason != str(Reason.HEALTHY), _p.expires_at <= to_micros(ending_by)))
    return Survey(
        packs=connection.execute(_PACKS).scalar_one(),
        zones=zones,
        last_look=maybe_from_micros(last_look),
        unwell=Snapshot(
            anchor=None,
            zones=packs.load_zones(connection, _z.error != ""),
            packs=packs.load_packs(connection, found),
            histories=restarts.load_histories(connection),
            silences=silences.load(connection),
        ),
    )


def ids(connection: sa.Connection) -> list[str]:
    """The id of every pack."""
    return list(connection.execute(_IDS).scalars())


def listed(connection: sa.Connection) -> Iterator[tuple[str, str, str, str, datetime | None]]:
    """Account, zone, id, status and expiry of every pack, by zone."""
    for account, zone, pack_id, status, expires_at in connection.execute(_LISTED):
        yield account, zone, pack_id, status, maybe_from_micros(expires_at)
