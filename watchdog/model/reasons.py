"""Why: the closed vocabulary of reasons, and how pressing an alert is.

The same word is log field, metric label, JSON value and docs anchor. A reason that is not listed here does not exist.
What each means is a row of ``meanings``; ``docs/reasons.md`` explains each, and a test keeps the two in step.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why a pack was treated as it was, or why a zone could not be seen."""

    # A restart is due, was made, or would have been.
    VALIDATION_TIMED_OUT = "validation_timed_out"
    RESTARTED = "restarted"
    DRY_RUN = "dry_run"
    # A restart is held.
    BACKING_OFF = "backing_off"
    OVER_BUDGET = "over_budget"
    DISABLED = "disabled"
    MOVED_ON = "moved_on"  # the re-read right before the PATCH found another status, or no pack
    STATE_UNWRITABLE = "state_unwritable"  # no intent on disk, so no PATCH
    ACCOUNT_UNHELD = "account_unheld"  # of several replicas none works the account, or this one does no more
    STATE_LOST = "state_lost"  # what was restarted lately is not known any more
    HELD_BY_DIAGNOSIS = "held_by_diagnosis"  # a certain obstacle that no restart passes
    # A restart was sent and not accepted.
    REFUSED = "refused"
    OUTCOME_UNKNOWN = "outcome_unknown"
    # A person is needed.
    GAVE_UP = "gave_up"
    OTHER_STAGE_TIMED_OUT = "other_stage_timed_out"
    NOT_RESTARTABLE = "not_restartable"  # timed out, but not an advanced pack
    ORDERED_BY_CLOUDFLARE = "ordered_by_cloudflare"  # advanced, in a zone without the right to restart it: code 1450
    EXPIRING = "expiring"
    EXPIRED = "expired"
    RECORDS_NEEDED = "records_needed"  # a restart made new tokens, and a person places them
    PENDING_TOO_LONG = "pending_too_long"
    # Why a validation failed, in Cloudflare's words (``diagnose.validation_errors``).
    CA_RATE_LIMITED = "ca_rate_limited"
    CA_REFUSES = "ca_refuses"
    CA_INTERNAL = "ca_internal"
    CAA_FORBIDS = "caa_forbids"
    CAA_UNREACHABLE = "caa_unreachable"
    DNSSEC_BOGUS = "dnssec_bogus"
    DNS_FAILURE = "dns_failure"
    OTHER = "other"
    # Nothing to do.
    HEALTHY = "healthy"
    IN_PROGRESS = "in_progress"
    SILENCED = "silenced"  # nobody is told, since somebody said so
    GOING_AWAY = "going_away"
    UNKNOWN_STATUS = "unknown_status"
    # Not seen.
    NOT_FOUND = "not_found"
    AMBIGUOUS_ZONE = "ambiguous_zone"  # several zones have the name, and nothing says which is meant
    UNSEEN = "unseen"
    CREDENTIAL_REFUSED = "credential_refused"
    # The watchdog itself.
    CONFIG_REFUSED = "config_refused"
    CLOUDFLARE_FAILING = "cloudflare_failing"  # no zone at all could be seen, for long
    PASS_OVERDUE = "pass_overdue"  # noqa: S105  a name, no secret


class Severity(StrEnum):
    """How pressing an alert is: nobody has to look now, somebody has to today, somebody has to now."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0, 1, 2."""
        return _RANKS[self]


_RANKS = {severity: rank for rank, severity in enumerate(Severity)}

VALIDATION_REASONS = (
    Reason.CA_REFUSES,
    Reason.CA_RATE_LIMITED,
    Reason.CAA_FORBIDS,
    Reason.CAA_UNREACHABLE,
    Reason.DNSSEC_BOGUS,
    Reason.DNS_FAILURE,
    Reason.CA_INTERNAL,
    Reason.OTHER,
)
"""Why a validation failed, the one that decides first: the CA's refusal outlasts any DNS fault, and so on down."""
