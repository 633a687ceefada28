"""When a pack's certificate was uploaded, so that its life is known from its own dates not from what was ordered."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add ``packs.uploaded_at``: not known of the packs that are there, until each is seen again."""
    op.add_column("packs", sa.Column("uploaded_at", sa.Integer))
