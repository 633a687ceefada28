"""One restart: re-read, intend, send once, settle.

Between the look that found the pack timed out and this moment the world may have moved, so the pack is read again and
left alone unless it still is timed out. Then the intent is stored: from there on the attempt counts, whatever dies.
The PATCH is sent once. When its answer does not tell what happened, the pack is read, never patched again.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from watchdog.cloudflare.client import Client, Reservation
from watchdog.cloudflare.errors import (
    CloudflareError,
    CredentialRefused,
    NetworkFault,
    NotFound,
    RateLimited,
    Unsettled,
)
from watchdog.model.history import History, Intent, NotIntended, Sent
from watchdog.model.outcomes import RestartOutcome
from watchdog.model.packs import ADVANCED, GOING_AWAY, VALIDATION_TIMED_OUT, Pack
from watchdog.model.reasons import Reason


class Ledger(Protocol):
    """Where intents are kept; ``record`` is one."""

    async def intend(self, intent: Intent, before: History, after: History) -> int:
        """Store the intent durably and make ``after`` the pack's history. Raises ``NotIntended``."""

    def settle(self, intent_id: int, outcome: Sent, error: str, at: datetime) -> None:
        """Note what became of it."""

    async def withdraw(self, intent_id: int, intent: Intent, before: History) -> None:
        """Nothing was sent after all: forget the intent and put the history back."""


async def restart(
    pack: Pack,
    client: Client,
    ledger: Ledger,
    prepare: Callable[[], tuple[Intent, History, History]],
    now: Callable[[], datetime],
    sending: Callable[[Intent], None],
) -> RestartOutcome:
    """Restart the validation of ``pack``.

    ``prepare`` gives the intent with the histories before and after it; it is called after the re-read, so that its
    times are those of the PATCH. ``sending`` is told once the intent is stored. Raises nothing Cloudflare causes.
    """
    if refusal := client.credential.only_reads(pack.zone_id):
        return RestartOutcome(pack, Reason.CREDENTIAL_REFUSED, error=refusal)
    # The reservation for both, before either: between the read and the PATCH nothing is waited for but the disk.
    async with client.reserve(2) as reservation:
        try:
            fresh = await client.get_pack(pack.zone_id, pack.id, reservation)
        except CloudflareError as error:
            return RestartOutcome(pack, _unread(error), error=str(error))
        if fresh.status != VALIDATION_TIMED_OUT or fresh.type != ADVANCED:
            return RestartOutcome(fresh, Reason.MOVED_ON)
        try:
            intent, before, after = prepare()
            intent_id = await ledger.intend(intent, before, after)
        except NotIntended as held:
            return RestartOutcome(fresh, held.reason, error=str(held))
        sending(intent)
        return await _send(fresh, intent, intent_id, before, client, ledger, now, reservation)


async def _send(
    pack: Pack,
    intent: Intent,
    intent_id: int,
    before: History,
    client: Client,
    ledger: Ledger,
    now: Callable[[], datetime],
    reservation: Reservation,
) -> RestartOutcome:
    def outcome(found: Pack, sent: Sent | None, reason: Reason, error: str = "") -> RestartOutcome:
        return RestartOutcome(found, reason, sent, error, intent.attempt, intent.next_restart_at)

    try:
        answer = await client.restart_validation(pack.zone_id, pack.id, reservation)
        result = outcome(_completed(answer, pack), Sent.ACCEPTED, Reason.RESTARTED)
    except (RateLimited, CredentialRefused) as error:
        # Cloudflare said no before it looked at the pack: no tokens were spent, so no attempt is.
        await ledger.withdraw(intent_id, intent, before)
        reason = Reason.CREDENTIAL_REFUSED if isinstance(error, CredentialRefused) else Reason.REFUSED
        return RestartOutcome(pack, reason, Sent.REFUSED if error.code else None, str(error))
    except Unsettled as error:
        if isinstance(error, NetworkFault) and not error.sent:
            await ledger.withdraw(intent_id, intent, before)
            return RestartOutcome(pack, Reason.REFUSED, None, str(error))
        found, moved = await _what_happened(pack, client)
        if moved:
            result = outcome(found, Sent.ACCEPTED, Reason.RESTARTED, f"settled by reading the pack: {error}")
        else:
            result = outcome(found, Sent.UNKNOWN, Reason.OUTCOME_UNKNOWN, str(error))
    except CloudflareError as error:
        result = outcome(pack, Sent.REFUSED, Reason.REFUSED, str(error))
    if result.sent is not None:
        ledger.settle(intent_id, result.sent, result.error, now())
    return result


async def _what_happened(pack: Pack, client: Client) -> tuple[Pack, bool]:
    """The pack as it is now, and whether it shows that the restart took effect.

    One that goes away, or comes without a status, shows nothing.
    """
    try:
        found = await client.get_pack(pack.zone_id, pack.id)
    except CloudflareError:
        return pack, False
    return _completed(found, pack), found.status not in {"", VALIDATION_TIMED_OUT, *GOING_AWAY}


def _completed(answer: Pack, pack: Pack) -> Pack:
    """The pack as the PATCH's answer shows it; what the answer leaves out is as it was."""
    return replace(
        answer,
        type=answer.type or pack.type,
        status=answer.status or pack.status,
        hosts=answer.hosts or pack.hosts,
        certificate_authority=answer.certificate_authority or pack.certificate_authority,
        expires_at=answer.expires_at or pack.expires_at,
        uploaded_at=answer.uploaded_at if answer.expires_at else pack.uploaded_at,
        validity_days=answer.validity_days or pack.validity_days,
    )


def _unread(error: CloudflareError) -> Reason:
    if isinstance(error, NotFound):
        return Reason.NOT_FOUND
    return Reason.CREDENTIAL_REFUSED if isinstance(error, CredentialRefused) else Reason.UNSEEN
