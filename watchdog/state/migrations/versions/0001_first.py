"""The first shape: zones, packs, histories, intents, journal, meta."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _text(name: str) -> "sa.Column[str]":
    return sa.Column(name, sa.Text, nullable=False)


def _key(name: str) -> "sa.Column[str]":
    return sa.Column(name, sa.Text, primary_key=True, nullable=False)


def _time(name: str, *, nullable: bool = True) -> "sa.Column[int]":
    return sa.Column(name, sa.Integer, nullable=nullable)


def upgrade() -> None:
    """Create every table."""
    op.create_table(
        "zones",
        _key("account"),
        _key("label"),
        _text("id"),
        _time("seen_at"),
        _time("tried_at"),
        _text("reason"),
        _text("error"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "packs",
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
        sqlite_with_rowid=False,
    )
    op.create_table(
        "histories",
        _key("zone_id"),
        _key("pack_id"),
        sa.Column("attempts", sa.Integer, nullable=False),
        _time("trouble_since"),
        _time("last_restart_at"),
        _time("next_restart_at"),
        _time("gave_up_at"),
        _text("last_error"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "intents",
        sa.Column("id", sa.Integer, primary_key=True),
        _text("account"),
        _text("zone"),
        _text("zone_id"),
        _text("pack_id"),
        sa.Column("attempt", sa.Integer, nullable=False),
        _time("at", nullable=False),
        _time("next_restart_at", nullable=False),
        sa.Column("outcome", sa.Text),
        _text("error"),
        _time("settled_at"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "journal",
        sa.Column("id", sa.Integer, primary_key=True),
        _time("at", nullable=False),
        _text("event"),
        _text("account"),
        _text("zone"),
        _text("zone_id"),
        _text("pack_id"),
        _text("reason"),
        _text("detail"),
    )
    op.create_index("journal_by_pack", "journal", ["zone_id", "pack_id", "at"])
    op.create_table(
        "meta",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("probes", sa.Integer, nullable=False),
    )
    op.execute("INSERT INTO meta (id, probes) VALUES (1, 0)")
