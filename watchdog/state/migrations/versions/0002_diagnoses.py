"""What was found of packs in trouble, and when Cloudflare was asked to check their records at once."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the table ``diagnoses``."""
    op.create_table(
        "diagnoses",
        sa.Column("zone_id", sa.Text, primary_key=True, nullable=False),
        sa.Column("pack_id", sa.Text, primary_key=True, nullable=False),
        sa.Column("at", sa.Integer, nullable=False),
        sa.Column("findings", sa.Text, nullable=False),
        sa.Column("tokens", sa.Text, nullable=False),
        sa.Column("rechecked_at", sa.Integer),
        sqlite_with_rowid=False,
    )
