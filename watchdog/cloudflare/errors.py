"""Every way a call can fail, translated at the door into one tree.

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
    │   └── TurnedAway       the edge refused before the API saw the request   (problem details, HTTP 403 without words)
    ├── RateLimited          nobody's fault: wait                              (429; 971, 10100, 10500; a sentence)
    ├── Held                 not sent: the same call was refused a while ago   (``holds``)
    └── Unsettled            the answer does not tell what happened: retry a GET, never blindly a PATCH
        ├── CloudflareFault  5xx, 520-530, 408, 1406, HTML, JSON that is cut or of another shape
        │   └── PassingFault nothing was done, says Cloudflare                 (1000, 10001 "internal", "timeout")
        └── NetworkFault     time-out, connection refused or reset, TLS

The same number means different things on different endpoints, and the HTTP status is not reliable, so ``translate``
looks at operation, code and wording first and at the status last. Each row with its source and date stands in
``docs/cloudflare.md``.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from watchdog.model.reasons import Reason
from watchdog.model.text import clean


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
"""Values of the ``error_code`` label that exist at 0 from the start."""

_PERMISSION = {
    Operation.FIND_ZONE: "Zone / Zone / Read",
    Operation.LIST_ZONES: "Zone / Zone / Read",
    Operation.ZONE_FACTS: "Zone / Zone / Read",
    Operation.VERIFY_TOKEN: "",
}
_CERTIFICATES = "Zone / SSL and Certificates / Edit"

_RATE_CODES = frozenset({971, 10100, 10500})
_EDGE_RATE_LIMIT = 1015
_THROTTLED = re.compile(r"rate[- ]?limit|throttl|too many requests|slow(?:ing)? down", re.IGNORECASE)
_OF_AN_AUTHORITY = re.compile(r"certificate authorit|let'?s encrypt|google trust|\bacme\b|these domains", re.IGNORECASE)
_PASSING = re.compile(
    r"time[d]?[- ]?out|internal|unable to authenticate request|temporar|try again|retry|unavailable", re.IGNORECASE
)
_INVALID = re.compile(
    r"invalid (?:api |access |bearer )*(?:token|key|credential)|(?:token|key) (?:is |was |has )?(?:been )?"
    r"(?:invalid|expired|disabled|revoked|rolled)",
    re.IGNORECASE,
)
_LOCKED_OUT = re.compile(r"max\w* auth\w* failures|too many (?:failed )?(?:auth\w*|login)", re.IGNORECASE)
_FROM_ELSEWHERE = re.compile(
    r"from (?:this |that |your )?location|ip (?:address )?(?:is )?(?:not|restrict)", re.IGNORECASE
)
_NOT_ALLOWED = re.compile(r"not (?:be )?(?:allowed|permitted)|permission|unauthori[sz]ed", re.IGNORECASE)
_HEADER_CODES = frozenset({6100, 6101, 6102, 6103, 6111})
_ABOUT_A_HEADER = re.compile(r"x-auth-(?:key|email)|authorization", re.IGNORECASE)


class CloudflareError(Exception):
    """A call that failed. ``code`` is the ``error_code`` label; ``str()`` is one cleaned line.

    ``reason`` is what is said of the zone or pack that was asked for. ``retry_after`` are the seconds that the body
    asks to wait, if it does. ``sent`` is False when the request certainly never left.
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


class Held(CloudflareError):
    """Not sent: the same call of the same zone was refused a while ago, and its time has not come."""

    def __init__(self, refused: CloudflareError) -> None:
        super().__init__(refused.operation, refused.code, str(refused), sent=False)
        self.reason = refused.reason


class Unsettled(CloudflareError):
    """Nobody can tell from the answer whether the request took effect."""


class CloudflareFault(Unsettled):
    """Cloudflare's side hiccuped."""


class PassingFault(CloudflareFault):
    """Cloudflare stumbled before it did anything, by its own words: no attempt is spent unless the pack has moved."""


class NetworkFault(Unsettled):
    """The way there failed."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """One entry of an envelope's ``errors``: its ``chain``'s codes, and the ``details``, the chain's messages."""

    code: int
    message: str
    chain: tuple[int, ...] = ()
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Problem:
    """An error of the edge, as JSON problem details. ``code`` is 0 where it has none; ``retry_after`` in seconds."""

    text: str
    code: int = 0
    retry_after: float | None = None


