"""The highest number ever given to a message, where every kind of database can keep it."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add ``meta.last_message``, from what SQLite itself has counted so far."""
    op.add_column("meta", sa.Column("last_message", sa.Integer, nullable=False, server_default="0"))
    op.execute("UPDATE meta SET last_message = coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'outbox'), 0)")
