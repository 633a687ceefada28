"""By which clock the times were noted, and how much of the quota was booked, so that both outlive a kill."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the anchor to ``meta``, and the table ``bookings``."""
    op.add_column("meta", sa.Column("anchor_at", sa.Integer))
    op.add_column("meta", sa.Column("anchor_monotonic", sa.Float))
    op.add_column("meta", sa.Column("anchor_boot", sa.Text))
    op.create_table(
        "bookings",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("boot", sa.Text, nullable=False),
        sa.Column("until", sa.Float, nullable=False),
        sa.Column("requests", sa.Integer, nullable=False),
    )
