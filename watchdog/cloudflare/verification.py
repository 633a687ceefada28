"""What Cloudflare says of an API token that it is asked to verify: JSON → model. Part of the wire, as ``wire`` is."""

from datetime import UTC, datetime

import msgspec

from watchdog.cloudflare import envelope
from watchdog.model.text import clean

ACTIVE = "active"
_UNKNOWN = "unknown"


class TokenSeen(msgspec.Struct, frozen=True, kw_only=True):
    """``status`` is ``active``, ``disabled`` or ``expired``; ``expires_at`` is ``None`` where it has no end."""

    status: str
    expires_at: datetime | None = None

    @property
    def refused(self) -> bool | None:
        """Whether Cloudflare will not take it; ``None`` for a status that nobody here knows."""
        return {ACTIVE: False, "disabled": True, "expired": True}.get(self.status)


def token_seen(body: bytes) -> TokenSeen:
    """As ``GET /user/tokens/verify`` says. Raises ``msgspec.MsgspecError`` where the body is no JSON object."""
    result = envelope.read(body).get("result")
    if not isinstance(result, dict):
        return TokenSeen(status=_UNKNOWN)
    return TokenSeen(status=clean(result.get("status", _UNKNOWN), 40), expires_at=_moment(result.get("expires_on")))


def _moment(value: object) -> datetime | None:
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
        return None if at is None else at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
