"""By how much the clock of a shared database was set, and by which clock an account's times are."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


_MICROS = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add ``meta.clock_set`` and ``leases.clock_set``, in microseconds, and ``meta.clock_era``."""
    for table in ("meta", "leases"):
        op.add_column(table, sa.Column("clock_set", _MICROS, nullable=False, server_default="0"))
    op.add_column("meta", sa.Column("clock_era", _MICROS, nullable=False, server_default="0"))
