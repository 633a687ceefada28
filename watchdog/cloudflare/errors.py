"""Every way a call can fail, as one tree; and the calls there are.

The tree::

    CloudflareError          says: which operation, which error-code label, one cleaned line for a person, a reason
    ├── CredentialRefused    certainly the credential: stop calling with it    (6003 about a header, 9103, 9106, 9109's
    │                                                                           "invalid", 1000 "invalid token")
    ├── AccessDenied         the credential, this zone, a permission, or a stumble: ask again (10000, 401, other 9109)
    │   └── PermissionMissing    certainly a permission                        (10001 "not allowed")
    ├── NotFound             a zone or pack id Cloudflare does not know        (7003, 7000, 1408, HTTP 404)
    ├── Ambiguous            several zones have the name that was looked up    (found by the client)
    ├── Refused              this request, for this zone or pack only          (other 4xx)
    │   ├── NotEnabled       the zone has no Advanced Certificate Manager      (1450)
    │   └── TurnedAway       the edge refused before the API saw the request   (problem details, a page, a bare 403)
    ├── RateLimited          nobody's fault: wait                              (429; 971, 10100, 10500; a sentence)
    │   └── Blocked          not sent: the wait is longer than anybody here waits
    ├── Unheld               not sent: another replica works this account, or may do so by now
    ├── NotFresh             not sent: what was read before it is too old
    ├── Held                 not sent: the same call was refused a while ago   (``holds``)
    └── Unsettled            the answer does not tell what happened: retry a GET, never blindly a PATCH
        ├── CloudflareFault  5xx, 520-530, 408, 1406, HTML, JSON that is cut or of another shape
        │   └── PassingFault nothing was done, says Cloudflare                 (1000, 10001 "internal", "timeout")
        └── NetworkFault     time-out, connection refused or reset, TLS

Who catches one decides by its class alone. Which answer is which error is ``translate``'s.
"""

from datetime import datetime
from enum import StrEnum

from watchdog.model.clock import rfc3339
from watchdog.model.reasons import Reason


class Operation(StrEnum):
    """The calls that are made; the ``operation`` label of the metrics."""

    LIST_PACKS = "list_packs"
    GET_PACK = "get_pack"
    RESTART_VALIDATION = "restart_validation"
    FIND_ZONE = "find_zone"
    LIST_ZONES = "list_zones"
    RECHECK_VALIDATION = "recheck_validation"
    ZONE_FACTS = "zone_facts"
    DELEGATION_ID = "delegation_id"
    VERIFY_TOKEN = "verify_token"  # noqa: S105  a name of an operation, not a secret


OPTIONAL = frozenset({Operation.ZONE_FACTS, Operation.DELEGATION_ID})
"""Calls that only help a diagnosis: a permission that is missing for them says nothing against the credential."""

EDGE_CODES = ("1006", "1009", "1010", "1012", "1015", "1020")
"""The edge's own numbers that are seen most, of ``https://developers.cloudflare.com/support/troubleshooting/``."""

KNOWN_CODES = (
    *("1000", "10000", "10001", "9103", "9106", "9109", "6003", "6111", "6103", "7003", "7000", "1408", "1406", "1450"),
    *("971", "10100", "10500"),
    *("http_400", "http_401", "http_403", "http_404", "http_429"),
    *("http_500", "http_502", "http_503", "http_504", "http_520", "http_521", "http_522", "http_523", "http_524"),
    *("http_525", "http_526", "http_527", "http_530"),
    *(f"edge_{number}" for number in EDGE_CODES),
    *("timeout", "connect", "disconnect", "tls", "not_json", "malformed", "too_large"),
)
"""Values of the ``error_code`` label that are always counted one by one."""


