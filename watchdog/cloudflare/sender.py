"""One request, sent once: when it may go, what its answer says, and who is told.

It goes when the credential is taken and the quota has room. Anything but a success is raised as a ``CloudflareError``.
What an answer says of more than itself is passed on here, and nowhere else: the credential's standing to ``trust``, a
429 to ``throttling``, the headers to the quota, the call to the observer. Nothing here sends a request again.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from urllib.parse import urlsplit

import msgspec

from watchdog.cloudflare import envelope, ratelimit_headers
from watchdog.cloudflare.block import TooLong
from watchdog.cloudflare.calls import ApiCall, ApiRequest, Decoded, Observer
from watchdog.cloudflare.errors import (
    Blocked,
    CloudflareError,
    CloudflareFault,
    CredentialRefused,
    NotFresh,
    Operation,
    RateLimited,
    Unheld,
)
from watchdog.cloudflare.holds import Holds
from watchdog.cloudflare.http import Headers, Request, Transport
from watchdog.cloudflare.rate_limit import Quota, Reservation
from watchdog.cloudflare.throttling import Throttling
from watchdog.cloudflare.translate import translate
from watchdog.cloudflare.transport import exchange
from watchdog.cloudflare.trust import Trust
from watchdog.model.clock import Clock
from watchdog.model.text import clean

FRESH = 10.0
"""Seconds that may lie between a read and what is done upon it, where the turns of both were reserved. It is well under
a second, but that a process may be stopped in between, and the state take its time to store the intent."""


class Sender:
    """Sends the requests of one credential."""

    def __init__(
        self,
        http: Transport,
        *,
        base_url: str,
        timeout: timedelta,
        user_agent: str,
        trust: Trust,
        quota: Quota,
        holds: Holds,
        clock: Clock,
        observer: Observer,
        may_send: Callable[[str], bool] | None = None,
    ) -> None:
        """``may_send`` says of an account, at the last moment, whether a request of it may leave."""
        self._may_send = may_send
        self.credential = trust.credential
        self._http = http
        self._base = urlsplit(base_url.rstrip("/"))
        self._timeout = timeout.total_seconds()
        self._user_agent = user_agent
        self._trust = trust
        self._quota = quota
        self._holds = holds
        self._throttling = Throttling(self.credential.name, quota, holds, observer)
        self._clock = clock
        self._observer = observer
        self._headers: list[tuple[bytes, bytes]] = []
        self._of_size: dict[int, Headers] = {}  # by the size of the body
        self._edition = -1

    async def send(self, request: ApiRequest[Decoded], reservation: Reservation | None = None) -> Decoded:
        """Send it once, and decode its answer. Raises ``CloudflareError``.

        ``reservation`` are requests of the quota that were reserved ahead: one of them is used, if one is left.
        """
        await self._admit(request, reservation)
        began, edition = self._clock.monotonic(), self.credential.edition
        status = 0
        headers: Mapping[str, str] | None = None
        error: CloudflareError | None = None
        try:
            status, headers, body = await exchange(
                self._http, request.operation, self._http_request(request), self._timeout
            )
            decoded = self._read(request, status, headers, body)
            self._holds.succeeded(request.operation, request.of)
            self._throttling.served()
            self._trust.served(request.operation, request.of, edition)
            return decoded
        except CloudflareError as failed:
            error = failed
            if isinstance(failed, CredentialRefused) and request.operation is not Operation.VERIFY_TOKEN:
                await self._trust.refused(failed, edition)
            elif isinstance(failed, RateLimited) and headers is not None:
                self._throttling.slow_down(failed, headers, request.of)
            raise
        finally:
            self._quota.release(headers, request.operation)
            call = ApiCall(
                account=self.credential.name,
                operation=request.operation,
                status=status,
                seconds=self._clock.monotonic() - began,
                error=error,
            )
            self._observer.called(call)

    async def _admit(self, request: ApiRequest[Decoded], reservation: Reservation | None) -> None:
        """Wait until it may be sent. Raises, and gives its turn back, where it is not to be sent at all."""
        stopped = self.credential.stopped
        probe = request.about_credential or stopped
        if stopped and not request.about_credential:
            await self._trust.admit(request.operation)
        ahead = reservation if reservation is not None and reservation.take() else None
        if ahead is None:
            try:
                await self._quota.acquire(request.urgency, request.operation)
            except TooLong as block:
                raise Blocked(request.operation, block.until) from None
        else:
            await self._quota.use_a_booking()
            if self._quota.blocked_for:  # since they were taken
                self._quota.release()
                said = f"{request.operation}: not sent: Cloudflare has just told this credential to wait"
                raise RateLimited(request.operation, "", said, sent=False)
        if self.credential.stopped and not probe:  # it was refused while this call waited
            self._quota.release()
            raise self._trust.refusal(request.operation)
        if self._may_send is not None and not self._may_send(self.credential.name):
            self._quota.release()
            raise Unheld(request.operation, self.credential.name)
        if ahead is not None and ahead.read_at is not None:
            old = self._clock.monotonic() - ahead.read_at
            if old > FRESH:
                self._quota.release()
                raise NotFresh(request.operation, old)

    def _http_request(self, request: ApiRequest[Decoded]) -> Request:
        if self._edition != self.credential.edition:
            self._edition = self.credential.edition
            headers = {
                "host": self._base.netloc,
                "user-agent": self._user_agent,
                "accept": "application/json",
                "accept-encoding": "gzip, deflate",
                **self.credential.headers(),
            }
            self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]
            self._of_size = {0: Headers(self._headers)}
        target = self._base.path + request.path
        content = request.content or b""
        of_request = self._of_size.get(len(content))
        if of_request is None:  # there are as few sizes as kinds of body
            size = str(len(content)).encode()
            of_body = [(b"content-type", b"application/json"), (b"content-length", size)]
            of_request = self._of_size[len(content)] = Headers([*self._headers, *of_body])
        return Request(request.method, target, of_request, content)

    def _read(self, request: ApiRequest[Decoded], status: int, headers: Mapping[str, str], body: bytes) -> Decoded:
        """What the answer holds, with the secret taken out wherever it was repeated."""
        hide = self.credential.taken_out_of
        body = hide(body)
        if not 200 <= status < 300:
            ray, to = (hide(headers.get(name, "").encode()).decode() for name in ("cf-ray", "location"))
            error = _refusal(request.operation, status, ray, _redirect(to) if 300 <= status < 400 and to else body)
            if error.retry_after is None and isinstance(error, CloudflareFault):
                error.retry_after = ratelimit_headers.retry_after(headers)
            raise error
        prefix = ""
        try:
            return request.decode(body)
        except msgspec.ValidationError as strange:
            prefix, code = str(strange), "malformed"
        except msgspec.MsgspecError:
            code = "not_json"
        operation, complaints = request.operation, envelope.complaints(body)
        ray = hide(headers.get("cf-ray", "").encode()).decode()
        if complaints:
            raise translate(operation, status, complaints, ray=ray)
        said = clean(prefix or body[:400].decode("utf-8", "replace"), 120) or "an empty body"
        by = f" (cf-ray {clean(ray, 40)})" if ray else ""
        raise CloudflareFault(operation, code, f"{operation}: HTTP {status}, not the JSON expected: {said}{by}")


def _redirect(location: str) -> bytes:
    """What is said of an answer that leads elsewhere, of which its page says nothing."""
    to = clean(location.partition("?")[0], 70)  # what follows may be somebody's secret
    return f"a redirect to {to}, not followed: see `api.base_url`".encode()


def _refusal(operation: Operation, status: int, ray: str, body: bytes) -> CloudflareError:
    complaints = envelope.complaints(body)
    return translate(
        operation,
        status,
        complaints,
        prefix="" if body == b"null" else clean(body[:400].decode("utf-8", "replace"), 120),
        ray=ray,
        problem=None if complaints else envelope.problem(body),
    )
