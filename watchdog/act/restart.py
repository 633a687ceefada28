"""The steps of one restart at Cloudflare: reread, send once, settle by reading. ``restarting`` calls them so.

Between the look that found the pack timed out and this moment the world may have moved, so the pack is read again and
left alone unless it still is timed out. Then ``restarting`` stores the intent: from there on the attempt counts,
whatever dies. The PATCH is sent once. When its answer does not tell what happened, the pack is read, never patched
again.

Each step takes values and gives one; none raises anything that Cloudflare causes.
"""

from msgspec.structs import replace

from watchdog.cloudflare.client import Client
from watchdog.cloudflare.errors import (
    AccessDenied,
    CloudflareError,
    CredentialRefused,
    Held,
    NotEnabled,
    NotFound,
    NotFresh,
    PassingFault,
    RateLimited,
    TurnedAway,
    Unheld,
    Unsettled,
)
from watchdog.cloudflare.rate_limit import Reservation
from watchdog.model.history import Intent, Sent
from watchdog.model.outcomes import RestartOutcome
from watchdog.model.packs import GOING_AWAY, VALIDATION_TIMED_OUT, Pack
from watchdog.model.reasons import Reason

NOTHING_DONE = (AccessDenied, CredentialRefused, Held, NotFresh, RateLimited, TurnedAway, Unheld)
"""Cloudflare said no before it looked at the pack: no tokens were spent, so no attempt is. A pack that it does not find
is none of these: were that no attempt, a PATCH that is always answered so would be sent at every look, for ever."""


def refused(pack: Pack, client: Client) -> RestartOutcome | None:
    """What is to be said without asking: a restart in this zone was refused a short while ago."""
    held = client.restart_held(pack.zone_id)
    return RestartOutcome(pack=pack, reason=_not_spent(held), error=str(held)) if held is not None else None


async def reread(pack: Pack, client: Client, reservation: Reservation) -> Pack | RestartOutcome:
    """The pack as it is now, or why it could not be read, in which case nothing may be sent."""
    try:
        return await client.get_pack(pack.zone_id, pack.id, reservation)
    except NotFound as error:  # it was listed a moment ago: what has become of it the next look tells
        return RestartOutcome(pack=pack, reason=Reason.MOVED_ON, error=str(error))
    except CloudflareError as error:
        return RestartOutcome(pack=pack, reason=error.reason, error=str(error))


async def send(pack: Pack, intent: Intent, client: Client, reservation: Reservation) -> RestartOutcome:
    """Send the PATCH, once, for an intent that is stored.

    The outcome is ``UNKNOWN`` where the answer does not tell. It has no attempt where none was spent: the connection
    could not be made, or Cloudflare said no before it looked at the pack.
    """

    def outcome(found: Pack, sent: Sent, reason: Reason, error: str = "") -> RestartOutcome:
        return RestartOutcome(
            pack=found,
            reason=reason,
            sent=sent,
            error=error,
            attempt=intent.attempt,
            next_restart_at=intent.next_restart_at,
        )

    try:
        answer = await client.restart_validation(pack.zone_id, pack.id, reservation)
        return outcome(_completed(answer, pack), Sent.ACCEPTED, Reason.RESTARTED)
    except NOTHING_DONE as error:
        sent = Sent.REFUSED if error.sent else None
        return RestartOutcome(pack=pack, reason=_not_spent(error), sent=sent, error=str(error))
    except Unsettled as error:
        if not error.sent:
            return RestartOutcome(pack=pack, reason=Reason.REFUSED, error=str(error))
        unknown = outcome(pack, Sent.UNKNOWN, Reason.OUTCOME_UNKNOWN, str(error))
        return replace(unknown, said_undone=isinstance(error, PassingFault))
    except NotEnabled as error:  # no second one is ever sent
        return replace(outcome(pack, Sent.REFUSED, error.reason, str(error)), next_restart_at=None)
    except CloudflareError as error:
        return outcome(pack, Sent.REFUSED, Reason.REFUSED, str(error))


async def settle(outcome: RestartOutcome, client: Client) -> RestartOutcome:
    """The outcome, made sure by reading the pack where the answer did not tell: if it moved, it was restarted.

    A pack that goes away, or comes without a status, shows nothing. Where Cloudflare itself said that nothing was done,
    and the pack shows nothing else, no attempt was spent.
    """
    if outcome.sent is not Sent.UNKNOWN:
        return outcome
    try:
        found = await client.get_pack(outcome.pack.zone_id, outcome.pack.id)
    except CloudflareError:
        return outcome
    settled = replace(outcome, pack=_completed(found, outcome.pack))
    if found.status in {"", VALIDATION_TIMED_OUT, *GOING_AWAY}:
        if outcome.said_undone:
            return replace(settled, sent=Sent.REFUSED, reason=Reason.REFUSED, attempt=0, next_restart_at=None)
        return settled
    error = f"settled by reading the pack: {outcome.error}"
    return replace(settled, sent=Sent.ACCEPTED, reason=Reason.RESTARTED, error=error)


def _not_spent(error: CloudflareError) -> Reason:
    """Why no attempt was spent: a person must act, or it is tried again by itself."""
    return error.reason if error.reason is Reason.CREDENTIAL_REFUSED else Reason.REFUSED


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