class CloudflareError(Exception):
    """A call that failed. ``code`` is the ``error_code`` label; ``str()`` is one cleaned line.

    ``reason`` is what is said of the zone or pack that was asked for. ``retry_after`` are the seconds that it asks
    to wait, if it does: in its body, or a fault in its header. ``sent`` is False when the request certainly never left.
    """

    reason = Reason.UNSEEN

    def __init__(
        self, operation: Operation, code: str, text: str, *, retry_after: float | None = None, sent: bool = True
    ) -> None:
        super().__init__(text)
        self.operation = operation
        self.code = code
        self.retry_after = retry_after
        self.sent = sent


class Why(StrEnum):
    """What is wrong with a credential that is certainly refused."""

    INVALID = "invalid"
    MALFORMED = "malformed"
    ADDRESS = "address"
    LOCKED_OUT = "locked_out"


class CredentialRefused(CloudflareError):
    """The credential itself is not taken: by Cloudflare's words, or found out by asking again and elsewhere."""

    reason = Reason.CREDENTIAL_REFUSED

    def __init__(
        self, operation: Operation, code: str, text: str, *, why: Why = Why.INVALID, sent: bool = True
    ) -> None:
        super().__init__(operation, code, text, sent=sent)
        self.why = why


class AccessDenied(CloudflareError):
    """A refusal that may mean the credential, this zone alone, a missing permission, or nothing that lasts.

    ``reason`` is ``unseen`` until it was met again and again; then the client sets what that means. ``lasts`` where
    asking again within seconds brings nothing else.
    """

    lasts = False


class PermissionMissing(AccessDenied):
    """The credential may not do this: Cloudflare's words leave no doubt."""

    reason = Reason.CREDENTIAL_REFUSED
    lasts = True


class NotFound(CloudflareError):
    """Cloudflare does not know the zone or the pack."""

    reason = Reason.NOT_FOUND


class Ambiguous(CloudflareError):
    """Several zones that could be meant have the name that was looked up."""

    reason = Reason.AMBIGUOUS_ZONE


class Refused(CloudflareError):
    """Cloudflare understood and said no, for this zone or pack."""


class NotEnabled(Refused):
    """The zone has no Advanced Certificate Manager. Its advanced packs are Cloudflare's own orders, if it has any."""

    reason = Reason.ORDERED_BY_CLOUDFLARE


class TurnedAway(Refused):
    """Cloudflare's edge refused before the API saw the request: nothing was done."""


class RateLimited(CloudflareError):
    """Wait; nothing was done. ``everything`` of this credential waits, else only this operation of this zone."""

    everything = True


class Blocked(RateLimited):
    """Not sent: Cloudflare has told this credential to wait, for longer than anybody here waits."""

    def __init__(self, operation: Operation, until: datetime) -> None:
        said = f"{operation}: not sent: Cloudflare has told this credential to wait until {rfc3339(until)}"
        super().__init__(operation, "", said, sent=False)


class Held(CloudflareError):
    """Not sent: the same call of the same zone was refused a while ago, and its time has not come."""

    def __init__(self, refused: CloudflareError) -> None:
        super().__init__(refused.operation, refused.code, str(refused), sent=False)
        self.reason = refused.reason


class Unheld(CloudflareError):
    """Not sent: the lease of this account is over here."""

    reason = Reason.ACCOUNT_UNHELD

    def __init__(self, operation: Operation, account: str) -> None:
        said = f"{operation}: not sent: account {account} is, or may be, another replica's by now"
        super().__init__(operation, "unheld", said, sent=False)


class NotFresh(CloudflareError):
    """Not sent: what was read before it is too old, as this process was stopped, or the state slow, in between."""

    def __init__(self, operation: Operation, seconds: float) -> None:
        said = f"{operation}: not sent: the pack was read {seconds:.0f} s ago, and may have changed since"
        super().__init__(operation, "not_fresh", said, sent=False)


class Unsettled(CloudflareError):
    """Nobody can tell from the answer whether the request took effect."""


class CloudflareFault(Unsettled):
    """Cloudflare's side hiccuped."""


class PassingFault(CloudflareFault):
    """Cloudflare stumbled before it did anything, by its own words: no attempt is spent unless the pack has moved."""


class NetworkFault(Unsettled):
    """The way there failed."""
