"""What Cloudflare's answer to a call means: its codes and words, translated at the door into one error.

The same number means different things on different endpoints, and the HTTP status is not reliable, so operation, code
and wording are looked at first and the status last. Each row with its source and date stands in
``docs/cloudflare.md``. ``sender`` alone calls this; ``envelope`` reads the complaints.
"""

import re
from collections.abc import Sequence

import msgspec

from watchdog.cloudflare.errors import (
    AccessDenied,
    CloudflareError,
    CloudflareFault,
    CredentialRefused,
    NotEnabled,
    NotFound,
    Operation,
    PassingFault,
    PermissionMissing,
    RateLimited,
    Refused,
    TurnedAway,
    Why,
)
from watchdog.model.text import clean

_PERMISSION = {
    Operation.FIND_ZONE: "Zone / Zone / Read",
    Operation.LIST_ZONES: "Zone / Zone / Read",
    Operation.ZONE_FACTS: "Zone / Zone / Read",
    Operation.VERIFY_TOKEN: "",
}
_CERTIFICATES = "Zone / SSL and Certificates / Edit"

_RATE_CODES = frozenset({971, 10100, 10500})
_EDGE_RATE_LIMIT = 1015
# Patterns, which ``re`` compiles at their first use: nearly every pass needs none of them.
_THROTTLED = r"rate[- ]?limit|throttl|too many requests|slow(?:ing)? down"
_OF_AN_AUTHORITY = r"certificate authorit|let'?s encrypt|google trust|\bacme\b|these domains"
_PASSING = r"time[d]?[- ]?out|internal|unable to authenticate request|temporar|try again|retry|unavailable"
_INVALID = (
    r"invalid (?:api |access |bearer )*(?:token|key|credential)|(?:token|key) (?:is |was |has )?(?:been )?"
    r"(?:invalid|expired|disabled|revoked|rolled)"
)
_LOCKED_OUT = r"max\w* auth\w* failures|too many (?:failed )?(?:auth\w*|login)"
_FROM_ELSEWHERE = r"from (?:this |that |your )?location|ip (?:address )?(?:is )?(?:not|restrict)"
_NOT_ALLOWED = r"not (?:be )?(?:allowed|permitted)|permission|unauthori[sz]ed"
_ABOUT_ACCESS = rf"authenticat|\bauthoriz|access token|{_NOT_ALLOWED}"
_HEADER_CODES = frozenset({6100, 6101, 6102, 6103, 6111})
_ABOUT_A_HEADER = r"x-auth-(?:key|email)|authorization"


class Complaint(msgspec.Struct, frozen=True):
    """One item of an envelope's ``errors``: its ``chain``'s codes, and the ``details``, the chain's messages."""

    code: int
    message: str
    chain: tuple[int, ...] = ()
    details: tuple[str, ...] = ()


class Problem(msgspec.Struct, frozen=True):
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

    ``prefix`` is the beginning of a body without complaints, ``ray`` the ``cf-ray`` header: together they are what
    Cloudflare's support asks for. ``problem`` is what the edge said in place of an envelope.
    """
    first = complaints[0] if complaints else Complaint(0, "")
    label = _label(first, status, problem)
    words = [first.message, *first.details] if complaints else [problem.text if problem else prefix]
    said = "; ".join(dict.fromkeys(filter(None, (clean(each, 200) for each in words[:4])))) or _unsaid(status)
    text = f"{operation}: HTTP {status}" + (f", code {first.code}" if first.code else "") + f": {clean(said)}"
    if ray:
        text += f" (cf-ray {clean(ray, 40)})"
    hint = problem.retry_after if problem else None
    if _is_about_rates(status, complaints, said, problem):
        limited = RateLimited(operation, label, text, retry_after=hint)
        limited.everything = not _is_said(_OF_AN_AUTHORITY, said)
        return limited
    codes = {first.code, *first.chain}
    if codes & {1000, 10001} and _is_said(_PASSING, said) and not _is_said(_INVALID, said):
        return PassingFault(operation, label, text)
    if 1406 in codes:
        said = f"{text}; its certificate service stumbled, or the pack is being deleted"
        return CloudflareFault(operation, label, said)
    if status >= 500 or status == 408:
        return CloudflareFault(operation, label, text, retry_after=hint)
    if problem is not None or (not complaints and (status == 403 or _is_foreign(status, prefix))):
        said = f"{text}; this is no answer of Cloudflare's API: its edge, a firewall or a proxy refused the request"
        said += ", or `api.base_url` leads elsewhere" if status == 404 else ""
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
    if 10001 in codes and _is_said(_NOT_ALLOWED, said):
        return PermissionMissing(operation, label, f"{text}; {_lacks(operation)}")
    nameless = status == 403 and codes == {0} and _is_said(_ABOUT_ACCESS, said)
    if codes & {10000, 9109, 6003} or status == 401 or (codes & {1000, 10001} and status == 403) or nameless:
        denied = AccessDenied(operation, label, f"{text}; {_remedy(operation)}")
        denied.lasts = 9109 in codes
        return denied
    return None


def _is_foreign(status: int, prefix: str) -> bool:
    """Whether a refusal is a page or a text: only an envelope says anything of a zone, a pack or a credential."""
    return 400 <= status < 500 and prefix != "" and prefix[0] not in "{["


def _unsaid(status: int) -> str:
    return "too many requests" if status == 429 else "no message"


def _is_said(pattern: str, said: str) -> bool:
    return re.search(pattern, said, re.IGNORECASE) is not None


def _label(first: Complaint, status: int, problem: Problem | None) -> str:
    if 0 < first.code < 1_000_000:
        return str(first.code)
    return f"edge_{problem.code}" if problem is not None and problem.code else f"http_{status}"


def _is_about_rates(status: int, complaints: Sequence[Complaint], said: str, problem: Problem | None) -> bool:
    if status == 429 or (problem is not None and problem.code == _EDGE_RATE_LIMIT):
        return True
    if any(_RATE_CODES & {each.code, *each.chain} for each in complaints):
        return True
    return _is_said(_THROTTLED, said) and not _is_said(_LOCKED_OUT, said)


def _certainly(codes: set[int], said: str) -> Why | None:
    """What is certainly wrong with the credential, if anything is."""
    if codes & _HEADER_CODES or (6003 in codes and _is_said(_ABOUT_A_HEADER, said)):
        return Why.MALFORMED
    if codes & {9103, 9106}:
        return Why.INVALID
    if codes & {9109, 10000, 1000} and _is_said(_LOCKED_OUT, said):
        return Why.LOCKED_OUT
    if 9109 in codes and _is_said(_FROM_ELSEWHERE, said):
        return Why.ADDRESS
    if codes & {9109, 1000} and _is_said(_INVALID, said):
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
