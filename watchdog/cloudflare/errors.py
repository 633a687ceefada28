"""Every way a call can fail, translated at the door into one tree.

The tree::

    CloudflareError          says: which operation, which error-code label, one cleaned line for a person
    ├── CredentialRefused    the credential's fault: stop calling with it      (10000, 9109, 6003, HTTP 401)
    ├── NotFound             a zone or pack id Cloudflare does not know        (7003, 7000, 1408, HTTP 404)
    ├── Refused              this request, for this zone or pack only          (1450, other 4xx)
    ├── RateLimited          nobody's fault: wait                              (HTTP 429)
    └── Unsettled            the answer does not tell what happened: retry a GET, never blindly a PATCH
        ├── CloudflareFault  5xx, 520-530, 1406, HTML, JSON that is cut or of another shape
        └── NetworkFault     time-out, connection refused or reset, TLS

The same number means different things on different endpoints, so ``translate`` looks at operation, HTTP status and
code, in this order of trust, and at the message last (Cloudflare's public issue threads, November 2026).
"""

from dataclasses import dataclass
from enum import StrEnum

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

KNOWN_CODES = (
    *("10000", "9109", "6003", "6111", "6103", "7003", "7000", "1408", "1406", "1450", "971"),
    *("http_400", "http_401", "http_403", "http_404", "http_429"),
    *("http_500", "http_502", "http_503", "http_504", "http_520", "http_521", "http_522", "http_523", "http_524"),
    *("http_525", "http_526", "http_527", "http_530"),
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
_CERTAIN = frozenset({6003, 6103, 6111})


class CloudflareError(Exception):
    """A call that failed. ``code`` is the ``error_code`` label; ``str()`` is one cleaned line."""

    def __init__(self, operation: Operation, code: str, text: str) -> None:
        super().__init__(text)
        self.operation = operation
        self.code = code


class CredentialRefused(CloudflareError):
    """The credential is bad or lacks a permission.

    ``certain`` when the answer can only mean the credential itself; a plain 403 may also mean a token that is fine but
    does not cover this zone.
    """

    def __init__(self, operation: Operation, code: str, text: str, *, certain: bool) -> None:
        super().__init__(operation, code, text)
        self.certain = certain


class NotFound(CloudflareError):
    """Cloudflare does not know the zone or the pack."""


class Refused(CloudflareError):
    """Cloudflare understood and said no, for this zone or pack."""


class RateLimited(CloudflareError):
    """HTTP 429: everything of this credential waits; nothing was done."""


class Unsettled(CloudflareError):
    """Nobody can tell from the answer whether the request took effect."""


class CloudflareFault(Unsettled):
    """Cloudflare's side hiccuped."""


class NetworkFault(Unsettled):
    """The way there failed. ``sent`` is False when the request certainly never left."""

    def __init__(self, operation: Operation, code: str, text: str, *, sent: bool = True) -> None:
        super().__init__(operation, code, text)
        self.sent = sent


@dataclass(frozen=True, slots=True)
class Complaint:
    """One entry of an envelope's ``errors``, its chain flattened into ``chain``."""

    code: int
    message: str
    chain: tuple[int, ...] = ()


def translate(
    operation: Operation, status: int, complaints: tuple[Complaint, ...], *, prefix: str = "", ray: str = ""
) -> CloudflareError:
    """The error that an answer with this HTTP status and these complaints means.

    ``prefix`` is the beginning of a body that was no envelope, ``ray`` the ``cf-ray`` header: together they are what
    Cloudflare's support asks for.
    """
    first = complaints[0] if complaints else Complaint(0, "")
    codes = {first.code, *first.chain}
    label = str(first.code) if 0 < first.code < 1_000_000 else f"http_{status}"
    said = clean(first.message) or clean(prefix) or "no message"
    text = f"{operation}: HTTP {status}" + (f", code {first.code}" if first.code else "") + f": {said}"
    if ray:
        text += f" (cf-ray {clean(ray, 40)})"

    if status == 429:
        return RateLimited(operation, label, text)
    if status >= 500 or 1406 in codes:
        return CloudflareFault(operation, label, text)
    if codes & {10000, 9109} or codes & _CERTAIN or status == 401:
        certain = bool(codes & _CERTAIN) or status in {400, 401} or "invalid access token" in said.lower()
        return CredentialRefused(operation, label, f"{text}; {_remedy(operation, codes)}", certain=certain)
    if codes & {7003, 7000, 1408} or status == 404:
        return NotFound(operation, label, text)
    if 1450 in codes:
        return Refused(operation, label, f"{text}; Advanced Certificate Manager is not enabled for this zone")
    if status >= 400:
        return Refused(operation, label, text)
    return CloudflareFault(operation, label if complaints else "not_json", text)


def _remedy(operation: Operation, codes: set[int]) -> str:
    if codes & _CERTAIN:
        return "the credential is malformed: look for a stray character in it"
    permission = _PERMISSION.get(operation, _CERTIFICATES)
    if not permission:
        return "the token is not valid: make a new one"
    where = "" if operation is Operation.LIST_ZONES else " for this zone"
    return f"the credential is not valid, or lacks the permission {permission}{where}"
