"""All that is known of each reason, in one table.

``REASONS`` says of each what it means for whoever acts on it, so that nobody else keeps a list of reasons: whoever
needs a new answer about reasons adds a column.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from watchdog.model.reasons import Reason, Severity


class Meaning(msgspec.Struct, frozen=True, kw_only=True):
    """What one reason means, for the program and for people. All texts are sentences or parts of one.

    ``decided`` is the kind of decision about a pack that has this reason (a value of ``decisions.Do``); empty where
    none is stored under it. ``needs_a_person``: nothing the watchdog may do will mend it. ``final``: no restart follows
    by itself while it lasts. ``unreachable``: it may be Cloudflare or the credential that is missing rather than the
    zone. ``next_step`` is what the watchdog does next.

    ``severities`` are those its alert can have, the mildest first; empty where there is no alert. ``pack`` and ``zone``
    are what that alert says of a pack that was decided so, and of a zone that is not seen for this very reason (empty
    where it says something else, or nothing); ``pack_remedy`` and ``zone_remedy`` what a person does then. The texts
    about packs are templates of ``trouble``; those about the end of a certificate, which depend on its type and on the
    time that is left, stand in ``ending``. ``ended`` is how the end of the alert is told.

    ``validation_remedy`` is what a person does about a validation that failed for this reason.
    """

    decided: Literal["restart", "wait", "give_up", "leave", ""] = ""
    needs_a_person: bool = False
    final: bool = False
    unreachable: bool = False
    next_step: str = "It is looked at again soon."
    severities: tuple[Severity, ...] = ()
    pack: str = ""
    pack_remedy: str = ""
    zone: str = ""
    zone_remedy: str = ""
    validation_remedy: str = ""
    ended: str = "recovered"


_INFO, _WARNING, _CRITICAL = ((severity,) for severity in Severity)
_NEW_TOKEN = "put another token into its file, or give it the permission that is named above, if one is"  # noqa: S105  no secret
_CHECK = "`certpack-watchdog check-config --online` says"

ORDERED_AGAIN = (
    "Cloudflare takes no second order for exactly the same hosts: add one, or delete this pack first if nobody is"
    " served its certificate."
)
"""An advanced pack of the same hosts is in the way of another, whatever its authority [alchemy's live tests, 2026]."""

REASONS: Mapping[str, Meaning] = {
    # ── a restart is due, or was made ────────────────────────────────────────────────────────────────────────────
    Reason.VALIDATION_TIMED_OUT: Meaning(decided="restart", next_step="It is restarted at the next look."),
    Reason.RESTARTED: Meaning(
        next_step="It was restarted; Cloudflare is at work on it, and it is looked at often until it is active."
    ),
    Reason.DRY_RUN: Meaning(next_step="It would be restarted now, but this is a dry run."),
    # ── a restart is held ────────────────────────────────────────────────────────────────────────────────────────
    Reason.BACKING_OFF: Meaning(decided="wait"),
    Reason.OVER_BUDGET: Meaning(decided="wait"),
    Reason.DISABLED: Meaning(
        decided="leave", next_step="Nothing: restarts are disabled for this zone by the configuration."
    ),
    Reason.MOVED_ON: Meaning(),
    Reason.STATE_UNWRITABLE: Meaning(
        next_step="It is restarted once the state can be written again.",
        severities=_CRITICAL,
        ended="the state can be written again",
    ),
    Reason.ACCOUNT_UNHELD: Meaning(
        next_step="It is restarted by the replica that holds its account.",
        severities=_CRITICAL,
        ended="a replica works the account again",
    ),
    Reason.STATE_LOST: Meaning(decided="wait", severities=_WARNING),
    Reason.HELD_BY_DIAGNOSIS: Meaning(
        decided="leave",
        needs_a_person=True,
        next_step="It is restarted at the first look that finds the obstacle gone.",
        severities=_WARNING,
        pack="not restarted, since that is certain to fail: {obstacle}",
        pack_remedy="{mend}",
    ),
    # ── a restart was sent, and did not go through ───────────────────────────────────────────────────────────────
    Reason.REFUSED: Meaning(),
    Reason.OUTCOME_UNKNOWN: Meaning(),
    # ── a person is needed ───────────────────────────────────────────────────────────────────────────────────────
    Reason.GAVE_UP: Meaning(
        decided="give_up",
        needs_a_person=True,
        final=True,
        next_step="Nothing until its status changes, or a person runs `certpack-watchdog restart`.",
        severities=_CRITICAL,
        pack="gave up after {restarts}",
        pack_remedy="find out why its validation fails, mend that, then run"
        " `certpack-watchdog restart {zone} {pack} --force`.",
    ),
    Reason.OTHER_STAGE_TIMED_OUT: Meaning(
        decided="leave",
        needs_a_person=True,
        next_step="Nothing: only validation can be restarted. A person must look at it, or order anew.",
        severities=_WARNING,
        pack="{status}, which no restart can mend",
        pack_remedy="delete the pack and order it anew, or ask Cloudflare's support.",
    ),
    Reason.NOT_RESTARTABLE: Meaning(
        decided="leave",
        needs_a_person=True,
        next_step="No restart: Cloudflare restarts advanced packs only. Of a universal pack it is asked to check again"
        " every 8 hours (`restart.recheck`).",
        severities=_WARNING,
        pack="timed out, and packs of type {type} cannot be restarted",
        pack_remedy="mend what `explain` finds. Then turn the proxy of its records off and on, if it is a universal"
        " pack; it is rechecked every 8 hours. Turning Universal SSL off and on is last: there is no TLS meanwhile.",
    ),
    Reason.ORDERED_BY_CLOUDFLARE: Meaning(
        decided="leave",
        needs_a_person=True,
        final=True,
        next_step="Nothing: Cloudflare refuses its restart, since the zone has no Advanced Certificate Manager.",
        severities=_WARNING,
        pack="timed out, and without Advanced Certificate Manager Cloudflare lets nobody restart it (code 1450)",
        pack_remedy="remove what it was ordered for, such as a Worker's custom domain, and add it again: Cloudflare"
        " then orders a new one. Or enable Advanced Certificate Manager, then run"
        " `certpack-watchdog restart {zone} {pack} --force`.",
    ),
    Reason.EXPIRING: Meaning(
        decided="leave",
        next_step="Nothing: Cloudflare lets it run out. Order another if it is still wanted.",
        severities=(Severity.WARNING, Severity.CRITICAL),  # critical once a restart comes too late for the renewal
        ended="renewed",
    ),
    Reason.EXPIRED: Meaning(
        decided="leave",
        needs_a_person=True,
        next_step="Nothing: it has run out. Order another if it is still wanted.",
        severities=_CRITICAL,
        ended="renewed",
    ),
    Reason.RECORDS_NEEDED: Meaning(
        severities=_WARNING,
        pack_remedy="place its new records, which `explain` shows. Older ones count no more.",
    ),
    Reason.PENDING_TOO_LONG: Meaning(
        severities=_WARNING,
        pack_remedy="see whether records are to be placed, and whether its hosts still use Cloudflare.",
    ),
    # ── why the last validation failed ───────────────────────────────────────────────────────────────────────────
    Reason.CA_RATE_LIMITED: Meaning(
        decided="wait",
        needs_a_person=True,
        next_step="It waits for a limit of its certificate authority, which does not end in time: order it from another"
        " authority now.",
        severities=_WARNING,
        pack="waits for a limit of {authority} that does not end in time",
        pack_remedy="order its hosts from another certificate authority now: the limits of the first do not hold there."
        f" {ORDERED_AGAIN}",
        validation_remedy="Wait until the limit lets one more through, or order the pack from another certificate"
        " authority: that helps at once.",
    ),
    Reason.CA_REFUSES: Meaning(
        decided="leave",
        needs_a_person=True,
        final=True,
        next_step="Nothing: the certificate authority will refuse again. Order it from another one.",
        severities=_WARNING,
        pack="{authority} will not issue for these names",
        pack_remedy=f"order its hosts from another certificate authority. {ORDERED_AGAIN}",
        validation_remedy="Order the pack from another certificate authority.",
    ),
    Reason.CA_INTERNAL: Meaning(
        validation_remedy="Nothing: it is tried again soon. Another certificate authority helps if it lasts."
    ),
    Reason.CAA_FORBIDS: Meaning(
        validation_remedy="Allow the certificate authority in the CAA records that count for the host. They are its"
        " own, those at the end of its CNAME, or those of its nearest parent that has any."
    ),
    Reason.CAA_UNREACHABLE: Meaning(
        validation_remedy="Make the domain's name servers answer from everywhere, CAA questions too: no firewall and no"
        " filter by country."
    ),
    Reason.DNSSEC_BOGUS: Meaning(
        validation_remedy="Mend the domain's DNSSEC: its signatures, or the DS record at its registrar."
    ),
    Reason.DNS_FAILURE: Meaning(
        validation_remedy="Mend the domain's DNS: the certificate authority got no usable answer."
    ),
    Reason.OTHER: Meaning(validation_remedy="Read Cloudflare's message."),
    # ── nothing to do ────────────────────────────────────────────────────────────────────────────────────────────
    Reason.HEALTHY: Meaning(decided="leave", next_step="Nothing to do, because it is healthy."),
    Reason.IN_PROGRESS: Meaning(
        decided="leave",
        next_step="Nothing to do, because Cloudflare is at work on it; it is looked at often until that ends.",
    ),
    Reason.SILENCED: Meaning(),
    Reason.GOING_AWAY: Meaning(decided="leave", next_step="Nothing to do, because it is deleted or on the way there."),
    Reason.UNKNOWN_STATUS: Meaning(
        decided="leave",
        next_step="Nothing: nobody here knows this status, and what is not understood is not touched.",
        severities=_INFO,
        pack="has the status {status}, which this version does not know",
        pack_remedy="look at it in Cloudflare's dashboard. A newer version of this program may know the status.",
    ),
    # ── not seen ─────────────────────────────────────────────────────────────────────────────────────────────────
    Reason.NOT_FOUND: Meaning(
        needs_a_person=True,
        next_step="Nothing: Cloudflare has no such pack. Take it out of the configuration.",
        severities=_WARNING,
        pack="Cloudflare has no such pack",
        pack_remedy="correct its id or its hosts in the configuration, or take it out there.",
        zone="Cloudflare has no such zone",
        zone_remedy="correct its name or id in the configuration, give the token access to it, or take it out.",
        ended="found again",
    ),
    Reason.AMBIGUOUS_ZONE: Meaning(
        needs_a_person=True,
        severities=_WARNING,
        zone="Cloudflare has several zones of this name, and nothing says which one is meant",
        zone_remedy="write the `id` of the zone that is meant beside its name in the configuration.",
        ended="one zone is meant",
    ),
    Reason.UNSEEN: Meaning(
        unreachable=True,
        severities=_WARNING,
        zone_remedy=f"{_CHECK} whether it is this zone or all, and what is wrong.",
        ended="seen again",
    ),
    Reason.CREDENTIAL_REFUSED: Meaning(
        needs_a_person=True,
        unreachable=True,
        next_step="It is restarted once Cloudflare takes the credential, which is tried every 15 minutes.",
        severities=_CRITICAL,
        pack="Cloudflare does not let this credential restart it",
        pack_remedy=f"{_NEW_TOKEN}.",
        zone="Cloudflare refuses the credential",
        zone_remedy=f"{_NEW_TOKEN}; {_CHECK} whether that helped.",
        ended="accepted again",
    ),
    # ── the watchdog itself ──────────────────────────────────────────────────────────────────────────────────────
    Reason.CONFIG_REFUSED: Meaning(severities=_WARNING, ended="a configuration was taken"),
    Reason.CLOUDFLARE_FAILING: Meaning(severities=_WARNING, ended="zones are seen again"),
    Reason.PASS_OVERDUE: Meaning(severities=_CRITICAL, ended="passes are completed again"),
}
"""Everything that is known of each reason; ``docs/runbooks/`` has a page for each that has ``severities``."""

ALERTS: Mapping[Reason, tuple[Severity, ...]] = {
    reason: REASONS[reason].severities for reason in Reason if REASONS[reason].severities
}
"""Every reason there can be an alert for, with the severities it can have: those of ``REASONS``."""


_NO_ZONE_REMEDY = "give its credential access to the zones that are meant, or mend `discover` in the configuration."
_UNLISTED_REMEDY = (
    f"{_CHECK} whether that lasts; if so, see whether the network, the proxy and `api.base_url` lead to Cloudflare."
)


def listing_remedy(reason: str) -> str:
    """What a person does about an account whose zones could not be listed, or (``not_found``) that has none."""
    of_its_own = {Reason.NOT_FOUND: _NO_ZONE_REMEDY, Reason.UNSEEN: _UNLISTED_REMEDY}
    return of_its_own.get(Reason(reason)) or meaning(reason).zone_remedy


def meaning(word: str) -> Meaning:
    """What a reason means that comes from the state; one that only another version knows means nothing."""
    return REASONS.get(word, Meaning())
