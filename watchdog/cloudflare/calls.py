"""One call of the API: as it is to be made, as it was made, and who is told of it.

Values alone; nothing here asks. ``endpoints`` makes requests, ``sender`` sends them, ``telemetry`` is the observer.
"""

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import msgspec

from watchdog.cloudflare.credential import Change
from watchdog.cloudflare.errors import CloudflareError, Operation
from watchdog.cloudflare.rate_limit import Urgency
from watchdog.model.packs import ZoneRef

Decoded = TypeVar("Decoded")


class ApiRequest(msgspec.Struct, Generic[Decoded], frozen=True, kw_only=True):
    """One request as it is to be made, and how the body of its answer is read.

    ``path`` follows the base URL, with its query. ``of`` is what the call is about: a zone's id, or a name.
    ``about_credential`` is set where it is to show whether a credential that is doubted, or stopped, is taken.
    """

    operation: Operation
    path: str
    urgency: Urgency
    decode: Callable[[bytes], Decoded]
    of: str = ""
    method: str = "GET"
    content: bytes | None = None
    about_credential: bool = False


class ApiCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call that was made: for the metrics. ``status`` is the HTTP status, 0 when none came."""

    account: str
    operation: Operation
    status: int
    seconds: float
    error: CloudflareError | None


class Observer(Protocol):
    """Who is told what happens to the calls of all clients."""

    def called(self, call: ApiCall) -> None:
        """A call was made."""

    def rate_limited(self, account: str, seconds: float) -> None:
        """Cloudflare told a credential to wait for so long."""

    def credential_changed(self, account: str, change: Change) -> None:
        """A credential stands otherwise than before."""

    def zone_chosen(self, zone: ZoneRef, says: str) -> None:
        """Of several zones of one name this one is watched."""
