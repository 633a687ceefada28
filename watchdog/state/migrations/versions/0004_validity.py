"""How long a pack's certificates are valid, so that a start need not see a zone to know when its renewal is late."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add ``packs.validity_days``: not known of the packs that are there, until each is seen again."""
    op.add_column("packs", sa.Column("validity_days", sa.Integer, nullable=False, server_default="0"))
