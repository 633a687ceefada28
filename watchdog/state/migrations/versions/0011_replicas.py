"""Who works which account, where several replicas share a state; and whose each alert and each message is."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

_LOG = sa.table("alert_log", sa.column("fingerprint", sa.Text), sa.column("entry", sa.Text), sa.column("account"))
_GROUPS = sa.table("alert_groups", sa.column("name", sa.Text), sa.column("account"))
_OUTBOX = sa.table("outbox", sa.column("id", sa.Integer), sa.column("message", sa.Text), sa.column("account"))


def upgrade() -> None:
    """Add ``leases``, ``replicas``, ``meta.outside_writes``, and ``account`` where alerts are kept."""
    op.create_table(
        "leases",
        sa.Column("account", sa.Text, primary_key=True, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("instance", sa.Text, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("expires", sa.Integer, nullable=False),
        sa.Column("since", sa.Integer, nullable=False),
        sa.Column("seen_at", sa.Integer),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("config", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "replicas",
        sa.Column("instance", sa.Text, primary_key=True, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("expires", sa.Integer, nullable=False),
        sa.Column("since", sa.Integer, nullable=False),
        sa.Column("accounts", sa.Text, nullable=False),
        sa.Column("troubles", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("config", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.add_column("meta", sa.Column("outside_writes", sa.Integer, nullable=False, server_default="0"))
    for table in ("alert_log", "alert_groups", "outbox"):
        op.add_column(table, sa.Column("account", sa.Text, nullable=False, server_default=""))
    connection = op.get_bind()
    for fingerprint, text in connection.execute(sa.select(_LOG.c.fingerprint, _LOG.c.entry)).all():
        account = _account(text, "alert")
        connection.execute(sa.update(_LOG).where(_LOG.c.fingerprint == fingerprint).values(account=account))
    for (name,) in connection.execute(sa.select(_GROUPS.c.name)).all():
        account = name.partition(" ")[2]
        connection.execute(sa.update(_GROUPS).where(_GROUPS.c.name == name).values(account=account))
    for number, text in connection.execute(sa.select(_OUTBOX.c.id, _OUTBOX.c.message)).all():
        account = _account(text, "notices", 0, "alert")
        connection.execute(sa.update(_OUTBOX).where(_OUTBOX.c.id == number).values(account=account))


def _account(text: str, *way: str | int) -> str:
    """The account of the alert that lies there; none where it cannot be read, as it is left out then anyway."""
    try:
        found = json.loads(text)
        for step in way:
            found = found[step]
        return str(found.get("account", ""))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return ""
