"""An alert's place in the log says its phase, which was to be told from five times and flags before."""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_LOG = sa.table("alert_log", sa.column("fingerprint", sa.Text), sa.column("entry", sa.Text))


def upgrade() -> None:
    """Write every entry of ``alert_log`` anew. What cannot be read is left: it was left out before, too."""
    connection = op.get_bind()
    for fingerprint, text in connection.execute(sa.select(_LOG.c.fingerprint, _LOG.c.entry)).all():
        try:
            entry = json.dumps(_renamed(json.loads(text)), ensure_ascii=False)
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        connection.execute(sa.update(_LOG).where(_LOG.c.fingerprint == fingerprint).values(entry=entry))


def _renamed(old: dict[str, Any]) -> dict[str, Any]:
    phase = _phase(old)
    holds = phase in {"pending", "firing"}
    return {
        "alert": old["alert"],
        "phase": phase,
        "first_at": old["first_at"],
        "notified_at": old["said_at"],
        "notified": old["said"],
        "ceased_at": None if holds else old["missing_since"] or old["over_at"] or old["first_at"],
        "ended_at": old["over_at"],
        "flaps": old["flaps"],
    }


def _phase(old: dict[str, Any]) -> str:
    if old["over_at"] is not None:
        return str(old["owed"] or "closed")  # "over" and "gone" have kept their names
    if old["waiting"]:
        return "waiting"
    if old["missing_since"] is not None:
        return "paused"
    return "pending" if old["said_at"] is None else "firing"  # one that was never told of fires at the next look
