"""What was said of which alert, and the messages that no destination has accepted yet."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the tables ``alert_log``, ``alert_groups`` and ``outbox``."""
    op.create_table(
        "alert_log",
        sa.Column("fingerprint", sa.Text, primary_key=True, nullable=False),
        sa.Column("entry", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "alert_groups",
        sa.Column("name", sa.Text, primary_key=True, nullable=False),
        sa.Column("said_at", sa.Integer, nullable=False),
        sa.Column("in_a_row", sa.Integer, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("destination", sa.Text, nullable=False),
        sa.Column("at", sa.Integer, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
