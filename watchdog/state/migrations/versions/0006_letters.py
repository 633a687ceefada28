"""The highest number ever given to a letter, where every kind of database can keep it."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add ``meta.last_letter``, from what SQLite itself has counted so far."""
    op.add_column("meta", sa.Column("last_letter", sa.Integer, nullable=False, server_default="0"))
    op.execute("UPDATE meta SET last_letter = coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'outbox'), 0)")
