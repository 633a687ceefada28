"""How many early messages a group of alerts may still send for criticals that are new."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add ``alert_groups.early_until``: none was sent yet."""
    op.add_column("alert_groups", sa.Column("early_until", sa.Integer))
