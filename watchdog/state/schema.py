"""The tables. No connection and no statement: what a row means is said by the module that reads and writes it.

How values lie in columns is in ``rows``. A change here needs a new revision in ``migrations``; a test holds the two
together.
"""

from collections.abc import Mapping

from watchdog.state.deferred import call, sa

_MICROS = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # an INTEGER of SQLite has 64 bits, others' have 32
_BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _key(name: str) -> "sa.Column[str]":
    return sa.Column(name, sa.Text, primary_key=True)


def _text(name: str) -> "sa.Column[str]":
    return sa.Column(name, sa.Text, nullable=False)


def _time(name: str, *, nullable: bool = True) -> "sa.Column[int]":
    return sa.Column(name, _MICROS, nullable=nullable)


def _number(name: str, default: str | None = None) -> "sa.Column[int]":
    return sa.Column(name, _BIG, nullable=False, server_default=default)


def _account() -> "sa.Column[str]":
    return sa.Column("account", sa.Text, nullable=False, server_default="")


def _id() -> "sa.Column[int]":
    return sa.Column("id", _BIG, primary_key=True)


_metadata = sa.MetaData()

zones = sa.Table(
    "zones",
    _metadata,
    _key("account"),
    _key("label"),
    _text("id"),
    _time("seen_at"),
    _time("tried_at"),
    _text("reason"),
    _text("error"),
    sqlite_with_rowid=False,
)
packs = sa.Table(
    "packs",
    _metadata,
    _key("zone_id"),
    _key("pack_id"),
    _text("account"),
    _text("zone"),
    _text("type"),
    _text("status"),
    _text("hosts"),
    _text("ca"),
    _time("expires_at"),
    _text("validation_errors"),
    _time("since", nullable=False),
    _time("seen_at", nullable=False),
    _text("do"),
    _text("reason"),
    _time("until"),
    _number("validity_days", "0"),
    _time("uploaded_at"),
    sqlite_with_rowid=False,
)
histories = sa.Table(
    "histories",
    _metadata,
    _key("zone_id"),
    _key("pack_id"),
    _number("attempts"),
    _time("trouble_since"),
    _time("last_restart_at"),
    _time("next_restart_at"),
    _time("gave_up_at"),
    _text("last_error"),
    sqlite_with_rowid=False,
)
intents = sa.Table(
    "intents",
    _metadata,
    _id(),
    _text("account"),
    _text("zone"),
    _text("zone_id"),
    _text("pack_id"),
    _number("attempt"),
    _time("at", nullable=False),
    _time("next_restart_at", nullable=False),
    sa.Column("outcome", sa.Text),
    _text("error"),
    _time("settled_at"),
    sqlite_autoincrement=True,
)
journal = sa.Table(
    "journal",
    _metadata,
    _id(),
    _time("at", nullable=False),
    _text("event"),
    _text("account"),
    _text("zone"),
    _text("zone_id"),
    _text("pack_id"),
    _text("reason"),
    _text("detail"),
    sa.Index("journal_by_pack", "zone_id", "pack_id", "at"),
)
diagnoses = sa.Table(
    "diagnoses",
    _metadata,
    _key("zone_id"),
    _key("pack_id"),
    _time("at", nullable=False),
    _text("findings"),
    _text("tokens"),
    _time("rechecked_at"),
    sqlite_with_rowid=False,
)
alert_log = sa.Table("alert_log", _metadata, _key("fingerprint"), _text("entry"), _account(), sqlite_with_rowid=False)
alert_groups = sa.Table(
    "alert_groups",
    _metadata,
    _key("name"),
    _time("said_at", nullable=False),
    _number("in_a_row"),
    _time("early_until"),
    _account(),
    sqlite_with_rowid=False,
)
outbox = sa.Table(
    "outbox",
    _metadata,
    _id(),
    _text("destination"),
    _time("at", nullable=False),
    _text("message"),
    _account(),
    sqlite_autoincrement=True,
)
silences = sa.Table(
    "silences",
    _metadata,
    _id(),
    _text("account"),
    _text("zone"),
    _text("zone_id"),
    _text("pack_id"),
    _text("pack"),
    _time("at", nullable=False),
    _time("until", nullable=False),
    _text("comment"),
    sqlite_autoincrement=True,
)
bookings = sa.Table(
    "bookings",
    _metadata,
    _id(),
    _text("account"),
    _text("boot"),
    sa.Column("until", sa.Float, nullable=False),
    _number("requests"),
)
leases = sa.Table(
    "leases",
    _metadata,
    _key("account"),
    _text("holder"),
    _text("instance"),
    _number("epoch"),
    _time("expires", nullable=False),
    _time("since", nullable=False),
    _time("seen_at"),
    _text("version"),
    _text("config"),
    _number("clock_set", "0"),
    sqlite_with_rowid=False,
)
replicas = sa.Table(
    "replicas",
    _metadata,
    _key("instance"),
    _text("name"),
    _time("expires", nullable=False),
    _time("since", nullable=False),
    _text("accounts"),
    _text("troubles"),
    _text("version"),
    _text("config"),
    sqlite_with_rowid=False,
)
meta = sa.Table(
    "meta",
    _metadata,
    _id(),
    _number("probes"),
    _time("anchor_at"),
    sa.Column("anchor_monotonic", sa.Float),
    sa.Column("anchor_boot", sa.Text),
    _number("last_message", "0"),
    _number("outside_writes", "0"),
    _number("clock_set", "0"),
    _number("clock_era", "0"),
)
"""One row: how often it was tried whether the disk takes writes, the clock that times were noted by, the highest number
ever given to a message, how often somebody without a lease has written into a state that several share, and by how many
microseconds the clock of such a state was set (``server_clock``)."""


def _whole(metadata: "sa.MetaData", *tables: object) -> "sa.MetaData":  # noqa: ARG001  each enters itself when it is made
    return metadata


metadata = call(
    _whole,
    _metadata,
    *(zones, packs, histories, intents, journal, diagnoses, alert_log),
    *(alert_groups, outbox, silences, bookings, leases, replicas, meta),
)
"""All of the tables."""

KEYS: "Mapping[sa.Table, tuple[str, ...]]" = {
    packs: ("zone_id", "pack_id"),
    histories: ("zone_id", "pack_id"),
    diagnoses: ("zone_id", "pack_id"),
    alert_log: ("fingerprint",),
    alert_groups: ("name",),
    outbox: ("id",),
}
"""The primary keys of the tables whose rows are deleted one by one, in their order."""