def translate(
    operation: Operation,
    status: int,
    complaints: tuple[Complaint, ...],
    *,
    prefix: str = "",
    ray: str = "",
    problem: Problem | None = None,
) -> CloudflareError:
    """The error that an answer with this HTTP status and these complaints means.

    ``prefix`` is the beginning of a body that was no envelope, ``ray`` the ``cf-ray`` header: together they are what
    Cloudflare's support asks for. ``problem`` is what the edge said in place of an envelope.
    """
    first = complaints[0] if complaints else Complaint(0, "")
    label = _label(first, status, problem)
    words = [first.message, *first.details] if complaints else [problem.text if problem else prefix]
    said = "; ".join(dict.fromkeys(filter(None, (clean(each, 200) for each in words[:4])))) or "no message"
    text = f"{operation}: HTTP {status}" + (f", code {first.code}" if first.code else "") + f": {clean(said)}"
    if ray:
        text += f" (cf-ray {clean(ray, 40)})"
    hint = problem.retry_after if problem else None
    if _is_about_rates(status, complaints, said, problem):
        limited = RateLimited(operation, label, text, retry_after=hint)
        limited.everything = _OF_AN_AUTHORITY.search(said) is None
        return limited
    codes = {first.code, *first.chain}
    if codes & {1000, 10001} and _PASSING.search(said) and not _INVALID.search(said):
        return PassingFault(operation, label, text)
    if 1406 in codes:
        said = f"{text}; its certificate service stumbled, or the pack is being deleted"
        return CloudflareFault(operation, label, said)
    if status >= 500 or status == 408:
        return CloudflareFault(operation, label, text, retry_after=hint)
    if problem is not None or (status == 403 and not complaints):
        said = f"{text}; this is no answer of Cloudflare's API: its edge, a firewall or a proxy refused the request"
        return TurnedAway(operation, label, said, retry_after=hint)
    return _of_the_api(operation, status, codes, label, text, said, understood=bool(complaints))


def _of_the_api(
    operation: Operation, status: int, codes: set[int], label: str, text: str, said: str, *, understood: bool
) -> CloudflareError:
    if (error := _about_the_credential(operation, status, codes, label, text, said)) is not None:
        return error
    if codes & {7003, 7000, 1408} or status == 404:
        return NotFound(operation, label, text)
    if 1450 in codes:
        return NotEnabled(operation, label, f"{text}; Advanced Certificate Manager is not enabled for this zone")
    if status >= 400:
        return Refused(operation, label, text)
    return CloudflareFault(operation, label if understood else "not_json", text)


def _about_the_credential(
    operation: Operation, status: int, codes: set[int], label: str, text: str, said: str
) -> CloudflareError | None:
    if (why := _certainly(codes, said)) is not None:
        return CredentialRefused(operation, label, f"{text}; {_REMEDIES[why]}", why=why)
    if 10001 in codes and _NOT_ALLOWED.search(said):
        return PermissionMissing(operation, label, f"{text}; {_lacks(operation)}")
    if codes & {10000, 9109, 6003} or status == 401 or (codes & {1000, 10001} and status == 403):
        denied = AccessDenied(operation, label, f"{text}; {_remedy(operation)}")
        denied.lasts = 9109 in codes
        return denied
    return None


def _label(first: Complaint, status: int, problem: Problem | None) -> str:
    if 0 < first.code < 1_000_000:
        return str(first.code)
    return f"edge_{problem.code}" if problem is not None and problem.code else f"http_{status}"


def _is_about_rates(status: int, complaints: Sequence[Complaint], said: str, problem: Problem | None) -> bool:
    if status == 429 or (problem is not None and problem.code == _EDGE_RATE_LIMIT):
        return True
    if any(_RATE_CODES & {each.code, *each.chain} for each in complaints):
        return True
    return _THROTTLED.search(said) is not None and _LOCKED_OUT.search(said) is None


def _certainly(codes: set[int], said: str) -> Why | None:
    """What is certainly wrong with the credential, if anything is."""
    if codes & _HEADER_CODES or (6003 in codes and _ABOUT_A_HEADER.search(said)):
        return Why.MALFORMED
    if codes & {9103, 9106}:
        return Why.INVALID
    if codes & {9109, 10000, 1000} and _LOCKED_OUT.search(said):
        return Why.LOCKED_OUT
    if 9109 in codes and _FROM_ELSEWHERE.search(said):
        return Why.ADDRESS
    if codes & {9109, 1000} and _INVALID.search(said):
        return Why.INVALID
    return None


_REMEDIES = {
    Why.INVALID: "the credential is not valid: put a new one in its place",
    Why.MALFORMED: "the credential is malformed: look for a stray character in it, or for a key given as a token",
    Why.ADDRESS: "the credential's address filter does not admit this machine: change the filter",
    Why.LOCKED_OUT: "Cloudflare has locked this credential out for hours, and more calls would prolong that",
}


def _lacks(operation: Operation) -> str:
    permission = _PERMISSION.get(operation, _CERTIFICATES)
    where = "" if operation is Operation.LIST_ZONES else " for this zone"
    if not permission:
        return "the credential may not do this"
    return f"the credential lacks the permission {permission}{where}"


def _remedy(operation: Operation) -> str:
    if not _PERMISSION.get(operation, _CERTIFICATES):
        return "the token is not valid: make a new one"
    return _lacks(operation).replace("the credential lacks", "the credential is not valid, or lacks")
